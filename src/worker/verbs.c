/* What a worker can do, one row each. A test walks this table; verb_*.c say what each one does. */
#include <seccomp.h>

#include "worker/worker.h"

#define MIB (UINT64_C(1) << 20)

/* Beyond the common list (memory, the answer, the end): */
static const int calls_random[] = {SCMP_SYS(getrandom), -1};
static const int calls_cert[] = {SCMP_SYS(getrandom), SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(time),
                                 -1};
static const int calls_pem[] = {SCMP_SYS(read),         SCMP_SYS(getrandom), SCMP_SYS(clock_gettime),
                                SCMP_SYS(gettimeofday), SCMP_SYS(time),      -1};
static const int calls_read[] = {SCMP_SYS(read), -1};
static const int calls_copy[] = {SCMP_SYS(read), SCMP_SYS(fsync), -1};

/* argon2id: 64 MiB is what libsodium's interactive limits take. */
#define ARGON2_MEMORY (192 * MIB)

const struct work_verb work_verbs[] = {
    {
        .name = "argon2id-hash",
        .needs_secret = true,
        .limits = {.memory_bytes = ARGON2_MEMORY, .cpu_s = 60},
        .calls = calls_random,
        .prepare = verb_argon2id_prepare,
        .run = verb_argon2id_hash,
    },
    {
        .name = "argon2id-verify",
        .min_args = 1,
        .max_args = 1,
        .needs_secret = true,
        .limits = {.memory_bytes = ARGON2_MEMORY, .cpu_s = 60},
        .calls = calls_random,
        .prepare = verb_argon2id_prepare,
        .run = verb_argon2id_verify,
    },
    {
        .name = "make-cert",
        .min_args = 1,
        .max_args = 65,
        .limits = {.memory_bytes = 64 * MIB, .cpu_s = 60},
        .calls = calls_cert,
        .prepare = verb_cert_prepare,
        .run = verb_cert_make,
    },
    {
        .name = "cert-info",
        .min_args = 1,
        .max_args = 1,
        .n_fds = 1,
        .limits = {.memory_bytes = 64 * MIB, .cpu_s = 20},
        .calls = calls_pem,
        .prepare = verb_cert_info_prepare,
        .run = verb_cert_info,
    },
    {
        .name = "cert-check",
        .min_args = 1,
        .max_args = 1,
        .n_fds = 2,
        .limits = {.memory_bytes = 64 * MIB, .cpu_s = 20},
        .calls = calls_pem,
        .prepare = verb_cert_info_prepare,
        .run = verb_cert_check,
    },
    {
        .name = "receive",
        .max_args = 1,
        .n_fds = 2,
        .needs_total = true,
        /* two digests of 20 MB/s on the slowest host we know of */
        .limits = {.memory_bytes = 32 * MIB, .cpu_s = 60, .cpu_bytes_per_s = 20 * MIB, .writes_files = true},
        .calls = calls_copy,
        .prepare = verb_receive_prepare,
        .run = verb_receive,
    },
    {
        .name = "append",
        .min_args = 2,
        .max_args = 2,
        .n_fds = 2,
        .needs_total = true,
        .limits = {.memory_bytes = 32 * MIB, .cpu_s = 120, .writes_files = true}, /* of a piece, not of the file */
        .calls = calls_copy,
        .prepare = verb_append_prepare,
        .run = verb_append,
    },
    {
        .name = "verify",
        .min_args = 1,
        .max_args = 1,
        .n_fds = 1,
        .needs_total = true,
        .limits = {.memory_bytes = 32 * MIB, .cpu_s = 60, .cpu_bytes_per_s = 20 * MIB},
        .calls = calls_read,
        .prepare = verb_receive_prepare,
        .run = verb_verify,
    },
    {0},
};

const struct work_verb *work_verb_find(const char *name)
{
    for (const struct work_verb *v = work_verbs; v->name; v++)
        if (streq(v->name, name))
            return v;
    return NULL;
}
