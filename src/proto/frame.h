/* Frames between Holm's own processes, and the fields inside them. Pure: bytes in, structs out, no I/O.
 *
 * A frame is a 16-byte little-endian header and a payload:
 *     u32 payload length, u8 version (FRAME_VERSION), u8 type, u8 fd count, u8 flags, u32 stream, u32 zero
 * A payload is a run of fields: u16 tag, u16 zero, u32 length, bytes (no padding). Strings have no NUL. Integers are
 * little-endian of 1, 2, 4 or 8 bytes.
 * The peer is hostile unless the caller knows better: each reader is total and bounded, and a bad frame ends the
 * connection. Descriptors travel by SCM_RIGHTS with the first byte of their frame (src/link does that).
 * Documented for people in doc/formats.md. */
#ifndef HOLM_PROTO_FRAME_H
#define HOLM_PROTO_FRAME_H

#include "base/buf.h"
#include "base/err.h"

#define FRAME_VERSION     1u
#define FRAME_HEADER_SIZE 16u
#define FRAME_PAYLOAD_MAX (1024u * 1024u)
#define FRAME_FDS_MAX     64u

enum frame_flag {
    FRAME_LAST = 1, /* REPLY, REPLY_BODY: nothing follows on this stream */
};

/* name, number, who sends it */
#define FRAME_TYPES(X)                                                                                                 \
    /* holm-front and the command line to holmd */                                                                     \
    X(HELLO, 1)       /* both ways, first: VERSION, ROLE, NAME */                                                      \
    X(REQUEST, 2)     /* opens a stream: see REQUEST fields */                                                         \
    X(CANCEL, 3)      /* the client of this stream went away */                                                        \
    X(UPLOAD_DONE, 4) /* RESULT 0: every byte was written to the upload fd; negative: aborted */                       \
    /* holmd to holm-front and the command line */                                                                     \
    X(REPLY, 16)      /* STATUS, REASON, CONTENT_TYPE, HEADER*, DELAY_MS?, BODY; more in REPLY_BODY unless LAST */     \
    X(REPLY_BODY, 17) /* BODY; FRAME_LAST ends the reply */                                                            \
    X(UPGRADE, 18)    /* one fd: a byte stream to couple with the WebSocket (or the terminal); MODE */                 \
    X(UPLOAD_GO, 19)  /* one fd: write the file part here, then send UPLOAD_DONE */                                    \
    X(REVOKE, 20)     /* this stream's client lost the right to it: end it (WebSocket code 1008, upload 403) */        \
    /* holmd to holm-guest */                                                                                          \
    X(GUEST_HELLO, 32)    /* VERSION, COOKIE: take over or check control */                                            \
    X(GUEST_COMMAND, 33)  /* VERB, arguments by verb; answered by GUEST_RESULT on the stream */                        \
    X(CONSOLE_ATTACH, 34) /* one fd; CHANNEL, MODE, HELLO_TEXT, HISTORY; answered by GUEST_RESULT */                   \
    /* holm-guest to holmd */                                                                                          \
    X(GUEST_STATUS, 48) /* answer to GUEST_HELLO: STATE, PID, START_TIME, … */                                       \
    X(GUEST_RESULT, 49) /* RESULT, CODE, TEXT, verb's answers */                                                       \
    X(GUEST_EVENT, 50)  /* EVENT, STATE, … */                                                                        \
    /* holmd to holm-worker and back (one request a process) */                                                        \
    X(WORK, 64)          /* VERB, arguments, fds */                                                                    \
    X(WORK_RESULT, 65)   /* RESULT, CODE, TEXT, answers */                                                             \
    X(WORK_PROGRESS, 66) /* DONE_BYTES, TOTAL_BYTES */                                                                 \
    X(WORK_FDS, 67)      /* more descriptors, for the WORK that follows; nothing else */

enum frame_type {
#define FRAME_ENUM(name, number) FRAME_##name = number,
    FRAME_TYPES(FRAME_ENUM)
#undef FRAME_ENUM
};

