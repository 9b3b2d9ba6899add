/* Filling struct err. Pure; any thread. */
#include "base/err.h"

#include <stdarg.h>

static const char *default_code(int num)
{
    switch (-num) {
    case ENOSPC:
    case EDQUOT:
        return "host.disk-full";
    case ENOMEM:
        return "host.memory";
    case EMFILE:
    case ENFILE:
        return "host.files";
    case EACCES:
    case EPERM:
        return "host.denied";
    case ENOENT:
        return "host.missing";
    case EIO:
        return "host.io";
    case ETIMEDOUT:
        return "host.timeout";
    default:
        return "internal";
    }
}

static void set_code(struct err *e, int num, const char *code)
{
    e->num = num;
    snprintf(e->code, sizeof(e->code), "%s", code ? code : default_code(num));
    e->hint[0] = 0;
}

int err_set(struct err *e, int num, const char *code, const char *fmt, ...)
{
    va_list ap;

    set_code(e, num, code);
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);
    return num;
}

int err_errno(struct err *e, int errno_value, const char *fmt, ...)
{
    va_list ap;
    char reason[64];

    set_code(e, -errno_value, NULL);
    va_start(ap, fmt);
    int n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(e->text))
        snprintf(e->text + n, sizeof(e->text) - (size_t)n, ": %s", strerror_r(errno_value, reason, sizeof(reason)));
    return -errno_value;
}

int err_wrap(struct err *e, int r, const char *fmt, ...)
{
    char old[sizeof(e->text)];
    va_list ap;

    memcpy(old, e->text, sizeof(old));
    va_start(ap, fmt);
    int n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(e->text))
        snprintf(e->text + n, sizeof(e->text) - (size_t)n, ": %.*s", (int)(sizeof(old) - 1), old);
    if (!e->num)
        set_code(e, r, NULL);
    return r;
}

int err_hint(struct err *e, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(e->hint, sizeof(e->hint), fmt, ap);
    va_end(ap);
    return e->num;
}
