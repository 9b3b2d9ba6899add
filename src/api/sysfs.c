/* See sysfs.h. */
#include "api/sysfs.h"

#include <dirent.h>
#include <fcntl.h>

bool sysfs_text(int dirfd, const char *name, char *dst, size_t cap)
{
    char text[512];
    autoclose int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    dst[0] = 0;
    if (n <= 0)
        return false;
    text[n] = 0;
    char *p = text + strspn(text, " \t");
    p[strcspn(p, "\n")] = 0;
    for (size_t len = strlen(p); len && (p[len - 1] == ' ' || p[len - 1] == '\t'); len--)
        p[len - 1] = 0;
    snprintf(dst, cap, "%s", p);
    return dst[0] != 0;
}

uint64_t sysfs_u64(int dirfd, const char *name, uint64_t fallback)
{
    char text[64], *end;

    if (!sysfs_text(dirfd, name, text, sizeof(text)))
        return fallback;
    uint64_t value = strtoull(text, &end, 0);
    return *end ? fallback : value;
}

bool sysfs_link(int dirfd, const char *name, char *dst, size_t cap)
{
    char target[512];
    ssize_t n = readlinkat(dirfd, name, target, sizeof(target) - 1);

    dst[0] = 0;
    if (n <= 0)
        return false;
    target[n] = 0;
    const char *slash = strrchr(target, '/');
    snprintf(dst, cap, "%s", slash ? slash + 1 : target);
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

size_t sysfs_names(int dirfd, const char *path, char ***ret_names, size_t max)
{
    int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    char **names = calloc(max, sizeof(*names));
    size_t n = 0;

    if (fd >= 0 && !d)
        close(fd);
    for (struct dirent *de; d && names && n < max && (de = readdir(d));)
        if (de->d_name[0] != '.' && (names[n] = strdup(de->d_name)))
            n++;
    if (d)
        closedir(d);
    if (n)
        qsort(names, n, sizeof(*names), by_name);
    *ret_names = names;
    return n;
}

void sysfs_names_free(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
}
