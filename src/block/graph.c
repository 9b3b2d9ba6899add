/* Block nodes and jobs as QMP's JSON. Every image is a node of its own with its file's descriptor and the node that it
 * stands on, or null: nothing is probed and no name in an image is followed. Pure.
 *
 * Copying is committing: the empty target is put below the lowest image, and the whole chain is committed into it. That
 * job looks at what is allocated only, so a terabyte that holds a gigabyte is copied like a gigabyte. A raw image
 * cannot stand on anything; a chain that ends in one is mirrored. */
#include "block/block.h"

#include "base/json.h"

#define CACHE_BYTES     (UINT64_C(512) << 20) /* of tables, for all images together */
#define CACHE_BYTES_MIN (UINT64_C(1) << 20)
#define CACHE_BYTES_MAX (UINT64_C(32) << 20)
#define JOB_BUFFER      (16 << 20)

static void node_name(const struct block_request *q, size_t i, char *dst, size_t cap)
{
    if (i == q->n)
        snprintf(dst, cap, "target");
    else
        snprintf(dst, cap, "image%zu", i);
}

bool graph_is_target_below(const struct block_request *q)
{
    return !q->is_commit && q->is_qcow2[q->n - 1];
}

static void put_bool(struct jw *w, const char *key, bool value)
{
    jw_key(w, key);
    jw_bool(w, value);
}

/* discard: what is zero gives its space back, also where the image below holds something else. */
static void put_file(struct jw *w, size_t i, bool is_read_only, const char *discard)
{
    char name[32];

    jw_key(w, "file");
    jw_object(w);
    jw_kv_str(w, "driver", "file");
    snprintf(name, sizeof(name), "file%zu", i);
    jw_kv_str(w, "node-name", name);
    snprintf(name, sizeof(name), "/dev/fdset/%zu", i);
    jw_kv_str(w, "filename", name);
    jw_kv_str(w, "locking", "off"); /* who uses which image is the caller's care; a layer keeps the lock of its guest */
    jw_kv_str(w, "discard", discard);
    put_bool(w, "read-only", is_read_only);
    put_bool(w, "auto-read-only", false);
    jw_object_end(w);
}

static void put_below(struct jw *w, const struct block_request *q, size_t i)
{
    char name[32];

    jw_key(w, "backing");
    if (i + 1 < q->n || (i + 1 == q->n && graph_is_target_below(q))) {
        node_name(q, i + 1, name, sizeof(name));
        jw_str(w, name);
    } else {
        jw_null(w);
    }
}

static uint64_t cache_bytes(const struct block_request *q)
{
    uint64_t share = CACHE_BYTES / (q->n + 1);

    return share < CACHE_BYTES_MIN ? CACHE_BYTES_MIN : share > CACHE_BYTES_MAX ? CACHE_BYTES_MAX : share;
}

void graph_image(struct buf *out, const struct block_work *work, size_t i)
{
    const struct block_request *q = &work->q;
    bool is_target = i == q->n, is_read_only = i != block_written(q), is_qcow2 = q->is_qcow2[i];
    const char *discard = is_read_only || (is_target && work->is_target_reserved) ? "ignore" : "unmap";
    char name[32];
    struct jw w;

    jw_init(&w, out);
    jw_object(&w);
    jw_kv_str(&w, "driver", is_qcow2 ? "qcow2" : "raw");
    node_name(q, i, name, sizeof(name));
    jw_kv_str(&w, "node-name", name);
    put_bool(&w, "read-only", is_read_only);
    jw_kv_str(&w, "discard", discard);
    /* Below a committed image something else may lie: there a zero has to be written. */
    jw_kv_str(&w, "detect-zeroes", is_target && !work->is_target_reserved ? "unmap" : "off");
    if (is_qcow2) {
        put_below(&w, q, i);
        jw_kv_u64(&w, "l2-cache-size", cache_bytes(q));
    }
    put_file(&w, i, is_read_only, discard);
    jw_object_end(&w);
}

const char *graph_job_command(const struct block_request *q)
{
    return q->is_commit || graph_is_target_below(q) ? "block-commit" : "blockdev-mirror";
}

void graph_job(struct buf *out, const struct block_request *q)
{
    bool is_mirror = !q->is_commit && !graph_is_target_below(q);
    struct jw w;

    jw_init(&w, out);
    jw_object(&w);
    jw_kv_str(&w, "job-id", "job");
    jw_kv_str(&w, "device", "image0");
    if (is_mirror) {
        jw_kv_str(&w, "target", "target");
        jw_kv_str(&w, "sync", "full");
        jw_kv_u64(&w, "buf-size", JOB_BUFFER);
    } else {
        jw_kv_str(&w, "base-node", q->is_commit ? "image1" : "target");
    }
    if (q->bwlimit)
        jw_kv_u64(&w, "speed", q->bwlimit);
    jw_object_end(&w);
}