/* Fields. One number space for all frames. */
#define FIELD_TAGS(X)                                                                                                  \
    X(VERSION, 1)     /* u32 */                                                                                        \
    X(ROLE, 2)        /* string: "front", "cli" */                                                                     \
    X(NAME, 3)        /* string: node name */                                                                          \
    X(METHOD, 10)     /* string: GET POST PUT DELETE */                                                                \
    X(PATH, 11)       /* string: after /api2/FORMAT, percent-decoded once, valid UTF-8, no NUL, begins with '/' */     \
    X(FORMAT, 12)     /* string: json extjs */                                                                         \
    X(TICKET, 13)     /* string: login ticket from cookie or Authorization */                                          \
    X(TOKEN, 14)      /* string: user@realm!id=secret */                                                               \
    X(CSRF, 15)       /* string */                                                                                     \
    X(PEER, 16)       /* string: address of the client */                                                              \
    X(PARAM, 17)      /* u8 kind, u16 key length, key, value; see enum param_kind */                                   \
    X(KIND, 18)       /* string: "plain", "websocket", "upload" */                                                     \
    X(ORIGIN, 19)     /* string */                                                                                     \
    X(HOST, 20)       /* string */                                                                                     \
    X(USER_AGENT, 21) /* string, at most 256 bytes */                                                                  \
    X(IDEMPOTENCY_KEY, 22) /* string, at most 64 bytes */                                                              \
    X(FILE_NAME, 23)       /* string: file name of the upload part, unchecked */                                       \
    X(TICKET_COOKIE, 24)   /* u8: 1 = TICKET came in a cookie, which browsers send unasked */                          \
    X(STATUS, 30)          /* u16: HTTP status */                                                                      \
    X(REASON, 31)          /* string: one line */                                                                      \
    X(CONTENT_TYPE, 32)    /* string */                                                                                \
    X(HEADER, 33)          /* string "Name: value" */                                                                  \
    X(DELAY_MS, 34)        /* u32: hold the reply back so long */                                                      \
    X(BODY, 35)            /* bytes */                                                                                 \
    X(MODE, 36)            /* string: "binary"; console: "termproxy", "raw" */                                         \
    X(COOKIE, 50)          /* 32 bytes */                                                                              \
    X(VERB, 51)            /* string */                                                                                \
    X(CHANNEL, 52)         /* string: "serial0" */                                                                     \
    X(HELLO_TEXT, 53)      /* string: the line a console client must send first */                                     \
    X(HISTORY, 54)         /* u8: 1 = replay the ring first */                                                         \
    X(STATE, 60)           /* string: see doc/formats.md */                                                            \
    X(PID, 61)             /* u32 */                                                                                   \
    X(START_TIME, 62)      /* u64: clock ticks since boot, /proc/PID/stat field 22 */                                  \
    X(RESULT, 63)          /* u32: 0 or a positive errno */                                                            \
    X(CODE, 64)            /* string: err.code */                                                                      \
    X(TEXT, 65)            /* string: err.text */                                                                      \
    X(HINT, 66)            /* string: err.hint */                                                                      \
    X(EVENT, 67)           /* string */                                                                                \
    X(EXIT_STATUS, 68)     /* u32: exit code, or 128 + signal */                                                       \
    X(ARG, 69)             /* string: one argument; repeated, in order */                                              \
    X(FD_TARGET, 70)       /* u32: descriptor number for the next fd of the frame; repeated, in order */               \
    X(STAT, 71)            /* string "name=number"; repeated */                                                        \
    X(DRIVER, 72)          /* string: which monitor driver runs the guest: "qmp" */                                    \
    X(VMID, 73)            /* u32 */                                                                                   \
    X(DONE_BYTES, 74)      /* u64 */                                                                                   \
    X(TOTAL_BYTES, 75)     /* u64 */                                                                                   \
    X(SECRET, 76)          /* bytes: never logged */                                                                   \
    X(BOOT_MS, 77)         /* u64: CLOCK_BOOTTIME in ms */                                                             \
    X(ENV, 78)             /* string "NAME=value"; repeated */                                                         \
    X(HELPER_ARG, 79)      /* string: one argument of the helper program; repeated, in order */                        \
    X(HELPER_FD, 80)       /* u32: like FD_TARGET, for the helper */                                                   \
    X(HELPER_PEER, 81)     /* u32: the hypervisor's descriptor of the pair with the helper */                          \
    X(FULL_DISK, 82)       /* string: the drive whose storage was full when the guest stopped with "io-error" */

