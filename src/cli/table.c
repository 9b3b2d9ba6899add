/* Aligned tables without borders, and "key  value" lists. Widths are counted in terminal columns of the cleaned text.
 */
#include "cli/output_priv.h"
#include "cli/text_priv.h"

#define GAP "  "

static bool has_colour(const struct cli *c)
{
    const char *term = getenv("TERM"), *no = getenv("NO_COLOR");

    return !c->is_colour_off && !(no && *no) && isatty(STDOUT_FILENO) && !(term && streq(term, "dumb"));
}

static void pad(struct buf *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_append_char(out, ' ');
}

struct column {
    const char *key;
    size_t width;
    bool is_right;
};

static void measure(json_t *rows, struct column *col, bool has_header)
{
    struct buf cell;

    buf_init(&cell, OUTPUT_MAX);
    col->width = has_header ? text_width(col->key) : 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *value = json_object_get(json_array_get(rows, i), col->key);
        buf_reset(&cell);
        format_value(col->key, value, false, &cell);
        size_t w = text_width(buf_str(&cell));
        col->width = w > col->width ? w : col->width;
        col->is_right = col->is_right || format_is_right_aligned(col->key, value);
    }
    buf_done(&cell);
}

static void put_cell(const struct column *col, const char *text, const char *colour, bool is_last, struct buf *out)
{
    size_t fill = col->width - text_width(text);

    if (col->is_right)
        pad(out, fill);
    if (colour)
        buf_append_str(out, colour);
    buf_append_str(out, text);
    if (colour)
        buf_append_str(out, "\033[0m");
    if (!is_last) {
        pad(out, col->is_right ? 0 : fill);
        buf_append_str(out, GAP);
    }
}

static void put_header(const struct column *cols, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        char title[64];
        size_t k = 0;
        for (; cols[i].key[k] && k + 1 < sizeof(title); k++) /* ASCII only: keys are cleaned by columns_split */
            title[k] = (char)(cols[i].key[k] >= 'a' && cols[i].key[k] <= 'z' ? cols[i].key[k] - 32 : cols[i].key[k]);
        title[k] = 0;
        put_cell(&cols[i], title, NULL, i + 1 == n, out);
    }
    buf_append_char(out, '\n');
}

static void put_row(const struct cli *c, const struct column *cols, size_t n, json_t *row, struct buf *out)
{
    bool is_coloured = has_colour(c);
    struct buf cell;

    buf_init(&cell, OUTPUT_MAX);
    for (size_t i = 0; i < n; i++) {
        json_t *value = json_object_get(row, cols[i].key);
        buf_reset(&cell);
        format_value(cols[i].key, value, false, &cell);
        put_cell(&cols[i], buf_str(&cell), is_coloured ? format_colour(cols[i].key, value) : NULL, i + 1 == n, out);
    }
    buf_done(&cell);
    buf_append_char(out, '\n');
}

int table_print(const struct cli *c, json_t *rows, const char *const *columns, size_t n_columns, struct buf *out,
                struct err *e)
{
    struct column cols[COLUMNS_MAX];

    if (json_array_size(rows) == 0)
        return 0;
    for (size_t i = 0; i < n_columns; i++) {
        cols[i] = (struct column){.key = columns[i]};
        measure(rows, &cols[i], !c->is_quiet);
    }
    if (!c->is_quiet)
        put_header(cols, n_columns, out);
    for (size_t i = 0; i < json_array_size(rows); i++)
        put_row(c, cols, n_columns, json_array_get(rows, i), out);
    return out->is_failed ? err_set(e, -EFBIG, NULL, "the table is too large") : 0;
}

/* Nested objects become "outer.inner" keys; the daemon's nesting is bounded by REPLY_DEPTH_MAX. */
static void walk_object(json_t *object, const char *prefix, void (*fn)(void *arg, const char *key, json_t *value),
                        void *arg)
{
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        struct buf name;
        buf_init(&name, 4096);
        buf_printf(&name, "%s%s", prefix, *prefix ? "." : "");
        text_append_clean(&name, key, strlen(key));
        if (json_is_object(value) && json_object_size(value))
            walk_object(value, buf_str(&name), fn, arg);
        else
            fn(arg, buf_str(&name), value);
        buf_done(&name);
    }
}

struct object_print {
    size_t width;
    bool is_coloured;
    struct buf *out;
};

static void measure_key(void *arg, const char *key, json_t *value)
{
    struct object_print *p = arg;
    size_t w = text_width(key);

    p->width = w > p->width ? w : p->width;
}

static void print_key(void *arg, const char *key, json_t *value)
{
    struct object_print *p = arg;
    const char *colour = p->is_coloured ? format_colour(key, value) : NULL;
    struct buf cell;

    buf_init(&cell, OUTPUT_MAX);
    format_value(key, value, false, &cell);
    buf_append_str(p->out, key);
    pad(p->out, p->width - text_width(key));
    buf_printf(p->out, GAP "%s%s%s\n", colour ? colour : "", buf_str(&cell), colour ? "\033[0m" : "");
    buf_done(&cell);
}

void table_print_object(const struct cli *c, json_t *object, struct buf *out)
{
    struct object_print p = {.is_coloured = has_colour(c), .out = out};

    walk_object(object, "", measure_key, &p);
    walk_object(object, "", print_key, &p);
}
