/* /cluster/qemu: CPU models that administrators make. PVE: qemu-server, CPUConfig.pm and its API; the files are state
 * here (guest/cpu_models.h). Loop thread. */
#include <sodium.h>

#include "api/common.h"
#include "guest/cpu_models.h"

static const char *const keys[] = {"flags", "hidden", "hv-vendor-id", "level", "phys-bits", "reported-model"};

int api_cluster_qemu_index(struct api_call *c, const struct api_cluster_qemu_index_args *a, struct err *e)
{
    static const char *const names[] = {"cpu-flags", "custom-cpu-models", NULL};

    return api_reply_index(c, "name", names);
}

bool api_may_see_cpu_model(struct api_call *c, const char *name)
{
    char path[AUTH_PATH_MAX];

    snprintf(path, sizeof(path), "/mapping/cpu/%s", name);
    return auth_has(c->api->auth, &c->who, path, PRIV_M(MAPPING_AUDIT) | PRIV_M(MAPPING_USE) | PRIV_M(MAPPING_MODIFY),
                    true);
}

/* PVE's names are those that a custom model can be made from; of QEMU's there are more, each also with its version. */
bool api_cpu_model_is_builtin(const char *name)
{
    static const char *const others[] = {"x86-64-v2", "x86-64-v2-AES", "x86-64-v3", "x86-64-v4", "Denverton",
                                         "Dhyana",    "Snowridge",     "n270",      NULL};
    const struct api_param *p = api_handler_param("cluster_cpu_models_create", "reported-model");
    char base[CPU_MODEL_NAME_MAX + 1];

    const char *const *lists[] = {others, p ? p->enums : NULL};
    const char *version = strrchr(name, '-');
    bool has_version =
        version && version[1] == 'v' && version[2] && strspn(version + 2, "0123456789") == strlen(version + 2);
    snprintf(base, sizeof(base), "%.*s", (int)(has_version ? (size_t)(version - name) : strlen(name)), name);
    for (size_t l = 0; l < ARRAY_SIZE(lists); l++)
        for (const char *const *m = lists[l]; m && *m; m++)
            if (streq(*m, name) || streq(*m, base))
                return true;
    return false;
}

static const struct cpu_models *models(struct api_call *c)
{
    return guest_cpu_models(c->api->guests);
}

static void digest_of(const struct cpu_model *m, char hex[41])
{
    unsigned char hash[20];
    crypto_generichash_state h;

    crypto_generichash_init(&h, NULL, 0, sizeof(hash));
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        const char *value = config_get(&m->values, keys[i]);
        crypto_generichash_update(&h, (const unsigned char *)(value ? value : ""), value ? strlen(value) + 1 : 1);
    }
    crypto_generichash_final(&h, hash, sizeof(hash));
    sodium_bin2hex(hex, 41, hash, sizeof(hash));
}

static void write_model(struct jw *w, const struct cpu_model *m)
{
    char name[sizeof(CPU_MODEL_PREFIX) + CPU_MODEL_NAME_MAX], digest[41];
    uint64_t number;

    snprintf(name, sizeof(name), CPU_MODEL_PREFIX "%s", m->name);
    digest_of(m, digest);
    jw_object(w);
    jw_kv_str(w, "cputype", name);
    jw_kv_str(w, "digest", digest);
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        const char *value = config_get(&m->values, keys[i]);
        if (value && (streq(keys[i], "level") || streq(keys[i], "hidden")) && str_to_u64(value, &number) == 0)
            jw_kv_u64(w, keys[i], number);
        else if (value)
            jw_kv_str(w, keys[i], value);
    }
    jw_object_end(w);
}

int api_cluster_cpu_models_list(struct api_call *c, const struct api_cluster_cpu_models_list_args *a, struct err *e)
{
    jw_array(&c->out);
    for (size_t i = 0; i < cpu_models_count(models(c)); i++) {
        const struct cpu_model *m = cpu_models_at(models(c), i);
        if (api_may_see_cpu_model(c, m->name))
            write_model(&c->out, m);
    }
    jw_array_end(&c->out);
    return 0;
}

static int need(struct api_call *c, const char *name, const struct cpu_model **ret, struct err *e)
{
    *ret = cpu_models_find(models(c), name);
    return *ret ? 0 : err_set(e, -ENOENT, "cpu.missing", "Custom cputype '%.40s' not found", name);
}

