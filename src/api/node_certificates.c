/* GET /nodes/N/certificates/info, POST and DELETE certificates/custom: the certificates of the web server. PVE:
 * pve-manager, API2/Certificates.pm. A worker reads and judges them, for holmd has no TLS library; what is kept is what
 * the worker encoded. An uploaded pair is one file, replaced at once. Files and workers: pool threads. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

#include "api/certificates.h"
#include "api/common.h"
#include "base/fs.h"

/* What clients look for: PVE's names of the node's own certificate and of an uploaded one. */
#define SHOWN_OWN    "pve-ssl.pem"
#define SHOWN_CUSTOM "pveproxy-ssl.pem"
#define REPLY_BYTES  (1024u * 1024u)
#define PEM_BYTES    (160u * 1024u)

int certificate_read(const char *root_dir, struct buf *ret, struct err *e)
{
    char path[4200];

    snprintf(path, sizeof(path), "%s/%s/%s", root_dir, CERTIFICATE_FOLDER, CERTIFICATE_CUSTOM);
    bool is_custom = access(path, F_OK) == 0;
    if (!is_custom)
        snprintf(path, sizeof(path), "%s/%s/%s", root_dir, CERTIFICATE_FOLDER, CERTIFICATE_OWN);
    int r = fs_read_file(AT_FDCWD, path, ret, e);
    char *key = r == 0 && ret->data ? strstr(ret->data, "PRIVATE KEY") : NULL;
    if (key) { /* it comes last, as verb_cert_info.c writes it */
        while (key > ret->data && key[-1] != '\n')
            key--;
        mem_wipe(key, strlen(key));
        ret->len = (size_t)(key - ret->data);
    }
    return r;
}

struct certificate_call {
    struct workers *workers;
    const char *folder;
    const char *chain, *key; /* PEM; key may be NULL */
    bool is_forced, is_restart;
    struct buf json; /* of the reply */
    struct buf pem;  /* to be kept */
};

static int new_call(struct api_call *c, const char *node, struct certificate_call **ret, struct err *e)
{
    int r = api_check_node(c, node, e);
    struct certificate_call *k = r < 0 ? NULL : arena_alloc(&c->arena, sizeof(*k));

    if (r < 0)
        return r;
    if (!k)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *k = (struct certificate_call){.workers = c->api->workers,
                                   .folder = arena_printf(&c->arena, "%s/%s", c->api->root_dir, CERTIFICATE_FOLDER)};
    if (!k->folder)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    buf_init(&k->json, REPLY_BYTES);
    buf_init(&k->pem, PEM_BYTES);
    *ret = k;
    return 0;
}

