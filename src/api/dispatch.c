/* One request from its decoded fields to its reply: authenticate, find the route, validate, check permission, call.
 * Loop thread. The reply's body has PVE's envelope (pve-http-server, Standard.pm): {"data":…} or {"data":null,
 * "message":…,"errors":{…}}, and of our own "code" and "hint"; the reason phrase is the first line of the message. */
#include <stdarg.h>

#include "api/access_limit.h"
#include "api/audit.h"
#include "api/idempotency.h"
#include "api/lasting.h"
#include "api/route.h"
#include "audit/audit.h"
#include "base/clock.h"
#include "base/log.h"
#include "task/pool.h"

#define PATH_SEGMENTS_MAX 16u
#define ERRORS_MAX        65536u

static void add_param_error(struct api_call *c, const char *param, const char *text)
{
    char key[80];
    struct jw w;

    snprintf(key, sizeof(key), "%s", param);
    if (c->param_errors.len)
        buf_append_char(&c->param_errors, ',');
    jw_init(&w, &c->param_errors);
    jw_str(&w, key);
    buf_append_char(&c->param_errors, ':');
    jw_init(&w, &c->param_errors);
    jw_str(&w, text);
}

int api_param_error(struct api_call *c, struct err *e, const char *param, const char *fmt, ...)
{
    char text[600];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    add_param_error(c, param, text);
    return err_set(e, -EINVAL, "param.invalid", "Parameter verification failed.");
}

const char *api_raw_get(const struct api_call *c, const char *key)
{
    for (size_t i = 0; i < c->n_raw; i++)
        if (streq(c->raw[i].key, key))
            return c->raw[i].value;
    return NULL;
}

const char *api_path_param(const struct api_call *c, const char *name)
{
    return api_raw_get(c, name); /* path parameters come first in raw */
}

int api_require(struct api_call *c, const char *path, priv_mask mask, bool any, struct err *e)
{
    return auth_require(c->api->auth, &c->who, path, mask, any, e);
}

int api_require_root(struct api_call *c, struct err *e)
{
    if (c->who.is_root)
        return 0;
    return err_set(e, -EPERM, "auth.denied", "Permission check failed (user != root@pam)");
}

static unsigned status_of(const struct err *e)
{
    if (str_starts(e->code, "param."))
        return 400;
    if (streq(e->code, "auth.denied") || streq(e->code, "auth.token-refused"))
        return 403;
    if (streq(e->code, "auth.limited"))
        return 429;
    if (str_starts(e->code, "auth."))
        return 401;
    if (streq(e->code, "tfa.missing") || streq(e->code, "upload.missing"))
        return 404;
    if (streq(e->code, "upload.offset") || streq(e->code, "upload.busy") || streq(e->code, "upload.incomplete"))
        return 409;
    if (str_starts(e->code, "route."))
        return 501;
    return 500;
}

/* The envelope around the value that the handler wrote: moved up by a few bytes, since it may be megabytes. */
static void wrap_value(struct api_call *c)
{
    static const char before[] = "{\"data\":";
    struct buf *b = &c->body;

    if (!b->len)
        buf_append_str(b, "null");
    b->max += ERRORS_MAX;
    if (!buf_reserve(b, sizeof(before)))
        return;
    memmove(b->data + sizeof(before) - 1, b->data, b->len);
    memcpy(b->data, before, sizeof(before) - 1);
    b->len += sizeof(before) - 1;
    b->data[b->len] = 0;
}

static void write_error(struct api_call *c, struct jw *w)
{
    char *text = arena_printf(&c->arena, "%s\n", c->error.text);

    jw_object(w);
    jw_key(w, "data");
    jw_null(w);
    jw_key(w, "message");
    jw_str(w, text ? text : "out of memory\n");
    if (c->error.code[0])
        jw_kv_str(w, "code", c->error.code);
    if (c->error.hint[0])
        jw_kv_str(w, "hint", c->error.hint);
    if (!c->param_errors.len)
        return;
    jw_key(w, "errors");
    buf_append_char(&c->body, '{');
    buf_append(&c->body, c->param_errors.data, c->param_errors.len);
    buf_append_char(&c->body, '}');
}

/* Turns the result into the body that is sent. */
static void build_body(struct api_call *c, int r)
{
    struct jw w = {.out = &c->body, .depth = 1, .has_item = 2}; /* inside an object that has a member */

    if (r < 0) {
        buf_done(&c->body);
        buf_init(&c->body, c->body.max + ERRORS_MAX + 4096);
        jw_init(&w, &c->body);
        write_error(c, &w);
    } else {
        wrap_value(c);
        if (c->has_total)
            jw_kv_u64(&w, "total", c->total);
    }
    if (c->is_extjs) {
        jw_kv_int(&w, "success", r == 0);
        if (r < 0)
            jw_kv_int(&w, "status", status_of(&c->error));
    }
    jw_object_end(&w);
}

