/* The resolver: what a subject may do on a path, as Proxmox VE decides it (pve-access-control: RPCEnvironment.pm
 * permissions(), AccessControl.pm roles(); behaviour only). Loop thread, no allocation.
 *
 * From "/" down to the path, what a level says about the subject replaces what was inherited: its own entries if there
 * are any that count (the level is the path itself, or the entry propagates), else the union of its groups' entries.
 * NoAccess among what is left at the end wipes everything. Then the roles on the pools that a guest or storage is in
 * are added, without propagation; NoAccess there wipes everything too. A token that is separated has what its own
 * entries give, cut down to what its user has.
 *
 * A list asks the same for each of its guests: an auth_guests keeps what does not differ between them. */
#include "auth/auth_priv.h"

#define PRIV_ALL ((UINT64_C(1) << (PRIV_BIT_VM_SNAPSHOT_ROLLBACK + 1)) - 1)

struct grant {
    priv_mask all, propagated;
    bool is_set, is_no_access;
};

/* A user, group or token that entries are looked up by. */
struct name {
    const char *id;
    uint64_t prefix;
};

#define WHO_GROUPS_MAX 64u

/* groups: those that exist, unless the user is in too many to keep here. */
struct who {
    struct name self; /* user, or full token id */
    bool is_token, has_groups;
    const struct auth_member *member;
    const char *pool; /* the last one that was asked for, and what it gives */
    struct grant of_pool;
    struct name groups[WHO_GROUPS_MAX];
    size_t n_groups;
};

/* NULL when the role is gone. */
static const struct auth_role *role_of(const struct auth *a, struct auth_acl_entry *entry)
{
    if (entry->found_generation != a->role_generation) {
        entry->found = auth_find(a, AUTH_ROLE, entry->role);
        entry->found_generation = a->role_generation;
    }
    return entry->found;
}

static void add_entry(const struct auth *a, struct auth_acl_entry *entry, bool is_final, struct grant *g)
{
    /* An entry for a role that is gone says nothing. */
    const struct auth_role *role = is_final || entry->is_propagated ? role_of(a, entry) : NULL;

    if (!role)
        return;
    g->is_set = true;
    if (role->is_special && !role->mask && streq(role->item.key, "NoAccess"))
        g->is_no_access = true;
    g->all |= role->mask;
    if (entry->is_propagated)
        g->propagated |= role->mask;
}

/* Are prefixes all there is to compare? Then the eighth byte is the end. */
static bool is_short(const struct name *name)
{
    return (name->prefix & 0xff) == 0;
}

/* For each of n_names the index of the first of n prefixes (at least one) that is not below its own. All of them step
 * by step beside each other, and without a branch on what is found: one after the other, each step would wait for the
 * one before it, and that would be most of what a check costs. */
static void lower_bounds(const uint64_t *prefixes, size_t n, const struct name *names, size_t n_names, size_t *ret)
{
    for (size_t i = 0; i < n_names; i++)
        ret[i] = 0;
    for (; n > 1; n -= n / 2)
        for (size_t i = 0; i < n_names; i++)
            ret[i] += -(size_t)(prefixes[ret[i] + n / 2 - 1] < names[i].prefix) & (n / 2);
    for (size_t i = 0; i < n_names; i++)
        ret[i] += prefixes[ret[i]] < names[i].prefix;
}

/* From the first entry that begins like name to the first that is not below it: those between are as long as it is. */
static size_t skip_like(const struct auth_acl *acl, size_t low, size_t end, const struct name *name)
{
    for (size_t n = end - low; n;) {
        size_t half = n / 2;
        bool is_below = acl->prefixes[low + half] == name->prefix && strcmp(acl->entries[low + half].id, name->id) < 0;
        low = is_below ? low + half + 1 : low;
        n = is_below ? n - half - 1 : half;
    }
    return low;
}

/* The entries of each of at most WHO_GROUPS_MAX names. */
static void add_of(const struct auth *a, const struct auth_acl *acl, enum auth_acl_type type, const struct name *names,
                   size_t n_names, bool is_final, struct grant *g)
{
    size_t from = acl->first[type], end = acl->first[type + 1], found[WHO_GROUPS_MAX];

    if (from == end)
        return;
    lower_bounds(acl->prefixes + from, end - from, names, n_names, found);
    for (size_t k = 0; k < n_names; k++) {
        const struct name *name = &names[k];
        size_t i = is_short(name) ? from + found[k] : skip_like(acl, from + found[k], end, name);
        for (; i < end && acl->prefixes[i] == name->prefix; i++) {
            struct auth_acl_entry *entry = &acl->entries[i];
            if (!is_short(name) && !streq(entry->id, name->id))
                break;
            add_entry(a, entry, is_final, g);
        }
    }
}

