/* POST /storage, PUT and DELETE /storage/{storage}: PVE: pve-storage, API2/Storage/Config.pm. A storage is one state
 * key; what its type does not act on is refused by name, so that no setting is silently without effect. The path is
 * looked at in a pool thread. */
#include <jansson.h>
#include <limits.h>
#include <sodium.h>

#include "api/access_common.h"
#include "api/storage_common.h"

/* Parameters that one type of storage or another takes; "type" and "path" only when it is made. */
static const struct {
    const char *key;
    bool is_bool, is_fixed;
} keys[] = {
    {"content", false, false},       {"nodes", false, false},         {"disable", true, false},
    {"shared", true, false},         {"preallocation", false, false}, {"format", false, false},
    {"is_mountpoint", false, false}, {"mkdir", true, false},          {"create-base-path", true, false},
    {"create-subdirs", true, false}, {"prune-backups", false, false}, {"path", false, true},
    {"nocow", true, false},          {"bwlimit", false, false},
};

/* Refused for a reason of their own; the rest belongs to other types. */
static const struct {
    const char *key, *reason;
} refused_keys[] = {
    {"content-dirs", "the folders of a storage have fixed names"},
    {"max-protected-backups", "backups are not counted yet"},
};

static int find_key(const char *type, const char *key)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (streq(keys[i].key, key))
            return storage_type_takes(type, key) ? (int)i : -1;
    return -1;
}

static bool is_of_route(const char *key)
{
    return streq(key, "storage") || streq(key, "type") || streq(key, "delete") || streq(key, "digest");
}

static void refuse(struct api_call *c, const char *type, const char *key, struct err *e)
{
    for (size_t i = 0; i < ARRAY_SIZE(refused_keys); i++)
        if (streq(refused_keys[i].key, key)) {
            api_param_error(c, e, key, "%s", refused_keys[i].reason);
            return;
        }
    api_param_error(c, e, key, "a storage of type '%s' has no such setting", type);
}

