/* One write(2) per line to fd 2. Control characters in the text become '?', so that nobody can forge a line. */
#include "base/log.h"

#include <stdarg.h>

static const char *log_program = "holm";
static enum log_level log_max = LOG_INFO;
static bool log_is_tty;

void log_init(const char *program, enum log_level max_level)
{
    log_program = program;
    log_max = max_level;
    log_is_tty = isatty(STDERR_FILENO) == 1;
}

static void write_line(enum log_level level, const char *text)
{
    char line[1400];
    int n;

    if (log_is_tty)
        n = snprintf(line, sizeof(line), "%s: %s", log_program, text);
    else
        n = snprintf(line, sizeof(line), "<%d>%s[%d]: %s", (int)level, log_program, (int)getpid(), text);
    if (n < 0)
        return;
    if ((size_t)n > sizeof(line) - 2)
        n = (int)sizeof(line) - 2;
    for (int i = 0; i < n; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)n) < 0)
        return; /* nowhere left to say it */
}

void log_at(enum log_level level, const char *fmt, ...)
{
    char text[1200];
    va_list ap;

    if (level > log_max)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    write_line(level, text);
}

void log_err(enum log_level level, const struct err *e, const char *fmt, ...)
{
    char context[256], text[1200];
    va_list ap;

    if (level > log_max)
        return;
    va_start(ap, fmt);
    vsnprintf(context, sizeof(context), fmt, ap);
    va_end(ap);
    snprintf(text, sizeof(text), "%s: %s (%s)%s%s", context, e->text, e->code, e->hint[0] ? "; " : "", e->hint);
    write_line(level, text);
}
