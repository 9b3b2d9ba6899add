/* CPU models that administrators make (PVE: /etc/pve/virtual-guest/cpu-models.conf): state keys shared/cpu-model/NAME,
 * of which a copy is kept. `cpu: custom-NAME` means one. Loop thread. */
#ifndef HOLM_GUEST_CPU_MODELS_H
#define HOLM_GUEST_CPU_MODELS_H

#include "guest/guest.h"

#define CPU_MODEL_NAME_MAX 40u
#define CPU_MODELS_MAX     1000u
#define CPU_MODEL_PREFIX   "custom-"

struct cpu_model {
    char name[CPU_MODEL_NAME_MAX + 1]; /* without the prefix */
    struct config values;              /* "reported-model", "flags", … */
    uint64_t revision;
};

struct cpu_models;
MUST_CHECK int cpu_models_new(struct state *s, struct cpu_models **ret, struct err *e);
void cpu_models_free(struct cpu_models *m);
/* With or without the prefix; NULL if there is none. Valid until the loop goes on. */
const struct cpu_model *cpu_models_find(const struct cpu_models *m, const char *name);
size_t cpu_models_count(const struct cpu_models *m);
const struct cpu_model *cpu_models_at(const struct cpu_models *m, size_t i); /* by name */
/* A transaction that writes values (NULL: removes the model), if it still has that revision; 0: does not exist. */
struct state_txn *cpu_models_txn(const char *name, const struct config *values, uint64_t revision);
/* What the value of `cpu` needs of a custom model, as a property string: malloc, or NULL where it names none that
 * exists. */
char *cpu_models_expand(const struct cpu_models *m, const char *cpu);

/* Those of a manager of guests. */
const struct cpu_models *guest_cpu_models(const struct guest_mgr *m);

#endif
