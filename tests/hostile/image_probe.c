/* What src/image says of qcow2 images, for test_images.py: names of files on standard input, a line of JSON for each on
 * standard output. A code is "" for an image that is taken. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/json.h"
#include "image/qcow2.h"

static int read_file(void *arg, uint64_t offset, void *data, size_t n, struct err *e)
{
    uint8_t *p = data;

    memset(p, 0, n);
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(*(const int *)arg, p + done, n - done, (off_t)(offset + done));
        if (got < 0)
            return err_errno(e, errno, "read");
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return 0;
}

static void put_info(struct jw *w, const struct qcow2_info *info)
{
    jw_kv_u64(w, "size", info->size_bytes);
    jw_kv_u64(w, "version", info->version);
    jw_kv_u64(w, "cluster_bits", info->cluster_bits);
    jw_kv_u64(w, "snapshots", info->n_snapshots);
    jw_kv_u64(w, "backing", info->has_backing_file);
    jw_kv_u64(w, "data_file", info->has_data_file);
    jw_kv_u64(w, "encrypted", info->is_encrypted);
    jw_kv_u64(w, "dirty", info->is_dirty);
    jw_kv_u64(w, "corrupt", info->is_corrupt);
}

/* The first thing that is wrong with it, and which of the three looks saw that. */
static const char *judge(int fd, struct qcow2_info *info, struct err *e)
{
    uint8_t head[QCOW2_HEADER_BYTES];
    struct stat st;
    ssize_t n = pread(fd, head, sizeof(head), 0);

    if (n < 0 || fstat(fd, &st) < 0)
        return "error";
    if (qcow2_header_parse(head, (size_t)n, (uint64_t)st.st_size, info, e) < 0)
        return "header";
    if (qcow2_check_standalone(info, e) < 0)
        return "use";
    return qcow2_tables_check(info, (uint64_t)st.st_size, read_file, &fd, e) < 0 ? "tables" : "";
}

static bool probe(const char *path)
{
    autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct qcow2_info info = {0};
    struct err e = ERR_INIT;
    struct buf out;
    struct jw w;

    buf_init(&out, 65536);
    jw_init(&w, &out);
    jw_object(&w);
    jw_kv_str(&w, "refused_by", judge(fd, &info, &e));
    jw_kv_str(&w, "code", e.code);
    jw_kv_str(&w, "text", e.text);
    put_info(&w, &info);
    jw_object_end(&w);
    bool is_right = !out.is_failed && puts(buf_str(&out)) >= 0 && fflush(stdout) == 0;
    buf_done(&out);
    return is_right;
}

int main(void)
{
    char path[4096];

    while (fgets(path, sizeof(path), stdin)) {
        path[strcspn(path, "\n")] = 0;
        if (!probe(path))
            return 1;
    }
    return 0;
}
