/* Storage of the host that is not Holm's yet: volume groups, thin pools and ZFS (GET /nodes/N/scan/…,
 * /nodes/N/disks/lvm, lvmthin, zfs), and mounts made for PVE (disks/directory). PVE: pve-storage, API2/Disks and
 * API2/Storage/Scan.pm. The host's own tools are asked, in pool threads; where one is missing, that is the answer.
 * Nothing is changed. */
#include <fcntl.h>
#include <jansson.h>

#include "api/common.h"
#include "api/sysfs.h"
#include "base/capture.h"
#include "base/fs.h"

#define TIMEOUT_MS  20000u
#define OUTPUT_MAX  (4u * 1024u * 1024u)
#define REPLY_BYTES (8u * 1024u * 1024u)
#define UNITS       "/etc/systemd/system"
#define UNITS_MAX   4096u
#define UNIT_BYTES  (64u * 1024u)

struct query {
    int (*read)(struct query *q, struct err *e); /* writes one value to w */
    const char *group;                           /* scan/lvmthin: only of this volume group */
    struct buf json;
    struct jw w;
};

/* ---- tools ---- */

static bool take(void *arg, const char *data, size_t n)
{
    struct buf *out = arg;

    buf_append(out, data, n);
    return !out->is_failed;
}

static int ask(const char *const *argv, const char *package, struct buf *out, struct err *e)
{
    int status = 0;
    struct capture run = {.path = argv[0],
                          .argv = argv,
                          .timeout_ms = TIMEOUT_MS,
                          .max_bytes = OUTPUT_MAX,
                          .take = take,
                          .arg = out,
                          .ret_status = &status};

    if (access(argv[0], X_OK) < 0)
        return err_set(e, -ENOSYS, "host.tool", "%s is not installed on this node: there is no %s", package, argv[0]);
    int r = capture_run(&run, e);
    if (r == 0 && status)
        r = err_set(e, -EIO, "host.tool", "%s failed with status %d", argv[0], status);
    return r;
}

/* What lvm reports: {"report":[{KIND:[{…}…]}]}; every value is a string. */
static int ask_lvm(const char *tool, const char *columns, const char *kind, json_t **ret_report, json_t **ret_rows,
                   struct err *e)
{
    const char *argv[] = {tool, "--reportformat", "json", "--units", "b", "--nosuffix", "-o", columns, NULL};
    struct buf out;

    buf_init(&out, OUTPUT_MAX);
    int r = ask(argv, "LVM", &out, e);
    json_t *report =
        r < 0 || json_depth(buf_str(&out), out.len) > 16 ? NULL : json_loadb(buf_str(&out), out.len, 0, NULL);
    buf_done(&out);
    json_t *rows = json_object_get(json_array_get(json_object_get(report, "report"), 0), kind);
    if (r == 0 && !json_is_array(rows)) {
        json_decref(report);
        return err_set(e, -EPROTO, "host.tool", "%s answers with something else than a report", tool);
    }
    *ret_report = report;
    *ret_rows = rows;
    return r;
}

static const char *text_of(json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));

    return text ? text : "";
}

static uint64_t bytes_of(json_t *row, const char *key)
{
    return strtoull(text_of(row, key), NULL, 10);
}

/* ---- LVM ---- */

static int scan_lvm(struct query *q, struct err *e)
{
    json_t *report = NULL, *rows, *row;
    size_t i;
    int r = ask_lvm("/usr/sbin/vgs", "vg_name", "vg", &report, &rows, e);

    if (r < 0)
        return r;
    jw_array(&q->w);
    json_array_foreach(rows, i, row)
    {
        jw_object(&q->w);
        jw_kv_str(&q->w, "vg", text_of(row, "vg_name"));
        jw_object_end(&q->w);
    }
    jw_array_end(&q->w);
    json_decref(report);
    return 0;
}

static void write_pool(struct query *q, json_t *row)
{
    uint64_t size = bytes_of(row, "lv_size"), metadata = bytes_of(row, "lv_metadata_size");

    jw_object(&q->w);
    jw_kv_str(&q->w, "lv", text_of(row, "lv_name"));
    if (!q->group) {
        jw_kv_str(&q->w, "vg", text_of(row, "vg_name"));
        jw_kv_u64(&q->w, "lv_size", size);
        jw_kv_u64(&q->w, "used", (uint64_t)((double)size * strtod(text_of(row, "data_percent"), NULL) / 100));
        jw_kv_u64(&q->w, "metadata_size", metadata);
        jw_kv_u64(&q->w, "metadata_used",
                  (uint64_t)((double)metadata * strtod(text_of(row, "metadata_percent"), NULL) / 100));
    }
    jw_object_end(&q->w);
}

