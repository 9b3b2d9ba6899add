/* See uploads.h. */
#include "api/uploads.h"

#include <event2/event.h>
#include <jansson.h>
#include <sodium.h>

#include "base/clock.h"
#include "base/log.h"
#include "guest/storages.h"
#include "task/pool.h"

#define UPLOAD_KEY      "local/upload/"
#define STORAGE_KEY     "shared/storage/"
#define TICK_S          60
#define SHARED_MARGIN_S (2 * UPLOAD_LIFE_S) /* on a shared storage a part may be another node's */

struct uploads {
    struct api *api;
    struct list_node parts;
    struct state_watch *watches[2];
    struct event *tick;
    bool is_started;
};

/* ---- memory ---- */

static void drop(struct upload_part *p)
{
    list_remove(&p->node);
    if (p->storage)
        storage_unref(p->storage);
    free(p);
}

struct upload_part *uploads_next(struct uploads *u, const char *storage, const struct upload_part *after)
{
    struct list_node *n = after ? after->node.next : u->parts.next;

    for (; n != &u->parts; n = n->next) {
        struct upload_part *p = container_of(n, struct upload_part, node);
        if (streq(p->volume.storage, storage))
            return p;
    }
    return NULL;
}

struct upload_part *uploads_find(struct uploads *u, const char *storage, const char *id)
{
    struct upload_part *p = uploads_next(u, storage, NULL);

    while (p && !streq(p->id, id))
        p = uploads_next(u, storage, p);
    return p;
}

static int check_limits(struct uploads *u, const char *storage, const char *user, struct err *e)
{
    unsigned n = 0, n_own = 0;

    for (struct upload_part *p = uploads_next(u, storage, NULL); p; p = uploads_next(u, storage, p)) {
        n++;
        n_own += streq(p->user, user);
    }
    if (n_own < UPLOADS_PER_USER && n < UPLOADS_PER_STORAGE)
        return 0;
    err_set(e, -EDQUOT, "upload.limit", "too many unfinished uploads on storage '%s'", storage);
    return err_hint(e, "finish or give up one of them; each goes away a day after its last piece");
}

int uploads_add(struct uploads *u, const struct volume_id *v, const char *user, struct storage *s,
                struct upload_part **ret, struct err *e)
{
    uint8_t id[VOLUME_PART_ID_LEN / 2];
    int r = check_limits(u, v->storage, user, e);
    struct upload_part *p = r == 0 ? calloc(1, sizeof(*p)) : NULL;

    if (!p)
        return r < 0 ? r : err_set(e, -ENOMEM, NULL, "out of memory");
    randombytes_buf(id, sizeof(id));
    sodium_bin2hex(p->id, sizeof(p->id), id, sizeof(id));
    p->volume = *v;
    snprintf(p->user, sizeof(p->user), "%s", user);
    snprintf(p->sha256, sizeof(p->sha256), UPLOAD_SHA256_EMPTY);
    p->at_s = clock_wall_s();
    p->is_busy = true;
    p->storage = storage_ref(s);
    list_add_tail(&u->parts, &p->node);
    *ret = p;
    return 0;
}

/* ---- rows ---- */

static void row_key(const struct upload_part *p, char dst[64])
{
    snprintf(dst, 64, UPLOAD_KEY "%s", p->id);
}

void uploads_save(struct uploads *u, const struct upload_part *p, state_done_fn done, void *arg)
{
    char key[64], volid[VOLUME_ID_MAX + 1];
    struct state_txn *t = state_txn_new();
    autobuf struct buf b;
    struct jw w;

    row_key(p, key);
    volume_id_format(&p->volume, volid, sizeof(volid));
    buf_init(&b, 8192);
    jw_init(&w, &b);
    jw_object(&w);
    jw_kv_str(&w, "volid", volid);
    jw_kv_str(&w, "user", p->user);
    jw_kv_u64(&w, "size", p->size_bytes);
    jw_kv_u64(&w, "received", p->received_bytes);
    jw_kv_str(&w, "sha256", p->sha256);
    jw_kv_str(&w, "digest", p->digest);
    jw_kv_str(&w, "checksum", p->checksum);
    jw_kv_int(&w, "at", p->at_s);
    jw_object_end(&w);
    if (t)
        state_txn_put(t, key, buf_str(&b));
    state_commit(u->api->state, t, done, arg);
}

static bool take_text(const json_t *j, const char *key, char *dst, size_t cap)
{
    const char *text = json_string_value(json_object_get(j, key));

    return text && str_copy(dst, cap, text) >= 0;
}

