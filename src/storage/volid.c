/* Names of volumes: STORE:VOLID to struct and back. Pure, total, no allocation; the text may come from a stranger.
 *
 * The grammar is that of PVE's directory storages (pve-storage, Plugin.pm, parse_volname), narrowed: names hold
 * letters, digits and a few marks only, so that no name means something in a property string, a JSON text or a command
 * line; an image names its owner twice and both must agree. There is one spelling of a volume: what parses formats back
 * to the same text. */
#include "storage/storage_priv.h"

#include <strings.h>

#include "base/path.h"

struct name_rule {
    enum storage_content content;
    const char *prefix;         /* folder part of the volid */
    const char *const *endings; /* NULL-terminated; NULL = any */
};

static const char *const iso_endings[] = {".iso", ".img", NULL};
static const char *const vztmpl_endings[] = {".tar", ".tar.gz", ".tar.xz", ".tar.zst", ".tar.bz2", NULL};
static const char *const backup_endings[] = {".tgz", ".tar",    ".tar.gz",  ".tar.lzo", ".tar.zst", ".tar.bz2",
                                             ".vma", ".vma.gz", ".vma.lzo", ".vma.zst", ".vma.bz2", NULL};
static const char *const import_endings[] = {".ova", ".ovf", ".qcow2", ".raw", ".vmdk", NULL};

/* Everything but images, which have no word in front but a number. */
static const struct name_rule rules[] = {
    {STORAGE_CONTENT_iso, "iso/", iso_endings},          {STORAGE_CONTENT_vztmpl, "vztmpl/", vztmpl_endings},
    {STORAGE_CONTENT_backup, "backup/", backup_endings}, {STORAGE_CONTENT_snippets, "snippets/", NULL},
    {STORAGE_CONTENT_import, "import/", import_endings}, {STORAGE_CONTENT_boot, "boot/", NULL},
};

static int bad(struct err *e, const char *what)
{
    return err_set(e, -EINVAL, "volume.name", "not a volume name: %s", what);
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

int storage_id_check(const char *id, struct err *e)
{
    size_t n = strlen(id);

    if (n < 2 || n > STORAGE_ID_MAX || !is_alpha(id[0]) || !(is_alpha(id[n - 1]) || is_digit(id[n - 1])))
        return err_set(e, -EINVAL, "storage.id",
                       "a storage id has 2 to %u characters, from a letter to a letter or digit", STORAGE_ID_MAX);
    for (size_t i = 0; i < n; i++)
        if (!is_alpha(id[i]) && !is_digit(id[i]) && !strchr("-_.", id[i]))
            return err_set(e, -EINVAL, "storage.id", "character %zu of the storage id is not allowed", i + 1);
    return 0;
}

static int name_check(const char *name, struct err *e)
{
    int r = path_name_check(name, VOLUME_NAME_MAX, e);

    if (r < 0)
        return r;
    for (const char *p = name; *p; p++)
        if (!is_alpha(*p) && !is_digit(*p) && !strchr("-_.+=@~()", *p))
            return bad(e, "letters, digits and -_.+=@~() only");
    return 0;
}

static bool ends_nocase(const char *s, const char *ending)
{
    size_t n = strlen(s), m = strlen(ending);
    return n > m && strcasecmp(s + n - m, ending) == 0;
}

static bool has_ending(const char *name, const char *const *endings)
{
    for (; endings && *endings; endings++)
        if (ends_nocase(name, *endings))
            return true;
    return !endings;
}

int volume_vmid_parse(const char *s, size_t n, uint32_t *ret)
{
    uint32_t v = 0;

    if (n < 3 || n > 9 || s[0] == '0')
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        if (!is_digit(s[i]))
            return -EINVAL;
        v = v * 10 + (uint32_t)(s[i] - '0');
    }
    *ret = v;
    return 0;
}

/* vm-VMID-WORD.raw or .qcow2 (base- for a template's). */
static int image_check(const char *name, uint32_t vmid, enum volume_format *ret_format, struct err *e)
{
    size_t skip = str_starts(name, "vm-") ? 3 : str_starts(name, "base-") ? 5 : 0;
    uint32_t owner = 0;

    if (!skip)
        return bad(e, "an image is called vm-VMID-NAME or base-VMID-NAME");
    const char *digits = name + skip;
    size_t n = strcspn(digits, "-");
    if (volume_vmid_parse(digits, n, &owner) < 0 || digits[n] != '-')
        return bad(e, "an image is called vm-VMID-NAME or base-VMID-NAME");
    if (owner != vmid)
        return bad(e, "the owner in the folder and the owner in the name differ");
    const char *word = digits + n + 1;
    const char *dot = strrchr(word, '.');
    if (!dot || dot == word || !(streq(dot, ".raw") || streq(dot, ".qcow2")))
        return bad(e, "an image ends in .raw or .qcow2");
    *ret_format = streq(dot, ".raw") ? VOLUME_RAW : VOLUME_QCOW2;
    return 0;
}

static enum volume_format format_of(enum storage_content c, const char *name)
{
    if (c == STORAGE_CONTENT_iso)
        return VOLUME_RAW;
    if (c != STORAGE_CONTENT_import)
        return VOLUME_OTHER;
    return ends_nocase(name, ".raw") ? VOLUME_RAW : ends_nocase(name, ".qcow2") ? VOLUME_QCOW2 : VOLUME_OTHER;
}

