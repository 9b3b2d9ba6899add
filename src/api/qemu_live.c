/* Operations on a running guest that are not its state: keys, QEMU's monitor, drives that go or grow, and what it could
 * do. PVE: qemu-server, API2/Qemu.pm. */
#include <ctype.h>

#include "api/qemu_change.h"
#include "guest/clone.h"

#define KEYS_MAX 16u

static int find(struct api_call *c, const char *node, int64_t vmid, struct guest **ret, struct err *e)
{
    int r = api_check_node(c, node, e);

    return r < 0 ? r : guest_get(c->api->guests, (uint32_t)vmid, ret, e);
}

static int check_running(const struct guest *g, struct err *e)
{
    if (g->state == GUEST_RUNNING || g->state == GUEST_PAUSED)
        return 0;
    return err_set(e, -ESRCH, "guest.stopped", "VM %u is not running", g->vmid);
}

/* ---- keys ---- */

static void on_null(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    api_finish(arg, r, e);
}

/* "ctrl-alt-delete": names of QEMU's key codes, which QEMU knows. */
static int put_keys(struct jw *w, const char *keys)
{
    char name[24];
    size_t count = 0;

    for (const char *p = keys; *p || p == keys;) {
        size_t n = strcspn(p, "-");
        if (n == 0 || n >= sizeof(name) || count++ == KEYS_MAX)
            return -EINVAL;
        for (size_t i = 0; i < n; i++)
            if (!islower((unsigned char)p[i]) && !isdigit((unsigned char)p[i]) && p[i] != '_')
                return -EINVAL;
        snprintf(name, sizeof(name), "%.*s", (int)n, p);
        jw_object(w);
        jw_kv_str(w, "type", "qcode");
        jw_kv_str(w, "data", name);
        jw_object_end(w);
        p += n;
        if (*p == '-' && !*++p)
            return -EINVAL;
    }
    return 0;
}

int api_qemu_sendkey(struct api_call *c, const struct api_qemu_sendkey_args *a, struct err *e)
{
    autobuf struct buf arguments;
    struct guest *g;
    struct jw w;
    int r = find(c, a->node, a->vmid, &g, e);

    buf_init(&arguments, 4096);
    if (r == 0 && a->skiplock)
        r = api_require_root(c, e);
    if (r < 0)
        return r;
    jw_init(&w, &arguments);
    jw_object(&w);
    jw_key(&w, "keys");
    jw_array(&w);
    if (put_keys(&w, a->key) < 0)
        return api_param_error(c, e, "key", "not a list of keys, as in 'ctrl-alt-delete'");
    jw_array_end(&w);
    jw_object_end(&w);
    r = check_running(g, e);
    if (r < 0)
        return r;
    guest_control(c->api->guests, g->vmid, "send-key", buf_str(&arguments), on_null, c);
    return API_LATER;
}

/* ---- monitor ---- */

static void on_text(void *arg, int r, const char *body, size_t n, bool is_eof, const struct err *e)
{
    struct api_call *c = arg;

    if (r == 0 && n)
        jw_raw(&c->out, body, n);
    api_finish(c, r, e);
}

/* What tells without changing anything. */
static bool is_info(const char *command)
{
    command += strspn(command, " ");
    return str_starts(command, "info") && (command[4] == ' ' || !command[4]);
}

int api_qemu_monitor(struct api_call *c, const struct api_qemu_monitor_args *a, struct err *e)
{
    autobuf struct buf arguments;
    struct guest *g;
    struct jw w;
    int r = find(c, a->node, a->vmid, &g, e);

    buf_init(&arguments, 16384);
    if (r == 0 && !is_info(a->command))
        r = api_require_root(c, e);
    if (r < 0)
        return r;
    for (const char *p = a->command; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return api_param_error(c, e, "command", "one line of printable characters");
    jw_init(&w, &arguments);
    jw_object(&w);
    jw_kv_str(&w, "command-line", a->command);
    jw_object_end(&w);
    if (arguments.is_failed)
        return api_param_error(c, e, "command", "too long");
    r = check_running(g, e);
    if (r < 0)
        return r;
    guest_control(c->api->guests, g->vmid, "human-monitor-command", buf_str(&arguments), on_text, c);
    return API_LATER;
}

/* ---- drives ---- */

int api_qemu_unlink(struct api_call *c, const struct api_qemu_unlink_args *a, struct err *e)
{
    struct change_request q = {.deleted = a->idlist, .is_forced = a->force};

    for (const char *p = a->idlist; *p;) {
        size_t n = strcspn(p, ",; ");
        char key[32];
        snprintf(key, sizeof(key), "%.*s", (int)n, p);
        if (n && !guest_is_drive_key(key) && !guest_is_index_key(key, "unused"))
            return api_param_error(c, e, "idlist", "'%s' is not a drive", key);
        p += n + (p[n] != 0);
    }
    return qemu_update(c, a->node, (uint32_t)a->vmid, &q, false, e);
}

/* ---- features ---- */

/* Whether this can be had of an image. Raw ones stand on nothing: they are copied by reference, or not at all; those of
 * firmware and TPM are so small that they are just copied. */
static bool image_has(struct storage_mgr *storages, const struct engine *engine, const struct config_item *it,
                      const struct volume_id *v, bool is_clone)
{
    struct err ignored = ERR_INIT;
    struct storage *s;

    if (v->format == VOLUME_QCOW2 || guest_is_index_key(it->key, "efidisk") || guest_is_index_key(it->key, "tpmstate"))
        return true;
    if (storage_mgr_ref(storages, v->storage, &s, &ignored) < 0)
        return false;
    bool has = storage_caps(s) & (is_clone ? STORAGE_CAP_CLONE : STORAGE_CAP_SNAPSHOT);
    if (is_clone && engine && engine->caps & ENGINE_CAP_QCOW2)
        has = has || storage_has_format(s, VOLUME_QCOW2);
    storage_unref(s);
    return has;
}

static bool guest_has_feature(struct api_call *c, const struct guest *g, const char *feature)
{
    const struct engine *engine = engine_find(g->engine);
    bool is_clone = streq(feature, "clone");

    if (streq(feature, "copy"))
        return true;
    if (is_clone != guest_is_template(g)) /* linked clones are made of templates, and only of them */
        return false;
    for (size_t i = 0; i < g->config.n; i++) {
        const struct config_item *it = &g->config.items[i];
        struct volume_id v;
        if (guest_is_drive_key(it->key) && !guest_drive_is_cdrom(it->value) && guest_drive_volume(it->value, &v) &&
            v.vmid == g->vmid && !image_has(c->api->storages, engine, it, &v, is_clone))
            return false;
    }
    return true;
}

int api_qemu_feature(struct api_call *c, const struct api_qemu_feature_args *a, struct err *e)
{
    struct guest *g;
    int r = find(c, a->node, a->vmid, &g, e);

    if (r < 0)
        return r;
    bool has = guest_has_feature(c, g, a->feature);
    jw_object(&c->out);
    jw_kv_int(&c->out, "hasFeature", has);
    jw_key(&c->out, "nodes");
    jw_array(&c->out);
    if (has)
        jw_str(&c->out, c->api->node);
    jw_array_end(&c->out);
    jw_object_end(&c->out);
    return 0;
}
