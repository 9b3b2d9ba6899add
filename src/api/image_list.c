/* See image_list.h. */
#include "api/image_list.h"

#include <strings.h>

#define COLUMNS 5u

static const struct {
    const char *name;
    size_t digits;
} algorithms[] = {{"sha256", 64}, {"sha384", 96}, {"sha512", 128}};

static size_t digits_of(const char *algorithm)
{
    for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
        if (streq(algorithms[i].name, algorithm))
            return algorithms[i].digits;
    return 0;
}

/* ---- the catalogue ---- */

static bool is_name(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789.-_");

    return !s[n] && n <= IMAGE_NAME_MAX && s[0] != '.' && s[0] != '-' && s[0] != '_' && !strstr(s, "..");
}

/* What holm-fetch takes, too. */
static bool is_url(const char *s)
{
    const char *rest = str_starts(s, "https://") ? s + 8 : str_starts(s, "http://") ? s + 7 : NULL;
    size_t n = strlen(s);

    if (!rest || n > IMAGE_URL_MAX || !strcspn(rest, "/?#:"))
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] <= 0x20 || (unsigned char)s[i] >= 0x7f)
            return false;
    return !memchr(rest, '@', strcspn(rest, "/?#"));
}

/* The last part of an address's path. */
static const char *file_of(const char *url, size_t *ret_n)
{
    const char *path = strstr(url, "://") + 3;
    size_t end = strcspn(path, "?#"), begin = end;

    while (begin && path[begin - 1] != '/')
        begin--;
    *ret_n = end - begin;
    return path + begin;
}

static const char *check_row(const struct image_row *row)
{
    size_t n = 0;

    if (!is_name(row->name))
        return "a name has small letters, digits, '.', '-' and '_', 60 at most";
    if (!streq(row->format, "qcow2") && !streq(row->format, "raw"))
        return "the format is qcow2 or raw";
    if (!is_url(row->url) || !strchr(strstr(row->url, "://") + 3, '/') || (file_of(row->url, &n), n == 0))
        return "the third word is no http or https address of a file";
    if (!digits_of(row->algorithm))
        return "the algorithm is sha256, sha384 or sha512";
    return is_url(row->sums) ? NULL : "the fifth word is no http or https address";
}

/* Where it is, or would be. */
static size_t place_of(const struct image_list *l, const char *name)
{
    size_t i = 0;

    while (i < l->n && strcmp(l->rows[i].name, name) < 0)
        i++;
    return i;
}

static const char *add_row(struct image_list *l, const struct image_row *row)
{
    size_t at = place_of(l, row->name);

    if (at < l->n && streq(l->rows[at].name, row->name)) {
        if (l->rows[at].is_own == row->is_own)
            return "this name is there already";
    } else {
        if (l->n == IMAGE_ROWS_MAX)
            return "too many images";
        memmove(&l->rows[at + 1], &l->rows[at], (l->n - at) * sizeof(l->rows[0]));
        l->n++;
    }
    l->rows[at] = *row;
    return NULL;
}

/* A word of its own; NULL: none is left. */
static const char *next_word(char **line)
{
    char *word = *line + strspn(*line, " \t"), *end = word + strcspn(word, " \t");

    *line = *end ? end + 1 : end;
    *end = 0;
    return *word ? word : NULL;
}

/* NULL, or what is wrong. */
static const char *take_line(struct image_list *l, char *line, bool is_own)
{
    const char *words[COLUMNS];
    size_t n = strlen(line);

    if (n > IMAGE_LINE_MAX)
        return "the line is too long";
    if (n && line[n - 1] == '\r')
        line[n - 1] = 0;
    if (!line[strspn(line, " \t")] || line[strspn(line, " \t")] == '#')
        return NULL;
    for (size_t i = 0; i < COLUMNS; i++)
        if (!(words[i] = next_word(&line)))
            return "five words are needed: NAME FORMAT URL ALGORITHM CHECKSUMS-URL";
    if (next_word(&line))
        return "there is a sixth word";
    struct image_row row = {words[0], words[1], words[2], words[3], words[4], is_own};
    const char *wrong = check_row(&row);
    return wrong ? wrong : add_row(l, &row);
}

int image_list_add(char *text, size_t n, const char *where, bool is_own, struct image_list *l, struct err *e)
{
    const char *wrong = NULL;
    size_t number = 0;

    for (char *p = text, *end; !wrong && p < text + n; p = end + 1) {
        end = memchr(p, '\n', (size_t)(text + n - p));
        if (!end)
            end = text + n;
        *end = 0;
        number++;
        wrong = strlen(p) == (size_t)(end - p) ? take_line(l, p, is_own) : "there is a zero byte";
    }
    return wrong ? err_set(e, -EINVAL, "image.list", "%.200s, line %zu: %s", where, number, wrong) : 0;
}

