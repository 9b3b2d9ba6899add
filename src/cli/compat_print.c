/* What the tools of compat.c print: the forms that scripts read, and json, json-pretty and yaml for any answer. Text
 * from the daemon is cleaned before a terminal sees it. */
#include "cli/compat_priv.h"
#include "cli/output_priv.h"
#include "cli/text_priv.h"

#define YAML_DEPTH_MAX 32u

/* A scalar that YAML would read as something else than this text stands in quotes. */
static void yaml_string(const char *s, struct buf *out)
{
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off", "null", "~", "y", "n"};
    bool is_plain =
        *s && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./@+-") == strlen(s);

    is_plain = is_plain && !strchr("-.+0123456789", *s);
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        is_plain = is_plain && !streq(words[i], s);
    if (is_plain) {
        buf_append_str(out, s);
        return;
    }
    /* A JSON string is a YAML string in double quotes. */
    json_t *v = json_string(s);
    autofree char *text = json_dumps(v, JSON_ENCODE_ANY);
    if (text)
        text_append_json(out, text, strlen(text));
    json_decref(v);
}

static void yaml_value(json_t *v, unsigned depth, struct buf *out);

static void yaml_nested(json_t *v, unsigned depth, struct buf *out)
{
    bool is_nested = (json_is_object(v) && json_object_size(v)) || (json_is_array(v) && json_array_size(v));

    buf_append_char(out, is_nested ? '\n' : ' ');
    yaml_value(v, depth + 1, out);
}

static void yaml_indent(unsigned depth, struct buf *out)
{
    for (unsigned i = 0; i < depth; i++)
        buf_append_str(out, "  ");
}

static void yaml_value(json_t *v, unsigned depth, struct buf *out)
{
    const char *key;
    json_t *item;
    size_t i;

    if (depth > YAML_DEPTH_MAX || !v || json_is_null(v)) {
        buf_append_str(out, "~\n");
    } else if (json_is_object(v) && json_object_size(v)) {
        json_object_foreach(v, key, item)
        {
            yaml_indent(depth, out);
            yaml_string(key, out);
            buf_append_char(out, ':');
            yaml_nested(item, depth, out);
        }
    } else if (json_is_array(v) && json_array_size(v)) {
        json_array_foreach(v, i, item)
        {
            yaml_indent(depth, out);
            buf_append_char(out, '-');
            yaml_nested(item, depth, out);
        }
    } else if (json_is_string(v)) {
        yaml_string(json_string_value(v), out);
        buf_append_char(out, '\n');
    } else {
        autofree char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
        buf_printf(out, "%s\n", text ? text : "~");
    }
}

static int output_format(const char *format, json_t *data, struct err *e)
{
    bool is_pretty = streq(format, "json-pretty");
    struct buf out;

    buf_init(&out, OUTPUT_MAX);
    if (streq(format, "yaml")) {
        buf_append_str(&out, json_is_object(data) || json_is_array(data) ? "---\n" : "--- ");
        yaml_value(data, 0, &out);
    } else {
        autofree char *text =
            json_dumps(data ? data : json_null(), JSON_ENCODE_ANY | JSON_SORT_KEYS | JSON_REAL_PRECISION(15) |
                                                      (is_pretty ? JSON_INDENT(3) : JSON_COMPACT));
        text_append_json(&out, text ? text : "null", text ? strlen(text) : 4);
        buf_append_char(&out, '\n');
    }
    return output_flush(&out, e);
}

static const char *text_of(json_t *row, const char *key, char *dst, size_t cap)
{
    struct buf b;

    buf_init(&b, 4096);
    format_value("", json_object_get(row, key), true, &b);
    snprintf(dst, cap, "%s", buf_str(&b));
    buf_done(&b);
    return dst;
}

static void qm_list(json_t *rows, struct buf *out)
{
    char name[128], status[32], pid[16];
    json_t *row;
    size_t i;

    if (json_array_size(rows))
        buf_printf(out, "%10s %-20s %-10s %-10s %12s %-10s\n", "VMID", "NAME", "STATUS", "MEM(MB)", "BOOTDISK(GB)",
                   "PID");
    json_array_foreach(rows, i, row)
    {
        double mem = json_number_value(json_object_get(row, "maxmem")),
               disk = json_number_value(json_object_get(row, "maxdisk"));
        bool has_pid = json_integer_value(json_object_get(row, "pid")) > 0;
        buf_printf(out, "%10" JSON_INTEGER_FORMAT " %-20s %-10s %-10.0f %12.2f %-10s\n",
                   json_integer_value(json_object_get(row, "vmid")), text_of(row, "name", name, sizeof(name)),
                   text_of(row, "status", status, sizeof(status)), mem / (1 << 20), disk / (1 << 30),
                   has_pid ? text_of(row, "pid", pid, sizeof(pid)) : "0");
    }
}

static void key_line(const char *prefix, const char *key, json_t *value, struct buf *out)
{
    buf_append_str(out, prefix);
    text_append_clean(out, key, strlen(key));
    buf_append_str(out, ": ");
    /* A line each: in notes a line end is written as the tools do. */
    const char *s = json_string_value(value);
    for (; s && *s; s += strcspn(s, "\n"), s += *s == '\n') {
        size_t n = strcspn(s, "\n");
        text_append_clean(out, s, n);
        if (s[n])
            buf_append_str(out, "%0A");
    }
    if (!json_is_string(value))
        format_value("", value, true, out);
    buf_append_char(out, '\n');
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void key_lines(json_t *object, struct buf *out)
{
    const char *keys[1024], *key;
    json_t *value;
    size_t n = 0;

    json_object_foreach(object, key, value)
    {
        if (n < ARRAY_SIZE(keys) && !streq(key, "digest"))
            keys[n++] = key;
    }
    qsort(keys, n, sizeof(keys[0]), compare_keys);
    for (size_t i = 0; i < n; i++)
        key_line("", keys[i], json_object_get(object, keys[i]), out);
}

static void pending_lines(json_t *rows, struct buf *out)
{
    json_t *row, *value;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        const char *key = json_string_value(json_object_get(row, "key"));
        bool is_deleted = json_object_get(row, "delete");
        if (!key)
            continue;
        value = json_object_get(row, "value");
        if (value)
            key_line(is_deleted ? "del " : "cur ", key, value, out);
        value = json_object_get(row, "pending");
        if (value)
            key_line("new ", key, value, out);
    }
}

int compat_output(const struct cli *c, const struct compat_line *l, enum compat_print print, const char *columns,
                  json_t *data, struct err *e)
{
    struct buf out;

    if (print == PRINT_NOTHING)
        return 0;
    if (l->output_format && !streq(l->output_format, "text"))
        return output_format(l->output_format, data, e);
    if (print == PRINT_DATA)
        return output_data(c, columns, data, e);
    buf_init(&out, OUTPUT_MAX);
    if (print == PRINT_QM_LIST)
        qm_list(data, &out);
    else if (print == PRINT_QM_STATUS && !l->is_verbose)
        key_line("", "status", json_object_get(data, "status"), &out);
    else if (print == PRINT_TICKET)
        buf_printf(&out, "%s\n",
                   json_string_value(json_object_get(data, "ticket"))
                       ? json_string_value(json_object_get(data, "ticket"))
                       : "");
    else if (print == PRINT_PENDING)
        pending_lines(data, &out);
    else
        key_lines(data, &out);
    return output_flush(&out, e);
}
