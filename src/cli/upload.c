/* storage upload: the daemon answers a request with a pipe into the storage; the file goes there, then its end is told.
 * In pieces (upload_pieces.c); to a daemon that does not know them in one go, and then a file that cannot be read to
 * its end is reported as failed, so that the daemon drops what it got. */
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "cli/text_priv.h"
#include "cli/upload_priv.h"

#define CHUNK (256u * 1024u)

static const char *guess_content(const char *name)
{
    static const struct {
        const char *suffix, *content;
    } kinds[] = {{".iso", "iso"},        {".img", "iso"},      {".tar.gz", "vztmpl"}, {".tar.xz", "vztmpl"},
                 {".tar.zst", "vztmpl"}, {".qcow2", "import"}, {".raw", "import"},    {".vmdk", "import"},
                 {".ova", "import"},     {".ovf", "import"}};

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (str_ends(name, kinds[i].suffix))
            return kinds[i].content;
    return NULL;
}

/* ", 12 MiB/s, 00:01:20 left", of what this run sent. */
static void append_rate(const struct upload *u, uint64_t ms, struct buf *b)
{
    uint64_t sent = u->done_bytes - u->start_bytes;

    if (ms <= 1000 || !sent)
        return;
    buf_append_str(b, ", ");
    format_bytes((double)sent * 1000 / (double)ms, b);
    buf_append_str(b, "/s, ");
    format_duration((uint64_t)((double)(u->total_bytes - u->done_bytes) * (double)ms / (double)sent / 1000), b);
    buf_append_str(b, " left");
}

void upload_show(struct upload *u, bool is_last)
{
    uint64_t now = clock_boot_ms();
    struct buf b;

    if (!u->is_shown || (!is_last && now - u->shown_ms < 200))
        return;
    u->shown_ms = now;
    if (is_last) {
        fputs("\r\033[K", stderr);
        return;
    }
    buf_init(&b, 256);
    buf_printf(&b, "%3u%%  ", (unsigned)(u->total_bytes ? u->done_bytes * 100 / u->total_bytes : 0));
    format_bytes((double)u->done_bytes, &b);
    buf_append_str(&b, " of ");
    format_bytes((double)u->total_bytes, &b);
    append_rate(u, now - u->start_ms, &b);
    fprintf(stderr, "\r%s\033[K", buf_str(&b));
    fflush(stderr);
    buf_done(&b);
}

static int wait_writable(const struct upload *u, struct err *e)
{
    struct pollfd p[] = {{.fd = u->pipe, .events = POLLOUT}, {.fd = signals_fd(), .events = POLLIN}};
    uint64_t now = clock_boot_ms();

    if (signals_pending())
        return signals_error(e);
    if (u->c->deadline_ms && now >= u->c->deadline_ms)
        return err_set(e, -ETIMEDOUT, "cli.timeout", "not uploaded in time");
    (void)!poll(p, ARRAY_SIZE(p), 500);
    return 0;
}

static int write_chunk(struct upload *u, const char *p, size_t n, struct err *e)
{
    while (n) {
        ssize_t put = write(u->pipe, p, n);
        if (put < 0 && errno != EAGAIN && errno != EINTR)
            return err_errno(e, errno, "send the file");
        if (put < 0) {
            int r = wait_writable(u, e);
            if (r < 0)
                return r;
            continue;
        }
        p += put;
        n -= (size_t)put;
        u->done_bytes += (uint64_t)put;
        upload_show(u, false);
    }
    return 0;
}

static int copy_file(struct upload *u, uint64_t n, struct err *e)
{
    autofree char *chunk = malloc(CHUNK);
    int r = chunk ? 0 : err_set(e, -ENOMEM, NULL, "out of memory");
    bool is_whole = n == UINT64_MAX;

    (void)!fcntl(u->pipe, F_SETFL, O_NONBLOCK);
    while (r == 0 && n) {
        ssize_t got = signals_pending() ? 0 : read(u->file, chunk, n < CHUNK ? (size_t)n : CHUNK);
        if (signals_pending())
            r = signals_error(e);
        else if (got < 0 && errno != EINTR)
            r = err_errno(e, errno, "read the file");
        else if (got == 0 && !is_whole)
            r = err_set(e, -EIO, "cli.conflict", "the file was changed while it was sent");
        else if (got == 0)
            break;
        else if (got > 0) {
            if (u->is_hashed)
                crypto_hash_sha256_update(&u->digest, (const uint8_t *)chunk, (unsigned long long)got);
            n -= is_whole ? 0 : (uint64_t)got;
            r = write_chunk(u, chunk, (size_t)got, e);
        }
    }
    return r;
}

