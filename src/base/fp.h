/* Fail points: FP("vm.create.2") does nothing unless HOLM_FP names it. HOLM_FP is a comma-separated list of
 * name=action[@n]: kill (SIGKILL to the own process), error (FP returns true, the caller fails), pause (SIGSTOP);
 * @n acts on the n-th hit only. With HOLM_FP_LOG=FILE each hit appends its name to FILE, which is how the crash suite
 * learns which points a task passes. Read once, at the first call; any thread. */
#ifndef HOLM_BASE_FP_H
#define HOLM_BASE_FP_H

#include <stdbool.h>

extern bool fp_is_armed;
void fp_init(void);
bool fp_hit(const char *name);

/* True when the caller is to fail here. */
#define FP(name) (__builtin_expect(fp_is_armed, false) && fp_hit(name))

#endif
