/* Memory of a guest: size, huge pages, NUMA nodes. `numa: 1` alone makes a node of each socket; keys numa0, numa1, …
 * say it themselves and must then add up to the whole memory. Huge pages come from an anonymous file of QEMU's own, so
 * no path is opened. Pure. */
#include <ctype.h>

#include "engine/qemu_priv.h"

#define NODES_MAX 8u

struct node {
    char cpus[64], host_nodes[64];
    const char *policy; /* NULL: wherever the host likes */
    uint64_t memory_mib;
};
struct nodes {
    struct node items[NODES_MAX];
    size_t n;
};

/* "0-3;6" with numbers below `limit`; ranges go up. Written with comma in between. */
static int parse_ranges(const char *key, const char *value, uint64_t limit, char *ret, size_t cap, struct err *e)
{
    char number[8];
    size_t len = 0;
    uint64_t from = 0, n;
    bool is_range = false;

    ret[0] = 0;
    for (const char *p = value;; p++) {
        size_t digits = strspn(p, "0123456789");
        if (!digits || digits >= sizeof(number))
            return err_set(e, -EINVAL, "param.invalid", "%s: '%.40s' is not a list of numbers", key, value);
        memcpy(number, p, digits);
        number[digits] = 0;
        if (str_to_u64(number, &n) < 0 || n >= limit || (is_range && n < from))
            return err_set(e, -EINVAL, "param.invalid", "%s: %s is out of range", key, number);
        int written = snprintf(ret + len, cap - len, "%s%s", number, p[digits] == ';' ? "," : p[digits] ? "-" : "");
        if (written < 0 || (size_t)written >= cap - len)
            return err_set(e, -EINVAL, "param.invalid", "%s: '%.40s' is too long", key, value);
        len += (size_t)written;
        p += digits;
        if (!*p)
            return 0;
        if (*p != ';' && (*p != '-' || is_range))
            return err_set(e, -EINVAL, "param.invalid", "%s: '%.40s' is not a list of numbers", key, value);
        is_range = *p == '-';
        from = n;
    }
}

static int parse_node(const char *key, const char *value, uint32_t n_cpus, struct node *ret, struct err *e)
{
    struct propstr p;
    int r = propstr_parse(value, NULL, &p, e);

    *ret = (struct node){0};
    if (r < 0)
        return err_wrap(e, r, "%s", key);
    const char *cpus = propstr_get(&p, "cpus"), *host_nodes = propstr_get(&p, "hostnodes");
    const char *policy = propstr_get(&p, "policy");
    r = propstr_get_u64(&p, "memory", 0, &ret->memory_mib, e);
    if (r < 0)
        return err_wrap(e, r, "%s", key);
    if (!cpus || !ret->memory_mib)
        return err_set(e, -EINVAL, "param.invalid", "%s: cpus and memory are needed", key);
    if (policy && !host_nodes)
        return err_set(e, -EINVAL, "param.invalid", "%s: policy needs hostnodes", key);
    r = parse_ranges(key, cpus, n_cpus, ret->cpus, sizeof(ret->cpus), e);
    if (r == 0 && host_nodes) {
        static const char *const policies[] = {"preferred", "bind", "interleave"};
        r = parse_ranges(key, host_nodes, 1024, ret->host_nodes, sizeof(ret->host_nodes), e);
        for (size_t i = 0; i < ARRAY_SIZE(policies); i++)
            if (streq(policy ? policy : "bind", policies[i]))
                ret->policy = policies[i];
    }
    return r < 0 || !host_nodes || ret->policy ? r : err_set(e, -EINVAL, "param.invalid", "%s: policy", key);
}

static void nodes_of_sockets(uint64_t memory_mib, uint32_t sockets, uint32_t cores, struct nodes *ret)
{
    ret->n = sockets;
    for (uint32_t i = 0; i < sockets; i++) {
        struct node *n = &ret->items[i];
        *n = (struct node){.memory_mib = memory_mib / sockets + (i == 0 ? memory_mib % sockets : 0)};
        snprintf(n->cpus, sizeof(n->cpus), "%u-%u", i * cores, (i + 1) * cores - 1);
    }
}

