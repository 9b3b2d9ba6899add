/* Choosing how to print an answer, and the formats for programs. JSON is the API's own object. */
#include "cli/output_priv.h"
#include "cli/text_priv.h"

#include "base/fs.h"

#define JSON_FLAGS (JSON_ENCODE_ANY | JSON_REAL_PRECISION(15))

int output_flush(struct buf *b, struct err *e)
{
    int r = b->is_failed ? err_set(e, -EFBIG, NULL, "the output is too large") : 0;

    if (r == 0 && b->len && (r = fs_write_all(STDOUT_FILENO, b->data, b->len, e)) < 0)
        err_wrap(e, r, "standard output");
    buf_done(b);
    return r;
}

static void append_json(json_t *value, size_t flags, struct buf *out)
{
    autofree char *text = value ? json_dumps(value, JSON_FLAGS | flags) : NULL;

    text_append_json(out, text ? text : "null", text ? strlen(text) : 4);
    buf_append_char(out, '\n');
}

int output_json(const struct cli *c, json_t *data, struct err *e)
{
    struct buf out;

    buf_init(&out, OUTPUT_MAX);
    if (c->format == FORMAT_NDJSON && json_is_array(data))
        for (size_t i = 0; i < json_array_size(data); i++)
            append_json(json_array_get(data, i), JSON_COMPACT, &out);
    else
        append_json(data, c->format == FORMAT_NDJSON ? JSON_COMPACT : JSON_INDENT(2), &out);
    return output_flush(&out, e);
}

int output_line(const struct cli *c, const char *text, struct err *e)
{
    struct buf out;

    if (c->format == FORMAT_JSON || c->format == FORMAT_NDJSON)
        return 0;
    buf_init(&out, 64 * 1024);
    text_append_clean(&out, text, strlen(text));
    buf_append_char(&out, '\n');
    return output_flush(&out, e);
}

int columns_split(const char *list, char **ret_copy, const char **names, size_t *ret_n, struct err *e)
{
    autofree char *copy = strdup(list);
    size_t n = 0;

    if (!copy)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    for (char *p = copy, *word; (word = strsep(&p, ","));) {
        if (!*word || strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != strlen(word))
            return err_set(e, -EINVAL, "cli.usage", "'%s' is not a list of columns", list);
        if (n == COLUMNS_MAX)
            return err_set(e, -EINVAL, "cli.usage", "more than %u columns", COLUMNS_MAX);
        names[n++] = word;
    }
    *ret_copy = TAKE_PTR(copy);
    *ret_n = n;
    return 0;
}

static bool is_known(const char **names, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (streq(names[i], key))
            return true;
    return false;
}

size_t columns_of_rows(json_t *rows, const char **names)
{
    size_t n = 0;

    for (size_t i = 0; i < json_array_size(rows) && i < 256; i++) {
        const char *key;
        json_t *value;
        json_object_foreach(json_array_get(rows, i), key, value)
        {
            /* Only names that are fit for a header; the daemon's other keys are still in -o json. */
            bool is_plain =
                strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == strlen(key);
            if (n < COLUMNS_MAX && is_plain && !is_known(names, n, key))
                names[n++] = key;
        }
    }
    return n;
}

/* A column the user asked for that no row has is a typing error. */
static int check_columns(json_t *rows, const char **names, size_t n, struct err *e)
{
    for (size_t i = 0; i < n && json_array_size(rows); i++) {
        bool is_there = false;
        for (size_t k = 0; k < json_array_size(rows) && !is_there; k++)
            is_there = json_object_get(json_array_get(rows, k), names[i]);
        if (!is_there) {
            err_set(e, -EINVAL, "cli.usage", "no column '%s' here", names[i]);
            return err_hint(e, "-o json shows everything there is");
        }
    }
    return 0;
}

static void csv_cell(const char *key, json_t *value, struct buf *out)
{
    struct buf cell;

    buf_init(&cell, OUTPUT_MAX);
    format_value(key, value, true, &cell);
    const char *text = buf_str(&cell);
    if (!text[strcspn(text, ",\"\n")]) {
        buf_append_str(out, text);
    } else {
        buf_append_char(out, '"');
        for (; *text; text++)
            buf_append(out, *text == '"' ? "\"\"" : text, *text == '"' ? 2 : 1);
        buf_append_char(out, '"');
    }
    buf_done(&cell);
}