static int read_thin(struct query *q, struct err *e)
{
    json_t *report = NULL, *rows, *row;
    size_t i;
    int r = ask_lvm("/usr/sbin/lvs", "vg_name,lv_name,segtype,lv_size,data_percent,lv_metadata_size,metadata_percent",
                    "lv", &report, &rows, e);

    if (r < 0)
        return r;
    jw_array(&q->w);
    json_array_foreach(rows, i, row)
    {
        if (streq(text_of(row, "segtype"), "thin-pool") && (!q->group || streq(text_of(row, "vg_name"), q->group)))
            write_pool(q, row);
    }
    jw_array_end(&q->w);
    json_decref(report);
    return 0;
}

static void write_node(struct jw *w, const char *name, json_t *row, const char *size, const char *free_, bool is_leaf)
{
    jw_kv_str(w, "name", name);
    jw_kv_u64(w, "size", bytes_of(row, size));
    jw_kv_u64(w, "free", bytes_of(row, free_));
    jw_kv_int(w, "leaf", is_leaf);
}

static void write_group(struct jw *w, json_t *rows, const char *group, json_t *first)
{
    json_t *row;
    size_t i;

    jw_object(w);
    write_node(w, group, first, "vg_size", "vg_free", false);
    jw_key(w, "children");
    jw_array(w);
    json_array_foreach(rows, i, row)
    {
        if (!streq(text_of(row, "vg_name"), group))
            continue;
        jw_object(w);
        write_node(w, text_of(row, "pv_name"), row, "pv_size", "pv_free", true);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_object_end(w);
}

static bool is_first_of_group(json_t *rows, size_t at)
{
    const char *group = text_of(json_array_get(rows, at), "vg_name");

    for (size_t i = 0; i < at; i++)
        if (streq(text_of(json_array_get(rows, i), "vg_name"), group))
            return false;
    return group[0] != 0; /* a disk of no group yet */
}

/* A tree: groups, and the disks of each. */
static int read_groups(struct query *q, struct err *e)
{
    json_t *report = NULL, *rows, *row;
    size_t i;
    int r = ask_lvm("/usr/sbin/pvs", "pv_name,pv_size,pv_free,vg_name,vg_size,vg_free", "pv", &report, &rows, e);

    if (r < 0)
        return r;
    jw_object(&q->w);
    jw_kv_int(&q->w, "leaf", 0);
    jw_key(&q->w, "children");
    jw_array(&q->w);
    json_array_foreach(rows, i, row)
    {
        if (is_first_of_group(rows, i))
            write_group(&q->w, rows, text_of(row, "vg_name"), row);
    }
    jw_array_end(&q->w);
    jw_object_end(&q->w);
    json_decref(report);
    return 0;
}

/* ---- ZFS: lines of columns, parted by tabulators ---- */

#define COLUMNS_MAX 8u

static size_t split(char *line, char *columns[COLUMNS_MAX])
{
    size_t n = 0;

    for (char *save = NULL, *p = strtok_r(line, "\t", &save); p && n < COLUMNS_MAX; p = strtok_r(NULL, "\t", &save))
        columns[n++] = p;
    return n;
}

static void write_zpool(struct jw *w, char *c[COLUMNS_MAX])
{
    jw_object(w);
    jw_kv_str(w, "name", c[0]);
    jw_kv_u64(w, "size", strtoull(c[1], NULL, 10));
    jw_kv_u64(w, "alloc", strtoull(c[2], NULL, 10));
    jw_kv_u64(w, "free", strtoull(c[3], NULL, 10));
    jw_kv_u64(w, "frag", strtoull(c[4], NULL, 10));
    jw_kv_num(w, "dedup", strtod(c[5], NULL));
    jw_kv_str(w, "health", c[6]);
    jw_object_end(w);
}

static void write_dataset(struct jw *w, char *c[COLUMNS_MAX])
{
    jw_object(w);
    jw_kv_str(w, "pool", c[0]);
    jw_object_end(w);
}

static int read_columns(struct query *q, const char *const *argv, size_t n_columns,
                        void (*write)(struct jw *w, char *c[COLUMNS_MAX]), struct err *e)
{
    char *columns[COLUMNS_MAX];
    struct buf out;

    buf_init(&out, OUTPUT_MAX);
    int r = ask(argv, "ZFS", &out, e);
    if (r == 0)
        jw_array(&q->w);
    for (char *p = out.data; r == 0 && p && *p;) {
        char *end = p + strcspn(p, "\n");
        char *next = *end ? end + 1 : end;
        *end = 0;
        if (split(p, columns) >= n_columns)
            write(&q->w, columns);
        p = next;
    }
    if (r == 0)
        jw_array_end(&q->w);
    buf_done(&out);
    return r;
}

static int read_zpools(struct query *q, struct err *e)
{
    static const char *const argv[] = {"/usr/sbin/zpool", "list", "-Hpo", "name,size,alloc,free,frag,dedup,health",
                                       NULL};

    return read_columns(q, argv, 7, write_zpool, e);
}

static int scan_zfs(struct query *q, struct err *e)
{
    static const char *const argv[] = {"/usr/sbin/zfs", "list", "-Hp", "-t", "filesystem", "-o", "name", NULL};

    return read_columns(q, argv, 1, write_dataset, e);
}

/* ---- mounts ---- */

/* The value of a line "Key=…" of the section [Mount]; "" if there is none. */
static void unit_value(const char *text, const char *key, char *dst, size_t cap)
{
    size_t k = strlen(key);
    bool is_mount = false;

    dst[0] = 0;
    for (const char *line = text; *line;) {
        size_t n = strcspn(line, "\n");
        if (line[0] == '[')
            is_mount = str_starts(line, "[Mount]");
        else if (is_mount && n > k && strncmp(line, key, k) == 0 && line[k] == '=')
            snprintf(dst, cap, "%.*s", (int)(n - k - 1), line + k + 1);
        line += n + (line[n] != 0);
    }
}

static void write_unit(struct jw *w, int dir, const char *name)
{
    static const char *const fields[][2] = {
        {"device", "What"}, {"path", "Where"}, {"type", "Type"}, {"options", "Options"}};
    struct err ignored = ERR_INIT;
    char value[1024];
    struct buf text;

    buf_init(&text, UNIT_BYTES);
    if (fs_read_file(dir, name, &text, &ignored) == 0) {
        jw_object(w);
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
            unit_value(buf_str(&text), fields[i][1], value, sizeof(value));
            jw_kv_str(w, fields[i][0], value);
        }
        snprintf(value, sizeof(value), "%s/%.255s", UNITS, name);
        jw_kv_str(w, "unitfile", value);
        jw_object_end(w);
    }
    buf_done(&text);
}

