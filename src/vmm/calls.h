/* The system calls of holm-vmm's threads once the machine runs: one table, each row with the kinds of threads that may
 * make the call, the condition on an argument and the reason. calls_load makes a filter of a kind's rows and puts it on
 * the calling thread; what it does not allow ends the process (SIGSYS). The filter is written here, in a few hundred
 * instructions on the stack: no library keeps memory for it. */
#ifndef HOLM_VMM_CALLS_H
#define HOLM_VMM_CALLS_H

#include <linux/filter.h>

#include "base/err.h"

enum calls_kind {
    CALLS_MAIN = 1,  /* the machine's loop: verbs, serial port, small devices */
    CALLS_VCPU = 2,  /* runs the guest */
    CALLS_DISK = 4,  /* a queue of a disk */
    CALLS_BLOCK = 8, /* reads and writes for a disk where there is no io_uring */
    CALLS_NET = 16,  /* a pair of queues of a network interface */
};
#define CALLS_KINDS 5u

/* `(argument & mask) == value`. Looks at the low 32 bits: what is compared is an int for the kernel, too. */
struct call_condition {
    uint8_t argument;
    uint32_t mask, value; /* mask 0: no condition */
};

#define CALL_CONDITIONS 2u
#define CALL_SELF       UINT32_MAX /* as a value: the process that loads the filter */

struct call {
    int number;
    unsigned kinds;
    int refusal; /* 0: allowed; else the call fails with this errno and the process lives (sanitizer builds only) */
    struct call_condition only[CALL_CONDITIONS];
    const char *name, *reason;
};

/* All rows; several may have the same number, with different conditions. */
const struct call *calls_table(size_t *ret_n);
/* The kind of a thread by its name without digits and dots ("disk0.1"); 0 if there is none. */
enum calls_kind calls_kind_find(const char *thread_name);
const char *calls_kind_name(enum calls_kind kind);

#define CALLS_PROGRAM_MAX 512u
/* The filter as the kernel takes it: how many instructions, or -E2BIG. */
MUST_CHECK int calls_compile(enum calls_kind kind, struct sock_filter program[CALLS_PROGRAM_MAX]);
/* For the calling thread, for ever. no_new_privs must be set. */
MUST_CHECK int calls_load(enum calls_kind kind, struct err *e);

#endif
