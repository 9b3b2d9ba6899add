/* Request heads, urlencoded and JSON parameters. The first byte seeds how the input is split, so that the head parser
 * sees it in pieces; what follows the head is taken as a body in both forms. The split must not change the result. */
#include "proto/http1.h"
#include "proto/params.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int feed(struct http1_head *h, const char *p, size_t n, unsigned seed, size_t *ret_used)
{
    struct err e = ERR_INIT;
    size_t at = 0;
    int r = 0;

    http1_head_init(h);
    while (at < n && r == 0) {
        size_t used = 0, piece = seed ? 1 + seed % 13 : n;
        seed = seed * 1103515245u + 12345u;
        r = http1_head_feed(h, p + at, n - at < piece ? n - at : piece, &used, &e);
        at += used;
    }
    *ret_used = at;
    return r;
}

static void check_params(const char *p, size_t n, int (*parse)(struct params *, const char *, size_t, struct err *))
{
    autobuf struct buf out;
    struct params params;
    struct err e = ERR_INIT;
    struct field_reader r;
    struct field f;
    struct param_view v;
    unsigned count = 0;

    buf_init(&out, FRAME_PAYLOAD_MAX);
    params_init(&params, &out);
    int result = parse(&params, p, n, &e);
    if (result < 0 && !e.text[0])
        abort();
    field_reader_init(&r, buf_str(&out), out.len);
    while (field_next(&r, &f) == 1) {
        if (f.tag != FIELD_PARAM || field_get_param(&f, &v) < 0)
            abort();
        count++;
    }
    if (count != params.count || count > PARAMS_MAX || out.is_failed)
        abort();
}

static void check_head(const struct http1_head *h)
{
    if (h->path[0] != '/' || strstr(h->path, "//") || (h->path[1] && str_ends(h->path, "/")))
        abort();
    for (const char *p = h->path; *p; p++)
        if ((unsigned char)*p < 0x20)
            abort();
    (void)http1_head_accepts_gzip(h);
    (void)http1_head_has_token(h, "connection", "upgrade", NULL);
    check_params(h->query, strlen(h->query), params_add_urlencoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http1_head whole, split;
    size_t used, used_split;

    if (size < 1)
        return 0;
    const char *p = (const char *)data + 1;
    size_t n = size - 1;
    int r = feed(&whole, p, n, 0, &used);
    int r_split = feed(&split, p, n, data[0] + 1u, &used_split);
    if (r != r_split || whole.status != split.status ||
        (r == 1 && (used != used_split || strcmp(whole.path, split.path))))
        abort();
    if (r == 1) {
        check_head(&whole);
        check_params(p + used, n - used, params_add_urlencoded);
        check_params(p + used, n - used, params_add_json);
    } else {
        check_params(p, n, params_add_urlencoded);
        check_params(p, n, params_add_json);
    }
    http1_head_done(&whole);
    http1_head_done(&split);
    return 0;
}
