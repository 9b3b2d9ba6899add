/* Files of the host that a node's routes show and change: /etc/resolv.conf (dns), /etc/timezone and /etc/localtime
 * (time), /etc/hosts. PVE: pve-manager, API2/Nodes.pm. The handlers run on the loop, the files are read and replaced
 * whole in pool threads. A name of a file that is a link into another program's folder is that program's: refused. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <sys/stat.h>
#include <time.h>

#include "api/common.h"
#include "base/clock.h"
#include "base/fs.h"

#define ETC_BYTES_MAX (256u * 1024u)
#define ZONES         "/usr/share/zoneinfo"
#define SERVERS_MAX   3u

struct host_file {
    const char *data, *digest; /* hosts: new content, expected digest */
    const char *search, *zone; /* dns, time: what is asked for */
    const char *servers[SERVERS_MAX];
    int64_t offset_s;
    char text[128];
    char hex[2 * crypto_hash_sha256_BYTES + 1];
    struct buf content;
};

static int open_etc(struct err *e)
{
    int fd = open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? err_errno(e, errno, "open /etc") : fd;
}

/* A file that is not there is empty. */
static int read_etc(struct host_file *h, const char *name, struct err *e)
{
    autoclose int etc = open_etc(e);

    buf_init(&h->content, ETC_BYTES_MAX);
    if (etc < 0)
        return etc;
    int r = fs_read_file(etc, name, &h->content, e);
    return r == -ENOENT ? 0 : r;
}