static int open_folder(const struct certificate_call *k, int *ret, struct err *e)
{
    *ret = open(k->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret < 0 ? err_errno(e, errno, "open %s", k->folder) : 0;
}

struct answer {
    struct certificate_call *call;
    int r;
    struct err *e;
};

/* The first body is JSON, which goes on as it is if it is that; the second, if there is one, is to be kept. */
static void on_answer(void *arg, int r, const struct worker_reply *a, const struct err *e)
{
    struct answer *k = arg;

    k->r = r;
    if (r < 0) {
        *k->e = *e;
        return;
    }
    if (a->n_bodies < 1 || !json_is_value(a->bodies[0], a->body_len[0], 4)) {
        k->r = err_set(k->e, -EPROTO, NULL, "the worker's answer about a certificate is malformed");
        return;
    }
    if (k->call->json.len)
        buf_append_char(&k->call->json, ',');
    buf_append(&k->call->json, a->bodies[0], a->body_len[0]);
    if (a->n_bodies > 1)
        buf_append(&k->call->pem, a->bodies[1], a->body_len[1]);
}

static int ask(struct certificate_call *k, struct worker_request *q, struct err *e)
{
    struct answer answer = {.call = k, .r = -EIO, .e = e};
    int r = workers_call_blocking(k->workers, q, on_answer, &answer, e);

    return r < 0 ? r : answer.r;
}

static int finish(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct certificate_call *k = ctx;

    if (r == 0 && (k->json.is_failed || k->pem.is_failed))
        r = err_set(e, -EFBIG, "host.output", "too much in one certificate");
    if (r == 0 && k->json.len)
        jw_raw(&c->out, buf_str(&k->json), k->json.len);
    if (r == 0 && k->is_restart)
        r = c->api->renew_fronts(c->api->fronts, e);
    if (k->pem.data)
        mem_wipe(k->pem.data, k->pem.cap);
    buf_done(&k->pem);
    buf_done(&k->json);
    return r;
}

/* ---- info ---- */

/* What was found in a file, as long as it is that file: everybody who is logged in may ask, and a question is a
 * process. Used with the lock held, so that there is one such process at a time. */
struct known {
    const char *file, *shown;
    struct stat st;
    struct buf json;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct known known[] = {{.file = CERTIFICATE_OWN, .shown = SHOWN_OWN},
                               {.file = CERTIFICATE_CUSTOM, .shown = SHOWN_CUSTOM}};

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int look_at(struct certificate_call *k, struct known *n, int fd, struct err *e)
{
    struct worker_request q = {.verb = "cert-info", .args = {n->shown}, .n_args = 1, .fds = {fd}, .n_fds = 1};
    size_t before = k->json.len;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_errno(e, errno, "stat %s/%s", k->folder, n->file);
    if (n->json.len && is_same(&st, &n->st)) {
        buf_printf(&k->json, "%s%s", k->json.len ? "," : "", buf_str(&n->json));
        return 0;
    }
    int r = ask(k, &q, e);
    if (r < 0)
        return err_wrap(e, r, "certificate %s/%s", k->folder, n->file);
    buf_done(&n->json);
    buf_init(&n->json, REPLY_BYTES);
    before += before ? 1 : 0;
    buf_append(&n->json, buf_str(&k->json) + before, k->json.len - before);
    n->st = st;
    return 0;
}

static int look(struct certificate_call *k, int dir, struct known *n, struct err *e)
{
    autoclose int fd = openat(dir, n->file, O_RDONLY | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return err_errno(e, errno, "open %s/%s", k->folder, n->file);
    pthread_mutex_lock(&lock);
    int r = look_at(k, n, fd, e);
    pthread_mutex_unlock(&lock);
    return r;
}

static int work_info(void *ctx, struct err *e)
{
    struct certificate_call *k = ctx;
    int fd = -EBADF, r = open_folder(k, &fd, e);
    autoclose int dir = fd;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(known); i++)
        r = look(k, dir, &known[i], e);
    return r;
}

static int finish_info(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct certificate_call *k = ctx;
    struct buf list;

    if (r == 0) {
        buf_init(&list, REPLY_BYTES + 2);
        buf_printf(&list, "[%s]", buf_str(&k->json));
        jw_raw(&c->out, buf_str(&list), list.len);
        buf_done(&list);
        buf_reset(&k->json);
    }
    return finish(c, k, r, e);
}

int api_node_certificates_info(struct api_call *c, const struct api_node_certificates_info_args *a, struct err *e)
{
    struct certificate_call *k;
    int r = new_call(c, a->node, &k, e);

    return r < 0 ? r : api_offload(c, work_info, finish_info, k);
}

/* ---- custom ---- */

/* A file without a name that holds the text, at its beginning. */
static int text_fd(const char *text, int *ret, struct err *e)
{
    autoclose int fd = memfd_create("pem", MFD_CLOEXEC);

    if (fd < 0)
        return err_errno(e, errno, "memfd_create");
    int r = fs_write_all_at(fd, text, strlen(text), 0, e);
    if (r == 0)
        *ret = TAKE_FD(fd);
    return r;
}

static int open_key(const struct certificate_call *k, int dir, int *ret, struct err *e)
{
    if (k->key)
        return text_fd(k->key, ret, e);
    *ret = openat(dir, CERTIFICATE_CUSTOM, O_RDONLY | O_CLOEXEC);
    if (*ret < 0)
        return err_set(e, -EINVAL, "cert.key", "there is no key of an earlier certificate: it must be given");
    return 0;
}

static int check_pair(struct certificate_call *k, int dir, struct err *e)
{
    int chain = -EBADF, key = -EBADF;
    int r = text_fd(k->chain, &chain, e);

    if (r == 0)
        r = open_key(k, dir, &key, e);
    autoclose int chain_fd = chain;
    autoclose int key_fd = key;
    struct worker_request q = {
        .verb = "cert-check", .args = {SHOWN_CUSTOM}, .n_args = 1, .fds = {chain_fd, key_fd}, .n_fds = 2};
    return r < 0 ? r : ask(k, &q, e);
}

static int work_set(void *ctx, struct err *e)
{
    struct certificate_call *k = ctx;
    int fd = -EBADF, r = open_folder(k, &fd, e);
    autoclose int dir = fd;

    if (r == 0 && !k->is_forced && faccessat(dir, CERTIFICATE_CUSTOM, F_OK, 0) == 0)
        r = err_set(e, -EEXIST, "cert.force",
                    "there is a custom certificate already: it is replaced with force=1 only");
    if (r == 0)
        r = check_pair(k, dir, e);
    if (r == 0 && (k->pem.is_failed || !k->pem.len))
        r = err_set(e, -EPROTO, NULL, "the worker answered without a certificate");
    return r < 0 ? r : fs_replace_durable(dir, CERTIFICATE_CUSTOM, k->pem.data, k->pem.len, 0600, e);
}

/* What is wrong with a parameter is said of it. */
static int finish_set(struct api_call *c, void *ctx, int r, struct err *e)
{
    static const char *const params[][2] = {
        {"cert.chain", "certificates"}, {"cert.key", "key"}, {"cert.force", "force"}};
    char text[sizeof(e->text)];

    for (size_t i = 0; r < 0 && i < ARRAY_SIZE(params); i++)
        if (streq(e->code, params[i][0])) {
            memcpy(text, e->text, sizeof(text));
            r = api_param_error(c, e, params[i][1], "%s", text);
            break;
        }
    return finish(c, ctx, r, e);
}

int api_node_certificate_set(struct api_call *c, const struct api_node_certificate_set_args *a, struct err *e)
{
    struct certificate_call *k;
    int r = new_call(c, a->node, &k, e);

    if (r < 0)
        return r;
    k->chain = a->certificates;
    k->key = a->key;
    k->is_forced = a->force;
    k->is_restart = a->restart;
    return api_offload(c, work_set, finish_set, k);
}

static int work_delete(void *ctx, struct err *e)
{
    struct certificate_call *k = ctx;
    int fd = -EBADF, r = open_folder(k, &fd, e);
    autoclose int dir = fd;

    if (r == 0)
        r = fs_unlink_if_exists(dir, CERTIFICATE_CUSTOM, e);
    return r < 0 ? r : fs_sync_dir(dir, e);
}

int api_node_certificate_delete(struct api_call *c, const struct api_node_certificate_delete_args *a, struct err *e)
{
    struct certificate_call *k;
    int r = new_call(c, a->node, &k, e);

    if (r < 0)
        return r;
    k->is_restart = a->restart;
    return api_offload(c, work_delete, finish, k);
}
