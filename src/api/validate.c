/* Parameters of a request against the schema of its route: types, limits, enumerations, formats, property strings, with
 * PVE's texts (pve-common JSONSchema.pm). Fills the route's argument struct in the call's arena. */
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <regex.h>

#include "api/route.h"
#include "base/propstr.h"
#include "proto/frame.h"

#define PATTERNS_MAX 64u

int api_bool(const char *value)
{
    static const char *const yes[] = {"1", "on", "yes", "true"}, *const no[] = {"0", "off", "no", "false"};

    for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
        if (strcasecmp(value, yes[i]) == 0)
            return 1;
        if (strcasecmp(value, no[i]) == 0)
            return 0;
    }
    return -1;
}

/* Patterns are constants of the tables: each is compiled once, on first use. Loop thread only. */
static bool pattern_matches(const char *pattern, const char *value)
{
    static struct {
        const char *pattern;
        regex_t re;
    } cache[PATTERNS_MAX];
    static size_t n;
    size_t i = 0;

    while (i < n && cache[i].pattern != pattern)
        i++;
    if (i == n) {
        if (n == PATTERNS_MAX || regcomp(&cache[n].re, pattern, REG_EXTENDED | REG_NOSUB) != 0)
            return false; /* a bug of the tables: the table test compiles every pattern */
        cache[n++].pattern = pattern;
    }
    return regexec(&cache[i].re, value, 0, NULL, 0) == 0;
}

static int check_limits(const struct api_param *p, double v, struct err *e)
{
    if (p->has_min && v < p->min)
        return err_set(e, -EINVAL, "param.invalid", "value must have a minimum value of %.15g", p->min);
    if (p->has_max && v > p->max)
        return err_set(e, -EINVAL, "param.invalid", "value must have a maximum value of %.15g", p->max);
    return 0;
}

static int type_error(struct err *e, const char *type, const char *value)
{
    return err_set(e, -EINVAL, "param.invalid", "type check ('%s') failed - got '%.100s'", type, value);
}

static int check_integer(const struct api_param *p, const char *value, struct err *e)
{
    const char *digits = value + (*value == '-' || *value == '+');
    size_t n = strlen(digits);

    if (n == 0 || n > 18 || strspn(digits, "0123456789") != n)
        return type_error(e, "integer", value);
    return check_limits(p, (double)strtoll(value, NULL, 10), e);
}

static int check_number(const struct api_param *p, const char *value, struct err *e)
{
    char *end;
    double v = strtod(value, &end);

    if (!*value || *end || !isfinite(v) || strspn(value, "0123456789+-.eE") != strlen(value))
        return type_error(e, "number", value);
    return check_limits(p, v, e);
}

static int check_enum(const struct api_param *p, const char *value, struct err *e)
{
    char all[300] = "";
    size_t n = 0;

    for (size_t i = 0; p->enums[i]; i++) {
        if (streq(p->enums[i], value))
            return 0;
        n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s", i ? ", " : "", p->enums[i]);
        if (n >= sizeof(all))
            n = sizeof(all) - 1;
    }
    return err_set(e, -EINVAL, "param.invalid", "value '%.100s' does not have a value in the enumeration '%s'", value,
                   all);
}

/* Row of a property string's table; aliases lead to the row they mean. */
static const struct api_param *find_prop(const struct api_param *props, const char *key)
{
    for (int hops = 0; hops < 4; hops++) {
        const struct api_param *p = props;
        while (p->name && !streq(p->name, key))
            p++;
        if (!p->name || !p->alias)
            return p->name ? p : NULL;
        key = p->alias;
    }
    return NULL;
}

static const struct api_param *default_prop(const struct api_param *props)
{
    for (const struct api_param *p = props; p->name; p++)
        if (p->is_default_key)
            return p;
    return NULL;
}

/* net0's model may be a key of its own: "virtio=MAC" means model=virtio,macaddr=MAC; the table knows it as an alias or
 * as a row of its own, so nothing special is needed here. */
