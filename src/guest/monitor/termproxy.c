/* Parser of the terminal protocol; see termproxy.h. Called by client.c with bytes of strangers. */
#include "guest/monitor/termproxy.h"

enum {
    AT_START,
    AT_DATA_COLON,   /* after '0' */
    AT_DATA_LENGTH,  /* digits, ':' */
    AT_DATA,         /* `left` bytes */
    AT_RESIZE_COLON, /* after '1' */
    AT_COLUMNS,
    AT_ROWS,
};

#define SIZE_MAX_CELLS 9999u

void termproxy_init(struct termproxy *t)
{
    *t = (struct termproxy){.state = AT_START};
}

static void begin_number(struct termproxy *t, unsigned state)
{
    t->state = state;
    t->number = 0;
    t->digits = 0;
}

/* 1 = the number ended with ':', 0 = goes on, -1 = not a number up to max. */
static int number_byte(struct termproxy *t, uint8_t c, uint32_t max)
{
    if (c == ':')
        return t->digits ? 1 : -1;
    if (c < '0' || c > '9' || t->digits == 6)
        return -1;
    t->digits++;
    t->number = t->number * 10 + (uint32_t)(c - '0');
    return t->number > max ? -1 : 0;
}

static void start_byte(struct termproxy *t, uint8_t c, struct termproxy_out *ret)
{
    t->state = AT_START;
    if (c == '0')
        t->state = AT_DATA_COLON;
    else if (c == '1')
        t->state = AT_RESIZE_COLON;
    else if (c == '2')
        ret->event = TERMPROXY_KEEP_ALIVE;
}

static void rows_done(struct termproxy *t, struct termproxy_out *ret)
{
    t->state = AT_START;
    if (t->first_number == 0 || t->number == 0)
        return;
    ret->event = TERMPROXY_RESIZE;
    ret->columns = t->first_number;
    ret->rows = t->number;
}

/* One byte outside of data. A byte that breaks a message may begin the next. */
static void header_byte(struct termproxy *t, uint8_t c, struct termproxy_out *ret)
{
    int r = 0;

    switch (t->state) {
    case AT_DATA_COLON:
    case AT_RESIZE_COLON:
        if (c == ':')
            begin_number(t, t->state == AT_DATA_COLON ? AT_DATA_LENGTH : AT_COLUMNS);
        else
            start_byte(t, c, ret);
        return;
    case AT_DATA_LENGTH:
        r = number_byte(t, c, TERMPROXY_DATA_MAX);
        if (r == 1) {
            t->left = t->number;
            t->state = t->left ? AT_DATA : AT_START;
        }
        break;
    case AT_COLUMNS:
        r = number_byte(t, c, SIZE_MAX_CELLS);
        if (r == 1) {
            t->first_number = t->number;
            begin_number(t, AT_ROWS);
        }
        break;
    case AT_ROWS:
        r = number_byte(t, c, SIZE_MAX_CELLS);
        if (r == 1)
            rows_done(t, ret);
        break;
    default:
        start_byte(t, c, ret);
        break;
    }
    if (r < 0)
        start_byte(t, c, ret);
}

size_t termproxy_feed(struct termproxy *t, const uint8_t *p, size_t n, struct termproxy_out *ret)
{
    *ret = (struct termproxy_out){.event = TERMPROXY_NONE};
    for (size_t i = 0; i < n; i++) {
        if (t->state == AT_DATA) {
            size_t len = n - i < t->left ? n - i : t->left;
            *ret = (struct termproxy_out){.event = TERMPROXY_DATA, .data = p + i, .len = len};
            t->left -= (uint32_t)len;
            if (t->left == 0)
                t->state = AT_START;
            return i + len;
        }
        header_byte(t, p[i], ret);
        if (ret->event != TERMPROXY_NONE)
            return i + 1;
    }
    return n;
}
