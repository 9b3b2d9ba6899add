/* The guests' configurations: a copy of shared/guest/ID in memory, and questions about it. */
#include <dirent.h>
#include <fcntl.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/propstr.h"
#include "guest/guest_priv.h"
#include "task/pool.h"

#include <event2/event.h>

#define GUEST_KEY "shared/guest/"

static size_t position(struct guest_mgr *m, uint32_t vmid)
{
    size_t low = 0, high = m->n;

    while (low < high) {
        size_t mid = (low + high) / 2;
        if (m->guests[mid]->vmid < vmid)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct guest *guest_find(struct guest_mgr *m, uint32_t vmid)
{
    size_t i = position(m, vmid);

    return i < m->n && m->guests[i]->vmid == vmid ? m->guests[i] : NULL;
}

int guest_get(struct guest_mgr *m, uint32_t vmid, struct guest **ret, struct err *e)
{
    struct guest *g = guest_find(m, vmid);

    if (!g || g->is_dropped)
        return err_set(e, -ENOENT, "guest.missing", "Configuration file 'nodes/%s/qemu-server/%u.conf' does not exist",
                       m->env.node, vmid);
    *ret = g;
    return 0;
}

struct guest *guest_at(struct guest_mgr *m, size_t i)
{
    return i < m->n ? m->guests[i] : NULL;
}

size_t guest_count(struct guest_mgr *m)
{
    return m->n;
}

const struct guest_env *guest_env(const struct guest_mgr *m)
{
    return &m->env;
}

struct guest *guest_add(struct guest_mgr *m, uint32_t vmid)
{
    if (m->n == m->cap) {
        size_t cap = m->cap ? m->cap * 2 : 64;
        struct guest **p = cap <= 2 * GUESTS_MAX ? realloc(m->guests, cap * sizeof(*p)) : NULL;
        if (!p)
            return NULL;
        m->guests = p;
        m->cap = cap;
    }
    struct guest *g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    g->vmid = vmid;
    size_t i = position(m, vmid);
    memmove(&m->guests[i + 1], &m->guests[i], (m->n - i) * sizeof(*m->guests));
    m->guests[i] = g;
    m->n++;
    return g;
}

static void guest_free(struct guest *g)
{
    config_done(&g->config);
    config_done(&g->pending);
    config_done(&g->running);
    layers_done(&g->layers);
    snapshots_done(&g->snapshots);
    guest_summary_forget(g);
    free(g->nics);
    free(g->blockstats);
    free(g);
}

void guest_drop(struct guest_mgr *m, struct guest *g)
{
    size_t i = position(m, g->vmid);

    guest_tell(m, g->vmid);
    memmove(&m->guests[i], &m->guests[i + 1], (m->n - i - 1) * sizeof(*m->guests));
    m->n--;
    guest_free(g);
}

static void copy_member(json_t *j, const char *name, char *dst, size_t cap)
{
    const char *s = json_string_value(json_object_get(j, name));

    snprintf(dst, cap, "%s", s ? s : "");
}

static int load_guest(struct guest *g, const char *value)
{
    json_error_t je;
    json_t *j = json_loads(value, JSON_REJECT_DUPLICATES, &je);
    struct layers layers = {0};
    struct snapshots snapshots = {0};
    struct err e = ERR_INIT;
    int r = -EINVAL;

    if (j && json_integer_value(json_object_get(j, "format")) == 1 &&
        config_load(json_object_get(j, "config"), &g->config) == 0 &&
        config_load(json_object_get(j, "pending"), &g->pending) == 0 &&
        layers_load(json_object_get(j, "layers"), &layers, &e) == 0 &&
        snapshots_load(json_object_get(j, "snapshots"), json_string_value(json_object_get(j, "parent")), &snapshots,
                       &e) == 0) {
        layers_done(&g->layers);
        snapshots_done(&g->snapshots);
        g->layers = layers;
        g->snapshots = snapshots;
        copy_member(j, "type", g->type, sizeof(g->type));
        copy_member(j, "engine", g->engine, sizeof(g->engine));
        copy_member(j, "machine", g->machine, sizeof(g->machine));
        copy_member(j, "uuid", g->uuid, sizeof(g->uuid));
        g->ctime_s = json_integer_value(json_object_get(j, "ctime"));
        r = 0;
    } else {
        layers_done(&layers);
    }
    json_decref(j);
    return r;
}

static void on_guest(void *arg, const char *key, const char *value, uint64_t revision)
{
    struct guest_mgr *m = arg;
    uint64_t vmid;

    if (str_to_u64(key + strlen(GUEST_KEY), &vmid) < 0 || vmid < 100 || vmid > 999999999)
        return;
    struct guest *g = guest_find(m, (uint32_t)vmid);
    guest_tell(m, (uint32_t)vmid);
    if (!value) {
        guest_text_remove(m, (uint32_t)vmid);
        if (g && g->state == GUEST_STOPPED)
            guest_drop(m, g);
        else if (g)
            g->is_dropped = true;
        return;
    }
    if (!g)
        g = guest_add(m, (uint32_t)vmid);
    if (g)
        guest_summary_forget(g);
    if (!g || load_guest(g, value) < 0) {
        log_error("configuration of guest %u in the state database cannot be read", (unsigned)vmid);
        return;
    }
    g->is_dropped = false;
    g->revision = revision;
    config_digest(&g->config, &g->pending, g->digest);
    guest_text_write(m, g);
}

struct guest_record guest_record_of(const struct guest *g)
{
    return (struct guest_record){.engine = g->engine,
                                 .machine = g->machine,
                                 .uuid = g->uuid,
                                 .ctime_s = g->ctime_s,
                                 .config = &g->config,
                                 .pending = &g->pending,
                                 .layers = &g->layers,
                                 .snapshots = &g->snapshots};
}

/* What most guests do not have is not written. */
static void write_snapshots(const struct guest_record *g, struct jw *w)
{
    if (g->layers && g->layers->n) {
        jw_key(w, "layers");
        jw_object(w);
        layers_write(g->layers, w);
        jw_object_end(w);
    }
    if (g->snapshots && g->snapshots->n) {
        if (g->snapshots->parent[0])
            jw_kv_str(w, "parent", g->snapshots->parent);
        jw_key(w, "snapshots");
        jw_array(w);
        snapshots_write(g->snapshots, w);
        jw_array_end(w);
    }
}

char *guest_value(const char *node, const struct guest_record *g)
{
    static const struct config none;
    struct buf b;
    struct jw w;

    buf_init(&b, STATE_VALUE_MAX);
    jw_init(&w, &b);
    jw_object(&w);
    jw_kv_int(&w, "format", 1);
    jw_kv_str(&w, "type", "qemu");
    jw_kv_str(&w, "node", node);
    jw_kv_str(&w, "engine", g->engine);
    jw_kv_str(&w, "machine", g->machine);
    jw_kv_str(&w, "uuid", g->uuid);
    jw_kv_int(&w, "ctime", g->ctime_s);
    jw_key(&w, "config");
    config_write(g->config ? g->config : &none, &w);
    jw_key(&w, "pending");
    config_write(g->pending ? g->pending : &none, &w);
    write_snapshots(g, &w);
    jw_object_end(&w);
    char *text = buf_take(&b);
    buf_done(&b);
    return text;
}

struct state_txn *guest_txn(const char *node, uint32_t vmid, uint64_t revision, const struct guest_record *g)
{
    autofree char *value = guest_value(node, g);
    struct state_txn *t = value ? state_txn_new() : NULL;
    char key[40];

    if (!t)
        return NULL;
    snprintf(key, sizeof(key), "%s%u", GUEST_KEY, vmid);
    state_txn_expect(t, key, revision);
    state_txn_put(t, key, value);
    return t;
}

static bool is_reserved(struct guest_mgr *m, uint32_t vmid)
{
    for (size_t i = 0; i < m->n_reserved; i++)
        if (m->reserved[i] == vmid)
            return true;
    return false;
}

uint32_t guest_next_id(struct guest_mgr *m, uint32_t from)
{
    for (uint32_t id = from; id <= 999999999; id++)
        if (!guest_find(m, id) && !is_reserved(m, id))
            return id;
    return 0;
}

int guest_reserve(struct guest_mgr *m, uint32_t vmid)
{
    if (guest_find(m, vmid) || is_reserved(m, vmid))
        return -EEXIST;
    if (m->n + m->n_reserved >= GUESTS_MAX)
        return -ENOSPC;
    uint32_t *p = realloc(m->reserved, (m->n_reserved + 1) * sizeof(*p));
    if (!p)
        return -ENOMEM;
    m->reserved = p;
    m->reserved[m->n_reserved++] = vmid;
    return 0;
}

void guest_release(struct guest_mgr *m, uint32_t vmid)
{
    for (size_t i = 0; i < m->n_reserved; i++)
        if (m->reserved[i] == vmid) {
            m->reserved[i] = m->reserved[--m->n_reserved];
            return;
        }
}

bool guest_is_running(const struct guest *g)
{
    return g->state != GUEST_STOPPED;
}

const char *guest_status(const struct guest *g)
{
    return guest_is_running(g) ? "running" : "stopped";
}

const char *guest_name(const struct guest *g)
{
    const char *name = config_get(&g->config, "name");

    return name ? name : "";
}

const char *guest_config_value(const struct guest *g, const char *key)
{
    char deleted[64];

    snprintf(deleted, sizeof(deleted), "!%s", key);
    if (config_get(&g->pending, deleted))
        return NULL;
    const char *value = config_get(&g->pending, key);
    return value ? value : config_get(&g->config, key);
}

int guest_config_wanted(const struct guest *g, struct config *ret)
{
    struct config c;

    if (config_copy(&g->config, &c) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < g->pending.n; i++) {
        const struct config_item *it = &g->pending.items[i];
        if (it->key[0] == '!') {
            config_remove(&c, it->key + 1);
        } else if (config_set(&c, it->key, it->value) < 0) {
            config_done(&c);
            return -ENOMEM;
        }
    }
    *ret = c;
    return 0;
}

/* What the guest runs with, or would. */
static const char *value_in_force(const struct guest *g, const char *key)
{
    return guest_is_running(g) && g->running.n ? config_get(&g->running, key) : config_get(&g->config, key);
}

static uint64_t number_in_force(const struct guest *g, const char *key, uint64_t fallback)
{
    const char *value = value_in_force(g, key);
    uint64_t n;

    return value && str_to_u64(value, &n) == 0 ? n : fallback;
}

uint64_t guest_memory_bytes(const struct guest *g)
{
    const struct config *c = guest_is_running(g) && g->running.n ? &g->running : &g->config;

    return engine_memory_mib(c->items, c->n) * 1024u * 1024u;
}

uint32_t guest_cpus(const struct guest *g)
{
    uint64_t all = number_in_force(g, "sockets", number_in_force(g, "smp", 1)) * number_in_force(g, "cores", 1);
    uint64_t vcpus = number_in_force(g, "vcpus", all);

    return (uint32_t)(vcpus < all ? vcpus : all);
}

/* The first bootable disk's size: PVE shows this as maxdisk. */
uint64_t guest_disk_bytes(const struct guest *g)
{
    const char *bootdisk = config_get(&g->config, "bootdisk");

    for (size_t i = 0; i < g->config.n; i++) {
        const struct config_item *it = &g->config.items[i];
        struct err e = ERR_INIT;
        struct propstr p;
        uint64_t bytes = 0;
        if (!guest_is_drive_key(it->key) || str_starts(it->key, "efi") || str_starts(it->key, "tpm") ||
            guest_drive_is_cdrom(it->value) || (bootdisk && !streq(bootdisk, it->key)))
            continue;
        if (propstr_parse(it->value, "file", &p, &e) == 0 && propstr_get_size(&p, "size", 0, &bytes, &e) == 0 && bytes)
            return bytes;
    }
    return 0;
}

uint64_t guest_uptime_s(const struct guest *g)
{
    uint64_t now = clock_boot_ms();

    if (!g->started_boot_ms || !guest_is_running(g) || now < g->started_boot_ms)
        return 0;
    return (now - g->started_boot_ms) / 1000 + 1;
}

int guest_uid_take(struct guest_mgr *m, uint32_t *ret_slot)
{
    for (uint32_t i = 1; i < GUEST_SLOTS; i++) /* slot 0 is for workers */
        if (!(m->uid_slots[i / 8] & (1u << (i % 8)))) {
            guest_uid_mark(m, i, true);
            *ret_slot = i;
            return 0;
        }
    return -EAGAIN;
}

void guest_uid_mark(struct guest_mgr *m, uint32_t slot, bool is_used)
{
    if (is_used)
        m->uid_slots[slot / 8] |= (uint8_t)(1u << (slot % 8));
    else
        m->uid_slots[slot / 8] &= (uint8_t) ~(1u << (slot % 8));
}

uint32_t guest_uid(const struct guest_mgr *m, uint32_t slot)
{
    return GUEST_UID_BASE + m->env.instance * GUEST_SLOTS + slot;
}

void guest_sampler_tick(evutil_socket_t fd, short what, void *arg);

static int open_dirs(struct guest_mgr *m, struct err *e)
{
    char path[4096];
    int root = open(m->env.root_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r;

    if (root < 0)
        return err_errno(e, errno, "open %s", m->env.root_dir);
    r = fs_open_dir(root, "run/guest", 0711, &m->run_dirfd, e);
    snprintf(path, sizeof(path), "etc/nodes/%s/qemu-server", m->env.node);
    if (r == 0)
        r = fs_open_dir(root, path, 0700, &m->text_dirfd, e);
    close(root);
    return r;
}

static void on_still(void *arg, const char *key, const char *value, uint64_t revision)
{
    struct guest_mgr *m = arg;
    uint64_t vmid;
    struct guest *g = str_to_u64(key + strlen(STILL_KEY), &vmid) == 0 ? guest_find(m, (uint32_t)vmid) : NULL;

    if (g)
        g->is_still = value != NULL;
}

int guest_mgr_new(const struct guest_env *env, struct guest_mgr **ret, struct err *e)
{
    struct guest_mgr *m = calloc(1, sizeof(*m));
    struct timeval period = {.tv_sec = 5};

    if (!m)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    m->env = *env;
    m->text_dirfd = m->run_dirfd = -EBADF;
    m->is_reconciling = true; /* until guest_mgr_reconcile is done */
    list_init(&m->waiters);
    list_init(&m->adoptions);
    m->uid_slots = calloc(1, GUEST_SLOTS / 8);
    m->sampler = event_new(env->base, -1, EV_PERSIST, guest_sampler_tick, m);
    int r = m->uid_slots && m->sampler && event_add(m->sampler, &period) == 0
                ? open_dirs(m, e)
                : err_set(e, -ENOMEM, NULL, "out of memory");
    if (r == 0)
        r = pool_new(env->base, 1, 65536, &m->text_queue, e);
    if (r == 0)
        r = cpu_models_new(env->state, &m->cpu_models, e);
    if (r == 0)
        r = state_watch(env->state, GUEST_KEY, on_guest, m, &m->watch, e);
    if (r == 0) /* the guests are known by now */
        r = state_watch(env->state, STILL_KEY, on_still, m, &m->still_watch, e);
    if (r < 0) {
        guest_mgr_free(m);
        return r;
    }
    rundir_find_cgroup_base(m);
    *ret = m;
    return 0;
}

void guest_mgr_abandon(struct guest_mgr *m)
{
    for (size_t i = 0; m && i < m->n; i++)
        monitor_abandon(m->guests[i]->monitor);
}

void guest_mgr_free(struct guest_mgr *m)
{
    if (!m)
        return;
    state_unwatch(m->watch);
    state_unwatch(m->still_watch);
    cpu_models_free(m->cpu_models);
    pool_free(m->text_queue);
    rundir_leave_cgroup_base(m);
    guest_adoptions_free(m);
    for (size_t i = 0; i < m->n; i++) {
        monitor_free(m->guests[i]->monitor);
        guest_free(m->guests[i]);
    }
    if (m->sampler)
        event_free(m->sampler);
    if (m->text_dirfd >= 0)
        close(m->text_dirfd);
    if (m->run_dirfd >= 0)
        close(m->run_dirfd);
    free(m->uid_slots);
    free(m->reserved);
    free(m->guests);
    free(m);
}
