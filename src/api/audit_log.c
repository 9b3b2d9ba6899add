/* Reading the audit log: /cluster/log in Proxmox VE's shape, /cluster/audit as it is, and its verification. Files are
 * read in pool threads; one verification at a time. */
#include "api/common.h"
#include "audit/audit.h"
#include "task/pool.h"

#define LOG_SCAN_MAX  20000u /* records that /cluster/log looks at */
#define LOG_MAX       50
#define AUDIT_LIMIT   50
#define AUDIT_RECORDS 1000 /* most in one reply */

struct reading {
    int dirfd;
    struct audit_bound bound;
    struct audit_filter filter;
    struct audit_report report;
    const char *node;
    uint64_t n;
    struct buf list; /* JSON items */
    struct jw w;
    bool *is_busy; /* to be cleared at the end */
};

static struct reading *reading_new(struct api_call *c, struct err *e)
{
    struct reading *q = arena_alloc(&c->arena, sizeof(*q));

    if (!q) {
        err_set(e, -ENOMEM, NULL, "out of memory");
        return NULL;
    }
    *q = (struct reading){.dirfd = audit_dirfd(c->api->audit), .node = c->api->node};
    audit_get_bound(c->api->audit, &q->bound);
    buf_init(&q->list, c->body.max / 2);
    jw_init(&q->w, &q->list);
    if (q->dirfd >= 0)
        return q;
    err_set(e, -EIO, "audit.failed", "cannot read the audit log");
    return NULL;
}

static int finish_list(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct reading *q = ctx;

    if (r == 0 && q->list.is_failed)
        r = err_set(e, -EFBIG, "reply.too-large", "the reply is too large");
    if (r == 0)
        jw_raw(&c->out, buf_str(&q->list), q->list.len);
    buf_done(&q->list);
    return r;
}

/* ---- /cluster/log ---- */

static const char *text_of(json_t *record, const char *key)
{
    const char *s = json_string_value(json_object_get(record, key));

    return s ? s : "";
}

static void log_message(json_t *record, char *dst, size_t cap)
{
    const char *event = text_of(record, "event"), *upid = text_of(record, "upid"), *error = text_of(record, "error");
    int status = (int)json_integer_value(json_object_get(record, "status"));

    if (streq(event, "task"))
        snprintf(dst, cap, "end task %s %s", upid, text_of(record, "result"));
    else if (streq(event, "login") && status == 200)
        snprintf(dst, cap, "successful auth for user '%s'", text_of(record, "user"));
    else if (streq(event, "login"))
        snprintf(dst, cap, "authentication failure; rhost=%s user=%s msg=%s", text_of(record, "from"),
                 text_of(record, "claimed"), error);
    else if (*upid)
        snprintf(dst, cap, "starting task %s", upid);
    else if (*text_of(record, "method"))
        snprintf(dst, cap, "%s %s %d%s%s", text_of(record, "method"), text_of(record, "path"), status,
                 *error ? " " : "", error);
    else
        snprintf(dst, cap, "audit log: %s %s", event, text_of(record, "text"));
}

static void log_one(void *arg, json_t *record)
{
    struct reading *q = arg;
    struct jw *w = &q->w;
    const char *event = text_of(record, "event"), *result = text_of(record, "result");
    int status = (int)json_integer_value(json_object_get(record, "status"));
    bool is_bad = status >= 400 || (streq(event, "task") && !streq(result, "OK") && !str_starts(result, "WARNINGS"));
    char text[900];

    log_message(record, text, sizeof(text));
    jw_object(w);
    jw_kv_int(w, "uid", json_integer_value(json_object_get(record, "seq")));
    jw_kv_int(w, "time", json_integer_value(json_object_get(record, "time")) / 1000);
    jw_kv_str(w, "node", q->node);
    jw_kv_str(w, "tag", "holmd");
    jw_kv_int(w, "pid", getpid());
    jw_kv_int(w, "pri", is_bad ? 3 : 6);
    jw_kv_str(w, "user", *text_of(record, "user") ? text_of(record, "user") : "root@pam");
    jw_kv_str(w, "msg", text);
    jw_object_end(w);
}

static int work_log(void *ctx, struct err *e)
{
    struct reading *q = ctx;

    jw_array(&q->w);
    int r = audit_list(q->dirfd, &q->bound, &q->filter, log_one, q, e);
    jw_array_end(&q->w);
    return r;
}

int api_cluster_log(struct api_call *c, const struct api_cluster_log_args *a, struct err *e)
{
    struct reading *q = reading_new(c, e);
    bool sees_all = auth_has(c->api->auth, &c->who, "/", PRIV_M(SYS_SYSLOG), true);

    if (!q)
        return e->num;
    q->filter.limit = a->has_max ? (uint64_t)a->max : LOG_MAX;
    q->filter.scan_max = LOG_SCAN_MAX;
    q->filter.user = sees_all ? NULL : api_user(c); /* a token sees what it did, not its user */
    if (!sees_all && !q->filter.user)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    return api_offload(c, work_log, finish_list, q);
}

/* ---- /cluster/audit ---- */

static void audit_one(void *arg, json_t *record)
{
    struct reading *q = arg;
    autofree char *text = json_dumps(record, JSON_COMPACT);

    if (text)
        jw_raw(&q->w, text, strlen(text));
}

static int work_audit(void *ctx, struct err *e)
{
    struct reading *q = ctx;

    jw_array(&q->w);
    int r = audit_list(q->dirfd, &q->bound, &q->filter, audit_one, q, e);
    jw_array_end(&q->w);
    return r;
}

int api_cluster_audit(struct api_call *c, const struct api_cluster_audit_args *a, struct err *e)
{
    struct reading *q = reading_new(c, e);

    if (!q)
        return e->num;
    q->filter = (struct audit_filter){.since_ms = a->has_since ? a->since * 1000 : 0,
                                      .until_ms = a->has_until ? a->until * 1000 + 999 : 0,
                                      .user = a->user,
                                      .has_claimed = true,
                                      .start = a->has_start ? (uint64_t)a->start : 0,
                                      .limit = a->has_limit ? (uint64_t)a->limit : AUDIT_LIMIT};
    return api_offload(c, work_audit, finish_list, q);
}

/* ---- /cluster/audit/verify ---- */

static int work_verify(void *ctx, struct err *e)
{
    struct reading *q = ctx;

    return audit_verify(q->dirfd, &q->bound, &q->report, e);
}

static int finish_verify(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct reading *q = ctx;
    buf_done(&q->list);
    *q->is_busy = false;
    if (r < 0)
        return r;
    json_t *report = audit_report_json(&q->report);
    autofree char *text = report ? json_dumps(report, JSON_COMPACT) : NULL;
    json_decref(report);
    if (!text)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    jw_raw(&c->out, text, strlen(text));
    return 0;
}

int api_cluster_audit_verify(struct api_call *c, const struct api_cluster_audit_verify_args *a, struct err *e)
{
    struct reading *q = reading_new(c, e);

    if (!q)
        return e->num;
    if (c->api->is_verifying)
        return err_set(e, -EBUSY, "audit.busy", "the audit log is being verified already");
    c->api->is_verifying = true;
    q->is_busy = &c->api->is_verifying;
    return api_offload(c, work_verify, finish_verify, q);
}
