/* A file of statistics, by whoever could write it: loaded, continued and read, or taken for none. The first byte says
 * whether its checksums are made right first, the second how many values, the next eight the clock. */
#include <endian.h>
#include <fcntl.h>
#include <math.h>
#include <unistd.h>
#include <zlib.h>

#include "rrd/rrd_priv.h"

#define FILE_MAX 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char folder[] = "/dev/shm/fuzz-rrd-XXXXXX";
static int dir_fd = -1;
static uint8_t file[FILE_MAX];

static void put_crc(uint8_t *p, uLong crc)
{
    uint32_t le = htole32((uint32_t)crc);

    memcpy(p, &le, sizeof(le));
}

static void make_right(unsigned n_ds, size_t len)
{
    size_t size = 16 + RRD_ARCHIVES * (8 + (size_t)n_ds * 16), row = rrd_row_size(n_ds);
    uint32_t head[2] = {htole32(n_ds), htole32(RRD_ARCHIVES)};

    if (len < size + 4)
        return;
    memcpy(file, RRD_MAGIC, 8);
    memcpy(file + 8, head, sizeof(head));
    put_crc(file + size, crc32(0, file, (unsigned)size));
    for (size_t at = RRD_HEADER_BYTES; at + row <= len; at += row) {
        uint32_t slot = (uint32_t)file[at] | (uint32_t)file[at + 1] << 8 | (uint32_t)file[at + 2] << 16 |
                        (uint32_t)file[at + 3] << 24;
        put_crc(file + at + 4, crc32(slot, file + at + RRD_ROW_HEAD, n_ds * 8));
    }
}

static void write_file(size_t len)
{
    int fd = openat(dir_fd, "x", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || write(fd, file, len) != (ssize_t)len)
        abort();
    close(fd);
}

static void go_on(struct rrd *r, int64_t now)
{
    double values[RRD_DS_MAX];
    struct err e = ERR_INIT;
    autobuf struct buf writes;

    buf_init(&writes, 262144);
    for (unsigned i = 0; i < RRD_DS_MAX; i++)
        values[i] = i;
    for (int64_t at = now, i = 0; i < 4; i++, at += 61)
        rrd_add(r, at, values);
    rrd_take(r, &writes);
    if (writes.is_failed || rrd_write(dir_fd, "x", &writes, &e) < 0)
        abort();
}

static void read_all(unsigned n_ds, int64_t now)
{
    static const char *const frames[] = {"hour", "day", "week", "month", "year", "decade"};
    struct err e = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
        struct rrd_series s;
        if (rrd_read(dir_fd, "x", n_ds, frames[i], i & 1, now, &s, &e) < 0 || s.n_rows > RRD_ROWS_MAX)
            abort();
        rrd_series_done(&s);
    }
}

static void remove_folder(void)
{
    unlinkat(dir_fd, "x", 0);
    rmdir(folder);
}

static void make_folder(void)
{
    if (!mkdtemp(folder) || (dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 || atexit(remove_folder))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct err e = ERR_INIT;
    uint64_t clock = 0;
    struct rrd r;

    if (dir_fd < 0)
        make_folder();
    if (n < 10)
        return 0;
    unsigned n_ds = data[1] % (RRD_DS_MAX + 1);
    memcpy(&clock, data + 2, 8);
    int64_t now = (int64_t)(clock % 100000000000); /* 3000 years */
    size_t len = n - 10 < FILE_MAX ? n - 10 : FILE_MAX;
    memcpy(file, data + 10, len);
    if (data[0] & 1)
        make_right(n_ds, len);
    write_file(len);
    rrd_init(&r, n_ds);
    if (rrd_load(dir_fd, "x", &r, &e) < 0)
        abort();
    if (data[0] & 2)
        go_on(&r, now);
    read_all(n_ds, now);
    rrd_done(&r);
    return 0;
}
