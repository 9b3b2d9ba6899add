/* CPUs and memory modules that come and go one at a time. With `hotplug` cpu a guest starts with one CPU of the board
 * and every further one as a device of its own, cpu2, cpu3, …; with `hotplug` memory it starts with STATIC_MIB on the
 * board and the rest in modules dimm0, dimm1, …, whose sizes follow from their number alone (PVE: qemu-server,
 * Memory.pm): 32 of 512 MiB, 32 of 1 GiB and so on, so that the total says which ones are there. A running guest
 * changes by the same functions, one device per script. Pure. */
#include "engine/qemu_priv.h"

#define DIMM_FIRST_MIB 512u
#define DIMMS_PER_SIZE 32u
#define DIMMS_MAX      255u

uint32_t engine_hotplug(const struct config_item *config, size_t n)
{
    static const struct {
        const char *name;
        uint32_t bit;
    } features[] = {{"disk", ENGINE_HOTPLUG_DISK}, {"network", ENGINE_HOTPLUG_NETWORK},
                    {"cpu", ENGINE_HOTPLUG_CPU},   {"memory", ENGINE_HOTPLUG_MEMORY},
                    {"usb", ENGINE_HOTPLUG_USB},   {"cloudinit", ENGINE_HOTPLUG_CLOUDINIT}};
    const char *value = config_item_get(config, n, "hotplug");
    uint32_t bits = 0;

    if (!value || streq(value, "1"))
        return ENGINE_HOTPLUG_DISK | ENGINE_HOTPLUG_NETWORK | ENGINE_HOTPLUG_USB;
    for (const char *p = value; *p;) {
        size_t len = strcspn(p, ",");
        for (size_t i = 0; i < ARRAY_SIZE(features); i++)
            if (strlen(features[i].name) == len && strncmp(features[i].name, p, len) == 0)
                bits |= features[i].bit;
        p += len + (p[len] != 0);
    }
    return bits;
}

/* ---- CPUs ---- */

/* number from 1, in the order of sockets and cores. */
static int add_cpu_device(struct qemu_build *q, const char *driver, unsigned number)
{
    struct qemu_json d;
    char id[24];

    snprintf(id, sizeof(id), "cpu%u", number);
    qemu_device_begin(&d, driver, id);
    jw_kv_u64(&d.w, "socket-id", (number - 1) / q->vm->cores);
    jw_kv_u64(&d.w, "core-id", (number - 1) % q->vm->cores);
    jw_kv_u64(&d.w, "thread-id", 0);
    qemu_device_end(q, &d);
    return 0;
}

int qemu_add_cpu_devices(struct qemu_build *q, const char *model, unsigned from, unsigned to)
{
    char driver[80];
    int r = 0;

    snprintf(driver, sizeof(driver), "%.*s-x86_64-cpu", (int)strcspn(model, ","), model);
    for (unsigned i = from; r == 0 && i <= to; i++)
        r = add_cpu_device(q, driver, i);
    return r;
}

/* ---- memory ---- */

static uint64_t dimm_mib(unsigned index)
{
    return (uint64_t)DIMM_FIRST_MIB << (index / DIMMS_PER_SIZE);
}

/* How many modules make up this much. -EINVAL: no number of them does; ret_next_mib is then the next size that works.
 */
static int count_dimms(uint64_t memory_mib, unsigned *ret_n, uint64_t *ret_next_mib)
{
    uint64_t sum = QEMU_STATIC_MIB;
    unsigned n = 0;

    while (sum < memory_mib && n < DIMMS_MAX)
        sum += dimm_mib(n++);
    *ret_next_mib = sum;
    *ret_n = n;
    return sum == memory_mib ? 0 : -EINVAL;
}

