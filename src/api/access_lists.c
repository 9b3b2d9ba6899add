/* See access_lists.h. */
#include "api/access_lists.h"

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char **access_sorted_ids(struct api_call *c, json_t *object)
{
    const char **ids = arena_alloc(&c->arena, (json_object_size(object) + 1) * sizeof(*ids)), *id;
    json_t *value;
    size_t n = 0;

    if (!ids)
        return NULL;
    json_object_foreach(object, id, value)
    {
        ids[n++] = id;
    }
    qsort(ids, n, sizeof(*ids), by_text);
    return ids;
}

bool access_list_next(const char **pos, char *dst, size_t cap)
{
    const char *p = *pos + strspn(*pos, ",; \t\n");
    size_t n = strcspn(p, ",; \t\n");

    if (!n)
        return false;
    snprintf(dst, cap, "%.*s", (int)n, p);
    *pos = p + n;
    return true;
}

bool access_array_has(json_t *array, const char *text)
{
    size_t i;
    json_t *v;

    json_array_foreach(array, i, v)
    {
        if (json_is_string(v) && streq(json_string_value(v), text))
            return true;
    }
    return false;
}

static bool is_empty(json_t *acl)
{
    const char *kind;
    json_t *ids;

    json_object_foreach(acl, kind, ids)
    {
        if (json_object_size(ids))
            return false;
    }
    return true;
}

/* Drops the ids of one kind that match; true if there were any. */
static bool drop(struct api_call *c, json_t *acl, const char *kind, bool (*matches)(const char *id, const char *arg),
                 const char *arg)
{
    json_t *ids = json_object_get(acl, kind);
    size_t before = json_object_size(ids);

    for (const char **id = access_sorted_ids(c, ids); id && *id; id++)
        if (matches(*id, arg))
            json_object_del(ids, *id);
    return json_object_size(ids) != before;
}

static bool is_same(const char *id, const char *arg)
{
    return streq(id, arg);
}

static bool is_token_of(const char *id, const char *user)
{
    size_t n = strlen(user);

    return strncmp(id, user, n) == 0 && id[n] == '!';
}

void access_acl_forget(struct api_call *c, struct state_txn *t, const char *kind, const char *id)
{
    json_t *acls = auth_objects(c->api->auth, AUTH_ACL);

    for (const char **path = access_sorted_ids(c, acls); path && *path; path++) {
        json_t *copy = json_deep_copy(json_object_get(acls, *path));
        bool is_changed = drop(c, copy, kind, is_same, id);
        if (streq(kind, "users") && drop(c, copy, "tokens", is_token_of, id)) /* a user's tokens go with him */
            is_changed = true;
        if (!is_changed) {
            json_decref(copy);
        } else if (is_empty(copy)) {
            auth_txn_delete(t, AUTH_ACL, *path);
            json_decref(copy);
        } else {
            auth_txn_put(t, AUTH_ACL, *path, copy);
        }
    }
}
