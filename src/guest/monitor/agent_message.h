/* What a guest's agent says: one line of JSON, by the guest, hence hostile. The line is bounded, its depth and
 * values are counted before a parser sees it, and what goes on to holmd is written anew from what was understood. Pure.
 */
#ifndef HOLM_GUEST_MONITOR_AGENT_MESSAGE_H
#define HOLM_GUEST_MONITOR_AGENT_MESSAGE_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"

#define AGENT_LINE_MAX   (1024u * 1024u)
#define AGENT_DEPTH_MAX  16u
#define AGENT_VALUES_MAX 32768u

/* What becomes of an answer. */
enum agent_mode {
    AGENT_JSON, /* as it is, but for booleans: 1 and 0 */
    AGENT_READ, /* guest-file-read: the bytes themselves */
    AGENT_EXEC, /* guest-exec-status: and output decoded (PVE: API2/Qemu/Agent.pm) */
    AGENT_NONE, /* the command has no answer when it succeeds */
};
/* "json", "read", "exec", "none"; -EINVAL for another. */
MUST_CHECK int agent_mode_parse(const char *name, enum agent_mode *ret);

enum agent_kind { AGENT_RETURN, AGENT_ERROR, AGENT_OTHER };

struct agent_message {
    enum agent_kind kind;
    char text[200];      /* AGENT_ERROR: for people, printable ASCII */
    json_t *root, *data; /* root is owned; data: what is returned */
};
MUST_CHECK int agent_message_parse(const char *line, size_t n, struct agent_message *ret, struct err *e);
void agent_message_done(struct agent_message *m);
/* It is the answer to guest-sync-delimited with this id. */
bool agent_message_is_sync(const struct agent_message *m, uint64_t id);
/* Appends what goes on to holmd; ret_is_eof is for AGENT_READ. */
MUST_CHECK int agent_message_body(const struct agent_message *m, enum agent_mode mode, struct buf *out,
                                  bool *ret_is_eof, struct err *e);

/* Cuts the stream into lines. 0xff begins anew (guest-sync-delimited); a line that is too long is given as NULL. */
struct agent_lines {
    struct buf line;
    bool is_too_long;
};
void agent_lines_init(struct agent_lines *l);
void agent_lines_done(struct agent_lines *l);
void agent_lines_reset(struct agent_lines *l);
/* Reads up to the end of one line; returns how many bytes it took. ret_line is set when a line is complete: it stays
 * valid until the next call, which begins a new one. */
size_t agent_lines_feed(struct agent_lines *l, const uint8_t *p, size_t n, bool *ret_is_complete);

#endif
