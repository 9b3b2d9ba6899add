/* Changes of the model, as operations of a transaction. Nothing is changed in memory here: that happens when the commit
 * comes back through the watch. Loop thread. */
#include "auth/auth_priv.h"
#include "auth/second.h"

#define VALUE_MAX (64u * 1024u)

static const char *const prefixes[AUTH_N_KINDS] = {
    [AUTH_USER] = "shared/auth/user/",           [AUTH_GROUP] = "shared/auth/group/",
    [AUTH_ROLE] = "shared/auth/role/",           [AUTH_REALM] = "shared/auth/realm/",
    [AUTH_TOKEN] = "shared/auth/token/",         [AUTH_POOL] = "shared/auth/pool/",
    [AUTH_PASSWORD] = "shared/secret/password/", [AUTH_SECRET] = "shared/secret/token/",
    [AUTH_TFA] = "shared/secret/tfa/",
};

struct key {
    char text[STATE_KEY_MAX + 2]; /* one more than allowed: a key cut off is refused, never another's */
};

static struct key key_of(const char *fmt, ...) PRINTF_LIKE(1, 2);
static struct key key_of(const char *fmt, ...)
{
    struct key k;
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(k.text, sizeof(k.text), fmt, ap);
    va_end(ap);
    if (n < 0)
        k.text[0] = 0;
    return k;
}

static struct key key_of_kind(enum auth_kind kind, const char *id)
{
    return key_of("%s%s", prefixes[kind], id);
}

static void begin(struct buf *b, struct jw *w)
{
    buf_init(b, VALUE_MAX);
    jw_init(w, b);
    jw_object(w);
    jw_kv_int(w, "format", 1);
}

/* An incomplete value gets a key that is too long, so that the commit fails instead of storing half of it. */
static void put(struct state_txn *t, enum auth_kind kind, const char *id, struct buf *b, struct jw *w)
{
    struct key k = key_of_kind(kind, id);

    jw_object_end(w);
    if (b->is_failed) {
        memset(k.text, 'x', sizeof(k.text) - 1);
        k.text[sizeof(k.text) - 1] = 0;
    }
    state_txn_put(t, k.text, buf_str(b));
    if (b->data)
        mem_wipe(b->data, b->len);
    buf_done(b);
}

static void put_text(struct jw *w, const char *key, const char *value)
{
    if (value && *value)
        jw_kv_str(w, key, value);
}

void auth_txn_user(struct state_txn *t, const struct auth_user *u)
{
    struct buf b;
    struct jw w;

    begin(&b, &w);
    jw_kv_int(&w, "enable", u->is_enabled);
    if (u->expire)
        jw_kv_int(&w, "expire", u->expire);
    put_text(&w, "firstname", u->firstname);
    put_text(&w, "lastname", u->lastname);
    put_text(&w, "email", u->email);
    put_text(&w, "comment", u->comment);
    put_text(&w, "keys", u->keys);
    put(t, AUTH_USER, u->item.key, &b, &w);
}

void auth_txn_group(struct state_txn *t, const struct auth_group *g)
{
    struct buf b;
    struct jw w;

    begin(&b, &w);
    put_text(&w, "comment", g->comment);
    put(t, AUTH_GROUP, g->item.key, &b, &w);
}

void auth_txn_role(struct state_txn *t, const struct auth_role *r)
{
    struct buf b;
    struct jw w;

    begin(&b, &w);
    jw_key(&w, "privs");
    jw_array(&w);
    for (unsigned bit = 0; priv_name(bit); bit++)
        if (r->mask & (UINT64_C(1) << bit))
            jw_str(&w, priv_name(bit));
    jw_array_end(&w);
    put(t, AUTH_ROLE, r->item.key, &b, &w);
}

void auth_txn_realm(struct state_txn *t, const struct auth_realm *r)
{
    struct buf b;
    struct jw w;

    begin(&b, &w);
    jw_kv_str(&w, "type", r->type);
    put_text(&w, "comment", r->comment);
    if (r->is_default)
        jw_kv_int(&w, "default", 1);
    put(t, AUTH_REALM, r->item.key, &b, &w);
}

void auth_txn_token(struct state_txn *t, const struct auth_token *k)
{
    struct buf b;
    struct jw w;

    begin(&b, &w);
    jw_kv_int(&w, "privsep", k->is_separated);
    if (k->has_expire)
        jw_kv_int(&w, "expire", k->expire);
    put_text(&w, "comment", k->comment);
    put(t, AUTH_TOKEN, k->item.key, &b, &w);
}

