/* The machine: everything a guest sees, made from options, and its life. Main thread only, but for machine_tell. */
#ifndef HOLM_VMM_MACHINE_H
#define HOLM_VMM_MACHINE_H

#include "vmm/options.h"

struct machine;

enum machine_state { MACHINE_PAUSED, MACHINE_RUNNING, MACHINE_ENDED };

/* Opens and checks everything; the guest has not run. `o` outlives it. */
MUST_CHECK int machine_new(const struct options *o, struct machine **ret_machine, struct err *e);
void machine_free(struct machine *m);
/* Runs until the guest turns itself off or machine_end; an error if it could not go on. */
MUST_CHECK int machine_run(struct machine *m, struct err *e);

/* Verbs, from callbacks of the main loop. */
enum machine_state machine_state(const struct machine *m);
void machine_pause(struct machine *m);
MUST_CHECK int machine_resume(struct machine *m, struct err *e);
/* As the reset button: at once. */
MUST_CHECK int machine_reset(struct machine *m, struct err *e);
/* Presses the power button; the guest decides what follows. */
void machine_power_button(struct machine *m);
void machine_end(struct machine *m);
/* What the host did not let the jail do; "" if nothing. */
const char *machine_jail_note(const struct machine *m);

#endif
