/* The keys of cloud-init: what their values may be. Strict where cloud-init inside the guest would fail in silence.
 * Pure, but for the random salt of a hash. PVE: qemu-server, QemuServer/Cloudinit.pm and the schemas in QemuServer.pm.
 */
#include <arpa/inet.h>
#include <crypt.h>
#include <ctype.h>
#include <sodium.h>

#include "base/propstr.h"
#include "guest/cloudinit.h"
#include "proto/text.h"

#define SALT_CHARS 16u

static int invalid(struct err *e, const char *text)
{
    return err_set(e, -EINVAL, "param.invalid", "%s", text);
}

/* ---- user and password ---- */

static int check_user(const char *value, struct err *e)
{
    size_t n = strlen(value);

    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)value[i]) && !strchr("_.@$-", value[i]))
            return invalid(e, "a user's name has letters, digits and _.@$- only");
    if (!n || n > 64 || (!isalnum((unsigned char)value[0]) && value[0] != '_'))
        return invalid(e, "a user's name has 1 to 64 characters and begins with a letter, a digit or _");
    return 0;
}

/* "$5$SALT$HASH": one of these methods, and at least two more parts of the letters that hashes have. */
static bool is_hash_of(const char *s, const char *const methods[], size_t n_methods)
{
    static const char letters[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz$=";
    size_t i = 0, n = strlen(s);

    while (i < n_methods && !str_starts(s, methods[i]))
        i++;
    if (i == n_methods || n >= CLOUDINIT_HASH_MAX || strspn(s, letters) != n)
        return false;
    const char *salt = s + strlen(methods[i]), *end = strchr(salt, '$');
    return end && end > salt && strlen(end + 1) >= 22;
}

/* What cloud-init takes for a hash. cloud-init 22.4, cc_set_passwords.py. */
static bool is_hash(const char *s)
{
    static const char *const methods[] = {"$1$", "$5$", "$6$", "$2a$", "$2y$"};

    return is_hash_of(s, methods, ARRAY_SIZE(methods));
}

/* A hash that cloud-init would make the password itself: who reads it would be let in, and its owner not. */
static bool is_foreign_hash(const char *s)
{
    static const char *const methods[] = {"$2b$", "$7$", "$y$", "$gy$"};

    return is_hash_of(s, methods, ARRAY_SIZE(methods));
}

static int check_password(const char *value, struct err *e)
{
    size_t n = strlen(value);

    if (!n || n > CLOUDINIT_PASSWORD_MAX)
        return err_set(e, -EINVAL, "param.invalid", "a password has 1 to %u bytes", CLOUDINIT_PASSWORD_MAX);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)value[i] < ' ' || value[i] == 0x7f)
            return invalid(e, "a password has no control characters");
    if (is_foreign_hash(value))
        return invalid(e, "cloud-init knows no such hash; openssl passwd -6 makes one that it knows");
    if (streq(value, CLOUDINIT_HIDDEN))
        return invalid(e, "this stands for the password in replies, and is none");
    return 0;
}

static int make_hash(const char *password, const char *setting, char dst[CLOUDINIT_HASH_MAX], struct err *e)
{
    struct crypt_data *data = calloc(1, sizeof(*data));

    if (!data)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    const char *hash = crypt_rn(password, setting, data, (int)sizeof(*data));
    int r = hash && hash[0] == '$' ? str_copy(dst, CLOUDINIT_HASH_MAX, hash) : -EIO;
    mem_wipe(data, sizeof(*data));
    free(data);
    return r < 0 ? err_set(e, r, "guest.cloudinit", "the password cannot be hashed") : 0;
}

