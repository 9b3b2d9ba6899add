/* The list of templates: every row has a name that can be a volume's, an address of the web, and texts inside the list.
 */
#include "api/template_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_inside(const char *p, const char *text, size_t n)
{
    if (p < text || p + strlen(p) > text + n)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct template_list list;
    autofree char *text = malloc(n + 1);

    if (!text)
        return 0;
    memcpy(text, data, n);
    text[n] = 0;
    template_list_parse(text, &list);
    if (list.n > TEMPLATE_ROWS_MAX)
        abort();
    for (size_t i = 0; i < list.n; i++) {
        const struct template_row *row = &list.rows[i];
        check_inside(row->name, text, n);
        check_inside(row->url, text, n);
        check_inside(row->headline, text, n);
        if (strchr(row->name, '/') || !str_starts(row->url, "http") || strpbrk(row->url, " \t\r\n"))
            abort();
        if (row->checksum)
            check_inside(row->checksum, text, n);
        if (row->checksum && !strchr(row->checksum, ':'))
            abort();
    }
    return 0;
}
