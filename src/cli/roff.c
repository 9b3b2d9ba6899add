/* Writing roff: see roff.h. */
#include "cli/roff.h"

#include <fcntl.h>

#include "base/fs.h"

void roff_text(struct buf *out, const char *text)
{
    if (*text == '.' || *text == '\'')
        buf_append_str(out, "\\&");
    for (const char *p = text; *p; p++) {
        if (*p == '\\')
            buf_append_str(out, "\\e");
        else if (*p == '-')
            buf_append_str(out, "\\-");
        else if (*p == '\'')
            buf_append_str(out, "\\(aq");
        else if (*p == '~')
            buf_append_str(out, "\\(ti");
        else if (*p == '^')
            buf_append_str(out, "\\(ha");
        else if (*p == '"')
            buf_append_str(out, "\\(dq");
        else if (str_starts(p, "…")) {
            buf_append_str(out, "...");
            p += strlen("…") - 1;
        } else
            buf_append_char(out, *p == '\n' ? ' ' : *p);
    }
}

void roff_macro(struct buf *out, const char *macro, const char *text)
{
    buf_printf(out, ".%s", macro);
    if (text) {
        buf_append_str(out, " \"");
        roff_text(out, text);
        buf_append_char(out, '"');
    }
    buf_append_char(out, '\n');
}

void roff_head(struct buf *out, const char *name, const char *section, const char *what)
{
    char title[80];
    size_t n = 0;

    for (; name[n] && n < sizeof(title) - 1; n++)
        title[n] = name[n] == ' ' ? '-' : (char)(name[n] >= 'a' && name[n] <= 'z' ? name[n] - 32 : name[n]);
    title[n] = 0;
    buf_append_str(out, ".TH \"");
    roff_text(out, title);
    buf_printf(out, "\" \"%s\" \"\" \"Holm %s\" \"Holm\"\n.SH NAME\n", section, HOLM_VERSION);
    for (const char *p = name; *p; p++)
        roff_text(out, (char[]){*p == ' ' ? '-' : *p, 0});
    buf_append_str(out, " \\- ");
    roff_text(out, what);
    buf_append_char(out, '\n');
}

void roff_item(struct buf *out, const char *name, const char *value, const char *text)
{
    buf_append_str(out, ".TP\n\\fB");
    roff_text(out, name);
    buf_append_str(out, "\\fR");
    if (value) {
        buf_append_str(out, " \\fI");
        roff_text(out, value);
        buf_append_str(out, "\\fR");
    }
    buf_append_char(out, '\n');
    roff_text(out, text);
    buf_append_char(out, '\n');
}

int roff_write(const char *dir, const char *name, struct buf *page, struct err *e)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    autoclose int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_errno(e, errno, "create %s", path);
    return page->is_failed ? err_set(e, -EFBIG, NULL, "%s is too large", name)
                           : fs_write_all(fd, buf_str(page), page->len, e);
}
