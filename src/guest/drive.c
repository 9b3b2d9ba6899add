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
