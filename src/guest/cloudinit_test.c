/* cloud-init: what each key may be, what is made of a configuration (compared as a whole), hashes, and which drive it
 * is. The image as a guest sees it is looked at in tests/system/test_cloudinit.py. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <crypt.h>

#include "guest/cloudinit.h"

#define ED25519 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
#define ECDSA   "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAUAAECAwQFBgcICQoLDA0ODxAREhM="

static int check(const char *key, const char *value)
{
    struct err e = ERR_INIT;
    int r = cloudinit_check(key, value, &e);

    assert_true(r == 0 || (r == -EINVAL && str_starts(e.code, "param.") && e.text[0]));
    return r;
}

static void test_accepted(void **state)
{
    static const char *const good[][2] = {
        {"ciuser", "debian"},
        {"ciuser", "_x.y-z@EXAMPLE$"},
        {"cipassword", "a pass word: \"'#"},
        {"ciupgrade", "0"},
        {"citype", "nocloud"},
        {"ipconfig0", "ip=dhcp"},
        {"ipconfig31", "ip=192.0.2.7/24,gw=192.0.2.1,ip6=2001:db8::7/64,gw6=fe80::1"},
        {"ipconfig1", "ip6=auto"},
        {"ipconfig1", "ip6=dhcp,ip=10.0.0.1/32"},
        {"nameserver", "192.0.2.1 2001:db8::1"},
        {"nameserver", "192.0.2.1,192.0.2.2;192.0.2.3"},
        {"searchdomain", "example.com lab.example.com"},
        {"cicustom", "user=local:snippets/u.yaml"},
        {"cicustom", "meta=local:snippets/m,network=local:snippets/n,vendor=local:snippets/v"},
        {"sshkeys", "ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"},
        {"sshkeys",
         "ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f%20me%40host%0D%0A%0A"
         "ecdsa-sha2-nistp256%20AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAUAAECAwQFBgcICQoLDA0ODxAREhM%3D%0A"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        if (check(good[i][0], good[i][1]) < 0)
            fail_msg("%s=%s", good[i][0], good[i][1]);
}

static void test_refused(void **state)
{
    static const char *const bad[][2] = {
        {"ciuser", ""},
        {"ciuser", "-rf"},
        {"ciuser", "a b"},
        {"ciuser", "a:b"},
        {"ciuser", "a\nb"},
        {"cipassword", ""},
        {"cipassword", "a\nb"},
        {"cipassword", CLOUDINIT_HIDDEN},
        {"citype", "configdrive2"},
        {"citype", "opennebula"},
        {"ipconfig0", ""},
        {"ipconfig0", "192.0.2.7/24"},
        {"ipconfig0", "ip=192.0.2.7"},
        {"ipconfig0", "ip=192.0.2.7/33"},
        {"ipconfig0", "ip=192.0.2.7/0"},
        {"ipconfig0", "ip=192.0.2/24"},
        {"ipconfig0", "ip=auto"},
        {"ipconfig0", "ip=2001:db8::7/64"},
        {"ipconfig0", "ip=dhcp,gw=192.0.2.1"},
        {"ipconfig0", "gw=192.0.2.1"},
        {"ipconfig0", "gw6=fe80::1,ip=192.0.2.7/24"},
        {"ipconfig0", "ip=192.0.2.7/24,gw=fe80::1"},
        {"ipconfig0", "ip6=2001:db8::7/129"},
        {"ipconfig0", "ip=dhcp,ip=dhcp"},
        {"ipconfig0", "ip=dhcp,mask=8"},
        {"nameserver", "one.one"},
        {"nameserver", " "},
        {"nameserver", "1.1.1.1 1.1.1.1 1.1.1.1 1.1.1.1 1.1.1.1 1.1.1.1 1.1.1.1 1.1.1.1 1.1.1.1"},
        {"searchdomain", "exa_mple"},
        {"searchdomain", "a..b"},
        {"searchdomain", "-a"},
        {"searchdomain", "a\tb"},
        {"cicustom", ""},
        {"cicustom", "user=/etc/passwd"},
        {"cicustom", "user=local:iso/x.iso"},
        {"cicustom", "user=local:snippets/../x"},
        {"cicustom", "system=local:snippets/x"},
        {"sshkeys", ""},
        {"sshkeys", "%0A%20%0A"},
        {"sshkeys", "%"},
        {"sshkeys", "%4"},
        {"sshkeys", "%zz"},
        {"sshkeys", "ssh-ed25519"},
        {"sshkeys", "ssh-ed25519%20"},
        {"sshkeys", "ssh-ed25519%20AAAA"},
        {"sshkeys", "ssh-rsa%20AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"},
        {"sshkeys", "no-pty%20ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"},
        {"sshkeys", "ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f%00"},
        {"sshkeys", "ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f%20a%07"},
        {"sshkeys",
         "ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f%0Acloud-config"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (check(bad[i][0], bad[i][1]) == 0)
            fail_msg("%s=%s", bad[i][0], bad[i][1]);
}

static void test_caps(void **state)
{
    static char text[70000];
    size_t n = 0;

    for (unsigned i = 0; i < CLOUDINIT_KEYS_MAX; i++)
        n +=
            (size_t)snprintf(text + n, sizeof(text) - n,
                             "ssh-ed25519%%20AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f%%0A");
    assert_int_equal(check("sshkeys", text), 0);
    snprintf(text + n, sizeof(text) - n,
             "ssh-ed25519%%20AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f");
    assert_int_equal(check("sshkeys", text), -EINVAL);
    n = (size_t)snprintf(text, sizeof(text),
                         "ssh-ed25519%%20AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f%%20");
    memset(text + n, 'x', CLOUDINIT_SSHKEYS_MAX);
    text[n + CLOUDINIT_SSHKEYS_MAX] = 0;
    assert_int_equal(check("sshkeys", text), -EINVAL);
    memset(text, 'x', CLOUDINIT_PASSWORD_MAX);
    text[CLOUDINIT_PASSWORD_MAX] = 0;
    assert_int_equal(check("cipassword", text), 0);
    text[CLOUDINIT_PASSWORD_MAX] = 'x';
    text[CLOUDINIT_PASSWORD_MAX + 1] = 0;
    assert_int_equal(check("cipassword", text), -EINVAL);
}

static void test_which_keys(void **state)
{
    static const char *const own[] = {"ciuser",  "cipassword", "cicustom",     "citype",    "ciupgrade",
                                      "sshkeys", "nameserver", "searchdomain", "ipconfig0", "ipconfig31"};
    static const char *const others[] = {"name", "net0", "ipconfig", "ipconfigx", "ide2", "description"};

    for (size_t i = 0; i < ARRAY_SIZE(own); i++)
        assert_true(cloudinit_is_key(own[i]));
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        assert_false(cloudinit_is_key(others[i]));
        assert_int_equal(check(others[i], "anything"), 0);
    }
}

static void test_hash(void **state)
{
    static const char *const hashes[] = {"$5$saltsalt$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                         "$6$rounds=5000$salt$aaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                         "$2y$10$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    static const char *const foreign[] = {"$y$j9T$salt$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                          "$2b$10$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    static const char *const words[] = {"secret",
                                        "$5$",
                                        "$5$salt$",
                                        "$5$salt$short",
                                        "$7$salt$aaaaaaaaaaaaaaaaaaaaaaaaaa",
                                        "$5$salt$aaaaaaaaaaaaaaaaaaaaaaaaaaaaa:aa"};
    char a[CLOUDINIT_HASH_MAX], b[CLOUDINIT_HASH_MAX];
    struct err e = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(hashes); i++) {
        assert_int_equal(cloudinit_hash(hashes[i], a, &e), 0);
        assert_string_equal(a, hashes[i]);
        assert_int_equal(check("cipassword", a), 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
        assert_int_equal(check("cipassword", foreign[i]), -EINVAL);
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        struct crypt_data data = {0};
        assert_int_equal(cloudinit_hash(words[i], a, &e), 0);
        assert_int_equal(cloudinit_hash(words[i], b, &e), 0);
        assert_true(str_starts(a, "$5$") && strcmp(a, b) != 0);
        assert_string_equal(crypt_rn(words[i], a, &data, (int)sizeof(data)), a);
        assert_int_equal(check("cipassword", a), 0);
    }
}

static struct config config_of(const char *const (*items)[2], size_t n)
{
    struct config c = {0};

    for (size_t i = 0; i < n; i++)
        assert_int_equal(config_set(&c, items[i][0], items[i][1]), 0);
    return c;
}

static const char *const full[][2] = {
    {"name", "web"},
    {"ciuser", "on"},
    {"cipassword", "$5$salt$hash"},
    {"sshkeys", "ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f%20it%27s%3A%20me%"
                "20%23%0Aecdsa-sha2-nistp256%20AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAUAAECAwQFBgcICQoLDA0ODxAREhM%3D"},
    {"searchdomain", "example.com lab.example.com"},
    {"nameserver", "192.0.2.53 2001:db8::53"},
    {"net0", "virtio=BC:24:11:00:00:01,bridge=vmbr0"},
    {"net10", "model=e1000,macaddr=bc:24:11:00:00:0A"},
    {"net2", "virtio=BC:24:11:00:00:02"},
    {"ipconfig0", "ip=192.0.2.7/23,gw=192.0.2.1,ip6=2001:db8::7/64,gw6=fe80::1"},
    {"ipconfig10", "ip=dhcp,ip6=auto"},
    {"ipconfig2", "ip6=dhcp"},
    {"ipconfig5", "ip=dhcp"},
    {"ciupgrade", "0"},
};

static void test_user(void **state)
{
    struct config c = config_of(full, ARRAY_SIZE(full));
    struct buf b;

    buf_init(&b, 65536);
    cloudinit_user(&c, 100, false, &b);
    assert_string_equal(buf_str(&b), "#cloud-config\n"
                                     "hostname: web\n"
                                     "manage_etc_hosts: true\n"
                                     "fqdn: web.example.com\n"
                                     "user: 'on'\n"
                                     "password: '$5$salt$hash'\n"
                                     "ssh_authorized_keys:\n"
                                     "  - '" ED25519 " it''s: me #'\n"
                                     "  - '" ECDSA "'\n"
                                     "chpasswd:\n"
                                     "  expire: false\n"
                                     "users:\n"
                                     "  - default\n");
    buf_reset(&b);
    cloudinit_user(&c, 100, true, &b);
    assert_null(strstr(buf_str(&b), "salt"));
    assert_non_null(strstr(buf_str(&b), "password: '" CLOUDINIT_HIDDEN "'\n"));
    config_done(&c);
    buf_reset(&b);
    cloudinit_user(&c, 4711, false, &b);
    assert_string_equal(buf_str(&b), "#cloud-config\nhostname: VM4711\nmanage_etc_hosts: true\n"
                                     "chpasswd:\n  expire: false\nusers:\n  - default\npackage_upgrade: true\n");
    static const char *const root[][2] = {
        {"name", "a.b.example"}, {"ciuser", "root"}, {"searchdomain", "other.example"}};
    c = config_of(root, ARRAY_SIZE(root));
    buf_reset(&b);
    cloudinit_user(&c, 100, false, &b);
    assert_string_equal(buf_str(&b),
                        "#cloud-config\nhostname: a\nmanage_etc_hosts: true\nfqdn: a.b.example\nuser: root\n"
                        "disable_root: false\nchpasswd:\n  expire: false\npackage_upgrade: true\n");
    config_done(&c);
    buf_done(&b);
}

static void test_network(void **state)
{
    static const struct cloudinit_host none;
    struct cloudinit_host host = {.search = "host.example", .servers = {"198.51.100.1"}, .n_servers = 1};
    struct config c = config_of(full, ARRAY_SIZE(full));
    struct buf b;

    buf_init(&b, 65536);
    cloudinit_network(&c, &host, &b);
    assert_string_equal(buf_str(&b), "version: 1\n"
                                     "config:\n"
                                     "  - type: physical\n"
                                     "    name: eth0\n"
                                     "    mac_address: 'bc:24:11:00:00:01'\n"
                                     "    subnets:\n"
                                     "      - type: static\n"
                                     "        address: '192.0.2.7'\n"
                                     "        netmask: '255.255.254.0'\n"
                                     "        gateway: '192.0.2.1'\n"
                                     "      - type: static6\n"
                                     "        address: '2001:db8::7/64'\n"
                                     "        gateway: 'fe80::1'\n"
                                     "  - type: physical\n"
                                     "    name: eth2\n"
                                     "    mac_address: 'bc:24:11:00:00:02'\n"
                                     "    subnets:\n"
                                     "      - type: dhcp6\n"
                                     "  - type: physical\n"
                                     "    name: eth10\n"
                                     "    mac_address: 'bc:24:11:00:00:0a'\n"
                                     "    subnets:\n"
                                     "      - type: dhcp4\n"
                                     "      - type: ipv6_slaac\n"
                                     "  - type: nameserver\n"
                                     "    address:\n"
                                     "      - '192.0.2.53'\n"
                                     "      - '2001:db8::53'\n"
                                     "    search:\n"
                                     "      - 'example.com'\n"
                                     "      - 'lab.example.com'\n");
    config_done(&c);
    buf_reset(&b);
    cloudinit_network(&c, &host, &b);
    assert_string_equal(buf_str(&b), "version: 1\nconfig:\n  - type: nameserver\n    address:\n"
                                     "      - '198.51.100.1'\n    search:\n      - 'host.example'\n");
    buf_reset(&b);
    cloudinit_network(&c, &none, &b);
    assert_string_equal(buf_str(&b), "version: 1\nconfig: []\n");
    buf_done(&b);
}

static void test_host(void **state)
{
    struct cloudinit_host h;

    cloudinit_host_parse("# nameserver 192.0.2.9\nnameserver 127.0.0.53\nnameserver\t192.0.2.1 \r\nnameserver ::1\n"
                         "nameserver x\nnameserver 2001:db8::1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n"
                         "domain a.example\nsearch  b.example",
                         &h);
    assert_int_equal(h.n_servers, 3);
    assert_string_equal(h.servers[0], "192.0.2.1");
    assert_string_equal(h.servers[1], "2001:db8::1");
    assert_string_equal(h.servers[2], "192.0.2.2");
    assert_string_equal(h.search, "a.example");
    cloudinit_host_parse("", &h);
    assert_int_equal(h.n_servers, 0);
    assert_string_equal(h.search, "");
}

static char *meta_of(const char *user, const char *network, const char *vendor)
{
    struct buf a, b, c, out;

    buf_init(&a, 1000);
    buf_init(&b, 1000);
    buf_init(&c, 1000);
    buf_init(&out, 1000);
    buf_append_str(&a, user);
    buf_append_str(&b, network);
    buf_append_str(&c, vendor);
    cloudinit_meta(&a, &b, &c, &out);
    buf_done(&a);
    buf_done(&b);
    buf_done(&c);
    return buf_take(&out);
}

static void test_meta(void **state)
{
    autofree char *one = meta_of("ab", "c", ""), *same = meta_of("ab", "c", ""), *other = meta_of("a", "bc", ""),
                  *vendor = meta_of("ab", "", "c");

    assert_true(str_starts(one, "instance-id: ") && strlen(one) == 13 + 40 + 1);
    assert_string_equal(one, same);
    assert_string_not_equal(one, other);
    assert_string_not_equal(one, vendor);
}

static void test_drives(void **state)
{
    static const char *const drive[][2] = {{"scsi0", "local:100/vm-100-disk-0.raw,size=1G"},
                                           {"ide2", "local:100/vm-100-cloudinit.raw,media=cdrom,size=4M"}};
    struct config c = config_of(drive, ARRAY_SIZE(drive));
    char storage[8];

    assert_string_equal(cloudinit_drive_key(&c, 100), "ide2");
    assert_null(cloudinit_drive_key(&c, 101));
    config_remove(&c, "ide2");
    assert_null(cloudinit_drive_key(&c, 100));
    config_done(&c);
    assert_true(cloudinit_is_drive("local:100/vm-100-cloudinit.raw", 100));
    assert_false(cloudinit_is_drive("local:100/vm-100-cloudinit.qcow2", 100));
    assert_false(cloudinit_is_drive("local:100/vm-100-mycloudinit.raw", 100));
    assert_false(cloudinit_is_drive("local:iso/vm-100-cloudinit.iso", 100));
    assert_false(cloudinit_is_drive("none,media=cdrom", 100));
    assert_true(cloudinit_is_wanted("local:cloudinit", storage, sizeof(storage)));
    assert_string_equal(storage, "local");
    assert_true(cloudinit_is_wanted("media=cdrom,file=local:cloudinit", storage, sizeof(storage)));
    assert_false(cloudinit_is_wanted("toolong1:cloudinit", storage, sizeof(storage)));
    assert_false(cloudinit_is_wanted("local:4", storage, sizeof(storage)));
    assert_false(cloudinit_is_wanted("none", storage, sizeof(storage)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),   cmocka_unit_test(test_refused), cmocka_unit_test(test_caps),
        cmocka_unit_test(test_which_keys), cmocka_unit_test(test_hash),    cmocka_unit_test(test_user),
        cmocka_unit_test(test_network),    cmocka_unit_test(test_host),    cmocka_unit_test(test_meta),
        cmocka_unit_test(test_drives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