/* ret->n is 0 for a guest without NUMA. */
static int find_nodes(const struct config_item *config, size_t n_config, uint64_t memory_mib, uint32_t sockets,
                      uint32_t cores, struct nodes *ret, struct err *e)
{
    const char *numa = config_item_get(config, n_config, "numa");
    bool is_on = false;
    uint64_t sum = 0;
    char key[16];

    ret->n = 0;
    if (!numa || propstr_bool(numa, &is_on) < 0 || !is_on)
        return 0;
    for (unsigned i = 0; i < NODES_MAX; i++) {
        snprintf(key, sizeof(key), "numa%u", i);
        const char *value = config_item_get(config, n_config, key);
        if (!value)
            continue;
        if (i != ret->n)
            return err_set(e, -EINVAL, "param.invalid", "%s: numa%zu is missing before it", key, ret->n);
        int r = parse_node(key, value, sockets * cores, &ret->items[ret->n++], e);
        if (r < 0)
            return r;
        sum += ret->items[i].memory_mib;
    }
    if (ret->n && sum != memory_mib)
        return err_set(e, -EINVAL, "param.invalid",
                       "numa0: the nodes have %llu MiB together, the guest has %llu (memory)", (unsigned long long)sum,
                       (unsigned long long)memory_mib);
    if (!ret->n && sockets > NODES_MAX)
        return engine_unsupported(e, "qemu", "numa", "more than %u sockets", NODES_MAX);
    if (!ret->n)
        nodes_of_sockets(memory_mib, sockets, cores, ret);
    return 0;
}

static uint64_t number(const struct config_item *config, size_t n, const char *key, uint64_t fallback)
{
    const char *value = config_item_get(config, n, key);
    uint64_t v;

    return value && str_to_u64(value, &v) == 0 && v ? v : fallback;
}

uint64_t engine_memory_mib(const struct config_item *config, size_t n)
{
    const char *value = config_item_get(config, n, "memory");
    struct err ignored = ERR_INIT;
    struct propstr p;
    uint64_t mib;

    if (!value || propstr_parse(value, "current", &p, &ignored) < 0 ||
        propstr_get_u64(&p, "current", 512, &mib, &ignored) < 0)
        return 512;
    return mib;
}

/* What is not in modules that come and go. */
static uint64_t board_mib(const struct config_item *config, size_t n, uint64_t memory_mib)
{
    return engine_hotplug(config, n) & ENGINE_HOTPLUG_MEMORY ? QEMU_STATIC_MIB : memory_mib;
}

uint32_t engine_sockets(const struct config_item *config, size_t n)
{
    uint64_t v = number(config, n, "sockets", number(config, n, "smp", 1));

    return v > UINT16_MAX ? UINT16_MAX : (uint32_t)v;
}

int qemu_check_memory(const struct config_item *config, size_t n, struct err *e)
{
    uint64_t mib = engine_memory_mib(config, n), sockets = engine_sockets(config, n);
    uint64_t cores = number(config, n, "cores", 1);
    const char *huge = config_item_get(config, n, "hugepages");
    struct nodes nodes;

    if (sockets > 255 || cores > 255 || sockets * cores > 255)
        return err_set(e, -EINVAL, "param.invalid", "cores and sockets make more than 255 CPUs");
    if (huge && mib % (streq(huge, "1024") ? 1024 : 2))
        return err_set(e, -EINVAL, "param.invalid", "hugepages: memory is not a multiple of the page size");
    int r = qemu_check_hotplug(config, n, mib, e);
    if (r == 0)
        r = find_nodes(config, n, board_mib(config, n, mib), (uint32_t)sockets, (uint32_t)cores, &nodes, e);
    for (size_t i = 0; r == 0 && huge && i < nodes.n; i++)
        if (nodes.items[i].memory_mib % (streq(huge, "1024") ? 1024 : 2))
            r = err_set(e, -EINVAL, "param.invalid", "hugepages: the memory of node %zu does not fit their size", i);
    return r;
}

