/* Who may set which configuration key: the privilege in the key's schema, and what drives and networks need besides
 * (PVE: qemu-server, check_vm_modify_config_perm and check_storage_access). Loop thread. */
#include "api/qemu_change.h"
#include "base/propstr.h"
#include "guest/cloudinit.h"
#include "guest/cpu_models.h"
#include "network/network.h"

#define TRUNK_VLANS_MAX 512u /* of one interface: each is a look at the rights */

/* On the guest, or on the pool it is created into. */
static int require_vm(struct change *ch, priv_mask mask, struct err *e)
{
    struct api_call *c = ch->call;
    char path[AUTH_PATH_MAX];

    if (ch->pool) {
        snprintf(path, sizeof(path), "/pool/%s", ch->pool);
        if (auth_has(c->api->auth, &c->who, path, mask, false))
            return 0;
    }
    api_vm_path(ch->vmid, path);
    return api_require(c, path, mask, false, e);
}

static int require_storage(struct change *ch, const char *storage, priv_mask mask, bool any, struct err *e)
{
    char path[AUTH_PATH_MAX];

    snprintf(path, sizeof(path), "/storage/%s", storage);
    return api_require(ch->call, path, mask, any, e);
}

/* Named by the guest's own configuration, as a drive or as an unused disk. */
static bool is_in_use_here(const struct change *ch, const struct volume_id *v)
{
    const struct config *configs[] = {&ch->config, &ch->pending};
    struct volume_id other;

    for (size_t k = 0; k < ARRAY_SIZE(configs); k++)
        for (size_t i = 0; i < configs[k]->n; i++) {
            const struct config_item *it = &configs[k]->items[i];
            if ((guest_is_drive_key(it->key) || guest_is_index_key(it->key, "unused")) &&
                guest_drive_volume(it->value, &other) && other.vmid == v->vmid && streq(other.name, v->name) &&
                streq(other.storage, v->storage))
                return true;
        }
    return false;
}

/* An existing volume. Who administers the storage may use all of it; others what is for reading by everybody, and what
 * belongs to a guest that they may configure. What a guest left behind that is gone is nobody's to take, under its
 * number neither: that is looked at when the volume's age is known. */
static int check_volume(struct change *ch, const struct volume_id *v, struct err *e)
{
    struct api_call *c = ch->call;
    bool is_own = v->vmid == ch->vmid;
    struct err ignored = ERR_INIT;
    char path[24];

    if (require_storage(ch, v->storage, PRIV_M(DATASTORE_ALLOCATE), false, &ignored) == 0)
        return 0;
    if (v->content == STORAGE_CONTENT_backup || v->content == STORAGE_CONTENT_snippets)
        return require_storage(ch, v->storage, PRIV_M(DATASTORE_ALLOCATE), false, e);
    if (v->content != STORAGE_CONTENT_images)
        return require_storage(ch, v->storage, PRIV_M(DATASTORE_ALLOCATESPACE) | PRIV_M(DATASTORE_AUDIT), true, e);
    if (is_own && !ch->is_create) {
        ch->has_own_only = ch->has_own_only || !is_in_use_here(ch, v);
        return 0;
    }
    if (is_own || !guest_find(c->api->guests, v->vmid))
        return require_storage(ch, v->storage, PRIV_M(DATASTORE_ALLOCATE), false, e);
    int r = require_storage(ch, v->storage, PRIV_M(DATASTORE_AUDIT), false, e);
    api_vm_path(v->vmid, path);
    return r < 0 ? r : api_require(c, path, PRIV_M(VM_CONFIG_DISK), false, e);
}

/* Not a disk that holds a state, which has rules of its own. */
static bool is_bus_drive(const char *key)
{
    return !guest_is_index_key(key, "efidisk") && !guest_is_index_key(key, "tpmstate");
}