/* What is left of the wait: work of different length before a refusal ends at the same time. */
static void hold_back(struct api_call *c)
{
    uint64_t gone = c->begun_ms ? clock_boot_ms() - c->begun_ms : 0;

    c->delay_ms = gone < c->delay_ms ? c->delay_ms - (uint32_t)gone : 0;
}

/* Nothing holds the answer back any more. */
static void send_reply(struct api_call *c, int r)
{
    c->status = r < 0 ? status_of(&c->error) : 200;
    if (c->status == 401 && !c->delay_ms)
        c->delay_ms = 3000;
    if (c->is_extjs)
        c->status = c->status == 401 ? 401 : 200;
    build_body(c, r);
    hold_back(c);
    c->ops->reply(c);
}

static void on_recorded(void *arg, int r, const struct err *e)
{
    struct api_call *c = arg;

    if (r == 0) {
        send_reply(c, c->audit.result);
        return;
    }
    bool is_done = c->audit.result == 0 && !c->is_dry_run;
    c->error = *e;
    if (is_done)
        err_wrap(&c->error, r, "the request was carried out, but");
    buf_reset(&c->param_errors);
    send_reply(c, r);
}

/* What checks a configuration as a whole says "KEY: text" (engines, storages): it belongs to that key, too. */
static void find_error_param(struct api_call *c)
{
    const char *text = c->error.text, *colon = strstr(text, ": ");
    char key[40];

    if (c->error_param) {
        add_param_error(c, c->error_param, text);
        return;
    }
    if (!c->route || !c->route->has_config || !colon || (size_t)(colon - text) >= sizeof(key) ||
        str_starts(c->error.code, "auth."))
        return;
    snprintf(key, sizeof(key), "%.*s", (int)(colon - text), text);
    const struct api_param *p = api_route_param(c->route, key);
    if (p && p->is_config)
        add_param_error(c, key, colon + 2);
}

void api_finish(struct api_call *c, int r, const struct err *e)
{
    if (r < 0) {
        c->error = *e;
        if (!c->error.text[0])
            err_set(&c->error, r, NULL, "%s", strerror(-r));
    }
    if (r == 0 && c->body.is_failed) {
        buf_reset(&c->body);
        r = err_set(&c->error, -EFBIG, "reply.too-large", "the reply is too large");
    }
    if (r < 0 && c->param_errors.len && !streq(c->error.code, "param.invalid"))
        buf_reset(&c->param_errors);
    if (r < 0 && !c->param_errors.len)
        find_error_param(c);
    idempotency_end(c->api->idempotency, c, r);
    c->audit.result = r;
    if (!api_audit_end(c, r < 0 ? status_of(&c->error) : 200, on_recorded))
        send_reply(c, r);
}

static void on_console_recorded(void *arg, int r, const struct err *e)
{
    struct api_call *c = arg;
    int fd = c->audit.fd;

    if (r == 0) {
        c->ops->upgrade(c, fd, c->audit.mode);
    } else {
        c->error = *e;
        send_reply(c, r);
    }
    close(fd);
}

int api_upgrade(struct api_call *c, int fd, const char *mode)
{
    c->audit.fd = fd;
    c->audit.mode = mode;
    if (!api_audit_end(c, 101, on_console_recorded))
        on_console_recorded(c, 0, NULL);
    return API_LATER;
}

static void on_committed(void *arg, int r, uint64_t revision, const struct err *e)
{
    struct api_call *c = arg;
    struct err conflict = ERR_INIT;

    if (r == -EAGAIN && streq(e->code, "state.conflict")) {
        err_set(&conflict, r, "state.conflict",
                "detected modified configuration - file changed by other user? Try again.");
        e = &conflict;
    }
    api_finish(c, r, e);
}

int api_commit(struct api_call *c, struct state_txn *t)
{
    state_commit(c->api->state, t, on_committed, c);
    return API_LATER;
}

struct offload {
    struct api_call *call;
    int (*work)(void *ctx, struct err *e);
    int (*finish)(struct api_call *c, void *ctx, int r, struct err *e);
    void *ctx;
    int r;
    struct err err;
};

static void offload_work(void *ctx)
{
    struct offload *o = ctx;

    o->r = o->work(o->ctx, &o->err);
}

static void offload_done(void *ctx)
{
    struct offload *o = ctx;
    struct api_call *c = o->call;
    struct err e = o->err;
    int r = o->finish(c, o->ctx, o->r, &e);

    free(o);
    if (r != API_LATER)
        api_finish(c, r, &e);
}

