/* A whole request: hop after hop, at most FETCH_REDIRECTS_MAX redirects, each checked like the first address, and none
 * from https to http. Then the answer: DONE_BYTES and, for "head", BODY three times: size, type, name. */
#include <inttypes.h>
#include <strings.h>

#include "base/fs.h"
#include "fetch/fetch.h"

static bool is_secure(const char *url)
{
    return strncasecmp(url, "https:", 6) == 0;
}

static int next_hop(const struct fetch_hop *hop, char *url, struct err *e)
{
    int r = fetch_url_check(hop->redirect, e);

    if (r < 0)
        return err_set(e, r, "download.redirect", "the server redirects to what is not fetched");
    if (is_secure(url) && !is_secure(hop->redirect))
        return err_set(e, -EACCES, "download.redirect", "the server redirects from https to http");
    return str_copy(url, FETCH_URL_MAX + 1, hop->redirect);
}

static int follow(const struct fetch_request *q, const struct resolver *names, const struct fetch_ca *ca, char *url,
                  struct sink *sink, struct fetch_hop *hop, struct err *e)
{
    for (unsigned n = 0; n <= FETCH_REDIRECTS_MAX; n++) {
        int r = fetch_hop(q, names, ca, url, sink, hop, e);
        if (r < 0)
            return r;
        if (hop->status == 200)
            return 0;
        if (hop->status < 300 || hop->status > 399 || !hop->redirect[0])
            return err_set(e, -EIO, "download.status", "the server answered with status %ld", hop->status);
        r = next_hop(hop, url, e);
        if (r < 0)
            return r;
    }
    return err_set(e, -ELOOP, "download.redirect", "more than %u redirects", FETCH_REDIRECTS_MAX);
}

/* The name in the address, for a server that proposes none. */
static void name_of(const char *url, char *dst, size_t cap)
{
    const char *path = strstr(url, "://") + 3;
    size_t n = strcspn(path, "?#"), begin = n;

    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    snprintf(dst, cap, "%.*s", begin > 0 ? (int)(n - begin) : 0, path + begin);
}

static void answer_head(const char *url, struct fetch_hop *hop, struct buf *answer)
{
    char size[24] = "";

    if (hop->size_bytes >= 0)
        snprintf(size, sizeof(size), "%" PRId64, hop->size_bytes);
    if (!hop->file_name[0])
        name_of(url, hop->file_name, sizeof(hop->file_name));
    field_str(answer, FIELD_BODY, size);
    field_str(answer, FIELD_BODY, hop->mime);
    field_str(answer, FIELD_BODY, hop->file_name);
}

static int get(const struct fetch_request *q, const struct resolver *names, const struct fetch_ca *ca, char *url,
               struct buf *answer, struct err *e)
{
    struct fetch_hop hop;
    struct sink *sink = NULL;
    uint64_t bytes = 0;
    int r = sink_new(q, &sink, e);

    if (r == 0)
        r = follow(q, names, ca, url, sink, &hop, e);
    if (r == 0)
        r = sink_finish(sink, &bytes, e);
    if (r == 0)
        field_u64(answer, FIELD_DONE_BYTES, bytes);
    sink_free(sink);
    return r;
}

static int head(const struct fetch_request *q, const struct resolver *names, const struct fetch_ca *ca, char *url,
                struct buf *answer, struct err *e)
{
    struct fetch_hop hop;
    int r = follow(q, names, ca, url, NULL, &hop, e);

    if (r == 0)
        answer_head(url, &hop, answer);
    return r;
}

int fetch_transfer(const struct fetch_request *q, const struct resolver *names, struct buf *answer, struct err *e)
{
    autobuf struct buf certificates;
    char url[FETCH_URL_MAX + 1];

    buf_init(&certificates, FETCH_CA_MAX);
    int r = fs_read_fd(q->ca_fd, &certificates, e);
    if (r < 0)
        return err_wrap(e, r, "certificates of authorities");
    struct fetch_ca ca = {.data = certificates.data, .n = certificates.len};
    memcpy(url, q->url, sizeof(url));
    return q->is_head ? head(q, names, &ca, url, answer, e) : get(q, names, &ca, url, answer, e);
}
