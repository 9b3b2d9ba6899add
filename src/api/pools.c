/* Pools of guests and storages, in PVE's new form (/pools?poolid=) and the old one (/pools/{poolid}). PVE: pve-manager,
 * Pools.pm. */
#include <jansson.h>

#include "api/access_lists.h"

static json_t *find(struct api_call *c, const char *pool)
{
    return auth_object(c->api->auth, AUTH_POOL, pool);
}

static int missing(const char *pool, struct err *e)
{
    return err_set(e, -ENOENT, "pool.missing", "pool '%s' does not exist", pool);
}

static bool is_wanted(const char *type, const char *wanted)
{
    return !wanted || streq(wanted, type);
}

static void write_storage_member(struct api_call *c, const char *id)
{
    const struct storage_entry *s = storage_mgr_find(c->api->storages, id);
    char full[AUTH_PATH_MAX], content[96];

    snprintf(full, sizeof(full), "storage/%s/%s", c->api->node, id);
    jw_object(&c->out);
    jw_kv_str(&c->out, "id", full);
    jw_kv_str(&c->out, "type", "storage");
    jw_kv_str(&c->out, "storage", id);
    jw_kv_str(&c->out, "node", c->api->node);
    if (s) {
        storage_contents_format(storage_contents(s->storage), content, sizeof(content));
        jw_kv_str(&c->out, "status", s->is_active ? "available" : "unknown");
        jw_kv_str(&c->out, "content", content);
        jw_kv_str(&c->out, "plugintype", storage_type(s->storage));
        jw_kv_u64(&c->out, "disk", s->space.used_bytes);
        jw_kv_u64(&c->out, "maxdisk", s->space.total_bytes);
    }
    jw_object_end(&c->out);
}

static void write_members(struct api_call *c, json_t *pool, const char *type)
{
    json_t *m;
    size_t i;

    jw_key(&c->out, "members");
    jw_array(&c->out);
    json_array_foreach(json_object_get(pool, "vms"), i, m)
    {
        uint32_t vmid = (uint32_t)json_integer_value(m);
        if (is_wanted("qemu", type) && guest_find(c->api->guests, vmid) && api_may_see_guest(c, vmid))
            guest_summary_write(&c->out, c->api->guests, vmid);
    }
    json_array_foreach(json_object_get(pool, "storage"), i, m)
    {
        if (is_wanted("storage", type) && api_may_see_storage(c, json_string_value(m)))
            write_storage_member(c, json_string_value(m));
    }
    jw_array_end(&c->out);
}

static void write_head(struct api_call *c, const char *id, json_t *pool)
{
    const char *comment = json_string_value(json_object_get(pool, "comment"));

    jw_kv_str(&c->out, "poolid", id);
    if (comment && *comment)
        jw_kv_str(&c->out, "comment", comment);
}

int api_pools_list(struct api_call *c, const struct api_pools_list_args *a, struct err *e)
{
    json_t *pools = auth_objects(c->api->auth, AUTH_POOL);

    if (a->poolid) {
        char path[AUTH_PATH_MAX];
        snprintf(path, sizeof(path), "/pool/%s", a->poolid);
        int r = api_require(c, path, PRIV_M(POOL_AUDIT), true, e);
        if (r < 0)
            return r;
        if (!find(c, a->poolid))
            return missing(a->poolid, e);
    }
    jw_array(&c->out);
    for (const char **id = access_sorted_ids(c, pools); id && *id; id++) {
        if ((a->poolid && !streq(a->poolid, *id)) || !api_may_see_pool(c, *id))
            continue;
        jw_object(&c->out);
        write_head(c, *id, json_object_get(pools, *id));
        if (a->poolid)
            write_members(c, json_object_get(pools, *id), a->type);
        jw_object_end(&c->out);
    }
    jw_array_end(&c->out);
    return 0;
}

