/* See qemu_change.h. */
#include "api/qemu_change.h"

#include <sodium.h>

#include "base/clock.h"
#include "base/propstr.h"
#include "engine/firmware.h"
#include "guest/clone.h"
#include "guest/cloudinit.h"
#include "guest/snap.h"

#define GIB (1024.0 * 1024.0 * 1024.0)

/* Routes that change a guest without taking its keys borrow those of PUT config. */
static const struct api_route *config_route(const struct api_route *own)
{
    return own->has_config ? own : api_route_of("qemu_config_set");
}

struct change *change_new(struct api_call *c, uint32_t vmid)
{
    struct change *ch = calloc(1, sizeof(*ch));

    if (ch) {
        ch->call = c;
        ch->route = config_route(c->route);
        ch->storages = c->api->storages;
        ch->vmid = vmid;
        ch->steps = json_array();
    }
    return ch;
}

void change_free(struct change *ch)
{
    if (!ch)
        return;
    config_done(&ch->config);
    config_done(&ch->pending);
    config_done(&ch->set);
    json_decref(ch->steps);
    change_imports_done(ch);
    free(ch);
}

void qemu_random_uuid(char dst[37])
{
    unsigned char b[16];

    randombytes_buf(b, sizeof(b));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* RFC 9562: version 4 */
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(dst, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3],
             b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

/* PVE's own prefix for generated addresses, so that tools recognise them. */
void qemu_random_mac(char dst[18])
{
    unsigned char b[3];

    randombytes_buf(b, sizeof(b));
    snprintf(dst, 18, "BC:24:11:%02X:%02X:%02X", b[0], b[1], b[2]);
}

/* "virtio,…" gets an address; everything else of the string stays as it was sent. */
static int complete_net(const char *value, struct buf *out, struct err *e)
{
    struct propstr p;
    char mac[18];
    int r = propstr_parse(value, "model", &p, e);

    if (r < 0)
        return r;
    const char *model = propstr_get(&p, "model");
    if (!model || propstr_get(&p, "macaddr")) {
        buf_append_str(out, value);
        return 0;
    }
    qemu_random_mac(mac);
    buf_printf(out, "%s=%s", model, mac);
    for (size_t i = 0; i < p.n; i++)
        if (!streq(p.items[i].key, "model"))
            buf_printf(out, ",%s=%s", p.items[i].key, p.items[i].value);
    return 0;
}

static bool is_sent(const struct change_request *q, const char *key)
{
    for (size_t i = 0; i < q->n_set; i++)
        if (streq(q->set[i].key, key))
            return true;
    return false;
}

/* cdrom=FILE is ide2=FILE,media=cdrom. */
static int resolve_alias(struct api_call *c, const struct change_request *q, struct api_kv *kv, struct err *e)
{
    const char *more = strstr(kv->value, "media=") ? "" : ",media=cdrom";
    size_t n = strlen(kv->value) + strlen(more) + 1;
    char *value;

    if (!streq(kv->key, "cdrom"))
        return 0;
    if (is_sent(q, "ide2"))
        return err_set(e, -EINVAL, "param.invalid", "it is another name of ide2, which is here too");
    value = arena_alloc(&c->arena, n);
    if (!value)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    snprintf(value, n, "%s%s", kv->value, more);
    *kv = (struct api_kv){.key = "ide2", .value = value};
    return 0;
}

static int add_key(struct change *ch, const struct api_kv *kv, struct err *e)
{
    const struct api_param *p = api_route_param(ch->route, kv->key);
    struct buf value;
    int r;

    if (!p)
        return err_set(e, -EINVAL, "param.invalid", "unknown key");
    if (p->key_class == API_KEY_REFUSED)
        return err_set(e, -EINVAL, "param.unsupported", "this key is not supported");
    if (!ch->is_create && streq(kv->key, "engine"))
        return err_set(e, -EINVAL, "param.unsupported", "the engine is fixed when the guest is created");
    r = change_check_key(ch, p, kv->key, kv->value, e);
    if (r == 0)
        r = cloudinit_check(kv->key, kv->value, e);
    if (r < 0)
        return r;
    if (p->key_class == API_KEY_ADVISORY && ch->n_warnings < ARRAY_SIZE(ch->warnings))
        ch->warnings[ch->n_warnings++] = kv->key;
    buf_init(&value, 65536);
    if (guest_is_index_key(kv->key, "net"))
        r = complete_net(kv->value, &value, e);
    else if (change_import_find(ch, kv->key))
        r = change_import_strip(kv->value, &value, e);
    else
        buf_append_str(&value, kv->value);
    if (r == 0 && (value.is_failed || config_set(&ch->set, kv->key, buf_str(&value)) < 0))
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    buf_done(&value);
    return r;
}

/* Errors of single keys are collected; a missing permission ends at once with 403. */
static int add_keys(struct change *ch, const struct change_request *q, struct err *e)
{
    for (size_t i = 0; i < q->n_set; i++) {
        struct api_kv kv = q->set[i];
        if (resolve_alias(ch->call, q, &kv, e) == 0 && add_key(ch, &kv, e) == 0)
            continue;
        if (!str_starts(e->code, "param."))
            return e->num;
        char text[sizeof(e->text)];
        memcpy(text, e->text, sizeof(text));
        api_param_error(ch->call, e, q->set[i].key, "%s", text);
    }
    return ch->call->param_errors.len ? err_set(e, -EINVAL, "param.invalid", "Parameter verification failed.") : 0;
}

/* Splits a list parameter; pieces live in the call's arena. */
static int split_list(struct api_call *c, const char *list, const char ***ret, size_t *ret_n, struct err *e)
{
    size_t max = strlen(list) / 2 + 2, n = 0;
    const char **items = arena_alloc(&c->arena, max * sizeof(*items));
    char *copy = arena_strdup(&c->arena, list), *save = NULL;

    if (!items || !copy)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    for (char *p = strtok_r(copy, ",; \t", &save); p && n < max; p = strtok_r(NULL, ",; \t", &save))
        items[n++] = p;
    *ret = items;
    *ret_n = n;
    return 0;
}

static int add_deletes(struct change *ch, const char *list, struct err *e)
{
    struct api_call *c = ch->call;
    int r = list ? split_list(c, list, &ch->deleted, &ch->n_deleted, e) : 0;

    for (size_t i = 0; r == 0 && i < ch->n_deleted; i++) {
        if (streq(ch->deleted[i], "cdrom"))
            ch->deleted[i] = "ide2";
        const char *key = ch->deleted[i];
        const struct api_param *p = api_route_param(ch->route, key);
        if (!p || !p->is_config)
            return api_param_error(c, e, "delete", "unknown setting '%s'", key);
        if (config_get(&ch->set, key))
            return api_param_error(c, e, "delete", "you can't use '-%s' and -delete %s' at the same time", key, key);
        r = change_check_key(ch, p, key, NULL, e);
    }
    return r;
}

static int revert(struct change *ch, const char *list, struct err *e)
{
    const char **keys;
    size_t n;
    char deleted[80];
    int r = list ? split_list(ch->call, list, &keys, &n, e) : 0;

    for (size_t i = 0; list && r == 0 && i < n; i++) {
        if (streq(keys[i], "cdrom"))
            keys[i] = "ide2";
        const struct api_param *p = api_route_param(ch->route, keys[i]);
        if (!p || !p->is_config)
            return api_param_error(ch->call, e, "revert", "unknown setting '%s'", keys[i]);
        r = change_check_key(ch, p, keys[i], NULL, e);
        snprintf(deleted, sizeof(deleted), "!%s", keys[i]);
        const char *value = config_get(&ch->pending, keys[i]);
        autofree char *dropped = value && guest_is_drive_key(keys[i]) ? strdup(value) : NULL;
        if (r == 0) {
            config_remove(&ch->pending, keys[i]);
            config_remove(&ch->pending, deleted);
        }
        /* A volume that was made for it is not lost. */
        if (r == 0 && dropped && guest_config_keep(&ch->config, dropped, ch->vmid) < 0)
            r = err_set(e, -ENOMEM, NULL, "out of memory");
    }
    return r;
}

/* Asked after the rights: who may not change the guest does not learn what state it is in. */
static int check_current(const struct guest *g, const struct change_request *q, struct err *e)
{
    const char *lock = config_get(&g->config, "lock");

    if (lock && !q->is_lock_skipped)
        return err_set(e, -EBUSY, "guest.locked", "VM is locked (%s)", lock);
    if (q->digest && !streq(q->digest, g->digest))
        return err_set(e, -EAGAIN, "state.conflict",
                       "detected modified configuration - file changed by other user? Try again.");
    return 0;
}

static int load_current(struct change *ch, const struct guest *g, const struct change_request *q, struct err *e)
{
    if (q->is_lock_skipped && api_require_root(ch->call, e) < 0)
        return e->num;
    if (config_copy(&g->config, &ch->config) < 0 || config_copy(&g->pending, &ch->pending) < 0)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    ch->is_running = guest_is_running(g);
    ch->engine = engine_find(g->engine);
    snprintf(ch->engine_name, sizeof(ch->engine_name), "%s", g->engine);
    snprintf(ch->machine, sizeof(ch->machine), "%s", g->machine);
    snprintf(ch->uuid, sizeof(ch->uuid), "%s", g->uuid);
    ch->ctime_s = g->ctime_s;
    ch->revision = g->revision;
    return 0;
}

/* Drives of a guest with `protection` stay, PVE: qemu-server, API2/Qemu.pm, update_vm_api. Volumes that a snapshot
 * needs, or a clone, are not removed. */
static int check_removals(struct change *ch, const struct guest *g, struct err *e)
{
    const char *protection = config_get(&g->config, "protection");

    for (size_t i = 0; i < ch->n_deleted; i++) {
        const char *key = ch->deleted[i], *value = config_get(&g->config, key);
        struct volume_id v;
        if (protection && streq(protection, "1") && (guest_is_drive_key(key) || guest_is_index_key(key, "unused")))
            return err_set(e, -EPERM, "guest.protected", "can't remove %s '%s' - protection mode enabled",
                           guest_is_drive_key(key) ? "drive" : "unused disk", key);
        bool is_removal = guest_is_index_key(key, "unused") || (ch->is_forced && guest_is_drive_key(key));
        if (!is_removal || !value || !guest_drive_volume(value, &v) || v.vmid != g->vmid)
            continue;
        const char *snapshot = snap_holds(g, &v);
        uint32_t dependent = guest_dependent(ch->call->api->guests, g->vmid);
        if (snapshot)
            return err_set(e, -EBUSY, "guest.snapshot", "%s: the snapshot '%s' has this volume", key, snapshot);
        if (layers_find(&g->layers, &v) && layers_find(&g->layers, &v)->n)
            return err_set(e, -EBUSY, "guest.layers", "%s: layers of this volume are not merged yet", key);
        if (dependent)
            return err_set(e, -EBUSY, "guest.template", "%s: images of VM %u stand on this guest's", key, dependent);
    }
    return 0;
}

/* Every device of "order=…" is one that the guest will have. */
static int check_boot(struct change *ch, struct err *e)
{
    const char *boot = config_get(&ch->set, "boot"), *p;
    char device[32], deleted[40];

    if (!boot || !str_starts(boot, "order="))
        return 0;
    for (p = boot + 6; *p; p += p[strcspn(p, ";")] ? strcspn(p, ";") + 1 : strcspn(p, ";")) {
        snprintf(device, sizeof(device), "%.*s", (int)strcspn(p, ";"), p);
        snprintf(deleted, sizeof(deleted), "!%s", device);
        bool is_there = config_get(&ch->set, device) || config_get(&ch->pending, device) ||
                        (config_get(&ch->config, device) && !config_get(&ch->pending, deleted));
        for (size_t i = 0; i < ch->n_deleted; i++)
            is_there = is_there && !streq(ch->deleted[i], device);
        if (!is_there || (!guest_is_drive_key(device) && !guest_is_index_key(device, "net")))
            return api_param_error(ch->call, e, "boot", "invalid bootorder: device '%s' does not exist", device);
    }
    return 0;
}

int change_init(struct change *ch, const struct guest *g, const struct change_request *q, struct err *e)
{
    int r = 0;

    ch->is_create = !g;
    ch->is_forced = q->is_forced;
    if (g)
        r = load_current(ch, g, q, e);
    else
        ch->ctime_s = clock_wall_s();
    if (r == 0)
        r = add_keys(ch, q, e);
    if (r == 0)
        r = add_deletes(ch, q->deleted, e);
    if (r == 0)
        r = revert(ch, q->reverted, e);
    if (r == 0 && g)
        r = check_current(g, q, e);
    if (r == 0 && g)
        r = check_removals(ch, g, e);
    return r < 0 ? r : check_boot(ch, e);
}

/* ---- planning: pool thread ---- */

static void format_size(uint64_t bytes, char dst[32])
{
    static const char units[] = "KMGT";
    char unit = 0;

    for (size_t i = 0; i < 4 && bytes && bytes % 1024 == 0; i++) {
        bytes /= 1024;
        unit = units[i];
    }
    snprintf(dst, 32, "%llu%c", (unsigned long long)bytes, unit);
}

struct fixed_volume {
    uint64_t size_bytes;  /* 0: as asked for */
    const char *template; /* of its contents, or NULL */
};

/* The value as it is stored: the volume first, the client's options in their order, the true size last. A cloud-init
 * volume is a CD-ROM whether the client says so or not. */
static int compose(const struct propstr *p, const char *volume, uint64_t size_bytes, struct buf *out)
{
    static const char *const own[] = {"file", "volume", "format", "size"};
    bool is_cloudinit = engine_is_cloudinit(volume);
    char size[32];

    buf_printf(out, "%s%s", volume, is_cloudinit ? ",media=cdrom" : "");
    for (size_t i = 0; i < p->n; i++) {
        bool is_own = is_cloudinit && streq(p->items[i].key, "media");
        for (size_t k = 0; k < ARRAY_SIZE(own); k++)
            is_own = is_own || streq(p->items[i].key, own[k]);
        if (!is_own)
            buf_printf(out, ",%s=%s", p->items[i].key, p->items[i].value);
    }
    format_size(size_bytes, size);
    buf_printf(out, ",size=%s", size);
    return out->is_failed ? -ENOMEM : 0;
}

/* Volumes whose size is not the client's to choose: the one asked for means nothing, as in Proxmox VE. */
static int find_fixed(const char *key, const struct propstr *p, struct fixed_volume *ret, struct err *e)
{
    *ret = (struct fixed_volume){0};
    if (guest_is_index_key(key, "tpmstate")) {
        ret->size_bytes = ENGINE_TPM_STATE_BYTES;
    } else if (guest_is_index_key(key, "efidisk")) {
        const struct engine_firmware *fw = engine_firmware_choose(p, false);
        ret->size_bytes = fw->vars_bytes;
        ret->template = fw->name;
        if (access(fw->vars, R_OK) < 0) {
            err_set(e, -ENOENT, "engine.missing", "the firmware %s is not on this node", fw->vars);
            err_hint(e, "apt-get install ovmf");
            return e->num;
        }
    }
    return 0;
}

static int parse_new(const char *file, char *storage, size_t cap, uint64_t *ret_bytes)
{
    const char *colon = strchr(file, ':');
    char *end;

    if (!colon || (size_t)(colon - file) >= cap)
        return -EINVAL;
    memcpy(storage, file, (size_t)(colon - file));
    storage[colon - file] = 0;
    double gib = strtod(colon + 1, &end);
    if (*end || end == colon + 1 || !(gib >= 0 && gib <= 65536.0 * 16)) /* "nan" compares with nothing */
        return -EINVAL;
    *ret_bytes = (uint64_t)(gib * GIB) / 1024 * 1024;
    return 0;
}

struct taken {
    const char *names[64];
    size_t n;
};

/* "local:4,format=qcow2": a volume.create step; "local:0,import-from=…": a volume.copy step. */
static int plan_new(struct change *ch, const char *key, const struct propstr *p, const char *file, struct taken *taken,
                    struct buf *out, struct err *e)
{
    char storage[STORAGE_ID_MAX + 1], id[VOLUME_ID_MAX + 1];
    const char *format = propstr_get(p, "format");
    const struct change_import *im = change_import_find(ch, key);
    enum volume_format f, source = VOLUME_OTHER;
    struct volume_id v;
    struct storage *s;
    uint64_t bytes;

    struct fixed_volume fixed;
    int r = find_fixed(key, p, &fixed, e);

    if (r < 0)
        return r;
    if (parse_new(file, storage, sizeof(storage), &bytes) < 0 || (!bytes && !fixed.size_bytes && !im))
        return err_set(e, -EINVAL, "param.invalid", "'%.80s' is neither a volume nor STORAGE:SIZE_IN_GIB", file);
    if (fixed.size_bytes)
        bytes = fixed.size_bytes;
    r = im ? change_import_look(ch, im, fixed.size_bytes, &bytes, &source, e) : 0;
    if (r == 0)
        r = storage_mgr_ref(ch->storages, storage, &s, e);
    if (r < 0)
        return r;
    /* A copy is what the source was, where that can be. */
    if (!im || !storage_has_format(s, source))
        source = storage_default_format(s);
    f = !format ? source : streq(format, "qcow2") ? VOLUME_QCOW2 : VOLUME_RAW;
    if (!(storage_contents(s) & STORAGE_CONTENT_images))
        r = err_set(e, -EINVAL, "storage.content", "storage '%s' does not support vm images", storage);
    else if ((format && !streq(format, "raw") && !streq(format, "qcow2")) || !storage_has_format(s, f))
        r = err_set(e, -EINVAL, "storage.format", "storage '%s' does not support format '%s'", storage, format);
    else
        r = volume_name_next(s, ch->vmid, f, taken->names, taken->n, &v, e);
    storage_unref(s);
    if (r < 0)
        return r;
    char *name = strdup(v.name);
    if (!name || taken->n == ARRAY_SIZE(taken->names)) {
        free(name);
        return err_set(e, -E2BIG, "guest.disks", "too many new volumes");
    }
    taken->names[taken->n++] = name;
    volume_id_format(&v, id, sizeof(id));
    ch->n_creates++;
    json_array_append_new(ch->steps, im               ? change_import_step(im, &v, bytes)
                                     : fixed.template ? guest_step_volume_template(&v, bytes, fixed.template)
                                                      : guest_step_volume_create(&v, bytes));
    return compose(p, id, bytes, out) < 0 ? err_set(e, -ENOMEM, NULL, "out of memory") : 0;
}

/* Of the keys that the guest will have, another one with a cloud-init volume; NULL: none. */
static const char *other_cloudinit(const struct change *ch, const char *key)
{
    const struct config *configs[] = {&ch->set, &ch->pending, &ch->config};
    char ignored[STORAGE_ID_MAX + 1], deleted[80];

    for (size_t k = 0; k < ARRAY_SIZE(configs); k++)
        for (size_t i = 0; i < configs[k]->n; i++) {
            const struct config_item *it = &configs[k]->items[i];
            bool is_gone =
                streq(it->key, key) || !guest_is_drive_key(it->key) ||
                (!cloudinit_is_drive(it->value, ch->vmid) && !cloudinit_is_wanted(it->value, ignored, sizeof(ignored)));
            snprintf(deleted, sizeof(deleted), "!%s", it->key);
            for (size_t d = 0; d < ch->n_deleted; d++)
                is_gone = is_gone || streq(ch->deleted[d], it->key);
            /* It is replaced: what counts is what comes. */
            if (k > 0 && (config_get(&ch->set, it->key) || config_get(&ch->pending, deleted)))
                is_gone = true;
            if (k > 1 && config_get(&ch->pending, it->key))
                is_gone = true;
            if (!is_gone)
                return it->key;
        }
    return NULL;
}

static int check_cloudinit(struct change *ch, const char *key, const struct propstr *p, struct err *e)
{
    const char *media = propstr_get(p, "media"), *format = propstr_get(p, "format"), *other = other_cloudinit(ch, key);

    if (guest_is_index_key(key, "efidisk") || guest_is_index_key(key, "tpmstate"))
        return err_set(e, -EINVAL, "param.invalid", "it is no drive for cloud-init");
    if (other)
        return err_set(e, -EINVAL, "param.invalid", "a cloud-init drive is there already: %s", other);
    if (media && !streq(media, "cdrom"))
        return err_set(e, -EINVAL, "param.invalid", "a cloud-init drive is a CD-ROM (media=cdrom)");
    if (format && !streq(format, "raw"))
        return err_set(e, -EINVAL, "param.unsupported", "format=%.20s: a cloud-init drive is raw", format);
    return 0;
}

/* "local:cloudinit": the one volume of this name. What it holds is written by each start, so one that was left over
 * serves as well as a new one. */
static int plan_cloudinit(struct change *ch, const struct propstr *p, const char *storage, struct buf *out,
                          struct err *e)
{
    struct err missing = ERR_INIT;
    char id[VOLUME_ID_MAX + 1];
    struct volume_info info;
    struct volume_id v;
    struct storage *s;
    int r = cloudinit_volume(storage, ch->vmid, &v, e);

    if (r == 0)
        r = storage_mgr_ref(ch->storages, storage, &s, e);
    if (r < 0)
        return r;
    if (!(storage_contents(s) & STORAGE_CONTENT_images))
        r = err_set(e, -EINVAL, "storage.content", "storage '%s' does not support vm images", storage);
    else if (!storage_has_format(s, VOLUME_RAW))
        r = err_set(e, -EINVAL, "storage.format", "storage '%s' does not support format 'raw'", storage);
    int found = r == 0 ? volume_stat(s, &v, &info, &missing) : 0;
    storage_unref(s);
    if (found < 0 && found != -ENOENT) {
        *e = missing;
        r = found;
    }
    if (r < 0)
        return r;
    if (found < 0) {
        ch->n_creates++;
        json_array_append_new(ch->steps, guest_step_volume_create(&v, CLOUDINIT_BYTES));
    }
    volume_id_format(&v, id, sizeof(id));
    return compose(p, id, CLOUDINIT_BYTES, out) < 0 ? err_set(e, -ENOMEM, NULL, "out of memory") : 0;
}

static int plan_existing(struct change *ch, const struct propstr *p, const struct volume_id *v, struct buf *out,
                         struct err *e)
{
    char id[VOLUME_ID_MAX + 1];
    struct volume_info info;
    struct storage *s;
    int r = storage_mgr_ref(ch->storages, v->storage, &s, e);

    if (r < 0)
        return r;
    r = volume_stat(s, v, &info, e);
    storage_unref(s);
    if (r < 0)
        return r;
    volume_id_format(v, id, sizeof(id));
    if (ch->has_own_only && v->content == STORAGE_CONTENT_images && v->vmid == ch->vmid && info.ctime_s < ch->ctime_s)
        return err_set(e, -EPERM, "auth.denied", "Permission check failed (/storage/%s, Datastore.Allocate)",
                       v->storage);
    return compose(p, id, info.size_bytes, out) < 0 ? err_set(e, -ENOMEM, NULL, "out of memory") : 0;
}

static bool is_state_key(const char *key)
{
    return guest_is_index_key(key, "efidisk") || guest_is_index_key(key, "tpmstate");
}

static int plan_drive(struct change *ch, const char *key, const char *value, struct taken *taken, struct err *e)
{
    struct err not_a_volume = ERR_INIT;
    char storage[STORAGE_ID_MAX + 1];
    struct volume_id v;
    struct propstr p;
    struct buf out;
    int r = propstr_parse(value, "file", &p, e);

    if (r < 0)
        return r;
    const char *file = propstr_get(&p, "file") ? propstr_get(&p, "file") : propstr_get(&p, "volume");
    if (streq(file, "none"))
        return 0;
    bool is_wanted = cloudinit_is_wanted(value, storage, sizeof(storage));
    if ((is_wanted || cloudinit_is_drive(value, ch->vmid)) && check_cloudinit(ch, key, &p, e) < 0)
        return err_wrap(e, e->num, "%s", key);
    buf_init(&out, 8192);
    if (is_wanted)
        r = plan_cloudinit(ch, &p, storage, &out, e);
    else if (volume_id_parse(file, &v, &not_a_volume) == 0 && v.content != STORAGE_CONTENT_images && is_state_key(key))
        r = err_set(e, -EINVAL, "storage.content", "'%.80s' is not an image", file);
    else if (not_a_volume.num == 0)
        r = plan_existing(ch, &p, &v, &out, e);
    else
        r = plan_new(ch, key, &p, file, taken, &out, e);
    if (r == 0 && config_set(&ch->set, key, buf_str(&out)) < 0)
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    buf_done(&out);
    return r < 0 ? err_wrap(e, r, "%s", key) : 0;
}

/* Deleting unusedN (or a drive, forced, on a stopped guest) removes its volume, if the guest owns it. */
static int plan_removal(struct change *ch, const char *key, struct err *e)
{
    const char *value = config_get(&ch->config, key);
    struct volume_id v;

    if (!value || !guest_drive_volume(value, &v) || v.content != STORAGE_CONTENT_images || v.vmid != ch->vmid)
        return 0;
    /* The drive of cloud-init holds nothing that is not made again: it is not kept as an unused disk, unless another
     * key takes it over. */
    bool is_cloudinit = !ch->is_running && !ch->n_creates && guest_is_drive_key(key) &&
                        cloudinit_is_drive(value, ch->vmid) && !other_cloudinit(ch, key);
    if (!guest_is_index_key(key, "unused") && !is_cloudinit && (!ch->is_forced || !guest_is_drive_key(key)))
        return 0;
    if (ch->is_running && guest_is_drive_key(key))
        return err_set(e, -EBUSY, "guest.running", "%s is in use by the running guest", key);
    ch->n_removes++;
    json_array_append_new(ch->steps, guest_step_volume_delete(&v));
    return 0;
}

/* From here on nobody knows the password any more. */
static int plan_password(struct change *ch, char *password, struct err *e)
{
    char hash[CLOUDINIT_HASH_MAX];
    int r = cloudinit_hash(password, hash, e);

    mem_wipe(password, strlen(password));
    if (r < 0)
        return r;
    for (size_t i = 0; i < ch->set.n; i++)
        if (streq(ch->set.items[i].key, "cipassword"))
            mem_wipe((char *)(uintptr_t)ch->set.items[i].value, strlen(ch->set.items[i].value));
    return config_set(&ch->set, "cipassword", hash) < 0 ? err_set(e, -ENOMEM, NULL, "out of memory") : 0;
}

int change_plan(void *arg, struct err *e)
{
    struct change *ch = arg;
    struct taken taken = {.n = 0};
    int r = 0;

    /* Indexed anew each time: planning rewrites values. Names already in the configuration exist as files. */
    for (size_t i = 0; r == 0 && i < ch->set.n; i++) {
        autofree char *value = strdup(ch->set.items[i].value);
        if (!value)
            r = err_set(e, -ENOMEM, NULL, "out of memory");
        else if (guest_is_drive_key(ch->set.items[i].key))
            r = plan_drive(ch, ch->set.items[i].key, value, &taken, e);
        else if (streq(ch->set.items[i].key, "cipassword"))
            r = plan_password(ch, value, e);
    }
    for (size_t i = 0; r == 0 && i < ch->n_deleted; i++)
        r = plan_removal(ch, ch->deleted[i], e);
    for (size_t i = 0; i < taken.n; i++)
        free((char *)taken.names[i]);
    if (r == 0 && ch->n_creates && ch->n_removes)
        r = err_set(e, -EINVAL, "param.invalid", "making and destroying volumes needs two requests");
    return r;
}

/* ---- the new configuration ---- */

static bool takes_effect_at_once(const char *key)
{
    static const char *const keys[] = {
        "name", "description", "tags",    "onboot",        "startup",         "protection",
        "lock", "autostart",   "hotplug", "migrate_speed", "migrate_downtime"};

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (streq(keys[i], key))
            return true;
    return guest_is_index_key(key, "unused");
}

static int add_pending(struct change *ch, struct config *now)
{
    char deleted[80];
    int r = 0;

    for (size_t i = 0; r == 0 && i < ch->set.n; i++) {
        const struct config_item *it = &ch->set.items[i];
        const char *current = config_get(&ch->config, it->key);
        snprintf(deleted, sizeof(deleted), "!%s", it->key);
        config_remove(&ch->pending, deleted);
        config_remove(&ch->pending, it->key);
        if (current && streq(current, it->value))
            continue;
        r = config_set(ch->is_running && !takes_effect_at_once(it->key) ? &ch->pending : now, it->key, it->value);
    }
    for (size_t i = 0; r == 0 && i < ch->n_deleted; i++) {
        const char *key = ch->deleted[i];
        snprintf(deleted, sizeof(deleted), "!%s", key);
        config_remove(&ch->pending, key);
        if (config_get(&ch->config, key))
            r = config_set(ch->is_running && !takes_effect_at_once(key) ? &ch->pending : now, deleted, "1");
    }
    return r;
}

/* What a new guest gets unless the request says otherwise. */
static int add_defaults(struct change *ch)
{
    char text[160];
    const char *smbios = config_get(&ch->config, "smbios1"), *vmgenid = config_get(&ch->config, "vmgenid");
    const char *uuid = smbios ? strstr(smbios, "uuid=") : NULL;
    int r = 0;

    qemu_random_uuid(ch->uuid);
    if (uuid && strlen(uuid) >= 41)
        snprintf(ch->uuid, sizeof(ch->uuid), "%.36s", uuid + 5);
    if (!smbios) {
        snprintf(text, sizeof(text), "uuid=%s", ch->uuid);
        r = config_set(&ch->config, "smbios1", text);
    }
    if (r == 0 && (!vmgenid || streq(vmgenid, "1"))) {
        char id[37];
        qemu_random_uuid(id);
        r = config_set(&ch->config, "vmgenid", id);
    }
    return r;
}

int change_apply(struct change *ch, struct err *e)
{
    struct config now = {0};
    int r = add_pending(ch, &now);

    if (r == 0 && !ch->is_running && !ch->is_create) {
        /* A stopped guest has nothing to wait for. */
        r = guest_config_merge(&ch->config, &ch->pending, ch->vmid);
        config_done(&ch->pending);
    }
    if (r == 0)
        r = guest_config_merge(&ch->config, &now, ch->vmid);
    /* Volumes that the plan destroys must not come back as unused. */
    for (size_t i = 0; r == 0 && ch->n_removes && i < ch->n_deleted; i++)
        config_remove(&ch->config, ch->deleted[i]);
    for (size_t k = 0; r == 0 && k < json_array_size(ch->steps); k++) {
        json_t *step = json_array_get(ch->steps, k);
        const char *volume = json_string_value(json_object_get(json_object_get(step, "args"), "volume"));
        if (!streq(json_string_value(json_object_get(step, "step")), "volume.delete"))
            continue;
        for (size_t i = 0; i < ch->config.n;)
            if (guest_is_index_key(ch->config.items[i].key, "unused") && streq(ch->config.items[i].value, volume))
                config_remove(&ch->config, ch->config.items[i].key);
            else
                i++;
    }
    if (r == 0 && ch->is_create)
        r = add_defaults(ch);
    config_done(&now);
    return r < 0 ? err_set(e, r, NULL, "out of memory") : 0;
}

static void forget_volume(json_t *step, struct layers *l)
{
    const char *name = json_string_value(json_object_get(step, "step"));
    const char *text = json_string_value(json_object_get(json_object_get(step, "args"), "volume"));
    struct err ignored = ERR_INIT;
    struct volume_id v;

    if (name && text && streq(name, "volume.delete") && volume_id_parse(text, &v, &ignored) == 0)
        layers_remove(l, &v);
}

struct state_txn *change_txn(struct change *ch)
{
    const struct guest *g = ch->is_create ? NULL : guest_find(ch->call->api->guests, ch->vmid);
    struct guest_record record = g ? guest_record_of(g) : (struct guest_record){0};

    record.engine = ch->engine_name;
    record.machine = ch->machine;
    record.uuid = ch->uuid;
    record.ctime_s = ch->ctime_s;
    record.config = &ch->config;
    record.pending = &ch->pending;
    struct layers layers = {0};
    if (g && layers_copy(&g->layers, &layers) < 0)
        return NULL;
    /* What goes stands on nothing any more. */
    for (size_t i = 0; i < json_array_size(ch->steps); i++)
        forget_volume(json_array_get(ch->steps, i), &layers);
    record.layers = &layers;
    struct state_txn *txn = guest_txn(ch->call->api->node, ch->vmid, ch->revision, &record);
    layers_done(&layers);
    return txn;
}

int change_reply_plan(struct change *ch)
{
    autofree char *steps = json_dumps(ch->steps, JSON_COMPACT | JSON_SORT_KEYS);

    jw_object(&ch->call->out);
    jw_key(&ch->call->out, "plan");
    jw_raw(&ch->call->out, steps ? steps : "[]", strlen(steps ? steps : "[]"));
    jw_object_end(&ch->call->out);
    return 0;
}
