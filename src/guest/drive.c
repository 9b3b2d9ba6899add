/* What a drive's property string says about its volume. Pure. */
#include "base/propstr.h"
#include "guest/guest.h"

bool guest_drive_volume(const char *value, struct volume_id *ret)
{
    struct err e = ERR_INIT;
    struct propstr p;

    if (propstr_parse(value, "file", &p, &e) < 0)
        return false;
    const char *file = propstr_get(&p, "file");
    if (!file)
        file = propstr_get(&p, "volume");
    return file && volume_id_parse(file, ret, &e) == 0;
}

bool guest_drive_is_cdrom(const char *value)
{
    struct err e = ERR_INIT;
    struct propstr p;

    if (propstr_parse(value, "file", &p, &e) < 0)
        return false;
    const char *media = propstr_get(&p, "media"), *file = propstr_get(&p, "file");
    return (media && streq(media, "cdrom")) || (file && (streq(file, "none") || streq(file, "cdrom")));
}

static void format_size(uint64_t bytes, struct buf *out)
{
    static const char units[] = "KMGT";
    size_t unit = 0;

    for (; unit < 4 && bytes && bytes % 1024 == 0; unit++)
        bytes /= 1024;
    buf_printf(out, "%llu%.*s", (unsigned long long)bytes, unit ? 1 : 0, unit ? &units[unit - 1] : "");
}

uint64_t guest_config_size(const char *value)
{
    static const char units[] = "KMGT";
    struct err e = ERR_INIT;
    struct propstr p;
    char *end;

    if (propstr_parse(value, "file", &p, &e) < 0 || !propstr_get(&p, "size"))
        return 0;
    unsigned long long n = strtoull(propstr_get(&p, "size"), &end, 10);
    const char *unit = *end ? strchr(units, *end) : NULL;
    for (const char *u = units; unit && u <= unit; u++)
        n *= 1024;
    return n;
}

int guest_config_resize(struct config *c, const struct volume_id *v, uint64_t size_bytes)
{
    for (size_t i = 0; i < c->n; i++) {
        const struct config_item *it = &c->items[i];
        autobuf struct buf value;
        struct volume_id other;
        buf_init(&value, 65536);
        if (!guest_is_drive_key(it->key) || !guest_drive_volume(it->value, &other) || !streq(other.name, v->name) ||
            !streq(other.storage, v->storage) || other.vmid != v->vmid)
            continue;
        for (const char *p = it->value; *p;) {
            size_t n = strcspn(p, ",");
            if (!str_starts(p, "size=")) {
                if (value.len)
                    buf_append_char(&value, ',');
                buf_append(&value, p, n);
            }
            p += n + (p[n] == ',');
        }
        buf_append_str(&value, ",size=");
        format_size(size_bytes, &value);
        if (value.is_failed || config_set(c, it->key, buf_str(&value)) < 0)
            return -ENOMEM;
    }
    return 0;
}