static void csv_print(const struct cli *c, json_t *rows, const char **names, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n && !c->is_quiet; i++)
        buf_printf(out, "%s%s", i ? "," : "", names[i]);
    buf_append_str(out, n && !c->is_quiet ? "\r\n" : "");
    for (size_t k = 0; k < json_array_size(rows); k++) {
        for (size_t i = 0; i < n; i++) {
            buf_append_str(out, i ? "," : "");
            csv_cell(names[i], json_object_get(json_array_get(rows, k), names[i]), out);
        }
        buf_append_str(out, "\r\n");
    }
}

static void name_print(json_t *rows, const char *key, struct buf *out)
{
    for (size_t k = 0; k < json_array_size(rows); k++) {
        format_value(key, json_object_get(json_array_get(rows, k), key), true, out);
        buf_append_char(out, '\n');
    }
}

static int rows_print(const struct cli *c, const char *columns, json_t *rows, struct err *e)
{
    const char *names[COLUMNS_MAX], *list = c->columns ? c->columns : columns;
    autofree char *copy = NULL;
    struct buf out;
    size_t n = 0;
    int r = list ? columns_split(list, &copy, names, &n, e) : 0;

    if (r == 0 && c->columns)
        r = check_columns(rows, names, n, e);
    if (!list)
        n = columns_of_rows(rows, names);
    if (r < 0)
        return r;
    buf_init(&out, OUTPUT_MAX);
    if (c->format == FORMAT_CSV)
        csv_print(c, rows, names, n, &out);
    else if (c->format == FORMAT_NAME && n)
        name_print(rows, names[0], &out);
    else
        r = table_print(c, rows, names, n, &out, e);
    int w = output_flush(&out, e);
    return r < 0 ? r : w;
}

static int object_print(const struct cli *c, const char *columns, json_t *object, struct err *e)
{
    struct buf out;

    if (c->format == FORMAT_TABLE && !c->columns) {
        buf_init(&out, OUTPUT_MAX);
        table_print_object(c, object, &out);
        return output_flush(&out, e);
    }
    json_t *rows = json_pack("[O]", object);
    int r = rows ? rows_print(c, columns, rows, e) : err_set(e, -ENOMEM, NULL, "out of memory");
    json_decref(rows);
    return r;
}

static int scalars_print(json_t *list, struct err *e)
{
    struct buf out;

    buf_init(&out, OUTPUT_MAX);
    for (size_t i = 0; i < json_array_size(list); i++) {
        format_value("", json_array_get(list, i), true, &out);
        buf_append_char(&out, '\n');
    }
    return output_flush(&out, e);
}

/* One text by itself keeps its lines: a file of cloud-init, what a monitor says. */
static int text_print(const json_t *text, struct err *e)
{
    struct buf out;

    buf_init(&out, OUTPUT_MAX);
    text_append_clean_lines(&out, json_string_value(text), json_string_length(text));
    if (!out.len || out.data[out.len - 1] != '\n')
        buf_append_char(&out, '\n');
    return output_flush(&out, e);
}

int output_data(const struct cli *c, const char *columns, json_t *data, struct err *e)
{
    if (c->format == FORMAT_JSON || c->format == FORMAT_NDJSON)
        return output_json(c, data, e);
    if (!data)
        return 0;
    if (json_is_string(data))
        return text_print(data, e);
    if (json_is_object(data))
        return object_print(c, columns, data, e);
    if (json_is_array(data) && (!json_array_size(data) || json_is_object(json_array_get(data, 0))))
        return rows_print(c, columns, data, e);
    if (json_is_array(data))
        return scalars_print(data, e);
    json_t *one = json_pack("[O]", data);
    int r = one ? scalars_print(one, e) : err_set(e, -ENOMEM, NULL, "out of memory");
    json_decref(one);
    return r;
}

int output_plan(const struct cli *c, json_t *data, struct err *e)
{
    json_t *steps = json_object_get(data, "plan");
    bool is_data = c->format == FORMAT_JSON || c->format == FORMAT_NDJSON;

    if (!json_is_array(steps) || is_data)
        return output_data(c, NULL, data, e);
    if (!json_array_size(steps) && c->format == FORMAT_TABLE)
        return output_line(c, "Nothing would change.", e);
    return output_data(c, "step,args", steps, e);
}
