/* An event loop over epoll; see loop.h. */
#include "vmm/loop.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#define EVENTS_MAX 16

static void on_stop(void *context, uint32_t events)
{
    struct loop *l = context;

    (void)events;
    loop_drain(l->stop.fd);
    l->is_ending = true;
}

int loop_init(struct loop *l, struct err *e)
{
    int r;

    *l = (struct loop){.epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
    l->stop = (struct loop_source){
        .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .events = EPOLLIN, .on_ready = on_stop, .context = l};
    r = l->epoll_fd < 0 || l->stop.fd < 0 ? -errno : loop_add(l, &l->stop);
    return r < 0 ? err_errno(e, -r, "make an event loop") : 0;
}

void loop_done(struct loop *l)
{
    if (l->thread.is_started)
        loop_stop(l);
    thread_join(&l->thread);
    if (l->stop.fd >= 0)
        close(l->stop.fd);
    if (l->epoll_fd >= 0)
        close(l->epoll_fd);
    l->epoll_fd = l->stop.fd = -1;
}

static int control(struct loop *l, int operation, struct loop_source *s)
{
    struct epoll_event event = {.events = s->events, .data.ptr = s};

    return epoll_ctl(l->epoll_fd, operation, s->fd, &event) < 0 ? -errno : 0;
}

int loop_add(struct loop *l, struct loop_source *s)
{
    int r = control(l, EPOLL_CTL_ADD, s);

    s->is_added = r == 0;
    return r;
}

int loop_change(struct loop *l, struct loop_source *s, uint32_t events)
{
    if (s->events == events)
        return 0;
    s->events = events;
    return control(l, EPOLL_CTL_MOD, s);
}

void loop_remove(struct loop *l, struct loop_source *s)
{
    if (s->is_added)
        (void)control(l, EPOLL_CTL_DEL, s);
    s->is_added = false;
}

void loop_run(struct loop *l)
{
    struct epoll_event events[EVENTS_MAX];

    l->is_ending = false;
    while (!l->is_ending) {
        int n = l->wait ? l->wait(l->waiter, events) : epoll_wait(l->epoll_fd, events, EVENTS_MAX, -1);

        for (int i = 0; i < n; i++) {
            struct loop_source *s = events[i].data.ptr;

            /* One that an earlier callback of this round removed. */
            if (s->is_added)
                s->on_ready(s->context, events[i].events);
        }
    }
}

static void loop_main(void *arg)
{
    loop_run(arg);
}

int loop_start(struct loop *l, const char *name, struct err *e)
{
    l->thread = (struct thread){.run = loop_main, .arg = l};
    snprintf(l->thread.name, sizeof(l->thread.name), "%s", name);
    return thread_start(&l->thread, e);
}

void loop_stop(struct loop *l)
{
    loop_wake(l->stop.fd);
}

int loop_own_stdio(int fd)
{
    int flags = O_NONBLOCK | O_CLOEXEC | O_NOCTTY | (fd == STDIN_FILENO ? O_RDONLY : O_WRONLY), own = -1;
    char path[32];
    struct stat about = {0};

    if (fstat(fd, &about) == 0 && (S_ISCHR(about.st_mode) || S_ISFIFO(about.st_mode))) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        own = open(path, flags);
    }
    if (own >= 0)
        return own;
    /* Another user's, or a file, whose place in it is shared, or a socket. */
    own = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (own >= 0 && !S_ISREG(about.st_mode))
        (void)fcntl(own, F_SETFL, fcntl(own, F_GETFL) | O_NONBLOCK);
    return own;
}

void loop_drain(int event_fd)
{
    uint64_t n;

    while (read(event_fd, &n, sizeof(n)) < 0 && errno == EINTR)
        ;
}

void loop_wake(int event_fd)
{
    uint64_t one = 1;

    while (write(event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}
