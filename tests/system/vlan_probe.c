/* Runs in a guest whose kernel filters VLANs, as many development machines' own does not: makes a VLAN-aware bridge and
 * taps with the product's code, and sends a frame from each tap to everybody. Prints one line per sender: who received
 * it, and in brackets the VLAN it was tagged with. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>

#include "network/apply_priv.h"

#define N       6
#define HEADER  10 /* of a tap with vnet_hdr */
#define WAIT_MS 100

static const uint16_t tags[N] = {5, 5, 6, 0, 0, 0};

static void drain(struct net_tap *taps)
{
    char buffer[2048];

    for (int i = 0; i < N; i++)
        while (read(taps[i].fds[0], buffer, sizeof(buffer)) > 0)
            continue;
}

/* A broadcast that nothing else on the bridge would send. */
static int send_from(struct net_tap *t, int number)
{
    unsigned char frame[HEADER + 60] = {0};

    memset(frame + HEADER, 0xff, 6);
    frame[HEADER + 6] = 2;
    frame[HEADER + 11] = (unsigned char)(number + 1);
    frame[HEADER + 12] = 0x88; /* an ethertype for experiments: IEEE 802 */
    frame[HEADER + 13] = 0xb5;
    return write(t->fds[0], frame, sizeof(frame)) == (ssize_t)sizeof(frame) ? 0 : -1;
}

/* Whether the frame of sender `from` came, and in which VLAN it was tagged: 0 for none; -1: it did not come. */
static int received(struct net_tap *t, int from)
{
    unsigned char frame[2048];
    struct pollfd p = {.fd = t->fds[0], .events = POLLIN};

    while (poll(&p, 1, WAIT_MS) == 1) {
        ssize_t n = read(t->fds[0], frame, sizeof(frame));
        const unsigned char *type = frame + HEADER + 12;
        int tag = 0;
        if (n < HEADER + 18 || frame[HEADER + 11] != from + 1)
            continue;
        if (type[0] == 0x81 && type[1] == 0) {
            tag = (type[2] & 15) << 8 | type[3];
            type += 4;
        }
        if (type[0] == 0x88 && type[1] == 0xb5)
            return tag;
    }
    return -1;
}

static int make(struct net_config *c, struct net_tap *taps, struct err *e)
{
    struct net_iface bridge = {.name = "vmbr0", .type = NET_BRIDGE, .is_vlan_aware = true};
    struct net_iface vlan = {.name = "vmbr0.7", .type = NET_VLAN, .raw_device = "vmbr0", .vlan_id = 7};
    static const struct net_config none;

    snprintf(vlan.cidr, sizeof(vlan.cidr), "10.7.0.1/24");
    int r = net_config_set(c, &bridge, e);
    if (r == 0)
        r = net_config_set(c, &vlan, e);
    if (r == 0)
        r = net_apply(&none, c, 7, AT_FDCWD, e);
    for (unsigned i = 0; r == 0 && i < N; i++) {
        struct net_tap_spec s = {
            .instance = 7, .vmid = 100 + i, .owner = 1000, .bridge = "vmbr0", .n_queues = 1, .tag = tags[i]};
        if (i == N - 1 && net_trunks_parse("5-6;40;100-200", s.trunks, &s.n_trunks) < 0)
            return -EINVAL;
        r = net_tap_open(&s, &taps[i], e);
    }
    return r;
}

int main(void)
{
    struct net_tap taps[N];
    struct net_config c = {0};
    struct err e = ERR_INIT;

    if (make(&c, taps, &e) < 0) {
        printf("failed: %s\n", e.text);
        return 1;
    }
    for (int from = 0; from < N; from++) {
        drain(taps);
        if (send_from(&taps[from], from) < 0)
            perror("send");
        printf("%d:", from);
        for (int to = 0; to < N; to++) {
            int tag = to == from ? -1 : received(&taps[to], from);
            if (tag >= 0)
                printf(" %d", to);
            if (tag > 0)
                printf("(%d)", tag);
        }
        printf("\n");
    }
    struct net_link *links;
    size_t n;
    if (net_links_snapshot(&links, &n, &e) == 0)
        for (size_t i = 0; i < n; i++)
            printf("%s %s %s %s\n", links[i].name, links[i].kind, links[i].alias, links[i].cidr);
    return 0;
}
