/* The configuration of networks as data: fields of an interface in one table, from and to the state's JSON, and what
 * can be checked without asking the kernel. Pure. */
#include <arpa/inet.h>
#include <jansson.h>

#include "base/json.h"
#include "network/link_priv.h"

#define CONFIG_BYTES_MAX (256u * 1024u)
#define MTU_MIN          1280u
#define MTU_MAX          65520u

static const char *const type_names[] = {
    [NET_BRIDGE] = "bridge", [NET_ETH] = "eth", [NET_VLAN] = "vlan", [NET_BOND] = "bond"};

enum field_kind { TEXT, NUMBER, FLAG };
static const struct {
    const char *name;
    enum field_kind kind;
    size_t at, size;
} fields[] = {
#define F(name, kind, member)                                                                                          \
    {                                                                                                                  \
        name, kind, offsetof(struct net_iface, member), sizeof(((struct net_iface *)0)->member)                        \
    }
    F("cidr", TEXT, cidr),
    F("cidr6", TEXT, cidr6),
    F("gateway", TEXT, gateway),
    F("gateway6", TEXT, gateway6),
    F("bridge_ports", TEXT, ports),
    F("bond_mode", TEXT, bond_mode),
    F("bond_xmit_hash_policy", TEXT, bond_hash),
    F("bond-primary", TEXT, bond_primary),
    F("vlan-raw-device", TEXT, raw_device),
    F("comments", TEXT, comments),
    F("dhcp-range", TEXT, dhcp_range),
    F("mtu", NUMBER, mtu),
    F("vlan-id", NUMBER, vlan_id),
    F("autostart", FLAG, is_autostart),
    F("bridge_vlan_aware", FLAG, is_vlan_aware),
    F("nat", FLAG, is_nat),
#undef F
};

const char *net_type_name(enum net_type t)
{
    return type_names[t];
}

bool net_type_parse(const char *s, enum net_type *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(type_names); i++)
        if (streq(s, type_names[i])) {
            *ret = (enum net_type)i;
            return true;
        }
    return false;
}

bool net_iface_is_equal(const struct net_iface *a, const struct net_iface *b)
{
    if (!streq(a->name, b->name) || a->type != b->type)
        return false;
    for (size_t k = 0; k < ARRAY_SIZE(fields); k++) {
        const char *x = (const char *)a + fields[k].at, *y = (const char *)b + fields[k].at;
        if (fields[k].kind == TEXT ? !streq(x, y) : memcmp(x, y, fields[k].size) != 0)
            return false;
    }
    return true;
}

void net_config_done(struct net_config *c)
{
    free(c->items);
    *c = (struct net_config){0};
}

int net_config_copy(const struct net_config *from, struct net_config *ret)
{
    struct net_config c = {.n = from->n};

    if (from->n) {
        c.items = reallocarray(NULL, from->n, sizeof(*c.items));
        if (!c.items)
            return -ENOMEM;
        memcpy(c.items, from->items, from->n * sizeof(*c.items));
    }
    *ret = c;
    return 0;
}

static size_t place_of(const struct net_config *c, const char *name)
{
    size_t i = 0;

    while (i < c->n && strcmp(c->items[i].name, name) < 0)
        i++;
    return i;
}

const struct net_iface *net_config_find(const struct net_config *c, const char *name)
{
    size_t i = place_of(c, name);

    return i < c->n && streq(c->items[i].name, name) ? &c->items[i] : NULL;
}

int net_config_set(struct net_config *c, const struct net_iface *iface, struct err *e)
{
    size_t i = place_of(c, iface->name);

    if (i == c->n || !streq(c->items[i].name, iface->name)) {
        if (c->n == NET_IFACES_MAX)
            return err_set(e, -E2BIG, "net.full", "more than %u interfaces", NET_IFACES_MAX);
        void *grown = reallocarray(c->items, c->n + 1, sizeof(*c->items));
        if (!grown)
            return err_set(e, -ENOMEM, NULL, "out of memory");
        c->items = grown;
        memmove(&c->items[i + 1], &c->items[i], (c->n - i) * sizeof(*c->items));
        c->n++;
    }
    c->items[i] = *iface;
    return 0;
}

void net_config_remove(struct net_config *c, const char *name)
{
    size_t i = place_of(c, name);

    if (i == c->n || !streq(c->items[i].name, name))
        return;
    memmove(&c->items[i], &c->items[i + 1], (c->n - i - 1) * sizeof(*c->items));
    c->n--;
}

/* ---- JSON ---- */

static void write_iface(struct jw *w, const struct net_iface *i)
{
    jw_key(w, i->name);
    jw_object(w);
    jw_kv_str(w, "type", net_type_name(i->type));
    for (size_t k = 0; k < ARRAY_SIZE(fields); k++) {
        const char *at = (const char *)i + fields[k].at;
        uint32_t number;
        memcpy(&number, at, fields[k].kind == NUMBER ? sizeof(number) : 0);
        if (fields[k].kind == TEXT && at[0])
            jw_kv_str(w, fields[k].name, at);
        else if (fields[k].kind == NUMBER && number)
            jw_kv_u64(w, fields[k].name, number);
        else if (fields[k].kind == FLAG && *(const bool *)at)
            jw_kv_int(w, fields[k].name, 1);
    }
    jw_object_end(w);
}

