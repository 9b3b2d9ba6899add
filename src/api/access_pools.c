/* /pools (PVE: pve-manager, API2/Pool.pm), in the newer form with poolid as a parameter and the older one with it in
 * the path. Loop thread. */
#include "api/access_common.h"

#define MEMBERS_AT_ONCE_MAX 50u

static int need_pool(struct api_call *c, const char *prefix, const char *id, const struct auth_pool **ret,
                     struct err *e)
{
    *ret = auth_find(c->api->auth, AUTH_POOL, id);
    return *ret ? 0 : err_set(e, -ENOENT, "pool.missing", "%spool '%s' does not exist", prefix, id);
}

static void write_guests(struct api_call *c, const char *pool, const char *type)
{
    const struct auth_set *guests = auth_objects(c->api->auth, AUTH_GUEST);

    for (size_t i = 0; i < guests->n; i++) {
        uint32_t vmid = (uint32_t)strtoul(guests->sorted[i]->key, NULL, 10);
        struct guest *g = guest_find(c->api->guests, vmid);
        if (g && auth_member_of(container_of(guests->sorted[i], struct auth_member, item), pool) &&
            (!type || streq(type, g->type)))
            guest_summary_write(&c->out, c->api->guests, g, NULL);
    }
}

static void write_members(struct api_call *c, const char *pool, const char *type)
{
    const struct auth_set *storages = auth_objects(c->api->auth, AUTH_STORAGE);
    bool is_storage = type && streq(type, "storage");

    jw_key(&c->out, "members");
    jw_array(&c->out);
    if (!is_storage)
        write_guests(c, pool, type);
    for (size_t i = 0; (!type || is_storage) && i < storages->n; i++) {
        const struct storage_entry *s = storage_mgr_find(c->api->storages, storages->sorted[i]->key);
        if (s && auth_member_of(container_of(storages->sorted[i], struct auth_member, item), pool))
            api_storage_write(c, s);
    }
    jw_array_end(&c->out);
}

static void write_pool(struct api_call *c, const struct auth_pool *p, bool has_members, const char *type)
{
    jw_object(&c->out);
    jw_kv_str(&c->out, "poolid", p->item.key);
    if (p->comment[0])
        jw_kv_str(&c->out, "comment", p->comment);
    if (has_members)
        write_members(c, p->item.key, type);
    jw_object_end(&c->out);
}

/* One pool asked for by name must be there and the caller's to see; of all, those he may see. */
int api_pools_list(struct api_call *c, const struct api_pools_list_args *a, struct err *e)
{
    const struct auth_set *pools = auth_objects(c->api->auth, AUTH_POOL);
    const struct auth_pool *one = NULL;
    char path[AUTH_PATH_MAX];

    if (a->poolid) {
        snprintf(path, sizeof(path), "/pool/%s", a->poolid);
        int r = api_require(c, path, PRIV_M(POOL_AUDIT), false, e);
        if (r == 0)
            r = need_pool(c, "", a->poolid, &one, e);
        if (r < 0)
            return r;
    }
    jw_array(&c->out);
    if (one)
        write_pool(c, one, true, a->type);
    for (size_t i = 0; !one && i < pools->n; i++)
        if (api_may_see_pool(c, pools->sorted[i]->key))
            write_pool(c, container_of(pools->sorted[i], struct auth_pool, item), false, NULL);
    jw_array_end(&c->out);
    return 0;
}

int api_pools_read_old(struct api_call *c, const struct api_pools_read_old_args *a, struct err *e)
{
    const struct auth_pool *p;
    int r = need_pool(c, "", a->poolid, &p, e);

    if (r < 0)
        return r;
    jw_object(&c->out);
    if (p->comment[0])
        jw_kv_str(&c->out, "comment", p->comment);
    write_members(c, a->poolid, a->type);
    jw_object_end(&c->out);
    return 0;
}

static int check_create(struct api_call *c, const char *id, struct err *e)
{
    const char *slash = strrchr(id, '/');
    const char *parent = slash ? arena_strndup(&c->arena, id, (size_t)(slash - id)) : NULL;

    if (auth_poolid_check(id, e) < 0)
        return api_param_error(c, e, "poolid", "pool name contains invalid characters");
    if (auth_pool_exists(c->api->auth, id))
        return err_set(e, -EEXIST, "pool.exists", "create pool failed: pool '%s' already exists", id);
    if (slash && (!parent || !auth_pool_exists(c->api->auth, parent)))
        return err_set(e, -ENOENT, "pool.parent", "create pool failed: parent '%s' of pool '%s' does not exist",
                       parent ? parent : "?", id);
    return 0;
}

