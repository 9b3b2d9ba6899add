/* Small things every file needs: clean-up attributes, hand-over, array sizes.
 *
 * Locals that own something carry one of the auto* attributes and an initialiser; ownership leaves a scope only by
 * TAKE_PTR or TAKE_FD. Nothing here allocates. */
#ifndef HOLM_BASE_UTIL_H
#define HOLM_BASE_UTIL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARRAY_SIZE(a)                   (sizeof(a) / sizeof((a)[0]))
#define PRINTF_LIKE(fmt, args)          __attribute__((format(printf, fmt, args)))
#define MUST_CHECK                      __attribute__((warn_unused_result))
#define UNUSED                          __attribute__((unused))
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void util_free_ptr(void *p)
{
    free(*(void **)p);
}

static inline void util_close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void util_fclose(FILE **f)
{
    if (*f)
        fclose(*f);
}

#define autofree   __attribute__((cleanup(util_free_ptr)))
#define autoclose  __attribute__((cleanup(util_close_fd)))
#define autofclose __attribute__((cleanup(util_fclose)))

#define TAKE_PTR(p)                                                                                                    \
    ({                                                                                                                 \
        __typeof__(p) take_p_ = (p);                                                                                   \
        (p) = NULL;                                                                                                    \
        take_p_;                                                                                                       \
    })

static inline int util_take_fd(int *fd)
{
    int r = *fd;
    *fd = -EBADF;
    return r;
}
#define TAKE_FD(fd) util_take_fd(&(fd))

static inline bool streq(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static inline bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static inline bool str_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

/* Decimal digits only, no sign, no blanks; 0 or -EINVAL/-ERANGE. */
MUST_CHECK int str_to_u64(const char *s, uint64_t *ret_value);

/* Copies s into dst of cap bytes and always terminates; -ENAMETOOLONG leaves dst empty. */
MUST_CHECK int str_copy(char *dst, size_t cap, const char *s);
/* Bytes of the UTF-8 sequence at s (RFC 3629), of which n > 0 bytes may be read; 0 if it is none. */
size_t utf8_len(const char *s, size_t n);

/* Overwrites memory in a way the compiler may not drop; for keys and passwords. */
void mem_wipe(void *p, size_t n);

/* Compares n bytes in time that depends on n only. */
bool mem_equal_constant_time(const void *a, const void *b, size_t n);

#endif