int api_cluster_cpu_models_read(struct api_call *c, const struct api_cluster_cpu_models_read_args *a, struct err *e)
{
    const struct cpu_model *m;
    int r = need(c, a->cputype, &m, e);

    if (r == 0)
        write_model(&c->out, m);
    return r;
}

/* What the request sets, into values. The wire's booleans are kept as 0 and 1. */
static int take_values(struct api_call *c, struct config *values, struct err *e)
{
    int r = 0;

    if (api_raw_get(c, "guest-phys-bits"))
        return api_param_error(c, e, "guest-phys-bits", "this is not supported");
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(keys); i++) {
        const char *value = api_raw_get(c, keys[i]);
        if (value && streq(keys[i], "hidden"))
            value = api_bool(value) == 1 ? "1" : "0";
        if (value && config_set(values, keys[i], value) < 0)
            r = err_set(e, -ENOMEM, NULL, "out of memory");
    }
    return r;
}

static int commit(struct api_call *c, const char *name, const struct config *values, uint64_t revision)
{
    if (str_starts(name, CPU_MODEL_PREFIX))
        name += strlen(CPU_MODEL_PREFIX);
    return api_commit(c, cpu_models_txn(name, values, revision));
}

int api_cluster_cpu_models_create(struct api_call *c, const struct api_cluster_cpu_models_create_args *a, struct err *e)
{
    struct config values = {0};
    size_t skipped = str_starts(a->cputype, CPU_MODEL_PREFIX) ? strlen(CPU_MODEL_PREFIX) : 0;

    if (!a->cputype[skipped])
        return api_param_error(c, e, "cputype", "a name is missing after '" CPU_MODEL_PREFIX "'");
    if (cpu_models_find(models(c), a->cputype))
        return api_param_error(c, e, "cputype", "Custom cputype '%s' already exists", a->cputype + skipped);
    if (cpu_models_count(models(c)) >= CPU_MODELS_MAX)
        return err_set(e, -ENOSPC, "cpu.full", "there are %u CPU models already", CPU_MODELS_MAX);
    int r = take_values(c, &values, e);
    if (r == 0)
        r = commit(c, a->cputype, &values, 0);
    config_done(&values);
    return r;
}

static int take_deletions(struct api_call *c, const char *list, struct config *values, struct err *e)
{
    char key[40];

    for (const char *p = list ? list : ""; *p;) {
        size_t n = strcspn(p, ",; \t\n"), i = 0;
        snprintf(key, sizeof(key), "%.*s", (int)(n < sizeof(key) ? n : sizeof(key) - 1), p);
        while (i < ARRAY_SIZE(keys) && !streq(keys[i], key))
            i++;
        if (n && (i == ARRAY_SIZE(keys) || streq(key, "reported-model")))
            return api_param_error(c, e, "delete", "unable to delete '%s'", key);
        if (n && api_raw_get(c, key))
            return api_param_error(c, e, "delete", "cannot set and delete '%s' at the same time", key);
        if (n)
            config_remove(values, key);
        p += n + (p[n] != 0);
    }
    return 0;
}

int api_cluster_cpu_models_update(struct api_call *c, const struct api_cluster_cpu_models_update_args *a, struct err *e)
{
    struct config values = {0};
    const struct cpu_model *m;
    char digest[41];
    int r = need(c, a->cputype, &m, e);

    if (r < 0)
        return r;
    digest_of(m, digest);
    if (a->digest && !streq(a->digest, digest))
        return err_set(e, -EAGAIN, "state.conflict",
                       "detected modified configuration - file changed by other user? Try again.");
    r = config_copy(&m->values, &values) < 0 ? err_set(e, -ENOMEM, NULL, "out of memory") : take_values(c, &values, e);
    if (r == 0)
        r = take_deletions(c, a->delete, &values, e);
    if (r == 0)
        r = commit(c, m->name, &values, m->revision);
    config_done(&values);
    return r;
}

/* Guests that name it keep their configuration and cannot start: as in Proxmox VE, and the refusal says why. */
int api_cluster_cpu_models_delete(struct api_call *c, const struct api_cluster_cpu_models_delete_args *a, struct err *e)
{
    const struct cpu_model *m;
    int r = need(c, a->cputype, &m, e);

    return r < 0 ? r : commit(c, m->name, NULL, m->revision);
}
