/* The files that cloud-init reads, from a configuration: user-data (cloud-config), network-config (version 1) and
 * meta-data. Every text of a client's stands in quotes unless it is a plain word. Pure.
 * PVE: qemu-server, QemuServer/Cloudinit.pm; cloud-init's documentation of NoCloud and of network config version 1. */
#include <arpa/inet.h>
#include <ctype.h>
#include <sodium.h>

#include "base/propstr.h"
#include "guest/cloudinit.h"

#define NETS_MAX 32u

/* ---- YAML ---- */

/* YAML 1.1 takes these for something else than text. */
static bool is_reserved(const char *s)
{
    static const char *const words[] = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"};

    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strcasecmp(words[i], s) == 0)
            return true;
    return false;
}

static bool is_plain(const char *s)
{
    for (const char *p = s; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
            return false;
    return isalpha((unsigned char)*s) && !is_reserved(s);
}

/* In single quotes nothing means anything but the quote itself (YAML 1.1, 5.7: no escapes there). */
static void quote_n(struct buf *out, const char *s, size_t n)
{
    buf_append_char(out, '\'');
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\'')
            buf_append_char(out, '\'');
        if ((unsigned char)s[i] >= ' ' && s[i] != 0x7f)
            buf_append_char(out, s[i]);
    }
    buf_append_char(out, '\'');
}

static void quote(struct buf *out, const char *s)
{
    quote_n(out, s, strlen(s));
}

static void put_member(struct buf *out, const char *key, const char *value)
{
    buf_printf(out, "%s: ", key);
    if (is_plain(value))
        buf_append_str(out, value);
    else
        quote(out, value);
    buf_append_char(out, '\n');
}

/* The next word of a list; false at its end. */
static bool next_word(const char **list, char *word, size_t cap)
{
    *list += strspn(*list, " ,;\t");
    size_t n = strcspn(*list, " ,;\t");

    snprintf(word, cap, "%.*s", (int)n, *list);
    *list += n;
    return n > 0;
}

/* ---- the host ---- */

static const char *after(const char *line, const char *word)
{
    size_t n = strlen(word);

    return str_starts(line, word) && (line[n] == ' ' || line[n] == '\t') ? line + n : NULL;
}

/* A guest cannot ask a server that listens on the host's own loopback address. */
static bool is_for_others(const char *server)
{
    unsigned char bytes[16];
    bool is_v4 = inet_pton(AF_INET, server, bytes) == 1;

    if (is_v4)
        return bytes[0] != 127;
    return inet_pton(AF_INET6, server, bytes) == 1 && !streq(server, "::1");
}

void cloudinit_host_parse(const char *text, struct cloudinit_host *ret)
{
    *ret = (struct cloudinit_host){0};
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        char copy[256];
        snprintf(copy, sizeof(copy), "%.*s", (int)strcspn(line, "\r\n"), line);
        const char *servers = after(copy, "nameserver"), *search = after(copy, "search");
        if (!search)
            search = after(copy, "domain");
        if (search && !ret->search[0])
            snprintf(ret->search, sizeof(ret->search), "%s", search + strspn(search, " \t"));
        char *word = ret->servers[ret->n_servers % ARRAY_SIZE(ret->servers)];
        if (servers && ret->n_servers < ARRAY_SIZE(ret->servers) &&
            next_word(&servers, word, sizeof(ret->servers[0])) && is_for_others(word))
            ret->n_servers++;
    }
}

/* ---- user-data ---- */

/* "web.example.com" is a host and its domain; without one the first search domain is it. */
static void put_names(const struct config *c, uint32_t vmid, struct buf *out)
{
    const char *name = config_get(c, "name"), *search = config_get(c, "searchdomain");
    char host[256], fqdn[520], domain[256];

    snprintf(host, sizeof(host), "VM%u", vmid);
    if (name)
        snprintf(host, sizeof(host), "%s", name);
    char *dot = strchr(host, '.');
    fqdn[0] = 0;
    if (dot)
        snprintf(fqdn, sizeof(fqdn), "%s", host);
    else if (search && next_word(&search, domain, sizeof(domain)))
        snprintf(fqdn, sizeof(fqdn), "%s.%s", host, domain);
    if (dot)
        *dot = 0;
    put_member(out, "hostname", host);
    buf_append_str(out, "manage_etc_hosts: true\n");
    if (fqdn[0])
        put_member(out, "fqdn", fqdn);
}

static void put_sshkeys(const char *value, struct buf *out)
{
    autobuf struct buf keys;
    struct err e = ERR_INIT;

    buf_init(&keys, CLOUDINIT_SSHKEYS_MAX + CLOUDINIT_KEYS_MAX);
    if (cloudinit_sshkeys(value, &keys, &e) < 0)
        return; /* not in a configuration that was checked */
    buf_append_str(out, "ssh_authorized_keys:\n");
    for (const char *line = buf_str(&keys); *line; line += strcspn(line, "\n") + 1) {
        buf_append_str(out, "  - ");
        quote_n(out, line, strcspn(line, "\n"));
        buf_append_char(out, '\n');
    }
}

void cloudinit_user(const struct config *c, uint32_t vmid, bool is_hidden, struct buf *out)
{
    const char *user = config_get(c, "ciuser"), *password = config_get(c, "cipassword"),
               *keys = config_get(c, "sshkeys"), *upgrade = config_get(c, "ciupgrade");
    bool is_root = user && streq(user, "root");

    buf_append_str(out, "#cloud-config\n");
    put_names(c, vmid, out);
    if (user)
        put_member(out, "user", user);
    if (is_root)
        buf_append_str(out, "disable_root: false\n");
    if (password)
        put_member(out, "password", is_hidden ? CLOUDINIT_HIDDEN : password);
    if (keys)
        put_sshkeys(keys, out);
    buf_append_str(out, "chpasswd:\n  expire: false\n");
    if (!is_root)
        buf_append_str(out, "users:\n  - default\n");
    if (!upgrade || !streq(upgrade, "0"))
        buf_append_str(out, "package_upgrade: true\n");
}

