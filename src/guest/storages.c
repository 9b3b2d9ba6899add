/* Storages of this node; see storages.h. `lock` guards the array against storage_mgr_ref from other threads. */
#include "guest/storages.h"

#include <event2/event.h>
#include <pthread.h>

#include "base/clock.h"
#include "base/log.h"
#include "task/pool.h"

#define SAMPLE_PERIOD_S 10
#define SAMPLE_THREADS  8u     /* so many storages may hang before the others' space is no longer looked at */
#define HANGING_MS      10000u /* a sample that takes longer */
#define STORAGE_KEY     "shared/storage/"
#define STORAGE_LOCAL                                                                                                  \
    "{\"type\":\"dir\",\"path\":\"var/storage/"                                                                        \
    "local\",\"content\":\"images,rootdir,vztmpl,iso,backup,snippets,import,boot\"}"

struct storage_mgr {
    struct event_base *base;
    struct pool *pool; /* of the samples only */
    char *root_dir, *node;
    struct state_watch *watch;
    struct event *timer;
    pthread_mutex_t lock;
    struct storage_entry entries[STORAGES_MAX];
    size_t n;
};

struct sample {
    struct storage_mgr *mgr;
    struct storage *storage;
    struct storage_space space;
    int r;
    struct err err;
};

static size_t position(struct storage_mgr *m, const char *id, bool *ret_found)
{
    size_t i = 0;

    while (i < m->n && strcmp(storage_name(m->entries[i].storage), id) < 0)
        i++;
    *ret_found = i < m->n && streq(storage_name(m->entries[i].storage), id);
    return i;
}

static bool is_usable(const struct storage_mgr *m, const struct storage *s)
{
    return storage_is_enabled(s) && storage_is_on_node(s, m->node);
}

static bool is_hanging(const struct storage_entry *en)
{
    return en->sampling_since_ms && clock_boot_ms() - en->sampling_since_ms > HANGING_MS;
}

static void set_sampling(struct storage_mgr *m, struct storage_entry *en, bool is_sampling)
{
    pthread_mutex_lock(&m->lock);
    en->is_sampling = is_sampling;
    en->sampling_since_ms = is_sampling ? clock_boot_ms() : 0;
    pthread_mutex_unlock(&m->lock);
}

static void sample_in_thread(void *ctx)
{
    struct sample *s = ctx;

    s->r = storage_space_get(s->storage, &s->space, &s->err);
}

static void sample_done(void *ctx)
{
    struct sample *s = ctx;
    bool found;
    size_t i = position(s->mgr, storage_name(s->storage), &found);

    /* One that was changed meanwhile has its own sample under way. */
    if (found && s->mgr->entries[i].storage == s->storage) {
        struct storage_entry *en = &s->mgr->entries[i];
        set_sampling(s->mgr, en, false);
        en->is_active = s->r == 0;
        en->sampled_boot_ms = clock_boot_ms();
        if (s->r == 0)
            en->space = s->space;
        snprintf(en->problem, sizeof(en->problem), "%s", s->r < 0 ? s->err.text : "");
    }
    storage_unref(s->storage);
    free(s);
}

static void sample(struct storage_mgr *m, struct storage_entry *en)
{
    struct err e = ERR_INIT;

    if (is_hanging(en)) {
        en->is_active = false;
        snprintf(en->problem, sizeof(en->problem), "it does not answer");
    }
    struct sample *s = en->is_sampling || !is_usable(m, en->storage) ? NULL : calloc(1, sizeof(*s));
    if (!s)
        return;
    s->mgr = m;
    s->storage = storage_ref(en->storage);
    if (pool_submit(m->pool, sample_in_thread, sample_done, s, &e) < 0) {
        storage_unref(s->storage);
        free(s);
        return;
    }
    set_sampling(m, en, true);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct storage_mgr *m = arg;

    for (size_t i = 0; i < m->n; i++)
        sample(m, &m->entries[i]);
}

static void remove_at(struct storage_mgr *m, size_t i)
{
    storage_unref(m->entries[i].storage);
    memmove(&m->entries[i], &m->entries[i + 1], (m->n - i - 1) * sizeof(m->entries[0]));
    m->n--;
}

