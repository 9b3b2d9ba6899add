/* Inside the driver "qmp": the conversation with QEMU (qmp.c) and sequences of commands in it (qmp_script.c). */
#ifndef HOLM_GUEST_MONITOR_QMP_PRIV_H
#define HOLM_GUEST_MONITOR_QMP_PRIV_H

#include "guest/monitor/monitor.h"
#include "guest/monitor/qmp_message.h"

#define PENDING_MAX 32u
#define SCRIPTS_MAX 8u

struct qmp;
/* m is NULL when there is no answer; e says why. */
typedef void (*answer_fn)(struct qmp *q, struct request *rq, const struct qmp_message *m, const struct err *e);

struct pending {
    uint64_t id; /* 0: free */
    uint64_t deadline_ms;
    answer_fn fn;
    struct request *rq;
};

struct script;

struct qmp {
    struct monitor *m;
    int fd;
    struct buf in, out;
    size_t scanned; /* bytes of in without a line end */
    struct pending pending[PENDING_MAX];
    uint64_t last_id;
    bool is_greeted, is_starting;
    bool is_reading; /* the memory of a snapshot, before it starts */
    size_t next_verb;
    struct loop_timer tick, start_limit, look;
    uint64_t noisy_window_ms;
    unsigned n_noisy;
    struct script *scripts[SCRIPTS_MAX]; /* under way */
    uint64_t version;                    /* of QEMU: 7002022 is 7.2.22 */
    bool has_more;                       /* commands are collected for one write */
    bool has_balloon;
    uint64_t balloon_bytes; /* of the latest answer */
};

/* arguments: a JSON object, or NULL. fd: goes along, or -1. fn is called exactly once. */
void qmp_send(struct qmp *q, const char *command, const char *arguments, int fd, answer_fn fn, struct request *rq);
/* 0, or the error of an answer (m NULL: why; QEMU's refusal). */
MUST_CHECK int qmp_answer_result(const struct qmp_message *m, const struct err *why, struct err *e);

/* qmp_script.c */
void script_begin(struct qmp *q, struct request *rq);
void script_device_deleted(struct qmp *q, const char *id);
void script_close_all(struct qmp *q);

#endif
