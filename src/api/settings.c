/* See settings.h. Each set is one value of state, {"format":1,"values":{KEY:TEXT,…}}; a copy of it is fed by a watch. A
 * value that cannot be read counts as empty, and a change of it then starts anew. */
#include "api/settings.h"

#include <jansson.h>
#include <sodium.h>

#include "api/common.h"
#include "base/log.h"

#define VALUES_BYTES_MAX (256u * 1024u)

struct set {
    char key[96];
    json_t *values;
    uint64_t revision;
    struct state_watch *watch;
};

struct settings {
    struct state *state;
    struct set sets[2];
};

static void on_set(void *arg, const char *key, const char *value, uint64_t revision)
{
    struct set *s = arg;
    json_error_t je;
    json_t *j = value ? json_loads(value, 0, &je) : NULL;
    json_t *values = json_object_get(j, "values");

    json_decref(s->values);
    s->values = json_is_object(values) ? json_incref(values) : NULL;
    s->revision = value ? revision : 0;
    if (value && !s->values)
        log_error("%s cannot be read: no settings", key);
    json_decref(j);
}

int settings_new(struct state *state, const char *node, struct settings **ret, struct err *e)
{
    struct settings *s = calloc(1, sizeof(*s));
    int r = 0;

    if (!s)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    s->state = state;
    snprintf(s->sets[SETTINGS_CLUSTER].key, sizeof(s->sets[0].key), "shared/options");
    snprintf(s->sets[SETTINGS_NODE].key, sizeof(s->sets[0].key), "shared/node/%s", node);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(s->sets); i++)
        r = state_watch(state, s->sets[i].key, on_set, &s->sets[i], &s->sets[i].watch, e);
    if (r < 0) {
        settings_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void settings_free(struct settings *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(s->sets); i++) {
        if (s->sets[i].watch)
            state_unwatch(s->sets[i].watch);
        json_decref(s->sets[i].values);
    }
    free(s);
}

const char *settings_get(const struct settings *s, enum settings_scope scope, const char *key)
{
    return json_string_value(json_object_get(s->sets[scope].values, key));
}

uint64_t settings_u64(const struct settings *s, enum settings_scope scope, const char *key, uint64_t fallback)
{
    const char *text = settings_get(s, scope, key);
    uint64_t value;

    return text && str_to_u64(text, &value) == 0 ? value : fallback;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void settings_each(const struct settings *s, enum settings_scope scope,
                   void (*fn)(void *arg, const char *key, const char *value), void *arg)
{
    json_t *values = s->sets[scope].values, *value;
    const char *names[64], *key;
    size_t n = 0;

    json_object_foreach(values, key, value) if (n < ARRAY_SIZE(names) && json_is_string(value)) names[n++] = key;
    if (n)
        qsort(names, n, sizeof(names[0]), by_name);
    for (size_t i = 0; i < n; i++)
        fn(arg, names[i], json_string_value(json_object_get(values, names[i])));
}

static void hash_one(void *arg, const char *key, const char *value)
{
    crypto_generichash_update(arg, (const unsigned char *)key, strlen(key) + 1);
    crypto_generichash_update(arg, (const unsigned char *)value, strlen(value) + 1);
}

void settings_digest(const struct settings *s, enum settings_scope scope, char digest[SETTINGS_DIGEST_SIZE])
{
    unsigned char hash[(SETTINGS_DIGEST_SIZE - 1) / 2];
    crypto_generichash_state h;

    crypto_generichash_init(&h, NULL, 0, sizeof(hash));
    settings_each(s, scope, hash_one, &h);
    crypto_generichash_final(&h, hash, sizeof(hash));
    sodium_bin2hex(digest, SETTINGS_DIGEST_SIZE, hash, sizeof(hash));
}

static bool is_among(const char *const *names, const char *name)
{
    for (; *names; names++)
        if (streq(*names, name))
            return true;
    return false;
}

static bool is_of_request(const char *key)
{
    static const char *const names[] = {"node", "delete", "digest", NULL};

    return is_among(names, key);
}

/* Puts the request's parameters into values; all that cannot be set are named in one answer. */
static int take_values(struct api_call *c, const char *const *accepted, json_t *values, struct err *e)
{
    int r = 0;

    for (size_t i = 0; i < c->n_raw; i++) {
        const struct api_raw_param *p = &c->raw[i];
        if (is_of_request(p->key))
            continue;
        if (!is_among(accepted, p->key))
            r = api_param_error(c, e, p->key, "this setting has no effect here and is not accepted");
        else if (json_object_set_new(values, p->key, json_string(p->value)) < 0)
            r = api_param_error(c, e, p->key, "the value is not valid text");
    }
    return r;
}

static int take_deletions(struct api_call *c, const char *const *accepted, const char *list, json_t *values,
                          struct err *e)
{
    char key[80];

    for (const char *p = list ? list : ""; *p;) {
        size_t n = strcspn(p, ",; \t\n");
        snprintf(key, sizeof(key), "%.*s", (int)(n < sizeof(key) ? n : sizeof(key) - 1), p);
        if (n && !is_among(accepted, key))
            return api_param_error(c, e, "delete", "unknown setting '%s'", key);
        if (n && api_raw_get(c, key))
            return api_param_error(c, e, "delete", "cannot set and delete '%s' at the same time", key);
        if (n)
            json_object_del(values, key);
        p += n + (p[n] != 0);
    }
    return 0;
}

static int commit(struct api_call *c, const struct set *s, json_t *values, struct err *e)
{
    json_t *j = json_pack("{s:i, s:O}", "format", 1, "values", values);
    autofree char *text = j ? json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS) : NULL;

    json_decref(j);
    if (!text)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    if (strlen(text) > VALUES_BYTES_MAX)
        return err_set(e, -E2BIG, "settings.full", "the settings together may have %u bytes", VALUES_BYTES_MAX);
    struct state_txn *t = state_txn_new();
    if (t) {
        state_txn_expect(t, s->key, s->revision);
        state_txn_put(t, s->key, text);
    }
    return api_commit(c, t);
}

int settings_put(struct api_call *c, enum settings_scope scope, const char *const *accepted, const char *deleted,
                 const char *digest, struct err *e)
{
    const struct settings *s = c->api->settings;
    char now[SETTINGS_DIGEST_SIZE];

    settings_digest(s, scope, now);
    if (digest && !streq(digest, now))
        return err_set(e, -EAGAIN, "state.conflict",
                       "detected modified configuration - file changed by other user? Try again.");
    json_t *values = s->sets[scope].values ? json_copy(s->sets[scope].values) : json_object();
    int r = values ? take_values(c, accepted, values, e) : err_set(e, -ENOMEM, NULL, "out of memory");
    if (r == 0)
        r = take_deletions(c, accepted, deleted, values, e);
    if (r == 0)
        r = commit(c, &s->sets[scope], values, e);
    json_decref(values);
    return r;
}
