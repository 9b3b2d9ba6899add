/* holm-block's inside: one request, one job, the end. One thread; nothing outlives the request.
 *
 *     copy    images…, target: the target, empty and as large as the uppermost image, holds what that one reads as
 *     import  the same for one image that a stranger made: a qcow2 image's tables are looked at first
 *     commit  images…: what the uppermost holds is brought into the next one, which is opened for writing
 *
 * Images are given uppermost first, each standing on the next. Their bytes were written by guests, and so was, for all
 * we know, what QEMU answers after it has read them. */
#ifndef HOLM_BLOCK_BLOCK_H
#define HOLM_BLOCK_BLOCK_H

#include <signal.h>
#include <sys/types.h>

#include "guest/monitor/qmp_message.h"
#include "proto/frame.h"

#define BLOCK_IMAGES_MAX  480u
#define BLOCK_FDS_MAX     (BLOCK_IMAGES_MAX + 1u)
#define BLOCK_CONTROL_FD  3
#define BLOCK_PROGRESS_MS 300
/* Beyond, QEMU's memory of which parts are to be copied is more than it may have (sandbox.c). */
#define BLOCK_JOB_BYTES_MAX (UINT64_C(1) << 49)

struct block_request {
    bool is_commit, is_import;
    bool is_qcow2[BLOCK_FDS_MAX]; /* the images', then the target's */
    size_t n;                     /* images */
    uint64_t bwlimit;             /* bytes a second; 0: none */
};

/* The request with what was found out about its files. */
struct block_work {
    struct block_request q;
    uint32_t stream;
    int fds[BLOCK_FDS_MAX];
    size_t n_fds;
    uint64_t size_bytes;     /* virtual, of the uppermost */
    uint64_t written_bytes;  /* what the file that is written may grow to */
    bool is_target_reserved; /* its space is allocated, and is to stay so */
};

/* Index of the file that is written. */
size_t block_written(const struct block_request *q);
/* Both are raw: no QEMU is needed. */
bool block_is_plain(const struct block_request *q);

/* request.c, pure: a WORK payload with n_fds descriptors. -EPROTO "block.request", -ENOSYS "block.verb". */
MUST_CHECK int block_request_parse(const void *payload, size_t n, size_t n_fds, struct block_request *ret,
                                   struct err *e);

/* images.c: looks at each file, and at headers with the reader of src/image. Refuses what leads elsewhere
 * ("image.external"), a stranger's image that is not sound ("image.tables", "image.bomb"), a raw image that is not the
 * lowest ("image.chain"), a target of another size ("image.size"). */
MUST_CHECK int block_images_check(struct block_work *w, struct err *e);

/* graph.c, pure: arguments of QMP commands, as JSON. */
void graph_image(struct buf *out, const struct block_work *w, size_t i); /* blockdev-add; i == n: the target */
/* The target lies below all images and the job commits them into it; else it is mirrored to. */
bool graph_is_target_below(const struct block_request *q);
const char *graph_job_command(const struct block_request *q);
void graph_job(struct buf *out, const struct block_request *q);

/* sandbox.c. early: before anything is read. child: in the child, for QEMU. seal: no path, and no other call than what
 * the work needs; qemu: the only process that may be signalled, 0: none. */
MUST_CHECK int sandbox_early(struct err *e);
MUST_CHECK int sandbox_child(const struct block_work *w);
MUST_CHECK int sandbox_seal(const struct block_work *w, pid_t qemu, struct err *e);

/* plain.c: a raw image into a raw target, here; what is a hole or zero is not written. */
MUST_CHECK int plain_copy(const struct block_work *w, struct err *e);

/* qemu.c: QEMU without a machine, spoken to by QMP. */
struct qemu {
    int fd;
    pid_t pid;
    struct buf in;
    uint64_t id; /* of the last command */
    bool is_ready, is_over;
    char failure[200]; /* of the job; "": none */
};
/* Its executable is QEMU_PROGRAM. */
MUST_CHECK int qemu_start(struct qemu *q, const struct block_work *w, struct err *e);
/* fd: goes along, -1: none. arguments: JSON or NULL. ret: the answer, to be done with; NULL: not needed. */
MUST_CHECK int qemu_call(struct qemu *q, const char *command, const char *arguments, int fd, struct qmp_message *ret,
                         struct err *e);
/* Takes what comes within so many ms: events change the flags. */
MUST_CHECK int qemu_listen(struct qemu *q, int timeout_ms, struct err *e);
/* Asks it to end, waits for that, and says whether it did in order. */
MUST_CHECK int qemu_end(struct qemu *q, struct err *e);
/* At once. */
void qemu_kill(struct qemu *q);
/* What QEMU said, as an error: "storage.full", "image.locked", "block.failed". */
int qemu_failure(const char *text, struct err *e);

/* job.c: everything else, by a job of QEMU's. */
MUST_CHECK int job_run(const struct block_work *w, struct err *e);

/* answer.c */
MUST_CHECK int block_answer(uint32_t stream, int r, const struct err *why);
extern volatile sig_atomic_t block_child; /* ends when we are to end */
void block_tell_progress(uint64_t done_bytes, uint64_t total_bytes);
/* -errno as an error of a file that is written or read. */
int block_io_error(int num, const char *what, struct err *e);

#endif
