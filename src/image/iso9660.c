/* See iso9660.h. Layout, in sectors of 2048 bytes: 16 primary volume descriptor, 17 Joliet's, 18 terminator, 19 and 20
 * path tables (little and big endian) of the first tree, 21 and 22 of Joliet's, 23 and 24 the two root folders, then
 * the files, each from a sector of its own. */
#include "image/iso9660.h"

enum {
    AT_PRIMARY = 16,
    AT_JOLIET,
    AT_END,
    AT_PATHS, /* two sectors each: L, M */
    AT_PATHS_JOLIET = AT_PATHS + 2,
    AT_ROOT = AT_PATHS_JOLIET + 2,
    AT_ROOT_JOLIET,
    AT_FILES,
};

#define SECTOR ISO9660_SECTOR_BYTES
/* A folder's record: 33 bytes, the identifier, padding to an even length (9.1). ID_MAX: of a name in UCS-2, or in upper
 * case with "." and ";1". Two records that have none and all files fit into one sector. */
#define RECORD_FIXED 33u
#define ID_MAX       (2u * ISO9660_NAME_MAX + 4u)
_Static_assert((ISO9660_FILES_MAX + 2) * (RECORD_FIXED + ID_MAX + 1) <= SECTOR, "a root folder has one sector");

#define PATH_TABLE_BYTES 10u /* one folder: 8 bytes, its identifier of one byte, padding (9.4) */

struct entry {
    const struct iso9660_file *file;
    uint32_t sector;
    char plain[ID_MAX]; /* NAME.EXT;1 */
};

struct image {
    uint8_t *bytes;
    uint32_t n_sectors;
    const char *label;
    struct entry entries[ISO9660_FILES_MAX];
    size_t n;
};

static uint8_t *sector(struct image *m, uint32_t number)
{
    return m->bytes + (size_t)number * SECTOR;
}

/* 7.2.1, 7.3.1 and their big-endian twins; 7.2.3 and 7.3.3 are both, one after the other. */
static void put16_both(uint8_t *p, uint16_t v)
{
    p[0] = p[3] = (uint8_t)v;
    p[1] = p[2] = (uint8_t)(v >> 8);
}

static void put32_little(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static void put32_big(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void put32_both(uint8_t *p, uint32_t v)
{
    put32_little(p, v);
    put32_big(p + 4, v);
}

/* Text in a field of the descriptor, filled with blanks (7.4); Joliet's are UCS-2, the high byte first. */
static void put_text(uint8_t *p, size_t n, const char *text, bool is_joliet)
{
    size_t step = is_joliet ? 2 : 1, len = strlen(text);

    for (size_t i = 0; i + step <= n; i += step) {
        if (is_joliet)
            p[i] = 0;
        p[i + step - 1] = i / step < len ? (uint8_t)text[i / step] : ' ';
    }
}

/* 9.1: where something is and how long. The date (9.1.5) stays zero, "not specified". Returns its length. */
static size_t put_record(uint8_t *p, const void *id, size_t n_id, uint32_t at, uint32_t n_bytes, bool is_folder)
{
    size_t n = RECORD_FIXED + n_id + (n_id % 2 == 0);

    p[0] = (uint8_t)n;
    put32_both(p + 2, at);
    put32_both(p + 10, n_bytes);
    p[25] = is_folder ? 2 : 0; /* 9.1.6 */
    put16_both(p + 28, 1);     /* 9.1.9: volume sequence number */
    p[32] = (uint8_t)n_id;
    memcpy(p + RECORD_FIXED, id, n_id);
    return n;
}

/* 9.3: records are in the order of their identifiers, which for our letters is that of the bytes. */
static int by_plain(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->plain, ((const struct entry *)b)->plain);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->file->name, ((const struct entry *)b)->file->name);
}

static void put_root(struct image *m, uint32_t at, bool is_joliet)
{
    uint8_t *p = sector(m, at), id[ID_MAX];

    qsort(m->entries, m->n, sizeof(m->entries[0]), is_joliet ? by_name : by_plain);
    p += put_record(p, "\0", 1, at, SECTOR, true); /* 6.8.2.2: itself, then the one above, which is itself */
    p += put_record(p, "\1", 1, at, SECTOR, true);
    for (size_t i = 0; i < m->n; i++) {
        const struct entry *t = &m->entries[i];
        const char *name = is_joliet ? t->file->name : t->plain;
        size_t n = strlen(name) * (is_joliet ? 2 : 1);
        put_text(id, n, name, is_joliet);
        p += put_record(p, id, n, t->sector, (uint32_t)t->file->n, false);
    }
}

/* 9.4: the one folder that there is. */
static void put_paths(struct image *m, uint32_t at, uint32_t root)
{
    uint8_t *little = sector(m, at), *big = sector(m, at + 1);

    little[0] = big[0] = 1; /* length of the identifier */
    put32_little(little + 2, root);
    put32_big(big + 2, root);
    little[6] = big[7] = 1; /* number of the folder above: itself */
}

