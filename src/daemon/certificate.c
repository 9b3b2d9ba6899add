/* The server's key and certificate. A missing pair is made by a worker: holmd itself has no TLS library. Before the
 * loop runs; blocking. An administrator puts his own pair into the same two files, or uploads one, which then is used
 * instead (api/certificates.h). */
#include <fcntl.h>

#include "api/certificates.h"
#include "base/fs.h"
#include "daemon/daemon.h"
#include "task/workers.h"

struct made {
    int dirfd;
    int r;
    struct err *e;
};

static void on_made(void *arg, int r, const struct worker_reply *a, const struct err *e)
{
    struct made *m = arg;

    m->r = r;
    if (r < 0) {
        *m->e = *e;
        return;
    }
    if (a->n_bodies != 2) {
        m->r = err_set(m->e, -EPROTO, NULL, "the worker did not answer with a key and a certificate");
        return;
    }
    m->r = fs_replace_durable(m->dirfd, CERTIFICATE_OWN_KEY, a->bodies[0], a->body_len[0], 0600, m->e);
    if (m->r == 0)
        m->r = fs_replace_durable(m->dirfd, CERTIFICATE_OWN, a->bodies[1], a->body_len[1], 0644, m->e);
}

static int make(struct api *api, int dirfd, const char *node, const char *address, struct err *e)
{
    struct made m = {.dirfd = dirfd, .r = -EIO, .e = e};
    struct worker_request q = {.verb = "make-cert", .args = {node, node, "localhost", "127.0.0.1", "::1"}, .n_args = 5};

    if (!streq(address, "127.0.0.1") && !streq(address, "::1") && !streq(address, "0.0.0.0") && !streq(address, "::"))
        q.args[q.n_args++] = address;
    int r = workers_call_blocking(api->workers, &q, on_made, &m, e);
    return r < 0 ? r : m.r;
}

int certificate_open(struct api *api, const char *root, const char *node, const char *address, int *ret_cert,
                     int *ret_key, struct err *e)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s", root, CERTIFICATE_FOLDER);
    autoclose int dir = -EBADF;
    int r = fs_open_dir(AT_FDCWD, path, 0700, &dir, e);
    if (r == 0 && (faccessat(dir, CERTIFICATE_OWN_KEY, F_OK, 0) < 0 || faccessat(dir, CERTIFICATE_OWN, F_OK, 0) < 0))
        r = make(api, dir, node, address, e);
    if (r < 0)
        return err_wrap(e, r, "server certificate");
    bool is_custom = faccessat(dir, CERTIFICATE_CUSTOM, F_OK, 0) == 0;
    autoclose int cert = openat(dir, is_custom ? CERTIFICATE_CUSTOM : CERTIFICATE_OWN, O_RDONLY | O_CLOEXEC);
    autoclose int key = openat(dir, is_custom ? CERTIFICATE_CUSTOM : CERTIFICATE_OWN_KEY, O_RDONLY | O_CLOEXEC);
    if (cert < 0 || key < 0)
        return err_errno(e, errno, "open %s", path);
    *ret_cert = TAKE_FD(cert);
    *ret_key = TAKE_FD(key);
    return 0;
}
