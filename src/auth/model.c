/* The model: copies of the state's keys, kept by watches. Each kind of record is a row of a table (where its keys
 * begin, how a value becomes an object); ACL entries and memberships carry everything in their key and have code of
 * their own.
 *
 * A record that cannot be read must not open a door: a user, token, realm, password or secret that is unreadable does
 * not exist; second factors that are stay, and nobody passes them; while any other record is, or memory ran out, nobody
 * but root@pam has privileges. Loop thread. */
#include "auth/auth_priv.h"

#include <sodium.h>

#include "auth/second.h"
#include "base/log.h"

#define TICKET_KEY "shared/secret/ticket"

static const struct kind {
    enum auth_kind kind;
    const char *prefix;
    size_t size;
    auth_record_fn parse;
    bool is_closing; /* an unreadable record of this kind closes everything */
} kinds[] = {
    {AUTH_USER, "shared/auth/user/", sizeof(struct auth_user), auth_record_user, false},
    {AUTH_GROUP, "shared/auth/group/", sizeof(struct auth_group), auth_record_group, true},
    {AUTH_ROLE, "shared/auth/role/", sizeof(struct auth_role), auth_record_role, true},
    {AUTH_REALM, "shared/auth/realm/", sizeof(struct auth_realm), auth_record_realm, false},
    {AUTH_TOKEN, "shared/auth/token/", sizeof(struct auth_token), auth_record_token, false},
    {AUTH_POOL, "shared/auth/pool/", sizeof(struct auth_pool), auth_record_pool, true},
    {AUTH_PASSWORD, "shared/secret/password/", sizeof(struct auth_password), auth_record_password, false},
    {AUTH_SECRET, "shared/secret/token/", sizeof(struct auth_secret), auth_record_secret, false},
    {AUTH_TFA, "shared/secret/tfa/", sizeof(struct auth_tfa), auth_record_tfa, false},
};

static void free_plain(struct auth_item *i)
{
    free(i->key);
    free(i);
}

static void free_user(struct auth_item *i)
{
    struct auth_user *u = container_of(i, struct auth_user, item);

    free(u->firstname);
    free(u->lastname);
    free(u->email);
    free(u->comment);
    free(u->keys);
    free_plain(i);
}

static void free_group(struct auth_item *i)
{
    free(container_of(i, struct auth_group, item)->comment);
    free_plain(i);
}

static void free_realm(struct auth_item *i)
{
    struct auth_realm *r = container_of(i, struct auth_realm, item);

    free(r->type);
    free(r->comment);
    free_plain(i);
}

static void free_token(struct auth_item *i)
{
    free(container_of(i, struct auth_token, item)->comment);
    free_plain(i);
}

static void free_acl(struct auth_item *i)
{
    struct auth_acl *acl = container_of(i, struct auth_acl, item);

    for (size_t k = 0; k < acl->n; k++) {
        free(acl->entries[k].id);
        free(acl->entries[k].role);
    }
    free(acl->entries);
    free(acl->prefixes);
    free_plain(i);
}

static void free_pool(struct auth_item *i)
{
    free(container_of(i, struct auth_pool, item)->comment);
    free_plain(i);
}

static void free_member(struct auth_item *i)
{
    struct auth_member *m = container_of(i, struct auth_member, item);

    for (size_t k = 0; k < m->n; k++)
        free(m->refs[k]);
    free(m->refs);
    free_plain(i);
}

static void free_password(struct auth_item *i)
{
    struct auth_password *p = container_of(i, struct auth_password, item);

    if (p->hash)
        mem_wipe(p->hash, strlen(p->hash));
    free(p->hash);
    free_plain(i);
}