/* Walks whichever is shorter: the groups that the path names, or those that the user is in. */
static void add_groups(const struct auth *a, const struct auth_acl *acl, const struct who *who, bool is_final,
                       struct grant *g)
{
    size_t from = acl->first[AUTH_ACL_GROUP], to = acl->first[AUTH_ACL_GROUP + 1];

    if (!who->member || from == to)
        return;
    if (who->has_groups && who->n_groups < to - from) {
        add_of(a, acl, AUTH_ACL_GROUP, who->groups, who->n_groups, is_final, g);
        return;
    }
    for (size_t i = from; i < to; i++)
        if (auth_member_of(who->member, acl->entries[i].id) && auth_find(a, AUTH_GROUP, acl->entries[i].id))
            add_entry(a, &acl->entries[i], is_final, g);
}

static struct name name_of(const char *id)
{
    return (struct name){.id = id, .prefix = auth_prefix(id)};
}

/* Every level asks for the same groups: whether they exist is found out once. */
static void collect_groups(const struct auth *a, struct who *who)
{
    const struct auth_member *m = who->member;

    who->has_groups = m && m->n <= WHO_GROUPS_MAX;
    for (size_t i = 0; who->has_groups && i < m->n; i++)
        if (auth_find(a, AUTH_GROUP, m->refs[i]))
            who->groups[who->n_groups++] = name_of(m->refs[i]);
}

static void apply_level(const struct auth *a, const struct who *who, const char *path, size_t n, bool is_final,
                        struct grant *g)
{
    const struct auth_item *item = auth_set_find(&a->sets[AUTH_ACL], path, n);
    struct grant here = {0};

    if (!item)
        return;
    const struct auth_acl *acl = container_of(item, struct auth_acl, item);
    add_of(a, acl, who->is_token ? AUTH_ACL_TOKEN : AUTH_ACL_USER, &who->self, 1, is_final, &here);
    if (!here.is_set && !who->is_token)
        add_groups(a, acl, who, is_final, &here);
    if (here.is_set)
        *g = here;
}

/* What the ACL alone gives on a path, before pools. */
static struct grant walk(const struct auth *a, const struct who *who, const char *path)
{
    size_t n = strlen(path);
    struct grant g = {0};

    apply_level(a, who, "/", 1, n == 1, &g);
    for (size_t i = 1; n > 1 && i <= n; i++)
        if (i == n || path[i] == '/')
            apply_level(a, who, path, i, i == n, &g);
    return g;
}

static const struct auth_member *pools_of(const struct auth *a, const char *path)
{
    if (str_starts(path, "/vms/"))
        return auth_find(a, AUTH_GUEST, path + 5);
    if (str_starts(path, "/storage/"))
        return auth_find(a, AUTH_STORAGE, path + 9);
    return NULL;
}

static const struct grant *grant_of_pool(const struct auth *a, struct who *who, const char *pool)
{
    char path[AUTH_PATH_MAX];

    if (!who->pool || !streq(who->pool, pool)) {
        snprintf(path, sizeof(path), "/pool/%s", pool);
        who->of_pool = walk(a, who, path);
        who->pool = pool;
    }
    return &who->of_pool;
}

static void add_pools(const struct auth *a, struct who *who, const struct auth_member *pools, struct grant *g)
{
    for (size_t i = 0; pools && i < pools->n; i++) {
        if (!auth_find(a, AUTH_POOL, pools->refs[i]))
            continue;
        const struct grant *of_pool = grant_of_pool(a, who, pools->refs[i]);
        g->is_no_access = g->is_no_access || of_pool->is_no_access;
        g->all |= of_pool->all;
    }
}

static struct grant resolve(const struct auth *a, struct who *who, const char *path)
{
    struct grant g = walk(a, who, path);

    if (!g.is_no_access)
        add_pools(a, who, pools_of(a, path), &g);
    return g.is_no_access ? (struct grant){0} : g;
}

/* The groups' names stay as they are when there are none: they are a kilobyte, and this is asked often. */
static void who_is_user(const struct auth *a, const char *user, struct who *who)
{
    who->self = name_of(user);
    who->is_token = false;
    who->member = auth_find(a, AUTH_MEMBER, user);
    who->pool = NULL;
    who->n_groups = 0;
    collect_groups(a, who);
}

