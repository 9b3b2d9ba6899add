/* ACL paths: which there are, as a table of patterns, and their normal form (pve-conventions 6.6). Pure. */
#include "auth/model.h"

/* '*' is one name, '#' a VLAN number, '%' a guest's number. */
static const char *const patterns[] = {
    "/",
    "/access",
    "/access/groups",
    "/access/groups/*",
    "/access/realm",
    "/access/realm/*",
    "/mapping",
    "/mapping/*",
    "/mapping/*/*",
    "/nodes",
    "/nodes/*",
    "/pool",
    "/pool/*",
    "/pool/*/*",
    "/pool/*/*/*",
    "/sdn",
    "/sdn/controllers",
    "/sdn/controllers/*",
    "/sdn/dns",
    "/sdn/dns/*",
    "/sdn/fabrics",
    "/sdn/fabrics/*",
    "/sdn/ipams",
    "/sdn/ipams/*",
    "/sdn/prefix-lists",
    "/sdn/prefix-lists/*",
    "/sdn/route-maps",
    "/sdn/route-maps/*",
    "/sdn/zones",
    "/sdn/zones/*",
    "/sdn/zones/*/*",
    "/sdn/zones/*/*/#",
    "/storage",
    "/storage/*",
    "/vms",
    "/vms/%",
};

static bool is_path_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_';
}

static bool is_number(const char *s, size_t n, size_t min, size_t max)
{
    if (n < min || n > max || s[0] < '1' || s[0] > '9')
        return false;
    for (size_t i = 0; i < n; i++)
        if (s[i] < '0' || s[i] > '9')
            return false;
    return true;
}

static bool is_segment(char kind, const char *s, size_t n)
{
    if (kind == '#')
        return is_number(s, n, 1, 4);
    if (kind == '%')
        return is_number(s, n, 3, 9);
    for (size_t i = 0; i < n; i++)
        if (!is_path_char(s[i]))
            return false;
    return n > 0;
}

static bool matches(const char *pattern, const char *path)
{
    while (*pattern && *path) {
        if (*pattern == '*' || *pattern == '#' || *pattern == '%') {
            size_t n = strcspn(path, "/");
            if (!is_segment(*pattern, path, n))
                return false;
            path += n;
            pattern++;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return !*pattern && !*path;
}

int auth_path_check(const char *path, struct err *e)
{
    if (strlen(path) < AUTH_PATH_MAX)
        for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
            if (matches(patterns[i], path))
                return 0;
    return err_set(e, -EINVAL, "param.invalid", "invalid ACL path '%.200s'", path);
}

int auth_path_normalize(const char *path, char *dst, size_t cap, struct err *e)
{
    size_t n = 0;

    for (const char *p = path; *p;) {
        size_t len = strcspn(p, "/");
        if (len && (n + len + 2 > cap || !is_segment('*', p, len)))
            return err_set(e, -EINVAL, "param.invalid", "invalid ACL path '%.200s'", path);
        if (len) {
            dst[n++] = '/';
            memcpy(dst + n, p, len);
            n += len;
        }
        p += len + (p[len] == '/');
    }
    if (n == 0)
        dst[n++] = '/';
    dst[n] = 0;
    return 0;
}
