/* GET /nodes/N/hardware and /hardware/pci: what /sys says about the PCI devices of the host, with the names of the
 * hardware database if one is installed. PVE: pve-manager, API2/Hardware/PCI.pm. Read in pool threads. */
#include <ctype.h>
#include <fcntl.h>

#include "api/common.h"
#include "api/sysfs.h"

#define DEVICES     "/sys/bus/pci/devices"
#define PCI_IDS     "/usr/share/misc/pci.ids"
#define DEVICES_MAX 4096u

struct pci_device {
    char id[16];
    uint32_t class, vendor, device, subsystem_vendor, subsystem_device;
    int iommu_group; /* -1: none */
    bool has_mdev;
    char vendor_name[128], device_name[128], subsystem_vendor_name[128], subsystem_device_name[128];
};

struct pci_query {
    const char *blacklist;
    bool is_verbose;
    struct pci_device *devices;
    size_t n;
};

int api_node_hardware_index(struct api_call *c, const struct api_node_hardware_index_args *a, struct err *e)
{
    static const char *const names[] = {"pci", "usb", NULL};
    int r = api_check_node(c, a->node, e);

    return r < 0 ? r : api_reply_index(c, "type", names);
}

static void read_device(int top, const char *name, struct pci_device *d)
{
    char group[24];
    uint64_t number;
    autoclose int dir = openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    *d = (struct pci_device){.iommu_group = -1};
    snprintf(d->id, sizeof(d->id), "%s", name);
    if (dir < 0)
        return;
    d->class = (uint32_t)sysfs_u64(dir, "class", 0);
    d->vendor = (uint32_t)sysfs_u64(dir, "vendor", 0);
    d->device = (uint32_t)sysfs_u64(dir, "device", 0);
    d->subsystem_vendor = (uint32_t)sysfs_u64(dir, "subsystem_vendor", 0);
    d->subsystem_device = (uint32_t)sysfs_u64(dir, "subsystem_device", 0);
    if (sysfs_link(dir, "iommu_group", group, sizeof(group)) && str_to_u64(group, &number) == 0)
        d->iommu_group = (int)number;
    d->has_mdev = faccessat(dir, "mdev_supported_types", F_OK, 0) == 0;
}

/* "05;0x0604": hexadecimal numbers, one separator between them, or nothing. */
static bool is_class_list(const char *s)
{
    if (!*s)
        return true; /* none */
    for (;; s++) {
        s += str_starts(s, "0x") ? 2 : 0;
        size_t n = strspn(s, "0123456789abcdefABCDEF");
        if (n < 1 || n > 6)
            return false;
        s += n;
        if (!*s)
            return true;
        if (!strchr(",; ", *s))
            return false;
    }
}

/* Classes are listed by the beginning of their six hexadecimal digits. */
static bool is_left_out(const char *blacklist, uint32_t class)
{
    char digits[8];

    snprintf(digits, sizeof(digits), "%06x", class);
    for (const char *p = blacklist; *p;) {
        size_t n = strcspn(p, ",; ");
        const char *item = p;
        size_t skip = n > 2 && item[0] == '0' && (item[1] == 'x' || item[1] == 'X') ? 2 : 0;
        if (n > skip && n - skip <= 6 && strncasecmp(item + skip, digits, n - skip) == 0)
            return true;
        p += n + (p[n] != 0);
    }
    return false;
}

static void set_name(char dst[128], const char *text)
{
    if (!dst[0])
        snprintf(dst, 128, "%.*s", (int)strcspn(text, "\r\n"), text);
}

/* A line of the database: "VVVV  NAME", "\tDDDD  NAME", "\t\tSVSV SDSD  NAME". */
static void name_devices(struct pci_query *q, const char *line, uint32_t *vendor, uint32_t *device)
{
    unsigned depth = line[0] != '\t' ? 0 : line[1] != '\t' ? 1 : 2;
    char *end;
    uint32_t id = (uint32_t)strtoul(line + depth, &end, 16), second = 0;

    if (end != line + depth + 4)
        return;
    if (depth == 2)
        second = (uint32_t)strtoul(end, &end, 16);
    end += strspn(end, " ");
    if (depth == 0)
        *vendor = id, *device = UINT32_MAX;
    else if (depth == 1)
        *device = id;
    for (size_t i = 0; i < q->n; i++) {
        struct pci_device *d = &q->devices[i];
        if (depth == 0 && d->vendor == id)
            set_name(d->vendor_name, end);
        if (depth == 0 && d->subsystem_vendor == id)
            set_name(d->subsystem_vendor_name, end);
        if (depth == 1 && d->vendor == *vendor && d->device == id)
            set_name(d->device_name, end);
        if (depth == 2 && d->vendor == *vendor && d->device == *device && d->subsystem_vendor == id &&
            d->subsystem_device == second)
            set_name(d->subsystem_device_name, end);
    }
}