int api_pools_read_old(struct api_call *c, const struct api_pools_read_old_args *a, struct err *e)
{
    json_t *pool = find(c, a->poolid);

    if (!pool)
        return missing(a->poolid, e);
    jw_object(&c->out);
    const char *comment = json_string_value(json_object_get(pool, "comment"));
    if (comment && *comment)
        jw_kv_str(&c->out, "comment", comment);
    write_members(c, pool, a->type);
    jw_object_end(&c->out);
    return 0;
}

int api_pools_create(struct api_call *c, const struct api_pools_create_args *a, struct err *e)
{
    const char *slash = strrchr(a->poolid, '/');
    struct state_txn *t;

    if (find(c, a->poolid))
        return err_set(e, -EEXIST, "pool.exists", "pool '%s' already exists", a->poolid);
    if (slash && !find(c, arena_strndup(&c->arena, a->poolid, (size_t)(slash - a->poolid))))
        return err_set(e, -ENOENT, "pool.missing", "parent pool of '%s' does not exist", a->poolid);
    t = state_txn_new();
    if (t)
        auth_txn_put(t, AUTH_POOL, a->poolid, json_pack("{s:s,s:[],s:[]}", "comment", a->comment ? a->comment : "",
                                                        "vms", "storage"));
    return api_commit(c, t);
}

struct pool_change {
    const char *poolid, *comment, *vms, *storage;
    bool is_delete, may_move;
};

static void array_remove(json_t *array, json_int_t vmid, const char *name)
{
    for (size_t i = json_array_size(array); i-- > 0;) {
        json_t *v = json_array_get(array, i);
        if (name ? streq(json_string_value(v), name) : json_integer_value(v) == vmid)
            json_array_remove(array, i);
    }
}

static json_t *list_of(json_t *pool, const char *name)
{
    if (!json_object_get(pool, name))
        json_object_set_new(pool, name, json_array());
    return json_object_get(pool, name);
}

/* Takes a guest out of the pool it is in now; that pool's new value goes into t. */
static int move_out(struct api_call *c, struct state_txn *t, const struct pool_change *q, uint32_t vmid, struct err *e)
{
    const char *old = auth_pool_of_guest(c->api->auth, vmid);
    char path[AUTH_PATH_MAX];

    if (!old || streq(old, q->poolid))
        return 0;
    if (!q->may_move)
        return err_set(e, -EEXIST, "pool.member", "VM %u belongs already to pool '%s' and 'allow-move' is not set", vmid,
                       old);
    snprintf(path, sizeof(path), "/pool/%s", old);
    int r = api_require(c, path, PRIV_M(POOL_ALLOCATE), false, e);
    if (r < 0)
        return r;
    json_t *copy = json_deep_copy(find(c, old));
    array_remove(list_of(copy, "vms"), vmid, NULL);
    auth_txn_put(t, AUTH_POOL, old, copy);
    return 0;
}

static int change_guest(struct api_call *c, struct state_txn *t, const struct pool_change *q, json_t *pool,
                        const char *text, struct err *e)
{
    char path[24];
    uint64_t vmid;

    if (str_to_u64(text, &vmid) < 0 || vmid > 999999999)
        return api_param_error(c, e, "vms", "invalid format - value does not look like a valid VM ID");
    api_vm_path((uint32_t)vmid, path);
    int r = api_require(c, path, PRIV_M(VM_ALLOCATE), false, e);
    if (r < 0)
        return r;
    bool is_member = auth_pool_of_guest(c->api->auth, (uint32_t)vmid) &&
                     streq(auth_pool_of_guest(c->api->auth, (uint32_t)vmid), q->poolid);
    if (q->is_delete) {
        if (!is_member)
            return err_set(e, -ENOENT, "pool.member", "VM %s is not a pool member", text);
        array_remove(list_of(pool, "vms"), (json_int_t)vmid, NULL);
        return 0;
    }
    if (!guest_find(c->api->guests, (uint32_t)vmid))
        return err_set(e, -ENOENT, "guest.missing", "VM %s does not exist", text);
    if (is_member)
        return err_set(e, -EEXIST, "pool.member", "VM %s is already a pool member", text);
    r = move_out(c, t, q, (uint32_t)vmid, e);
    if (r == 0)
        json_array_append_new(list_of(pool, "vms"), json_integer((json_int_t)vmid));
    return r;
}