int api_pools_create(struct api_call *c, const struct api_pools_create_args *a, struct err *e)
{
    struct auth_pool p = {.item.key = (char *)a->poolid, .comment = (char *)a->comment};
    int r = check_create(c, a->poolid, e);

    if (r < 0)
        return r;
    struct state_txn *t = state_txn_new();
    r = t ? access_forget_old(c, t, AUTH_POOL, a->poolid, e) : err_set(e, -ENOMEM, NULL, "out of memory");
    if (r < 0) {
        state_txn_free(t);
        return r;
    }
    auth_txn_expect(t, AUTH_POOL, a->poolid, 0);
    auth_txn_pool(t, &p);
    return api_commit(c, t);
}

struct pool_change {
    struct api_call *call;
    struct state_txn *t;
    const struct auth_pool *pool;
    bool is_delete, is_move;
    size_t n;
};

static int count(struct pool_change *ch, struct err *e)
{
    if (++ch->n <= MEMBERS_AT_ONCE_MAX)
        return 0;
    return err_set(e, -E2BIG, "access.too-many", "more than %u members at once", MEMBERS_AT_ONCE_MAX);
}

/* Taking a guest out of another pool takes rights away from those who have them by it: that needs rights on it. */
static int leave_other(struct pool_change *ch, uint32_t vmid, const char *other, struct err *e)
{
    char path[AUTH_PATH_MAX];

    if (!ch->is_move)
        return err_set(e, -EEXIST, "pool.other", "VM %u belongs already to pool '%s'", vmid, other);
    snprintf(path, sizeof(path), "/pool/%s", other);
    return api_require(ch->call, path, PRIV_M(POOL_ALLOCATE), false, e);
}

static int change_guest(struct pool_change *ch, const char *id, struct err *e)
{
    struct api_call *c = ch->call;
    char path[24];
    uint64_t vmid;

    if (str_to_u64(id, &vmid) < 0 || vmid > 999999999)
        return api_param_error(c, e, "vms", "invalid format - value does not look like a valid VM ID");
    snprintf(path, sizeof(path), "/vms/%u", (uint32_t)vmid);
    int r = auth_check_perm_modify(c->api->auth, &c->who, path, e);
    if (r == 0)
        r = count(ch, e);
    if (r < 0)
        return r;
    const char *now = auth_pool_of_guest(c->api->auth, (uint32_t)vmid);
    bool is_member = now && streq(now, ch->pool->item.key);
    if (ch->is_delete && !is_member)
        return err_set(e, -ENOENT, "pool.member", "VM %s is not a pool member", id);
    if (!ch->is_delete && is_member)
        return err_set(e, -EEXIST, "pool.member", "VM %s is already a pool member", id);
    if (!ch->is_delete && !guest_find(c->api->guests, (uint32_t)vmid))
        return err_set(e, -ENOENT, "guest.missing", "VM %s does not exist", id);
    if (!ch->is_delete && now && (r = leave_other(ch, (uint32_t)vmid, now, e)) < 0)
        return r;
    auth_txn_guest_pool(c->api->auth, ch->t, (uint32_t)vmid, ch->is_delete ? NULL : ch->pool->item.key);
    return 0;
}

static int change_storage(struct pool_change *ch, const char *id, struct err *e)
{
    struct api_call *c = ch->call;
    const char *pool = ch->pool->item.key;
    char path[AUTH_PATH_MAX];

    snprintf(path, sizeof(path), "/storage/%s", id);
    int r = auth_check_perm_modify(c->api->auth, &c->who, path, e);
    if (r == 0)
        r = count(ch, e);
    if (r < 0)
        return r;
    bool is_member = auth_member_of(auth_find(c->api->auth, AUTH_STORAGE, id), pool);
    if (ch->is_delete && !is_member)
        return err_set(e, -ENOENT, "pool.member", "Storage '%s' is not a pool member", id);
    if (!ch->is_delete && is_member)
        return err_set(e, -EEXIST, "pool.member", "Storage '%s' is already a pool member", id);
    if (!ch->is_delete && !storage_mgr_find(c->api->storages, id))
        return err_set(e, -ENOENT, "storage.missing", "storage '%s' does not exist", id);
    auth_txn_storage_pool(ch->t, id, pool, !ch->is_delete);
    return 0;
}

