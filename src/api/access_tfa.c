/* /access/tfa and what /access/users/U says about it (PVE: pve-access-control, API2/TFA.pm). Secrets leave the daemon
 * in the reply that made them (recovery codes) or never (TOTP, which the client brings). Whoever changes something
 * confirms with his own password, but for root on the local socket: a stolen ticket must not be able to remove the
 * second factor that would have stopped its thief. Loop thread. */
#include <sodium.h>

#include "api/access_second.h"
#include "base/clock.h"
#include "base/log.h"

static void write_entry(struct jw *w, const char *id, const char *type, const char *description, int64_t created,
                        bool is_enabled)
{
    jw_object(w);
    jw_kv_str(w, "id", id);
    jw_kv_str(w, "type", type);
    jw_kv_str(w, "description", description ? description : "");
    jw_kv_int(w, "created", created);
    jw_kv_int(w, "enable", is_enabled);
    jw_object_end(w);
}

/* The entries with this id, or all of them for NULL; returns how many. t may be NULL. */
static size_t write_entries(struct jw *w, const struct auth_tfa *t, const char *id)
{
    size_t n = 0;

    for (size_t i = 0; t && i < t->n_totp; i++) {
        const struct auth_tfa_totp *o = &t->totp[i];
        if (id && !streq(id, o->id))
            continue;
        write_entry(w, o->id, "totp", o->description, o->created, o->is_enabled);
        n++;
    }
    if (t && t->recovery.is_there && (!id || streq(id, AUTH_TFA_RECOVERY_ID))) {
        const struct auth_tfa_recovery *r = &t->recovery;
        write_entry(w, AUTH_TFA_RECOVERY_ID, "recovery", r->description, r->created, r->is_enabled);
        n++;
    }
    return n;
}

int api_access_tfa_list(struct api_call *c, const struct api_access_tfa_list_args *a, struct err *e)
{
    const struct auth_set *set = auth_objects(c->api->auth, AUTH_TFA);
    priv_mask mask = PRIV_M(USER_MODIFY) | PRIV_M(SYS_AUDIT);
    bool sees_all = auth_has(c->api->auth, &c->who, "/access/groups", mask, true);
    struct jw *w = &c->out;

    jw_array(w);
    for (size_t i = 0; i < set->n; i++) {
        const struct auth_tfa *t = container_of(set->sorted[i], struct auth_tfa, item);
        const char *user = t->item.key;
        bool is_self = streq(user, c->who.user) && !c->who.token[0];
        if (!sees_all && !is_self && !auth_has_on_groups(c->api->auth, &c->who, mask, NULL, user))
            continue;
        jw_object(w);
        jw_kv_str(w, "userid", user);
        jw_key(w, "entries");
        jw_array(w);
        (void)write_entries(w, t, NULL);
        jw_array_end(w);
        access_second_write_lock(w, t);
        jw_object_end(w);
    }
    jw_array_end(w);
    return 0;
}

int api_access_tfa_user(struct api_call *c, const struct api_access_tfa_user_args *a, struct err *e)
{
    const struct auth_user *u;
    int r = access_need_user(c, "", a->userid, &u, e);

    if (r < 0)
        return r;
    jw_array(&c->out);
    (void)write_entries(&c->out, auth_tfa_of(c->api->auth, a->userid), NULL);
    jw_array_end(&c->out);
    return 0;
}

static int missing(const char *id, struct err *e)
{
    return err_set(e, -ENOENT, "tfa.missing", "No such tfa entry '%.80s'", id);
}

int api_access_tfa_read(struct api_call *c, const struct api_access_tfa_read_args *a, struct err *e)
{
    const struct auth_user *u;
    int r = access_need_user(c, "", a->userid, &u, e);

    if (r < 0)
        return r;
    return write_entries(&c->out, auth_tfa_of(c->api->auth, a->userid), a->id) ? 0 : missing(a->id, e);
}

int api_access_users_tfa(struct api_call *c, const struct api_access_users_tfa_args *a, struct err *e)
{
    const struct auth_tfa *t = auth_tfa_of(c->api->auth, a->userid);
    const struct auth_user *u;
    int r = access_need_user(c, "", a->userid, &u, e);

    if (r < 0)
        return r;
    jw_object(&c->out);
    if (a->multiple) {
        jw_key(&c->out, "types");
        jw_array(&c->out);
        if (t && t->n_totp)
            jw_str(&c->out, "totp");
        if (t && t->recovery.is_there)
            jw_str(&c->out, "recovery");
        jw_array_end(&c->out);
    } else if (t && t->n_totp) {
        jw_kv_str(&c->out, "user", "oath");
    }
    jw_object_end(&c->out);
    return 0;
}

/* A change, waiting for the password. apply adds to next, or returns an error. */
struct change {
    const char *user;
    int (*apply)(struct api_call *c, struct auth_tfa *next, const void *args, struct err *e);
    const void *args;
};