static int replace_etc(const char *name, const char *data, size_t n, struct err *e)
{
    autoclose int etc = open_etc(e);
    struct stat st;

    if (etc < 0)
        return etc;
    if (fstatat(etc, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
        return err_set(e, -ELOOP, "host.managed", "/etc/%s is a link: another program manages it", name);
    return fs_replace_durable(etc, name, data, n, 0644, e);
}

static struct host_file *host_file_new(struct api_call *c, const char *node, int *ret, struct err *e)
{
    struct host_file *h = NULL;

    *ret = api_check_node(c, node, e);
    if (*ret == 0 && !(h = arena_alloc(&c->arena, sizeof(*h))))
        *ret = err_set(e, -ENOMEM, NULL, "out of memory");
    if (h)
        memset(h, 0, sizeof(*h));
    return h;
}

/* One change at a time: each looks at what is there first. */
static int in_turn(int (*change)(struct host_file *h, struct err *e), void *ctx, struct err *e)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

    pthread_mutex_lock(&lock);
    int r = change(ctx, e);
    pthread_mutex_unlock(&lock);
    return r;
}

static int finish_change(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct host_file *h = ctx;

    buf_done(&h->content);
    return r;
}

/* ---- dns ---- */

/* The rest of a line that begins with this word, without blanks at both ends; NULL if it does not. */
static const char *after_word(const char *line, size_t n, const char *word, size_t *ret_n)
{
    size_t w = strlen(word);

    if (n <= w || strncmp(line, word, w) != 0 || (line[w] != ' ' && line[w] != '\t'))
        return NULL;
    line += w, n -= w;
    while (n && (*line == ' ' || *line == '\t'))
        line++, n--;
    while (n && (line[n - 1] == ' ' || line[n - 1] == '\t' || line[n - 1] == '\r'))
        n--;
    *ret_n = n;
    return line;
}

static int read_resolv(void *ctx, struct err *e)
{
    return read_etc(ctx, "resolv.conf", e);
}

static void write_resolv(struct jw *w, const char *text)
{
    unsigned n_servers = 0;
    bool has_search = false;
    char key[8];

    for (const char *line = text; *line;) {
        size_t n = strcspn(line, "\n"), value_n;
        const char *value = after_word(line, n, "nameserver", &value_n);
        if (value && n_servers < SERVERS_MAX) {
            snprintf(key, sizeof(key), "dns%u", ++n_servers);
            jw_key(w, key);
            jw_strn(w, value, value_n);
        }
        value = after_word(line, n, "search", &value_n);
        if (!value)
            value = after_word(line, n, "domain", &value_n);
        if (value && !has_search) {
            has_search = true;
            jw_key(w, "search");
            jw_strn(w, value, value_n);
        }
        line += n + (line[n] != 0);
    }
}

static int finish_dns(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct host_file *h = ctx;

    if (r == 0) {
        jw_object(&c->out);
        write_resolv(&c->out, buf_str(&h->content));
        jw_object_end(&c->out);
    }
    buf_done(&h->content);
    return r;
}

int api_node_dns_get(struct api_call *c, const struct api_node_dns_get_args *a, struct err *e)
{
    int r;
    struct host_file *h = host_file_new(c, a->node, &r, e);

    return h ? api_offload(c, read_resolv, finish_dns, h) : r;
}

/* What was asked for, then the old lines that are about something else. */
static int change_resolv(struct host_file *h, struct err *e)
{
    struct buf b;
    size_t ignored;
    int r = read_etc(h, "resolv.conf", e);

    if (r < 0)
        return r;
    buf_init(&b, ETC_BYTES_MAX);
    buf_printf(&b, "search %s\n", h->search);
    for (unsigned i = 0; i < SERVERS_MAX; i++)
        if (h->servers[i])
            buf_printf(&b, "nameserver %s\n", h->servers[i]);
    for (const char *line = buf_str(&h->content); *line;) {
        size_t n = strcspn(line, "\n");
        if (!after_word(line, n, "nameserver", &ignored) && !after_word(line, n, "search", &ignored) &&
            !after_word(line, n, "domain", &ignored))
            buf_printf(&b, "%.*s\n", (int)n, line);
        line += n + (line[n] != 0);
    }
    r = b.is_failed ? err_set(e, -EFBIG, NULL, "/etc/resolv.conf would be too large")
                    : replace_etc("resolv.conf", buf_str(&b), b.len, e);
    buf_done(&b);
    return r;
}

static int put_resolv(void *ctx, struct err *e)
{
    return in_turn(change_resolv, ctx, e);
}

/* A domain: labels of letters, digits and inner dashes, with one dot between them (RFC 1123, 2.1). */
static bool is_domain(const char *s, size_t n)
{
    bool was_alnum = false;

    for (size_t i = 0; i < n; i++) {
        bool is_alnum = (s[i] >= '0' && s[i] <= '9') || ((s[i] | 0x20) >= 'a' && (s[i] | 0x20) <= 'z');
        bool is_inner = s[i] == '-' || (s[i] == '.' && was_alnum);

        /* After a dot only a letter or digit may follow, before one nothing else. */
        if (!is_alnum && (!is_inner || i == 0 || s[i - 1] == '.'))
            return false;
        was_alnum = is_alnum;
    }
    return was_alnum && n <= 253;
}

/* Domains, one blank between them. */
static bool is_search(const char *s)
{
    size_t n = strlen(s);

    if (n == 0 || n > 256)
        return false;
    for (;;) {
        size_t word = strcspn(s, " ");

        if (!is_domain(s, word))
            return false;
        if (!s[word])
            return true;
        s += word + 1;
    }
}

int api_node_dns_set(struct api_call *c, const struct api_node_dns_set_args *a, struct err *e)
{
    int r;
    struct host_file *h = host_file_new(c, a->node, &r, e);

    if (!h)
        return r;
    if (!is_search(a->search))
        return api_param_error(c, e, "search", "value does not look like a list of domains");
    h->search = a->search;
    h->servers[0] = a->dns1;
    h->servers[1] = a->dns2;
    h->servers[2] = a->dns3;
    return api_offload(c, put_resolv, finish_change, h);
}

/* ---- time ---- */

/* The zone is the one that /etc/localtime names; /etc/timezone says the same for people, and instead when that is a
 * copy. */
static int read_zone(void *ctx, struct err *e)
{
    struct host_file *h = ctx;
    char target[256];
    ssize_t n = readlink("/etc/localtime", target, sizeof(target) - 1);
    const char *zone = NULL;
    time_t now = (time_t)clock_wall_s();
    struct tm tm;

    target[n > 0 ? n : 0] = 0;
    if ((zone = strstr(target, "zoneinfo/")))
        zone += strlen("zoneinfo/");
    else if (read_etc(h, "timezone", e) == 0 && h->content.len)
        zone = buf_str(&h->content);
    snprintf(h->text, sizeof(h->text), "%.*s", zone ? (int)strcspn(zone, "\n") : 3, zone ? zone : "UTC");
    tzset(); /* looks whether /etc/localtime is another one now */
    h->offset_s = localtime_r(&now, &tm) ? tm.tm_gmtoff : 0;
    return 0;
}

static int finish_zone(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct host_file *h = ctx;
    int64_t now = clock_wall_s();

    buf_done(&h->content);
    if (r < 0)
        return r;
    jw_object(&c->out);
    jw_kv_str(&c->out, "timezone", h->text);
    jw_kv_int(&c->out, "time", now);
    jw_kv_int(&c->out, "localtime", now + h->offset_s);
    jw_object_end(&c->out);
    return 0;
}

int api_node_time_get(struct api_call *c, const struct api_node_time_get_args *a, struct err *e)
{
    int r;
    struct host_file *h = host_file_new(c, a->node, &r, e);

    return h ? api_offload(c, read_zone, finish_zone, h) : r;
}

/* A file of the database of zones: it begins with "TZif". Names in it may be links to others. */
static int check_zone(const char *zone, struct err *e)
{
    char path[200], magic[4];
    struct stat st;

    snprintf(path, sizeof(path), ZONES "/%s", zone);
    autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || read(fd, magic, 4) != 4 ||
        memcmp(magic, "TZif", 4) != 0)
        return err_set(e, -EINVAL, "param.invalid", "No such timezone: '%s'", zone);
    return 0;
}

