/* Tasks: lists, state, log. PVE: pve-manager, Tasks.pm; pve-conventions 6.5. */
#include "api/common.h"

bool api_task_is_own(const struct auth_subject *who, const char *user)
{
    char name[AUTH_USER_MAX + AUTH_TOKEN_MAX + 2];
    size_t n = strlen(who->user);

    auth_subject_format(who, name, sizeof(name));
    if (who->token[0])
        return streq(user, name);
    return strncmp(user, name, n) == 0 && (user[n] == 0 || user[n] == '!');
}

static bool is_own(struct api_call *c, const struct task_view *v)
{
    return api_task_is_own(&c->who, v->upid.user);
}

static bool may_audit_node(struct api_call *c)
{
    char path[AUTH_PATH_MAX];

    snprintf(path, sizeof(path), "/nodes/%s", c->api->node);
    return auth_has(c->api->auth, &c->who, path, PRIV_M(SYS_AUDIT), true);
}

static void write_user(struct jw *w, const char *user)
{
    const char *bang = strchr(user, '!');

    jw_key(w, "user");
    jw_strn(w, user, bang ? (size_t)(bang - user) : strlen(user));
    if (bang)
        jw_kv_str(w, "tokenid", bang + 1);
}

static void write_task(struct jw *w, const struct task_view *v)
{
    jw_kv_str(w, "upid", v->text);
    jw_kv_str(w, "node", v->upid.node);
    jw_kv_int(w, "pid", v->upid.pid);
    jw_kv_u64(w, "pstart", v->upid.pstart);
    jw_kv_int(w, "starttime", v->upid.starttime);
    jw_kv_str(w, "type", v->upid.type);
    jw_kv_str(w, "id", v->upid.id);
    write_user(w, v->upid.user);
}

static bool is_warning(const struct task_view *v)
{
    return v->status && str_starts(v->status, "WARNINGS: ");
}

static bool is_ok(const struct task_view *v)
{
    return v->status && streq(v->status, "OK");
}

struct list_ctx {
    struct api_call *call;
    const struct api_node_tasks_list_args *a;
    bool may_audit;
    uint64_t n_matching, n_written;
};

static bool has_status(const char *filter, const struct task_view *v)
{
    const char *kind = v->is_running   ? ""
                       : is_ok(v)      ? "ok"
                       : is_warning(v) ? "warning"
                       : v->status     ? "error"
                                       : "unknown";
    const char *at = *kind ? strstr(filter, kind) : NULL;

    return at != NULL;
}

static bool matches(const struct list_ctx *l, const struct task_view *v)
{
    const struct api_node_tasks_list_args *a = l->a;
    const char *source = a->source ? a->source : "archive";
    char vmid[16];

    if ((streq(source, "archive") && v->is_running) || (streq(source, "active") && !v->is_running))
        return false;
    if (!l->may_audit && !is_own(l->call, v))
        return false;
    snprintf(vmid, sizeof(vmid), "%lld", (long long)a->vmid);
    if ((a->has_vmid && !streq(v->upid.id, vmid)) || (a->userfilter && !strstr(v->upid.user, a->userfilter)) ||
        (a->typefilter && !streq(v->upid.type, a->typefilter)))
        return false;
    if (a->errors && (v->is_running || is_ok(v) || is_warning(v)))
        return false;
    if ((a->has_since && v->upid.starttime < a->since) || (a->has_until && v->upid.starttime > a->until))
        return false;
    return !a->statusfilter || has_status(a->statusfilter, v);
}

static bool list_one(void *arg, const struct task_view *v)
{
    struct list_ctx *l = arg;
    struct jw *w = &l->call->out;

    if (!matches(l, v))
        return true;
    uint64_t limit = l->a->limit ? (uint64_t)l->a->limit : UINT64_MAX;
    if (l->n_matching++ < (uint64_t)l->a->start || l->n_written >= limit)
        return true;
    l->n_written++;
    jw_object(w);
    write_task(w, v);
    if (!v->is_running) {
        jw_kv_int(w, "endtime", v->endtime);
        jw_kv_str(w, "status", v->status ? v->status : "unexpected status");
    } else if (l->a->source && !streq(l->a->source, "archive")) {
        jw_kv_str(w, "status", "RUNNING");
    }
    jw_object_end(w);
    return true;
}

int api_node_tasks_list(struct api_call *c, const struct api_node_tasks_list_args *a, struct err *e)
{
    struct list_ctx l = {.call = c, .a = a, .may_audit = may_audit_node(c)};
    int r = api_check_node(c, a->node, e);

    if (r < 0)
        return r;
    jw_array(&c->out);
    task_each(c->api->tasks, list_one, &l);
    jw_array_end(&c->out);
    c->has_total = true;
    c->total = l.n_matching;
    return 0;
}

void api_task_row(struct jw *w, const struct task_view *v)
{
    jw_object(w);
    write_task(w, v);
    jw_kv_int(w, "saved", v->is_running ? 0 : 1);
    if (!v->is_running) {
        jw_kv_int(w, "endtime", v->endtime);
        jw_kv_str(w, "status", v->status ? v->status : "unexpected status");
    }
    jw_object_end(w);
}

struct cluster_ctx {
    struct api_call *call;
    bool may_audit;
    size_t n;
};

