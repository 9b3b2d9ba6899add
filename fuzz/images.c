/* A catalogue of images, and after a zero byte a file of checksums: every row is inside its text and has words that
 * holm-fetch and a storage take; a checksum that is found has as many digits as its algorithm. */
#include "api/image_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_inside(const char *p, const char *text, size_t n)
{
    if (p < text || p + strlen(p) > text + n || strpbrk(p, " \t\n"))
        abort();
}

static void check_row(const struct image_row *row, const char *text, size_t n)
{
    check_inside(row->name, text, n);
    check_inside(row->format, text, n);
    check_inside(row->url, text, n);
    check_inside(row->algorithm, text, n);
    check_inside(row->sums, text, n);
    if (strchr(row->name, '/') || row->name[0] == '.' || !str_starts(row->url, "http") ||
        !str_starts(row->sums, "http"))
        abort();
}

static void check_sums(const struct image_row *row, const char *sums, size_t n)
{
    char found[IMAGE_CHECKSUM_BYTES];
    struct err e = ERR_INIT;

    if (image_checksum_find(row, sums, n, found, &e) < 0)
        return;
    const char *colon = strchr(found, ':');
    size_t digits = strtoul(row->algorithm + 3, NULL, 10) / 4;
    if (!colon || strlen(colon + 1) != digits || strspn(colon + 1, "0123456789abcdefABCDEF") != digits)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct image_list list;
    const uint8_t *zero = n ? memchr(data, 0, n) : NULL;
    size_t length = zero ? (size_t)(zero - data) : n, rest = zero ? n - length - 1 : 0;
    autofree char *text = malloc(length + 1), *sums = malloc(rest + 1);
    struct err e = ERR_INIT;

    if (!text || !sums)
        return 0;
    if (n)
        memcpy(text, data, length);
    if (rest)
        memcpy(sums, zero + 1, rest);
    text[length] = 0;
    list.n = 0;
    int r = image_list_add(text, length, "fuzz", false, &list, &e);
    for (size_t i = 0; i < list.n; i++) {
        check_row(&list.rows[i], text, length);
        if (r == 0)
            check_sums(&list.rows[i], sums, rest);
        if (i && strcmp(list.rows[i - 1].name, list.rows[i].name) >= 0)
            abort();
    }
    return 0;
}