static int change_zone(struct host_file *h, struct err *e)
{
    char target[200];
    int r = check_zone(h->zone, e);
    autoclose int etc = r < 0 ? -EBADF : open_etc(e);

    if (r < 0 || etc < 0)
        return r < 0 ? r : etc;
    snprintf(target, sizeof(target), ZONES "/%s", h->zone);
    snprintf(h->text, sizeof(h->text), "%s\n", h->zone);
    r = fs_replace_link_durable(etc, "localtime", target, e);
    return r < 0 ? r : replace_etc("timezone", h->text, strlen(h->text), e);
}

static int put_zone(void *ctx, struct err *e)
{
    return in_turn(change_zone, ctx, e);
}

/* Letters, digits and _+-, in parts joined by single slashes: nothing that leaves the folder. */
static bool is_zone_name(const char *s)
{
    size_t n = strlen(s);

    return n > 0 && n < 100 && s[0] != '/' && s[n - 1] != '/' && !strstr(s, "//") &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-/") == n;
}

int api_node_time_set(struct api_call *c, const struct api_node_time_set_args *a, struct err *e)
{
    int r;
    struct host_file *h = host_file_new(c, a->node, &r, e);

    if (!h)
        return r;
    if (!is_zone_name(a->timezone))
        return api_param_error(c, e, "timezone", "No such timezone");
    h->zone = a->timezone;
    return api_offload(c, put_zone, finish_change, h);
}

/* ---- hosts ---- */

static void hash_content(struct host_file *h)
{
    unsigned char hash[crypto_hash_sha256_BYTES];

    crypto_hash_sha256(hash, (const unsigned char *)buf_str(&h->content), h->content.len);
    sodium_bin2hex(h->hex, sizeof(h->hex), hash, sizeof(hash));
}

static int read_hosts(void *ctx, struct err *e)
{
    int r = read_etc(ctx, "hosts", e);

    if (r == 0)
        hash_content(ctx);
    return r;
}

static int finish_hosts(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct host_file *h = ctx;

    if (r == 0) {
        jw_object(&c->out);
        jw_kv_str(&c->out, "data", buf_str(&h->content));
        jw_kv_str(&c->out, "digest", h->hex);
        jw_object_end(&c->out);
    }
    buf_done(&h->content);
    return r;
}

int api_node_hosts_get(struct api_call *c, const struct api_node_hosts_get_args *a, struct err *e)
{
    int r;
    struct host_file *h = host_file_new(c, a->node, &r, e);

    return h ? api_offload(c, read_hosts, finish_hosts, h) : r;
}

static int change_hosts(struct host_file *h, struct err *e)
{
    int r = h->digest ? read_hosts(h, e) : 0;
    if (r == 0 && h->digest && !streq(h->digest, h->hex))
        r = err_set(e, -EAGAIN, "state.conflict",
                    "detected modified configuration - file changed by other user? Try again.");
    if (r == 0)
        r = replace_etc("hosts", h->data, strlen(h->data), e);
    return r;
}

static int put_hosts(void *ctx, struct err *e)
{
    return in_turn(change_hosts, ctx, e);
}

/* Each line is empty, a comment, or an address and names. */
static bool is_hosts_line(const char *line, size_t n)
{
    char address[64];
    unsigned char bytes[16];

    n = (size_t)(memchr(line, '#', n) ? (const char *)memchr(line, '#', n) - line : (ptrdiff_t)n);
    size_t blank = strspn(line, " \t\r");
    if (blank >= n)
        return true;
    size_t len = strcspn(line + blank, " \t\r\n#");
    if (blank + len >= n || len >= sizeof(address))
        return false;
    memcpy(address, line + blank, len);
    address[len] = 0;
    address[strcspn(address, "%")] = 0; /* fe80::1%lo */
    return inet_pton(AF_INET, address, bytes) == 1 || inet_pton(AF_INET6, address, bytes) == 1;
}

int api_node_hosts_set(struct api_call *c, const struct api_node_hosts_set_args *a, struct err *e)
{
    int r;
    struct host_file *h = host_file_new(c, a->node, &r, e);
    unsigned number = 1;

    if (!h)
        return r;
    if (strlen(a->data) > ETC_BYTES_MAX)
        return api_param_error(c, e, "data", "at most %u bytes", ETC_BYTES_MAX);
    for (const char *line = a->data; *line; number++) {
        size_t n = strcspn(line, "\n");
        if (!is_hosts_line(line, n))
            return api_param_error(c, e, "data", "line %u is not an address with names", number);
        line += n + (line[n] != 0);
    }
    h->data = a->data;
    h->digest = a->digest;
    return api_offload(c, put_hosts, finish_change, h);
}