static void on_storage(void *arg, const char *key, const char *value, uint64_t revision)
{
    struct storage_mgr *m = arg;
    const char *id = key + strlen(STORAGE_KEY);
    struct err e = ERR_INIT;
    struct storage *s = NULL;
    bool found;

    if (value && storage_new(id, value, m->root_dir, &s, &e) < 0)
        log_err(LOG_ERROR, &e, "storage '%s' is not usable", id);
    pthread_mutex_lock(&m->lock);
    size_t i = position(m, id, &found);
    if (found)
        remove_at(m, i);
    if (s && m->n < STORAGES_MAX) {
        memmove(&m->entries[i + 1], &m->entries[i], (m->n - i) * sizeof(m->entries[0]));
        m->entries[i] = (struct storage_entry){.storage = TAKE_PTR(s), .revision = revision};
        m->n++;
    }
    pthread_mutex_unlock(&m->lock);
    if (s)
        storage_unref(s);
    else if (value && i < m->n)
        sample(m, &m->entries[i]);
}

int storage_mgr_new(struct event_base *base, struct state *s, const char *root_dir, const char *node,
                    struct storage_mgr **ret, struct err *e)
{
    struct storage_mgr *m = calloc(1, sizeof(*m));
    struct timeval period = {.tv_sec = SAMPLE_PERIOD_S};

    if (!m)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    m->base = base;
    pthread_mutex_init(&m->lock, NULL);
    m->root_dir = strdup(root_dir);
    m->node = strdup(node);
    m->timer = event_new(base, -1, EV_PERSIST, on_timer, m);
    if (!m->root_dir || !m->node || !m->timer || event_add(m->timer, &period) < 0) {
        storage_mgr_free(m);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    int r = pool_new(base, SAMPLE_THREADS, STORAGES_MAX * 2, &m->pool, e);
    if (r == 0)
        r = state_watch(s, STORAGE_KEY, on_storage, m, &m->watch, e);
    if (r < 0) {
        storage_mgr_free(m);
        return r;
    }
    *ret = m;
    return 0;
}

void storage_mgr_free(struct storage_mgr *m)
{
    if (!m)
        return;
    if (m->watch)
        state_unwatch(m->watch);
    if (m->pool)
        pool_free(m->pool);
    while (m->n)
        remove_at(m, m->n - 1);
    if (m->timer)
        event_free(m->timer);
    pthread_mutex_destroy(&m->lock);
    free(m->root_dir);
    free(m->node);
    free(m);
}

size_t storage_mgr_count(struct storage_mgr *m)
{
    return m->n;
}

const struct storage_entry *storage_mgr_at(struct storage_mgr *m, size_t i)
{
    return i < m->n ? &m->entries[i] : NULL;
}

const struct storage_entry *storage_mgr_find(struct storage_mgr *m, const char *id)
{
    bool found;
    size_t i = position(m, id, &found);

    return found ? &m->entries[i] : NULL;
}

int storage_mgr_ref(struct storage_mgr *m, const char *id, struct storage **ret, struct err *e)
{
    int r = 0;

    pthread_mutex_lock(&m->lock);
    const struct storage_entry *en = storage_mgr_find(m, id);
    if (!en)
        r = err_set(e, -ENOENT, "storage.missing", "storage '%.64s' does not exist", id);
    else if (!storage_is_enabled(en->storage))
        r = err_set(e, -EACCES, "storage.disabled", "storage '%s' is disabled", id);
    else if (!storage_is_on_node(en->storage, m->node))
        r = err_set(e, -EACCES, "storage.node", "storage '%s' is not available on node '%s'", id, m->node);
    else if (is_hanging(en))
        r = err_set(e, -EAGAIN, "storage.hanging", "storage '%s' does not answer", id);
    else
        *ret = storage_ref(en->storage);
    pthread_mutex_unlock(&m->lock);
    return r;
}

void storage_mgr_sweep(struct storage_mgr *m)
{
    for (size_t i = 0; i < m->n; i++) {
        struct err e = ERR_INIT;
        size_t n_removed = 0;
        const char *id = storage_name(m->entries[i].storage);
        if (!is_usable(m, m->entries[i].storage))
            continue;
        /* Nobody of this daemon has begun to write: what is there, though of this second, is of the last one. */
        if (storage_sweep(m->entries[i].storage, clock_wall_s() + 1, &n_removed, &e) < 0)
            log_err(LOG_WARN, &e, "storage '%s'", id);
        else if (n_removed)
            log_note("storage '%s': removed %zu unfinished files", id, n_removed);
    }
}

struct state_txn *storage_mgr_first(struct storage_mgr *m)
{
    struct state_txn *t = m->n ? NULL : state_txn_new();

    if (t)
        state_txn_put(t, STORAGE_KEY "local", STORAGE_LOCAL);
    return t;
}
