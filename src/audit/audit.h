/* The audit log: who changed what, or tried to. One JSON object per line in ROOT/audit/audit-NNNNNNNNNN.jsonl; each
 * record holds the hash of the one before, so that a change or removal anywhere but at the end shows (doc/formats.md).
 *
 * One thread appends: it takes all that is queued, writes it at once, makes it durable with one sync, and the loop then
 * calls done. A file that cannot be written refuses nobody the daemon: the log is unhealthy then, the callers refuse
 * writes (audit_is_healthy) and ask for another try with each (audit_recover); what could not be written is kept and
 * comes first when it can.
 *
 * What a crash leaves: a record whose done was called is there. For a request that was being worked on, the notes of
 * pending.c are there after kill -9 (not after a power cut), and audit_settle makes its one record from them.
 * All functions belong to the loop thread unless they say otherwise. */
#ifndef HOLM_AUDIT_AUDIT_H
#define HOLM_AUDIT_AUDIT_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"
#include "state/state.h"

#define AUDIT_SEGMENT_BYTES (16u * 1024u * 1024u)
#define AUDIT_SEGMENTS_KEPT 16u
#define AUDIT_BODY_MAX      (12u * 1024u) /* of one record, without number and hashes */
#define AUDIT_PENDING_MAX   1919u         /* of the notes of a request under way */
#define AUDIT_HASH_HEX      65u
#define AUDIT_SOURCE_MAX    159u

struct event_base;
struct audit;

struct audit_options {
    const char *dir; /* made if it is missing */
    size_t segment_bytes;
    unsigned segments_kept;
};

/* Opens the newest file and looks at its end: a torn last line is cut off with a note, a wrong hash is logged, noted
 * and left behind in its file. Only lack of memory is an error. */
MUST_CHECK int audit_open(struct event_base *base, const struct audit_options *o, struct audit **ret, struct err *e);
/* Writes what is queued, logs the last hash, ends the thread. */
void audit_close(struct audit *a);
/* Waits for what is queued and makes the done calls; true if there were any. For shutting down. */
bool audit_drain(struct audit *a);
/* One line to the system's log with number and hash of the last record: what is cut off later shows against it. */
void audit_log_head(struct audit *a);

/* 0, or why the log cannot be written: -EIO "audit.failed", "cannot write the audit log: …". */
MUST_CHECK int audit_is_healthy(struct audit *a, struct err *e);

/* A record for the JSON object `body`; done (may be NULL) is called on the loop with 0 or "audit.failed", and never
 * before returning, unless there is no memory at all. slot: what audit_begin gave for it, or -1. */
typedef void (*audit_done_fn)(void *arg, int r, const struct err *e);
void audit_submit(struct audit *a, const char *body, int slot, audit_done_fn done, void *arg);
/* Tries to write what is late, with a note that it could not be written for a while. */
void audit_recover(struct audit *a, audit_done_fn done, void *arg);

/* A request is about to take effect: what its record says so far (a JSON object of at most AUDIT_PENDING_MAX bytes with
 * the member "id"). Returns a slot for audit_submit, or -1 when there is none left. object says what it changes, for
 * audit_settle. */
uint64_t audit_next_id(struct audit *a);
int audit_begin(struct audit *a, uint64_t id, const char *object, const char *body);
/* The request had no effect and gets no record of its own. */
void audit_cancel(struct audit *a, int slot);
/* Once at start: requests that were under way when the daemon was killed get their records. describe adds members to
 * the record (the object's digest now). */
void audit_settle(struct audit *a, void (*describe)(void *arg, const char *object, json_t *record), void *arg);

/* Refusals of people who proved nothing are counted per address beyond a rate: true = write no record. The count
 * becomes a record of its own later. */
bool audit_is_flood(struct audit *a, const char *address);
/* The same for users; source: user and route, AUDIT_SOURCE_MAX bytes of it count. */
bool audit_is_user_flood(struct audit *a, const char *source);

/* SHA-256 in hex of the values of stored objects: users, groups …, storages, settings, networks; fed by watches. */
struct audit_digests;
MUST_CHECK int audit_digests_new(struct state *s, struct audit_digests **ret, struct err *e);
void audit_digests_free(struct audit_digests *d);
/* key names one object, or, ending with a blank, all whose keys begin with it. False if there is none. */
bool audit_digest(const struct audit_digests *d, const char *key, char hex[AUDIT_HASH_HEX]);

/* True for parameters whose values never belong into a record. */
bool audit_is_secret(const char *name);

/* ---- reading: any thread, also without a daemon; blocking ---- */

/* How far the files are known to be complete; NULL where no daemon writes. */
struct audit_bound {
    unsigned file;
    uint64_t bytes;
};
void audit_get_bound(struct audit *a, struct audit_bound *ret);
/* The folder, for the functions below; -EBADF if it could not be opened. */
int audit_dirfd(struct audit *a);

struct audit_report {
    uint64_t records, first_seq, last_seq, torn_bytes;
    unsigned files;
    char head[AUDIT_HASH_HEX];
    bool is_broken; /* the first one that is: */
    unsigned broken_file;
    uint64_t broken_line, broken_seq;
    char why[160];
};
/* Walks the whole chain. Negative only when it cannot be read. */
MUST_CHECK int audit_verify(int dirfd, const struct audit_bound *bound, struct audit_report *ret, struct err *e);

/* The same as a JSON object, for people; NULL when out of memory. */
json_t *audit_report_json(const struct audit_report *r);

struct audit_filter {
    int64_t since_ms, until_ms; /* 0 = no bound */
    const char *user;           /* records of this user and its tokens; NULL = all */
    bool has_claimed;           /* and those of people who only said that they were this user */
    uint64_t start, limit;      /* of the records that match, newest first */
    uint64_t scan_max;          /* look at no more records than this; 0 = all */
};
MUST_CHECK int audit_list(int dirfd, const struct audit_bound *bound, const struct audit_filter *f,
                          void (*fn)(void *arg, json_t *record), void *arg, struct err *e);

#endif