static void (*const free_item[AUTH_N_KINDS])(struct auth_item *) = {
    [AUTH_USER] = free_user,      [AUTH_GROUP] = free_group,       [AUTH_ROLE] = free_plain,
    [AUTH_REALM] = free_realm,    [AUTH_TOKEN] = free_token,       [AUTH_ACL] = free_acl,
    [AUTH_POOL] = free_pool,      [AUTH_MEMBER] = free_member,     [AUTH_GUEST] = free_member,
    [AUTH_STORAGE] = free_member, [AUTH_PASSWORD] = free_password, [AUTH_SECRET] = free_plain,
    [AUTH_TFA] = auth_tfa_free,
};

void auth_item_free(enum auth_kind kind, struct auth_item *item)
{
    if (item)
        free_item[kind](item);
}

const struct auth_set *auth_objects(const struct auth *a, enum auth_kind kind)
{
    return &a->sets[kind];
}

const void *auth_find(const struct auth *a, enum auth_kind kind, const char *key)
{
    /* item is the first member of every object */
    return auth_set_find(&a->sets[kind], key, strlen(key));
}

bool auth_is_usable(const struct auth *a)
{
    return !a->is_out_of_memory && a->damaged.n == 0;
}

void auth_note_memory(struct auth *a, const char *key)
{
    if (!a->is_out_of_memory)
        log_error("auth: out of memory at '%s': only root@pam has privileges until the next start", key);
    a->is_out_of_memory = true;
}

void auth_clear_damage(struct auth *a, const char *key)
{
    auth_item_free(AUTH_SECRET, auth_set_remove(&a->damaged, key));
}

void auth_note_damage(struct auth *a, const char *key, bool is_closing)
{
    log_error("auth: the record '%s' cannot be read%s", key, is_closing ? "; only root@pam has privileges now" : "");
    struct auth_item *i = is_closing ? calloc(1, sizeof(*i)) : NULL;
    if (is_closing && (!i || !(i->key = strdup(key)) || auth_set_insert(&a->damaged, i) < 0)) {
        auth_item_free(AUTH_SECRET, i);
        auth_note_memory(a, key);
    }
}

struct auth_item *auth_need_item(struct auth_set *set, enum auth_kind kind, const char *key, size_t n, size_t size)
{
    struct auth_item *item = auth_set_find(set, key, n);

    if (item)
        return item;
    item = calloc(1, size);
    if (item && (!(item->key = strndup(key, n)) || auth_set_insert(set, item) < 0)) {
        auth_item_free(kind, item);
        item = NULL;
    }
    return item;
}

/* An object from its value; NULL if that is not readable, but for second factors: without them a password would do. */
static struct auth_item *make_item(const struct kind *k, const char *id, const char *value, uint64_t revision)
{
    json_t *root = auth_record_parse(value);
    bool is_kept = k->kind == AUTH_TFA;
    struct auth_item *item = root || is_kept ? calloc(1, k->size) : NULL;

    if (item) {
        item->key = strdup(id);
        item->revision = revision;
    }
    bool is_read = item && item->key && root && k->parse(item, root) == 0;
    if (item && item->key && !is_read && is_kept) {
        log_error("auth: the second factors of '%s' cannot be read: only a deletion of them lets the user in again",
                  id);
        auth_tfa_note_damage(item);
    } else if (item && !is_read) {
        auth_item_free(k->kind, item);
        item = NULL;
    }
    json_decref(root);
    return item;
}

static void on_record(struct auth *a, const struct kind *k, const char *key, const char *value, uint64_t revision)
{
    const char *id = key + strlen(k->prefix);
    const struct auth_role *role = k->kind == AUTH_ROLE ? auth_find(a, AUTH_ROLE, id) : NULL;

    if (role && role->is_special) {
        log_error("auth: the record '%s' has the name of a built-in role and is ignored", key);
        return;
    }
    auth_clear_damage(a, key);
    a->role_generation += k->kind == AUTH_ROLE;
    auth_item_free(k->kind, auth_set_remove(&a->sets[k->kind], id));
    if (!value)
        return;
    struct auth_item *item = make_item(k, id, value, revision);
    if (!item)
        auth_note_damage(a, key, k->is_closing);
    else if (auth_set_insert(&a->sets[k->kind], item) < 0) {
        auth_item_free(k->kind, item);
        auth_note_memory(a, key);
    }
}

