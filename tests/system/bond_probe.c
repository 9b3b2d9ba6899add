/* Runs in a guest whose kernel has bonds, as many development machines' own has not: makes a bond of two taps with the
 * product's code, puts a VLAN and a bridge on it, changes its mode and takes it away. Prints what the kernel has after
 * each step. */
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "network/apply_priv.h"

static int make_slave(const char *name)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    snprintf(request.ifr_name, IFNAMSIZ, "%s", name);
    return fd < 0 ? -1 : ioctl(fd, TUNSETIFF, &request);
}

static void show_file(const char *name)
{
    char path[80], text[200];
    FILE *f;

    snprintf(path, sizeof(path), "/sys/class/net/bond0/bonding/%s", name);
    f = fopen(path, "r");
    if (f && fgets(text, sizeof(text), f))
        printf("%s: %s", name, text);
    if (f)
        fclose(f);
}

static const char *name_of(const struct net_link *links, size_t n, uint32_t index)
{
    for (size_t i = 0; i < n; i++)
        if (index && links[i].index == index)
            return links[i].name;
    return "-";
}

static void show(const char *step)
{
    static const char *const files[] = {"mode", "miimon", "primary", "xmit_hash_policy"};
    struct net_link *links = NULL;
    struct err e = ERR_INIT;
    size_t n = 0;

    printf("== %s\n", step);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        show_file(files[i]);
    if (net_links_snapshot(&links, &n, &e) < 0)
        return;
    for (size_t i = 0; i < n; i++)
        if (!(links[i].flags & IFF_LOOPBACK) && links[i].name[0] != 'e')
            printf("%s %s %s %s %s\n", links[i].name, links[i].kind[0] ? links[i].kind : "?",
                   name_of(links, n, links[i].master), links[i].flags & IFF_UP ? "up" : "down", links[i].cidr);
    free(links);
}

static void apply(const struct net_config *old, const struct net_config *wanted, const char *step)
{
    struct err e = ERR_INIT;
    int r = net_config_check(wanted, &e);

    if (r == 0)
        r = net_apply(old, wanted, 7, AT_FDCWD, &e);
    if (r < 0)
        printf("failed: %s\n", e.text);
    show(step);
}

static void set(struct net_config *c, const struct net_iface *i)
{
    struct err e = ERR_INIT;

    if (net_config_set(c, i, &e) < 0)
        printf("failed: %s\n", e.text);
}

int main(void)
{
    struct net_iface bond = {.name = "bond0", .type = NET_BOND, .ports = "nic0 nic1", .bond_mode = "active-backup"};
    struct net_iface vlan = {.name = "bond0.5", .type = NET_VLAN, .raw_device = "bond0", .vlan_id = 5};
    struct net_iface bridge = {.name = "vmbr1", .type = NET_BRIDGE, .ports = "bond0", .cidr = "10.9.0.1/24"};
    struct net_config none = {0}, first = {0}, second = {0}, wrong = {0};

    if (make_slave("nic0") < 0 || make_slave("nic1") < 0)
        perror("tun");
    snprintf(bond.bond_primary, IFNAMSIZ, "nic1");
    snprintf(vlan.cidr, sizeof(vlan.cidr), "10.5.0.1/24");
    set(&first, &bond);
    set(&first, &vlan);
    set(&first, &bridge);
    apply(&none, &first, "made");
    apply(&none, &first, "again");
    bond.bond_primary[0] = 0;
    snprintf(bond.bond_mode, sizeof(bond.bond_mode), "802.3ad");
    snprintf(bond.bond_hash, sizeof(bond.bond_hash), "layer3+4");
    set(&second, &bond);
    set(&second, &vlan);
    set(&second, &bridge);
    apply(&first, &second, "another mode");
    snprintf(bond.ports, sizeof(bond.ports), "nic0 nic9");
    set(&wrong, &bond);
    apply(&second, &wrong, "a slave that is not there");
    snprintf(bond.ports, sizeof(bond.ports), "nic0");
    set(&wrong, &bond);
    apply(&second, &wrong, "one slave");
    apply(&wrong, &none, "gone");
    return 0;
}
