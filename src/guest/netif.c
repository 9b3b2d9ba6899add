/* See netif.h. Called by launch.c at a start and by live.c below a running guest. */
#include "guest/netif.h"

_Static_assert(ENGINE_QUEUES_MAX == NET_QUEUES_MAX, "a tap fits an interface");

static const char *const models[] = {"virtio",        "e1000",         "e1000e",        "rtl8139", "vmxnet3",
                                     "e1000-82540em", "e1000-82544gc", "e1000-82545em", "i82551",  "i82557b",
                                     "i82559er",      "ne2k_pci",      "ne2k_isa",      "pcnet"};

/* bridge=: a tap of this guest's own on it. Without: QEMU's user mode. */
static int parse_tap(const struct guest_mgr *m, uint32_t vmid, uint32_t uid_slot, struct netif *n, struct err *e)
{
    const char *rate = propstr_get(&n->text, "rate"), *trunks = propstr_get(&n->text, "trunks");
    uint64_t queues, tag;
    int r = propstr_get_u64(&n->text, "queues", 1, &queues, e);

    if (r == 0)
        r = propstr_get_u64(&n->text, "tag", 0, &tag, e);
    if (r < 0)
        return r;
    n->tap = (struct net_tap_spec){.instance = m->env.instance,
                                   .vmid = vmid,
                                   .index = n->net.index,
                                   .owner = guest_uid(m, uid_slot),
                                   .bridge = propstr_get(&n->text, "bridge"),
                                   .n_queues = 1,
                                   .tag = (uint16_t)tag,
                                   .mtu = n->net.mtu > 1 ? n->net.mtu : 0};
    if (streq(n->net.model, "virtio") && queues > 1)
        n->tap.n_queues = (unsigned)queues;
    n->tap.rate_bytes_s = rate ? (uint64_t)(strtod(rate, NULL) * 1024 * 1024) : 0;
    if (trunks && net_trunks_parse(trunks, n->tap.trunks, &n->tap.n_trunks) < 0)
        return err_set(e, -EINVAL, "param.invalid", "'%.40s' is not a list of VLANs", trunks);
    return 0;
}

/* "virtio=MAC,…" or "model=virtio,macaddr=MAC,…". */
int netif_parse(const struct guest_mgr *m, uint32_t vmid, uint32_t uid_slot, const struct config_item *it,
                struct netif *ret, struct err *e)
{
    uint64_t mtu = 0;

    ret->net = (struct engine_net){.model = "virtio"};
    int r = propstr_parse(it->value, "model", &ret->text, e);
    if (r < 0)
        return r;
    const char *model = propstr_get(&ret->text, "model"), *mac = propstr_get(&ret->text, "macaddr");
    for (size_t i = 0; i < ARRAY_SIZE(models); i++) {
        const char *value = propstr_get(&ret->text, models[i]);
        if (value || (model && streq(model, models[i])))
            ret->net.model = models[i];
        if (value)
            mac = value;
    }
    r = propstr_get_bool(&ret->text, "link_down", false, &ret->net.is_link_down, e);
    if (r == 0)
        r = propstr_get_u64(&ret->text, "mtu", 0, &mtu, e);
    if (r < 0 || !mac || str_copy(ret->net.mac, sizeof(ret->net.mac), mac) < 0 ||
        str_copy(ret->net.key, sizeof(ret->net.key), it->key) < 0)
        return err_set(e, -EINVAL, "param.invalid", "not a valid network interface");
    ret->net.mtu = (uint32_t)mtu;
    ret->net.index = (unsigned)strtoul(it->key + 3, NULL, 10);
    return parse_tap(m, vmid, uid_slot, ret, e);
}

int netif_open(struct netif *n, struct err *e)
{
    struct net_tap t;
    int r = n->tap.bridge ? net_tap_open(&n->tap, &t, e) : 0;

    if (r < 0 || !n->tap.bridge)
        return r;
    n->net.n_taps = t.n;
    memcpy(n->net.tap_fds, t.fds, sizeof(n->net.tap_fds));
    memcpy(n->net.vhost_fds, t.vhost_fds, sizeof(n->net.vhost_fds));
    n->net.mtu = n->net.mtu == 1 ? t.mtu : n->net.mtu;
    return 0;
}

/* Keys of the host's side. With an MTU the bridge belongs to the device: it was told what fits that bridge. */
static bool is_hosts_side(const struct propstr *p, const char *key)
{
    static const char *const keys[] = {"link_down", "firewall", "tag", "trunks", "rate"};

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (streq(keys[i], key))
            return true;
    return streq(key, "bridge") && !propstr_get(p, "mtu");
}

/* Everything of a that the device shows is in b. */
static bool is_within(const struct propstr *a, const struct propstr *b)
{
    for (size_t i = 0; i < a->n; i++) {
        const char *key = a->items[i].key, *other = propstr_get(b, key);
        if (!is_hosts_side(a, key) && (!other || !streq(other, a->items[i].value)))
            return false;
    }
    return true;
}

bool netif_is_same_device(const char *a, const char *b)
{
    struct propstr p, q;
    struct err e = ERR_INIT;

    if (propstr_parse(a, "model", &p, &e) < 0 || propstr_parse(b, "model", &q, &e) < 0)
        return false;
    return is_within(&p, &q) && is_within(&q, &p) && !propstr_get(&p, "bridge") == !propstr_get(&q, "bridge");
}
