/* What refers to an object that goes away: found by looking through the model, because nothing that is rare and small
 * needs an index. Loop thread. */
#include "auth/auth_priv.h"

struct forget {
    const struct auth *auth;
    struct state_txn *t;
    enum auth_kind kind;
    const char *id;
    size_t n, max;
};

static bool is_full(const struct forget *f)
{
    return f->n >= f->max;
}

/* Does this ACL entry name the object? A user's tokens go with him. */
static bool names(const struct forget *f, const char *path, const struct auth_acl_entry *entry)
{
    size_t n = strlen(f->id);

    switch ((int)f->kind) {
    case AUTH_USER:
        return (entry->type == AUTH_ACL_USER && streq(entry->id, f->id)) ||
               (entry->type == AUTH_ACL_TOKEN && strncmp(entry->id, f->id, n) == 0 && entry->id[n] == '!');
    case AUTH_GROUP:
        return entry->type == AUTH_ACL_GROUP && streq(entry->id, f->id);
    case AUTH_TOKEN:
        return entry->type == AUTH_ACL_TOKEN && streq(entry->id, f->id);
    case AUTH_ROLE:
        return streq(entry->role, f->id);
    case AUTH_POOL:
        return str_starts(path, "/pool/") && streq(path + 6, f->id);
    case AUTH_REALM:
        return str_starts(path, "/access/realm/") && streq(path + 14, f->id);
    case AUTH_STORAGE:
        return str_starts(path, "/storage/") && streq(path + 9, f->id);
    default:
        return false;
    }
}

static void forget_acl(struct forget *f)
{
    const struct auth_set *acls = auth_objects(f->auth, AUTH_ACL);

    for (size_t i = 0; i < acls->n && !is_full(f); i++) {
        const struct auth_acl *acl = container_of(acls->sorted[i], struct auth_acl, item);
        for (size_t k = 0; k < acl->n && !is_full(f); k++) {
            const struct auth_acl_entry *entry = &acl->entries[k];
            if (!names(f, acl->item.key, entry))
                continue;
            auth_txn_acl_delete(f->t, acl->item.key, entry->type, entry->id, entry->role);
            f->n++;
        }
    }
}

static void forget_tokens(struct forget *f, enum auth_kind kind)
{
    const struct auth_set *set = auth_objects(f->auth, kind);
    char prefix[AUTH_USER_MAX + 2];

    snprintf(prefix, sizeof(prefix), "%s!", f->id);
    for (size_t i = auth_lower_bound(set, prefix); i < set->n && str_starts(set->sorted[i]->key, prefix) && !is_full(f);
         i++, f->n++)
        auth_txn_delete(f->t, kind, set->sorted[i]->key);
}

static void forget_groups_of(struct forget *f)
{
    const struct auth_member *m = auth_find(f->auth, AUTH_MEMBER, f->id);

    for (size_t i = 0; m && i < m->n && !is_full(f); i++, f->n++)
        auth_txn_group_member(f->t, m->refs[i], f->id, false);
}

static void forget_pools_of(struct forget *f)
{
    const struct auth_member *m = auth_find(f->auth, AUTH_STORAGE, f->id);

    for (size_t i = 0; m && i < m->n && !is_full(f); i++, f->n++)
        auth_txn_storage_pool(f->t, f->id, m->refs[i], false);
}

/* Every member of a group or pool. */
static void forget_members(struct forget *f, enum auth_kind kind)
{
    const struct auth_set *set = auth_objects(f->auth, kind);

    for (size_t i = 0; i < set->n && !is_full(f); i++) {
        const char *key = set->sorted[i]->key;
        if (!auth_member_of(container_of(set->sorted[i], struct auth_member, item), f->id))
            continue;
        if (kind == AUTH_MEMBER)
            auth_txn_group_member(f->t, f->id, key, false);
        else if (kind == AUTH_STORAGE)
            auth_txn_storage_pool(f->t, key, f->id, false);
        else
            auth_txn_guest_pool(NULL, f->t, (uint32_t)strtoul(key, NULL, 10), NULL);
        f->n++;
    }
}

size_t auth_txn_forget(const struct auth *a, struct state_txn *t, enum auth_kind kind, const char *id, size_t max)
{
    struct forget f = {.auth = a, .t = t, .kind = kind, .id = id, .max = max};

    forget_acl(&f);
    if (kind == AUTH_USER) {
        forget_tokens(&f, AUTH_TOKEN);
        forget_tokens(&f, AUTH_SECRET);
        forget_groups_of(&f);
        if (!is_full(&f) && auth_find(a, AUTH_PASSWORD, id)) {
            auth_txn_delete(t, AUTH_PASSWORD, id);
            f.n++;
        }
        if (!is_full(&f) && auth_find(a, AUTH_TFA, id)) {
            auth_txn_delete(t, AUTH_TFA, id);
            f.n++;
        }
    } else if (kind == AUTH_TOKEN) {
        if (!is_full(&f) && auth_find(a, AUTH_SECRET, id)) {
            auth_txn_delete(t, AUTH_SECRET, id);
            f.n++;
        }
    } else if (kind == AUTH_GROUP) {
        forget_members(&f, AUTH_MEMBER);
    } else if (kind == AUTH_STORAGE) {
        forget_pools_of(&f);
    } else if (kind == AUTH_POOL) {
        forget_members(&f, AUTH_GUEST);
        forget_members(&f, AUTH_STORAGE);
    }
    return f.n;
}
