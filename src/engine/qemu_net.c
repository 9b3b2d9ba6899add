/* Network interfaces of the qemu engine: user mode (slirp, nothing forwarded from the host) or a passed tap descriptor.
 * Pure. */
#include "engine/qemu_priv.h"

static const struct {
    const char *model, *driver;
} models[] = {
    {"virtio", "virtio-net-pci"}, {"e1000", "e1000"},
    {"e1000e", "e1000e"},         {"e1000-82540em", "e1000-82540em"},
    {"vmxnet3", "vmxnet3"},       {"e1000-82544gc", "e1000-82544gc"},
    {"rtl8139", "rtl8139"},       {"e1000-82545em", "e1000-82545em"},
    {"pcnet", "pcnet"},           {"ne2k_pci", "ne2k_pci"},
    {"i82551", "i82551"},         {"i82557b", "i82557b"},
    {"i82559er", "i82559er"},
};

static const char *driver_of(const char *model)
{
    for (size_t i = 0; i < ARRAY_SIZE(models); i++)
        if (streq(models[i].model, model))
            return models[i].driver;
    return NULL;
}

static int check_rate(const char *key, const char *value, struct err *e)
{
    char *end = NULL;
    double rate = value ? strtod(value, &end) : 0;

    if (value && (*end || !(rate >= 0 && rate <= 100000)))
        return err_set(e, -EINVAL, "param.invalid", "%s: rate is a number of megabytes a second", key);
    return 0;
}

/* bridge, tag and firewall are the host's side: not of this engine. */
int qemu_check_net(const char *key, const char *value, struct err *e)
{
    static const char *const refused[] = {"ne2k_isa"};
    static const char *const of_bridge[] = {"tag", "trunks", "rate", "queues"};
    struct propstr p;
    uint64_t mtu, queues;
    int r = propstr_parse(value, "model", &p, e);

    if (r < 0)
        return err_wrap(e, r, "%s", key);
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        if (propstr_get(&p, refused[i]))
            return engine_unsupported(e, "qemu", key, "%s", refused[i]);
    for (size_t i = 0; i < ARRAY_SIZE(of_bridge) && !propstr_get(&p, "bridge"); i++)
        if (propstr_get(&p, of_bridge[i]))
            return engine_unsupported(e, "qemu", key, "%s without bridge", of_bridge[i]);
    const char *model = propstr_get(&p, "model");
    if (model && !driver_of(model))
        return engine_unsupported(e, "qemu", key, "model %.32s", model);
    r = propstr_get_u64(&p, "mtu", 0, &mtu, e);
    if (r == 0 && mtu > 65520)
        r = err_set(e, -EINVAL, "param.invalid", "%s: mtu is at most 65520", key);
    if (r == 0)
        r = propstr_get_u64(&p, "queues", 0, &queues, e);
    if (r == 0 && queues > ENGINE_QUEUES_MAX)
        return engine_unsupported(e, "qemu", key, "queues above %u", ENGINE_QUEUES_MAX);
    return r < 0 ? r : check_rate(key, propstr_get(&p, "rate"), e);
}

/* "20:21:22": the descriptors' numbers in QEMU. */
static int add_fds(struct qemu_build *q, const int *fds, unsigned n, char *dst, size_t cap, struct err *e)
{
    int number, r = 0;
    size_t at = 0;

    for (unsigned i = 0; r == 0 && i < n; i++) {
        r = qemu_add_fd(q, fds[i], &number, e);
        if (r == 0)
            at += (size_t)snprintf(dst + at, cap - at, "%s%d", i ? ":" : "", number);
    }
    return r;
}

static int add_tap(struct qemu_build *q, const struct engine_net *n, struct err *e)
{
    char taps[ENGINE_QUEUES_MAX * 4], vhosts[ENGINE_QUEUES_MAX * 4];
    const char *s = n->n_taps > 1 ? "s" : "";
    bool has_vhost = streq(n->model, "virtio");

    for (unsigned i = 0; i < n->n_taps; i++)
        has_vhost = has_vhost && n->vhost_fds[i] >= 0;
    int r = add_fds(q, n->tap_fds, n->n_taps, taps, sizeof(taps), e);
    if (r == 0 && has_vhost)
        r = add_fds(q, n->vhost_fds, n->n_taps, vhosts, sizeof(vhosts), e);
    if (r < 0)
        return r;
    if (has_vhost)
        qemu_argf(q, "tap,id=%s,fd%s=%s,vhost=on,vhostfd%s=%s", n->key, s, taps, s, vhosts);
    else
        qemu_argf(q, "tap,id=%s,fd%s=%s", n->key, s, taps);
    return 0;
}

static int add_backend(struct qemu_build *q, const struct engine_net *n, struct err *e)
{
    qemu_arg(q, "-netdev");
    if (n->n_taps)
        return add_tap(q, n, e);
    qemu_argf(q, "user,id=%s", n->key);
    return 0;
}

int qemu_net_device(struct qemu_build *q, const struct engine_net *n, struct err *e)
{
    const char *driver = driver_of(n->model);
    unsigned boot = qemu_boot_index(q, n->key);
    struct qemu_json d;

    if (!driver)
        return engine_unsupported(e, "qemu", n->key, "model %.32s", n->model);
    qemu_device_begin(&d, driver, n->key);
    jw_kv_str(&d.w, "netdev", n->key);
    jw_kv_str(&d.w, "mac", n->mac);
    int r = qemu_device_at(q, &d, QEMU_NET, n->index, e);
    /* The boot ROM is of use only to what boots from it, and is not installed everywhere. */
    if (boot)
        jw_kv_u64(&d.w, "bootindex", boot);
    else
        jw_kv_str(&d.w, "romfile", "");
    /* 1 means "as the bridge", which the tap has already. */
    if (n->mtu > 1 && streq(n->model, "virtio"))
        jw_kv_u64(&d.w, "host_mtu", n->mtu);
    if (n->n_taps > 1) {
        jw_key(&d.w, "mq");
        jw_bool(&d.w, true);
        jw_kv_u64(&d.w, "vectors", 2 * n->n_taps + 2);
    }
    qemu_device_end(q, &d);
    return r;
}

static int add_net(struct qemu_build *q, const struct engine_net *n, struct err *e)
{
    int r = driver_of(n->model) ? add_backend(q, n, e) : engine_unsupported(e, "qemu", n->key, "model %.32s", n->model);

    return r < 0 ? r : qemu_net_device(q, n, e);
}

int qemu_add_nets(struct qemu_build *q, struct err *e)
{
    for (size_t i = 0; i < q->vm->n_nets; i++) {
        int r = add_net(q, &q->vm->nets[i], e);
        if (r < 0)
            return err_wrap(e, r, "%s", q->vm->nets[i].key);
    }
    return 0;
}
