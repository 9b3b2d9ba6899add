/* The appending thread and its queues: what audit.c hands over, and gets back finished. A batch is written whole or not
 * at all. Threads: the segment and the notes are the appending thread's once it runs (the loop's before); what stands
 * below `lock` is guarded by it. */
#ifndef HOLM_AUDIT_WRITER_PRIV_H
#define HOLM_AUDIT_WRITER_PRIV_H

#include <pthread.h>

#include "audit/audit_priv.h"

#define AUDIT_NOTES_MAX 4u

struct audit_item {
    struct audit_item *next;
    char *body;
    int slot;
    bool is_probe; /* only worth writing if there is room for more */
    audit_done_fn done;
    void *arg;
    int r;
    struct err err;
};

struct audit_queue {
    struct audit_item *first, **tail;
};

void audit_queue_init(struct audit_queue *q);
void audit_queue_add(struct audit_queue *q, struct audit_item *it);
/* Moves all of other to the end of q. */
void audit_queue_join(struct audit_queue *q, struct audit_queue *other);
void audit_queue_done(struct audit_queue *q);
void audit_item_free(struct audit_item *it);

struct audit_writer {
    char *dir;
    struct audit_segment segment;
    char *notes[AUDIT_NOTES_MAX]; /* bodies about what was found at the start */
    size_t n_notes;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct audit_queue queue, finished;
    bool is_stopping, is_writing;
    int dirfd;
    struct audit_bound bound;
    struct audit_chain head;
    struct err low; /* the last reservation failed */

    pthread_t thread;
    bool has_thread;
    int wake_fd; /* written to when something is finished; the owner's */
};

void audit_writer_init(struct audit_writer *w, const struct audit_options *o);
void audit_writer_done(struct audit_writer *w);
/* Opens the folder and the newest file. What cannot be done now is tried again with each batch. */
void audit_writer_open(struct audit_writer *w);
MUST_CHECK int audit_writer_start(struct audit_writer *w, struct err *e);
/* Writes what is queued and ends the thread. */
void audit_writer_stop(struct audit_writer *w);
/* Waits until nothing is queued or being written. */
void audit_writer_wait(struct audit_writer *w);

#endif