static void who_is_token(const char *id, struct who *who)
{
    who->self = name_of(id);
    who->is_token = true;
    who->member = NULL;
    who->pool = NULL;
    who->has_groups = false;
    who->n_groups = 0;
}

static struct grant resolve_user(const struct auth *a, const char *user, const char *path)
{
    struct who who;

    if (streq(user, "root@pam"))
        return (struct grant){.all = PRIV_ALL, .propagated = PRIV_ALL};
    who_is_user(a, user, &who);
    return auth_is_usable(a) ? resolve(a, &who, path) : (struct grant){0};
}

static struct grant resolve_token(const struct auth *a, const struct auth_subject *s, const char *path)
{
    char id[AUTH_USER_MAX + AUTH_TOKEN_MAX + 2];

    auth_subject_format(s, id, sizeof(id));
    const struct auth_token *token = auth_find(a, AUTH_TOKEN, id);
    if (!token)
        return (struct grant){0};
    struct grant of_user = resolve_user(a, s->user, path);
    if (!token->is_separated)
        return of_user;
    struct who who;
    who_is_token(id, &who);
    struct grant g = auth_is_usable(a) ? resolve(a, &who, path) : (struct grant){0};
    return (struct grant){.all = g.all & of_user.all, .propagated = g.propagated & of_user.propagated};
}

priv_mask auth_privileges(struct auth *a, const struct auth_subject *s, const char *path, priv_mask *ret_propagate)
{
    struct grant g = {0};

    if (s->token[0])
        g = resolve_token(a, s, path);
    else if (s->user[0])
        g = resolve_user(a, s->user, path);
    if (ret_propagate)
        *ret_propagate = g.propagated;
    return g.all;
}

bool auth_has(struct auth *a, const struct auth_subject *s, const char *path, priv_mask mask, bool any)
{
    priv_mask has = auth_privileges(a, s, path, NULL) & mask;

    return any ? has != 0 : has == mask;
}

/* What a user, or a token by itself, has on "/" and "/vms" is there for every guest. */
struct part {
    struct who who;
    struct grant above;
    bool is_all;
};

struct auth_guests {
    const struct auth *auth;
    char token[AUTH_USER_MAX + AUTH_TOKEN_MAX + 2];
    struct part parts[2]; /* a separated token has what both have */
    size_t n;             /* 0: nothing */
};

static void look_above(const struct auth *a, struct part *p)
{
    p->above = (struct grant){0};
    apply_level(a, &p->who, "/", 1, false, &p->above);
    apply_level(a, &p->who, "/vms", 4, false, &p->above);
}

struct auth_guests *auth_guests_new(struct auth *a, const struct auth_subject *s)
{
    struct auth_guests *q = malloc(sizeof(*q));
    const struct auth_token *token = NULL;

    if (!q)
        return NULL;
    q->auth = a;
    q->n = 0;
    auth_subject_format(s, q->token, sizeof(q->token));
    if (!s->user[0] || (s->token[0] && !(token = auth_find(a, AUTH_TOKEN, q->token))))
        return q;
    struct part *p = &q->parts[q->n++];
    p->is_all = streq(s->user, "root@pam");
    who_is_user(a, s->user, &p->who);
    look_above(a, p);
    if (token && token->is_separated) {
        p = &q->parts[q->n++];
        p->is_all = false;
        who_is_token(q->token, &p->who);
        look_above(a, p);
    }
    return q;
}

void auth_guests_free(struct auth_guests *q)
{
    free(q);
}

/* Decimal; returns its length. A list formats tens of thousands. */
static size_t put_vmid(uint32_t vmid, char dst[12])
{
    char digits[12];
    size_t at = sizeof(digits), n;

    do
        digits[--at] = (char)('0' + vmid % 10);
    while (vmid /= 10);
    n = sizeof(digits) - at;
    memcpy(dst, digits + at, n);
    dst[n] = 0;
    return n;
}

static priv_mask of_part(const struct auth *a, struct part *p, const char *path, size_t n)
{
    struct grant g = p->above;

    if (p->is_all)
        return PRIV_ALL;
    if (!auth_is_usable(a))
        return 0;
    apply_level(a, &p->who, path, n, true, &g);
    if (!g.is_no_access)
        add_pools(a, &p->who, auth_find(a, AUTH_GUEST, path + strlen("/vms/")), &g);
    return g.is_no_access ? 0 : g.all;
}

