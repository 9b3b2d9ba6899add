/* What a terminal client sends after its greeting (PVE: pve-xtermjs, termproxy): "0:LENGTH:DATA" input,
 * "1:COLUMNS:ROWS:" size, "2" keep-alive, in any pieces. Pure: bytes in, events out. What fits none of these is skipped
 * a byte at a time, as PVE does. */
#ifndef HOLM_GUEST_MONITOR_TERMPROXY_H
#define HOLM_GUEST_MONITOR_TERMPROXY_H

#include "base/util.h"

#define TERMPROXY_DATA_MAX 65536u /* bytes of one message */

enum termproxy_event { TERMPROXY_NONE, TERMPROXY_DATA, TERMPROXY_RESIZE, TERMPROXY_KEEP_ALIVE };

struct termproxy {
    unsigned state;
    uint32_t number, first_number; /* being read */
    unsigned digits;
    uint32_t left; /* of the data */
};

struct termproxy_out {
    enum termproxy_event event;
    const uint8_t *data; /* TERMPROXY_DATA: into the input; a message may come in several */
    size_t len;
    uint32_t columns, rows; /* TERMPROXY_RESIZE: 1 to 9999 */
};

void termproxy_init(struct termproxy *t);
/* Reads up to the end of one event; returns how many bytes it took, all of them when there is no event in them. */
size_t termproxy_feed(struct termproxy *t, const uint8_t *p, size_t n, struct termproxy_out *ret);

#endif
