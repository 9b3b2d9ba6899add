/* See stats.h. A tick samples everything into the accumulators, then hands one job to the pool: read the files of
 * objects that are new, write the rows that are finished, ask the host what must not be asked on the loop. */
#include "api/stats.h"

#include <dirent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <math.h>

#include "api/host.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "guest/guest.h"
#include "rrd/rrd.h"
#include "task/pool.h"

#define PERIOD_S       10
#define NAME_MAX_BYTES 80u

static const char *const node_names[] = {"cpu",      "iowait",       "loadavg",   "maxcpu",   "memtotal",
                                         "memused",  "memavailable", "swaptotal", "swapused", "roottotal",
                                         "rootused", "netin",        "netout",    NULL};
static const char *const qemu_names[] = {"cpu",   "maxcpu", "mem",      "maxmem",    "disk", "maxdisk",
                                         "netin", "netout", "diskread", "diskwrite", NULL};
static const char *const storage_names[] = {"total", "used", NULL};
static const struct {
    const char *const *names;
    unsigned n;
    const char *prefix;
} kinds[] = {
    [STATS_NODE] = {node_names, ARRAY_SIZE(node_names) - 1, "node"},
    [STATS_QEMU] = {qemu_names, ARRAY_SIZE(qemu_names) - 1, "qemu-"},
    [STATS_STORAGE] = {storage_names, ARRAY_SIZE(storage_names) - 1, "storage-"},
};

/* Counters that only grow become rates. */
struct counters {
    uint64_t at_ms, values[4];
};

struct entry {
    char name[NAME_MAX_BYTES];
    struct rrd rrd;
    struct counters last;
    uint64_t number; /* never given twice */
    bool is_loaded;
};

/* Of an object in a job, by number: the entry may have gone meanwhile, and another of its name come. */
struct load {
    uint64_t number;
    char name[NAME_MAX_BYTES];
    struct rrd rrd;
};

struct write {
    char name[NAME_MAX_BYTES];
    struct buf data;
};

struct job {
    struct stats *stats;
    int dirfd;
    struct host_slow host;
    bool is_listing;
    struct load *loads;
    struct write *writes;
    char (*removals)[NAME_MAX_BYTES];
    size_t n_loads, n_writes, n_removals;
    struct buf names; /* found by the listing, each with its NUL */
    int r;
    struct err err; /* the first of this job */
};

struct stats {
    struct api *api;
    int dirfd;
    struct event *timer;
    struct state_watch *watch;
    struct entry **entries; /* ordered by name */
    size_t n, cap;
    char (*removals)[NAME_MAX_BYTES]; /* files to delete with the next job */
    size_t n_removals, removals_cap;
    uint64_t tick, next_number;
    struct host_slow host;
    struct pool *queue;
    bool has_job, has_listed, has_complained;
};

const char *const *stats_names(enum stats_kind kind)
{
    return kinds[kind].names;
}

unsigned stats_count(enum stats_kind kind)
{
    return kinds[kind].n;
}

void stats_file(enum stats_kind kind, const char *id, char *dst, size_t cap)
{
    snprintf(dst, cap, "%s%s", kinds[kind].prefix, id);
}

int stats_dirfd(const struct stats *s)
{
    return s->dirfd;
}

/* Place of a name, or where it belongs. */
static size_t place_of(const struct stats *s, const char *name, bool *ret_is_there)
{
    size_t low = 0, high = s->n;

    *ret_is_there = false;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int c = strcmp(s->entries[mid]->name, name);
        *ret_is_there = *ret_is_there || c == 0;
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct entry *entry_get(struct stats *s, enum stats_kind kind, const char *id)
{
    char name[NAME_MAX_BYTES];
    bool is_there;

    stats_file(kind, id, name, sizeof(name));
    size_t at = place_of(s, name, &is_there);
    if (is_there)
        return s->entries[at];
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 64;
        struct entry **grown = reallocarray(s->entries, cap, sizeof(*grown));
        if (!grown)
            return NULL;
        s->entries = grown;
        s->cap = cap;
    }
    struct entry *n = calloc(1, sizeof(*n));
    if (!n)
        return NULL;
    snprintf(n->name, sizeof(n->name), "%s", name);
    n->number = ++s->next_number;
    rrd_init(&n->rrd, kinds[kind].n);
    memmove(&s->entries[at + 1], &s->entries[at], (s->n - at) * sizeof(*s->entries));
    s->entries[at] = n;
    s->n++;
    return n;
}

