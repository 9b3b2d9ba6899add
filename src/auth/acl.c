/* ACL entries: one key each ("…/acl/vms/100 user joe@pve PVEVMUser" = {"format":1,"propagate":1}), collected by path.
 * Part of the model; loop thread. */
#include "auth/auth_priv.h"

static const char *const acl_types[] = {
    [AUTH_ACL_USER] = "user", [AUTH_ACL_GROUP] = "group", [AUTH_ACL_TOKEN] = "token"};

const char *auth_acl_type_name(enum auth_acl_type type)
{
    return acl_types[type];
}

uint64_t auth_prefix(const char *text)
{
    uint64_t p = 0;

    for (unsigned i = 0; i < sizeof(p); i++)
        p = p << 8 | (unsigned char)(*text ? *text++ : 0);
    return p;
}

/* The next word of a text cut apart at single spaces; NULL at the end. */
static char *next_word(char **pos)
{
    char *word = *pos, *end = word ? strchr(word, ' ') : NULL;

    if (end)
        *end++ = 0;
    *pos = end;
    return word && *word ? word : NULL;
}

/* "/vms/100 user joe@pve PVEVMUser" into its parts, cut apart in place. */
static bool split_key(char *text, char **ret_path, struct auth_acl_entry *ret)
{
    const char *type;

    *ret_path = next_word(&text);
    type = next_word(&text);
    ret->id = next_word(&text);
    ret->role = next_word(&text);
    if (!*ret_path || !type || !ret->id || !ret->role || text)
        return false;
    for (unsigned t = 0; t < ARRAY_SIZE(acl_types); t++) {
        if (streq(acl_types[t], type)) {
            ret->type = (enum auth_acl_type)t;
            return true;
        }
    }
    return false;
}

static int compare_entries(const struct auth_acl_entry *a, const struct auth_acl_entry *b)
{
    int c = a->type == b->type ? strcmp(a->id, b->id) : a->type < b->type ? -1 : 1;

    return c ? c : strcmp(a->role, b->role);
}

static size_t find_entry(const struct auth_acl *acl, const struct auth_acl_entry *want, bool *ret_found)
{
    size_t low = 0, high = acl->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (compare_entries(&acl->entries[mid], want) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *ret_found = low < acl->n && compare_entries(&acl->entries[low], want) == 0;
    return low;
}

/* Room for one more; what there is stays as it is. */
static int grow(struct auth_acl *acl)
{
    struct auth_acl_entry *entries = realloc(acl->entries, (acl->n + 1) * sizeof(*entries));
    uint64_t *prefixes = realloc(acl->prefixes, (acl->n + 1) * sizeof(*prefixes));

    if (entries)
        acl->entries = entries;
    if (prefixes)
        acl->prefixes = prefixes;
    return entries && prefixes ? 0 : -ENOMEM;
}

static void insert_at(struct auth_acl *acl, size_t at, const struct auth_acl_entry *entry)
{
    memmove(acl->entries + at + 1, acl->entries + at, (acl->n - at) * sizeof(*acl->entries));
    memmove(acl->prefixes + at + 1, acl->prefixes + at, (acl->n - at) * sizeof(*acl->prefixes));
    acl->entries[at] = *entry;
    acl->prefixes[at] = auth_prefix(entry->id);
    acl->n++;
    for (size_t type = entry->type + 1u; type <= AUTH_ACL_TYPES; type++)
        acl->first[type]++;
}

static void remove_at(struct auth_acl *acl, size_t at)
{
    struct auth_acl_entry *entry = &acl->entries[at];

    for (size_t type = entry->type + 1u; type <= AUTH_ACL_TYPES; type++)
        acl->first[type]--;
    free(entry->id);
    free(entry->role);
    acl->n--;
    memmove(entry, entry + 1, (acl->n - at) * sizeof(*entry));
    memmove(acl->prefixes + at, acl->prefixes + at + 1, (acl->n - at) * sizeof(*acl->prefixes));
}

static int add_entry(struct auth *a, const char *path, const struct auth_acl_entry *want)
{
    struct auth_item *item = auth_need_item(&a->sets[AUTH_ACL], AUTH_ACL, path, strlen(path), sizeof(struct auth_acl));
    struct auth_acl *acl = item ? container_of(item, struct auth_acl, item) : NULL;
    bool found;

    if (!acl)
        return -ENOMEM;
    size_t at = find_entry(acl, want, &found);
    if (found) {
        acl->entries[at].is_propagated = want->is_propagated;
        acl->entries[at].revision = want->revision;
        return 0;
    }
    struct auth_acl_entry copy = *want;
    copy.id = strdup(want->id);
    copy.role = strdup(want->role);
    if (!copy.id || !copy.role || grow(acl) < 0) {
        free(copy.id);
        free(copy.role);
        return -ENOMEM;
    }
    insert_at(acl, at, &copy);
    return 0;
}

static void remove_entry(struct auth *a, const char *path, const struct auth_acl_entry *want)
{
    struct auth_item *item = auth_set_find(&a->sets[AUTH_ACL], path, strlen(path));
    struct auth_acl *acl = item ? container_of(item, struct auth_acl, item) : NULL;
    bool found = false;
    size_t at = acl ? find_entry(acl, want, &found) : 0;

    if (!found)
        return;
    remove_at(acl, at);
    if (acl->n == 0)
        auth_item_free(AUTH_ACL, auth_set_remove(&a->sets[AUTH_ACL], item->key));
}

void auth_on_acl(void *arg, const char *key, const char *value, uint64_t revision)
{
    struct auth *a = arg;
    autofree char *text = strdup(key + strlen(AUTH_ACL_PREFIX));
    struct auth_acl_entry entry = {.revision = revision};
    char *path;

    auth_clear_damage(a, key);
    if (!text) {
        auth_note_memory(a, key);
        return;
    }
    json_t *root = value ? auth_record_parse(value) : NULL;
    const json_t *propagate = json_object_get(root, "propagate");
    if (!split_key(text, &path, &entry) || (value && !json_is_integer(propagate))) {
        if (value)
            auth_note_damage(a, key, true);
    } else if (value) {
        entry.is_propagated = json_integer_value(propagate) != 0;
        if (add_entry(a, path, &entry) < 0)
            auth_note_memory(a, key);
    } else {
        remove_entry(a, path, &entry);
    }
    json_decref(root);
}
