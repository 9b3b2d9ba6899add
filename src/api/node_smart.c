/* GET /nodes/N/disks/smart: what a disk says about its health, asked with smartctl in a pool thread. PVE: pve-storage,
 * Diskmanage.pm. The commands that SATA disks need are for programs with CAP_SYS_RAWIO, which holmd has given up: for
 * such a disk the answer is smartctl's complaint. NVMe and SAS disks answer. */
#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>

#include "api/common.h"
#include "base/capture.h"

#define SMARTCTL    "/usr/sbin/smartctl"
#define TIMEOUT_MS  20000u
#define OUTPUT_MAX  (1024u * 1024u)
#define REPLY_BYTES (2u * 1024u * 1024u)
#define FAILED_MASK 3 /* smartctl(8): bits 0 and 1, it could not ask; the others say what it found */

struct smart_query {
    const char *disk;
    bool is_health_only;
    struct buf json;
};

static bool take(void *arg, const char *data, size_t n)
{
    struct buf *out = arg;

    buf_append(out, data, n);
    return !out->is_failed;
}

static int check_disk(const char *path, struct err *e)
{
    char sys[300];
    struct stat st;

    snprintf(sys, sizeof(sys), "/sys/block/%.200s", path + strlen("/dev/"));
    if (strchr(path + strlen("/dev/"), '/') || access(sys, F_OK) < 0 || stat(path, &st) < 0 || !S_ISBLK(st.st_mode))
        return err_set(e, -ENODEV, "host.device", "'%.200s' is not a disk of this node", path);
    if (access(SMARTCTL, X_OK) < 0)
        return err_set(e, -ENOSYS, "host.tool", "smartmontools is not installed on this node: there is no " SMARTCTL);
    return 0;
}

/* Its own words for why it could not ask. */
static int complain(json_t *answer, struct err *e)
{
    json_t *first = json_array_get(json_object_get(json_object_get(answer, "smartctl"), "messages"), 0);
    const char *text = json_string_value(json_object_get(first, "string"));

    return err_set(e, -EIO, "host.tool", "smartctl: %.300s", text ? text : "no answer");
}

static int ask(const struct smart_query *q, json_t **ret, struct err *e)
{
    const char *argv[] = {SMARTCTL, "--json=o", "-H", q->is_health_only ? "-i" : "-A", q->disk, NULL};
    struct buf out;
    int status = 0;
    struct capture run = {.path = SMARTCTL,
                          .argv = argv,
                          .timeout_ms = TIMEOUT_MS,
                          .max_bytes = OUTPUT_MAX,
                          .take = take,
                          .arg = &out,
                          .ret_status = &status};

    buf_init(&out, OUTPUT_MAX);
    int r = capture_run(&run, e);
    json_t *answer =
        r == 0 && json_depth(buf_str(&out), out.len) <= 16 ? json_loadb(buf_str(&out), out.len, 0, NULL) : NULL;
    buf_done(&out);
    if (r == 0 && (!answer || status < 0 || (status & FAILED_MASK)))
        r = complain(answer, e);
    if (r < 0) {
        json_decref(answer);
        return r;
    }
    *ret = answer;
    return 0;
}

static const char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static void write_attribute(struct jw *w, json_t *a)
{
    char id[24];

    snprintf(id, sizeof(id), "%3lld", (long long)json_integer_value(json_object_get(a, "id")));
    jw_object(w);
    jw_kv_str(w, "id", id);
    jw_kv_str(w, "name", text_of(a, "name"));
    jw_kv_int(w, "value", json_integer_value(json_object_get(a, "value")));
    jw_kv_int(w, "normalized", json_integer_value(json_object_get(a, "value")));
    jw_kv_int(w, "worst", json_integer_value(json_object_get(a, "worst")));
    jw_kv_int(w, "threshold", json_integer_value(json_object_get(a, "thresh")));
    jw_kv_str(w, "flags", text_of(json_object_get(a, "flags"), "string"));
    jw_kv_str(w, "fail", text_of(a, "when_failed")[0] ? text_of(a, "when_failed") : "-");
    jw_kv_str(w, "raw", text_of(json_object_get(a, "raw"), "string"));
    jw_object_end(w);
}

static void write_attributes(struct jw *w, json_t *table)
{
    json_t *a;
    size_t i;

    jw_kv_str(w, "type", "ata");
    jw_key(w, "attributes");
    jw_array(w);
    json_array_foreach(table, i, a)
    {
        write_attribute(w, a);
    }
    jw_array_end(w);
}

/* Everything but ATA is shown as the lines that smartctl writes for people. */
static void write_lines(struct jw *w, json_t *lines)
{
    struct buf text;
    json_t *line;
    size_t i;

    buf_init(&text, REPLY_BYTES / 2);
    json_array_foreach(lines, i, line)
    {
        if (json_is_string(line))
            buf_printf(&text, "%s\n", json_string_value(line));
    }
    jw_kv_str(w, "type", "text");
    jw_kv_str(w, "text", buf_str(&text));
    buf_done(&text);
}

static void write_answer(const struct smart_query *q, struct jw *w, json_t *answer)
{
    json_t *passed = json_object_get(json_object_get(answer, "smart_status"), "passed");
    json_t *table = json_object_get(json_object_get(answer, "ata_smart_attributes"), "table");

    jw_object(w);
    jw_kv_str(w, "health", json_is_true(passed) ? "PASSED" : json_is_false(passed) ? "FAILED!" : "UNKNOWN");
    if (!q->is_health_only && json_is_array(table))
        write_attributes(w, table);
    else if (!q->is_health_only)
        write_lines(w, json_object_get(json_object_get(answer, "smartctl"), "output"));
    jw_object_end(w);
}

static int work(void *ctx, struct err *e)
{
    struct smart_query *q = ctx;
    json_t *answer = NULL;
    struct jw w;
    int r = check_disk(q->disk, e);

    if (r == 0)
        r = ask(q, &answer, e);
    if (r < 0)
        return r;
    jw_init(&w, &q->json);
    write_answer(q, &w, answer);
    json_decref(answer);
    return q->json.is_failed ? err_set(e, -EFBIG, "host.output", "smartctl writes too much") : 0;
}

static int finish(struct api_call *c, void *ctx, int r, struct err *e)
{
    struct smart_query *q = ctx;

    if (r == 0)
        jw_raw(&c->out, buf_str(&q->json), q->json.len);
    buf_done(&q->json);
    return r;
}

int api_node_disks_smart(struct api_call *c, const struct api_node_disks_smart_args *a, struct err *e)
{
    int r = api_check_node(c, a->node, e);
    struct smart_query *q = r < 0 ? NULL : arena_alloc(&c->arena, sizeof(*q));

    if (r < 0)
        return r;
    if (!q)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    *q = (struct smart_query){.disk = a->disk, .is_health_only = a->healthonly};
    buf_init(&q->json, REPLY_BYTES);
    return api_offload(c, work, finish, q);
}