char *net_config_format(const struct net_config *c)
{
    struct buf b;
    struct jw w;

    buf_init(&b, CONFIG_BYTES_MAX);
    jw_init(&w, &b);
    jw_object(&w);
    jw_kv_int(&w, "format", 1);
    jw_key(&w, "interfaces");
    jw_object(&w);
    for (size_t i = 0; i < c->n; i++)
        write_iface(&w, &c->items[i]);
    jw_object_end(&w);
    jw_object_end(&w);
    char *text = buf_take(&b);
    buf_done(&b);
    return text;
}

static int read_field(json_t *value, size_t k, struct net_iface *i)
{
    char *at = (char *)i + fields[k].at;

    if (fields[k].kind == TEXT)
        return json_is_string(value) ? str_copy(at, fields[k].size, json_string_value(value)) : -EINVAL;
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > UINT32_MAX)
        return -EINVAL;
    uint32_t number = (uint32_t)json_integer_value(value);
    if (fields[k].kind == NUMBER)
        memcpy(at, &number, sizeof(number));
    else
        *(bool *)at = number != 0;
    return 0;
}

static int read_iface(const char *name, json_t *object, struct net_iface *ret)
{
    const char *type = json_string_value(json_object_get(object, "type"));
    struct net_iface i = {.vlan_id = 0};

    if (!type || !net_type_parse(type, &i.type) || str_copy(i.name, sizeof(i.name), name) < 0)
        return -EINVAL;
    for (size_t k = 0; k < ARRAY_SIZE(fields); k++) {
        json_t *value = json_object_get(object, fields[k].name);
        if (value && read_field(value, k, &i) < 0)
            return -EINVAL;
    }
    *ret = i;
    return 0;
}

int net_config_parse(const char *json, struct net_config *ret)
{
    json_error_t je;
    json_t *root = json_loads(json, JSON_REJECT_DUPLICATES, &je), *object;
    struct net_config c = {0};
    struct err e = ERR_INIT;
    const char *name;
    int r = root && json_integer_value(json_object_get(root, "format")) == 1 ? 0 : -EINVAL;

    json_object_foreach(json_object_get(root, "interfaces"), name, object)
    {
        struct net_iface i;
        if (r == 0)
            r = read_iface(name, object, &i);
        if (r == 0)
            r = net_config_set(&c, &i, &e);
    }
    json_decref(root);
    if (r < 0)
        net_config_done(&c);
    else
        *ret = c;
    return r;
}

/* ---- checks ---- */

static bool looks_like_tap(const char *s)
{
    size_t n = strlen(s);

    return (s[0] == 'h' || s[0] == 'i') && n >= 9 && strspn(s + 1, "0123456789abcdef") >= 4 &&
           strspn(s + 5, "0123456789") >= n - 6;
}

bool net_name_is_valid(const char *s)
{
    size_t n = strlen(s);

    if (n < 2 || n >= IFNAMSIZ || !((s[0] >= 'a' && s[0] <= 'z') || (s[0] >= 'A' && s[0] <= 'Z')))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= '0' && s[i] <= '9') ||
              s[i] == '.' || s[i] == '_' || s[i] == '-'))
            return false;
    return !streq(s, "lo") && !streq(s, "all") && !streq(s, "default") && !looks_like_tap(s);
}

static int invalid(struct err *e, const struct net_iface *i, const char *what)
{
    return err_set(e, -EINVAL, "param.invalid", "%s: %s", i->name, what);
}

static int check_family(const struct net_iface *i, const char *cidr, const char *gateway, int family, struct err *e)
{
    unsigned char bytes[16];
    struct net_address a;

    if (cidr[0] && (net_address_parse(cidr, &a) < 0 || a.family != family || a.prefix == 0))
        return invalid(e, i, "not an address with a prefix length");
    if (gateway[0] && (!cidr[0] || inet_pton(family, gateway, bytes) != 1))
        return invalid(e, i, "a gateway is an address, and needs one of the interface");
    return 0;
}

static uint32_t host_order(const unsigned char *bytes)
{
    uint32_t v;

    memcpy(&v, bytes, sizeof(v));
    return ntohl(v);
}

/* FIRST-LAST inside the interface's network, without its own address. */
static int check_dhcp(const struct net_iface *i, struct err *e)
{
    char text[sizeof(i->dhcp_range)];
    unsigned char first[4], last[4];
    struct net_address a;

    if (!i->dhcp_range[0])
        return 0;
    snprintf(text, sizeof(text), "%s", i->dhcp_range);
    char *dash = strchr(text, '-');
    if (i->type != NET_BRIDGE || !i->cidr[0] || net_address_parse(i->cidr, &a) < 0 || !dash)
        return invalid(e, i, "dhcp-range is FIRST-LAST, of a bridge with an address");
    *dash = 0;
    if (inet_pton(AF_INET, text, first) != 1 || inet_pton(AF_INET, dash + 1, last) != 1 || a.prefix > 30)
        return invalid(e, i, "dhcp-range is FIRST-LAST, two addresses");
    uint32_t mask = ~UINT32_C(0) << (32 - a.prefix), own = host_order(a.bytes);
    uint32_t from = host_order(first), to = host_order(last);
    if ((from & mask) != (own & mask) || (to & mask) != (own & mask) || from > to || (own >= from && own <= to))
        return invalid(e, i, "dhcp-range lies in the bridge's own network, beside its address");
    return 0;
}