static void entry_free(struct entry *n)
{
    rrd_done(&n->rrd);
    free(n);
}

/* Per second since the last sample; NAN at first and when a counter began anew. */
static void rates(struct counters *last, const uint64_t *now, unsigned n, double *ret)
{
    uint64_t ms = clock_boot_ms();

    for (unsigned i = 0; i < n; i++)
        ret[i] = last->at_ms && ms > last->at_ms && now[i] >= last->values[i]
                     ? (double)(now[i] - last->values[i]) * 1000.0 / (double)(ms - last->at_ms)
                     : NAN;
    last->at_ms = ms;
    memcpy(last->values, now, n * sizeof(*now));
}

/* Not before the file was read: what is in it goes on. */
static void add(struct entry *n, const double *values)
{
    if (n->is_loaded)
        rrd_add(&n->rrd, clock_wall_s(), values);
}

static void sample_node(struct stats *s)
{
    struct entry *n = entry_get(s, STATS_NODE, "");
    struct host_memory m;
    struct host_cpu cpu;
    char load[3][16];
    double net[2], iowait, usage = host_cpu_usage(&iowait);

    if (!n)
        return;
    host_memory_get(&m);
    host_cpu_get(&cpu);
    host_loadavg(load);
    rates(&n->last, (uint64_t[]){s->host.net_in, s->host.net_out}, 2, net);
    add(n,
        (double[]){usage, iowait, strtod(load[0], NULL), cpu.cpus, (double)m.total_bytes,
                   (double)(m.total_bytes - m.available_bytes), (double)m.available_bytes, (double)m.swap_total_bytes,
                   (double)(m.swap_total_bytes - m.swap_free_bytes), s->tick > 1 ? (double)s->host.root_total : NAN,
                   s->tick > 1 ? (double)s->host.root_used : NAN, net[0], net[1]});
}

static void sample_guest(struct stats *s, const struct guest *g)
{
    char id[16];
    double rate[4];

    snprintf(id, sizeof(id), "%u", g->vmid);
    struct entry *n = entry_get(s, STATS_QEMU, id);
    if (!n)
        return;
    rates(&n->last, (uint64_t[]){g->net_in, g->net_out, g->disk_read, g->disk_write}, 4, rate);
    add(n, (double[]){g->cpu_fraction, guest_cpus(g), (double)guest_memory_used(g), (double)guest_memory_bytes(g), 0,
                      (double)guest_disk_bytes(g), rate[0], rate[1], rate[2], rate[3]});
}

static void sample_storages(struct stats *s)
{
    for (size_t i = 0; i < storage_mgr_count(s->api->storages); i++) {
        const struct storage_entry *st = storage_mgr_at(s->api->storages, i);
        struct entry *n = st->is_active ? entry_get(s, STATS_STORAGE, storage_name(st->storage)) : NULL;
        if (n)
            add(n, (double[]){(double)st->space.total_bytes, (double)st->space.used_bytes});
    }
}

/* ---- files that go ---- */

static void remove_later(struct stats *s, const char *name)
{
    if (s->n_removals == s->removals_cap) {
        size_t cap = s->removals_cap ? s->removals_cap * 2 : 16;
        void *grown = reallocarray(s->removals, cap, sizeof(*s->removals));
        if (!grown)
            return; /* the listing of the next start finds it */
        s->removals = grown;
        s->removals_cap = cap;
    }
    snprintf(s->removals[s->n_removals++], NAME_MAX_BYTES, "%s", name);
}

