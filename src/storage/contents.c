/* Content types of a storage and format names: lists as PVE writes them ("iso,images") and bit masks. Pure. */
#include "storage/storage.h"

static const struct {
    const char *name;
    enum storage_content bit;
} contents[] = {
#define CONTENT_ROW(name, bit) {#name, STORAGE_CONTENT_##name},
    STORAGE_CONTENTS(CONTENT_ROW)
#undef CONTENT_ROW
};

const char *storage_content_name(enum storage_content c)
{
    for (size_t i = 0; i < ARRAY_SIZE(contents); i++)
        if (contents[i].bit == c)
            return contents[i].name;
    return "unknown";
}

const char *volume_format_name(enum volume_format f)
{
    switch (f) {
    case VOLUME_RAW:
        return "raw";
    case VOLUME_QCOW2:
        return "qcow2";
    case VOLUME_OTHER:
        break;
    }
    return "other";
}

static uint32_t find_content(const char *name, size_t n)
{
    for (size_t i = 0; i < ARRAY_SIZE(contents); i++)
        if (strlen(contents[i].name) == n && memcmp(contents[i].name, name, n) == 0)
            return contents[i].bit;
    return 0;
}

/* Separators of a PVE list: comma, semicolon, blanks; several count as one. "none" alone is the empty set. */
int storage_contents_parse(const char *list, uint32_t *ret_mask, struct err *e)
{
    uint32_t mask = 0;

    if (streq(list, "none")) {
        *ret_mask = 0;
        return 0;
    }
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, ",; \t");
        uint32_t bit = n ? find_content(p, n) : 0;
        if (n && !bit)
            return err_set(e, -EINVAL, "storage.content", "unknown content type '%.*s'", n > 32 ? 32 : (int)n, p);
        mask |= bit;
        p += n;
        p += strspn(p, ",; \t");
    }
    if (!mask)
        return err_set(e, -EINVAL, "storage.content", "no content type named");
    *ret_mask = mask;
    return 0;
}

void storage_contents_format(uint32_t mask, char *dst, size_t cap)
{
    size_t at = 0;

    if (cap)
        dst[0] = 0;
    for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
        if (!(mask & contents[i].bit))
            continue;
        int n = snprintf(dst + at, cap - at, "%s%s", at ? "," : "", contents[i].name);
        if (n < 0 || (size_t)n >= cap - at) {
            dst[at] = 0;
            return;
        }
        at += (size_t)n;
    }
    if (!at)
        snprintf(dst, cap, "none");
}
