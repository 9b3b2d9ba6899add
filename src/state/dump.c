/* `holm state dump|load`: every key as one JSON object, and back. Blocking; for the command line. */
#include <jansson.h>

#include "base/json.h"
#include "state/state_priv.h"

#define DUMP_MAX (256u * 1024u * 1024u)

static int dump_key(void *arg, const char *key, const char *value, uint64_t revision, struct err *e)
{
    struct jw *w = arg;

    /* local/ is this host's journal and runtime: meaningless anywhere else. */
    if (!str_starts(key, "shared/"))
        return 0;
    jw_key(w, key);
    jw_raw(w, value, strlen(value));
    buf_append_char(w->out, '\n');
    return w->out->is_failed ? err_set(e, -EFBIG, NULL, "state is larger than %u bytes", DUMP_MAX) : 0;
}

int state_dump(const char *dir, struct buf *ret_json, struct err *e)
{
    struct state_backend *b;
    struct jw w;
    int r = sqlite_backend_open(dir, true, &b, e);

    if (r < 0)
        return r;
    ret_json->max = DUMP_MAX;
    jw_init(&w, ret_json);
    jw_object(&w);
    jw_kv_int(&w, "format", 1);
    jw_key(&w, "keys");
    jw_object(&w);
    r = b->ops->scan(b, "shared/", dump_key, &w, e);
    jw_object_end(&w);
    jw_object_end(&w);
    buf_append_char(ret_json, '\n');
    b->ops->close(b);
    return r;
}

struct key_list {
    char **keys;
    size_t n;
};

static int collect_key(void *arg, const char *key, const char *value, uint64_t revision, struct err *e)
{
    struct key_list *l = arg;
    char **keys = realloc(l->keys, (l->n + 1) * sizeof(*keys));

    if (!keys)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    l->keys = keys;
    l->keys[l->n] = strdup(key);
    return l->keys[l->n] ? (void)l->n++, 0 : err_set(e, -ENOMEM, NULL, "out of memory");
}

/* Collects without the limits of an ordinary transaction: a load is one commit, all or nothing. */
static int add_op(struct state_txn *t, enum state_op_kind kind, const char *key, const char *value, struct err *e)
{
    t->bytes = 0;
    if (t->n_ops % 64 == 0) {
        struct state_op *ops = realloc(t->ops, (t->n_ops + 64) * sizeof(*ops));
        if (!ops)
            return err_set(e, -ENOMEM, NULL, "out of memory");
        t->ops = ops;
    }
    struct state_op op = {.kind = kind, .key = strdup(key), .value = value ? strdup(value) : NULL};
    if (!op.key || (value && !op.value)) {
        free(op.key);
        free(op.value);
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    t->ops[t->n_ops++] = op;
    return 0;
}

static int add_puts(struct state_txn *t, json_t *keys, struct err *e)
{
    const char *key;
    json_t *value;
    int r = 0;

    json_object_foreach(keys, key, value)
    {
        if (!str_starts(key, "shared/") || strlen(key) > STATE_KEY_MAX)
            return err_set(e, -EINVAL, "state.load", "'%.80s' is not a key of a dump", key);
        autofree char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        if (!text || strlen(text) > STATE_VALUE_MAX)
            return err_set(e, -EINVAL, "state.load", "value of '%s' is too large", key);
        r = add_op(t, STATE_OP_PUT, key, text, e);
        if (r < 0)
            return r;
    }
    return 0;
}

static int load_keys(struct state_backend *b, json_t *keys, struct err *e)
{
    struct state_txn *t = state_txn_new();
    struct key_list old = {0};
    int r = t ? b->ops->scan(b, "shared/", collect_key, &old, e) : err_set(e, -ENOMEM, NULL, "out of memory");

    for (size_t i = 0; r == 0 && i < old.n; i++)
        r = add_op(t, STATE_OP_DELETE, old.keys[i], NULL, e);
    if (r == 0)
        r = add_puts(t, keys, e);
    if (r == 0) {
        b->ops->commit(b, t);
        r = t->result;
        if (r < 0)
            *e = t->err;
    }
    for (size_t i = 0; i < old.n; i++)
        free(old.keys[i]);
    free(old.keys);
    state_txn_free(t);
    return r;
}

int state_load(const char *dir, const char *json, size_t n, struct err *e)
{
    struct state_backend *b;
    json_error_t je;

    if (json_depth(json, n) > 32)
        return err_set(e, -EINVAL, "state.load", "not a dump: nested too deep");
    json_t *root = json_loadb(json, n, JSON_REJECT_DUPLICATES, &je);
    json_t *keys = json_object_get(root, "keys");
    if (!json_is_object(keys) || json_integer_value(json_object_get(root, "format")) != 1) {
        json_decref(root);
        return err_set(e, -EINVAL, "state.load", "not a dump of Holm's state (format 1)");
    }
    int r = sqlite_backend_open(dir, false, &b, e);
    if (r == 0) {
        r = load_keys(b, keys, e);
        b->ops->close(b);
    }
    json_decref(root);
    return r;
}
