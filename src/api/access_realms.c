/* /access/domains (PVE: pve-access-control, API2/Domains.pm). The realms pam and pve are built in; further ones of type
 * pve can be added. Types that ask another server are refused, and so is each parameter that belongs to them: nothing
 * is accepted and ignored. Loop thread. */
#include <sodium.h>

#include "api/access_common.h"

#define DIGEST_BYTES 20u /* forty digits, as Proxmox VE's */
#define REALMS_MAX   64u /* each is named in the commit that moves the default */

struct digest {
    char hex[2 * DIGEST_BYTES + 1];
};

static struct digest digest_of(const struct auth_realm *realm)
{
    const char *const parts[] = {realm->item.key, realm->type, realm->comment, realm->is_default ? "1" : "0"};
    unsigned char hash[DIGEST_BYTES];
    crypto_generichash_state h;
    struct digest d;

    crypto_generichash_init(&h, NULL, 0, sizeof(hash));
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        crypto_generichash_update(&h, (const unsigned char *)parts[i], strlen(parts[i]) + 1);
    crypto_generichash_final(&h, hash, sizeof(hash));
    sodium_bin2hex(d.hex, sizeof(d.hex), hash, sizeof(hash));
    return d;
}

static void write_realm(struct jw *w, const struct auth_realm *realm)
{
    jw_kv_str(w, "type", realm->type);
    if (realm->comment[0])
        jw_kv_str(w, "comment", realm->comment);
    if (realm->is_default)
        jw_kv_int(w, "default", 1);
}

int api_access_domains_list(struct api_call *c, const struct api_access_domains_list_args *a, struct err *e)
{
    const struct auth_set *realms = auth_objects(c->api->auth, AUTH_REALM);

    jw_array(&c->out);
    for (size_t i = 0; i < realms->n; i++) {
        jw_object(&c->out);
        jw_kv_str(&c->out, "realm", realms->sorted[i]->key);
        write_realm(&c->out, container_of(realms->sorted[i], struct auth_realm, item));
        jw_object_end(&c->out);
    }
    jw_array_end(&c->out);
    return 0;
}

static int need_realm(struct api_call *c, const char *prefix, const char *id, const struct auth_realm **ret,
                      struct err *e)
{
    *ret = auth_find(c->api->auth, AUTH_REALM, id);
    return *ret ? 0 : err_set(e, -ENOENT, "realm.missing", "%sdomain '%s' does not exist", prefix, id);
}

int api_access_domains_read(struct api_call *c, const struct api_access_domains_read_args *a, struct err *e)
{
    const struct auth_realm *realm;
    int r = need_realm(c, "", a->realm, &realm, e);

    if (r < 0)
        return r;
    jw_object(&c->out);
    write_realm(&c->out, realm);
    jw_kv_str(&c->out, "digest", digest_of(realm).hex);
    jw_object_end(&c->out);
    return 0;
}

static bool is_built_in(const char *id)
{
    return streq(id, "pam") || streq(id, "pve");
}

static bool is_honoured(const char *key)
{
    static const char *const keys[] = {"realm", "type", "comment", "default", "delete", "digest"};

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (streq(keys[i], key))
            return true;
    return false;
}

/* Every parameter that was sent and would have no effect is an error of its own. */
static int refuse_unsupported(struct api_call *c, struct err *e)
{
    int r = 0;

    for (size_t i = 0; i < c->n_raw; i++)
        if (!is_honoured(c->raw[i].key))
            r = api_param_error(c, e, c->raw[i].key, "not available in this version");
    return r;
}

/* There is one default: no other realm is it any more, and none has become it meanwhile. */
static void take_default(struct api_call *c, struct state_txn *t, const char *id)
{
    const struct auth_set *realms = auth_objects(c->api->auth, AUTH_REALM);

    for (size_t i = 0; i < realms->n; i++) {
        struct auth_realm other = *container_of(realms->sorted[i], struct auth_realm, item);
        if (streq(other.item.key, id))
            continue;
        auth_txn_expect(t, AUTH_REALM, other.item.key, other.item.revision);
        if (!other.is_default)
            continue;
        other.is_default = false;
        auth_txn_realm(t, &other);
    }
}

