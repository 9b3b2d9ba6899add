/* The configuration of networks and the names of taps: what goes in comes out again, what must not be is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "network/network.h"

static struct net_iface bridge(const char *name)
{
    struct net_iface i = {.type = NET_BRIDGE, .is_autostart = true};

    snprintf(i.name, sizeof(i.name), "%s", name);
    return i;
}

static void what_goes_in_comes_out(void **state)
{
    struct net_iface i = bridge("vmbr0"), v = {.type = NET_VLAN, .name = "eth0.5", .raw_device = "eth0", .vlan_id = 5};
    struct net_config c = {0}, back;
    struct err e = ERR_INIT;

    snprintf(i.cidr, sizeof(i.cidr), "10.0.0.1/24");
    snprintf(i.cidr6, sizeof(i.cidr6), "fd00::1/64");
    snprintf(i.comments, sizeof(i.comments), "a \"b\"\nc");
    snprintf(i.dhcp_range, sizeof(i.dhcp_range), "10.0.0.10-10.0.0.20");
    snprintf(i.ports, sizeof(i.ports), "eth1 eth2");
    i.mtu = 9000;
    i.is_nat = i.is_vlan_aware = true;
    assert_int_equal(net_config_set(&c, &i, &e), 0);
    assert_int_equal(net_config_set(&c, &v, &e), 0);
    assert_int_equal(net_config_check(&c, &e), 0);
    assert_string_equal(c.items[0].name, "eth0.5"); /* by name */
    char *text = net_config_format(&c);
    assert_non_null(text);
    assert_int_equal(net_config_parse(text, &back), 0);
    assert_int_equal(back.n, 2);
    assert_true(net_iface_is_equal(net_config_find(&back, "vmbr0"), &i));
    assert_true(net_iface_is_equal(net_config_find(&back, "eth0.5"), &v));
    i.is_nat = false;
    assert_false(net_iface_is_equal(net_config_find(&back, "vmbr0"), &i));
    net_config_remove(&back, "vmbr0");
    net_config_remove(&back, "vmbr0");
    assert_int_equal(back.n, 1);
    free(text);
    net_config_done(&back);
    net_config_done(&c);
}

static void damaged_state_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"format\":2,\"interfaces\":{}}",
        "{\"format\":1,\"interfaces\":{\"vmbr0\":{}}}",
        "{\"format\":1,\"interfaces\":{\"vmbr0\":{\"type\":\"team\"}}}",
        "{\"format\":1,\"interfaces\":{\"vmbr0\":{\"type\":\"bridge\",\"mtu\":-1}}}",
        "{\"format\":1,\"interfaces\":{\"vmbr0\":{\"type\":\"bridge\",\"cidr\":5}}}",
        "{\"format\":1,\"interfaces\":{\"averyveryverylongname\":{\"type\":\"bridge\"}}}",
        "{\"format\":1,\"interfaces\":{\"vmbr0\":{\"type\":\"bridge\",\"gateway\":\"1234567890123456789\"}}}"};
    struct net_config c;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_not_equal(net_config_parse(bad[i], &c), 0);
}

static void names_are_checked(void **state)
{
    static const char *const good[] = {"vmbr0", "eth0.5", "br-lan", "enp3s0f1", "hello", "h0001"};
    static const char *const bad[] = {
        "",    "a",    "lo",  "all", "default",          "1a",         "-a",         "a/b",
        "a b", "a\nb", "a;b", "a:1", "0123456789abcdef", "h000110005", "i000a10005", "..",
        "é0"};

    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_true(net_name_is_valid(good[i]));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(net_name_is_valid(bad[i]));
}

static void taps_are_named_for_their_guest(void **state)
{
    static const uint32_t ids[] = {100, 999, 1000, 999999999};
    char name[IFNAMSIZ];
    uint32_t vmid;
    unsigned index;

    for (size_t k = 0; k < ARRAY_SIZE(ids); k++)
        for (unsigned i = 0; i < 32; i++) {
            net_tap_name(0x3fff, ids[k], i, name);
            assert_true(strlen(name) < IFNAMSIZ);
            assert_false(net_name_is_valid(name)); /* nobody else's bridge is called so */
            assert_true(net_tap_name_parse(name, 0x3fff, &vmid, &index));
            assert_true(vmid == ids[k] && index == i);
            assert_false(net_tap_name_parse(name, 0x3ffe, &vmid, &index));
        }
    assert_false(net_tap_name_parse("vmbr0", 0x3fff, &vmid, &index));
    assert_false(net_tap_name_parse("h3fff", 0x3fff, &vmid, &index));
    assert_false(net_tap_name_parse("h3fff990", 0x3fff, &vmid, &index));
    assert_false(net_tap_name_parse("h3fff100z", 0x3fff, &vmid, &index));
}