static void on_ticket_keys(void *arg, const char *key, const char *value, uint64_t revision)
{
    struct auth *a = arg;

    if (auth_ticket_keys_load(a, value, revision) < 0)
        log_error("auth: the record '%s' cannot be read: tickets are not accepted until new keys are made", key);
}

static void on_change(void *arg, const char *key, const char *value, uint64_t revision)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (str_starts(key, kinds[i].prefix))
            on_record(arg, &kinds[i], key, value, revision);
}

int auth_new(struct state *s, struct auth **ret, struct err *e)
{
    if (sodium_init() < 0)
        return err_set(e, -EIO, "auth.crypto", "libsodium does not start");
    struct auth *a = calloc(1, sizeof(*a));
    if (!a || auth_roles_init(&a->sets[AUTH_ROLE]) < 0) {
        auth_free(a);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    a->state = s;
    a->role_generation = 1; /* entries begin with 0 */
    randombytes_buf(a->console_key, sizeof(a->console_key));
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(kinds); i++)
        r = state_watch(s, kinds[i].prefix, on_change, a, &a->watches[a->n_watches++], e);
    if (r == 0)
        r = state_watch(s, AUTH_MEMBER_PREFIX, auth_on_member, a, &a->watches[a->n_watches++], e);
    if (r == 0)
        r = state_watch(s, AUTH_ACL_PREFIX "/", auth_on_acl, a, &a->watches[a->n_watches++], e);
    if (r == 0)
        r = state_watch(s, TICKET_KEY, on_ticket_keys, a, &a->watches[a->n_watches++], e);
    if (r < 0) {
        auth_free(a);
        return err_wrap(e, r, "read users and permissions");
    }
    *ret = a;
    return 0;
}

void auth_free(struct auth *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->n_watches; i++)
        state_unwatch(a->watches[i]);
    for (unsigned k = 0; k < AUTH_N_KINDS; k++)
        auth_set_done(&a->sets[k], free_item[k]);
    auth_set_done(&a->damaged, free_plain);
    mem_wipe(a, sizeof(*a));
    free(a);
}

bool auth_user_is_active(struct auth *a, const char *user)
{
    const struct auth_user *u = auth_find(a, AUTH_USER, user);

    /* Nobody belongs to a realm that is gone or cannot be read. */
    return u && auth_find(a, AUTH_REALM, auth_realm_of(user)) && u->is_enabled &&
           (u->expire == 0 || u->expire > clock_wall_s());
}

/* A change from the future (the clock was wrong) shuts nobody out. */
static bool is_older_than_password(struct auth *a, const struct auth_subject *s)
{
    const struct auth_password *p = s->ticket_s ? auth_find(a, AUTH_PASSWORD, s->user) : NULL;

    return p && s->ticket_s < p->changed && p->changed <= clock_wall_s();
}

bool auth_subject_is_active(struct auth *a, const struct auth_subject *s)
{
    char id[AUTH_USER_MAX + AUTH_TOKEN_MAX + 2];

    if (!auth_user_is_active(a, s->user) || is_older_than_password(a, s))
        return false;
    if (!s->token[0])
        return true;
    auth_subject_format(s, id, sizeof(id));
    const struct auth_token *k = auth_find(a, AUTH_TOKEN, id);
    return k && (k->expire == 0 || k->expire > clock_wall_s());
}

const char *auth_password_hash(struct auth *a, const char *user)
{
    const struct auth_password *p = auth_find(a, AUTH_PASSWORD, user);

    return p ? p->hash : NULL;
}

const char *auth_default_realm(struct auth *a)
{
    const struct auth_set *realms = &a->sets[AUTH_REALM];

    for (size_t i = 0; i < realms->n; i++)
        if (container_of(realms->sorted[i], struct auth_realm, item)->is_default)
            return realms->sorted[i]->key;
    return "pam";
}
