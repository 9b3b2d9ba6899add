/* The configuration of a storage: common keys here, the plugin's own keys in the plugin. Unknown keys are refused, so
 * that a setting nobody acts on is never mistaken for one that works. */
#include "storage/storage_priv.h"

#include "base/json.h"
#include "base/propstr.h"

static const char *const common_keys[] = {"type", "content", "disable", "shared", "nodes", "format", "bwlimit", NULL};

#define STORAGE_LIMIT_MAX_KIB (UINT64_C(1) << 40)

static int bad_value(struct err *e, const char *key, const char *what)
{
    return err_set(e, -EINVAL, "storage.config", "storage configuration, '%s': %s", key, what);
}

int storage_config_str(const json_t *config, const char *key, const char **ret, struct err *e)
{
    const json_t *v = json_object_get(config, key);

    if (!v) {
        *ret = NULL;
        return 0;
    }
    const char *s = json_string_value(v);
    if (!s || !*s || strlen(s) != json_string_length(v))
        return bad_value(e, key, "a non-empty string is needed");
    *ret = s;
    return 0;
}

int storage_config_bool(const json_t *config, const char *key, bool *ret, struct err *e)
{
    const json_t *v = json_object_get(config, key);
    const char *s = json_string_value(v);

    if (!v)
        return 0;
    if (json_is_true(v) || (json_is_integer(v) && json_integer_value(v) == 1) || (s && streq(s, "1")))
        *ret = true;
    else if (json_is_false(v) || (json_is_integer(v) && json_integer_value(v) == 0) || (s && streq(s, "0")))
        *ret = false;
    else
        return bad_value(e, key, "0 or 1 is needed");
    return 0;
}

static bool is_in(const char *const *list, const char *word)
{
    for (; list && *list; list++)
        if (streq(*list, word))
            return true;
    return false;
}

bool storage_type_takes(const char *type, const char *key)
{
    const struct storage_ops *ops = storage_plugin_find(type);

    return ops && (is_in(common_keys, key) || is_in(ops->keys, key));
}

static int check_keys(const struct storage *s, json_t *config, struct err *e)
{
    for (void *it = json_object_iter(config); it; it = json_object_iter_next(config, it)) {
        const char *key = json_object_iter_key(it);
        if (!storage_type_takes(s->ops->type, key))
            return err_set(e, -EINVAL, "storage.config", "storage type '%s' has no setting '%.64s'", s->ops->type, key);
    }
    return 0;
}

static int load_contents(struct storage *s, const json_t *config, struct err *e)
{
    const char *list;
    int r = storage_config_str(config, "content", &list, e);

    s->contents = s->ops->default_contents;
    if (r == 0 && list)
        r = storage_contents_parse(list, &s->contents, e);
    if (r == 0 && (s->contents & ~s->ops->contents)) {
        char names[96];
        storage_contents_format(s->contents & ~s->ops->contents, names, sizeof(names));
        r = err_set(e, -EINVAL, "storage.content", "storage type '%s' cannot hold %s", s->ops->type, names);
    }
    return r;
}

/* Node names: letters, digits, '-', separated by commas. */
static int load_nodes(struct storage *s, const json_t *config, struct err *e)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-,";
    const char *nodes;
    int r = storage_config_str(config, "nodes", &nodes, e);

    if (r < 0 || !nodes)
        return r;
    if (strlen(nodes) > STORAGE_NODES_MAX || nodes[strspn(nodes, allowed)])
        return bad_value(e, "nodes", "a comma list of node names is needed");
    s->nodes = strdup(nodes);
    return s->nodes ? 0 : err_set(e, -ENOMEM, NULL, "out of memory");
}

/* The format of new images that name none. */
static int load_format(struct storage *s, const json_t *config, struct err *e)
{
    const char *name;
    int r = storage_config_str(config, "format", &name, e);

    s->default_format = VOLUME_RAW;
    if (r < 0 || !name)
        return r;
    s->default_format = streq(name, "raw") ? VOLUME_RAW : streq(name, "qcow2") ? VOLUME_QCOW2 : VOLUME_OTHER;
    if (s->default_format == VOLUME_OTHER || !(s->ops->formats & (1u << s->default_format)))
        return err_set(e, -EINVAL, "storage.format", "storage type '%s' has no format '%.16s'", s->ops->type, name);
    return 0;
}

/* "clone=1024,default=2048": KiB a second. What nothing of ours does yet is refused, not ignored. */
static int load_limits(struct storage *s, const json_t *config, struct err *e)
{
    static const char *const names[] = {[STORAGE_WORK_CLONE] = "clone", [STORAGE_WORK_MOVE] = "move"};
    uint64_t fallback = 0;
    const char *text;
    struct propstr p;
    int r = storage_config_str(config, "bwlimit", &text, e);

    if (r < 0 || !text)
        return r;
    r = propstr_parse(text, NULL, &p, e);
    for (size_t i = 0; r == 0 && i < p.n; i++)
        if (!streq(p.items[i].key, "default") && !streq(p.items[i].key, "clone") && !streq(p.items[i].key, "move"))
            return bad_value(e, "bwlimit", "only clone, move and default are limited yet");
    if (r == 0)
        r = propstr_get_u64(&p, "default", 0, &fallback, e);
    for (size_t i = 0; r == 0 && i < STORAGE_LIMITS; i++)
        r = propstr_get_u64(&p, names[i], fallback, &s->limits_kib[i], e);
    for (size_t i = 0; r == 0 && i < STORAGE_LIMITS; i++)
        if (s->limits_kib[i] > STORAGE_LIMIT_MAX_KIB)
            r = bad_value(e, "bwlimit", "more than 1 PiB a second");
    return r < 0 ? err_wrap(e, r, "bwlimit") : 0;
}

static int load_tree(struct storage *s, json_t *config, const char *root_dir, struct err *e)
{
    const char *type;
    int r = storage_config_str(config, "type", &type, e);

    if (r == 0 && !type)
        r = bad_value(e, "type", "is missing");
    if (r < 0)
        return r;
    s->ops = storage_plugin_find(type);
    if (!s->ops)
        return err_set(e, -EINVAL, "storage.type", "unknown storage type '%.32s'", type);
    r = check_keys(s, config, e);
    if (r == 0)
        r = load_contents(s, config, e);
    if (r == 0)
        r = load_nodes(s, config, e);
    if (r == 0)
        r = load_format(s, config, e);
    if (r == 0)
        r = load_limits(s, config, e);
    if (r == 0)
        r = storage_config_bool(config, "disable", &s->is_disabled, e);
    if (r == 0)
        r = storage_config_bool(config, "shared", &s->is_shared, e);
    return r < 0 ? r : s->ops->open(s, config, root_dir, e);
}

int storage_config_load(struct storage *s, const char *json, const char *root_dir, struct err *e)
{
    size_t n = strlen(json);
    json_error_t je;

    if (n > STORAGE_JSON_MAX || json_depth(json, n) > 4)
        return err_set(e, -EINVAL, "storage.config", "storage configuration too large");
    s->json = strdup(json);
    json_t *config = json_loadb(json, n, JSON_REJECT_DUPLICATES, &je);
    int r = 0;
    if (!s->json)
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    else if (!json_is_object(config))
        r = err_set(e, -EINVAL, "storage.config", "storage configuration is not a JSON object");
    if (r == 0)
        r = load_tree(s, config, root_dir, e);
    json_decref(config);
    return r;
}