enum field_tag {
#define FIELD_ENUM(name, number) FIELD_##name = number,
    FIELD_TAGS(FIELD_ENUM)
#undef FIELD_ENUM
};

/* How a parameter was written by the client. */
enum param_kind {
    PARAM_STRING = 's', /* form, query, or a JSON string */
    PARAM_NUMBER = 'n', /* a JSON number, its text */
    PARAM_BOOL = 'b',   /* a JSON boolean: "1" or "0" */
};

const char *frame_type_name(uint8_t type); /* NULL if unknown */

struct frame_header {
    uint32_t length;
    uint8_t type;
    uint8_t n_fds;
    uint8_t flags;
    uint32_t stream;
};

/* 0, or -EPROTO for a wrong version, an unknown type, too many fds, a payload beyond FRAME_PAYLOAD_MAX or non-zero
 * padding. p has FRAME_HEADER_SIZE bytes. */
MUST_CHECK int frame_header_parse(const uint8_t *p, struct frame_header *ret, struct err *e);
void frame_header_write(uint8_t *p, const struct frame_header *h);

/* Appends a frame: begin, fields, end. begin returns the offset to hand to end. A buf that overflowed is caught by
 * buf.is_failed. */
size_t frame_begin(struct buf *b, enum frame_type type, uint32_t stream, uint8_t flags, uint8_t n_fds);
void frame_end(struct buf *b, size_t begin);
void field_bytes(struct buf *b, enum field_tag tag, const void *p, size_t n);
void field_str(struct buf *b, enum field_tag tag, const char *s);
void field_u8(struct buf *b, enum field_tag tag, uint8_t v);
void field_u16(struct buf *b, enum field_tag tag, uint16_t v);
void field_u32(struct buf *b, enum field_tag tag, uint32_t v);
void field_u64(struct buf *b, enum field_tag tag, uint64_t v);
void field_param(struct buf *b, enum param_kind kind, const char *key, const char *value, size_t value_len);
/* RESULT, CODE, TEXT, HINT of an error, or RESULT 0 when r >= 0. */
void field_err(struct buf *b, int r, const struct err *e);

/* Walks a payload. */
struct field {
    uint16_t tag;
    const uint8_t *data;
    size_t len;
};
struct field_reader {
    const uint8_t *p, *end;
};
void field_reader_init(struct field_reader *r, const void *payload, size_t n);
/* 1 = a field, 0 = end, -EPROTO = malformed. Unknown tags are returned too: skip them (a newer peer). */
MUST_CHECK int field_next(struct field_reader *r, struct field *ret);

/* Values of a field: -EPROTO for a wrong length; strings must hold no NUL. field_get_str copies and terminates. */
MUST_CHECK int field_get_u32(const struct field *f, uint32_t *ret); /* accepts 1, 2 and 4 bytes */
MUST_CHECK int field_get_u64(const struct field *f, uint64_t *ret); /* accepts 1, 2, 4 and 8 bytes */
MUST_CHECK int field_get_str(const struct field *f, char *dst, size_t cap);
MUST_CHECK int field_dup_str(const struct field *f, char **ret); /* malloc */

struct param_view {
    enum param_kind kind;
    const char *key, *value; /* not NUL-terminated */
    size_t key_len, value_len;
};
MUST_CHECK int field_get_param(const struct field *f, struct param_view *ret);

/* Finds the first field with this tag in a payload; false if absent or malformed. */
bool field_find(const void *payload, size_t n, enum field_tag tag, struct field *ret);
/* Fills e from RESULT/CODE/TEXT/HINT of a payload and returns -errno, or 0 when RESULT is 0. -EPROTO if absent. */
MUST_CHECK int field_get_err(const void *payload, size_t n, struct err *e);

#endif