const struct image_row *image_list_find(const struct image_list *l, const char *name)
{
    size_t at = place_of(l, name);

    return at < l->n && streq(l->rows[at].name, name) ? &l->rows[at] : NULL;
}

const char *image_compression(const struct image_row *row)
{
    size_t n;
    const char *file = file_of(row->url, &n);

    return n > 3 && memcmp(file + n - 3, ".gz", 3) == 0    ? "gz"
           : n > 4 && memcmp(file + n - 4, ".zst", 4) == 0 ? "zst"
                                                           : NULL;
}

/* ---- checksums ---- */

struct sums {
    const char *name;
    size_t name_len, digits;
    const char *tag; /* "sha256" */
    bool is_any_name;
};

static size_t hex_run(const char *p, size_t n)
{
    size_t i = 0;

    while (i < n && ((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f') || (p[i] >= 'A' && p[i] <= 'F')))
        i++;
    return i;
}

static bool is_ours(const struct sums *s, const char *name, size_t n)
{
    if (n > 2 && name[0] == '.' && name[1] == '/') {
        name += 2;
        n -= 2;
    }
    return s->is_any_name || (n == s->name_len && memcmp(name, s->name, n) == 0);
}

/* "HEX  NAME", "HEX *NAME", and HEX alone. */
static const char *take_plain(const struct sums *s, const char *p, size_t n)
{
    size_t at = s->digits;

    if (hex_run(p, n) != s->digits)
        return NULL;
    if (n == at)
        return s->is_any_name ? p : NULL;
    if (p[at] != ' ' && p[at] != '\t')
        return NULL;
    while (at < n && (p[at] == ' ' || p[at] == '\t'))
        at++;
    if (at < n && p[at] == '*')
        at++;
    return at < n && is_ours(s, p + at, n - at) ? p : NULL;
}

/* "SHA256 (NAME) = HEX" */
static const char *take_tagged(const struct sums *s, const char *p, size_t n)
{
    static const char middle[] = ") = ";
    size_t tag = strlen(s->tag), tail = sizeof(middle) - 1 + s->digits;

    if (n <= tag + 2 + tail || strncasecmp(p, s->tag, tag) != 0 || p[tag] != ' ' || p[tag + 1] != '(')
        return NULL;
    const char *name = p + tag + 2, *end = p + n - tail, *hex = p + n - s->digits;
    return memcmp(end, middle, sizeof(middle) - 1) == 0 && hex_run(hex, s->digits) == s->digits &&
                   is_ours(s, name, (size_t)(end - name))
               ? hex
               : NULL;
}

int image_checksum_find(const struct image_row *row, const char *text, size_t n, char ret[IMAGE_CHECKSUM_BYTES],
                        struct err *e)
{
    struct sums s = {.digits = digits_of(row->algorithm), .tag = row->algorithm};
    size_t url = strlen(row->url), len;
    const char *found = NULL;

    s.name = file_of(row->url, &s.name_len);
    s.is_any_name = strncmp(row->sums, row->url, url) == 0 && row->sums[url] == '.';
    for (const char *p = text; p < text + n; p += len + 1) {
        const char *newline = memchr(p, '\n', (size_t)(text + n - p));
        len = newline ? (size_t)(newline - p) : (size_t)(text + n - p);
        size_t used = len;
        while (used && (p[used - 1] == '\r' || p[used - 1] == ' ' || p[used - 1] == '\t'))
            used--;
        const char *hex = take_plain(&s, p, used);
        if (!hex)
            hex = take_tagged(&s, p, used);
        if (hex && found && strncasecmp(hex, found, s.digits) != 0)
            return err_set(e, -EBADMSG, "image.checksum", "%.200s has two checksums for '%.*s'", row->sums,
                           (int)(s.name_len < 100 ? s.name_len : 100), s.name);
        found = hex ? hex : found;
    }
    if (!found)
        return err_set(e, -EBADMSG, "image.checksum", "%.200s has no %s checksum for '%.*s'", row->sums, s.tag,
                       (int)(s.name_len < 100 ? s.name_len : 100), s.name);
    snprintf(ret, IMAGE_CHECKSUM_BYTES, "%s:%.*s", s.tag, (int)s.digits, found);
    return 0;
}
