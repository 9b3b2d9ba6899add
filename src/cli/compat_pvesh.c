/* pvesh: get, set, create and delete on any path of the API; ls and usage by the description of the API that is part of
 * this program. */
#include <ctype.h>

#include "cli/compat_priv.h"
#include "cli/output_priv.h"

static const struct {
    const char *command, *method, *key; /* key: in the description */
    char letter;                        /* in ls */
} commands[] = {{"get", "GET", "get", 'r'},
                {"set", "PUT", "put", 'w'},
                {"create", "POST", "post", 'c'},
                {"delete", "DELETE", "delete", 'd'}};

/* "nodes/pve1/" -> "/nodes/pve1" */
static int clean_path(const char *path, char *dst, size_t cap, struct err *e)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    if (n + 2 > cap)
        return err_set(e, -EINVAL, "cli.usage", "the path is too long");
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)path[i] <= 0x20 || path[i] == 0x7F || path[i] == '?')
            return err_set(e, -EINVAL, "cli.usage", "invalid path '%s'", path);
    snprintf(dst, cap, "%s%.*s", path[0] == '/' ? "" : "/", (int)n, path);
    return 0;
}

static const char *type_of(json_t *schema)
{
    const char *type = json_string_value(json_object_get(schema, "type"));

    return type ? type : "string";
}

static void usage_method(const char *path, size_t i, json_t *operation, bool is_verbose, struct buf *out)
{
    json_t *all = schema_parameters(operation), *schema;
    const char *name, *text;

    buf_printf(out, "USAGE: pvesh %s %s", commands[i].command, path);
    json_object_foreach(all, name, schema)
    {
        if (schema_is_required(operation, name))
            buf_printf(out, " --%s <%s>", name, type_of(schema));
    }
    buf_append_str(out, json_object_size(all) ? " [OPTIONS]\n" : "\n");
    if (is_verbose) {
        text = json_string_value(json_object_get(operation, "description"));
        buf_printf(out, "\n%s\n\n", text ? text : "");
        json_object_foreach(all, name, schema)
        {
            text = json_string_value(json_object_get(schema, "description"));
            buf_printf(out, "  --%s <%s>\n      %s\n", name, type_of(schema), text ? text : "");
        }
    }
    json_decref(all);
}

static int no_path(const char *path, struct err *e)
{
    return err_set(e, -ENOENT, NULL, "No '%s' handler defined for '%s'", "usage", path);
}

static int usage(json_t *paths, const char *path, const struct compat_line *l, struct err *e)
{
    const char *template_ = schema_template(paths, path);
    json_t *methods = template_ ? json_object_get(paths, template_) : NULL;
    struct buf out;
    size_t n = 0;

    buf_init(&out, OUTPUT_MAX);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        json_t *operation = json_object_get(methods, commands[i].key);
        if (operation && (!l->command || streq(l->command, commands[i].command))) {
            usage_method(path, i, operation, l->is_verbose, &out);
            n++;
        }
    }
    if (!n) {
        buf_done(&out);
        return no_path(path, e);
    }
    return output_flush(&out, e);
}

/* "Drw--        name": has paths below, and what may be done. */
static void ls_line(json_t *paths, const char *child, const char *name, struct buf *out)
{
    json_t *methods = json_object_get(paths, child), *value;
    const char *key;
    bool has_more = false;
    size_t n = strlen(child);

    json_object_foreach(paths, key, value) has_more |= str_starts(key, child) && key[n] == '/';
    buf_append_char(out, has_more ? 'D' : '-');
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        buf_append_char(out, json_object_get(methods, commands[i].key) ? commands[i].letter : '-');
    buf_printf(out, "        %s\n", name);
}

/* The last part of the template is "{vmid}": one line for each that the daemon lists. */
static void ls_rows(json_t *paths, const char *child, json_t *rows, struct buf *out)
{
    const char *last = strrchr(child, '/') + 2;
    char key[64];
    json_t *row;
    size_t i;

    snprintf(key, sizeof(key), "%.*s", (int)strcspn(last, "}"), last);
    json_array_foreach(rows, i, row)
    {
        struct buf name;
        buf_init(&name, 1024);
        format_value("", json_object_get(row, key), true, &name);
        if (json_object_get(row, key))
            ls_line(paths, child, buf_str(&name), out);
        buf_done(&name);
    }
}

static int ls(struct cli *c, json_t *paths, const char *path, struct err *e)
{
    const char *template_ = streq(path, "/") ? "" : schema_template(paths, path), *child;
    const struct compat_line none = {0};
    json_t *methods, *rows = NULL;
    struct buf out;
    int r = 0;

    if (!template_)
        return err_set(e, -ENOENT, NULL, "no such resource '%s'", path);
    size_t n = strlen(template_);
    buf_init(&out, OUTPUT_MAX);
    json_object_foreach(paths, child, methods)
    {
        if (!str_starts(child, template_) || child[n] != '/' || strchr(child + n + 1, '/') || !child[n + 1])
            continue;
        if (child[n + 1] != '{') {
            ls_line(paths, child, child + n + 1, &out);
            continue;
        }
        if (!rows)
            r = compat_call(c, &none, "GET", path, &rows, e);
        if (r < 0)
            break;
        ls_rows(paths, child, rows, &out);
    }
    json_decref(rows);
    int w = output_flush(&out, e);
    return r < 0 ? r : w;
}

static int describe(struct cli *c, const char *command, const char *path, const struct compat_line *l, struct err *e)
{
    json_t *paths = schema_paths(e);

    if (!paths)
        return e->num;
    int r = streq(command, "ls") ? ls(c, paths, path, e) : usage(paths, path, l, e);
    json_decref(paths);
    return r;
}

static int call(struct cli *c, const char *command, const char *path, const struct compat_line *l, struct err *e)
{
    json_t *result = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (!streq(commands[i].command, command))
            continue;
        int r = compat_call(c, l, commands[i].method, path, &result, e);
        if (r == 0)
            r = compat_output(c, l, PRINT_DATA, NULL, result, e);
        json_decref(result);
        return r;
    }
    return err_set(e, -EINVAL, "cli.usage", "ERROR: unknown command 'pvesh %s'", command);
}

static int run_line(struct cli *c, const struct compat_line *l, struct err *e)
{
    char path[1024];

    if (l->n_pos < 1 || streq(l->pos[0], "help")) {
        err_set(e, -EINVAL, "cli.usage", "USAGE: pvesh get|set|create|delete|ls|usage PATH [--key value ...]");
        return e->num;
    }
    int r = clean_path(l->n_pos > 1 ? l->pos[1] : "/", path, sizeof(path), e);
    if (r == 0 && l->n_pos > 2)
        r = err_set(e, -EINVAL, "cli.usage", "too many arguments");
    if (r < 0)
        return r;
    if (streq(l->pos[0], "ls") || streq(l->pos[0], "usage"))
        return describe(c, l->pos[0], path, l, e);
    if (l->n_pos < 2)
        return err_set(e, -EINVAL, "cli.usage", "not enough arguments: PATH is missing");
    return call(c, l->pos[0], path, l, e);
}

int pvesh_run(struct cli *c, int argc, char **argv, struct err *e)
{
    struct compat_line *l = calloc(1, sizeof(*l));
    int r = l ? compat_parse(l, argc, argv, e) : err_set(e, -ENOMEM, NULL, "out of memory");

    if (r == 0) {
        c->is_quiet = l->is_no_header;
        r = run_line(c, l, e);
    }
    free(l);
    return r;
}
