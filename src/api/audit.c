/* See audit.h. */
#include "api/audit.h"

#include "api/audit_object.h"
#include "api/common.h"
#include "audit/audit.h"
#include "auth/model.h"
#include "base/clock.h"
#include "base/log.h"

#define VALUE_MAX   200u  /* bytes of one value */
#define PARAMS_MAX  6000u /* bytes of all, about */
#define PATH_BYTES  400u
#define ADDRESS_MAX 64u
#define ERROR_MAX   400u
#define SECRETS_MAX 16u
#define SECRET_MIN  4u /* shorter ones would mask half of every text */

bool api_audit_wants(const struct api_call *c)
{
    /* Of the WebSockets only consoles: events are read as a list is. */
    return c->method[0] && c->path &&
           (!streq(c->method, "GET") || (streq(c->kind, "websocket") && !streq(c->path, "/cluster/events")));
}

/* ---- what must not be written ---- */

struct secrets {
    const char *values[SECRETS_MAX];
    size_t n;
};

static void find_secrets(const struct api_call *c, struct secrets *s)
{
    s->n = 0;
    for (size_t i = 0; i < c->n_raw && s->n < SECRETS_MAX; i++)
        if (audit_is_secret(c->raw[i].key) && strlen(c->raw[i].value) >= SECRET_MIN)
            s->values[s->n++] = c->raw[i].value;
}

/* A token with its secret, as in an Authorization header: …!ID=UUID. */
static bool has_token_secret(const char *text)
{
    const char *bang = strchr(text, '!'), *equals = bang ? strchr(bang, '=') : NULL;

    return equals && strspn(equals + 1, "0123456789abcdefABCDEF-") >= 36;
}

/* Is there a secret in a text that should hold none? People mistake fields. */
static bool is_tainted(const struct secrets *s, const char *text)
{
    static const char *const signs[] = {"PVE:", "PVEVNC:", "PVEAPIToken", "-----BEGIN", "password=", "passwd="};

    for (size_t i = 0; i < s->n; i++)
        if (strstr(text, s->values[i]))
            return true;
    for (size_t i = 0; i < ARRAY_SIZE(signs); i++)
        if (strstr(text, signs[i]))
            return true;
    return has_token_secret(text);
}

static void write_text(struct jw *w, const struct secrets *s, const char *key, const char *text, size_t max)
{
    size_t n = strlen(text);

    jw_key(w, key);
    if (is_tainted(s, text))
        jw_str(w, "***");
    else
        jw_strn(w, text, n < max ? n : max);
}

/* ---- what is written ---- */

static bool is_path_param(const struct api_call *c, const char *name)
{
    char placeholder[80];

    snprintf(placeholder, sizeof(placeholder), "{%.60s}", name);
    return c->route && strstr(c->route->path, placeholder);
}

