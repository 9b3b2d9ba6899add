/* See common.h. Loop thread. */
#include "api/common.h"

int api_check_node(struct api_call *c, const char *node, struct err *e)
{
    if (streq(node, c->api->node) || streq(node, "localhost"))
        return 0;
    return err_set(e, -EHOSTUNREACH, "node.unknown", "hostname lookup '%s' failed - no such node", node);
}

bool api_may_exceed_limit(struct api_call *c, const char *storage)
{
    char path[AUTH_PATH_MAX];

    snprintf(path, sizeof(path), "/storage/%s", storage);
    return auth_has(c->api->auth, &c->who, path, PRIV_M(DATASTORE_ALLOCATE), false) ||
           auth_has(c->api->auth, &c->who, "/", PRIV_M(SYS_MODIFY), false);
}

const char *api_user(struct api_call *c)
{
    char text[AUTH_USER_MAX + AUTH_TOKEN_MAX + 2];

    auth_subject_format(&c->who, text, sizeof(text));
    const char *copy = arena_strdup(&c->arena, text);
    return copy ? copy : "unknown@pam";
}

static void task_accepted(void *arg, int r, const struct err *e)
{
    api_finish(arg, r, e);
}

/* Not before a crash would find the task again. */
int api_reply_task(struct api_call *c, int r, struct task *t)
{
    if (r < 0)
        return r;
    jw_str(&c->out, task_upid(t));
    if (task_is_accepted(t))
        return 0;
    task_when_accepted(t, task_accepted, c);
    return API_LATER;
}

int api_reply_index(struct api_call *c, const char *key, const char *const *names)
{
    jw_array(&c->out);
    for (; *names; names++) {
        jw_object(&c->out);
        jw_kv_str(&c->out, key, *names);
        jw_object_end(&c->out);
    }
    jw_array_end(&c->out);
    return 0;
}

void api_vm_path(uint32_t vmid, char dst[24])
{
    snprintf(dst, 24, "/vms/%u", vmid);
}

bool api_may_see_guest(struct api_call *c, uint32_t vmid)
{
    char path[24];

    if (c->who.is_root)
        return true;
    api_vm_path(vmid, path);
    return auth_has(c->api->auth, &c->who, path, PRIV_M(VM_AUDIT), true);
}

bool api_may_see_storage(struct api_call *c, const char *storage)
{
    char path[AUTH_PATH_MAX];

    snprintf(path, sizeof(path), "/storage/%s", storage);
    return auth_has(c->api->auth, &c->who, path, PRIV_M(DATASTORE_AUDIT) | PRIV_M(DATASTORE_ALLOCATESPACE), true);
}

bool api_may_see_pool(struct api_call *c, const char *pool)
{
    char path[AUTH_PATH_MAX];

    snprintf(path, sizeof(path), "/pool/%s", pool);
    return auth_has(c->api->auth, &c->who, path, PRIV_M(POOL_AUDIT), true);
}

void api_storage_write(struct api_call *c, const struct storage_entry *s)
{
    api_storage_row(&c->out, c->api, s);
}

void api_storage_row(struct jw *w, const struct api *api, const struct storage_entry *s)
{
    char id[AUTH_PATH_MAX], content[96];
    const char *name = storage_name(s->storage);

    snprintf(id, sizeof(id), "storage/%s/%s", api->node, name);
    storage_contents_format(storage_contents(s->storage), content, sizeof(content));
    jw_object(w);
    jw_kv_str(w, "id", id);
    jw_kv_str(w, "type", "storage");
    jw_kv_str(w, "storage", name);
    jw_kv_str(w, "node", api->node);
    jw_kv_str(w, "plugintype", storage_type(s->storage));
    jw_kv_str(w, "status", s->is_active ? "available" : "unknown");
    jw_kv_int(w, "shared", storage_is_shared(s->storage));
    jw_kv_str(w, "content", content);
    jw_kv_u64(w, "disk", s->space.used_bytes);
    jw_kv_u64(w, "maxdisk", s->space.total_bytes);
    jw_object_end(w);
}