static int take_params(struct api_call *c, const char *type, json_t *config, struct err *e)
{
    for (size_t i = 0; i < c->n_raw; i++) {
        const char *key = c->raw[i].key, *value = c->raw[i].value;
        int at = find_key(type, key);
        if (is_of_route(key))
            continue;
        if (at < 0)
            refuse(c, type, key, e);
        else if (json_object_set_new(config, key,
                                     keys[at].is_bool ? json_integer(api_bool(value) == 1) : json_string(value)) < 0)
            return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    return c->param_errors.len ? -EINVAL : 0;
}

static int take_deletes(struct api_call *c, const char *type, const char *list, json_t *config, struct err *e)
{
    char key[64];

    for (const char *pos = list; pos && auth_list_next(&pos, key, sizeof(key));) {
        int at = find_key(type, key);
        if (at < 0 || keys[at].is_fixed)
            return api_param_error(c, e, "delete", "'%s' cannot be removed from a storage of type '%s'", key, type);
        if (api_raw_get(c, key))
            return api_param_error(c, e, "delete", "'%s' is set and removed at once", key);
        json_object_del(config, key);
    }
    return 0;
}

/* ---- the path ---- */

static bool is_below(const char *path, const char *top)
{
    size_t n = strlen(top);

    while (n > 1 && top[n - 1] == '/')
        n--;
    return strncmp(path, top, n) == 0 && (path[n] == '/' || path[n] == 0);
}

/* Holm's own folders hold the keys of everything; only what lies below its storage folder may be a storage. */
static int check_place(const char *path, const char *root_dir, struct err *e)
{
    static const char *const kernel[] = {"/proc", "/sys", "/dev"};
    char own[PATH_MAX], storages[PATH_MAX + 16];

    for (size_t i = 0; i < ARRAY_SIZE(kernel); i++)
        if (is_below(path, kernel[i]))
            return err_set(e, -EINVAL, "storage.path", "a storage cannot lie below %s", kernel[i]);
    if (!realpath(root_dir, own))
        return err_errno(e, errno, "look at %s", root_dir);
    snprintf(storages, sizeof(storages), "%s/var/storage", own);
    if (is_below(path, storages) && strlen(path) > strlen(storages) + 1)
        return 0;
    if (is_below(path, own) || is_below(own, path))
        return err_set(e, -EINVAL, "storage.path", "'%s' holds or lies in the daemon's own state (%s)", path, own);
    return 0;
}

/* The path with its links followed, as far as it exists; the rest is put behind it. */
static int resolve_path(const char *path, char ret[PATH_MAX], struct err *e)
{
    autofree char *head = strdup(path);
    char real[PATH_MAX];
    size_t n = head ? strlen(head) : 0;

    if (!head)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    while (!realpath(n ? head : "/", real)) {
        if (errno != ENOENT)
            return err_errno(e, errno, "look at %s", head);
        while (n > 0 && head[n - 1] != '/')
            n--;
        while (n > 0 && head[n - 1] == '/')
            n--;
        head[n] = 0;
    }
    if (snprintf(ret, PATH_MAX, "%s%s", streq(real, "/") ? "" : real, path + n) >= PATH_MAX)
        return err_set(e, -ENAMETOOLONG, "storage.path", "the path is too long");
    return 0;
}

struct creation {
    const char *id, *type, *json, *root_dir;
    struct storage *storage;
    bool is_tried; /* it is to be used here, so it must work */
};

static int work_try(void *ctx, struct err *e)
{
    struct creation *k = ctx;
    const char *path = storage_path(k->storage);
    char real[PATH_MAX];
    struct storage_space space;
    int r = check_place(path, k->root_dir, e);

    if (r == 0)
        r = resolve_path(path, real, e);
    if (r == 0)
        r = check_place(real, k->root_dir, e);
    return r < 0 || !k->is_tried ? r : storage_space_get(k->storage, &space, e);
}

/* ---- create ---- */

static char *dump(json_t *config, const struct api_call *c)
{
    autofree char *text = json_dumps(config, JSON_COMPACT | JSON_SORT_KEYS);

    return text ? arena_strdup((struct arena *)(uintptr_t)&c->arena, text) : NULL;
}

static void reply_config(struct api_call *c, const char *id, const char *type)
{
    jw_object(&c->out);
    jw_kv_str(&c->out, "storage", id);
    jw_kv_str(&c->out, "type", type);
    jw_object_end(&c->out);
}

static int finish_create(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct creation *k = ctx;
    struct state_txn *t = NULL;

    storage_unref(k->storage);
    if (r == 0 && !(t = state_txn_new()))
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    /* Nobody inherits what an older storage of this name left behind. */
    if (r == 0)
        r = access_forget_old(c, t, AUTH_STORAGE, k->id, e);
    if (r < 0) {
        state_txn_free(t);
        return err_wrap(e, r, "create storage failed");
    }
    const char *key = arena_printf(&c->arena, "shared/storage/%s", k->id);
    state_txn_expect(t, key ? key : "", 0);
    state_txn_put(t, key ? key : "", k->json);
    reply_config(c, k->id, k->type);
    return api_commit(c, t);
}

static int check_new(struct api_call *c, const struct api_storage_create_args *a, struct err *e)
{
    char types[80];

    storage_types_format(types, sizeof(types));
    if (!storage_type_takes(a->type, "type"))
        return api_param_error(c, e, "type", "storages of type '%s' are not supported: %s", a->type, types);
    if (!a->path)
        return api_param_error(c, e, "path", "property is missing and it is not optional");
    if (a->path[0] != '/')
        return api_param_error(c, e, "path", "the path of a storage is absolute");
    if (storage_mgr_find(c->api->storages, a->storage))
        return err_set(e, -EEXIST, "storage.exists", "create storage failed: storage ID '%s' already defined",
                       a->storage);
    if (storage_mgr_count(c->api->storages) >= STORAGES_MAX)
        return err_set(e, -ENOSPC, "storage.too-many",
                       "create storage failed: there are %u storages, which is the most", STORAGES_MAX);
    return 0;
}

/* Checks a configuration as the storage itself will. */
static int check_config(struct api_call *c, const char *id, json_t *config, const char **ret_json, struct storage **ret,
                        struct err *e)
{
    *ret_json = dump(config, c);
    return *ret_json ? storage_new(id, *ret_json, c->api->root_dir, ret, e)
                     : err_set(e, -ENOMEM, NULL, "out of memory");
}

int api_storage_create(struct api_call *c, const struct api_storage_create_args *a, struct err *e)
{
    struct creation *k = arena_alloc(&c->arena, sizeof(*k));
    json_t *config = json_pack("{s:s}", "type", a->type);
    int r = k && config ? check_new(c, a, e) : err_set(e, -ENOMEM, NULL, "out of memory");

    if (r == 0)
        r = take_params(c, a->type, config, e);
    if (r == 0) {
        *k = (struct creation){.id = a->storage, .type = a->type, .root_dir = c->api->root_dir};
        r = check_config(c, a->storage, config, &k->json, &k->storage, e);
    }
    json_decref(config);
    if (r < 0)
        return r;
    k->is_tried = storage_is_enabled(k->storage) && storage_is_on_node(k->storage, c->api->node);
    return api_offload(c, work_try, finish_create, k);
}

/* ---- update ---- */

void storage_digest(const struct storage *s, char hex[STORAGE_DIGEST_SIZE])
{
    const char *text = storage_json(s);
    unsigned char hash[(STORAGE_DIGEST_SIZE - 1) / 2];

    crypto_generichash(hash, sizeof(hash), (const unsigned char *)text, strlen(text), NULL, 0);
    sodium_bin2hex(hex, STORAGE_DIGEST_SIZE, hash, sizeof(hash));
}

static int need_storage(struct api_call *c, const char *what, const char *id, const struct storage_entry **ret,
                        struct err *e)
{
    *ret = storage_mgr_find(c->api->storages, id);
    return *ret ? 0
                : err_set(e, -ENOENT, "storage.missing", "%s storage failed: storage '%s' does not exist", what, id);
}

int api_storage_update(struct api_call *c, const struct api_storage_update_args *a, struct err *e)
{
    const struct storage_entry *en;
    struct storage *checked = NULL;
    char digest[STORAGE_DIGEST_SIZE];
    const char *json = NULL;
    int r = need_storage(c, "update", a->storage, &en, e);

    if (r < 0)
        return r;
    storage_digest(en->storage, digest);
    if (a->digest && !streq(a->digest, digest))
        return err_set(e, -EAGAIN, "state.conflict",
                       "detected modified configuration - file changed by other user? Try again.");
    json_t *config = json_loads(storage_json(en->storage), 0, NULL);
    const char *type = storage_type(en->storage);
    r = config ? take_params(c, type, config, e) : err_set(e, -ENOMEM, NULL, "out of memory");
    if (r == 0)
        r = take_deletes(c, type, a->delete, config, e);
    if (r == 0)
        r = check_config(c, a->storage, config, &json, &checked, e);
    json_decref(config);
    if (r < 0)
        return r;
    storage_unref(checked);
    struct state_txn *t = state_txn_new();
    const char *key = arena_printf(&c->arena, "shared/storage/%s", a->storage);
    if (t && key) {
        state_txn_expect(t, key, en->revision);
        state_txn_put(t, key, json);
    }
    reply_config(c, a->storage, type);
    return api_commit(c, t);
}

/* ---- delete ---- */

/* text ends with ':' (a storage) or is a whole volume; it stands at the beginning, or as an option's value. */
static bool mentions(const char *value, const char *text)
{
    size_t n = strlen(text);
    bool is_storage = text[n - 1] == ':';

    for (const char *p = strstr(value, text); p; p = strstr(p + 1, text))
        if ((p == value || p[-1] == ',' || p[-1] == '=') && (is_storage || p[n] == ',' || !p[n]))
            return true;
    return false;
}

static bool config_mentions(const struct config *cfg, const char *what)
{
    static const char *const texts[] = {"description", "name", "tags", "args"};

    for (size_t i = 0; i < cfg->n; i++) {
        bool is_text = false;
        for (size_t k = 0; k < ARRAY_SIZE(texts); k++)
            is_text = is_text || streq(cfg->items[i].key, texts[k]);
        if (!is_text && mentions(cfg->items[i].value, what))
            return true;
    }
    return false;
}

uint32_t storage_user(struct api *api, const char *text)
{
    for (size_t i = 0; i < guest_count(api->guests); i++) {
        const struct guest *g = guest_at(api->guests, i);
        if (config_mentions(&g->config, text) || config_mentions(&g->pending, text) ||
            config_mentions(&g->running, text))
            return g->vmid;
    }
    return 0;
}

/* Steps of these name volumes of a storage, and must find it until they have ended, undone or not. */
static bool is_changing_volumes(void *arg, const struct task_view *v)
{
    static const char *const types[] = {"qmcreate", "qmconfig",  "qmdestroy", "qmclone",
                                        "qmmove",   "qmrestore", "resize"};

    for (size_t i = 0; v->is_running && i < ARRAY_SIZE(types); i++)
        if (streq(v->upid.type, types[i]))
            *(bool *)arg = true;
    return !*(bool *)arg;
}

struct deletion {
    struct api_call *call;
    char id[STORAGE_ID_MAX + 1];
    uint64_t revision;
    bool is_gone;
};

static void on_deleted(void *arg, int r, uint64_t revision, const struct err *e);

/* As access_delete does it: what refers to the storage, piece by piece, and the storage with the last of it. */
static void delete_step(struct deletion *d)
{
    struct api_call *c = d->call;
    struct state_txn *t = state_txn_new();
    size_t n = t ? auth_txn_forget(c->api->auth, t, AUTH_STORAGE, d->id, ACCESS_FORGET_MAX) : 0;
    char key[STORAGE_ID_MAX + 20];

    if (t && d->is_gone && n == 0) {
        state_txn_free(t);
        api_finish(c, 0, NULL);
        free(d);
        return;
    }
    if (t && !d->is_gone && n < ACCESS_FORGET_MAX) {
        snprintf(key, sizeof(key), "shared/storage/%s", d->id);
        state_txn_expect(t, key, d->revision);
        state_txn_delete(t, key);
        d->is_gone = true;
    }
    state_commit(c->api->state, t, on_deleted, d);
}

static void on_deleted(void *arg, int r, uint64_t revision, const struct err *e)
{
    struct deletion *d = arg;
    struct err why = *e;

    if (r == 0) {
        delete_step(d);
        return;
    }
    if (r == -EAGAIN)
        r = err_set(&why, r, "state.conflict",
                    "detected modified configuration - file changed by other user? Try again.");
    api_finish(d->call, r, &why);
    free(d);
}

int api_storage_delete(struct api_call *c, const struct api_storage_delete_args *a, struct err *e)
{
    const struct storage_entry *en;
    char prefix[STORAGE_ID_MAX + 2];
    bool is_busy = false;
    int r = need_storage(c, "delete", a->storage, &en, e);

    if (r < 0)
        return r;
    snprintf(prefix, sizeof(prefix), "%s:", a->storage);
    uint32_t vmid = storage_user(c->api, prefix);
    if (vmid)
        return err_set(e, -EBUSY, "storage.in-use", "delete storage failed: storage '%s' is used by guest %u",
                       a->storage, vmid);
    task_each(c->api->tasks, is_changing_volumes, &is_busy);
    if (is_busy)
        return err_set(e, -EBUSY, "storage.busy",
                       "delete storage failed: tasks are changing volumes; try again when they have ended");
    struct deletion *d = calloc(1, sizeof(*d));
    if (!d || str_copy(d->id, sizeof(d->id), a->storage) < 0) {
        free(d);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    d->call = c;
    d->revision = en->revision;
    delete_step(d);
    return API_LATER;
}
