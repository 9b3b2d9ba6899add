/* One HTTP request to one server, by libcurl, which does here what it does best and nothing else: HTTP/1.1 and TLS.
 * Names are looked up before and pinned, redirects are reported and not followed, there is no proxy, no cookie, no
 * password, no other protocol, and each socket asks before it connects. */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <strings.h>

#include "base/clock.h"
#include "fetch/fetch.h"
#include "link/link.h"

#define CONTROL_FD 3

struct hop {
    const struct fetch_request *q;
    struct sink *sink;
    struct fetch_hop *ret;
    CURL *curl;
    struct err err; /* why a callback ended the transfer; num 0: none did */
    size_t headers; /* bytes seen */
    uint64_t told_ms;
    char detail[CURL_ERROR_SIZE];
};

/* ---- addresses ---- */

static int refused_address(struct err *e, const char *host)
{
    err_set(e, -EACCES, "download.address",
            "'%s' leads to an address of this host, of its link or of a metadata service, which is not fetched from",
            host);
    return err_hint(e, "this needs Sys.Modify on /");
}

/* Parts of a URL, as curl itself will read it. */
static int split(const char *url, char host[FETCH_HOST_MAX + 1], unsigned *ret_port, struct err *e)
{
    CURLU *u = curl_url();
    char *h = NULL, *port = NULL;
    int r = err_set(e, -EINVAL, "download.url", "the address cannot be understood");

    if (u && curl_url_set(u, CURLUPART_URL, url, CURLU_DISALLOW_USER) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &h, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
        str_copy(host, FETCH_HOST_MAX + 1, h) == 0) {
        *ret_port = (unsigned)strtoul(port, NULL, 10);
        r = 0;
    }
    curl_free(h);
    curl_free(port);
    curl_url_cleanup(u);
    if (r == 0)
        *e = (struct err)ERR_INIT;
    return r;
}

static void append_address(struct buf *b, const struct sockaddr_storage *a)
{
    char text[INET6_ADDRSTRLEN] = "";
    bool is_six = a->ss_family == AF_INET6;
    const void *raw = is_six ? (const void *)&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr
                             : (const void *)&((const struct sockaddr_in *)(const void *)a)->sin_addr;

    if (inet_ntop(a->ss_family, raw, text, sizeof(text)))
        buf_printf(b, is_six ? "%s[%s]" : "%s%s", b->data[b->len - 1] == ':' ? "" : ",", text);
}

/* "host:port:address,address" of what may be connected to; NULL in *ret for a literal address, which needs no look-up
 * and is asked about by its socket. */
static int pin(const struct hop *h, const struct resolver *names, const char *url, struct curl_slist **ret,
               struct err *e)
{
    struct sockaddr_storage addrs[FETCH_ADDRESSES_MAX];
    char host[FETCH_HOST_MAX + 1];
    autobuf struct buf b;
    unsigned port = 0;
    size_t n = 0, n_allowed = 0;
    int r = split(url, host, &port, e);

    buf_init(&b, 4096);
    if (r < 0 || host[0] == '[' || inet_pton(AF_INET, host, addrs) == 1)
        return r;
    r = resolver_ask(names, host, addrs, &n, e);
    if (r < 0)
        return r;
    buf_printf(&b, "%s:%u:", host, port);
    for (size_t i = 0; i < n; i++)
        if (fetch_address_is_allowed((struct sockaddr *)&addrs[i], h->q->is_local_allowed)) {
            append_address(&b, &addrs[i]);
            n_allowed++;
        }
    if (!n_allowed)
        return refused_address(e, host);
    *ret = b.is_failed ? NULL : curl_slist_append(NULL, buf_str(&b));
    return *ret ? 0 : err_set(e, -ENOMEM, NULL, "out of memory");
}

/* The last word: what is connected to is what was asked about. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct hop *h = arg;

    if (purpose != CURLSOCKTYPE_IPCXN || !fetch_address_is_allowed(&a->addr, h->q->is_local_allowed)) {
        char text[INET6_ADDRSTRLEN] = "?";
        const struct sockaddr *s = &a->addr;
        if (s->sa_family == AF_INET)
            inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)s)->sin_addr, text, sizeof(text));
        else if (s->sa_family == AF_INET6)
            inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)s)->sin6_addr, text, sizeof(text));
        refused_address(&h->err, text);
        return CURL_SOCKET_BAD;
    }
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* ---- what comes back ---- */

void fetch_disposition_name(const char *value, size_t n, char *dst, size_t cap)
{
    static const char key[] = "filename=";
    size_t at = 0, len = 0;

    dst[0] = 0;
    while (at + sizeof(key) - 1 <= n && strncasecmp(value + at, key, sizeof(key) - 1) != 0)
        at++;
    if (at + sizeof(key) - 1 > n)
        return;
    at += sizeof(key) - 1;
    bool is_quoted = at < n && value[at] == '"';
    for (at += is_quoted; at < n && len + 1 < cap; at++) {
        char c = value[at];
        if ((unsigned char)c < 0x20 || (is_quoted ? c == '"' : c == ';' || c == ' '))
            break;
        dst[len++] = c;
    }
    dst[len] = 0;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    static const char disposition[] = "content-disposition:";
    struct hop *h = arg;

    n *= size;
    h->headers += n;
    if (h->headers > FETCH_HEADERS_MAX) {
        err_set(&h->err, -EMSGSIZE, "download.reply", "the server's header is longer than %u bytes", FETCH_HEADERS_MAX);
        return 0;
    }
    if (n > sizeof(disposition) && strncasecmp(p, disposition, sizeof(disposition) - 1) == 0)
        fetch_disposition_name(p + sizeof(disposition) - 1, n - sizeof(disposition) + 1, h->ret->file_name,
                               sizeof(h->ret->file_name));
    return n;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct hop *h = arg;
    long status = 0;

    n *= size;
    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200 || !h->sink)
        return 0; /* an error's page is nobody's; the status says enough */
    return sink_take(h->sink, p, n, &h->err) < 0 ? 0 : n;
}

