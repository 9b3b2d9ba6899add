/* Configuration as an ordered list of keys, its text in PVE's syntax and its digest; see guest.h. Pure. */
#include <ctype.h>
#include <sodium.h>

#include "guest/guest.h"

#define CONFIG_KEYS_MAX 512u

void config_done(struct config *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free((char *)c->items[i].key);
        free((char *)c->items[i].value);
    }
    free(c->items);
    *c = (struct config){0};
}

static struct config_item *find(const struct config *c, const char *key)
{
    for (size_t i = 0; i < c->n; i++)
        if (streq(c->items[i].key, key))
            return &c->items[i];
    return NULL;
}

const char *config_get(const struct config *c, const char *key)
{
    const struct config_item *it = find(c, key);

    return it ? it->value : NULL;
}

int config_set(struct config *c, const char *key, const char *value)
{
    struct config_item *it = find(c, key);
    char *v = strdup(value);

    if (!v)
        return -ENOMEM;
    if (it) {
        free((char *)it->value);
        it->value = v;
        return 0;
    }
    struct config_item *items = c->n < CONFIG_KEYS_MAX ? realloc(c->items, (c->n + 1) * sizeof(*items)) : NULL;
    char *k = items ? strdup(key) : NULL;
    if (items)
        c->items = items;
    if (!k) {
        free(v);
        return -ENOMEM;
    }
    c->items[c->n++] = (struct config_item){.key = k, .value = v};
    return 0;
}

void config_remove(struct config *c, const char *key)
{
    struct config_item *it = find(c, key);

    if (!it)
        return;
    free((char *)it->key);
    free((char *)it->value);
    size_t i = (size_t)(it - c->items);
    memmove(it, it + 1, (c->n - i - 1) * sizeof(*it));
    c->n--;
}

int config_copy(const struct config *from, struct config *ret)
{
    struct config c = {0};

    for (size_t i = 0; i < from->n; i++)
        if (config_set(&c, from->items[i].key, from->items[i].value) < 0) {
            config_done(&c);
            return -ENOMEM;
        }
    *ret = c;
    return 0;
}

int config_load(json_t *object, struct config *ret)
{
    struct config c = {0};
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        if (!json_is_string(value) || config_set(&c, key, json_string_value(value)) < 0) {
            config_done(&c);
            return -EINVAL;
        }
    }
    config_done(ret);
    *ret = c;
    return 0;
}

void config_write(const struct config *c, struct jw *w)
{
    jw_object(w);
    for (size_t i = 0; i < c->n; i++)
        jw_kv_str(w, c->items[i].key, c->items[i].value);
    jw_object_end(w);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct config_item *)a)->key, ((const struct config_item *)b)->key);
}

/* "#" lines, with what would break a line percent-encoded, as PVE writes the description. */
static void text_description(const char *text, struct buf *out)
{
    while (*text) {
        buf_append_char(out, '#');
        for (; *text && *text != '\n'; text++) {
            unsigned char ch = (unsigned char)*text;
            if (ch < 0x20 || ch == '%' || ch == 0x7f)
                buf_printf(out, "%%%02X", ch);
            else
                buf_append_char(out, *text);
        }
        buf_append_char(out, '\n');
        text += *text == '\n';
    }
}

/* A value is one line: a control character in it (none should be) is percent-encoded. */
static void text_item(const struct config_item *it, struct buf *out)
{
    buf_printf(out, "%s: ", it->key);
    for (const char *p = it->value; *p; p++) {
        if ((unsigned char)*p < 0x20)
            buf_printf(out, "%%%02X", (unsigned char)*p);
        else
            buf_append_char(out, *p);
    }
    buf_append_char(out, '\n');
}

void config_text(const struct config *c, const struct config *pending, struct buf *out)
{
    struct config_item sorted[CONFIG_KEYS_MAX];
    const char *description = config_get(c, "description");

    if (description)
        text_description(description, out);
    memcpy(sorted, c->items ? c->items : sorted, c->n * sizeof(*sorted));
    qsort(sorted, c->n, sizeof(*sorted), by_key);
    for (size_t i = 0; i < c->n; i++)
        if (!streq(sorted[i].key, "description"))
            text_item(&sorted[i], out);
    if (!pending || !pending->n)
        return;
    buf_append_str(out, "\n[PENDING]\n");
    bool is_first = true;
    for (size_t i = 0; i < pending->n; i++)
        if (pending->items[i].key[0] == '!') {
            buf_printf(out, "%s%s", is_first ? "delete: " : ",", pending->items[i].key + 1);
            is_first = false;
        }
    if (!is_first)
        buf_append_char(out, '\n');
    for (size_t i = 0; i < pending->n; i++)
        if (pending->items[i].key[0] != '!')
            text_item(&pending->items[i], out);
}

void config_digest(const struct config *c, const struct config *pending, char digest[GUEST_DIGEST_SIZE])
{
    unsigned char hash[20];
    struct buf b;

    buf_init(&b, 1024u * 1024u);
    config_text(c, pending, &b);
    crypto_generichash(hash, sizeof(hash), (const unsigned char *)buf_str(&b), b.len, NULL, 0);
    sodium_bin2hex(digest, GUEST_DIGEST_SIZE, hash, sizeof(hash));
    buf_done(&b);
}

bool guest_is_index_key(const char *key, const char *stem)
{
    size_t n = strlen(stem);

    return strncmp(key, stem, n) == 0 && key[n] && strspn(key + n, "0123456789") == strlen(key + n);
}

bool guest_is_drive_key(const char *key)
{
    static const char *const stems[] = {"ide", "sata", "scsi", "virtio", "efidisk", "tpmstate"};

    for (size_t i = 0; i < ARRAY_SIZE(stems); i++)
        if (guest_is_index_key(key, stems[i]))
            return true;
    return false;
}