static bool take_row(const json_t *j, struct upload_part *p)
{
    const char *volid = json_string_value(json_object_get(j, "volid"));
    int64_t size = json_integer_value(json_object_get(j, "size"));
    int64_t received = json_integer_value(json_object_get(j, "received"));
    struct err ignored = ERR_INIT;

    if (!volid || volume_id_parse(volid, &p->volume, &ignored) < 0 || size < 0 || received < 0 || received > size)
        return false;
    p->size_bytes = (uint64_t)size;
    p->received_bytes = (uint64_t)received;
    p->at_s = json_integer_value(json_object_get(j, "at"));
    return take_text(j, "user", p->user, sizeof(p->user)) && take_text(j, "sha256", p->sha256, sizeof(p->sha256)) &&
           take_text(j, "digest", p->digest, sizeof(p->digest)) &&
           take_text(j, "checksum", p->checksum, sizeof(p->checksum));
}

/* What exists at the start; later changes are our own. */
static void on_row(void *arg, const char *key, const char *value, uint64_t revision)
{
    struct uploads *u = arg;
    const char *id = key + strlen(UPLOAD_KEY);
    json_error_t je;

    LIST_FOREACH(k, &u->parts, struct upload_part, node)
    if (streq(k->id, id))
        return;
    struct upload_part *p = value && volume_part_id_is_valid(id) ? calloc(1, sizeof(*p)) : NULL;
    json_t *j = p ? json_loads(value, 0, &je) : NULL;
    if (j && take_row(j, p)) {
        snprintf(p->id, sizeof(p->id), "%s", id);
        list_add_tail(&u->parts, &p->node);
    } else {
        free(p);
    }
    json_decref(j);
}

/* ---- the end of one ---- */

struct ending {
    struct uploads *uploads;
    struct upload_part *part;
    struct storage *storage;
    void (*done)(void *arg, int r, const struct err *e);
    void *arg;
    int r;
    struct err err;
};

static void ending_free(struct ending *k)
{
    if (k->storage)
        storage_unref(k->storage);
    free(k);
}

static void on_row_gone(void *arg, int r, uint64_t revision, const struct err *e)
{
    struct ending *k = arg;

    /* If it could not be written, the next start finds that the file is gone. */
    drop(k->part);
    if (r < 0)
        log_err(LOG_WARN, e, "an upload's end");
    if (k->done)
        k->done(k->arg, 0, e);
    ending_free(k);
}

static void delete_row(struct ending *k)
{
    char key[64];
    struct state_txn *t = state_txn_new();

    row_key(k->part, key);
    if (t)
        state_txn_delete(t, key);
    state_commit(k->uploads->api->state, t, on_row_gone, k);
}

static void remove_work(void *ctx)
{
    struct ending *k = ctx;

    k->r = volume_part_delete(k->storage, &k->part->volume, k->part->id, &k->err);
}

static void remove_done(void *ctx)
{
    struct ending *k = ctx;

    if (k->r == 0) {
        delete_row(k);
        return;
    }
    k->part->is_busy = false;
    if (k->done)
        k->done(k->arg, k->r, &k->err);
    else
        log_debug("an upload is not removed: %s", k->err.text);
    ending_free(k);
}

static struct ending *ending_new(struct uploads *u, struct upload_part *p,
                                 void (*done)(void *arg, int r, const struct err *e), void *arg)
{
    struct ending *k = calloc(1, sizeof(*k));

    if (k)
        *k = (struct ending){.uploads = u, .part = p, .done = done, .arg = arg};
    return k;
}

static void no_memory(struct upload_part *p, void (*done)(void *arg, int r, const struct err *e), void *arg)
{
    struct err e = ERR_INIT;

    p->is_busy = false;
    err_set(&e, -ENOMEM, NULL, "out of memory");
    if (done)
        done(arg, e.num, &e);
}

void uploads_forget(struct uploads *u, struct upload_part *p, void (*done)(void *arg, int r, const struct err *e),
                    void *arg)
{
    struct ending *k = ending_new(u, p, done, arg);

    if (k)
        delete_row(k);
    else
        no_memory(p, done, arg);
}

void uploads_remove(struct uploads *u, struct upload_part *p, void (*done)(void *arg, int r, const struct err *e),
                    void *arg)
{
    struct ending *k = ending_new(u, p, done, arg);

    if (!k) {
        no_memory(p, done, arg);
        return;
    }
    k->storage = p->storage ? storage_ref(p->storage) : NULL;
    if (!k->storage) { /* it is unknown where the file was */
        delete_row(k);
        return;
    }
    struct err e = ERR_INIT;
    if (pool_submit(u->api->pool, remove_work, remove_done, k, &e) == 0)
        return; /* k is the thread's until remove_done */
    k->r = e.num;
    k->err = e;
    remove_done(k);
}

/* ---- time ---- */