static int check_props(const struct api_param *p, const char *value, struct err *e)
{
    const struct api_param *fallback = default_prop(p->props);
    struct propstr ps;
    int r = propstr_parse(value, fallback ? fallback->name : NULL, &ps, e);

    if (r < 0)
        return err_set(e, -EINVAL, "param.invalid", "invalid format - %.200s", e->text);
    for (size_t i = 0; i < ps.n; i++) {
        const char *key = ps.items[i].key, *v = ps.items[i].value;
        const struct api_param *row = find_prop(p->props, key);
        char text[300];
        if (!row)
            return err_set(e, -EINVAL, "param.invalid",
                           "invalid format - format error\n%s: property is not defined in schema and the schema does "
                           "not allow additional properties",
                           key);
        if (api_value_check(row, row->kind == API_BOOLEAN && api_bool(v) >= 0 ? PARAM_BOOL : PARAM_STRING,
                            row->kind == API_BOOLEAN && api_bool(v) >= 0 ? (api_bool(v) ? "1" : "0") : v, e) < 0) {
            snprintf(text, sizeof(text), "%s", e->text);
            return err_set(e, -EINVAL, "param.invalid", "invalid format - format error\n%s: %s", key, text);
        }
    }
    return 0;
}

static int check_string(const struct api_param *p, const char *value, struct err *e)
{
    size_t n = strlen(value);

    if (p->max_len && n > p->max_len)
        return err_set(e, -EINVAL, "param.invalid", "value may only be %u characters long", p->max_len);
    if (p->min_len && n < p->min_len)
        return err_set(e, -EINVAL, "param.invalid", "value must be at least %u characters long", p->min_len);
    if (p->enums && check_enum(p, value, e) < 0)
        return -EINVAL;
    if (p->pattern && !pattern_matches(p->pattern, value))
        return err_set(e, -EINVAL, "param.invalid", "value does not match the regex pattern");
    if (p->format && api_format_check(p->format, value, e) < 0) {
        char text[300];
        snprintf(text, sizeof(text), "%s", e->text);
        return err_set(e, -EINVAL, "param.invalid", "invalid format - %s", text);
    }
    return p->props ? check_props(p, value, e) : 0;
}

int api_value_check(const struct api_param *p, char kind, const char *value, struct err *e)
{
    switch (p->kind) {
    case API_INTEGER:
        if (p->format && check_integer(p, value, e) == 0 && api_format_check(p->format, value, e) < 0) {
            char text[300];
            snprintf(text, sizeof(text), "%s", e->text);
            return err_set(e, -EINVAL, "param.invalid", "invalid format - %s", text);
        }
        return check_integer(p, value, e);
    case API_NUMBER:
        return check_number(p, value, e);
    case API_BOOLEAN:
        /* PVE takes 0 and 1 only; real clients also send JSON booleans, and words in forms (R18). */
        return api_bool(value) < 0 ? type_error(e, "boolean", value) : 0;
    case API_STRING:
    case API_ARRAY:
        return check_string(p, value, e);
    }
    return -EINVAL;
}

/* "scsi3" against an indexed row "scsi". */
static bool name_matches(const struct api_param *p, const char *name)
{
    if (!p->count)
        return streq(p->name, name);
    size_t n = strlen(p->name);
    if (strncmp(name, p->name, n) != 0)
        return false;
    const char *digits = name + n;
    size_t len = strlen(digits);
    if (len == 0 || len > 3 || strspn(digits, "0123456789") != len || (digits[0] == '0' && len > 1))
        return false;
    return strtoul(digits, NULL, 10) < p->count;
}

const struct api_param *api_route_param(const struct api_route *route, const char *name)
{
    for (const struct api_param *p = route->params; p->name; p++)
        if (name_matches(p, name))
            return p;
    return NULL;
}

const struct api_route *api_route_of(const char *handler)
{
    for (const struct api_route *r = api_routes; r->method; r++)
        if (streq(r->handler_name, handler))
            return r;
    return NULL;
}

const struct api_param *api_handler_param(const char *handler, const char *name)
{
    const struct api_route *r = api_route_of(handler);

    return r ? api_route_param(r, name) : NULL;
}

static bool is_list(const struct api_param *p)
{
    return p->kind == API_ARRAY || (p->format && str_ends(p->format, "-list"));
}

/* The value of a parameter; lists are joined, others have one (check_repeated). NULL: absent. */
static const char *value_of(struct api_call *c, const struct api_param *p, const char *name, char *ret_kind)
{
    const char *value = NULL;

    for (size_t i = 0; i < c->n_raw; i++) {
        if (!streq(c->raw[i].key, name))
            continue;
        if (!value) {
            value = c->raw[i].value;
            *ret_kind = c->raw[i].kind;
        } else if (is_list(p)) {
            value = arena_printf(&c->arena, "%s,%s", value, c->raw[i].value);
            if (!value)
                return NULL;
        }
    }
    return value;
}

