/* Volume names and content lists: what parses formats back to itself; a file name found on disk is a volume or not. */
#include "storage/storage_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_name(const char *text)
{
    static const enum storage_content contents[] = {STORAGE_CONTENT_images, STORAGE_CONTENT_iso, STORAGE_CONTENT_boot,
                                                    STORAGE_CONTENT_import, STORAGE_CONTENT_rootdir};

    for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
        struct err e = ERR_INIT;
        struct volume_id v;
        uint32_t vmid = contents[i] == STORAGE_CONTENT_images ? 100 : 0;
        if (volume_id_make("local", contents[i], vmid, text, &v, &e) == 0 && strchr(v.name, '/'))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *text = malloc(n + 1), back[VOLUME_ID_MAX + 1], list[96];
    struct err e = ERR_INIT;
    struct volume_id v;
    uint32_t mask, again;

    if (!text)
        return 0;
    memcpy(text, data, n);
    text[n] = 0;
    if (volume_id_parse(text, &v, &e) == 0) {
        volume_id_format(&v, back, sizeof(back));
        if (!streq(back, text) || strchr(v.name, '/') || v.name[0] == '.')
            abort();
    }
    if (storage_contents_parse(text, &mask, &e) == 0) {
        storage_contents_format(mask, list, sizeof(list));
        if (storage_contents_parse(list, &again, &e) < 0 || again != mask)
            abort();
    }
    check_name(text);
    free(text);
    return 0;
}
