/* The configuration of networks from state: refused, or read, and then it survives being written and read again. One
 * that passes the checks makes a text in which no line is anybody's but ours. */
#include "network/network.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_text(const struct net_config *c)
{
    static const char *const starts[] = {"#",          "auto ",      "iface ",
                                         "\taddress ", "\tgateway ", "\tbridge-",
                                         "\tvlan-",    "\tmtu ",     "\tpost-up ip link set dev "};
    autobuf struct buf text;

    buf_init(&text, 1024 * 1024);
    net_config_text(c, 7, &text);
    for (const char *line = buf_str(&text); *line; line += strcspn(line, "\n") + 1) {
        size_t i = 0;
        while (i < ARRAY_SIZE(starts) && !str_starts(line, starts[i]))
            i++;
        if (i == ARRAY_SIZE(starts) && *line != '\n')
            abort();
        if (i >= 1 && strcspn(line, ";$`|&\\\r") < strcspn(line, "\n"))
            abort();
    }
}

static void check_again(const struct net_config *c)
{
    autofree char *text = net_config_format(c);
    struct net_config again;

    if (!text)
        return; /* longer than what state takes */
    if (net_config_parse(text, &again) < 0 || again.n != c->n)
        abort();
    for (size_t i = 0; i < c->n; i++)
        if (!net_iface_is_equal(&c->items[i], &again.items[i]))
            abort();
    net_config_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    autofree char *json = malloc(n + 1);
    struct net_config c;
    struct err e = ERR_INIT;

    if (!json)
        return 0;
    memcpy(json, data, n);
    json[n] = 0;
    if (net_config_parse(json, &c) < 0)
        return 0;
    check_again(&c);
    if (net_config_check(&c, &e) == 0)
        check_text(&c);
    net_config_done(&c);
    return 0;
}
