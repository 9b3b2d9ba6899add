/* GET /nodes/N/disks and /disks/list: the host's disks and partitions, from /sys/block, /proc and what udev found. PVE:
 * pve-storage, Diskmanage.pm. Nothing is asked of the disks but whether they begin with a GPT: health is unknown. Read
 * in pool threads. */
#include <fcntl.h>
#include <sys/stat.h>

#include "api/common.h"
#include "api/sysfs.h"
#include "base/fs.h"

#define DISKS_MAX    512u
#define PARTS_MAX    256u
#define REPLY_BYTES  (4u * 1024u * 1024u)
#define PROC_MAX     (1024u * 1024u)
#define SECTOR_BYTES 512u

struct disks_query {
    bool has_partitions, is_unused_only, is_journal_only;
    struct buf mounts, swaps; /* /proc/self/mountinfo, /proc/swaps */
    struct buf json;
};

struct disk {
    char name[64], number[24]; /* "sda1", "8:1" */
    char parent[64];           /* "" for a whole disk */
    char model[128], serial[128], vendor[64], wwn[64], fs[64], used[64];
    uint64_t size_bytes;
    bool is_gpt, is_mounted, is_rotational;
};

int api_node_disks_index(struct api_call *c, const struct api_node_disks_index_args *a, struct err *e)
{
    static const char *const names[] = {"directory", "list", "lvm", "lvmthin", "smart", "zfs", NULL};
    int r = api_check_node(c, a->node, e);

    return r < 0 ? r : api_reply_index(c, "name", names);
}

/* Not what the kernel makes out of other things: loops, RAM, device mapper, RAID, optical drives. */
static bool is_disk_name(const char *name)
{
    static const char *const stems[] = {"hd", "mmcblk", "nvme", "pmem", "sd", "vd", "xvd"};

    for (size_t i = 0; i < ARRAY_SIZE(stems); i++)
        if (str_starts(name, stems[i]))
            return !strstr(name, "boot") && !strstr(name, "rpmb");
    return false;
}

/* A property that udev keeps of a device: "E:KEY=VALUE" in /run/udev/data/bMAJOR:MINOR. */
static void udev_property(const char *udev, const char *key, char *dst, size_t cap)
{
    size_t k = strlen(key);

    for (const char *line = udev; *line && !dst[0];) {
        size_t n = strcspn(line, "\n");
        if (n > k + 3 && strncmp(line, "E:", 2) == 0 && strncmp(line + 2, key, k) == 0 && line[2 + k] == '=')
            snprintf(dst, cap, "%.*s", (int)(n - k - 3), line + k + 3);
        line += n + (line[n] != 0);
    }
}

static void read_udev(struct disk *d)
{
    struct err e = ERR_INIT;
    char path[80], table[16] = "";
    struct buf b;

    snprintf(path, sizeof(path), "/run/udev/data/b%s", d->number);
    buf_init(&b, 65536);
    if (fs_read_file(AT_FDCWD, path, &b, &e) == 0) {
        udev_property(buf_str(&b), "ID_SERIAL_SHORT", d->serial, sizeof(d->serial));
        udev_property(buf_str(&b), "ID_MODEL", d->model, sizeof(d->model));
        udev_property(buf_str(&b), "ID_WWN", d->wwn, sizeof(d->wwn));
        udev_property(buf_str(&b), "ID_FS_TYPE", d->fs, sizeof(d->fs));
        udev_property(buf_str(&b), "ID_PART_TABLE_TYPE", table, sizeof(table));
        d->is_gpt = streq(table, "gpt");
    }
    buf_done(&b);
}

/* The header of a GPT is in the second sector, of whatever size these are. */
static bool begins_with_gpt(const char *name)
{
    static const off_t places[] = {512, 4096};
    char path[80], magic[8];

    snprintf(path, sizeof(path), "/dev/%s", name);
    autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        if (pread(fd, magic, 8, places[i]) == 8 && memcmp(magic, "EFI PART", 8) == 0)
            return true;
    return false;
}

/* "ID PARENT MAJOR:MINOR ROOT …" */
static bool is_mounted(const char *mounts, const char *number)
{
    char column[32];

    snprintf(column, sizeof(column), " %s ", number);
    return strstr(mounts, column) != NULL;
}