static int apply(struct api_call *c, const struct change *ch, struct err *e)
{
    const struct auth_tfa *now = auth_tfa_of(c->api->auth, ch->user);
    struct auth_tfa next = {.n_totp = 0};
    const struct auth_user *u = NULL;
    int r = access_need_user(c, "", ch->user, &u, e); /* things may have changed meanwhile */

    if (now)
        next = *now;
    if (r == 0)
        r = ch->apply(c, &next, ch->args, e);
    if (r == 0) {
        struct state_txn *t = state_txn_new();
        if (t) {
            auth_txn_expect(t, AUTH_USER, ch->user, u->item.revision);
            auth_txn_expect(t, AUTH_TFA, ch->user, now ? now->item.revision : 0);
            auth_txn_tfa(t, ch->user, &next);
        }
        r = api_commit(c, t);
    }
    mem_wipe(&next, sizeof(next));
    return r;
}

static void on_confirmed(struct api_call *c, int r, void *arg, const struct err *result)
{
    struct err e = *result;

    if (r == 0)
        r = apply(c, arg, &e);
    if (r != API_LATER)
        api_finish(c, r, &e);
}

static int begin(struct api_call *c, const struct change *change, const char *password, struct err *e)
{
    struct change *ch = arena_alloc(&c->arena, sizeof(*ch));
    const struct auth_user *u;
    int r = access_need_user(c, "", change->user, &u, e);

    if (r == 0)
        r = access_guard_root(c, change->user, e);
    if (r < 0)
        return r;
    if (!ch)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *ch = *change;
    if (c->is_local && c->who.is_root)
        return apply(c, ch, e);
    if (!password)
        return api_param_error(c, e, "password", "password is required to modify TFA data");
    return access_confirm(c, password, on_confirmed, ch, e);
}

