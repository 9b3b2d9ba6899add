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
        "{\"format\":1,\"interfaces\":{\"vmbr0\":{\"type\":\"bond\"}}}",
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out), cmocka_unit_test(damaged_state_is_refused),
        cmocka_unit_test(names_are_checked),      cmocka_unit_test(taps_are_named_for_their_guest),
        cmocka_unit_test(text_is_for_ifupdown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
