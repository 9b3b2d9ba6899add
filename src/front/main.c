/* holm-front: the only program of Holm that parses bytes from the network. A child of holmd, which hands it listening
 * sockets, certificate, key, the web page's folder and a link; it terminates TLS, checks and bounds requests, and
 * passes them on. It decides no permission.
 *
 * Order matters: everything that opens a file comes before sandbox_enter, everything that reads the network after it.
 * From then on it opens, connects and executes nothing: such a call is its end (calls.c). */
#include <jansson.h>
#include <malloc.h>
#include <signal.h>
#include <sys/random.h>

#include "base/log.h"
#include "front/front_priv.h"
#include "front/sandbox.h"

static void on_terminate(evutil_socket_t fd, short what, void *arg)
{
    event_base_loopbreak(((struct front *)arg)->base);
}

/* New fronts have taken over. */
static void on_retire(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;

    listener_retire(f);
    conn_end_if_idle(f);
}

static void on_reap(evutil_socket_t fd, short what, void *arg)
{
    conn_reap(arg);
}

/* Seeds jansson's hash tables now: later it would look for /dev/urandom. */
static int seed_json(struct err *e)
{
    size_t seed = 0;

    while (seed == 0)
        if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
            return err_errno(e, errno, "getrandom");
    json_object_seed(seed);
    return 0;
}

/* What needs files. */
static int prepare(struct front *f, struct err *e)
{
    int r = tls_context_new(f->options.cert_fd, f->options.key_fd, &f->tls, e);

    if (r == 0)
        r = site_load(f->options.web_fd, &f->site, e);
    if (f->options.web_fd >= 0)
        close(f->options.web_fd);
    if (r == 0)
        r = seed_json(e);
    if (r < 0)
        return r;
    f->slots = calloc(f->options.limits.max_connections, sizeof(struct conn *));
    f->base = event_base_new();
    if (!f->slots || !f->base)
        return err_set(e, -ENOMEM, NULL, "cannot start the event loop");
    f->reaper = event_new(f->base, -1, 0, on_reap, f);
    f->terminate = evsignal_new(f->base, SIGTERM, on_terminate, f);
    f->retire = evsignal_new(f->base, SIGHUP, on_retire, f);
    if (!f->reaper || !f->terminate || event_add(f->terminate, NULL) < 0 || !f->retire ||
        event_add(f->retire, NULL) < 0)
        return err_set(e, -ENOMEM, NULL, "cannot start the event loop");
    return 0;
}

/* Each client may have an upload or a console besides its socket; replies that are held back, sockets, log, loop and
 * what is in flight on top. */
static unsigned descriptors_needed(const struct front_options *o)
{
    return 2 * o->limits.max_connections + o->limits.max_delayed + 64;
}

static int run(struct front *f, struct err *e)
{
    const struct front_options *o = &f->options;
    int r = prepare(f, e);

    malloc_trim(0); /* what reading certificate and page took */
    if (r == 0)
        r = sandbox_enter(o->chroot_dir, o->uid, o->gid, descriptors_needed(o), e);
    if (r == 0)
        r = upstream_start(f, e);
    if (r == 0)
        r = listener_start(f, e);
    if (r < 0)
        return r;
    event_base_dispatch(f->base);
    return 0;
}

static void free_event(struct event *ev)
{
    if (ev)
        event_free(ev);
}

static void finish(struct front *f)
{
    for (uint32_t i = 0; f->slots && i < f->options.limits.max_connections; i++)
        if (f->slots[i])
            conn_close(f->slots[i]);
    delay_close_all(f);
    conn_reap(f);
    listener_stop(f);
    upstream_stop(f);
    free_event(f->terminate);
    free_event(f->retire);
    /* One more turn: callbacks that were already due still hold their bufferevents. */
    if (f->base)
        event_base_loop(f->base, EVLOOP_NONBLOCK);
    free_event(f->reaper);
    if (f->base)
        event_base_free(f->base);
    site_free(f->site);
    SSL_CTX_free(f->tls);
    free(f->slots);
}

int main(int argc, char **argv)
{
    struct front front = {.exit_code = EXIT_SUCCESS};
    struct err e = ERR_INIT;

    log_init("holm-front", LOG_INFO);
    /* Large buffers go back to the system when a burst is over. */
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    mallopt(M_TRIM_THRESHOLD, 128 * 1024);
    signal(SIGPIPE, SIG_IGN);
    list_init(&front.dead);
    list_init(&front.delayed.conns);
    list_init(&front.leaving.conns);
    int r = front_options_parse(argc, argv, &front.options, &e);
    if (r == 0)
        r = run(&front, &e);
    if (r < 0) {
        log_err(LOG_ERROR, &e, "start");
        front.exit_code = EXIT_FAILURE;
    }
    finish(&front);
    return front.exit_code;
}
