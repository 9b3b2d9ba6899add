/* One line of QEMU's control protocol (QMP) as a typed message. QEMU may be taken over by its guest: the line is
 * bounded, its depth counted before a parser sees it, and only values of the expected type are taken out. Pure. */
#ifndef HOLM_GUEST_MONITOR_QMP_MESSAGE_H
#define HOLM_GUEST_MONITOR_QMP_MESSAGE_H

#include <jansson.h>

#include "base/err.h"

#define QMP_LINE_MAX   (4u * 1024u * 1024u)
#define QMP_DEPTH_MAX  1200u /* what it tells of a disk has an object for each image below it */
#define QMP_VALUES_MAX 262144u

enum qmp_kind { QMP_GREETING, QMP_RETURN, QMP_ERROR, QMP_EVENT, QMP_OTHER };

struct qmp_message {
    enum qmp_kind kind;
    uint64_t id;         /* QMP_RETURN, QMP_ERROR; 0: none */
    char name[48];       /* QMP_EVENT: its name; QMP_ERROR: the class */
    char text[200];      /* QMP_ERROR: for people, printable */
    json_t *root, *data; /* root is owned; data: what is returned, or the event's data, or NULL */
};

MUST_CHECK int qmp_message_parse(const char *line, size_t n, struct qmp_message *ret, struct err *e);
void qmp_message_done(struct qmp_message *m);

/* Copies the string data.KEY, unprintable bytes as blanks, cut to fit; "" if it is absent or no string. */
void qmp_get_text(const json_t *data, const char *key, char *ret, size_t cap);
/* Sums over the devices of query-blockstats; wrong entries count nothing. */
void qmp_sum_blockstats(const json_t *data, uint64_t *ret_read_bytes, uint64_t *ret_write_bytes);
/* QEMU's version of the greeting: 7.2.22 is 7002022; 0 if it tells none. */
uint64_t qmp_greeting_version(const json_t *root);
/* A non-negative integer data.KEY. */
bool qmp_get_u64(const json_t *data, const char *key, uint64_t *ret);

#endif
