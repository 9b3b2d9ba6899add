/* The system calls of holm-front: one table, each row with its reason, and the filter made of it. What is not in the
 * table ends the process (SIGSYS). The unit test walks every number of the kernel against this table. */
#ifndef HOLM_FRONT_CALLS_H
#define HOLM_FRONT_CALLS_H

#include <seccomp.h>

#include "base/err.h"

struct front_call {
    int number;
    const char *name, *reason;
    /* Condition on the arguments; op 0 = always allowed. A second one is for level and option of setsockopt. */
    struct scmp_arg_cmp only[2];
    int refusal; /* 0 = allowed; else the call fails with this errno and the process lives (sanitizer builds only) */
};

/* All rows; several may have the same number with different conditions. */
const struct front_call *front_calls(size_t *ret_n);

/* Loads the filter: default KILL_PROCESS. no_new_privs must be set. */
MUST_CHECK int front_calls_load(struct err *e);

#endif