static int tell(uint64_t done, uint64_t total, uint32_t stream)
{
    autobuf struct buf frame;
    struct err e = ERR_INIT;
    int none = -1;

    buf_init(&frame, 256);
    size_t at = frame_begin(&frame, FRAME_WORK_PROGRESS, stream, 0, 0);
    field_u64(&frame, FIELD_DONE_BYTES, done);
    field_u64(&frame, FIELD_TOTAL_BYTES, total);
    frame_end(&frame, at);
    return link_write_frame(CONTROL_FD, &frame, &none, 0, &e);
}

static int on_progress(void *arg, curl_off_t total, curl_off_t done, curl_off_t up_total, curl_off_t up_done)
{
    struct hop *h = arg;
    uint64_t now = clock_boot_ms();

    if (!h->sink || now - h->told_ms < 500)
        return 0;
    h->told_ms = now;
    return tell((uint64_t)done, total > 0 ? (uint64_t)total : 0, h->q->stream) < 0;
}

/* ---- the request ---- */

static void set_options(struct hop *h, const char *url, const struct fetch_ca *ca, struct curl_slist *pinned)
{
    CURL *c = h->curl;
    struct curl_blob blob = {.data = ca->data, .len = ca->n, .flags = CURL_BLOB_NOCOPY};
    long is_verified = !h->q->is_insecure;

    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(c, CURLOPT_HTTP09_ALLOWED, 0L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "Holm/" HOLM_VERSION);
    curl_easy_setopt(c, CURLOPT_NOBODY, (long)(h->sink == NULL));
    curl_easy_setopt(c, CURLOPT_RESOLVE, pinned);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, h);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, h);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, h);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, h);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, FETCH_CONNECT_S);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, FETCH_SLOW);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, FETCH_STALL_S);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, is_verified);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, is_verified ? 2L : 0L);
    curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(c, CURLOPT_CAINFO, NULL);
    curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
    if (ca->n)
        curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &blob);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->detail);
}

static int explain(const struct hop *h, CURLcode code, struct err *e)
{
    const char *detail = h->detail[0] ? h->detail : curl_easy_strerror(code);

    if (h->err.num) {
        *e = h->err;
        return e->num;
    }
    switch ((int)code) {
    case CURLE_OPERATION_TIMEDOUT:
        return err_set(e, -ETIMEDOUT, "download.stalled", "the server does not answer or sends too slowly: %s", detail);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
        err_set(e, -EACCES, "download.tls", "the server's TLS or certificate is not acceptable: %s", detail);
        return err_hint(e, "verify-certificates=0 accepts any certificate");
    case CURLE_PARTIAL_FILE:
        return err_set(e, -EPIPE, "download.reply", "the server closed the connection too early: %s", detail);
    default:
        return err_set(e, -EIO, "download.network", "download failed: %s", detail);
    }
}

static int note_reply(struct hop *h, struct err *e)
{
    struct fetch_hop *ret = h->ret;
    const char *mime = NULL, *redirect = NULL;
    curl_off_t size = -1;

    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &ret->status);
    curl_easy_getinfo(h->curl, CURLINFO_CONTENT_TYPE, &mime);
    curl_easy_getinfo(h->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
    curl_easy_getinfo(h->curl, CURLINFO_REDIRECT_URL, &redirect);
    ret->size_bytes = size;
    snprintf(ret->mime, sizeof(ret->mime), "%.*s", mime ? (int)strcspn(mime, "; \t") : 0, mime ? mime : "");
    if (redirect && str_copy(ret->redirect, sizeof(ret->redirect), redirect) < 0)
        return err_set(e, -EINVAL, "download.redirect", "the server redirects to an address that is too long");
    return 0;
}

int fetch_hop(const struct fetch_request *q, const struct resolver *names, const struct fetch_ca *ca, const char *url,
              struct sink *sink, struct fetch_hop *ret, struct err *e)
{
    struct hop h = {.q = q, .sink = sink, .ret = ret, .curl = curl_easy_init()};
    struct curl_slist *pinned = NULL;

    *ret = (struct fetch_hop){.size_bytes = -1};
    if (!h.curl)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    int r = pin(&h, names, url, &pinned, e);
    if (r == 0) {
        set_options(&h, url, ca, pinned);
        CURLcode code = curl_easy_perform(h.curl);
        r = note_reply(&h, e);
        /* The body of a reply that is none of ours is cut off; its status is what counts. */
        if (r == 0 && code != CURLE_OK && !(code == CURLE_WRITE_ERROR && !h.err.num && ret->status != 200))
            r = explain(&h, code, e);
    }
    curl_easy_cleanup(h.curl);
    curl_slist_free_all(pinned);
    return r;
}