static int check_drive(struct change *ch, const char *key, const char *value, struct err *e)
{
    char storage[STORAGE_ID_MAX + 1];
    struct volume_id v;
    struct propstr p;
    const char *old = config_get(&ch->config, key);
    bool is_cloudinit = cloudinit_is_drive(value, ch->vmid) || cloudinit_is_wanted(value, storage, sizeof(storage));
    priv_mask mask = guest_drive_is_cdrom(value) && !is_cloudinit ? PRIV_M(VM_CONFIG_CDROM) : PRIV_M(VM_CONFIG_DISK);

    if (old && (!guest_drive_is_cdrom(old) || cloudinit_is_drive(old, ch->vmid)))
        mask |= PRIV_M(VM_CONFIG_DISK); /* a CD-ROM in the place of a disk takes the disk away */
    int r = require_vm(ch, mask, e);
    if (r < 0)
        return r;
    r = propstr_parse(value, "file", &p, e);
    if (r < 0)
        return r;
    const char *file = propstr_get(&p, "file") ? propstr_get(&p, "file") : propstr_get(&p, "volume");
    if (!file || file[0] == '/' || streq(file, "cdrom"))
        return err_set(e, -EINVAL, "param.unsupported", "only volumes of a storage can be attached");
    if (propstr_get(&p, "import-from") && (is_cloudinit || !strchr(file, ':') || volume_id_parse(file, &v, e) == 0))
        return err_set(e, -EINVAL, "param.invalid",
                       "import-from requires special syntax - use <storage ID>:0,import-from=<source>");
    if (streq(file, "none"))
        return 0;
    if (volume_id_parse(file, &v, e) == 0) {
        if (v.content != STORAGE_CONTENT_images && !guest_drive_is_cdrom(value) && is_bus_drive(key))
            return err_set(e, -EINVAL, "param.invalid", "'%.80s' can only be a CD-ROM (media=cdrom)", file);
        return check_volume(ch, &v, e);
    }
    const char *colon = strchr(file, ':');
    snprintf(storage, sizeof(storage), "%.*s", colon ? (int)(colon - file) : 0, file);
    r = require_storage(ch, storage, PRIV_M(DATASTORE_ALLOCATESPACE), false, e);
    return r == 0 && propstr_get(&p, "import-from") ? change_import_add(ch, key, &p, e) : r;
}

/* Each of the VLANs by itself: a right may be taken away on one of them. */
static int check_trunks(struct change *ch, const char *bridge, const char *trunks, struct err *e)
{
    struct net_vlans v[NET_TRUNKS_MAX];
    char path[AUTH_PATH_MAX];
    unsigned n = 0, total = 0;
    int r = 0;

    if (trunks && net_trunks_parse(trunks, v, &n) < 0)
        return err_set(e, -EINVAL, "param.invalid", "trunks: at most %u of 1 to %u, as in 5;10-20", NET_TRUNKS_MAX,
                       NET_VLAN_LAST);
    for (unsigned i = 0; i < n; i++)
        total += v[i].last - v[i].first + 1u;
    if (total > TRUNK_VLANS_MAX)
        return err_set(e, -EINVAL, "param.invalid", "trunks: more than %u VLANs", TRUNK_VLANS_MAX);
    for (unsigned i = 0; r == 0 && i < n; i++)
        for (unsigned id = v[i].first; r == 0 && id <= v[i].last; id++) {
            snprintf(path, sizeof(path), "/sdn/zones/localnetwork/%s/%u", bridge, id);
            r = api_require(ch->call, path, PRIV_M(SDN_USE), false, e);
        }
    return r;
}

/* Who uses a bridge, or one VLAN of it (PVE: GuestHelpers, check_vnet_access). */
static int check_bridge(struct change *ch, const struct propstr *p, struct err *e)
{
    const char *bridge = propstr_get(p, "bridge"), *tag = propstr_get(p, "tag");
    char path[AUTH_PATH_MAX];

    if (!bridge)
        return 0;
    snprintf(path, sizeof(path), "/sdn/zones/localnetwork/%s%s%s", bridge, tag ? "/" : "", tag ? tag : "");
    int r = api_require(ch->call, path, PRIV_M(SDN_USE), false, e);
    return r < 0 ? r : check_trunks(ch, bridge, propstr_get(p, "trunks"), e);
}

static int check_net(struct change *ch, const char *key, const char *value, struct err *e)
{
    static const char *const of_bridge[] = {"tag", "trunks", "rate", "queues"};
    struct propstr p;
    int r = require_vm(ch, PRIV_M(VM_CONFIG_NETWORK), e);

    if (r == 0)
        r = propstr_parse(value, "model", &p, e);
    if (r < 0)
        return r;
    for (size_t i = 0; !propstr_get(&p, "bridge") && i < ARRAY_SIZE(of_bridge); i++)
        if (propstr_get(&p, of_bridge[i]))
            return err_set(e, -EINVAL, "param.unsupported",
                           "'%s' needs a bridge: without one the interface is in user mode", of_bridge[i]);
    return check_bridge(ch, &p, e);
}

static int check_boot_file(struct change *ch, const char *value, struct err *e)
{
    struct volume_id v;
    int r = require_vm(ch, PRIV_M(VM_CONFIG_HWTYPE), e);

    if (r == 0)
        r = volume_id_parse(value, &v, e);
    if (r == 0 && v.content != STORAGE_CONTENT_boot)
        return err_set(e, -EINVAL, "param.invalid", "not a volume of content 'boot'");
    return r < 0 ? r : check_volume(ch, &v, e);
}

/* A device of the host is root's to give away; a mapping is who may use it. What is there already is as protected as
 * what comes. */
