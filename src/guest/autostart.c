/* Guests with onboot=1 start with the host: once per boot of the host, not per start of the daemon. The boot id of the
 * last time is kept in local/boot. The starting itself is the task startall of root@pam (bulk.c). Loop thread. */
#include <fcntl.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/propstr.h"
#include "guest/guest_priv.h"

#define BOOT_KEY "local/boot"

struct boot_check {
    char current[64];
    bool is_same;
};

static void on_boot_key(void *arg, const char *key, const char *value, uint64_t revision)
{
    struct boot_check *b = arg;

    b->is_same = value && streq(value, b->current);
}

static bool has_onboot(const struct guest_mgr *m)
{
    for (size_t i = 0; i < m->n; i++) {
        const char *onboot = config_get(&m->guests[i]->config, "onboot");
        bool on;
        if (onboot && propstr_bool(onboot, &on) == 0 && on && !m->guests[i]->is_dropped)
            return true;
    }
    return false;
}

void guest_mgr_autostart(struct guest_mgr *m, uint32_t delay_s)
{
    struct guest_bulk all = {.type = "startall", .user = "root@pam", .delay_s = delay_s};
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
    if (has_onboot(m) && guest_bulk(m, &all, NULL, &e) < 0)
        log_err(LOG_WARN, &e, "start of the guests with the host");
}