static int change_storage(struct api_call *c, const struct pool_change *q, json_t *pool, const char *id, struct err *e)
{
    char path[AUTH_PATH_MAX];
    json_t *list = list_of(pool, "storage");

    snprintf(path, sizeof(path), "/storage/%s", id);
    int r = api_require(c, path, PRIV_M(DATASTORE_ALLOCATE), false, e);
    if (r < 0)
        return r;
    if (q->is_delete) {
        if (!access_array_has(list, id))
            return err_set(e, -ENOENT, "pool.member", "Storage '%s' is not a pool member", id);
        array_remove(list, 0, id);
        return 0;
    }
    if (!storage_mgr_find(c->api->storages, id))
        return err_set(e, -ENOENT, "storage.missing", "storage '%s' does not exist", id);
    if (access_array_has(list, id))
        return err_set(e, -EEXIST, "pool.member", "Storage '%s' is already a pool member", id);
    json_array_append_new(list, json_string(id));
    return 0;
}

static int change(struct api_call *c, const struct pool_change *q, struct err *e)
{
    json_t *old = find(c, q->poolid);
    char item[STORAGE_ID_MAX + 2];
    int r = 0;

    if (!old)
        return missing(q->poolid, e);
    struct state_txn *t = state_txn_new();
    json_t *pool = json_deep_copy(old);
    if (!t || !pool) {
        state_txn_free(t);
        json_decref(pool);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    if (q->comment)
        json_object_set_new(pool, "comment", json_string(q->comment));
    for (const char *p = q->vms ? q->vms : ""; r == 0 && access_list_next(&p, item, sizeof(item));)
        r = change_guest(c, t, q, pool, item, e);
    for (const char *p = q->storage ? q->storage : ""; r == 0 && access_list_next(&p, item, sizeof(item));)
        r = change_storage(c, q, pool, item, e);
    if (r < 0) {
        state_txn_free(t);
        json_decref(pool);
        return r;
    }
    auth_txn_put(t, AUTH_POOL, q->poolid, pool);
    return api_commit(c, t);
}

int api_pools_update(struct api_call *c, const struct api_pools_update_args *a, struct err *e)
{
    struct pool_change q = {a->poolid, a->comment, a->vms, a->storage, a->delete, a->allow_move};

    return change(c, &q, e);
}

int api_pools_update_old(struct api_call *c, const struct api_pools_update_old_args *a, struct err *e)
{
    struct pool_change q = {a->poolid, a->comment, a->vms, a->storage, a->delete, a->allow_move};

    return change(c, &q, e);
}

static int remove_pool(struct api_call *c, const char *id, struct err *e)
{
    json_t *pool = find(c, id), *acls = auth_objects(c->api->auth, AUTH_ACL), *other;
    const char *name;
    size_t n = strlen(id);
    char path[AUTH_PATH_MAX];

    if (!pool)
        return missing(id, e);
    if (json_array_size(json_object_get(pool, "vms")) || json_array_size(json_object_get(pool, "storage")))
        return err_set(e, -ENOTEMPTY, "pool.members", "pool '%s' is not empty", id);
    json_object_foreach(auth_objects(c->api->auth, AUTH_POOL), name, other)
    {
        if (strncmp(name, id, n) == 0 && name[n] == '/')
            return err_set(e, -ENOTEMPTY, "pool.members", "pool '%s' is not empty (it has sub-pools)", id);
    }
    struct state_txn *t = state_txn_new();
    if (!t)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    auth_txn_delete(t, AUTH_POOL, id);
    snprintf(path, sizeof(path), "/pool/%s", id);
    if (json_object_get(acls, path))
        auth_txn_delete(t, AUTH_ACL, path);
    return api_commit(c, t);
}

int api_pools_delete(struct api_call *c, const struct api_pools_delete_args *a, struct err *e)
{
    return remove_pool(c, a->poolid, e);
}

int api_pools_delete_old(struct api_call *c, const struct api_pools_delete_old_args *a, struct err *e)
{
    return remove_pool(c, a->poolid, e);
}
