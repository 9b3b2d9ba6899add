/* See cpu_models.h. A value of state is {"format":1,"values":{KEY:TEXT,…}}; one that cannot be read counts as absent.
 */
#include "guest/cpu_models.h"

#include <jansson.h>

#include "base/log.h"
#include "base/propstr.h"
#include "guest/guest_priv.h"

#define KEY_PREFIX "shared/cpu-model/"

struct cpu_models {
    struct cpu_model *items; /* by name */
    size_t n;
    struct state_watch *watch;
};

static size_t position(const struct cpu_models *m, const char *name)
{
    size_t i = 0;

    while (i < m->n && strcmp(m->items[i].name, name) < 0)
        i++;
    return i;
}

static bool is_at(const struct cpu_models *m, size_t i, const char *name)
{
    return i < m->n && streq(m->items[i].name, name);
}

static void drop(struct cpu_models *m, size_t i)
{
    config_done(&m->items[i].values);
    memmove(&m->items[i], &m->items[i + 1], (m->n - i - 1) * sizeof(*m->items));
    m->n--;
}

static int read_values(const char *text, struct config *ret)
{
    json_t *j = json_loads(text, 0, NULL), *v;
    const char *key;
    int r = json_is_object(json_object_get(j, "values")) ? 0 : -EINVAL;

    json_object_foreach(json_object_get(j, "values"), key, v) if (r == 0 && json_is_string(v)) r =
        config_set(ret, key, json_string_value(v));
    json_decref(j);
    return r;
}

static int insert(struct cpu_models *m, size_t i, const char *name, struct config *values, uint64_t revision)
{
    struct cpu_model *items = realloc(m->items, (m->n + 1) * sizeof(*items));

    if (!items)
        return -ENOMEM;
    m->items = items;
    memmove(&items[i + 1], &items[i], (m->n - i) * sizeof(*items));
    m->n++;
    items[i] = (struct cpu_model){.values = *values, .revision = revision};
    snprintf(items[i].name, sizeof(items[i].name), "%s", name);
    *values = (struct config){0};
    return 0;
}

static void on_model(void *arg, const char *key, const char *value, uint64_t revision)
{
    struct cpu_models *m = arg;
    const char *name = key + strlen(KEY_PREFIX);
    struct config values = {0};
    size_t i = position(m, name);

    if (is_at(m, i, name))
        drop(m, i);
    if (value && (strlen(name) > CPU_MODEL_NAME_MAX || read_values(value, &values) < 0 ||
                  insert(m, i, name, &values, revision) < 0))
        log_error("%s cannot be read: no such CPU model", key);
    config_done(&values);
}

int cpu_models_new(struct state *s, struct cpu_models **ret, struct err *e)
{
    struct cpu_models *m = calloc(1, sizeof(*m));

    if (!m)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    int r = state_watch(s, KEY_PREFIX, on_model, m, &m->watch, e);
    if (r < 0) {
        cpu_models_free(m);
        return r;
    }
    *ret = m;
    return 0;
}

void cpu_models_free(struct cpu_models *m)
{
    if (!m)
        return;
    if (m->watch)
        state_unwatch(m->watch);
    while (m->n)
        drop(m, m->n - 1);
    free(m->items);
    free(m);
}

const struct cpu_model *cpu_models_find(const struct cpu_models *m, const char *name)
{
    if (str_starts(name, CPU_MODEL_PREFIX))
        name += strlen(CPU_MODEL_PREFIX);
    size_t i = position(m, name);
    return is_at(m, i, name) ? &m->items[i] : NULL;
}

size_t cpu_models_count(const struct cpu_models *m)
{
    return m->n;
}

const struct cpu_model *cpu_models_at(const struct cpu_models *m, size_t i)
{
    return &m->items[i];
}

static char *text_of(const struct config *values)
{
    json_t *o = json_object(), *j;
    char *text;

    for (size_t i = 0; i < values->n; i++)
        json_object_set_new(o, values->items[i].key, json_string(values->items[i].value));
    j = json_pack("{s:i, s:o}", "format", 1, "values", o);
    text = j ? json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(j);
    return text;
}

struct state_txn *cpu_models_txn(const char *name, const struct config *values, uint64_t revision)
{
    autofree char *text = values ? text_of(values) : NULL;
    struct state_txn *t = values && !text ? NULL : state_txn_new();
    char key[sizeof(KEY_PREFIX) + CPU_MODEL_NAME_MAX];

    snprintf(key, sizeof(key), KEY_PREFIX "%s", name);
    if (!t)
        return NULL;
    state_txn_expect(t, key, revision);
    if (text)
        state_txn_put(t, key, text);
    else
        state_txn_delete(t, key);
    return t;
}

char *cpu_models_expand(const struct cpu_models *m, const char *cpu)
{
    struct err e = ERR_INIT;
    struct propstr p;
    struct buf out;

    if (!cpu || propstr_parse(cpu, "cputype", &p, &e) < 0 || !propstr_get(&p, "cputype") ||
        !str_starts(propstr_get(&p, "cputype"), CPU_MODEL_PREFIX))
        return NULL;
    const struct cpu_model *model = cpu_models_find(m, propstr_get(&p, "cputype"));
    if (!model)
        return NULL;
    buf_init(&out, 16384);
    for (size_t i = 0; i < model->values.n; i++)
        buf_printf(&out, "%s%s=%s", i ? "," : "", model->values.items[i].key, model->values.items[i].value);
    char *text = out.is_failed ? NULL : strdup(buf_str(&out));
    buf_done(&out);
    return text;
}

const struct cpu_models *guest_cpu_models(const struct guest_mgr *m)
{
    return m->cpu_models;
}
