/* Guests that a full storage has stopped go on when there is room. A hypervisor stops a guest whose write finds none
 * ("io-error") and does that write again when the guest is resumed. The sampler looks every few seconds at the sample
 * of the storage's space; the resuming is a task of root@pam, which waits its turn behind whatever else is done to the
 * guest. A guest that somebody paused is not io-error any more, see monitor/qmp.c. Loop thread. */
#include "base/clock.h"
#include "base/log.h"
#include "guest/guest_priv.h"
#include "guest/storages.h"

/* Less than that is soon written: a guest that needs so little is resumed by hand. */
#define ROOM_BYTES (16u << 20)
/* Space that is there and not for this guest: each vain try doubles the wait. */
#define WAIT_MS     10000u
#define WAIT_MAX_MS 320000u
#define CALM_MS     (2 * WAIT_MAX_MS) /* after that long the next time is a first one again */

static const struct storage_entry *storage_of(const struct guest_mgr *m, const struct guest *g)
{
    const char *value = config_get(&g->config, g->full_disk);
    struct volume_id v;

    return value && guest_drive_volume(value, &v) ? storage_mgr_find(m->env.storages, v.storage) : NULL;
}

/* A sample of the time before it stopped says nothing. */
static bool has_room(const struct guest *g, const struct storage_entry *s)
{
    return s && s->is_active && s->sampled_boot_ms > g->full_since_ms && s->space.available_bytes >= ROOM_BYTES;
}

static void go_on(struct guest_mgr *m, struct guest *g, const struct storage_entry *s, uint64_t now)
{
    struct guest_op op = {.vmid = g->vmid, .user = "root@pam"};
    uint64_t wait_ms = WAIT_MS;
    struct task *t;
    struct err e = ERR_INIT;

    if (now > g->go_on_next_ms + CALM_MS)
        g->n_go_ons = 0;
    for (uint32_t i = 0; i < g->n_go_ons && wait_ms < WAIT_MAX_MS; i++)
        wait_ms *= 2;
    g->n_go_ons++;
    g->go_on_next_ms = now + wait_ms;
    log_info("guest %u: storage '%s' has room again: the guest goes on", g->vmid, storage_name(s->storage));
    if (guest_go_on(m, &op, &t, &e) < 0)
        log_err(LOG_WARN, &e, "guest %u: does not go on", g->vmid);
}

void guest_room_look(struct guest_mgr *m)
{
    uint64_t now = clock_boot_ms();

    for (size_t i = 0; i < m->n; i++) {
        struct guest *g = m->guests[i];
        const struct storage_entry *s = g->full_disk[0] && now >= g->go_on_next_ms ? storage_of(m, g) : NULL;
        if (has_room(g, s) && !task_guest_has(m->env.tasks, g->vmid, "qmresume"))
            go_on(m, g, s, now);
    }
}
