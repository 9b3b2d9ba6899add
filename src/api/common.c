/* See common.h. Loop thread. */
#include "api/common.h"

int api_check_node(struct api_call *c, const char *node, struct err *e)
{
    if (streq(node, c->api->node) || streq(node, "localhost"))
        return 0;
    return err_set(e, -EHOSTUNREACH, "node.unknown", "hostname lookup '%s' failed - no such node", node);
}

const char *api_user(struct api_call *c)
{
    char text[AUTH_USER_MAX + AUTH_TOKEN_MAX + 2];

    auth_subject_format(&c->who, text, sizeof(text));
    const char *copy = arena_strdup(&c->arena, text);
    return copy ? copy : "unknown@pam";
}

int api_reply_task(struct api_call *c, int r, const struct task *t)
{
    if (r == 0)
        jw_str(&c->out, task_upid(t));
    return r;
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