static int commit_realm(struct api_call *c, const struct auth_realm *realm, uint64_t revision, struct err *e)
{
    struct state_txn *t = state_txn_new();
    int r = t ? 0 : err_set(e, -ENOMEM, NULL, "out of memory");

    if (r == 0 && revision == 0)
        r = access_forget_old(c, t, AUTH_REALM, realm->item.key, e);
    if (r < 0) {
        state_txn_free(t);
        return r;
    }
    auth_txn_expect(t, AUTH_REALM, realm->item.key, revision);
    auth_txn_realm(t, realm);
    if (realm->is_default)
        take_default(c, t, realm->item.key);
    return api_commit(c, t);
}

static size_t count_users(struct api_call *c, const char *id)
{
    const struct auth_set *users = auth_objects(c->api->auth, AUTH_USER);
    size_t n = 0;

    for (size_t i = 0; i < users->n; i++)
        n += streq(auth_realm_of(users->sorted[i]->key), id);
    return n;
}

static int check_create(struct api_call *c, const char *id, const char *type, struct err *e)
{
    if (auth_find(c->api->auth, AUTH_REALM, id))
        return err_set(e, -EEXIST, "realm.exists", "add auth server failed: domain '%s' already exists", id);
    if (streq(type, "pam") || is_built_in(id))
        return err_set(e, -EPERM, "realm.builtin", "add auth server failed: realm pam exists once and is built in");
    /* Somebody was made at the very moment at which an older realm of this name went. */
    if (count_users(c, id) > 0)
        return err_set(e, -EBUSY, "realm.users", "add auth server failed: there still are users of a realm '%s'", id);
    if (auth_objects(c->api->auth, AUTH_REALM)->n >= REALMS_MAX)
        return err_set(e, -ENOSPC, "realm.too-many", "add auth server failed: there are %u realms already", REALMS_MAX);
    return 0;
}

int api_access_domains_create(struct api_call *c, const struct api_access_domains_create_args *a, struct err *e)
{
    const struct auth_realm realm = {.item.key = (char *)a->realm,
                                     .type = (char *)a->type,
                                     .comment = (char *)a->comment,
                                     .is_default = a->has_default_ && a->default_};

    if (!streq(a->type, "pve") && !streq(a->type, "pam"))
        return api_param_error(c, e, "type", "realms of type '%s' are not available in this version", a->type);
    int r = refuse_unsupported(c, e);
    if (r == 0)
        r = check_create(c, a->realm, a->type, e);
    return r < 0 ? r : commit_realm(c, &realm, 0, e);
}

static int take_deletions(struct api_call *c, const char *list, struct auth_realm *next, struct err *e)
{
    char key[AUTH_USER_MAX + 1];
    static char none[] = "";

    for (const char *pos = list; pos && auth_list_next(&pos, key, sizeof(key));) {
        if (streq(key, "comment"))
            next->comment = none;
        else if (streq(key, "default"))
            next->is_default = false;
        else
            return api_param_error(c, e, "delete", "'%s' is not a setting of this realm", key);
    }
    return 0;
}

int api_access_domains_update(struct api_call *c, const struct api_access_domains_update_args *a, struct err *e)
{
    const struct auth_realm *realm;
    int r = refuse_unsupported(c, e);

    if (r == 0)
        r = need_realm(c, "update auth server failed: ", a->realm, &realm, e);
    if (r < 0)
        return r;
    if (a->digest && !streq(a->digest, digest_of(realm).hex))
        return err_set(e, -EAGAIN, "state.conflict",
                       "update auth server failed: detected modified configuration - file changed by other user? Try "
                       "again.");
    struct auth_realm next = *realm;
    r = take_deletions(c, a->delete, &next, e);
    if (a->comment)
        next.comment = (char *)a->comment;
    if (a->has_default_)
        next.is_default = a->default_;
    return r < 0 ? r : commit_realm(c, &next, realm->item.revision, e);
}

/* Proxmox VE leaves the users of a deleted realm behind, and whoever makes a realm of that name gets them. */
int api_access_domains_delete(struct api_call *c, const struct api_access_domains_delete_args *a, struct err *e)
{
    const struct auth_realm *realm;
    size_t n = count_users(c, a->realm);

    if (is_built_in(a->realm))
        return err_set(e, -EPERM, "realm.builtin", "delete auth server failed: realm '%s' is built in", a->realm);
    int r = need_realm(c, "delete auth server failed: ", a->realm, &realm, e);
    if (r < 0)
        return r;
    if (n > 0) {
        err_set(e, -EBUSY, "realm.users", "delete auth server failed: realm '%s' still has %zu user%s", a->realm, n,
                n == 1 ? "" : "s");
        return err_hint(e, "delete its users first");
    }
    return access_delete(c, AUTH_REALM, a->realm, realm->item.revision);
}
