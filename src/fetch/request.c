/* What is asked, parsed from a WORK frame. Pure. The sender is holmd; each field is bounded all the same. */
#include "fetch/fetch.h"

#include <strings.h>

static int bad(struct err *e, const char *what)
{
    return err_set(e, -EPROTO, "work.request", "bad work request: %s", what);
}

int fetch_url_check(const char *url, struct err *e)
{
    size_t n = strlen(url);
    const char *rest = strncasecmp(url, "http://", 7) == 0    ? url + 7
                       : strncasecmp(url, "https://", 8) == 0 ? url + 8
                                                              : NULL;

    if (!rest)
        return err_set(e, -EINVAL, "download.url", "only http and https addresses are fetched");
    if (n > FETCH_URL_MAX)
        return err_set(e, -EINVAL, "download.url", "the address is longer than %u characters", FETCH_URL_MAX);
    for (const char *p = url; *p; p++)
        if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f || *p == '\\')
            return err_set(e, -EINVAL, "download.url", "the address holds a character that must be percent-encoded");
    if (memchr(rest, '@', strcspn(rest, "/?#")))
        return err_set(e, -EINVAL, "download.url", "an address with a user name or password is not fetched");
    /* Also the zone of an IPv6 address, an interface of this host: asking for its number is a call that is forbidden.
     */
    if (memchr(rest, '%', strcspn(rest, "/?#")))
        return err_set(e, -EINVAL, "download.url", "the host in the address is percent-encoded or has a zone");
    return strcspn(rest, "/?#:") ? 0 : err_set(e, -EINVAL, "download.url", "the address names no host");
}

static int take_packing(const char *name, struct fetch_request *q, struct err *e)
{
    if (!*name)
        q->packing = FETCH_PLAIN;
    else if (streq(name, "gz"))
        q->packing = FETCH_GZ;
    else if (streq(name, "zst"))
        q->packing = FETCH_ZST;
    else
        return err_set(e, -EINVAL, "download.compression", "compression '%.16s' is not supported: gz or zst", name);
    return 0;
}

/* In this order: URL, checksum, packing, flags. */
static int take_arg(const struct field *f, unsigned index, struct fetch_request *q, struct err *e)
{
    char text[64];

    switch (index) {
    case 0:
        return field_get_str(f, q->url, sizeof(q->url)) < 0 ? bad(e, "url") : fetch_url_check(q->url, e);
    case 1:
        return field_get_str(f, q->checksum, sizeof(q->checksum)) < 0 ? bad(e, "checksum") : 0;
    case 2:
        return field_get_str(f, text, sizeof(text)) < 0 ? bad(e, "compression") : take_packing(text, q, e);
    case 3:
        if (field_get_str(f, text, sizeof(text)) < 0)
            return bad(e, "flags");
        q->is_local_allowed = strstr(text, "local") != NULL;
        q->is_insecure = strstr(text, "insecure") != NULL;
        return 0;
    default:
        return bad(e, "too many arguments");
    }
}

static int take_verb(const struct field *f, struct fetch_request *q, struct err *e)
{
    char verb[16];

    if (field_get_str(f, verb, sizeof(verb)) < 0)
        return bad(e, "verb");
    q->is_head = streq(verb, "head");
    return q->is_head || streq(verb, "get") ? 0 : err_set(e, -ENOSYS, "work.verb", "no work is called '%s'", verb);
}

int fetch_request_parse(const void *payload, size_t n, const int *fds, size_t n_fds, struct fetch_request *ret,
                        struct err *e)
{
    struct fetch_request q = {.ca_fd = -EBADF, .out_fd = -EBADF};
    struct field_reader reader;
    struct field f;
    unsigned n_args = 0, n_verbs = 0;
    int r = 0, more = 0;

    field_reader_init(&reader, payload, n);
    while (r == 0 && (more = field_next(&reader, &f)) > 0) {
        if (f.tag == FIELD_VERB && n_verbs++ == 0)
            r = take_verb(&f, &q, e);
        else if (f.tag == FIELD_ARG)
            r = take_arg(&f, n_args++, &q, e);
        else if (f.tag == FIELD_TOTAL_BYTES && (field_get_u64(&f, &q.limit_bytes) < 0 || q.limit_bytes > INT64_MAX))
            r = bad(e, "limit");
    }
    if (r == 0 && (more < 0 || n_verbs != 1 || n_args != 4))
        r = bad(e, "fields");
    if (r == 0 && (n_fds != (q.is_head ? 1u : 2u) || (!q.is_head && !q.limit_bytes)))
        r = bad(e, "descriptors or limit");
    if (r < 0)
        return r;
    q.ca_fd = fds[0];
    if (!q.is_head)
        q.out_fd = fds[1];
    *ret = q;
    return 0;
}