void auth_txn_pool(struct state_txn *t, const struct auth_pool *p)
{
    struct buf b;
    struct jw w;

    begin(&b, &w);
    put_text(&w, "comment", p->comment);
    put(t, AUTH_POOL, p->item.key, &b, &w);
}

void auth_txn_password(struct state_txn *t, const char *user, const char *hash)
{
    struct buf b;
    struct jw w;

    begin(&b, &w);
    jw_kv_str(&w, "hash", hash);
    jw_kv_int(&w, "changed", clock_wall_s());
    put(t, AUTH_PASSWORD, user, &b, &w);
}

void auth_txn_tfa(struct state_txn *t, const char *user, const struct auth_tfa *tfa)
{
    struct buf b;
    struct jw w;

    if (tfa->n_totp == 0 && !tfa->recovery.is_there) {
        auth_txn_delete(t, AUTH_TFA, user);
        return;
    }
    begin(&b, &w);
    auth_tfa_put(&w, tfa);
    put(t, AUTH_TFA, user, &b, &w);
}

static struct key acl_key(const char *path, enum auth_acl_type type, const char *id, const char *role)
{
    return key_of(AUTH_ACL_PREFIX "%s %s %s %s", path, auth_acl_type_name(type), id, role);
}

void auth_txn_acl(struct state_txn *t, const char *path, enum auth_acl_type type, const char *id, const char *role,
                  bool is_propagated)
{
    state_txn_put(t, acl_key(path, type, id, role).text,
                  is_propagated ? "{\"format\":1,\"propagate\":1}" : "{\"format\":1,\"propagate\":0}");
}

void auth_txn_acl_delete(struct state_txn *t, const char *path, enum auth_acl_type type, const char *id,
                         const char *role)
{
    state_txn_delete(t, acl_key(path, type, id, role).text);
}

static void put_member(struct state_txn *t, const char *kind, const char *of, const char *member, bool is_member)
{
    struct key k = key_of(AUTH_MEMBER_PREFIX "%s/%s/%s", kind, of, member);

    if (is_member)
        state_txn_put(t, k.text, "{\"format\":1}");
    else
        state_txn_delete(t, k.text);
}

void auth_txn_group_member(struct state_txn *t, const char *group, const char *user, bool is_member)
{
    put_member(t, "group", group, user, is_member);
}

void auth_txn_storage_pool(struct state_txn *t, const char *storage, const char *pool, bool is_member)
{
    put_member(t, "storage", storage, pool, is_member);
}

void auth_txn_guest_pool(struct auth *a, struct state_txn *t, uint32_t vmid, const char *pool)
{
    struct key k = key_of(AUTH_MEMBER_PREFIX "guest/%u", vmid);
    const struct auth_pool *p = pool ? auth_find(a, AUTH_POOL, pool) : NULL;
    struct buf b;
    struct jw w;

    if (!pool) {
        state_txn_delete(t, k.text);
        return;
    }
    auth_txn_expect(t, AUTH_POOL, pool, p ? p->item.revision : UINT64_MAX); /* no such pool: the commit fails */
    begin(&b, &w);
    jw_kv_str(&w, "pool", pool);
    jw_object_end(&w);
    state_txn_put(t, k.text, buf_str(&b));
    buf_done(&b);
}

void auth_txn_guest_purge(struct auth *a, struct state_txn *t, uint32_t vmid)
{
    char path[32];

    snprintf(path, sizeof(path), "/vms/%u", vmid);
    const struct auth_acl *acl = auth_find(a, AUTH_ACL, path);
    for (size_t i = 0; acl && i < acl->n; i++)
        auth_txn_acl_delete(t, path, acl->entries[i].type, acl->entries[i].id, acl->entries[i].role);
    if (auth_find(a, AUTH_GUEST, path + 5))
        auth_txn_guest_pool(a, t, vmid, NULL);
}

void auth_txn_delete(struct state_txn *t, enum auth_kind kind, const char *id)
{
    state_txn_delete(t, key_of_kind(kind, id).text);
}

void auth_txn_expect(struct state_txn *t, enum auth_kind kind, const char *id, uint64_t revision)
{
    state_txn_expect(t, key_of_kind(kind, id).text, revision);
}
