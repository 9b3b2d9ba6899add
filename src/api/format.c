/* Named formats of the schemas (pve-common JSONSchema.pm; pve-conventions 6.3, 6.4): pure checks of one value. A name
 * that ends in "-list" is a list of the format before it, separated by comma, semicolon, blank or NUL; one that ends in
 * "-opt" may be empty. */
#include "api/route.h"

#include <arpa/inet.h>
#include <ctype.h>

#include "base/calendar.h"
#include "storage/storage.h"

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* First character of `first` kind (letters only or also digits), then letters, digits and `more`. */
static bool is_word(const char *s, bool is_letter_first, const char *more, size_t min, size_t max)
{
    size_t n = strlen(s);

    if (n < min || n > max || (is_letter_first && (!is_alnum(s[0]) || isdigit((unsigned char)s[0]))))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_alnum(s[i]) && !strchr(more, s[i]))
            return false;
    return true;
}

static bool is_vmid(const char *s)
{
    size_t n = strlen(s);

    return n >= 3 && n <= 9 && s[0] >= '1' && s[0] <= '9' && strspn(s, "0123456789") == n;
}

static bool is_node(const char *s)
{
    size_t n = strlen(s);

    return is_word(s, false, "-", 1, 63) && is_alnum(s[0]) && is_alnum(s[n - 1]);
}

static bool is_configid(const char *s)
{
    return is_word(s, true, "_-", 2, 64);
}

static bool is_storage_id(const char *s)
{
    size_t n = strlen(s);

    return is_word(s, true, "-_.", 2, STORAGE_ID_MAX) && is_alnum(s[n - 1]);
}

static bool is_name(const char *s)
{
    return is_word(s, false, ".-_", 1, 64);
}

static bool is_realm(const char *s)
{
    return is_word(s, true, ".-_", 2, 32);
}

/* Up to three names joined by '/'. */
static bool is_pool(const char *s)
{
    char part[65];
    unsigned parts = 0;

    for (const char *p = s;; p++) {
        size_t n = strcspn(p, "/");
        if (n == 0 || n >= sizeof(part) || ++parts > 3)
            return false;
        memcpy(part, p, n);
        part[n] = 0;
        if (!is_name(part))
            return false;
        p += n;
        if (!*p)
            return true;
    }
}

static bool is_userid(const char *s)
{
    const char *at = strrchr(s, '@');

    if (!at || at == s || strlen(s) > AUTH_USER_MAX || !is_realm(at + 1))
        return false;
    for (const char *c = s; c < at; c++)
        if ((unsigned char)*c <= 0x20 || *c == ':' || *c == '/' || *c == 0x7f)
            return false;
    return true;
}

static bool is_tokenid(const char *s)
{
    char user[AUTH_USER_MAX + 1];
    const char *bang = strrchr(s, '!');

    if (!bang || (size_t)(bang - s) >= sizeof(user) || !is_realm(bang + 1))
        return false;
    memcpy(user, s, (size_t)(bang - s));
    user[bang - s] = 0;
    return is_userid(user);
}

static bool is_priv(const char *s)
{
    unsigned bit;

    return priv_find(s, &bit);
}

static bool is_volume_id(const char *s)
{
    struct err e = ERR_INIT;
    struct volume_id v;

    return volume_id_parse(s, &v, &e) == 0;
}

/* A volume, "none"/"cdrom", or STORE:SIZE or STORE:cloudinit for a new one; paths are for the handler to refuse with
 * its own text. */
static bool is_drive_file(const char *s)
{
    const char *colon = strchr(s, ':');

    if (streq(s, "none") || streq(s, "cdrom") || s[0] == '/')
        return true;
    if (colon && colon[1] && strspn(colon + 1, "0123456789.") == strlen(colon + 1))
        return true;
    if (colon && streq(colon, ":cloudinit"))
        return true;
    return is_volume_id(s);
}

static bool is_disk_size(const char *s)
{
    size_t n = strspn(s, "0123456789");

    if (n == 0 || n > 15)
        return false;
    s += n;
    if (*s == '.') {
        n = strspn(++s, "0123456789");
        if (n == 0 || n > 9)
            return false;
        s += n;
    }
    if (*s && !strchr("KMGT", *s++))
        return false;
    return *s == 0;
}