static bool cluster_one(void *arg, const struct task_view *v)
{
    struct cluster_ctx *l = arg;
    struct jw *w = &l->call->out;

    if (!l->may_audit && !is_own(l->call, v))
        return true;
    api_task_row(w, v);
    return ++l->n < 50;
}

int api_cluster_tasks(struct api_call *c, const struct api_cluster_tasks_args *a, struct err *e)
{
    struct cluster_ctx l = {.call = c, .may_audit = auth_has(c->api->auth, &c->who, "/", PRIV_M(SYS_AUDIT), true)};

    jw_array(&c->out);
    task_each(c->api->tasks, cluster_one, &l);
    jw_array_end(&c->out);
    return 0;
}

/* The task of a path, if the caller may see it. */
static int find(struct api_call *c, const char *node, const char *upid, struct task_view *ret, struct err *e)
{
    struct upid u;
    int r = api_check_node(c, node, e);

    if (r < 0)
        return r;
    if (upid_parse(upid, &u) < 0)
        return api_param_error(c, e, "upid", "unable to parse worker upid");
    if (!task_find(c->api->tasks, upid, ret))
        return api_param_error(c, e, "upid", "no such task");
    if (is_own(c, ret) || may_audit_node(c))
        return 0;
    return err_set(e, -EPERM, "auth.denied", "Permission check failed (/nodes/%s, Sys.Audit)", c->api->node);
}

int api_node_task_index(struct api_call *c, const struct api_node_task_index_args *a, struct err *e)
{
    static const char *const names[] = {"log", "status", NULL};
    struct task_view v;
    int r = find(c, a->node, a->upid, &v, e);

    return r < 0 ? r : api_reply_index(c, "name", names);
}

int api_node_task_status(struct api_call *c, const struct api_node_task_status_args *a, struct err *e)
{
    struct jw *w = &c->out;
    struct task_view v;
    int r = find(c, a->node, a->upid, &v, e);

    if (r < 0)
        return r;
    jw_object(w);
    write_task(w, &v);
    jw_kv_str(w, "status", v.is_running ? "running" : "stopped");
    if (!v.is_running)
        jw_kv_str(w, "exitstatus", v.status ? v.status : "unexpected status");
    if (v.is_running && v.phase[0]) {
        jw_key(w, "progress");
        jw_object(w);
        jw_kv_str(w, "phase", v.phase);
        jw_kv_u64(w, "done", v.done_bytes);
        jw_kv_u64(w, "total", v.total_bytes);
        jw_object_end(w);
    }
    if (v.error_code[0]) {
        jw_kv_str(w, "error-code", v.error_code);
        if (v.error_hint[0])
            jw_kv_str(w, "error-hint", v.error_hint);
    }
    jw_object_end(w);
    return 0;
}

struct log_ctx {
    struct api_call *call;
    uint64_t start;
};

static void on_log(void *arg, int r, const char *text, size_t n, uint64_t total, const struct err *e)
{
    struct log_ctx *l = arg;
    struct api_call *c = l->call;
    uint64_t number = l->start;

    if (r < 0) {
        api_finish(c, r, e);
        return;
    }
    jw_array(&c->out);
    for (size_t i = 0; i < n;) {
        const char *end = memchr(text + i, '\n', n - i);
        size_t len = end ? (size_t)(end - text) - i : n - i;
        jw_object(&c->out);
        jw_kv_u64(&c->out, "n", ++number);
        jw_key(&c->out, "t");
        jw_strn(&c->out, text + i, len);
        jw_object_end(&c->out);
        i += len + 1;
    }
    if (total == 0) {
        jw_object(&c->out);
        jw_kv_int(&c->out, "n", 1);
        jw_kv_str(&c->out, "t", "no content");
        jw_object_end(&c->out);
        total = 1;
    }
    jw_array_end(&c->out);
    c->has_total = true;
    c->total = total;
    api_finish(c, 0, NULL);
}

int api_node_task_log(struct api_call *c, const struct api_node_task_log_args *a, struct err *e)
{
    struct task_view v;
    int r = find(c, a->node, a->upid, &v, e);

    if (r < 0)
        return r;
    if (a->download)
        return api_param_error(c, e, "download", "a log as a file is not offered; use start and limit");
    struct log_ctx *l = arena_alloc(&c->arena, sizeof(*l));
    if (!l)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *l = (struct log_ctx){.call = c, .start = (uint64_t)a->start};
    r = task_log_read(c->api->tasks, a->upid, l->start, (uint64_t)a->limit, on_log, l, e);
    return r < 0 ? r : API_LATER;
}

/* PVE: whoever started it, or Sys.Modify on the node. */
int api_node_task_stop(struct api_call *c, const struct api_node_task_stop_args *a, struct err *e)
{
    struct task_view v;
    struct upid u;
    char path[AUTH_PATH_MAX];
    int r = api_check_node(c, a->node, e);

    if (r < 0)
        return r;
    if (upid_parse(a->upid, &u) < 0)
        return api_param_error(c, e, "upid", "unable to parse worker upid");
    if (!task_find(c->api->tasks, a->upid, &v))
        return api_param_error(c, e, "upid", "no such task");
    snprintf(path, sizeof(path), "/nodes/%s", c->api->node);
    r = is_own(c, &v) ? 0 : api_require(c, path, PRIV_M(SYS_MODIFY), false, e);
    return r < 0 ? r : task_cancel(c->api->tasks, a->upid, api_user(c), e);
}