/* One -object with memory in it. host_nodes: "0,2-3". */
static void add_backend(struct qemu_build *q, const char *id, uint64_t mib, const struct node *node)
{
    uint32_t page_mib = q->vm->hugepage_mib;
    struct qemu_json d;
    unsigned long from, to;

    qemu_json_begin(&d);
    jw_kv_str(&d.w, "qom-type", page_mib ? "memory-backend-memfd" : "memory-backend-ram");
    jw_kv_str(&d.w, "id", id);
    jw_kv_u64(&d.w, "size", mib << 20);
    if (page_mib) {
        jw_key(&d.w, "hugetlb");
        jw_bool(&d.w, true);
        jw_kv_u64(&d.w, "hugetlbsize", (uint64_t)page_mib << 20);
        jw_key(&d.w, "prealloc"); /* what is missing shows at the start, not as a SIGBUS later */
        jw_bool(&d.w, true);
    }
    if (node && node->policy) {
        jw_key(&d.w, "host-nodes");
        jw_array(&d.w);
        for (const char *p = node->host_nodes; *p;) {
            char *end;
            from = to = strtoul(p, &end, 10);
            if (*end == '-')
                to = strtoul(end + 1, &end, 10);
            for (; from <= to; from++)
                jw_u64(&d.w, from);
            p = end + (*end == ',');
        }
        jw_array_end(&d.w);
        jw_kv_str(&d.w, "policy", node->policy);
    }
    qemu_json_end(q, "-object", &d);
}

unsigned qemu_count_nodes(const struct engine_vm *vm)
{
    unsigned n = 0;

    for (size_t i = 0; i < vm->n_config; i++)
        n += engine_key_index(vm->config[i].key, "numa") >= 0;
    return n ? n : vm->sockets;
}

void qemu_add_backend(struct qemu_build *q, const char *id, uint64_t mib)
{
    add_backend(q, id, mib, NULL);
}

/* "cpus=0-1,cpus=4": each range is an item of its own. */
static void append_cpus(struct buf *b, const char *cpus)
{
    buf_append_str(b, ",cpus=");
    for (; *cpus; cpus++)
        if (*cpus == ',')
            buf_append_str(b, ",cpus=");
        else
            buf_append_char(b, *cpus);
}

int qemu_add_memory(struct qemu_build *q, struct err *e)
{
    const struct engine_vm *vm = q->vm;
    struct nodes nodes;
    char id[24];
    bool is_modular = engine_hotplug(vm->config, vm->n_config) & ENGINE_HOTPLUG_MEMORY;
    uint64_t board = board_mib(vm->config, vm->n_config, vm->memory_mib);
    int r = find_nodes(vm->config, vm->n_config, board, vm->sockets, vm->cores, &nodes, e);

    if (r < 0)
        return r;
    qemu_arg(q, "-m");
    if (is_modular)
        qemu_argf(q, "size=%lluM,slots=%u,maxmem=%uM", (unsigned long long)board, QEMU_DIMM_SLOTS,
                  QEMU_HOTPLUG_MAX_MIB);
    else
        qemu_argf(q, "size=%lluM", (unsigned long long)board);
    if (!nodes.n && vm->hugepage_mib) {
        add_backend(q, "ram", board, NULL);
        qemu_arg(q, "-machine");
        qemu_arg(q, "memory-backend=ram");
    }
    for (size_t i = 0; i < nodes.n; i++) {
        autobuf struct buf cpus;
        snprintf(id, sizeof(id), "ram-node%zu", i);
        add_backend(q, id, nodes.items[i].memory_mib, &nodes.items[i]);
        buf_init(&cpus, 1024);
        append_cpus(&cpus, nodes.items[i].cpus);
        qemu_arg(q, "-numa");
        qemu_argf(q, "node,nodeid=%zu%s,memdev=%s", i, buf_str(&cpus), id);
    }
    return is_modular ? qemu_add_dimms(q, (unsigned)nodes.n, e) : 0;
}