int cloudinit_hash(const char *password, char dst[CLOUDINIT_HASH_MAX], struct err *e)
{
    static const char letters[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    char setting[SALT_CHARS + 5] = "$5$";

    if (is_hash(password))
        return str_copy(dst, CLOUDINIT_HASH_MAX, password);
    for (size_t i = 0; i < SALT_CHARS; i++)
        setting[3 + i] = letters[randombytes_uniform(64)];
    setting[3 + SALT_CHARS] = '$';
    return make_hash(password, setting, dst, e);
}

/* ---- SSH keys ---- */

static int url_decode(const char *value, struct buf *ret, struct err *e)
{
    struct err ignored = ERR_INIT;
    int r = text_percent_decode(value, strlen(value), false, ret, &ignored);

    if (r == -E2BIG || ret->len > CLOUDINIT_SSHKEYS_MAX)
        return err_set(e, -EINVAL, "param.invalid", "more than %u bytes of keys", CLOUDINIT_SSHKEYS_MAX);
    return r < 0 ? invalid(e, "not URL-encoded") : 0;
}

/* RFC 4253, 6.6: the key's bytes begin with its type once more, after its length. */
static bool is_key_of(const char *type, size_t n_type, const char *base64, size_t n)
{
    uint8_t bytes[3000];
    size_t len = 0;

    if (sodium_base642bin(bytes, sizeof(bytes), base64, n, NULL, &len, NULL, sodium_base64_VARIANT_ORIGINAL) < 0)
        return false;
    if (len <= 4 + n_type || bytes[0] || bytes[1] || bytes[2] || bytes[3] != n_type)
        return false;
    return memcmp(bytes + 4, type, n_type) == 0;
}

static int check_sshkey(const char *line, size_t n, unsigned number, struct err *e)
{
    static const char *const types[] = {"ssh-ed25519",
                                        "ssh-rsa",
                                        "ecdsa-sha2-nistp256",
                                        "ecdsa-sha2-nistp384",
                                        "ecdsa-sha2-nistp521",
                                        "sk-ssh-ed25519@openssh.com",
                                        "sk-ecdsa-sha2-nistp256@openssh.com",
                                        "ssh-dss"};
    size_t type = strcspn(line, " "), i = 0;

    for (size_t k = 0; k < n; k++)
        if ((unsigned char)line[k] < ' ' || line[k] == 0x7f)
            return err_set(e, -EINVAL, "param.invalid", "SSH key %u has a control character", number);
    while (i < ARRAY_SIZE(types) && (type != strlen(types[i]) || memcmp(line, types[i], type) != 0))
        i++;
    if (i == ARRAY_SIZE(types) || type >= n)
        return err_set(e, -EINVAL, "param.invalid", "SSH key %u begins with no known type, as ssh-ed25519 is", number);
    const char *key = line + type + 1;
    size_t n_key = strcspn(key, " \n"), most = n - type - 1;
    return is_key_of(line, type, key, n_key < most ? n_key : most)
               ? 0
               : err_set(e, -EINVAL, "param.invalid", "SSH key %u is not whole, or of another type", number);
}

int cloudinit_sshkeys(const char *value, struct buf *ret, struct err *e)
{
    autobuf struct buf text;
    unsigned number = 0;

    buf_init(&text, 3 * CLOUDINIT_SSHKEYS_MAX); /* as long as it was encoded */
    int r = url_decode(value, &text, e);
    if (r == 0 && strlen(buf_str(&text)) != text.len)
        r = invalid(e, "a zero byte");
    for (const char *line = buf_str(&text); r == 0 && *line;) {
        size_t n = strcspn(line, "\n"), end = n;
        while (end && (line[end - 1] == '\r' || line[end - 1] == ' '))
            end--;
        if (end && ++number > CLOUDINIT_KEYS_MAX)
            r = err_set(e, -EINVAL, "param.invalid", "more than %u SSH keys", CLOUDINIT_KEYS_MAX);
        else if (end)
            r = check_sshkey(line, end, number, e);
        if (end) {
            buf_append(ret, line, end);
            buf_append_char(ret, '\n');
        }
        line += n + (line[n] != 0);
    }
    if (r == 0 && !number)
        r = invalid(e, "no SSH key");
    return r;
}

static int check_sshkeys(const char *value, struct err *e)
{
    autobuf struct buf ignored;

    buf_init(&ignored, CLOUDINIT_SSHKEYS_MAX + CLOUDINIT_KEYS_MAX);
    return cloudinit_sshkeys(value, &ignored, e);
}

/* ---- addresses ---- */

static bool is_address(int family, const char *s)
{
    unsigned char bytes[16];

    return inet_pton(family, s, bytes) == 1;
}

/* "192.0.2.7/24" */
static bool is_cidr(int family, const char *s)
{
    const char *slash = strchr(s, '/');
    char address[64];
    uint64_t bits;

    if (!slash || (size_t)(slash - s) >= sizeof(address) || str_to_u64(slash + 1, &bits) < 0)
        return false;
    snprintf(address, sizeof(address), "%.*s", (int)(slash - s), s);
    return is_address(family, address) && bits >= 1 && bits <= (family == AF_INET ? 32u : 128u);
}

static int check_family(const struct propstr *p, int family, struct err *e)
{
    const char *name = family == AF_INET ? "ip" : "ip6", *gw_name = family == AF_INET ? "gw" : "gw6";
    const char *ip = propstr_get(p, name), *gw = propstr_get(p, gw_name);
    bool is_auto = ip && (streq(ip, "dhcp") || (family == AF_INET6 && streq(ip, "auto")));

    if (ip && !is_auto && !is_cidr(family, ip))
        return err_set(e, -EINVAL, "param.invalid", "%s=%.50s: %s", name, ip,
                       family == AF_INET ? "it is dhcp or an address as in 192.0.2.7/24"
                                         : "it is auto, dhcp or an address as in 2001:db8::7/64");
    if (gw && (!ip || is_auto))
        return err_set(e, -EINVAL, "param.invalid", "%s needs %s with an address of its own", gw_name, name);
    if (gw && !is_address(family, gw))
        return err_set(e, -EINVAL, "param.invalid", "%s=%.50s is no address", gw_name, gw);
    return 0;
}

static int check_ipconfig(const char *value, struct err *e)
{
    static const char *const known[] = {"ip", "gw", "ip6", "gw6"};
    struct propstr p;
    int r = propstr_parse(value, NULL, &p, e);

    for (size_t i = 0; r == 0 && i < p.n; i++) {
        size_t k = 0;
        while (k < ARRAY_SIZE(known) && !streq(known[k], p.items[i].key))
            k++;
        if (k == ARRAY_SIZE(known))
            r = err_set(e, -EINVAL, "param.invalid", "'%.40s' is none of ip, gw, ip6 and gw6", p.items[i].key);
    }
    if (r == 0 && !p.n)
        r = invalid(e, "empty");
    if (r == 0)
        r = check_family(&p, AF_INET, e);
    return r < 0 ? r : check_family(&p, AF_INET6, e);
}

/* A list of words between blanks, commas and semicolons. */
static int check_words(const char *value, unsigned max, bool (*check)(const char *word), const char *what,
                       struct err *e)
{
    unsigned count = 0;
    char word[256];

    for (const char *p = value; *p;) {
        size_t n = strcspn(p, " ,;");
        if (n >= sizeof(word))
            return invalid(e, what);
        snprintf(word, sizeof(word), "%.*s", (int)n, p);
        if (n && (!check(word) || ++count > max))
            return err_set(e, -EINVAL, "param.invalid", "'%.60s': %s, at most %u", word, what, max);
        p += n + (p[n] != 0);
    }
    return count ? 0 : invalid(e, "empty");
}

static bool is_any_address(const char *s)
{
    return is_address(AF_INET, s) || is_address(AF_INET6, s);
}

static bool is_domain(const char *s)
{
    size_t label = 0;

    for (const char *c = s;; c++) {
        if (*c != '.' && *c) {
            if (!isalnum((unsigned char)*c) && (*c != '-' || !label))
                return false;
            label++;
            continue;
        }
        if (!label || label > 63 || c[-1] == '-')
            return false;
        label = 0;
        if (!*c)
            return strlen(s) <= 253;
    }
}

static int check_nameserver(const char *value, struct err *e)
{
    return check_words(value, 8, is_any_address, "addresses of name servers", e);
}

static int check_searchdomain(const char *value, struct err *e)
{
    return check_words(value, 8, is_domain, "names of domains", e);
}

/* ---- the rest ---- */

static const char *const snippets[] = {"meta", "network", "user", "vendor"};

bool cloudinit_snippet(const char *cicustom, const char *what, struct volume_id *ret)
{
    struct err e = ERR_INIT;
    struct propstr p;

    if (propstr_parse(cicustom, NULL, &p, &e) < 0 || !propstr_get(&p, what))
        return false;
    return volume_id_parse(propstr_get(&p, what), ret, &e) == 0 && ret->content == STORAGE_CONTENT_snippets;
}

static int check_custom(const char *value, struct err *e)
{
    struct volume_id v;
    struct propstr p;
    int r = propstr_parse(value, NULL, &p, e);

    for (size_t i = 0; r == 0 && i < p.n; i++) {
        size_t k = 0;
        while (k < ARRAY_SIZE(snippets) && !streq(snippets[k], p.items[i].key))
            k++;
        if (k == ARRAY_SIZE(snippets))
            r = err_set(e, -EINVAL, "param.invalid", "'%.40s' is none of meta, network, user and vendor",
                        p.items[i].key);
        else if (!cloudinit_snippet(value, snippets[k], &v))
            r = err_set(e, -EINVAL, "param.invalid", "%s: not a volume as in local:snippets/NAME", snippets[k]);
    }
    return r == 0 && !p.n ? invalid(e, "empty") : r;
}

static int check_type(const char *value, struct err *e)
{
    if (streq(value, "nocloud"))
        return 0;
    err_set(e, -EINVAL, "param.unsupported", "'%.20s' is not supported: images are of the kind nocloud", value);
    return err_hint(e, "cloudbase-init in Windows reads nocloud too, with its service NoCloudConfigDriveService");
}

static const struct {
    const char *key;
    bool is_indexed;
    int (*check)(const char *value, struct err *e);
} rows[] = {
    {"cicustom", false, check_custom},       {"cipassword", false, check_password},
    {"citype", false, check_type},           {"ciupgrade", false, NULL},
    {"ciuser", false, check_user},           {"ipconfig", true, check_ipconfig},
    {"nameserver", false, check_nameserver}, {"searchdomain", false, check_searchdomain},
    {"sshkeys", false, check_sshkeys},
};

static size_t find_row(const char *key)
{
    size_t i = 0;

    while (i < ARRAY_SIZE(rows) &&
           !(rows[i].is_indexed ? guest_is_index_key(key, rows[i].key) : streq(key, rows[i].key)))
        i++;
    return i;
}

bool cloudinit_is_key(const char *key)
{
    return find_row(key) < ARRAY_SIZE(rows);
}

int cloudinit_check(const char *key, const char *value, struct err *e)
{
    size_t i = find_row(key);

    return i < ARRAY_SIZE(rows) && rows[i].check ? rows[i].check(value, e) : 0;
}