/* 8.4, and 8.5 for Joliet, which differs in the escape sequences (8.5.6: UCS-2 level 3) and in its texts. */
static void put_descriptor(struct image *m, bool is_joliet)
{
    uint8_t *p = sector(m, is_joliet ? AT_JOLIET : AT_PRIMARY);
    uint32_t paths = is_joliet ? AT_PATHS_JOLIET : AT_PATHS, root = is_joliet ? AT_ROOT_JOLIET : AT_ROOT;

    p[0] = is_joliet ? 2 : 1;
    memcpy(p + 1, "CD001", 5);
    p[6] = 1;
    put_text(p + 8, 32, "", is_joliet); /* system */
    /* 8.4.7 wants capitals, but cloud-init's own documentation has "cidata", and so has every tool's image. */
    put_text(p + 40, 32, m->label, is_joliet);
    put32_both(p + 80, m->n_sectors);
    if (is_joliet)
        memcpy(p + 88, "%/E", 3);
    put16_both(p + 120, 1); /* one volume, */
    put16_both(p + 124, 1); /* the first, */
    put16_both(p + 128, SECTOR);
    put32_both(p + 132, PATH_TABLE_BYTES);
    put32_little(p + 140, paths);
    put32_big(p + 148, paths + 1);
    put_record(p + 156, "\0", 1, root, SECTOR, true); /* 8.4.18 */
    put_text(p + 190, 128, "", is_joliet);            /* volume set */
    put_text(p + 318, 128, "", is_joliet);            /* publisher */
    put_text(p + 446, 128, "", is_joliet);            /* preparer */
    put_text(p + 574, 128, "", is_joliet);            /* application */
    put_text(p + 702, 37, "", is_joliet);             /* copyright, abstract and bibliography files */
    put_text(p + 739, 37, "", is_joliet);
    put_text(p + 776, 37, "", is_joliet);
    for (int i = 0; i < 4; i++)
        memset(p + 813 + 17 * i, '0', 16); /* 8.4.26.1: no date */
    p[881] = 1;
}

static int bad(struct err *e, const char *what)
{
    return err_set(e, -EINVAL, "image.iso", "%s", what);
}

static bool is_word(const char *s, size_t max, const char *more)
{
    size_t n = strlen(s);

    for (size_t i = 0; i < n; i++)
        if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= '0' && s[i] <= '9')) &&
            !strchr(more, s[i]))
            return false;
    return n && n <= max;
}

/* 7.5.1: capitals, digits and '_', one '.', and a version. */
static int plain_name(const char *name, char dst[ID_MAX], struct err *e)
{
    const char *dot = strchr(name, '.');
    char upper[ISO9660_NAME_MAX + 1];
    size_t i = 0;

    if (!is_word(name, ISO9660_NAME_MAX, "-_.") || dot == name || (dot && strchr(dot + 1, '.')))
        return bad(e, "not the name of a file on a CD-ROM");
    for (; name[i]; i++)
        upper[i] = name[i] == '-' ? '_' : name[i] >= 'a' && name[i] <= 'z' ? (char)(name[i] - 'a' + 'A') : name[i];
    upper[i] = 0;
    snprintf(dst, ID_MAX, "%s%s;1", upper, dot ? "" : ".");
    return 0;
}

static int place(struct image *m, const struct iso9660_file *files, size_t n, struct err *e)
{
    uint32_t at = AT_FILES;

    for (size_t i = 0; i < n; i++) {
        struct entry *t = &m->entries[i];
        *t = (struct entry){.file = &files[i], .sector = at};
        if (plain_name(files[i].name, t->plain, e) < 0)
            return e->num;
        if (files[i].n > ISO9660_FILE_MAX)
            return err_set(e, -EFBIG, "image.iso", "'%s' has more than %u bytes", files[i].name, ISO9660_FILE_MAX);
        for (size_t k = 0; k < i; k++)
            if (streq(m->entries[k].plain, t->plain))
                return bad(e, "two files of one name");
        /* An empty file has a sector too, so that its place is inside the volume. */
        at += files[i].n ? (uint32_t)((files[i].n + SECTOR - 1) / SECTOR) : 1;
    }
    m->n = n;
    m->n_sectors = at;
    return 0;
}

int iso9660_write(const char *label, const struct iso9660_file *files, size_t n, struct buf *out, struct err *e)
{
    struct image m = {.label = label};

    if (n > ISO9660_FILES_MAX || !is_word(label, ISO9660_LABEL_MAX, "-_"))
        return bad(e, "too many files, or not a label");
    int r = place(&m, files, n, e);
    if (r < 0)
        return r;
    size_t total = (size_t)m.n_sectors * SECTOR;
    m.bytes = (uint8_t *)buf_reserve(out, total);
    if (!m.bytes)
        return err_set(e, -EFBIG, "image.iso", "an image of %zu bytes is too large", total);
    memset(m.bytes, 0, total);
    for (size_t i = 0; i < n; i++)
        if (files[i].n)
            memcpy(sector(&m, m.entries[i].sector), files[i].data, files[i].n);
    put_descriptor(&m, false);
    put_descriptor(&m, true);
    memcpy(sector(&m, AT_END), "\377CD001\1", 7); /* 8.3: set terminator */
    put_paths(&m, AT_PATHS, AT_ROOT);
    put_paths(&m, AT_PATHS_JOLIET, AT_ROOT_JOLIET);
    put_root(&m, AT_ROOT, false);
    put_root(&m, AT_ROOT_JOLIET, true);
    out->len += total;
    out->data[out->len] = 0;
    return 0;
}