priv_mask auth_guests_privileges(struct auth_guests *q, uint32_t vmid)
{
    char path[5 + 12] = "/vms/";
    size_t n = 5 + put_vmid(vmid, path + 5);
    priv_mask all = q->n ? PRIV_ALL : 0;

    for (size_t i = 0; i < q->n; i++)
        all &= of_part(q->auth, &q->parts[i], path, n);
    return all;
}

/* PVE names every privilege of an "any" test, else the first that is missing. */
static int deny(const char *path, priv_mask mask, bool any, struct err *e)
{
    char names[256];
    size_t n = 0;

    names[0] = 0;
    for (unsigned bit = 0; priv_name(bit); bit++) {
        if (!(mask & (UINT64_C(1) << bit)))
            continue;
        int len = snprintf(names + n, sizeof(names) - n, "%s%s", n ? "|" : "", priv_name(bit));
        if (len < 0 || (size_t)len >= sizeof(names) - n)
            break;
        n += (size_t)len;
        if (!any)
            break;
    }
    return err_set(e, -EPERM, "auth.denied", "Permission check failed (%.200s, %s)", path, names);
}

int auth_require(struct auth *a, const struct auth_subject *s, const char *path, priv_mask mask, bool any,
                 struct err *e)
{
    priv_mask has = auth_privileges(a, s, path, NULL);

    if (any ? (has & mask) != 0 : (has & mask) == mask)
        return 0;
    return deny(path, any ? mask : mask & ~has, any, e);
}

bool auth_has_on_groups(struct auth *a, const struct auth_subject *s, priv_mask mask, const char *groups,
                        const char *user)
{
    const struct auth_member *m = user ? auth_find(a, AUTH_MEMBER, user) : NULL;
    char group[AUTH_USER_MAX + 1], path[AUTH_PATH_MAX];
    bool has_any = false;

    if (auth_has(a, s, "/access/groups", mask, true))
        return true;
    for (const char *pos = groups; pos && auth_list_next(&pos, group, sizeof(group)); has_any = true) {
        snprintf(path, sizeof(path), "/access/groups/%s", group);
        if (!auth_find(a, AUTH_GROUP, group) || !auth_has(a, s, path, mask, true))
            return false;
    }
    for (size_t i = 0; !groups && m && i < m->n; i++) {
        snprintf(path, sizeof(path), "/access/groups/%s", m->refs[i]);
        has_any = has_any || (auth_find(a, AUTH_GROUP, m->refs[i]) && auth_has(a, s, path, mask, true));
    }
    return has_any;
}

int auth_check_perm_modify(struct auth *a, const struct auth_subject *s, const char *path, struct err *e)
{
    priv_mask mask = PRIV_M(PERMISSIONS_MODIFY);

    if (str_starts(path, "/storage/"))
        mask |= PRIV_M(DATASTORE_ALLOCATE);
    else if (str_starts(path, "/vms/"))
        mask |= PRIV_M(VM_ALLOCATE);
    else if (str_starts(path, "/pool/"))
        mask |= PRIV_M(POOL_ALLOCATE);
    return auth_require(a, s, path, mask, true, e);
}

static const char *pool_of(const struct auth *a, enum auth_kind kind, const char *key)
{
    const struct auth_member *m = auth_find(a, kind, key);

    for (size_t i = 0; m && i < m->n; i++)
        if (auth_find(a, AUTH_POOL, m->refs[i]))
            return m->refs[i];
    return NULL;
}

const char *auth_pool_of_guest(struct auth *a, uint32_t vmid)
{
    char key[12];

    if (!a->sets[AUTH_GUEST].n)
        return NULL;
    put_vmid(vmid, key);
    return pool_of(a, AUTH_GUEST, key);
}

const char *auth_pool_of_storage(struct auth *a, const char *storage)
{
    return pool_of(a, AUTH_STORAGE, storage);
}

bool auth_pool_exists(struct auth *a, const char *pool)
{
    return auth_find(a, AUTH_POOL, pool) != NULL;
}

void auth_each_pool(struct auth *a, bool (*fn)(void *arg, const char *pool), void *arg)
{
    const struct auth_set *pools = &a->sets[AUTH_POOL];

    for (size_t i = 0; i < pools->n; i++)
        if (!fn(arg, pools->sorted[i]->key))
            return;
}
