/* Memberships: which user is in which groups, which guest in which pool, which storage in which pools. One key each, so
 * that two people who add members at the same time cannot undo each other. Part of the model; loop thread. */
#include "auth/auth_priv.h"

/* Place of a ref in a membership, or where it would go. */
static size_t find_ref(const struct auth_member *m, const char *ref, bool *ret_found)
{
    size_t low = 0, high = m->n;

    *ret_found = false;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = strcmp(m->refs[mid], ref);
        if (c == 0) {
            *ret_found = true;
            return mid;
        }
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

bool auth_member_of(const struct auth_member *m, const char *ref)
{
    bool found = false;

    if (m)
        find_ref(m, ref, &found);
    return found;
}

bool auth_user_in_group(const struct auth *a, const char *user, const char *group)
{
    return auth_member_of(auth_find(a, AUTH_MEMBER, user), group) && auth_find(a, AUTH_GROUP, group);
}

static int add_ref(struct auth *a, enum auth_kind kind, const char *key, size_t n, const char *ref)
{
    struct auth_item *item = auth_need_item(&a->sets[kind], kind, key, n, sizeof(struct auth_member));
    struct auth_member *m = item ? container_of(item, struct auth_member, item) : NULL;
    bool found;

    if (!m)
        return -ENOMEM;
    size_t at = find_ref(m, ref, &found);
    if (found)
        return 0;
    char **refs = realloc(m->refs, (m->n + 1) * sizeof(*refs)), *copy = strdup(ref);
    if (refs)
        m->refs = refs;
    if (!refs || !copy) {
        free(copy);
        return -ENOMEM;
    }
    memmove(refs + at + 1, refs + at, (m->n - at) * sizeof(*refs));
    refs[at] = copy;
    m->n++;
    return 0;
}

static void remove_ref(struct auth *a, enum auth_kind kind, const char *key, size_t n, const char *ref)
{
    struct auth_item *item = auth_set_find(&a->sets[kind], key, n);
    struct auth_member *m = item ? container_of(item, struct auth_member, item) : NULL;
    bool found = false;
    size_t at = m ? find_ref(m, ref, &found) : 0;

    if (!found)
        return;
    free(m->refs[at]);
    memmove(m->refs + at, m->refs + at + 1, (m->n - at - 1) * sizeof(*m->refs));
    if (--m->n == 0)
        auth_item_free(kind, auth_set_remove(&a->sets[kind], item->key));
}

/* A guest is in one pool, which is in the value: the key cannot be there twice. */
static void on_guest_member(struct auth *a, const char *key, const char *vmid, const char *value)
{
    auth_clear_damage(a, key);
    auth_item_free(AUTH_GUEST, auth_set_remove(&a->sets[AUTH_GUEST], vmid));
    json_t *root = value ? auth_record_parse(value) : NULL;
    const char *pool = root ? auth_record_str(root, "pool") : NULL;
    if (value && (!pool || !*pool))
        auth_note_damage(a, key, true);
    else if (value && add_ref(a, AUTH_GUEST, vmid, strlen(vmid), pool) < 0)
        auth_note_memory(a, key);
    json_decref(root);
}

/* …/group/GROUP/USERID, …/guest/VMID, …/storage/STORAGE/POOL */
void auth_on_member(void *arg, const char *key, const char *value, uint64_t revision)
{
    struct auth *a = arg;
    const char *what = key + strlen(AUTH_MEMBER_PREFIX), *first = strchr(what, '/');
    const char *second = first ? strchr(++first, '/') : NULL;
    int r = 0;

    if (first && str_starts(what, "guest/")) {
        on_guest_member(a, key, first, value);
    } else if (second && str_starts(what, "group/")) {
        autofree char *group = strndup(first, (size_t)(second - first));
        second++;
        if (!group)
            r = -ENOMEM;
        else if (value)
            r = add_ref(a, AUTH_MEMBER, second, strlen(second), group);
        else
            remove_ref(a, AUTH_MEMBER, second, strlen(second), group);
    } else if (second && str_starts(what, "storage/")) {
        size_t n = (size_t)(second - first);
        if (value)
            r = add_ref(a, AUTH_STORAGE, first, n, second + 1);
        else
            remove_ref(a, AUTH_STORAGE, first, n, second + 1);
    }
    if (r < 0)
        auth_note_memory(a, key);
}
