/* net init and net remove: a bridge for guests in one go, changed and applied. Both refuse when other changes are
 * pending, which applying would apply too, and take their own change back when it cannot be applied. */
#include <arpa/inet.h>

#include "cli/run_priv.h"

#define DEFAULT_BRIDGE "vmbr0"
#define DEFAULT_SUBNET "10.87.0.0/24"

static int call(struct cli *c, const char *method, const char *iface, const struct cli_param *params, size_t n,
                struct reply *ret, struct err *e)
{
    char path[256];
    int r = cli_connect(c, e);

    if (r < 0)
        return r;
    snprintf(path, sizeof(path), "/nodes/%s/network%s%s", cli_node(c), iface ? "/" : "", iface ? iface : "");
    struct request q = {.method = method, .path = path, .params = params, .n_params = n};
    return call_api(c, &q, ret, e);
}

static int refuse_pending(struct cli *c, struct err *e)
{
    autoreply struct reply reply = REPLY_INIT;
    int r = call(c, "GET", NULL, NULL, 0, &reply, e);
    size_t i;
    json_t *row;

    if (r < 0)
        return r;
    json_array_foreach(reply.data, i, row)
    {
        if (!json_object_get(row, "pending"))
            continue;
        err_set(e, -EBUSY, "net.pending", "other changes of the networks are pending");
        return err_hint(e, "holm net apply applies them, holm net revert drops them");
    }
    return 0;
}

static int apply(struct cli *c, struct err *e)
{
    autoreply struct reply reply = REPLY_INIT, dropped = REPLY_INIT;
    struct err ignored = ERR_INIT;
    json_t *result = NULL;
    int r = call(c, "PUT", NULL, NULL, 0, &reply, e);

    if (r == 0)
        r = run_finish(c, reply.data, &result, e);
    json_decref(result);
    if (r < 0 && r != -EINTR && call(c, "DELETE", NULL, NULL, 0, &dropped, &ignored) < 0)
        err_hint(e, "the change is still pending: holm net revert drops it");
    return r;
}

/* The bridge has the first address of the subnet; from the sixteenth part of it on, addresses are for guests. */
static int plan(const char *subnet, char *cidr, char *range, size_t cap, struct err *e)
{
    char text[INET_ADDRSTRLEN], first[INET_ADDRSTRLEN], last[INET_ADDRSTRLEN];
    const char *slash = strchr(subnet, '/');
    uint64_t prefix;
    struct in_addr a;

    if (!slash || (size_t)(slash - subnet) >= sizeof(text) || str_to_u64(slash + 1, &prefix) < 0 || prefix < 8 ||
        prefix > 28)
        return err_set(e, -EINVAL, "cli.usage", "--subnet is NETWORK/BITS with 8 to 28 bits, as %s", DEFAULT_SUBNET);
    snprintf(text, sizeof(text), "%.*s", (int)(slash - subnet), subnet);
    if (inet_pton(AF_INET, text, &a) != 1)
        return err_set(e, -EINVAL, "cli.usage", "'%s' is not a network", subnet);
    uint32_t size = UINT32_C(1) << (32 - prefix), net = ntohl(a.s_addr) & ~(size - 1);
    a.s_addr = htonl(net + 1);
    snprintf(cidr, cap, "%s/%u", inet_ntop(AF_INET, &a, text, sizeof(text)), (unsigned)prefix);
    a.s_addr = htonl(net + (size / 16 > 2 ? size / 16 : 2));
    inet_ntop(AF_INET, &a, first, sizeof(first));
    a.s_addr = htonl(net + size - 2);
    inet_ntop(AF_INET, &a, last, sizeof(last));
    snprintf(range, cap, "%s-%s", first, last);
    return 0;
}

int net_init_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e)
{
    const char *subnet = args_get(a, "subnet", true), *iface = a->n_pos ? a->pos[0] : DEFAULT_BRIDGE;
    char cidr[48], range[48];
    autoreply struct reply reply = REPLY_INIT;
    int r = plan(subnet ? subnet : DEFAULT_SUBNET, cidr, range, sizeof(cidr), e);

    if (r == 0)
        r = refuse_pending(c, e);
    if (r < 0)
        return r;
    struct cli_param params[6] = {{"iface", (char *)iface}, {"type", "bridge"}, {"cidr", cidr}, {"autostart", "1"}};
    size_t n = 4;
    if (!args_get(a, "no-nat", true))
        params[n++] = (struct cli_param){.key = "nat", .value = "1"};
    if (!args_get(a, "no-dhcp", true))
        params[n++] = (struct cli_param){.key = "dhcp-range", .value = range};
    r = call(c, "POST", NULL, params, n, &reply, e);
    return r < 0 ? r : apply(c, e);
}

int net_remove_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e)
{
    autoreply struct reply reply = REPLY_INIT;
    int r = strchr(a->pos[0], '/') ? err_set(e, -EINVAL, "cli.usage", "'%s' is not an interface", a->pos[0]) : 0;

    if (r == 0)
        r = refuse_pending(c, e);
    if (r == 0)
        r = call(c, "DELETE", a->pos[0], NULL, 0, &reply, e);
    return r < 0 ? r : apply(c, e);
}