static bool is_swap(const char *swaps, const char *name)
{
    char path[80];

    snprintf(path, sizeof(path), "/dev/%s ", name);
    return strstr(swaps, path) != NULL;
}

/* What was made out of the device: a name as PVE gives it. */
static void holder_use(int dir, char dst[64])
{
    char **names, path[300], uuid[128];
    size_t n = sysfs_names(dir, "holders", &names, 64);

    dst[0] = 0;
    for (size_t i = 0; i < n && !dst[0]; i++) {
        snprintf(path, sizeof(path), "holders/%.200s/dm/uuid", names[i]);
        sysfs_text(dir, path, uuid, sizeof(uuid));
        snprintf(dst, 64, "%s",
                 str_starts(uuid, "LVM-")      ? "LVM"
                 : str_starts(names[i], "md")  ? "MD RAID"
                 : str_starts(names[i], "dm-") ? "Device Mapper"
                                               : names[i]);
    }
    sysfs_names_free(names, n);
}

static void find_use(const struct disks_query *q, int dir, struct disk *d, bool has_parts)
{
    char holder[64];

    d->is_mounted = is_mounted(buf_str(&q->mounts), d->number);
    holder_use(dir, holder);
    snprintf(d->used, sizeof(d->used), "%s",
             d->is_mounted                          ? "mounted"
             : is_swap(buf_str(&q->swaps), d->name) ? "swap"
             : holder[0]                            ? holder
             : streq(d->fs, "LVM2_member")          ? "LVM"
             : streq(d->fs, "zfs_member")           ? "ZFS"
             : d->fs[0]                             ? d->fs
             : has_parts                            ? "partitions"
                                                    : "");
}

static void read_disk(int dir, const char *name, struct disk *d)
{
    *d = (struct disk){.size_bytes = sysfs_u64(dir, "size", 0) * SECTOR_BYTES};
    snprintf(d->name, sizeof(d->name), "%s", name);
    sysfs_text(dir, "dev", d->number, sizeof(d->number));
    sysfs_text(dir, "device/vendor", d->vendor, sizeof(d->vendor));
    if (str_starts(d->vendor, "0x")) /* a PCI number (virtio), not a name */
        d->vendor[0] = 0;
    sysfs_text(dir, "device/model", d->model, sizeof(d->model));
    if (!sysfs_text(dir, "device/serial", d->serial, sizeof(d->serial)))
        sysfs_text(dir, "serial", d->serial, sizeof(d->serial)); /* virtio */
    if (!sysfs_text(dir, "wwid", d->wwn, sizeof(d->wwn)))
        sysfs_text(dir, "device/wwid", d->wwn, sizeof(d->wwn));
    d->is_rotational = sysfs_u64(dir, "queue/rotational", 0) == 1;
    read_udev(d);
}

static const char *kind_of(const struct disk *d)
{
    return d->parent[0] ? "partition" : str_starts(d->name, "nvme") ? "nvme" : d->is_rotational ? "hdd" : "ssd";
}

static void write_path(struct jw *w, const char *key, const char *name)
{
    char path[80];

    snprintf(path, sizeof(path), "/dev/%s", name);
    jw_kv_str(w, key, path);
}

static void write_text(struct jw *w, const char *key, const char *text)
{
    if (text[0])
        jw_kv_str(w, key, text);
}

static void write_disk(struct jw *w, const struct disk *d)
{
    jw_object(w);
    write_path(w, "devpath", d->name);
    jw_kv_u64(w, "size", d->size_bytes);
    jw_kv_str(w, "type", kind_of(d));
    jw_kv_int(w, "gpt", d->is_gpt);
    jw_kv_int(w, "mounted", d->is_mounted);
    write_text(w, "used", d->used);
    jw_kv_int(w, "osdid", -1);
    jw_key(w, "osdid-list");
    jw_array(w);
    jw_array_end(w);
    if (d->parent[0]) {
        write_path(w, "parent", d->parent);
    } else {
        write_text(w, "vendor", d->vendor);
        write_text(w, "model", d->model);
        write_text(w, "serial", d->serial);
        write_text(w, "wwn", d->wwn);
        jw_kv_str(w, "health", "UNKNOWN");
        jw_kv_int(w, "rpm", d->is_rotational ? -1 : 0); /* -1: it turns, nobody knows how fast */
    }
    jw_object_end(w);
}