int api_offload(struct api_call *c, int (*work)(void *ctx, struct err *e),
                int (*finish)(struct api_call *c, void *ctx, int r, struct err *e), void *ctx)
{
    struct err e = ERR_INIT;
    struct offload *o = calloc(1, sizeof(*o));

    if (o)
        *o = (struct offload){.call = c, .work = work, .finish = finish, .ctx = ctx};
    if (!o || pool_submit(c->api->pool, offload_work, offload_done, o, &e) < 0) {
        free(o);
        err_set(&e, -EAGAIN, "host.busy", "the server is busy, try again");
        api_finish(c, e.num, &e);
    }
    return API_LATER;
}

/* Splits at '/', at most PATH_SEGMENTS_MAX pieces of the arena copy; -1 when there are more. */
static int split_path(struct api_call *c, const char *path, char **segments)
{
    char *copy = arena_strdup(&c->arena, path);
    int n = 0;

    if (!copy)
        return -1;
    for (char *p = copy; *p;) {
        while (*p == '/')
            *p++ = 0;
        if (!*p)
            break;
        if (n == (int)PATH_SEGMENTS_MAX)
            return -1;
        segments[n++] = p;
        p += strcspn(p, "/");
    }
    return n;
}

/* Does the template match these segments? Its last {name} takes the whole rest when the template says {name*}-like
 * volume ids: only {volume} does (R16). */
static bool match(const char *template, char **segments, int n)
{
    int i = 0;

    for (const char *p = template; *p;) {
        while (*p == '/')
            p++;
        size_t len = strcspn(p, "/");
        if (len == 0)
            break;
        if (i == n)
            return false;
        if (*p == '{' && strncmp(p, "{volume}", 8) == 0)
            return true;
        if (*p != '{' && (strlen(segments[i]) != len || memcmp(p, segments[i], len) != 0))
            return false;
        i++;
        p += len;
    }
    return i == n;
}

static const struct api_route *find_route(const char *method, char **segments, int n)
{
    const struct api_route *best = NULL;

    /* Literal segments win over {name}: the one with fewer '{' up front; tables are small. */
    for (const struct api_route *r = api_routes; r->method; r++) {
        if (!streq(r->method, method) || !match(r->path, segments, n))
            continue;
        if (!best || strcspn(r->path, "{") > strcspn(best->path, "{"))
            best = r;
    }
    return best;
}

/* Value of the {name} at segment i: {volume} takes all that is left. */
static const char *path_value(struct api_call *c, const char *name, char **segments, int i, int n_segments)
{
    const char *value = segments[i];

    for (i++; streq(name, "volume") && value && i < n_segments; i++)
        value = arena_printf(&c->arena, "%s/%s", value, segments[i]);
    return value;
}

/* Puts the {name} values in front of the client's parameters; a body parameter of the same name must agree. */
static int add_path_params(struct api_call *c, const struct api_route *route, char **segments, int n_segments,
                           struct err *e)
{
    struct api_raw_param *raw = arena_alloc(&c->arena, (c->n_raw + PATH_SEGMENTS_MAX) * sizeof(*raw));
    size_t n = 0;
    int i = 0;

    if (!raw)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    for (const char *p = route->path; *p;) {
        while (*p == '/')
            p++;
        size_t len = strcspn(p, "/");
        if (len > 2 && *p == '{') {
            char *name = arena_strndup(&c->arena, p + 1, len - 2);
            const char *given = name ? api_raw_get(c, name) : NULL;
            const char *value = name ? path_value(c, name, segments, i, n_segments) : NULL;
            if (!value)
                return err_set(e, -ENOMEM, NULL, "out of memory");
            if (given && !streq(given, value))
                return api_param_error(c, e, name,
                                       "duplicate parameter (already defined in URI) with conflicting values!");
            raw[n++] = (struct api_raw_param){.kind = 's', .key = name, .value = value};
        }
        i += len > 0;
        p += len;
    }
    size_t n_path = n;
    for (size_t k = 0; k < c->n_raw; k++) {
        bool is_in_path = false;
        for (size_t j = 0; j < n_path; j++)
            is_in_path = is_in_path || streq(raw[j].key, c->raw[k].key);
        if (!is_in_path)
            raw[n++] = c->raw[k];
    }
    c->raw = raw;
    c->n_raw = n;
    return 0;
}

/* A proof was refused: one that was never good counts against the address it came from. */
static void note_refusal(struct api_call *c, const struct err *e)
{
    if (streq(e->code, "auth.failed"))
        c->delay_ms = access_limit_delay_ms(c);
}

