/* What dnsmasq wrote down of its leases: "EXPIRY MAC ADDRESS NAME CLIENT" a line. MAC and name are what a guest said:
 * bounded, and anything that is not of the expected form is left out. Blocking; pool thread. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>

#include "base/fs.h"
#include "network/network.h"

#define FILE_MAX   (1024u * 1024u)
#define LEASES_MAX 4096u

static bool is_mac(const char *s)
{
    for (size_t i = 0; i < 17; i++)
        if (i % 3 == 2 ? s[i] != ':' : !strchr("0123456789abcdefABCDEF", s[i]) || !s[i])
            return false;
    return !s[17];
}

static bool is_host_name(const char *s)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";

    return s[0] && !s[strspn(s, letters)];
}

static bool parse_line(char *line, const char *bridge, struct net_lease *ret)
{
    char *save = NULL, *expiry = strtok_r(line, " ", &save), *mac = strtok_r(NULL, " ", &save);
    char *address = strtok_r(NULL, " ", &save), *name = strtok_r(NULL, " ", &save);
    struct net_lease l = {.expires_s = 0};
    unsigned char bytes[4];

    if (!name || str_to_u64(expiry, &l.expires_s) < 0 || !is_mac(mac) || inet_pton(AF_INET, address, bytes) != 1)
        return false;
    if (str_copy(l.bridge, sizeof(l.bridge), bridge) < 0 || str_copy(l.mac, sizeof(l.mac), mac) < 0 ||
        str_copy(l.address, sizeof(l.address), address) < 0)
        return false;
    if (is_host_name(name) && str_copy(l.name, sizeof(l.name), name) < 0)
        l.name[0] = 0;
    *ret = l;
    return true;
}

size_t net_leases_parse(char *text, const char *bridge, struct net_lease *ret, size_t cap)
{
    char *save = NULL;
    size_t n = 0;

    for (char *line = strtok_r(text, "\n", &save); line && n < cap; line = strtok_r(NULL, "\n", &save))
        if (parse_line(line, bridge, &ret[n]))
            n++;
    return n;
}

int net_leases_read(const char *root_dir, const struct net_config *c, struct net_lease **ret, size_t *ret_n,
                    struct err *e)
{
    autofree struct net_lease *all = calloc(LEASES_MAX, sizeof(*all));
    char path[PATH_MAX];
    size_t n = 0;

    snprintf(path, sizeof(path), "%s/var/net", root_dir);
    autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!all || fd < 0)
        return all ? err_errno(e, errno, "%s", path) : err_set(e, -ENOMEM, NULL, "out of memory");
    for (size_t i = 0; i < c->n; i++) {
        char name[IFNAMSIZ + 8];
        struct err none = ERR_INIT;
        struct buf b;
        if (!c->items[i].dhcp_range[0])
            continue;
        snprintf(name, sizeof(name), "%s.leases", c->items[i].name);
        buf_init(&b, FILE_MAX);
        /* Nobody has asked yet: no file. */
        if (fs_read_file(fd, name, &b, &none) == 0 && b.data)
            n += net_leases_parse(b.data, c->items[i].name, all + n, LEASES_MAX - n);
        buf_done(&b);
    }
    *ret = TAKE_PTR(all);
    *ret_n = n;
    return 0;
}
