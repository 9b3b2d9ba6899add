/* Guests with onboot=1 start with the host: once per boot of the host, not per start of the daemon. The boot id of the
 * last time is kept in local/boot. Order as PVE: those with startup order first, by it; then by vmid; `up` seconds are
 * waited after a start before the next. */
#include <event2/event.h>
#include <fcntl.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/propstr.h"
#include "guest/guest_priv.h"

#define BOOT_KEY "local/boot"

struct entry {
    uint32_t vmid;
    uint64_t order, up_s;
};

struct autostart {
    struct guest_mgr *mgr;
    struct event *timer;
    struct entry *entries;
    size_t n, next;
};

static void autostart_free(struct autostart *a)
{
    if (a->timer)
        event_free(a->timer);
    free(a->entries);
    free(a);
}

static void start_next(evutil_socket_t fd, short what, void *arg)
{
    struct autostart *a = arg;

    while (a->next < a->n) {
        const struct entry *en = &a->entries[a->next++];
        struct guest_op op = {.vmid = en->vmid, .user = "root@pam"};
        struct err e = ERR_INIT;
        struct guest *g = guest_find(a->mgr, en->vmid);
        if (!g || guest_is_running(g))
            continue;
        if (guest_start(a->mgr, &op, NULL, &e) < 0)
            log_err(LOG_WARN, &e, "start of guest %u with the host", en->vmid);
        if (en->up_s) {
            struct timeval tv = {.tv_sec = (time_t)en->up_s};
            evtimer_add(a->timer, &tv);
            return;
        }
    }
    autostart_free(a);
}

static int by_order(const void *x, const void *y)
{
    const struct entry *a = x, *b = y;

    if (a->order != b->order)
        return a->order < b->order ? -1 : 1;
    return a->vmid < b->vmid ? -1 : 1;
}

static void read_startup(const struct guest *g, struct entry *en)
{
    const char *value = config_get(&g->config, "startup");
    struct err e = ERR_INIT;
    struct propstr p;

    *en = (struct entry){.vmid = g->vmid, .order = UINT64_MAX};
    if (value && propstr_parse(value, "order", &p, &e) == 0 &&
        (propstr_get_u64(&p, "order", UINT64_MAX, &en->order, &e) < 0 ||
         propstr_get_u64(&p, "up", 0, &en->up_s, &e) < 0))
        log_err(LOG_WARN, &e, "startup of guest %u", g->vmid);
}

static void collect(struct autostart *a)
{
    for (size_t i = 0; i < a->mgr->n; i++) {
        const struct guest *g = a->mgr->guests[i];
        const char *onboot = config_get(&g->config, "onboot");
        if (onboot && streq(onboot, "1") && !g->is_dropped)
            read_startup(g, &a->entries[a->n++]);
    }
    if (a->n)
        qsort(a->entries, a->n, sizeof(*a->entries), by_order);
}

struct boot_check {
    char current[64];
    bool is_same;
};

static void on_boot_key(void *arg, const char *key, const char *value, uint64_t revision)
{
    struct boot_check *b = arg;

    b->is_same = value && streq(value, b->current);
}

void guest_mgr_autostart(struct guest_mgr *m)
{
    struct boot_check check = {.is_same = false};
    struct state_watch *w = NULL;
    struct err e = ERR_INIT;
    struct buf b;

    buf_init(&b, 60);
    if (fs_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &b, &e) == 0)
        snprintf(check.current, sizeof(check.current), "\"%.*s\"", (int)strcspn(buf_str(&b), "\n"), buf_str(&b));
    buf_done(&b);
    if (!check.current[0] || state_watch(m->env.state, BOOT_KEY, on_boot_key, &check, &w, &e) < 0)
        return;
    state_unwatch(w);
    if (check.is_same)
        return;
    struct state_txn *t = state_txn_new();
    if (t)
        state_txn_put(t, BOOT_KEY, check.current);
    state_commit(m->env.state, t, NULL, NULL);
    struct autostart *a = calloc(1, sizeof(*a));
    if (!a)
        return;
    a->mgr = m;
    a->entries = calloc(m->n + 1, sizeof(*a->entries));
    a->timer = evtimer_new(m->env.base, start_next, a);
    if (!a->entries || !a->timer) {
        autostart_free(a);
        return;
    }
    collect(a);
    start_next(-1, 0, a);
}