static int check_ports(const struct net_iface *i, struct err *e)
{
    char text[sizeof(i->ports)], *save = NULL;

    snprintf(text, sizeof(text), "%s", i->ports);
    for (char *p = strtok_r(text, " ", &save); p; p = strtok_r(NULL, " ", &save))
        if (!net_name_is_valid(p) || streq(p, i->name))
            return invalid(e, i, "a port is the name of another interface");
    return 0;
}

static int check_bond(const struct net_iface *i, struct err *e)
{
    uint8_t mode, hash;

    if (i->type != NET_BOND)
        return i->bond_mode[0] || i->bond_hash[0] || i->bond_primary[0]
                   ? invalid(e, i, "bond_mode, bond_xmit_hash_policy and bond-primary are a bond's")
                   : 0;
    if (!i->ports[0])
        return invalid(e, i, "a bond needs slaves");
    if (net_bond_mode(i->bond_mode, &mode) < 0)
        return invalid(e, i, "not a bond_mode of the kernel's");
    if (i->bond_hash[0] && (net_bond_hash(i->bond_hash, &hash) < 0 || !net_bond_has_hash(mode)))
        return invalid(e, i, "bond_xmit_hash_policy is for balance-xor, 802.3ad and balance-tlb");
    if (i->bond_primary[0] && (!net_bond_has_primary(mode) || !net_has_word(i->ports, i->bond_primary)))
        return invalid(e, i, "bond-primary is one of the slaves, in mode active-backup");
    return 0;
}

int net_iface_check(const struct net_iface *i, struct err *e)
{
    int r = net_name_is_valid(i->name) ? 0 : err_set(e, -EINVAL, "param.invalid", "not a name for an interface");

    if (r == 0)
        r = check_family(i, i->cidr, i->gateway, AF_INET, e);
    if (r == 0)
        r = check_family(i, i->cidr6, i->gateway6, AF_INET6, e);
    if (r == 0)
        r = check_dhcp(i, e);
    if (r == 0)
        r = check_ports(i, e);
    if (r == 0)
        r = check_bond(i, e);
    if (r < 0)
        return r;
    if (i->mtu && (i->mtu < MTU_MIN || i->mtu > MTU_MAX))
        return invalid(e, i, "mtu is 1280 to 65520");
    if (i->type != NET_BRIDGE && i->type != NET_BOND && i->ports[0])
        return invalid(e, i, "only bridges have ports, and bonds slaves");
    if (i->type != NET_BRIDGE && (i->is_vlan_aware || i->is_nat))
        return invalid(e, i, "VLAN awareness and NAT are a bridge's");
    if (i->is_nat && !i->cidr[0])
        return invalid(e, i, "NAT needs an address");
    if (i->type == NET_VLAN && (!i->vlan_id || i->vlan_id > 4094 || !net_name_is_valid(i->raw_device)))
        return invalid(e, i, "a VLAN needs vlan-raw-device and vlan-id");
    return 0;
}

bool net_has_word(const char *words, const char *word)
{
    size_t n = strlen(word);

    for (const char *p = words + strspn(words, " "); *p; p += strspn(p, " ")) {
        size_t len = strcspn(p, " ");
        if (len == n && memcmp(p, word, n) == 0)
            return true;
        p += len;
    }
    return false;
}

/* An interface has one master. */
static int check_shared(const struct net_config *c, const struct net_iface *i, struct err *e)
{
    char text[sizeof(i->ports)], *save = NULL;

    snprintf(text, sizeof(text), "%s", i->ports);
    for (char *p = strtok_r(text, " ", &save); p; p = strtok_r(NULL, " ", &save))
        for (size_t k = 0; k < c->n; k++)
            if (&c->items[k] != i && net_has_word(c->items[k].ports, p))
                return err_set(e, -EINVAL, "param.invalid", "'%s' is a port of '%s' and of '%s'", p, i->name,
                               c->items[k].name);
    return 0;
}

int net_config_check(const struct net_config *c, struct err *e)
{
    const struct net_iface *gateway = NULL;

    for (size_t i = 0; i < c->n; i++) {
        int r = net_iface_check(&c->items[i], e);
        if (r == 0)
            r = check_shared(c, &c->items[i], e);
        if (r < 0)
            return r;
        if (c->items[i].gateway[0] && gateway)
            return err_set(e, -EINVAL, "param.invalid", "default gateway already exists on interface '%s'",
                           gateway->name);
        gateway = c->items[i].gateway[0] ? &c->items[i] : gateway;
    }
    return 0;
}