static bool is_wanted(const struct disks_query *q, const struct disk *d)
{
    if (q->is_journal_only)
        return !d->used[0] || (d->is_gpt && !d->is_mounted);
    return !q->is_unused_only || !d->used[0];
}

/* Partitions are folders with a file "partition" in that of their disk. */
static size_t list_partitions(int dir, const char *disk, char ***ret_names)
{
    char **names, path[300];
    size_t n = sysfs_names(dir, ".", &names, PARTS_MAX), kept = 0;

    for (size_t i = 0; i < n; i++) {
        snprintf(path, sizeof(path), "%.200s/partition", names[i]);
        if (str_starts(names[i], disk) && faccessat(dir, path, F_OK, 0) == 0)
            names[kept++] = names[i];
        else
            free(names[i]);
    }
    *ret_names = names;
    return kept;
}

static void add_partition(struct disks_query *q, struct jw *w, int dir, const char *name, const struct disk *disk)
{
    autoclose int part = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct disk p;

    if (part < 0)
        return;
    read_disk(part, name, &p);
    snprintf(p.parent, sizeof(p.parent), "%s", disk->name);
    p.is_gpt = disk->is_gpt;
    find_use(q, part, &p, false);
    if (is_wanted(q, &p))
        write_disk(w, &p);
}

static void add_disk(struct disks_query *q, struct jw *w, int top, const char *name)
{
    autoclose int dir = openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct disk d;
    char **parts;

    if (dir < 0)
        return;
    read_disk(dir, name, &d);
    if (!d.size_bytes)
        return;
    size_t n_parts = list_partitions(dir, name, &parts);
    d.is_gpt = d.is_gpt || begins_with_gpt(name);
    find_use(q, dir, &d, n_parts > 0);
    if (is_wanted(q, &d))
        write_disk(w, &d);
    for (size_t i = 0; q->has_partitions && i < n_parts; i++)
        add_partition(q, w, dir, parts[i], &d);
    sysfs_names_free(parts, n_parts);
}

static int read_disks(void *ctx, struct err *e)
{
    struct disks_query *q = ctx;
    char **names;
    struct jw w;

    buf_init(&q->json, REPLY_BYTES);
    buf_init(&q->mounts, PROC_MAX);
    buf_init(&q->swaps, PROC_MAX);
    int r = fs_read_file(AT_FDCWD, "/proc/self/mountinfo", &q->mounts, e);
    if (r == 0 && access("/proc/swaps", F_OK) == 0)
        r = fs_read_file(AT_FDCWD, "/proc/swaps", &q->swaps, e);
    autoclose int top = open("/sys/block", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    size_t n = sysfs_names(AT_FDCWD, "/sys/block", &names, DISKS_MAX);
    jw_init(&w, &q->json);
    jw_array(&w);
    for (size_t i = 0; r == 0 && i < n; i++)
        if (is_disk_name(names[i]))
            add_disk(q, &w, top, names[i]);
    jw_array_end(&w);
    sysfs_names_free(names, n);
    buf_done(&q->mounts);
    buf_done(&q->swaps);
    return r;
}

static int finish_disks(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct disks_query *q = ctx;

    if (r == 0 && q->json.is_failed)
        r = err_set(e, -EFBIG, "host.output", "too many disks");
    if (r == 0)
        jw_raw(&c->out, buf_str(&q->json), q->json.len);
    buf_done(&q->json);
    return r;
}

int api_node_disks_list(struct api_call *c, const struct api_node_disks_list_args *a, struct err *e)
{
    int r = api_check_node(c, a->node, e);
    struct disks_query *q = r < 0 ? NULL : arena_alloc(&c->arena, sizeof(*q));

    if (r < 0)
        return r;
    if (!q)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *q = (struct disks_query){.has_partitions = a->include_partitions,
                              .is_unused_only = a->type && streq(a->type, "unused"),
                              .is_journal_only = a->type && streq(a->type, "journal_disks")};
    return api_offload(c, read_disks, finish_disks, q);
}
