/* state dump and load: work on the database of a Holm that is stopped; dump also beside a running one, reading only.
 * The only commands that open files of the root themselves; nobody but root can. */
#include <fcntl.h>

#include "base/fs.h"
#include "cli/prompt_priv.h"
#include "cli/run_priv.h"
#include "state/state.h"

#define STATE_DIR "var/state"
#define LOAD_MAX  (256u * 1024u * 1024u)

static int state_dir(const struct cli *c, char **ret, struct err *e)
{
    if (asprintf(ret, "%s/" STATE_DIR, c->root) < 0) {
        *ret = NULL;
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    if (faccessat(AT_FDCWD, *ret, R_OK | X_OK, AT_EACCESS) == 0)
        return 0;
    if (errno == ENOENT || errno == ENOTDIR)
        return err_set(e, -ENOENT, "cli.not-found", "there is no state of Holm in %s", c->root);
    if (errno == EACCES) {
        err_set(e, -EACCES, "cli.denied", "you may not read the state in %s", c->root);
        return err_hint(e, "run the command as root");
    }
    return err_errno(e, errno, "open %s", *ret);
}

/* A dump holds password hashes and token secrets: it is for its owner's eyes, and never replaces a file. */
static int write_new_file(const char *file, const struct buf *text, struct err *e)
{
    autoclose int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0 && errno == EEXIST)
        return err_set(e, -EEXIST, "cli.conflict", "%s already exists", file);
    if (fd < 0)
        return err_errno(e, errno, "create %s", file);
    int r = fs_write_all(fd, buf_str(text), text->len, e);
    if (r == 0 && fsync(fd) < 0)
        r = err_errno(e, errno, "write %s", file);
    if (r < 0)
        unlink(file);
    return r;
}

int state_dump_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e)
{
    autofree char *dir = NULL;
    struct buf json;
    int r = state_dir(c, &dir, e);

    buf_init(&json, LOAD_MAX);
    if (r == 0)
        r = state_dump(dir, &json, e);
    if (r == 0 && a->n_pos && !streq(a->pos[0], "-"))
        r = write_new_file(a->pos[0], &json, e);
    else if (r == 0)
        r = output_flush(&json, e);
    buf_done(&json);
    return r;
}

static int read_dump(const char *file, struct buf *ret, struct err *e)
{
    bool is_stdin = streq(file, "-");
    autoclose int fd = is_stdin ? -EBADF : open(file, O_RDONLY | O_CLOEXEC);

    if (!is_stdin && fd < 0)
        return err_set(e, -errno, "cli.usage", "open %s: %s", file, strerror(errno));
    int r = fs_read_fd(is_stdin ? STDIN_FILENO : fd, ret, e);
    return r < 0 ? err_wrap(e, r, "read %s", file) : 0;
}

/* The database's own lock refuses too; this says it in better words. */
static int refuse_if_running(struct cli *c, struct err *e)
{
    struct err none = ERR_INIT;

    if (cli_connect(c, &none) == 0 || !streq(none.code, "cli.unreachable") || none.num == -EPIPE) {
        err_set(e, -EBUSY, "cli.conflict", "Holm is running (%s)", c->root);
        return err_hint(e, "stop it first: systemctl stop holmd");
    }
    return 0;
}

int state_load_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e)
{
    autofree char *dir = NULL;
    struct buf json;
    int r = refuse_if_running(c, e);

    buf_init(&json, LOAD_MAX);
    if (r == 0)
        r = state_dir(c, &dir, e);
    if (r == 0)
        r = read_dump(a->pos[0], &json, e);
    if (r == 0)
        r = state_load(dir, buf_str(&json), json.len, e);
    buf_done(&json);
    return r;
}
