/* Inside the audit folder: lines, files, notes of requests under way, counted refusals. */
#ifndef HOLM_AUDIT_AUDIT_PRIV_H
#define HOLM_AUDIT_AUDIT_PRIV_H

#include "audit/audit.h"

#define AUDIT_LINE_MAX (16u * 1024u) /* with its line feed */
#define AUDIT_NAME_MAX 32u

/* ---- line.c ---- */

/* Where the chain stands. */
struct audit_chain {
    uint64_t seq;
    char hash[AUDIT_HASH_HEX];
};
extern const char audit_first_hash[AUDIT_HASH_HEX];

/* Appends the line of a record and moves the chain on. body is a JSON object. */
void audit_line_append(struct buf *out, const char *body, struct audit_chain *chain);
/* What a line (without its line feed) says about itself; strings are only compared, nothing is trusted. */
struct audit_line {
    uint64_t seq;
    char prev[AUDIT_HASH_HEX], hash[AUDIT_HASH_HEX];
    bool is_hash_right;
};
/* False if it does not have the form of a record at all. */
bool audit_line_read(const char *line, size_t n, struct audit_line *ret);
/* The decimal value of a top-level member written by us ("\"file\":"); false if absent. */
bool audit_line_number(const char *line, size_t n, const char *key, uint64_t *ret);

/* ---- files.c: names ---- */

struct audit_files {
    unsigned *numbers; /* ascending */
    size_t n;
};
MUST_CHECK int audit_files_read(int dirfd, struct audit_files *ret, struct err *e);
void audit_files_done(struct audit_files *f);
void audit_file_name(unsigned number, char dst[AUDIT_NAME_MAX]);

/* ---- segment.c: the file that is written; the appending thread, or the loop before it runs ---- */

struct audit_segment {
    int dirfd, fd;
    size_t max_bytes;
    unsigned kept;
    unsigned number; /* of fd, or of the last file there was */
    uint64_t bytes;  /* durable */
    uint64_t reserved;
    bool is_low; /* no room could be reserved for what is coming */
    struct audit_chain chain;
    const char *reason; /* for the next new file */
};
/* Finds where to go on. What was found wrong is told through note; an error only if the folder cannot be read. */
MUST_CHECK int audit_segment_open(struct audit_segment *s, void (*note)(void *arg, const char *text), void *arg,
                                  struct err *e);
void audit_segment_close(struct audit_segment *s);
/* Appends records, all or none, durably. bodies has n. */
MUST_CHECK int audit_segment_append(struct audit_segment *s, const char *const *bodies, size_t n, struct err *e);
/* Tries to have room for the next records. */
MUST_CHECK int audit_segment_reserve(struct audit_segment *s, struct err *e);

/* ---- pending.c ---- */

#define AUDIT_SLOTS      1024u
#define AUDIT_OBJECT_MAX 111u
struct audit_pending;
/* NULL if there is no room for it: requests go on without. */
struct audit_pending *audit_pending_open(int dirfd);
void audit_pending_close(struct audit_pending *p);
int audit_pending_put(struct audit_pending *p, uint64_t id, const char *object, const char *body);
void audit_pending_clear(struct audit_pending *p, int slot);
/* Slots that were in use when it was opened. */
void audit_pending_each_old(struct audit_pending *p,
                            void (*fn)(void *arg, int slot, uint64_t id, const char *object, const char *body),
                            void *arg);

/* ---- settle.c: audit_settle for the slots of p ---- */
void audit_settle_pending(struct audit *a, struct audit_pending *p,
                          void (*describe)(void *arg, const char *object, json_t *record), void *arg);

/* ---- flood.c ---- */

struct audit_flood;
struct audit_flood *audit_flood_new(void);
void audit_flood_free(struct audit_flood *f);
bool audit_flood_check(struct audit_flood *f, const char *address, uint64_t now_ms);
/* Counts whose window is over, or (is_end) all. True while some are left. */
bool audit_flood_flush(struct audit_flood *f, uint64_t now_ms, bool is_end,
                       void (*fn)(void *arg, const char *address, uint64_t count), void *arg);

/* ---- note.c: {"time":…,"event":EVENT,"text":…} ---- */

void audit_note_body(struct buf *out, const char *event, const char *text);

#endif