static void make_id(char id[AUTH_TFA_ID_CAP])
{
    unsigned char b[16];
    char hex[33];

    randombytes_buf(b, sizeof(b));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* RFC 4122, version 4 */
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    sodium_bin2hex(hex, sizeof(hex), b, sizeof(b));
    snprintf(id, AUTH_TFA_ID_CAP, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

static int need_readable(const struct auth_tfa *t, struct err *e)
{
    if (!t->is_damaged)
        return 0;
    return err_set(e, -EIO, "tfa.damaged", "the second factors of this user cannot be read: delete them first");
}

static int add_totp(struct api_call *c, struct auth_tfa *next, const void *args, struct err *e)
{
    const struct api_access_tfa_create_args *a = args;
    struct auth_tfa_totp *o = &next->totp[next->n_totp];
    int64_t step;
    int r = need_readable(next, e);

    if (r < 0)
        return r;
    if (next->n_totp == AUTH_TFA_TOTP_MAX)
        return err_set(e, -E2BIG, "tfa.too-many", "a user has at most %u authenticators", AUTH_TFA_TOTP_MAX);
    *o = (struct auth_tfa_totp){.description = (char *)a->description,
                                .created = clock_wall_s(),
                                .is_enabled = true,
                                .last_step = TOTP_NO_STEP};
    if (totp_parse_uri(a->totp, &o->totp, e) < 0)
        return api_param_error(c, e, "totp", "%s", e->text);
    /* The proof may be used for a login as well: whoever saw it saw the secret beside it. */
    if (!totp_match(&o->totp, a->value, clock_wall_s(), TOTP_NO_STEP, &step)) {
        c->error_param = "value";
        return err_set(e, -EINVAL, "tfa.proof", "failed to verify TOTP challenge"); /* 500, as PVE's */
    }
    next->n_totp++;
    make_id(o->id);
    jw_object(&c->out);
    jw_kv_str(&c->out, "id", o->id);
    jw_object_end(&c->out);
    return 0;
}

static int add_recovery(struct api_call *c, struct auth_tfa *next, const void *args, struct err *e)
{
    const struct api_access_tfa_create_args *a = args;
    char codes[AUTH_RECOVERY_CODES][AUTH_RECOVERY_CAP];
    int r = need_readable(next, e);

    if (r < 0)
        return r;
    if (next->recovery.is_there)
        return err_set(e, -EEXIST, "tfa.exists", "user already has recovery keys");
    auth_recovery_make(&next->recovery, codes);
    next->recovery.description = (char *)a->description;
    jw_object(&c->out);
    jw_kv_str(&c->out, "id", AUTH_TFA_RECOVERY_ID);
    jw_key(&c->out, "recovery");
    jw_array(&c->out);
    for (unsigned i = 0; i < AUTH_RECOVERY_CODES; i++)
        jw_str(&c->out, codes[i]);
    jw_array_end(&c->out);
    jw_object_end(&c->out);
    mem_wipe(codes, sizeof(codes));
    return 0;
}

static int check_create(struct api_call *c, const struct api_access_tfa_create_args *a, struct err *e)
{
    struct totp t;

    if (!streq(a->type, "totp") && !streq(a->type, "recovery"))
        return api_param_error(c, e, "type", "second factors of type '%s' are not supported, only totp and recovery",
                               a->type);
    if (a->challenge)
        return api_param_error(c, e, "challenge", "not for second factors of type '%s'", a->type);
    if (streq(a->type, "recovery"))
        return a->totp || a->value
                   ? api_param_error(c, e, a->totp ? "totp" : "value", "not for second factors of type 'recovery'")
                   : 0;
    if (!a->totp || !a->value)
        return api_param_error(c, e, a->totp ? "value" : "totp",
                               "'totp' type requires both 'totp' and 'value' parameters");
    if (!a->description)
        return api_param_error(c, e, "description", "'description' is required for new entries");
    int r = totp_parse_uri(a->totp, &t, e);
    mem_wipe(&t, sizeof(t));
    return r < 0 ? api_param_error(c, e, "totp", "%s", e->text) : 0;
}

int api_access_tfa_create(struct api_call *c, const struct api_access_tfa_create_args *a, struct err *e)
{
    bool is_totp = streq(a->type, "totp");
    const struct change ch = {.user = a->userid, .apply = is_totp ? add_totp : add_recovery, .args = a};
    int r = check_create(c, a, e);

    c->has_secret = true;
    return r < 0 ? r : begin(c, &ch, a->password, e);
}

static struct auth_tfa_totp *find_totp(struct auth_tfa *t, const char *id)
{
    for (size_t i = 0; i < t->n_totp; i++)
        if (streq(t->totp[i].id, id))
            return &t->totp[i];
    return NULL;
}

static bool is_recovery(const struct auth_tfa *t, const char *id)
{
    return t->recovery.is_there && streq(id, AUTH_TFA_RECOVERY_ID);
}

static int update(struct api_call *c, struct auth_tfa *next, const void *args, struct err *e)
{
    const struct api_access_tfa_update_args *a = args;
    struct auth_tfa_totp *o = find_totp(next, a->id);
    int r = need_readable(next, e);

    if (r < 0)
        return r;
    if (!o && !is_recovery(next, a->id))
        return missing(a->id, e);
    if (a->description)
        *(o ? &o->description : &next->recovery.description) = (char *)a->description;
    if (a->has_enable)
        *(o ? &o->is_enabled : &next->recovery.is_enabled) = a->enable;
    return 0;
}

int api_access_tfa_update(struct api_call *c, const struct api_access_tfa_update_args *a, struct err *e)
{
    const struct change ch = {.user = a->userid, .apply = update, .args = a};

    return begin(c, &ch, a->password, e);
}

/* A record that cannot be read goes as a whole, by whatever id. */
static int delete (struct api_call *c, struct auth_tfa *next, const void *args, struct err *e)
{
    const struct api_access_tfa_delete_args *a = args;
    struct auth_tfa_totp *o = find_totp(next, a->id);

    if (next->is_damaged) {
        next->n_totp = 0;
        next->recovery.is_there = false;
        return 0;
    }
    if (o) {
        size_t after = next->n_totp - (size_t)(o - next->totp) - 1;
        memmove(o, o + 1, after * sizeof(*o));
        next->n_totp--;
        return 0;
    }
    if (!is_recovery(next, a->id))
        return missing(a->id, e);
    next->recovery.is_there = false;
    return 0;
}

int api_access_tfa_delete(struct api_call *c, const struct api_access_tfa_delete_args *a, struct err *e)
{
    const struct change ch = {.user = a->userid, .apply = delete, .args = a};

    return begin(c, &ch, a->password, e);
}

int api_access_users_unlock(struct api_call *c, const struct api_access_users_unlock_args *a, struct err *e)
{
    const struct auth_tfa *now = auth_tfa_of(c->api->auth, a->userid);
    const struct auth_user *u;
    int r = access_need_user(c, "", a->userid, &u, e);

    if (r == 0)
        r = access_guard_root(c, a->userid, e);
    if (r == 0 && now)
        r = need_readable(now, e);
    if (r < 0)
        return r;
    bool was_locked = now && (now->is_totp_locked || auth_tfa_is_locked(now));
    jw_int(&c->out, was_locked);
    if (!now || (!was_locked && !now->failures && !now->totp_failures))
        return 0;
    struct auth_tfa next = *now;
    next.is_totp_locked = false;
    next.locked_until = 0;
    next.failures = next.totp_failures = 0;
    struct state_txn *t = state_txn_new();
    if (t) {
        auth_txn_expect(t, AUTH_TFA, a->userid, now->item.revision);
        auth_txn_tfa(t, a->userid, &next);
    }
    mem_wipe(&next, sizeof(next));
    return api_commit(c, t);
}