static void store(void *args, const struct api_param *p, const char *value)
{
    char *at = (char *)args + p->offset;

    if (p->kind == API_STRING || p->kind == API_ARRAY)
        *(const char **)(void *)at = value;
    else if (p->kind == API_INTEGER)
        *(int64_t *)(void *)at = strtoll(value, NULL, 10);
    else if (p->kind == API_NUMBER)
        *(double *)(void *)at = strtod(value, NULL);
    else
        *(bool *)at = api_bool(value) == 1;
    if (p->has_offset)
        *((bool *)args + p->has_offset) = true;
}

static void store_default(void *args, const struct api_param *p)
{
    char *at = (char *)args + p->offset;

    if (p->kind == API_BOOLEAN && p->default_true)
        *(bool *)at = true;
    if (p->kind == API_INTEGER && p->has_default)
        *(int64_t *)(void *)at = p->default_int;
}

static void check_one(struct api_call *c, const struct api_param *p, void *args, struct err *e)
{
    char kind = PARAM_STRING;
    const char *value = value_of(c, p, p->name, &kind);

    if (!value) {
        if (!p->is_optional)
            api_param_error(c, e, p->name, "property is missing and it is not optional");
        store_default(args, p);
        return;
    }
    if (api_value_check(p, kind, value, e) < 0) {
        char text[400];
        snprintf(text, sizeof(text), "%s", e->text);
        api_param_error(c, e, p->name, "%s", text);
        return;
    }
    if (p->requires && !api_raw_get(c, p->requires))
        api_param_error(c, e, p->requires, "missing property required by '%s'", p->name);
    store(args, p, value);
}

/* Configuration keys go into a list: there are too many for members, and guests keep them as text. */
static int check_config(struct api_call *c, const struct api_route *route, void *args, struct err *e)
{
    struct api_kv *list = arena_alloc(&c->arena, (c->n_raw + 1) * sizeof(*list));
    size_t n = 0;

    if (!list)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    for (size_t i = 0; i < c->n_raw; i++) {
        const struct api_raw_param *raw = &c->raw[i];
        const struct api_param *p = api_route_param(route, raw->key);
        bool is_repeated = false;
        for (size_t j = 0; j < n; j++)
            is_repeated = is_repeated || streq(list[j].key, raw->key);
        if (!p || !p->is_config || is_repeated)
            continue;
        const char *value = raw->value;
        if (api_value_check(p, raw->kind, value, e) < 0) {
            char text[400];
            snprintf(text, sizeof(text), "%s", e->text);
            api_param_error(c, e, raw->key, "%s", text);
            continue;
        }
        if (p->kind == API_BOOLEAN)
            value = api_bool(value) ? "1" : "0";
        list[n++] = (struct api_kv){.key = raw->key, .value = value};
    }
    *(struct api_kv **)(void *)((char *)args + route->config_offset) = list;
    *(size_t *)(void *)((char *)args + route->config_offset + sizeof(void *)) = n;
    return 0;
}

static void check_unknown(struct api_call *c, const struct api_route *route, struct err *e)
{
    for (size_t i = 0; i < c->n_raw; i++)
        if (!api_route_param(route, c->raw[i].key))
            api_param_error(c, e, c->raw[i].key,
                            "property is not defined in schema and the schema does not allow additional properties");
}

/* Of two different values for one thing, somebody before us may have looked at the other one. */
static int check_repeated(struct api_call *c, const struct api_route *route, struct err *e)
{
    for (size_t i = 1; i < c->n_raw; i++) {
        const struct api_param *p = api_route_param(route, c->raw[i].key);
        for (size_t j = 0; p && !is_list(p) && j < i; j++)
            if (streq(c->raw[j].key, c->raw[i].key) && !streq(c->raw[j].value, c->raw[i].value))
                return api_param_error(c, e, c->raw[i].key, "duplicate parameter with conflicting values");
    }
    return 0;
}

int api_validate(struct api_call *c, const struct api_route *route, void **ret_args, struct err *e)
{
    void *args = arena_alloc(&c->arena, route->args_size);

    if (!args)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    int r = check_repeated(c, route, e);
    if (r < 0)
        return r;
    check_unknown(c, route, e);
    for (const struct api_param *p = route->params; p->name; p++)
        if (!p->is_config)
            check_one(c, p, args, e);
    if (route->has_config) {
        r = check_config(c, route, args, e);
        if (r < 0)
            return r;
    }
    if (c->param_errors.len)
        return err_set(e, -EINVAL, "param.invalid", "Parameter verification failed.");
    *ret_args = args;
    return 0;
}