/* Names that no schema knows are a stranger's text: what is not of a name's characters goes. */
static const char *clean_name(const char *name, char dst[48])
{
    size_t n = 0;

    for (; *name && n < 40; name++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", *name))
            dst[n++] = *name;
    dst[n] = 0;
    return n ? dst : "?";
}

static void write_param(struct jw *w, const struct api_call *c, const struct secrets *s, const struct api_raw_param *p)
{
    char name[48];
    bool is_known = c->route && api_route_param(c->route, p->key);

    if (is_tainted(s, p->key))
        jw_kv_str(w, "?", "***");
    else if (!is_known || audit_is_secret(p->key))
        jw_kv_str(w, clean_name(p->key, name), "***");
    else if (strlen(p->value) > VALUE_MAX && !is_tainted(s, p->value))
        jw_kv_str(w, p->key, "(long)");
    else
        write_text(w, s, p->key, p->value, VALUE_MAX);
}

static void write_params(struct jw *w, const struct api_call *c, const struct secrets *s)
{
    size_t begin = w->out->len, left = 0;

    jw_key(w, "params");
    jw_object(w);
    for (size_t i = 0; i < c->n_raw; i++) {
        if (is_path_param(c, c->raw[i].key))
            continue;
        if (w->out->len - begin > PARAMS_MAX)
            left++;
        else
            write_param(w, c, s, &c->raw[i]);
    }
    jw_object_end(w);
    if (left)
        jw_kv_u64(w, "params-left-out", left);
}

/* The user a login names; "?" where that is no user's name at all. */
static const char *claimed_user(struct api_call *c, struct auth_subject *who)
{
    const char *name = api_raw_get(c, "username"), *realm = api_raw_get(c, "realm");
    const char *text = name && realm && *realm ? arena_printf(&c->arena, "%s@%s", name, realm) : name;
    struct err e = ERR_INIT;

    return text && auth_subject_parse(text, who, &e) == 0 && !who->token[0] ? who->user : "?";
}

static bool is_login(const struct api_call *c)
{
    return c->route && streq(c->route->method, "POST") && streq(c->route->path, "/access/ticket");
}

static void write_who(struct jw *w, struct api_call *c, const struct secrets *s, unsigned status)
{
    char user[AUTH_USER_MAX + AUTH_TOKEN_MAX + 2];
    struct auth_subject who;

    if (c->who.user[0]) {
        auth_subject_format(&c->who, user, sizeof(user));
        jw_kv_str(w, "user", user);
    } else if (is_login(c)) {
        write_text(w, s, status == 200 && !c->audit.is_half_login ? "user" : "claimed", claimed_user(c, &who),
                   AUTH_USER_MAX);
    }
    const char *from = c->is_local ? "local" : c->peer && *c->peer ? c->peer : "unknown";
    size_t n = strlen(from);
    jw_key(w, "from");
    jw_strn(w, from, n < ADDRESS_MAX ? n : ADDRESS_MAX);
}

static const char *event_of(const struct api_call *c)
{
    if (streq(c->kind, "websocket"))
        return "console";
    if (streq(c->kind, "upload"))
        return "upload";
    return is_login(c) ? "login" : "write";
}

/* ---- records ---- */

static void write_request(struct jw *w, struct api_call *c, const struct secrets *s, unsigned status, bool has_params)
{
    jw_kv_int(w, "time", c->audit.time_ms);
    jw_kv_str(w, "event", event_of(c));
    write_who(w, c, s, status);
    jw_kv_str(w, "method", c->method);
    write_text(w, s, "path", c->path, PATH_BYTES);
    if (has_params && c->n_raw)
        write_params(w, c, s);
    if (c->is_dry_run)
        jw_kv_int(w, "dry-run", 1);
    if (c->audit.is_begun) {
        char id[20];
        snprintf(id, sizeof(id), "%016llx", (unsigned long long)c->audit.id);
        jw_kv_str(w, "id", id);
        if (c->audit.object[0])
            write_text(w, s, "object", c->audit.object, AUTH_PATH_MAX);
        if (c->audit.before[0])
            jw_kv_str(w, "before", c->audit.before);
    }
}

static bool note_request(struct api_call *c, const struct secrets *s, bool has_params)
{
    struct buf b;
    struct jw w;

    buf_init(&b, AUDIT_PENDING_MAX);
    jw_init(&w, &b);
    jw_object(&w);
    write_request(&w, c, s, 0, has_params);
    jw_object_end(&w);
    if (!b.is_failed)
        c->audit.slot = audit_begin(c->api->audit, c->audit.id, c->audit.object, buf_str(&b));
    bool is_noted = !b.is_failed;
    buf_done(&b);
    return is_noted;
}

void api_audit_begin(struct api_call *c)
{
    struct secrets s;

    if (!api_audit_wants(c))
        return;
    find_secrets(c, &s);
    c->audit.is_begun = true;
    c->audit.time_ms = clock_wall_ms();
    c->audit.id = audit_next_id(c->api->audit);
    c->audit.object = api_audit_object(c);
    c->audit.slot = -1;
    api_audit_digest(c->api, c->audit.object, c->audit.before);
    if (!c->is_dry_run && !note_request(c, &s, true))
        note_request(c, &s, false);
}

/* The UPID in a reply: the value itself, or a console's member. */
static void write_upid(struct jw *w, const struct api_call *c)
{
    const char *body = c->body.len && c->body.len < 4096 ? buf_str(&c->body) : "";
    const char *upid = strstr(body, "\"UPID:");

    if (!upid || c->is_dry_run)
        return;
    jw_key(w, "upid");
    jw_strn(w, upid + 1, strcspn(upid + 1, "\"\\"));
}

/* Names of refused parameters, which are not secret; the texts may quote values. */
static void write_error(struct jw *w, const struct api_call *c, const struct secrets *s)
{
    const char *text = c->error.text;

    if (str_starts(c->error.code, "param."))
        text = "Parameter verification failed.";
    size_t n = strcspn(text, "\n");
    char line[sizeof(c->error.text)];
    snprintf(line, sizeof(line), "%.*s", (int)n, text);
    write_text(w, s, "error", line, ERROR_MAX);
}

static void write_result(struct jw *w, struct api_call *c, const struct secrets *s, unsigned status)
{
    char after[AUDIT_HASH_HEX] = "";

    jw_kv_int(w, "status", status);
    if (status >= 400)
        write_error(w, c, s);
    else
        write_upid(w, c);
    if (c->audit.is_replay)
        jw_kv_int(w, "replay", 1);
    if (c->audit.is_begun && !c->is_dry_run && api_audit_digest(c->api, c->audit.object, after))
        jw_kv_str(w, "after", after);
}

/* Beyond a rate refusals are counted and not written one by one. A user's are those that had no effect for sure: who is
 * told 500 may have changed something. */
static bool is_flood(const struct api_call *c, unsigned status)
{
    char source[AUDIT_SOURCE_MAX + 1], user[AUTH_USER_MAX + AUTH_TOKEN_MAX + 2];

    if (!c->who.user[0])
        return audit_is_flood(c->api->audit, c->peer ? c->peer : "unknown");
    if (status >= 500)
        return false;
    auth_subject_format(&c->who, user, sizeof(user));
    snprintf(source, sizeof(source), "%s %s %s", user, c->method, c->route ? c->route->path : "(no route)");
    return audit_is_user_flood(c->api->audit, source);
}

bool api_audit_end(struct api_call *c, unsigned status, void (*done)(void *call, int r, const struct err *e))
{
    struct secrets s;
    struct buf b;
    struct jw w;

    if (!api_audit_wants(c))
        return false;
    if (!c->audit.is_begun) {
        c->audit.time_ms = clock_wall_ms();
        c->audit.slot = -1;
    }
    if (status >= 400 && is_flood(c, status)) {
        audit_cancel(c->api->audit, c->audit.slot);
        return false;
    }
    find_secrets(c, &s);
    for (int with_params = 1; with_params >= 0; with_params--) {
        buf_init(&b, AUDIT_BODY_MAX);
        jw_init(&w, &b);
        jw_object(&w);
        write_request(&w, c, &s, status, with_params);
        write_result(&w, c, &s, status);
        jw_object_end(&w);
        if (!b.is_failed)
            break;
        buf_done(&b);
    }
    audit_submit(c->api->audit, buf_str(&b), c->audit.slot, done, c);
    buf_done(&b);
    return true;
}

/* ---- start, and ends of tasks ---- */

static void describe(void *arg, const char *object, json_t *record)
{
    char after[AUDIT_HASH_HEX];

    if (api_audit_digest(arg, object, after))
        json_object_set_new(record, "after", json_string(after));
}

static void on_task_end(void *arg, const struct task_view *v)
{
    struct api *api = arg;
    char object[40] = "", after[AUDIT_HASH_HEX];
    const struct secrets none = {.n = 0};
    struct buf b;
    struct jw w;

    if (streq(v->upid.type, "srvreload"))
        snprintf(object, sizeof(object), "local/network/active");
    else
        snprintf(object, sizeof(object), "shared/guest/%.20s", v->upid.id);
    buf_init(&b, AUDIT_BODY_MAX);
    jw_init(&w, &b);
    jw_object(&w);
    jw_kv_int(&w, "time", clock_wall_ms());
    jw_kv_str(&w, "event", "task");
    jw_kv_str(&w, "user", v->upid.user);
    jw_kv_str(&w, "upid", v->text);
    write_text(&w, &none, "result", v->status ? v->status : "unexpected status", ERROR_MAX);
    if (api_audit_digest(api, object, after)) {
        jw_kv_str(&w, "object", object);
        jw_kv_str(&w, "after", after);
    }
    jw_object_end(&w);
    audit_submit(api->audit, buf_str(&b), -1, NULL, NULL);
    buf_done(&b);
}

void api_audit_start(struct api *api)
{
    audit_settle(api->audit, describe, api);
    task_mgr_set_observer(api->tasks, on_task_end, api);
}
