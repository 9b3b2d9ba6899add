/* Questions to the person at the terminal; see prompt_priv.h. The terminal's echo is restored on every way out: reads
 * end when a signal came. */
#include <fcntl.h>
#include <poll.h>
#include <termios.h>

#include "base/fs.h"
#include "cli/prompt_priv.h"
#include "cli/text_priv.h"

bool prompt_is_possible(void)
{
    return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

static int take_secret(struct buf *b, const char *what, char **ret_value, struct err *e)
{
    if (b->len && b->data[b->len - 1] == '\n')
        b->data[--b->len] = 0;
    if (b->len && b->data[b->len - 1] == '\r')
        b->data[--b->len] = 0;
    if (strlen(buf_str(b)) != b->len)
        return err_set(e, -EINVAL, "cli.usage", "%s holds a NUL byte", what);
    *ret_value = strdup(buf_str(b));
    return *ret_value ? 0 : err_set(e, -ENOMEM, NULL, "out of memory");
}

int prompt_secret_file(const char *file, char **ret_value, struct err *e)
{
    bool is_stdin = streq(file, "-");
    autoclose int fd = is_stdin ? -EBADF : open(file, O_RDONLY | O_CLOEXEC);
    struct buf b;

    if (!is_stdin && fd < 0)
        return err_errno(e, errno, "open %s", file);
    buf_init(&b, is_stdin || !*file ? SECRET_MAX : 256 * 1024);
    int r = fs_read_fd(is_stdin ? STDIN_FILENO : fd, &b, e);
    if (r < 0)
        err_wrap(e, r, "read %s", is_stdin ? "standard input" : file);
    else
        r = take_secret(&b, is_stdin ? "standard input" : file, ret_value, e);
    if (b.data)
        mem_wipe(b.data, b.cap);
    buf_done(&b);
    return r;
}

int prompt_encoded_file(const char *file, char **ret_value, struct err *e)
{
    autofree char *text = NULL;
    autobuf struct buf b;

    buf_init(&b, 1u << 20);
    int r = prompt_secret_file(file, &text, e);
    if (r < 0)
        return r;
    for (const char *p = text; *p; p++) {
        bool is_plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
        if (is_plain || strchr("-_.~", *p))
            buf_append_char(&b, *p);
        else
            buf_printf(&b, "%%%02X", (unsigned char)*p);
    }
    *ret_value = buf_take(&b);
    return *ret_value ? 0 : err_set(e, -EFBIG, NULL, "%s is too large", file);
}

/* One line from the terminal, byte by byte so that nothing of the next one is swallowed. */
static int read_line(char *line, size_t cap, struct err *e)
{
    struct pollfd p[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = signals_fd(), .events = POLLIN}};
    size_t n = 0;
    char ch;

    for (;;) {
        int ready = poll(p, ARRAY_SIZE(p), -1);
        if (signals_pending())
            return signals_error(e);
        if (ready <= 0 || !p[0].revents)
            continue;
        ssize_t got = read(STDIN_FILENO, &ch, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || ch == '\n')
            break;
        if (n + 1 < cap)
            line[n++] = ch;
    }
    line[n] = 0;
    return 0;
}

static int ask_hidden(const char *question, char *line, size_t cap, struct err *e)
{
    struct termios old, hidden;

    if (tcgetattr(STDIN_FILENO, &old) < 0)
        return err_errno(e, errno, "terminal");
    hidden = old;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    /* Before the question, so that a quick answer is neither shown nor lost. */
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden) < 0)
        return err_errno(e, errno, "terminal");
    fprintf(stderr, "%s", question);
    fflush(stderr);
    int r = read_line(line, cap, e);
    (void)!tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
    fputc('\n', stderr);
    return r;
}

int prompt_new_password(const char *who, char **ret_value, struct err *e)
{
    char first[512], second[512], question[160];
    struct buf clean;

    if (!prompt_is_possible()) {
        err_set(e, -ENOTTY, "cli.usage", "no password for %s", who);
        return err_hint(e, "use --password-file FILE, or - for standard input");
    }
    buf_init(&clean, 128);
    text_append_clean(&clean, who, strnlen(who, 100));
    snprintf(question, sizeof(question), "New password for %s: ", buf_str(&clean));
    buf_done(&clean);
    int r = ask_hidden(question, first, sizeof(first), e);
    if (r == 0)
        r = ask_hidden("Once more: ", second, sizeof(second), e);
    if (r == 0 && !streq(first, second))
        r = err_set(e, -EINVAL, "cli.usage", "the two passwords differ");
    if (r == 0 && !(*ret_value = strdup(first)))
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    mem_wipe(first, sizeof(first));
    mem_wipe(second, sizeof(second));
    return r;
}

int prompt_line(const char *question, char **ret_value, size_t max, struct err *e)
{
    char line[256];

    fprintf(stderr, "%s", question);
    fflush(stderr);
    int r = read_line(line, max < sizeof(line) ? max : sizeof(line), e);
    if (r == 0 && !(*ret_value = strdup(line)))
        r = err_set(e, -ENOMEM, NULL, "out of memory");
    mem_wipe(line, sizeof(line));
    return r;
}

int prompt_confirm(const struct cli *c, const char *what, struct err *e)
{
    char answer[16] = "";

    if (c->is_yes || c->is_dry_run)
        return 0;
    if (!prompt_is_possible()) {
        err_set(e, -ENOTTY, "cli.usage", "%s: not done without being asked to", what);
        return err_hint(e, "say -y to do it without a question");
    }
    fprintf(stderr, "%s? [y/N] ", what);
    fflush(stderr);
    int r = read_line(answer, sizeof(answer), e);
    if (r < 0)
        return r;
    if (streq(answer, "y") || streq(answer, "Y") || streq(answer, "yes"))
        return 0;
    return err_set(e, -ECANCELED, "cli.declined", "nothing was done");
}
