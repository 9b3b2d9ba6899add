/* holm-fetch: one request over the socket at descriptor 3, then the end. Started by holmd with the unprivileged uid.
 *
 * Order: libraries start while files can still be read, the resolver splits off, everything that can be given up is,
 * the request is read and parsed (pure, bounded), the seal, and only then the network. Exit status 0: answered. */
#include <curl/curl.h>
#include <openssl/crypto.h>
#include <time.h>

#include "fetch/fetch.h"
#include "link/link.h"

#define CONTROL_FD 3

static int send_answer(uint32_t stream, int r, const struct err *why, const struct buf *fields)
{
    autobuf struct buf frame;
    struct err e = ERR_INIT;
    int none = -1;

    buf_init(&frame, FRAME_PAYLOAD_MAX + FRAME_HEADER_SIZE);
    size_t at = frame_begin(&frame, FRAME_WORK_RESULT, stream, FRAME_LAST, 0);
    field_err(&frame, r, why);
    if (r == 0 && fields->len)
        buf_append(&frame, fields->data, fields->len);
    frame_end(&frame, at);
    return link_write_frame(CONTROL_FD, &frame, &none, 0, &e);
}

static int start_libraries(struct err *e)
{
    /* The C library looks for the time zone's file once, now; certificates are read in UTC anyway. */
    if (setenv("TZ", "UTC0", 1) < 0)
        return err_errno(e, errno, "setenv");
    tzset();
    if (!OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_ADD_ALL_DIGESTS, NULL) ||
        curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        return err_set(e, -EIO, "work.crypto", "the HTTP or crypto library does not start");
    return 0;
}

static int read_request(struct fetch_request *q, struct err *e)
{
    autobuf struct buf payload;
    struct frame_header h = {0};
    int fds[FETCH_FDS];
    size_t n_fds = 0;

    buf_init(&payload, FRAME_PAYLOAD_MAX);
    int r = link_read_frame(CONTROL_FD, &h, &payload, fds, FETCH_FDS, &n_fds, e);
    if (r == 0 && h.type != FRAME_WORK)
        r = err_set(e, -EPROTO, "work.request", "not a work frame");
    if (r == 0)
        r = fetch_request_parse(payload.data, payload.len, fds, n_fds, q, e);
    q->stream = h.stream;
    return r;
}

static int serve(struct err *e)
{
    struct fetch_request q = {0};
    struct resolver names = {.fd = -EBADF};
    autobuf struct buf fields;

    buf_init(&fields, 16384);
    int r = start_libraries(e);
    if (r == 0)
        r = resolver_start(&names, e);
    if (r == 0)
        r = fetch_sandbox_early(e);
    if (r == 0)
        r = read_request(&q, e);
    if (r == 0)
        r = fetch_sandbox_seal(&q, e);
    if (r == 0)
        r = fetch_transfer(&q, &names, &fields, e);
    if (names.fd >= 0)
        resolver_end(&names);
    return send_answer(q.stream, r, e, &fields);
}

int main(void)
{
    struct err e = ERR_INIT;

    /* Not exit(): what runs at exit may make calls that are forbidden by now. */
    _exit(serve(&e) < 0 ? 1 : 0);
}