/* RFC 1123 labels. */
static bool is_dns_name(const char *s)
{
    size_t label = 0;

    if (!*s || strlen(s) > 253)
        return false;
    for (const char *c = s;; c++) {
        if (*c == '.' || !*c) {
            if (label == 0 || label > 63 || c[-1] == '-')
                return false;
            label = 0;
            if (!*c)
                return true;
        } else if (!is_alnum(*c) && (*c != '-' || label == 0)) {
            return false;
        } else {
            label++;
        }
    }
}

static bool is_mac(const char *s)
{
    if (strlen(s) != 17)
        return false;
    for (int i = 0; i < 17; i++)
        if (i % 3 == 2 ? s[i] != ':' : !isxdigit((unsigned char)s[i]))
            return false;
    char digit = s[1]; /* unicast: the lowest bit of the first byte is 0 */
    return !(strtoul((char[]){digit, 0}, NULL, 16) & 1);
}

static bool is_bridge(const char *s)
{
    return is_word(s, false, "-_.", 1, 15);
}

static bool is_tag(const char *s)
{
    return *s && (is_alnum(*s) || *s == '_') && is_word(s, false, "_-+.", 1, 124);
}

static bool is_address(const char *s)
{
    unsigned char bytes[16];

    return inet_pton(AF_INET, s, bytes) == 1 || inet_pton(AF_INET6, s, bytes) == 1;
}

static bool is_urlencoded(const char *s)
{
    for (; *s; s++) {
        if ((unsigned char)*s <= 0x20 || *s == 0x7f)
            return false;
        if (*s == '%' && (!isxdigit((unsigned char)s[1]) || !isxdigit((unsigned char)s[2])))
            return false;
    }
    return true;
}

static bool is_email(const char *s)
{
    const char *at = strchr(s, '@');

    return at && at > s && at[1] && strlen(s) <= 254 && !strpbrk(s, " \t\r\n<>\"");
}

static bool is_content(const char *s)
{
    struct err e = ERR_INIT;
    uint32_t mask;

    return streq(s, "none") || (!strchr(s, ',') && storage_contents_parse(s, &mask, &e) == 0);
}

static bool is_task_status(const char *s)
{
    return streq(s, "ok") || streq(s, "error") || streq(s, "warning") || streq(s, "unknown");
}

/* "order=scsi0;net0", "legacy=cdn" or the old letters. */
static bool is_boot(const char *s)
{
    if (str_starts(s, "order="))
        return s[6] == 0 || is_word(s + 6, false, ";", 1, 200);
    if (str_starts(s, "legacy="))
        s += 7;
    return *s && strlen(s) <= 4 && strspn(s, "acdn") == strlen(s);
}

static bool is_bootdisk(const char *s)
{
    size_t n = strcspn(s, "0123456789");

    return n > 0 && s[n] && strspn(s + n, "0123456789") == strlen(s + n) && strlen(s + n) <= 2;
}

/* "0-3,7": numbers and ranges that go up. */
static bool is_cpuset(const char *s)
{
    for (;; s++) {
        unsigned long from = strtoul(s, NULL, 10), to = from;
        size_t n = strspn(s, "0123456789");
        if (!n || n > 4)
            return false;
        s += n;
        if (*s == '-') {
            n = strspn(++s, "0123456789");
            if (!n || n > 4)
                return false;
            to = strtoul(s, NULL, 10);
            s += n;
        }
        if (to < from || (*s && *s != ','))
            return false;
        if (!*s)
            return true;
    }
}

/* 0, 1, or a list without repetition. */
static bool is_hotplug(const char *s)
{
    static const char *const names[] = {"network", "disk", "cpu", "memory", "usb", "cloudinit"};
    unsigned seen = 0;

    if (streq(s, "0") || streq(s, "1"))
        return true;
    for (;; s++) {
        size_t n = strcspn(s, ","), i = 0;
        while (i < ARRAY_SIZE(names) && (strlen(names[i]) != n || memcmp(names[i], s, n) != 0))
            i++;
        if (i == ARRAY_SIZE(names) || (seen & (1u << i)))
            return false;
        seen |= 1u << i;
        s += n;
        if (!*s)
            return true;
    }
}

static bool is_calendar_event(const char *s)
{
    struct err e = ERR_INIT;
    struct calendar ignored;

    return calendar_parse(s, &ignored, &e) == 0;
}

