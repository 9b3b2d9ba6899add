/* Records from the newest to the oldest, read backwards in blocks. Any thread, blocking. What is not a record is
 * passed over: telling that is verification's business. */
#include <fcntl.h>
#include <sys/stat.h>

#include "audit/audit_priv.h"

#define BLOCK       (4u * AUDIT_LINE_MAX)
#define DISORDER_MS 3600000 /* how far a record may lie behind an older one's time */

struct list {
    const struct audit_filter *filter;
    void (*fn)(void *arg, json_t *record);
    void *arg;
    uint64_t n_seen, n_matching;
    bool is_done;
    char block[BLOCK];
};

static bool is_user(json_t *record, const char *key, const char *user)
{
    const char *s = json_string_value(json_object_get(record, key));
    size_t n = strlen(user);

    return s && strncmp(s, user, n) == 0 && (!s[n] || s[n] == '!');
}

static bool matches(const struct audit_filter *f, json_t *record, int64_t time_ms)
{
    if ((f->since_ms && time_ms < f->since_ms) || (f->until_ms && time_ms > f->until_ms))
        return false;
    return !f->user || is_user(record, "user", f->user) || (f->has_claimed && is_user(record, "claimed", f->user));
}

static void take_line(struct list *l, const char *line, size_t n)
{
    const struct audit_filter *f = l->filter;
    json_error_t je;

    if (f->scan_max && l->n_seen++ >= f->scan_max) {
        l->is_done = true;
        return;
    }
    json_t *record = n < AUDIT_LINE_MAX ? json_loadb(line, n, 0, &je) : NULL;
    if (json_is_object(record)) {
        int64_t time_ms = json_integer_value(json_object_get(record, "time"));
        if (f->since_ms && time_ms < f->since_ms - DISORDER_MS)
            l->is_done = true;
        else if (matches(f, record, time_ms) && l->n_matching++ >= f->start)
            l->fn(l->arg, record);
        if (l->n_matching >= f->start + f->limit)
            l->is_done = true;
    }
    json_decref(record);
}

/* Lines of the block from its end; returns where the first whole line in it begins. */
static size_t take_block(struct list *l, size_t n, bool is_begin)
{
    size_t end = n;

    while (end && !l->is_done) {
        size_t stop = end - 1; /* the line feed that ends it */
        const char *lf = memrchr(l->block, '\n', stop);
        if (!lf && !is_begin)
            return end;
        size_t begin = lf ? (size_t)(lf - l->block) + 1 : 0;
        take_line(l, l->block + begin, stop - begin);
        end = begin;
    }
    return end;
}

static int take_file(struct list *l, int fd, uint64_t size, struct err *e)
{
    bool is_cut = true; /* the end may lie within a line */

    while (size && !l->is_done) {
        uint64_t at = size > BLOCK ? size - BLOCK : 0;
        ssize_t n = pread(fd, l->block, (size_t)(size - at), (off_t)at);
        if (n < 0)
            return err_errno(e, errno, "read the audit log");
        if (is_cut) {
            const char *lf = n ? memrchr(l->block, '\n', (size_t)n) : NULL;
            if (!lf && at == 0)
                return 0;
            size = lf ? at + (uint64_t)(lf - l->block) + 1 : at;
            is_cut = !lf;
            continue;
        }
        if ((uint64_t)n < size - at)
            return 0; /* cut back meanwhile */
        size_t begin = take_block(l, (size_t)n, at == 0);
        is_cut = begin == (size_t)n && at > 0; /* longer than a block: no record of ours */
        size = is_cut ? at : at + begin;
    }
    return 0;
}

int audit_list(int dirfd, const struct audit_bound *bound, const struct audit_filter *f,
               void (*fn)(void *arg, json_t *record), void *arg, struct err *e)
{
    struct list *l = calloc(1, sizeof(*l));
    char name[AUDIT_NAME_MAX];
    struct audit_files files = {0};
    int r = l ? audit_files_read(dirfd, &files, e) : err_set(e, -ENOMEM, NULL, "out of memory");

    if (r == 0) {
        l->filter = f;
        l->fn = fn;
        l->arg = arg;
        l->is_done = f->limit == 0;
    }
    for (size_t i = files.n; r == 0 && i-- > 0 && !l->is_done;) {
        struct stat st;
        audit_file_name(files.numbers[i], name);
        autoclose int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || fstat(fd, &st) < 0)
            continue; /* gone by rotation */
        bool is_newest = bound && files.numbers[i] == bound->file;
        if (bound && files.numbers[i] > bound->file)
            continue;
        r = take_file(l, fd, is_newest ? bound->bytes : (uint64_t)st.st_size, e);
    }
    audit_files_done(&files);
    free(l);
    return r;
}
