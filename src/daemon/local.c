/* DIR/run/holm.sock: the command line's way in. Who is on the other side is what the kernel says (SO_PEERCRED): root is
 * root@pam, everybody else is refused. */
#include <event2/event.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/fs.h"
#include "base/log.h"
#include "daemon/daemon.h"

#define LOCAL_CLIENTS_MAX 64u

struct client {
    struct peer *peer; /* NULL: free */
};

struct local {
    struct api *api;
    struct event *event;
    int fd, dirfd;
    struct client clients[LOCAL_CLIENTS_MAX];
};

static void client_closed(void *arg)
{
    struct client *c = arg;

    c->peer = NULL;
}

static struct client *free_client(struct local *l)
{
    for (size_t i = 0; i < LOCAL_CLIENTS_MAX; i++)
        if (!l->clients[i].peer)
            return &l->clients[i];
    return NULL;
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    struct local *l = arg;
    struct client *place = free_client(l);
    struct auth_subject who = {.user = "root@pam", .is_root = true};
    struct ucred cred;
    socklen_t len = sizeof(cred);
    struct err e = ERR_INIT;
    int client = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (client < 0)
        return;
    if (getsockopt(client, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || cred.uid != 0 || !place) {
        close(client);
        return;
    }
    if (peer_new(l->api, client, &who, client_closed, place, &place->peer, &e) < 0)
        log_err(LOG_WARN, &e, "local client");
}

int local_new(struct api *api, const char *root, struct local **ret, struct err *e)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct local *l = calloc(1, sizeof(*l));
    char path[4096];

    if (!l)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    l->api = api;
    l->fd = l->dirfd = -EBADF;
    snprintf(path, sizeof(path), "%s/run", root);
    int r = fs_open_dir(AT_FDCWD, path, 0711, &l->dirfd, e);
    if (r == 0) {
        /* Through the folder's descriptor: a long root would not fit into sun_path. */
        snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/holm.sock", l->dirfd);
        unlinkat(l->dirfd, "holm.sock", 0);
        l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        mode_t old = umask(0177);
        if (l->fd < 0 || bind(l->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(l->fd, 64) < 0)
            r = err_errno(e, errno, "listen on %s/holm.sock", path);
        umask(old);
    }
    l->event = r == 0 ? event_new(api->base, l->fd, EV_READ | EV_PERSIST, on_accept, l) : NULL;
    if (r == 0 && (!l->event || event_add(l->event, NULL) < 0))
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    if (r < 0) {
        local_free(l);
        return r;
    }
    *ret = l;
    return 0;
}

void local_free(struct local *l)
{
    if (!l)
        return;
    if (l->event)
        event_free(l->event);
    /* What a client asked for goes on; its answer has nowhere to go, and must not come looking for us. */
    for (size_t i = 0; i < LOCAL_CLIENTS_MAX; i++)
        if (l->clients[i].peer)
            peer_close(l->clients[i].peer);
    if (l->fd >= 0)
        close(l->fd);
    if (l->dirfd >= 0) {
        unlinkat(l->dirfd, "holm.sock", 0);
        close(l->dirfd);
    }
    free(l);
}
