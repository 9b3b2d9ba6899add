/* Keys of cloud-init: lines KEY=VALUE as a client sends them. Whatever is accepted, the files that are made of it have
 * only the lines that Holm writes: no value adds one, and none leaves its quotes. The text is the host's resolv.conf
 * too.
 */
#include "guest/cloudinit.h"
#include "image/iso9660.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *const user_lines[] = {"#cloud-config",
                                         "hostname: ",
                                         "manage_etc_hosts: true",
                                         "fqdn: ",
                                         "user: ",
                                         "disable_root: false",
                                         "password: ",
                                         "ssh_authorized_keys:",
                                         "  - '",
                                         "  - default",
                                         "chpasswd:",
                                         "  expire: false",
                                         "users:",
                                         "package_upgrade: true"};
static const char *const network_lines[] = {"version: 1",
                                            "config:",
                                            "  - type: physical",
                                            "    name: eth",
                                            "    mac_address: '",
                                            "    subnets:",
                                            "      - type: static",
                                            "      - type: dhcp4",
                                            "      - type: dhcp6",
                                            "      - type: ipv6_slaac",
                                            "        address: '",
                                            "        netmask: '",
                                            "        gateway: '",
                                            "  - type: nameserver",
                                            "    address:",
                                            "    search:",
                                            "      - '"};

/* In quotes every quote is two, but the last. */
static void check_quotes(const char *line, size_t n)
{
    const char *quote = memchr(line, '\'', n);

    if (!quote)
        return;
    for (const char *p = quote + 1; p < line + n - 1; p++)
        if (*p == '\'' && *++p != '\'')
            abort();
    if (line[n - 1] != '\'' || quote == line + n - 1)
        abort();
}

static void check_lines(const struct buf *b, const char *const *known, size_t n_known)
{
    if (b->is_failed || strlen(buf_str(b)) != b->len)
        abort();
    for (const char *line = buf_str(b); *line;) {
        size_t n = strcspn(line, "\n"), i = 0;
        while (i < n_known && !str_starts(line, known[i]))
            i++;
        if (i == n_known || line[n] != '\n')
            abort();
        for (size_t k = 0; k < n; k++)
            if ((unsigned char)line[k] < ' ')
                abort();
        check_quotes(line, n);
        line += n + 1;
    }
}

static void check_files(const struct config *c, const char *resolv_conf)
{
    struct cloudinit_host host;
    autobuf struct buf user, network, vendor, meta, image;
    struct err e = ERR_INIT;

    buf_init(&user, CLOUDINIT_SNIPPET_MAX);
    buf_init(&network, CLOUDINIT_SNIPPET_MAX);
    buf_init(&vendor, 1);
    buf_init(&meta, 256);
    buf_init(&image, CLOUDINIT_BYTES);
    cloudinit_host_parse(resolv_conf, &host);
    cloudinit_user(c, 100, false, &user);
    cloudinit_network(c, &host, &network);
    cloudinit_meta(&user, &network, &vendor, &meta);
    check_lines(&user, user_lines, ARRAY_SIZE(user_lines));
    check_lines(&network, network_lines, ARRAY_SIZE(network_lines));
    const struct iso9660_file files[] = {{"user-data", buf_str(&user), user.len},
                                         {"network-config", buf_str(&network), network.len},
                                         {"meta-data", buf_str(&meta), meta.len}};
    if (meta.is_failed || iso9660_write("cidata", files, ARRAY_SIZE(files), &image, &e) < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct config c = {0};
    autofree char *text = malloc(n + 1), *copy = NULL;

    if (!text)
        return 0;
    memcpy(text, data, n);
    text[n] = 0;
    copy = strdup(text);
    if (!copy || config_set(&c, "net0", "virtio=BC:24:11:00:00:01") < 0)
        abort();
    for (char *at = copy, *line; (line = strsep(&at, "\n"));) {
        char *value = strchr(line, '=');
        struct err e = ERR_INIT;
        if (!value)
            continue;
        *value++ = 0;
        if (cloudinit_is_key(line) && cloudinit_check(line, value, &e) == 0)
            (void)!config_set(&c, line, value);
    }
    check_files(&c, text);
    config_done(&c);
    return 0;
}