static bool is_phys_bits(const char *s)
{
    uint64_t bits;

    return streq(s, "host") || (str_to_u64(s, &bits) == 0 && bits >= 8 && bits <= 64);
}

/* "[order=]N,up=N,down=N", each once and at least one. */
static bool is_startup(const char *s)
{
    static const char *const keys[] = {"order=", "up=", "down="};
    unsigned seen = 0;

    for (;; s++) {
        size_t i = 0;
        while (i < ARRAY_SIZE(keys) && !str_starts(s, keys[i]))
            i++;
        if (i < ARRAY_SIZE(keys))
            s += strlen(keys[i]);
        else
            i = 0; /* a bare number is the order */
        size_t n = strspn(s, "0123456789");
        if (!n || n > 9 || (seen & (1u << i)))
            return false;
        seen |= 1u << i;
        s += n;
        if (!*s)
            return true;
        if (*s != ',')
            return false;
    }
}

/* key=value pairs without control characters; the key's own code reads them. */
static bool is_text(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return false;
    return true;
}

static bool is_ipv4(const char *s)
{
    unsigned char bytes[4];

    return inet_pton(AF_INET, s, bytes) == 1;
}

static bool is_ipv6(const char *s)
{
    unsigned char bytes[16];

    return inet_pton(AF_INET6, s, bytes) == 1;
}

static bool is_ipv4_mask(const char *s)
{
    uint32_t mask;

    return inet_pton(AF_INET, s, &mask) == 1 && mask && (~ntohl(mask) & (~ntohl(mask) + 1)) == 0;
}

static bool is_cidr(const char *s, bool (*is_addr)(const char *s), uint64_t max)
{
    char text[INET6_ADDRSTRLEN];
    const char *slash = strchr(s, '/');
    uint64_t prefix;

    if (!slash || (size_t)(slash - s) >= sizeof(text))
        return false;
    memcpy(text, s, (size_t)(slash - s));
    text[slash - s] = 0;
    return is_addr(text) && str_to_u64(slash + 1, &prefix) == 0 && prefix <= max;
}

static bool is_cidr4(const char *s)
{
    return is_cidr(s, is_ipv4, 32);
}

static bool is_cidr6(const char *s)
{
    return is_cidr(s, is_ipv6, 128);
}

/* "vmbr0", "eth0.5" or an alias "eth0:1"; whether it can be one is the network's to say. */
static bool is_iface(const char *s)
{
    return is_word(s, true, "_-.:", 2, 20);
}

static bool is_vlan_range(const char *s)
{
    return *s && strlen(s) <= 9 && strspn(s, "0123456789-") == strlen(s);
}

/* Lines of plain text; a worker reads what is in them. */
static bool is_lines(const char *s)
{
    for (; *s; s++)
        if (((unsigned char)*s < ' ' && !strchr("\r\n\t", *s)) || (unsigned char)*s > '~')
            return false;
    return true;
}

struct format {
    const char *name;
    bool (*check)(const char *s);
    const char *text; /* after "invalid format - " */
};

