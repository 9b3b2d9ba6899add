/* Text copies of the configurations, DIR/etc/nodes/NODE/qemu-server/ID.conf: for people, and for the worst night. They
 * follow the state database and are never read back; one thread writes them in order. */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>

#include "base/fs.h"
#include "base/log.h"
#include "guest/guest_priv.h"
#include "task/pool.h"

#define TEXT_MAX     (8u << 20)
#define SYNCED_FIRST 16u /* copies of a start that are synced one by one; the rest together */

struct text_job {
    struct guest_mgr *mgr;
    uint32_t vmid;
    struct buf text;
    bool is_remove, is_synced_later;
    int r;
    struct err err;
};

static void file_name(uint32_t vmid, char name[24])
{
    snprintf(name, 24, "%u.conf", vmid);
}

static void text_in_thread(void *ctx)
{
    struct text_job *j = ctx;
    char name[24];

    file_name(j->vmid, name);
    if (j->is_remove)
        j->r = fs_unlink_if_exists(j->mgr->text_dirfd, name, &j->err);
    else if (j->is_synced_later)
        j->r = fs_replace_unsynced(j->mgr->text_dirfd, name, buf_str(&j->text), j->text.len, 0600, &j->err);
    else
        j->r = fs_replace_durable(j->mgr->text_dirfd, name, buf_str(&j->text), j->text.len, 0600, &j->err);
}

static void text_done(void *ctx)
{
    struct text_job *j = ctx;

    /* The truth is in the database; the copy is made again at the next change or start. */
    if (j->r < 0)
        log_err(LOG_WARN, &j->err, "text copy of guest %u", j->vmid);
    buf_done(&j->text);
    free(j);
}

static void submit(struct text_job *j)
{
    struct err e = ERR_INIT;

    if (j->mgr->is_reconciling) { /* nobody is served yet, and whoever is then may rely on the copies */
        text_in_thread(j);
        text_done(j);
        return;
    }
    if (pool_submit(j->mgr->text_queue, text_in_thread, text_done, j, &e) < 0) {
        j->r = e.num;
        j->err = e;
        text_done(j);
    }
}

/* One section, with what a snapshot adds to a configuration. */
static int text_section(const struct config *config, const struct config *pending, const struct snapshot *s,
                        const char *parent, struct buf *out)
{
    struct config c = {0};
    char time[24];
    int r = config_copy(config, &c);

    if (r == 0 && parent[0])
        r = config_set(&c, "parent", parent);
    if (s) {
        snprintf(time, sizeof(time), "%" PRId64, s->time_s);
        if (r == 0)
            r = config_set(&c, "snaptime", time);
        if (r == 0 && s->vmstate[0])
            r = config_set(&c, "vmstate", s->vmstate);
        buf_printf(out, "\n[%s]\n", s->name);
    }
    if (r == 0)
        config_text(&c, pending, out);
    config_done(&c);
    return r;
}

/* As Proxmox VE writes it: the guest, what waits, then its snapshots. */
static int text_guest(const struct guest *g, struct buf *out)
{
    int r = text_section(&g->config, &g->pending, NULL, g->snapshots.parent, out);

    for (size_t i = 0; r == 0 && i < g->snapshots.n; i++) {
        const struct snapshot *s = &g->snapshots.items[i];
        r = text_section(&s->config, NULL, s, s->parent, out);
    }
    return r;
}

void guest_text_write(struct guest_mgr *m, const struct guest *g)
{
    struct text_job *j = calloc(1, sizeof(*j));

    if (!j)
        return;
    j->mgr = m;
    j->vmid = g->vmid;
    buf_init(&j->text, TEXT_MAX);
    if (text_guest(g, &j->text) < 0 || j->text.is_failed) {
        log_warn("text copy of guest %u: out of memory", g->vmid);
        buf_done(&j->text);
        free(j);
        return;
    }
    /* At the start every copy is compared, not rewritten. */
    if (m->is_reconciling) {
        char name[24];
        struct buf old;
        struct err e = ERR_INIT;
        file_name(g->vmid, name);
        buf_init(&old, TEXT_MAX);
        bool is_same = fs_read_file(m->text_dirfd, name, &old, &e) == 0 && old.len == j->text.len &&
                       memcmp(buf_str(&old), buf_str(&j->text), old.len) == 0;
        buf_done(&old);
        if (is_same) {
            text_done(j);
            return;
        }
        j->is_synced_later = !m->is_text_settled && ++m->n_early_texts > SYNCED_FIRST;
    }
    submit(j);
}

void guest_text_remove(struct guest_mgr *m, uint32_t vmid)
{
    struct text_job *j = calloc(1, sizeof(*j));

    if (!j)
        return;
    j->mgr = m;
    j->vmid = vmid;
    j->is_remove = true;
    buf_init(&j->text, 1);
    submit(j);
}

/* Copies of guests that are no more, and temporary files of an interrupted write. After a restored state every copy is
 * new: then nobody is served before the file system has them all. */
int guest_text_reconcile(struct guest_mgr *m, struct err *e)
{
    int fd = openat(m->text_dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    int r = 0;

    if (!d)
        return err_errno(e, errno, "list configurations");
    for (struct dirent *de; r == 0 && (de = readdir(d));) {
        uint64_t vmid = 0;
        char digits[24] = "";
        size_t n = strspn(de->d_name, "0123456789");
        if (streq(de->d_name, ".") || streq(de->d_name, ".."))
            continue;
        if (n > 0 && n < sizeof(digits))
            memcpy(digits, de->d_name, n);
        bool is_copy = n > 0 && streq(de->d_name + n, ".conf") && str_to_u64(digits, &vmid) == 0;
        if ((is_copy && !guest_find(m, (uint32_t)vmid)) || str_ends(de->d_name, ".tmp"))
            r = fs_unlink_if_exists(m->text_dirfd, de->d_name, e);
    }
    closedir(d);
    m->is_text_settled = true;
    return r == 0 && m->n_early_texts > SYNCED_FIRST ? fs_sync_all(m->text_dirfd, e) : r;
}