/* ---- network-config ---- */

/* The address in net0's value, whatever the model's key is: the only value that looks like one. */
static bool find_mac(const char *value, char mac[18])
{
    struct err e = ERR_INIT;
    struct propstr p;

    if (propstr_parse(value, "model", &p, &e) < 0)
        return false;
    for (size_t i = 0; i < p.n; i++) {
        const char *v = p.items[i].value;
        if (strlen(v) != 17 || strspn(v, "0123456789abcdefABCDEF:") != 17)
            continue;
        for (size_t k = 0; k <= 17; k++)
            mac[k] = (char)tolower((unsigned char)v[k]);
        return true;
    }
    return false;
}

static void put_quoted(struct buf *out, const char *before, const char *value)
{
    buf_append_str(out, before);
    quote(out, value);
    buf_append_char(out, '\n');
}

static void put_subnet4(const char *ip, const char *gw, struct buf *out)
{
    char address[64], mask[INET_ADDRSTRLEN];
    unsigned bits = (unsigned)strtoul(ip + strcspn(ip, "/") + (strchr(ip, '/') != NULL), NULL, 10);
    struct in_addr m = {.s_addr = htonl(bits ? ~0u << (32 - (bits > 32 ? 32 : bits)) : 0)};

    snprintf(address, sizeof(address), "%.*s", (int)strcspn(ip, "/"), ip);
    inet_ntop(AF_INET, &m, mask, sizeof(mask));
    buf_append_str(out, "      - type: static\n");
    put_quoted(out, "        address: ", address);
    put_quoted(out, "        netmask: ", mask);
    if (gw)
        put_quoted(out, "        gateway: ", gw);
}

static void put_subnets(const struct propstr *p, struct buf *out)
{
    const char *ip = propstr_get(p, "ip"), *ip6 = propstr_get(p, "ip6"), *gw6 = propstr_get(p, "gw6");

    if (ip && streq(ip, "dhcp"))
        buf_append_str(out, "      - type: dhcp4\n");
    else if (ip)
        put_subnet4(ip, propstr_get(p, "gw"), out);
    if (ip6 && streq(ip6, "dhcp")) {
        buf_append_str(out, "      - type: dhcp6\n");
    } else if (ip6 && streq(ip6, "auto")) {
        buf_append_str(out, "      - type: ipv6_slaac\n");
    } else if (ip6) {
        buf_append_str(out, "      - type: static6\n");
        put_quoted(out, "        address: ", ip6);
        if (gw6)
            put_quoted(out, "        gateway: ", gw6);
    }
}

static void put_interface(unsigned index, const char *net, const char *ipconfig, struct buf *out)
{
    struct err e = ERR_INIT;
    struct propstr p;
    char mac[18];

    if (!find_mac(net, mac) || propstr_parse(ipconfig, NULL, &p, &e) < 0)
        return;
    buf_printf(out, "  - type: physical\n    name: eth%u\n", index);
    put_quoted(out, "    mac_address: ", mac);
    buf_append_str(out, "    subnets:\n");
    put_subnets(&p, out);
}

static void put_words(const char *list, struct buf *out)
{
    char word[256];

    while (next_word(&list, word, sizeof(word)))
        put_quoted(out, "      - ", word);
}

static void put_servers(const struct config *c, const struct cloudinit_host *h, struct buf *out)
{
    const char *servers = config_get(c, "nameserver"), *search = config_get(c, "searchdomain");

    if (!search)
        search = h->search;
    if (!servers && !h->n_servers && !*search)
        return;
    buf_append_str(out, "  - type: nameserver\n");
    if (servers || h->n_servers)
        buf_append_str(out, "    address:\n");
    if (servers)
        put_words(servers, out);
    for (size_t i = 0; !servers && i < h->n_servers; i++)
        put_quoted(out, "      - ", h->servers[i]);
    if (*search) {
        buf_append_str(out, "    search:\n");
        put_words(search, out);
    }
}

void cloudinit_network(const struct config *c, const struct cloudinit_host *h, struct buf *out)
{
    char net[16], ipconfig[16];
    size_t before;

    buf_append_str(out, "version: 1\nconfig:");
    before = out->len;
    buf_append_char(out, '\n');
    for (unsigned i = 0; i < NETS_MAX; i++) {
        snprintf(net, sizeof(net), "net%u", i);
        snprintf(ipconfig, sizeof(ipconfig), "ipconfig%u", i);
        if (config_get(c, net) && config_get(c, ipconfig))
            put_interface(i, config_get(c, net), config_get(c, ipconfig), out);
    }
    put_servers(c, h, out);
    if (!out->is_failed && out->len == before + 1) {
        out->len = before;
        buf_append_str(out, " []\n");
    }
}

/* ---- meta-data ---- */

void cloudinit_meta(const struct buf *user, const struct buf *network, const struct buf *vendor, struct buf *out)
{
    const struct buf *const parts[] = {user, network, vendor};
    unsigned char hash[20];
    char hex[2 * sizeof(hash) + 1];
    crypto_generichash_state h;

    crypto_generichash_init(&h, NULL, 0, sizeof(hash));
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        uint64_t n = parts[i]->len;
        crypto_generichash_update(&h, (const unsigned char *)&n, sizeof(n));
        crypto_generichash_update(&h, (const unsigned char *)buf_str(parts[i]), n);
    }
    crypto_generichash_final(&h, hash, sizeof(hash));
    sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
    buf_printf(out, "instance-id: %s\n", hex);
}