/* PVE makes them for folders on disks of their own; their names say so. */
static int read_mounts(struct query *q, struct err *e)
{
    char **names;
    autoclose int dir = open(UNITS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    size_t n = sysfs_names(AT_FDCWD, UNITS, &names, UNITS_MAX);

    jw_array(&q->w);
    for (size_t i = 0; i < n; i++)
        if (str_starts(names[i], "mnt-pve-") && str_ends(names[i], ".mount"))
            write_unit(&q->w, dir, names[i]);
    jw_array_end(&q->w);
    sysfs_names_free(names, n);
    return 0;
}

/* ---- routes ---- */

static int work(void *ctx, struct err *e)
{
    struct query *q = ctx;

    jw_init(&q->w, &q->json);
    int r = q->read(q, e);
    return r == 0 && q->json.is_failed ? err_set(e, -EFBIG, "host.output", "the list is too long") : r;
}

static int finish(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct query *q = ctx;

    if (r == 0)
        jw_raw(&c->out, buf_str(&q->json), q->json.len);
    buf_done(&q->json);
    return r;
}

static int begin(struct api_call *c, const char *node, int (*read)(struct query *q, struct err *e), const char *group,
                 struct err *e)
{
    int r = api_check_node(c, node, e);
    struct query *q = r < 0 ? NULL : arena_alloc(&c->arena, sizeof(*q));

    if (r < 0)
        return r;
    if (!q)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *q = (struct query){.read = read, .group = group};
    buf_init(&q->json, REPLY_BYTES);
    return api_offload(c, work, finish, q);
}

int api_node_scan_lvm(struct api_call *c, const struct api_node_scan_lvm_args *a, struct err *e)
{
    return begin(c, a->node, scan_lvm, NULL, e);
}

int api_node_scan_lvmthin(struct api_call *c, const struct api_node_scan_lvmthin_args *a, struct err *e)
{
    return begin(c, a->node, read_thin, a->vg, e);
}

int api_node_scan_zfs(struct api_call *c, const struct api_node_scan_zfs_args *a, struct err *e)
{
    return begin(c, a->node, scan_zfs, NULL, e);
}

int api_node_disks_lvm(struct api_call *c, const struct api_node_disks_lvm_args *a, struct err *e)
{
    return begin(c, a->node, read_groups, NULL, e);
}

int api_node_disks_lvmthin(struct api_call *c, const struct api_node_disks_lvmthin_args *a, struct err *e)
{
    return begin(c, a->node, read_thin, NULL, e);
}

int api_node_disks_zfs(struct api_call *c, const struct api_node_disks_zfs_args *a, struct err *e)
{
    return begin(c, a->node, read_zpools, NULL, e);
}

int api_node_disks_directory(struct api_call *c, const struct api_node_disks_directory_args *a, struct err *e)
{
    return begin(c, a->node, read_mounts, NULL, e);
}