static void forget(struct stats *s, enum stats_kind kind, const char *id)
{
    char name[NAME_MAX_BYTES];
    bool is_there;

    stats_file(kind, id, name, sizeof(name));
    size_t at = place_of(s, name, &is_there);
    if (is_there) {
        entry_free(s->entries[at]);
        memmove(&s->entries[at], &s->entries[at + 1], (--s->n - at) * sizeof(*s->entries));
    }
    remove_later(s, name);
}

/* An object is deleted: one of the same name that comes later must not inherit its graphs. */
static void on_guest(void *arg, const char *key, const char *value, uint64_t revision)
{
    if (!value)
        forget(arg, STATS_QEMU, strrchr(key, '/') + 1);
}

static bool is_known_file(struct stats *s, const char *name)
{
    uint64_t vmid;

    if (str_starts(name, "qemu-"))
        return str_to_u64(name + 5, &vmid) == 0 && vmid <= UINT32_MAX && guest_find(s->api->guests, (uint32_t)vmid);
    if (str_starts(name, "storage-"))
        return storage_mgr_find(s->api->storages, name + 8) != NULL;
    return streq(name, "node");
}

/* What was deleted just before an earlier daemon was killed. */
static void remove_unknown(struct stats *s, const struct buf *names)
{
    for (size_t at = 0; at < names->len; at += strlen(names->data + at) + 1)
        if (!is_known_file(s, names->data + at))
            remove_later(s, names->data + at);
}

/* ---- the job ---- */