static const struct name_rule *rule_of(enum storage_content c)
{
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
        if (rules[i].content == c)
            return &rules[i];
    return NULL;
}

int volume_id_make(const char *storage, enum storage_content c, uint32_t vmid, const char *name, struct volume_id *ret,
                   struct err *e)
{
    struct volume_id v = {.content = c, .vmid = vmid};
    int r = storage_id_check(storage, e);

    if (r == 0)
        r = name_check(name, e);
    if (r < 0)
        return r;
    const struct name_rule *rule = rule_of(c);
    if (c == STORAGE_CONTENT_images) {
        r = vmid < VMID_MIN || vmid > VMID_MAX ? bad(e, "owner") : image_check(name, vmid, &v.format, e);
    } else if (!rule || vmid != 0) {
        r = bad(e, "unknown kind of content");
    } else {
        v.format = format_of(c, name);
        if (!has_ending(name, rule->endings))
            r = err_set(e, -EINVAL, "volume.ending", "wrong file ending for content '%s'", storage_content_name(c));
    }
    if (r < 0)
        return r;
    if (str_copy(v.storage, sizeof(v.storage), storage) < 0 || str_copy(v.name, sizeof(v.name), name) < 0)
        return bad(e, "too long");
    *ret = v;
    return 0;
}

/* A template's images are base-…, so the two prefixes of a volume have layers of their own. */
static const struct {
    const char *volume, *layer;
} layer_prefixes[] = {{"vm-", "snap-"}, {"base-", "basesnap-"}};

struct volume_id volume_layer(const struct volume_id *v, uint32_t layer)
{
    struct volume_id l = *v;

    l.layer = layer;
    return l;
}

struct volume_file volume_file(const struct volume_id *v)
{
    struct volume_file f;
    const char *dot = strrchr(v->name, '.');

    snprintf(f.name, sizeof(f.name), "%s", v->name);
    for (size_t i = 0; v->layer && dot && i < ARRAY_SIZE(layer_prefixes); i++) {
        size_t n = strlen(layer_prefixes[i].volume);
        if (str_starts(v->name, layer_prefixes[i].volume))
            snprintf(f.name, sizeof(f.name), "%s%.*s-%u%s", layer_prefixes[i].layer, (int)(dot - v->name - (long)n),
                     v->name + n, v->layer, dot);
    }
    return f;
}

static int split_layer(const char *file, const char *prefix, const char *volume, char *name, size_t cap,
                       uint32_t *ret_layer)
{
    const char *dot = strrchr(file, '.'), *dash = dot;
    uint64_t number;
    char digits[8];

    while (dash && dash > file && *dash != '-')
        dash--;
    if (!str_starts(file, prefix) || !dot || *dash != '-' || dash < file + strlen(prefix) ||
        (size_t)(dot - dash - 1) >= sizeof(digits))
        return -EINVAL;
    snprintf(digits, sizeof(digits), "%.*s", (int)(dot - dash - 1), dash + 1);
    if (digits[0] == '0' || str_to_u64(digits, &number) < 0 || !number || number > VOLUME_LAYER_MAX)
        return -EINVAL;
    size_t skip = strlen(prefix);
    int n = snprintf(name, cap, "%s%.*s%s", volume, (int)((size_t)(dash - file) - skip), file + skip, dot);
    *ret_layer = (uint32_t)number;
    return n < 0 || (size_t)n >= cap ? -EINVAL : 0;
}

int volume_layer_of_file(const char *storage, uint32_t vmid, const char *file, struct volume_id *ret)
{
    struct err ignored = ERR_INIT;
    char name[VOLUME_FILE_MAX];
    uint32_t layer;

    for (size_t i = 0; i < ARRAY_SIZE(layer_prefixes); i++) {
        if (split_layer(file, layer_prefixes[i].layer, layer_prefixes[i].volume, name, sizeof(name), &layer) < 0 ||
            volume_id_make(storage, STORAGE_CONTENT_images, vmid, name, ret, &ignored) < 0)
            continue;
        ret->layer = layer;
        return 0;
    }
    return -EINVAL;
}

int volume_id_parse(const char *text, struct volume_id *ret, struct err *e)
{
    char storage[STORAGE_ID_MAX + 1];
    const char *colon = strchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;

    if (n == 0 || n > STORAGE_ID_MAX)
        return bad(e, "it begins with a storage id and a colon");
    memcpy(storage, text, n);
    storage[n] = 0;
    const char *rest = colon + 1;
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
        if (str_starts(rest, rules[i].prefix))
            return volume_id_make(storage, rules[i].content, 0, rest + strlen(rules[i].prefix), ret, e);
    uint32_t vmid = 0;
    n = strcspn(rest, "/");
    if (rest[n] != '/' || volume_vmid_parse(rest, n, &vmid) < 0)
        return bad(e, "neither VMID/NAME nor a known kind of content");
    return volume_id_make(storage, STORAGE_CONTENT_images, vmid, rest + n + 1, ret, e);
}

void volume_id_format(const struct volume_id *v, char *dst, size_t cap)
{
    const struct name_rule *rule = rule_of(v->content);

    if (rule)
        snprintf(dst, cap, "%s:%s%s", v->storage, rule->prefix, v->name);
    else
        snprintf(dst, cap, "%s:%u/%s", v->storage, v->vmid, v->name);
}