static int change_all(struct pool_change *ch, const char *vms, const char *storages, struct err *e)
{
    char item[128];
    int r = 0;

    for (const char *pos = vms; r == 0 && pos && auth_list_next(&pos, item, sizeof(item));)
        r = change_guest(ch, item, e);
    for (const char *pos = storages; r == 0 && pos && auth_list_next(&pos, item, sizeof(item));)
        r = change_storage(ch, item, e);
    return r;
}

static int update(struct api_call *c, const struct api_pools_update_args *a, struct err *e)
{
    struct pool_change ch = {
        .call = c, .is_delete = a->has_delete && a->delete, .is_move = a->has_allow_move && a->allow_move};
    int r = need_pool(c, "update pools failed: ", a->poolid, &ch.pool, e);

    if (r < 0)
        return r;
    struct auth_pool next = {.item.key = ch.pool->item.key, .comment = (char *)a->comment};
    ch.t = state_txn_new();
    r = ch.t ? change_all(&ch, a->vms, a->storage, e) : err_set(e, -ENOMEM, NULL, "out of memory");
    if (r < 0) {
        state_txn_free(ch.t);
        return r == -EPERM || c->param_errors.len ? r : err_wrap(e, r, "update pools failed");
    }
    auth_txn_expect(ch.t, AUTH_POOL, a->poolid, ch.pool->item.revision);
    if (a->comment)
        auth_txn_pool(ch.t, &next);
    return api_commit(c, ch.t);
}

int api_pools_update(struct api_call *c, const struct api_pools_update_args *a, struct err *e)
{
    return update(c, a, e);
}

int api_pools_update_old(struct api_call *c, const struct api_pools_update_old_args *a, struct err *e)
{
    const struct api_pools_update_args same = {.poolid = a->poolid,
                                               .comment = a->comment,
                                               .vms = a->vms,
                                               .storage = a->storage,
                                               .delete = a->delete,
                                               .has_delete = a->has_delete,
                                               .allow_move = a->allow_move,
                                               .has_allow_move = a->has_allow_move};

    return update(c, &same, e);
}

static int not_empty(struct err *e, const char *pool, const char *what, const char *member)
{
    return err_set(e, -ENOTEMPTY, "pool.not-empty", "delete pool failed: pool '%s' is not empty (contains %s %s)", pool,
                   what, member);
}

/* Guests and storages that are gone do not count. */
static int check_empty(struct api_call *c, const char *pool, struct err *e)
{
    const struct auth_set *guests = auth_objects(c->api->auth, AUTH_GUEST);
    const struct auth_set *storages = auth_objects(c->api->auth, AUTH_STORAGE);
    const struct auth_set *pools = auth_objects(c->api->auth, AUTH_POOL);
    const char *below = arena_printf(&c->arena, "%s/", pool);

    for (size_t i = 0; i < guests->n; i++) {
        const char *key = guests->sorted[i]->key;
        if (auth_member_of(container_of(guests->sorted[i], struct auth_member, item), pool) &&
            guest_find(c->api->guests, (uint32_t)strtoul(key, NULL, 10)))
            return not_empty(e, pool, "VM", key);
    }
    for (size_t i = 0; i < storages->n; i++) {
        const char *key = storages->sorted[i]->key;
        if (auth_member_of(container_of(storages->sorted[i], struct auth_member, item), pool) &&
            storage_mgr_find(c->api->storages, key))
            return not_empty(e, pool, "storage", key);
    }
    size_t i = below ? auth_lower_bound(pools, below) : pools->n;
    if (i < pools->n && str_starts(pools->sorted[i]->key, below))
        return not_empty(e, pool, "pool", pools->sorted[i]->key);
    return 0;
}

static int delete (struct api_call *c, const char *id, struct err *e)
{
    const struct auth_pool *p;
    int r = need_pool(c, "delete pool failed: ", id, &p, e);

    if (r == 0)
        r = check_empty(c, id, e);
    return r < 0 ? r : access_delete(c, AUTH_POOL, id, p->item.revision);
}

int api_pools_delete(struct api_call *c, const struct api_pools_delete_args *a, struct err *e)
{
    return delete (c, a->poolid, e);
}

int api_pools_delete_old(struct api_call *c, const struct api_pools_delete_old_args *a, struct err *e)
{
    return delete (c, a->poolid, e);
}