static void list_names(struct job *j)
{
    autoclose int fd = openat(j->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *d;

    if (!dir)
        return;
    TAKE_FD(fd);
    while ((d = readdir(dir)))
        if (d->d_name[0] != '.' && strlen(d->d_name) < NAME_MAX_BYTES)
            buf_append(&j->names, d->d_name, strlen(d->d_name) + 1);
    closedir(dir);
}

static void keep_first(struct job *j, int r, const struct err *e)
{
    if (r < 0 && j->r == 0) {
        j->r = r;
        j->err = *e;
    }
}

static void work(void *ctx)
{
    struct job *j = ctx;
    struct err e = ERR_INIT;

    host_slow_get(&j->host);
    for (size_t i = 0; i < j->n_removals; i++)
        if (unlinkat(j->dirfd, j->removals[i], 0) < 0 && errno != ENOENT)
            keep_first(j, err_errno(&e, errno, "remove statistics %s", j->removals[i]), &e);
    for (size_t i = 0; i < j->n_loads; i++)
        keep_first(j, rrd_load(j->dirfd, j->loads[i].name, &j->loads[i].rrd, &e), &e);
    for (size_t i = 0; i < j->n_writes; i++)
        keep_first(j, rrd_write(j->dirfd, j->writes[i].name, &j->writes[i].data, &e), &e);
    if (j->is_listing)
        list_names(j);
}

static void job_free(struct job *j)
{
    for (size_t i = 0; i < j->n_loads; i++)
        rrd_done(&j->loads[i].rrd);
    for (size_t i = 0; i < j->n_writes; i++)
        buf_done(&j->writes[i].data);
    buf_done(&j->names);
    free(j->loads);
    free(j->writes);
    free(j->removals);
    free(j);
}

static void take_load(struct stats *s, struct load *l)
{
    bool is_there;
    size_t at = place_of(s, l->name, &is_there);

    if (!is_there || s->entries[at]->number != l->number)
        return;
    s->entries[at]->is_loaded = true;
    rrd_done(&s->entries[at]->rrd);
    s->entries[at]->rrd = l->rrd;
    rrd_init(&l->rrd, 0);
}

static void worked(void *ctx)
{
    struct job *j = ctx;
    struct stats *s = j->stats;

    s->has_job = false;
    s->host = j->host;
    for (size_t i = 0; i < j->n_loads; i++)
        take_load(s, &j->loads[i]);
    if (j->is_listing)
        remove_unknown(s, &j->names);
    if (j->r < 0 && !s->has_complained)
        log_err(LOG_WARN, &j->err, "statistics are not kept");
    s->has_complained = j->r < 0;
    job_free(j);
}

/* Everything the next job is to do; NULL when out of memory, and then nothing is lost but time. */
static struct job *collect(struct stats *s)
{
    struct job *j = calloc(1, sizeof(*j));

    if (!j)
        return NULL;
    j->stats = s;
    j->dirfd = s->dirfd;
    buf_init(&j->names, 16u << 20);
    j->loads = calloc(s->n ? s->n : 1, sizeof(*j->loads));
    j->writes = calloc(s->n ? s->n : 1, sizeof(*j->writes));
    if (!j->loads || !j->writes) {
        job_free(j);
        return NULL;
    }
    for (size_t i = 0; i < s->n; i++) {
        struct entry *n = s->entries[i];
        if (!n->is_loaded) {
            struct load *l = &j->loads[j->n_loads++];
            l->number = n->number;
            memcpy(l->name, n->name, sizeof(l->name));
            rrd_init(&l->rrd, n->rrd.n_ds);
        } else if (n->rrd.has_new_minute) {
            struct write *w = &j->writes[j->n_writes++];
            memcpy(w->name, n->name, sizeof(w->name));
            buf_init(&w->data, 1u << 20);
            rrd_take(&n->rrd, &w->data);
        }
    }
    j->removals = s->removals;
    j->n_removals = s->n_removals;
    s->removals = NULL;
    s->n_removals = s->removals_cap = 0;
    j->is_listing = !s->has_listed;
    s->has_listed = true;
    return j;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct stats *s = arg;
    struct err e = ERR_INIT;

    s->tick++;
    sample_node(s);
    for (size_t i = 0; i < guest_count(s->api->guests); i++)
        if (guest_at(s->api->guests, i)->state == GUEST_RUNNING)
            sample_guest(s, guest_at(s->api->guests, i));
    sample_storages(s);
    struct job *j = s->has_job ? NULL : collect(s);
    if (!j)
        return;
    s->has_job = pool_submit(s->queue, work, worked, j, &e) == 0;
    if (!s->has_job)
        job_free(j);
}

int stats_new(struct api *a, struct stats **ret, struct err *e)
{
    struct stats *s = calloc(1, sizeof(*s));
    struct timeval period = {.tv_sec = PERIOD_S};
    char path[4200];

    if (!s)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    s->api = a;
    s->dirfd = -EBADF;
    snprintf(path, sizeof(path), "%s/var/rrd", a->root_dir);
    s->timer = event_new(a->base, -1, EV_PERSIST, on_tick, s);
    int r = s->timer && event_add(s->timer, &period) == 0 ? fs_open_dir(AT_FDCWD, path, 0700, &s->dirfd, e)
                                                          : err_set(e, -ENOMEM, NULL, "out of memory");
    if (r == 0)
        r = pool_new(a->base, 1, 16, &s->queue, e);
    if (r == 0)
        r = state_watch(a->state, "shared/guest/", on_guest, s, &s->watch, e);
    if (r < 0) {
        stats_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void stats_free(struct stats *s)
{
    if (!s)
        return;
    state_unwatch(s->watch);
    if (s->timer)
        event_free(s->timer);
    pool_free(s->queue);
    /* The last minute, unfinished as it is, for the next daemon. */
    for (size_t i = 0; i < s->n; i++)
        s->entries[i]->rrd.has_new_minute = s->entries[i]->is_loaded;
    struct job *j = s->dirfd >= 0 ? collect(s) : NULL;
    if (j) {
        j->n_loads = 0;
        work(j);
        job_free(j);
    }
    for (size_t i = 0; i < s->n; i++)
        entry_free(s->entries[i]);
    free(s->entries);
    free(s->removals);
    if (s->dirfd >= 0)
        close(s->dirfd);
    free(s);
}