static void text_is_for_ifupdown(void **state)
{
    struct net_iface i = bridge("vmbr0");
    struct net_config c = {.items = &i, .n = 1};
    struct buf b;

    snprintf(i.cidr, sizeof(i.cidr), "10.0.0.1/24");
    snprintf(i.comments, sizeof(i.comments), "one\n\tpost-up reboot\n");
    buf_init(&b, 4096);
    net_config_text(&c, 0x1a, &b);
    assert_non_null(strstr(buf_str(&b), "auto vmbr0\niface vmbr0 inet static\n\taddress 10.0.0.1/24\n"));
    assert_non_null(strstr(buf_str(&b), "\tpost-up ip link set dev vmbr0 alias holm-001a\n"));
    /* A comment cannot become a line of its own. */
    assert_non_null(strstr(buf_str(&b), "#one\n#\tpost-up reboot\n"));
    buf_done(&b);
}

static void bonds_are_checked(void **state)
{
    static const struct {
        const char *slaves, *mode, *hash, *primary;
        bool is_good;
    } cases[] = {
        {"nic0 nic1", "", "", "", true},           {"nic0 nic1", "active-backup", "", "nic1", true},
        {"nic0", "802.3ad", "layer3+4", "", true}, {"", "802.3ad", "", "", false},
        {"nic0", "balance-slb", "", "", false},    {"nic0", "active-backup", "layer2", "", false},
        {"nic0", "balance-rr", "", "nic0", false}, {"nic01", "active-backup", "", "nic0", false},
        {"nic0", "802.3ad", "layer9", "", false},
    };
    struct err e = ERR_INIT;

    for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
        struct net_iface i = {.name = "bond0", .type = NET_BOND};
        snprintf(i.ports, sizeof(i.ports), "%s", cases[k].slaves);
        snprintf(i.bond_mode, sizeof(i.bond_mode), "%s", cases[k].mode);
        snprintf(i.bond_hash, sizeof(i.bond_hash), "%s", cases[k].hash);
        snprintf(i.bond_primary, sizeof(i.bond_primary), "%s", cases[k].primary);
        assert_int_equal(net_iface_check(&i, &e) == 0, cases[k].is_good);
    }
}

static void trunks_are_bounded(void **state)
{
    static const char *const bad[] = {"",      ";",  "0",   "4095",  "5-4", "a",   "5;-7",
                                      "5-6-7", "-5", "5 6", "1;2;x", "5-",  "0-5", "99999999999999999999"};
    struct net_vlans v[NET_TRUNKS_MAX];
    char many[200] = "";
    unsigned n = 0;

    assert_int_equal(net_trunks_parse("5;7-9;4094", v, &n), 0);
    assert_int_equal(n, 3);
    assert_true(v[1].first == 7 && v[1].last == 9 && v[2].first == 4094 && v[0].last == 5);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(net_trunks_parse(bad[i], v, &n), -EINVAL);
    for (unsigned i = 0; i < NET_TRUNKS_MAX; i++)
        snprintf(many + strlen(many), sizeof(many) - strlen(many), "%s%u", i ? ";" : "", i + 1);
    assert_int_equal(net_trunks_parse(many, v, &n), 0);
    snprintf(many + strlen(many), sizeof(many) - strlen(many), ";99");
    assert_int_equal(net_trunks_parse(many, v, &n), -EINVAL);
}

static void leases_of_strangers(void **state)
{
    char text[] = "1700000000 02:00:00:00:00:01 10.0.0.9 web-1 01:02\n"
                  "1700000000 02:00:00:00:00:02 10.0.0.10 * *\n"
                  "1700000000 02:00:00:00:00:03 10.0.0.11 a\033[2J *\n"
                  "x 02:00:00:00:00:04 10.0.0.12 a *\n"
                  "1700000000 02:00:00:00:00 10.0.0.13 a *\n"
                  "1700000000 02:00:00:00:00:06 10.0.0.300 a *\n"
                  "duid 00:01\n\n1700000000";
    struct net_lease l[4];

    assert_int_equal(net_leases_parse(text, "vmbr0", l, ARRAY_SIZE(l)), 3);
    assert_string_equal(l[0].name, "web-1");
    assert_string_equal(l[0].address, "10.0.0.9");
    assert_true(l[1].name[0] == 0 && l[2].name[0] == 0 && l[2].expires_s == 1700000000);
    char two[] = "1 02:00:00:00:00:01 10.0.0.9 a *\n1 02:00:00:00:00:02 10.0.0.8 b *\n";
    assert_int_equal(net_leases_parse(two, "vmbr0", l, 1), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out), cmocka_unit_test(damaged_state_is_refused),
        cmocka_unit_test(names_are_checked),      cmocka_unit_test(taps_are_named_for_their_guest),
        cmocka_unit_test(text_is_for_ifupdown),   cmocka_unit_test(bonds_are_checked),
        cmocka_unit_test(trunks_are_bounded),     cmocka_unit_test(leases_of_strangers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