static void read_names(struct pci_query *q)
{
    autofclose FILE *f = fopen(PCI_IDS, "re");
    uint32_t vendor = UINT32_MAX, device = UINT32_MAX;
    char line[512];

    while (f && fgets(line, sizeof(line), f)) {
        if (line[0] == 'C') /* classes follow */
            break;
        if (line[0] == '\t' || isxdigit((unsigned char)line[0]))
            name_devices(q, line, &vendor, &device);
    }
}

static int read_devices(void *ctx, struct err *e)
{
    struct pci_query *q = ctx;
    char **names;
    autoclose int top = open(DEVICES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    size_t n = sysfs_names(AT_FDCWD, DEVICES, &names, DEVICES_MAX);

    q->devices = calloc(n + 1, sizeof(*q->devices));
    for (size_t i = 0; q->devices && i < n; i++) {
        read_device(top, names[i], &q->devices[q->n]);
        q->n += !is_left_out(q->blacklist, q->devices[q->n].class);
    }
    sysfs_names_free(names, n);
    if (!q->devices)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    if (q->is_verbose && q->n)
        read_names(q);
    return 0;
}

static void write_hex(struct jw *w, const char *key, unsigned digits, uint32_t value)
{
    char text[16];

    snprintf(text, sizeof(text), "0x%0*x", (int)digits, value);
    jw_kv_str(w, key, text);
}

static void write_name(struct jw *w, const char *key, const char *name)
{
    if (name[0])
        jw_kv_str(w, key, name);
}

static void write_details(struct jw *w, const struct pci_device *d)
{
    write_name(w, "vendor_name", d->vendor_name);
    write_name(w, "device_name", d->device_name);
    if (d->subsystem_vendor) {
        write_hex(w, "subsystem_vendor", 4, d->subsystem_vendor);
        write_hex(w, "subsystem_device", 4, d->subsystem_device);
    }
    write_name(w, "subsystem_vendor_name", d->subsystem_vendor_name);
    write_name(w, "subsystem_device_name", d->subsystem_device_name);
    if (d->has_mdev)
        jw_kv_int(w, "mdev", 1);
}

static void write_device(struct jw *w, const struct pci_device *d, bool is_verbose)
{
    jw_object(w);
    jw_kv_str(w, "id", d->id);
    write_hex(w, "class", 6, d->class);
    write_hex(w, "vendor", 4, d->vendor);
    write_hex(w, "device", 4, d->device);
    jw_kv_int(w, "iommugroup", d->iommu_group);
    if (is_verbose)
        write_details(w, d);
    jw_object_end(w);
}

static int finish_devices(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct pci_query *q = ctx;

    if (r == 0) {
        jw_array(&c->out);
        for (size_t i = 0; i < q->n; i++)
            write_device(&c->out, &q->devices[i], q->is_verbose);
        jw_array_end(&c->out);
    }
    free(q->devices);
    return r;
}

int api_node_hardware_pci(struct api_call *c, const struct api_node_hardware_pci_args *a, struct err *e)
{
    int r = api_check_node(c, a->node, e);
    struct pci_query *q = r < 0 ? NULL : arena_alloc(&c->arena, sizeof(*q));

    if (r < 0)
        return r;
    if (!q)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    if (a->pci_class_blacklist && !is_class_list(a->pci_class_blacklist))
        return api_param_error(c, e, "pci-class-blacklist", "value is no list of hexadecimal classes");
    *q = (struct pci_query){.blacklist = a->pci_class_blacklist ? a->pci_class_blacklist : "05;06;0b",
                            .is_verbose = a->has_verbose ? a->verbose : true};
    return api_offload(c, read_devices, finish_devices, q);
}