static int authenticate(struct api_call *c, struct err *e)
{
    bool is_world = c->route && c->route->permission->kind == PERM_WORLD;

    if (c->is_local) /* c->who was set from the socket's peer credentials */
        return 0;
    if (c->token) {
        int r = auth_token_verify(c->api->auth, c->token, &c->who, e);
        if (r < 0)
            note_refusal(c, e);
        if (r == 0 && c->route && !c->route->is_token_allowed)
            return err_set(e, -EPERM, "auth.token-refused",
                           "Permission check failed (URI '%s' not available with API token, need proper ticket.)",
                           c->path);
        return r;
    }
    if (!c->ticket)
        return is_world ? 0 : err_set(e, -EACCES, "auth.failed", "No ticket");
    int r = auth_ticket_verify(c->api->auth, c->ticket, &c->who, e);
    if (r < 0 && is_world) {
        memset(&c->who, 0, sizeof(c->who));
        return 0;
    }
    if (r < 0) {
        note_refusal(c, e);
        return err_set(e, -EACCES, "auth.failed", "permission denied - invalid PVE ticket");
    }
    /* PVE takes multipart uploads without. */
    bool is_form = streq(c->kind, "upload") && streq(c->method, "POST");
    if (!streq(c->method, "GET") && !is_form && !is_world &&
        (!c->csrf || auth_csrf_verify(c->api->auth, c->csrf, &c->who, e) < 0))
        return err_set(e, -EACCES, "auth.csrf", "Permission denied - invalid csrf token");
    return 0;
}

bool api_is_own_origin(const struct api_call *c)
{
    return !c->origin || c->is_local || (str_starts(c->origin, "https://") && c->host && streq(c->origin + 8, c->host));
}

/* A page of another site must not act with the user's cookie: its Origin names another host. */
static int check_origin(const struct api_call *c, struct err *e)
{
    if (c->token || !c->is_cookie || (streq(c->method, "GET") && !streq(c->kind, "websocket")) || api_is_own_origin(c))
        return 0;
    return err_set(e, -EPERM, "auth.denied", "Permission check failed (request from another site)");
}

static int run(struct api_call *c, struct err *e)
{
    char *segments[PATH_SEGMENTS_MAX];
    void *args;
    int n = split_path(c, c->path, segments);

    if (!streq(c->method, "GET") && !streq(c->method, "POST") && !streq(c->method, "PUT") &&
        !streq(c->method, "DELETE"))
        return err_set(e, -ENOSYS, "route.method", "method '%s' not implemented", c->method);
    c->route = n < 0 ? NULL : find_route(c->method, segments, n);
    int r = authenticate(c, e);
    if (r < 0)
        return r;
    if (!c->route)
        return err_set(e, -ENOSYS, "route.unknown", "Method '%s %s' not implemented", c->method, c->path);
    if (!streq(c->route->kind, c->kind))
        return err_set(e, -ENOSYS, "route.kind", "Method '%s %s' not implemented for this kind of request", c->method,
                       c->path);
    r = add_path_params(c, c->route, segments, n, e);
    if (r == 0)
        r = api_validate(c, c->route, &args, e);
    if (r < 0)
        return r;
    const char *dry = api_raw_get(c, "dry-run");
    c->is_dry_run = dry && api_bool(dry) == 1;
    r = api_perm_check(c, c->route, e);
    if (r == 0)
        r = idempotency_begin(c->api->idempotency, c, e);
    c->audit.is_replay = r > 0;
    if (r != 0)
        return r < 0 ? r : 0;
    api_audit_begin(c);
    return c->route->call(c, args, e);
}

static void dispatch(struct api_call *c)
{
    struct err e = ERR_INIT;
    int r = check_origin(c, &e);

    if (r == 0)
        r = run(c, &e);
    if (r != API_LATER)
        api_finish(c, r, &e);
}

static void on_audit_recovered(void *arg, int r, const struct err *e)
{
    struct api_call *c = arg;

    if (r == 0) {
        dispatch(c);
        return;
    }
    c->error = *e;
    send_reply(c, r);
}

/* A write whose record could not be written is not begun; each one tries whether it can be by now. */
void api_dispatch(struct api_call *c)
{
    struct err e = ERR_INIT;

    c->begun_ms = clock_boot_ms();
    if (api_audit_wants(c) && audit_is_healthy(c->api->audit, &e) < 0)
        audit_recover(c->api->audit, on_audit_recovered, c);
    else
        dispatch(c);
}

void api_call_free(struct api_call *c)
{
    if (!c)
        return;
    lasting_remove(c);
    buf_done(&c->body);
    buf_done(&c->param_errors);
    arena_done(&c->arena);
    free(c);
}