static int check_usb(struct change *ch, const char *value, struct err *e)
{
    char path[AUTH_PATH_MAX];
    struct propstr p;
    int r = propstr_parse(value, "host", &p, e);

    if (r < 0)
        return r;
    const char *device = propstr_get(&p, "host"), *mapping = propstr_get(&p, "mapping");
    if (device && strcasecmp(device, "spice") != 0)
        return api_require_root(ch->call, e);
    r = require_vm(ch, PRIV_M(VM_CONFIG_HWTYPE), e);
    if (r < 0 || !mapping)
        return r;
    snprintf(path, sizeof(path), "/mapping/usb/%s", mapping);
    return api_require(ch->call, path, PRIV_M(MAPPING_USE), false, e);
}

static int check_usb_change(struct change *ch, const char *key, const char *value, struct err *e)
{
    const char *old = config_get(&ch->config, key), *pending = config_get(&ch->pending, key);
    int r = require_vm(ch, PRIV_M(VM_CONFIG_HWTYPE), e);

    if (r == 0 && value)
        r = check_usb(ch, value, e);
    if (r == 0 && old)
        r = check_usb(ch, old, e);
    return r == 0 && pending ? check_usb(ch, pending, e) : r;
}

/* A custom model must be there, and is its user's. */
static int check_cpu(struct change *ch, const char *value, struct err *e)
{
    char path[AUTH_PATH_MAX];
    struct propstr p;
    int r = require_vm(ch, PRIV_M(VM_CONFIG_CPU), e);

    if (r == 0)
        r = propstr_parse(value, "cputype", &p, e);
    if (r < 0)
        return r;
    const char *type = propstr_get(&p, "cputype");
    if (type && !str_starts(type, CPU_MODEL_PREFIX) && !api_cpu_model_is_builtin(type))
        return err_set(e, -EINVAL, "param.invalid",
                       "Built-in cputype '%.40s' is not defined (missing 'custom-' prefix?)", type);
    if (!type || !str_starts(type, CPU_MODEL_PREFIX))
        return 0;
    snprintf(path, sizeof(path), "/mapping/cpu/%s", type + strlen(CPU_MODEL_PREFIX));
    r = api_require(ch->call, path, PRIV_M(MAPPING_USE), false, e);
    if (r == 0 && !cpu_models_find(guest_cpu_models(ch->call->api->guests), type))
        r = err_set(e, -EINVAL, "param.invalid", "Custom cputype '%.40s' not found", type + strlen(CPU_MODEL_PREFIX));
    return r;
}

/* Who may set addresses may set all of it (PVE: check_vm_modify_config_perm). The files of cicustom are looked at as
 * any other volume. */
static int check_cloudinit(struct change *ch, const char *key, const char *value, struct err *e)
{
    static const char *const files[] = {"user", "network", "meta", "vendor"};
    const priv_mask mask = PRIV_M(VM_CONFIG_CLOUDINIT) | PRIV_M(VM_CONFIG_NETWORK);
    char path[AUTH_PATH_MAX];
    struct volume_id v;
    int r = 0;

    snprintf(path, sizeof(path), "/pool/%s", ch->pool ? ch->pool : "");
    if (!ch->pool || !auth_has(ch->call->api->auth, &ch->call->who, path, mask, true)) {
        api_vm_path(ch->vmid, path);
        r = api_require(ch->call, path, mask, true, e);
    }
    for (size_t i = 0; r == 0 && value && streq(key, "cicustom") && i < ARRAY_SIZE(files); i++)
        if (cloudinit_snippet(value, files[i], &v))
            r = check_volume(ch, &v, e);
    return r;
}

int change_check_key(struct change *ch, const struct api_param *p, const char *key, const char *value, struct err *e)
{
    unsigned bit;

    if (value && guest_is_drive_key(key))
        return check_drive(ch, key, value, e);
    if (value && guest_is_index_key(key, "net"))
        return check_net(ch, key, value, e);
    if (guest_is_index_key(key, "usb"))
        return check_usb_change(ch, key, value, e);
    if (value && streq(key, "cpu"))
        return check_cpu(ch, value, e);
    if (cloudinit_is_key(key))
        return check_cloudinit(ch, key, value, e);
    if (value && (streq(key, "kernel") || streq(key, "initrd")))
        return check_boot_file(ch, value, e);
    if (value && guest_is_index_key(key, "serial") && !streq(value, "socket"))
        return err_set(e, -EINVAL, "param.unsupported", "host serial devices are not supported; use 'socket'");
    if (value && guest_is_index_key(key, "unused"))
        return err_set(e, -EINVAL, "param.unsupported", "unused volumes are recorded by the server");
    if (streq(p->privilege, "root"))
        return api_require_root(ch->call, e);
    if (!priv_find(p->privilege, &bit))
        return err_set(e, -EPERM, "auth.denied", "Permission check failed");
    int r = require_vm(ch, UINT64_C(1) << bit, e);
    /* When a guest starts with the host is the host's behaviour too. */
    return r == 0 && streq(key, "startup") ? api_require(ch->call, "/", PRIV_M(SYS_MODIFY), false, e) : r;
}