int qemu_check_hotplug(const struct config_item *config, size_t n, uint64_t memory_mib, struct err *e)
{
    const char *numa = config_item_get(config, n, "numa"), *huge = config_item_get(config, n, "hugepages");
    bool is_on = false;
    uint64_t next;
    unsigned count;

    if (!(engine_hotplug(config, n) & ENGINE_HOTPLUG_MEMORY))
        return 0;
    if (!numa || propstr_bool(numa, &is_on) < 0 || !is_on)
        return err_set(e, -EINVAL, "param.invalid",
                       "hotplug: NUMA needs to be enabled for memory hotplug (numa is not 1)");
    if (memory_mib < QEMU_STATIC_MIB)
        return err_set(e, -EINVAL, "param.invalid", "memory: with hotplug of memory it is at least %u MiB",
                       QEMU_STATIC_MIB);
    if (memory_mib > QEMU_HOTPLUG_MAX_MIB)
        return err_set(e, -EINVAL, "param.invalid", "memory: with hotplug of memory it is at most %u MiB",
                       QEMU_HOTPLUG_MAX_MIB);
    if (count_dimms(memory_mib, &count, &next) < 0)
        return err_set(e, -EINVAL, "param.invalid",
                       "memory: with hotplug it comes in modules: %llu MiB is the next size after %llu",
                       (unsigned long long)next, (unsigned long long)memory_mib);
    if (huge && streq(huge, "1024"))
        return engine_unsupported(e, "qemu", "hugepages", "pages of 1 GiB with hotplug of memory");
    return 0;
}

static void add_dimm(struct qemu_build *q, unsigned index, unsigned n_nodes)
{
    char id[24], backend[32];
    struct qemu_json d;

    snprintf(id, sizeof(id), "dimm%u", index);
    snprintf(backend, sizeof(backend), "mem-%s", id);
    qemu_add_backend(q, backend, dimm_mib(index));
    qemu_device_begin(&d, "pc-dimm", id);
    jw_kv_str(&d.w, "memdev", backend);
    jw_kv_u64(&d.w, "node", n_nodes ? index % n_nodes : 0);
    qemu_device_end(q, &d);
}

int qemu_add_dimms(struct qemu_build *q, unsigned n_nodes, struct err *e)
{
    uint64_t next;
    unsigned count;

    if (count_dimms(q->vm->memory_mib, &count, &next) < 0)
        return err_set(e, -EINVAL, "param.invalid", "memory: %llu MiB cannot be made of modules",
                       (unsigned long long)q->vm->memory_mib);
    for (unsigned i = 0; i < count; i++)
        add_dimm(q, i, n_nodes);
    return 0;
}

/* ---- of a running guest ---- */

int qemu_grow_cpus(struct qemu_build *q, uint64_t now, struct err *e)
{
    autobuf struct buf model;
    uint32_t max = q->vm->sockets * q->vm->cores;

    buf_init(&model, 4096);
    if (now >= max)
        return err_set(e, -EINVAL, "engine.live", "you can't add more vcpus than maxcpus (%u)", max);
    int r = qemu_cpu(q->is_kvm, qemu_config(q, "cpu"), q->vm->cpu_model, &model, e);
    return r < 0 ? r : qemu_add_cpu_devices(q, buf_str(&model), (unsigned)now + 1, (unsigned)now + 1);
}

int qemu_grow_memory(struct qemu_build *q, uint64_t now_mib, unsigned *ret_index, struct err *e)
{
    uint64_t next;
    unsigned count;

    if (qemu_config(q, "hugepages"))
        return err_set(e, -EOPNOTSUPP, "engine.live", "memory of huge pages changes with the next start");
    if (count_dimms(now_mib, &count, &next) < 0 || count == DIMMS_MAX)
        return err_set(e, -EOPNOTSUPP, "engine.live",
                       "the guest was started without modules of memory: it changes with the next start");
    if (now_mib + dimm_mib(count) > q->vm->memory_mib)
        return err_set(e, -EINVAL, "param.invalid", "the next module of memory has %llu MiB",
                       (unsigned long long)dimm_mib(count));
    add_dimm(q, count, qemu_count_nodes(q->vm));
    *ret_index = count;
    return 0;
}

int qemu_last_dimm(uint64_t now_mib, uint64_t wanted_mib, unsigned *ret_index, struct err *e)
{
    uint64_t next;
    unsigned count;

    if (count_dimms(now_mib, &count, &next) < 0 || !count)
        return err_set(e, -EOPNOTSUPP, "engine.live", "memory of the board changes with the next start");
    if (now_mib - dimm_mib(count - 1) < wanted_mib)
        return err_set(e, -EINVAL, "param.invalid", "the last module of memory has %llu MiB",
                       (unsigned long long)dimm_mib(count - 1));
    *ret_index = count - 1;
    return 0;
}