static int open_file(const char *file, struct upload *u, struct err *e)
{
    u->file = open(file, O_RDONLY | O_CLOEXEC);
    if (u->file < 0 && errno == ENOENT)
        return err_set(e, -ENOENT, "cli.usage", "there is no file %s", file);
    if (u->file < 0 || fstat(u->file, &u->st) < 0)
        return err_errno(e, errno, "open %s", file);
    if (!S_ISREG(u->st.st_mode))
        return err_set(e, -EINVAL, "cli.usage", "%s is not a regular file", file);
    u->total_bytes = (uint64_t)u->st.st_size;
    return 0;
}

int upload_transfer(struct upload *u, struct reply *go, uint64_t n, struct reply *ret_end, struct err *e)
{
    struct err late = ERR_INIT;

    if (go->fd < 0 || !go->is_upload)
        return err_set(e, -EPROTO, "cli.protocol", "the daemon took no file");
    u->pipe = go->fd;
    int sent = copy_file(u, n, e);
    close(go->fd);
    go->fd = -EBADF;
    if (sent == -EINTR)
        return sent;
    /* What the daemon says about it is the better reason. */
    int r = client_upload_end(u->c->client, sent, ret_end, sent < 0 ? &late : e);
    if (sent < 0 && r < 0 && late.num && (sent == -EPIPE || !streq(late.code, "cli.unreachable")))
        *e = late;
    return sent < 0 ? e->num : r;
}

static int upload_whole(struct upload *u, json_t **ret_result, struct err *e)
{
    autoreply struct reply go = REPLY_INIT, end = REPLY_INIT;
    struct request q = {.method = "POST",
                        .path = u->path,
                        .kind = "upload",
                        .file_name = u->name,
                        .params = u->args->params,
                        .n_params = u->args->n_params};
    int r = call_api(u->c, &q, &go, e);

    u->is_hashed = false;
    u->start_ms = clock_boot_ms();
    if (r == 0)
        r = upload_transfer(u, &go, UINT64_MAX, &end, e);
    upload_show(u, true);
    return r < 0 ? r : run_finish(u->c, end.data, ret_result, e);
}

static int upload_any(struct upload *u, json_t **ret_result, struct err *e)
{
    int r = upload_pieces(u, ret_result, e);

    if (r == 0 || !streq(e->code, "cli.no-pieces"))
        return r;
    *e = (struct err)ERR_INIT;
    return upload_whole(u, ret_result, e);
}

static const char *scope_storage(void *arg, const char *key)
{
    const struct run_scope *s = arg;
    const char *storage = args_get(s->args, "storage", true);

    return streq(key, "node") ? cli_node(s->c) : storage ? storage : "local";
}

static const char *file_name(const struct cli_args *a)
{
    const char *name = args_get(a, "name", true), *slash = strrchr(a->pos[0], '/');

    return name ? name : slash ? slash + 1 : a->pos[0];
}

int storage_upload_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e)
{
    struct run_scope s = {.c = c, .cmd = cmd, .args = a};
    struct upload u = {
        .c = c, .args = a, .name = file_name(a), .file = -EBADF, .is_shown = !c->is_quiet && isatty(STDERR_FILENO)};
    const char *content = guess_content(file_name(a));
    json_t *result = NULL;
    struct buf path;
    int r = open_file(a->pos[0], &u, e);

    if (r == 0 && !args_get(a, "content", false))
        r = content
                ? args_add(a, "content", content, false, e)
                : err_set(e, -EINVAL, "cli.usage", "what is in %s? Say --content iso, vztmpl, import, …", a->pos[0]);
    if (r == 0)
        r = cli_connect(c, e);
    buf_init(&path, 1024);
    if (r == 0)
        r = call_path(cmd->path, scope_storage, &s, &path, e);
    u.path = buf_str(&path);
    u.content = args_get(a, "content", false);
    if (r == 0)
        r = upload_any(&u, &result, e);
    if (r == 0 && (c->format == FORMAT_JSON || c->format == FORMAT_NDJSON))
        r = output_json(c, result, e);
    buf_done(&path);
    json_decref(result);
    util_close_fd(&u.file);
    return r;
}