static const struct format formats[] = {
    {"pve-vmid", is_vmid, "value does not look like a valid VM ID"},
    {"pve-node", is_node, "value does not look like a valid node name"},
    {"pve-calendar-event", is_calendar_event, "unable to parse calendar event"},
    {"pve-configid", is_configid, "invalid configuration ID"},
    {"pve-phys-bits", is_phys_bits, "value must be an integer between 8 and 64 or 'host'"},
    {"pve-storage-id", is_storage_id, "storage ID contains illegal characters"},
    {"pve-volume-id", is_volume_id, "unable to parse volume ID"},
    {"pve-volume-id-or-qm-path", is_drive_file, "unable to parse volume ID"},
    {"pve-volume-id-or-absolute-path", is_drive_file, "unable to parse volume ID"},
    {"disk-size", is_disk_size, "value does not look like a valid disk size"},
    {"dns-name", is_dns_name, "value does not look like a valid DNS name"},
    {"mac-addr", is_mac, "value does not look like a valid unicast MAC address"},
    {"pve-iface", is_iface, "invalid network interface name"},
    {"pve-vlan-id-or-range", is_vlan_range, "invalid VLAN ID or range"},
    {"ipv4", is_ipv4, "value does not look like a valid IPv4 address"},
    {"ipv6", is_ipv6, "value does not look like a valid IPv6 address"},
    {"ipv4mask", is_ipv4_mask, "value does not look like a valid IPv4 network mask"},
    {"CIDRv4", is_cidr4, "value does not look like a valid IPv4 network"},
    {"CIDRv6", is_cidr6, "value does not look like a valid IPv6 network"},
    {"pve-bridge-id", is_bridge, "invalid bridge ID"},
    {"pve-poolid", is_pool, "value contains illegal characters"},
    {"pve-groupid", is_name, "group name contains invalid characters"},
    {"pve-roleid", is_name, "role name contains invalid characters"},
    {"pve-realm", is_realm, "value does not look like a valid realm"},
    {"pve-userid", is_userid, "value does not look like a valid user name"},
    {"pve-tokenid", is_tokenid, "value does not look like a valid token ID"},
    {"pve-priv", is_priv, "invalid privilege"},
    {"pve-tag", is_tag, "invalid characters in tag"},
    {"pve-storage-content", is_content, "invalid content type"},
    {"pve-task-status-type", is_task_status, "unknown task status"},
    {"pve-qm-boot", is_boot, "invalid boot order"},
    {"pve-qm-bootdisk", is_bootdisk, "invalid boot disk"},
    {"address", is_address, "value does not look like a valid IP address"},
    {"urlencoded", is_urlencoded, "invalid urlencoded string"},
    {"email", is_email, "value does not look like a valid email address"},
    {"pve-cpuset", is_cpuset, "value is not a list of CPUs like 0-3,7"},
    {"pve-qemu-sev-fmt", is_text, "invalid value"},
    {"pve-qemu-tdx-fmt", is_text, "invalid value"},
    {"pve-qm-ide", is_text, "invalid value"},
    {"pve-qm-cicustom", is_text, "invalid value"},
    {"pve-vm-cpu-conf", is_text, "invalid value"},
    {"pve-qm-hostpci", is_text, "invalid value"},
    {"pve-hotplug-features", is_hotplug, "unable to parse hotplug option"},
    {"pve-qm-ipconfig", is_text, "invalid value"},
    {"pve-qm-rng", is_text, "invalid value"},
    {"pve-qm-smbios1", is_text, "invalid value"},
    {"pve-startup-order", is_startup, "unable to parse startup options"},
    {"pve-qm-watchdog", is_text, "invalid value"},
    {"pve-tfa-config", is_text, "invalid value"},
    {"storage-pair", is_text, "invalid value"},
    {"CIDR", is_text, "invalid value"},
    {"ip", is_address, "value does not look like a valid IP address"},
    {"string", is_text, "invalid value"},
    {"pem-string", is_lines, "value does not look like PEM"},
    {"pem-certificate-chain", is_lines, "value does not look like PEM"},
};

static const struct format *find_format(const char *name, size_t n)
{
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
        if (strlen(formats[i].name) == n && memcmp(formats[i].name, name, n) == 0)
            return &formats[i];
    return NULL;
}

/* The part of a format name before "-list" or "-opt". */
static size_t stem(const char *name, bool *ret_is_list, bool *ret_is_opt)
{
    size_t n = strlen(name);

    *ret_is_list = *ret_is_opt = false;
    if (find_format(name, n))
        return n;
    *ret_is_opt = str_ends(name, "-opt");
    if (*ret_is_opt)
        n -= 4;
    *ret_is_list = n > 5 && memcmp(name + n - 5, "-list", 5) == 0;
    return *ret_is_list ? n - 5 : n;
}

bool api_format_is_known(const char *format)
{
    bool is_list, is_opt;
    size_t n = stem(format, &is_list, &is_opt);

    return find_format(format, n) != NULL;
}

static bool check_list(const struct format *f, const char *value)
{
    char item[300];

    for (const char *p = value; *p;) {
        size_t n = strcspn(p, ",; \t\n");
        if (n >= sizeof(item))
            return false;
        memcpy(item, p, n);
        item[n] = 0;
        if (n && !f->check(item))
            return false;
        p += n + (p[n] != 0);
    }
    return true;
}

int api_format_check(const char *format, const char *value, struct err *e)
{
    bool is_list, is_opt;
    const struct format *f = find_format(format, stem(format, &is_list, &is_opt));

    if (!f || (is_opt && !*value))
        return 0;
    if (is_list ? check_list(f, value) : f->check(value))
        return 0;
    return err_set(e, -EINVAL, "param.invalid", "%s", f->text);
}
