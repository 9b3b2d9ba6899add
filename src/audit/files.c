/* Names of the files: audit-NNNNNNNNNN.jsonl, numbered from 1. Other names in the folder are not ours. Any thread. */
#include <dirent.h>
#include <fcntl.h>

#include "audit/audit_priv.h"

#define PREFIX    "audit-"
#define SUFFIX    ".jsonl"
#define DIGITS    10u
#define FILES_MAX 65536u

void audit_file_name(unsigned number, char dst[AUDIT_NAME_MAX])
{
    snprintf(dst, AUDIT_NAME_MAX, PREFIX "%010u" SUFFIX, number);
}

static bool parse_name(const char *name, unsigned *ret)
{
    char digits[DIGITS + 1];
    uint64_t value;

    if (strlen(name) != strlen(PREFIX) + DIGITS + strlen(SUFFIX) || !str_starts(name, PREFIX) ||
        !str_ends(name, SUFFIX))
        return false;
    memcpy(digits, name + strlen(PREFIX), DIGITS);
    digits[DIGITS] = 0;
    if (str_to_u64(digits, &value) < 0 || value == 0 || value > UINT32_MAX)
        return false;
    *ret = (unsigned)value;
    return true;
}

static int compare(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

    return (x > y) - (x < y);
}

static int add(struct audit_files *f, unsigned number)
{
    unsigned *grown = f->n % 64 == 0 ? realloc(f->numbers, (f->n + 64) * sizeof(*grown)) : f->numbers;

    if (!grown || f->n == FILES_MAX)
        return -ENOMEM;
    f->numbers = grown;
    f->numbers[f->n++] = number;
    return 0;
}

int audit_files_read(int dirfd, struct audit_files *ret, struct err *e)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    unsigned number;

    *ret = (struct audit_files){0};
    if (!d) {
        r = err_errno(e, errno, "list the audit folder");
        if (fd >= 0)
            close(fd);
        return r;
    }
    for (struct dirent *de; r == 0 && (de = readdir(d));)
        if (parse_name(de->d_name, &number) && add(ret, number) < 0)
            r = err_set(e, -ENOMEM, NULL, "too many files in the audit folder");
    closedir(d);
    if (r < 0)
        audit_files_done(ret);
    else if (ret->n)
        qsort(ret->numbers, ret->n, sizeof(*ret->numbers), compare);
    return r;
}

void audit_files_done(struct audit_files *f)
{
    free(f->numbers);
    *f = (struct audit_files){0};
}