/* A storage that only changed is taken as it is now, for removing the file. */
static bool has_storage(struct uploads *u, struct upload_part *p)
{
    const struct storage_entry *en = storage_mgr_find(u->api->storages, p->volume.storage);

    if (en && en->storage != p->storage) {
        if (p->storage)
            storage_unref(p->storage);
        p->storage = storage_ref(en->storage);
    }
    return en;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct uploads *u = arg;
    int64_t oldest = clock_wall_s() - UPLOAD_LIFE_S;

    if (!u->is_started)
        return;
    LIST_FOREACH_SAFE(p, &u->parts, struct upload_part, node)
    {
        if (p->is_busy || (has_storage(u, p) && p->at_s > oldest))
            continue;
        log_note("upload of '%s' to storage '%s' by '%s' is given up", p->volume.name, p->volume.storage, p->user);
        p->is_busy = true;
        uploads_remove(u, p, NULL, NULL);
    }
}

void uploads_release(struct uploads *u, struct upload_part *p)
{
    p->is_busy = false;
    if (!storage_mgr_find(u->api->storages, p->volume.storage))
        event_active(u->tick, EV_TIMEOUT, 0);
}

/* Later in this turn: whoever keeps the storages hears of it too. */
static void on_storage(void *arg, const char *key, const char *value, uint64_t revision)
{
    struct uploads *u = arg;

    if (u->tick)
        event_active(u->tick, EV_TIMEOUT, 0);
}

/* ---- the start ---- */

struct meeting {
    struct uploads *uploads;
    struct storage *storage;
    int64_t older_than_s;
    size_t n_removed;
};

static int meet_file(void *arg, const struct storage_part *found)
{
    struct meeting *m = arg;
    struct volume_id v = {.content = found->content};
    struct upload_part *p = uploads_find(m->uploads, storage_name(m->storage), found->id);
    struct err e = ERR_INIT;

    if (p && p->volume.content == found->content) {
        p->is_busy = false;
    } else if (found->mtime_s < m->older_than_s) {
        if (volume_part_delete(m->storage, &v, found->id, &e) < 0)
            log_err(LOG_WARN, &e, "storage '%s'", storage_name(m->storage));
        else
            m->n_removed++;
    }
    return 0;
}

static void meet_storage(struct uploads *u, struct storage *s)
{
    struct meeting m = {.uploads = u,
                        .storage = s,
                        .older_than_s = storage_is_shared(s) ? clock_wall_s() - SHARED_MARGIN_S : INT64_MAX};
    struct upload_part *p, *next;
    struct err e = ERR_INIT;

    /* Busy means here: its file was not seen. */
    for (p = uploads_next(u, storage_name(s), NULL); p; p = uploads_next(u, storage_name(s), p))
        p->is_busy = true;
    if (storage_parts(s, meet_file, &m, &e) < 0) {
        log_err(LOG_WARN, &e, "unfinished uploads");
        for (p = uploads_next(u, storage_name(s), NULL); p; p = uploads_next(u, storage_name(s), p))
            p->is_busy = false;
        return;
    }
    if (m.n_removed)
        log_note("storage '%s': removed %zu parts of uploads that nobody knows", storage_name(s), m.n_removed);
    for (p = uploads_next(u, storage_name(s), NULL); p; p = next) {
        next = uploads_next(u, storage_name(s), p);
        if (p->is_busy) /* it was finished, or somebody removed it */
            uploads_forget(u, p, NULL, NULL);
    }
}

void uploads_start(struct uploads *u)
{
    for (size_t i = 0; i < storage_mgr_count(u->api->storages); i++) {
        struct storage *s = storage_mgr_at(u->api->storages, i)->storage;
        if (storage_is_enabled(s) && storage_is_on_node(s, u->api->node))
            meet_storage(u, s);
    }
    u->is_started = true;
    on_tick(-1, 0, u);
}

int uploads_new(struct api *api, struct uploads **ret, struct err *e)
{
    static const struct timeval period = {.tv_sec = TICK_S};
    struct uploads *u = calloc(1, sizeof(*u));

    if (!u)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    u->api = api;
    list_init(&u->parts);
    int r = state_watch(api->state, UPLOAD_KEY, on_row, u, &u->watches[0], e);
    if (r == 0)
        r = state_watch(api->state, STORAGE_KEY, on_storage, u, &u->watches[1], e);
    if (r == 0) {
        u->tick = event_new(api->base, -1, EV_PERSIST, on_tick, u);
        if (!u->tick || event_add(u->tick, &period) < 0)
            r = err_set(e, -ENOMEM, NULL, "out of memory");
    }
    if (r < 0) {
        uploads_free(u);
        return r;
    }
    *ret = u;
    return 0;
}

void uploads_free(struct uploads *u)
{
    if (!u)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(u->watches); i++)
        if (u->watches[i])
            state_unwatch(u->watches[i]);
    if (u->tick)
        event_free(u->tick);
    LIST_FOREACH_SAFE(p, &u->parts, struct upload_part, node)
    drop(p);
    free(u);
}
