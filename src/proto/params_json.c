/* A JSON request body as flat parameters; see params.h. jansson parses; before it sees a byte, depth and number of
 * values are counted here, so that a small body cannot become a large tree. */
#include "proto/params.h"

#include <inttypes.h>
#include <jansson.h>

#include "base/json.h"

/* Values are separated by commas or opened by brackets: an upper bound outside strings. */
static size_t count_values(const char *text, size_t n)
{
    bool in_string = false;
    size_t count = 1;

    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == ',' || c == '[' || c == '{'))
            count++;
    }
    return count;
}

static int add_real(struct params *p, const char *name, double v, struct err *e)
{
    char text[40];
    int n = snprintf(text, sizeof(text), "%.15g", v);

    if (strtod(text, NULL) != v)
        n = snprintf(text, sizeof(text), "%.17g", v);
    return params_add(p, PARAM_NUMBER, name, strlen(name), text, (size_t)n, e);
}

static int add_scalar(struct params *p, const char *name, const json_t *v, struct err *e)
{
    char text[24];
    int n;

    switch (json_typeof(v)) {
    case JSON_STRING:
        return params_add(p, PARAM_STRING, name, strlen(name), json_string_value(v), json_string_length(v), e);
    case JSON_INTEGER:
        n = snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        return params_add(p, PARAM_NUMBER, name, strlen(name), text, (size_t)n, e);
    case JSON_REAL:
        return add_real(p, name, json_real_value(v), e);
    case JSON_TRUE:
    case JSON_FALSE:
        return params_add(p, PARAM_BOOL, name, strlen(name), json_is_true(v) ? "1" : "0", 1, e);
    case JSON_NULL:
        return 0;
    case JSON_OBJECT:
    case JSON_ARRAY:
        break;
    }
    return err_set(e, -EINVAL, "param.nested", "parameter '%.64s' holds a nested value", name);
}

static int add_member(struct params *p, const char *name, const json_t *v, struct err *e)
{
    if (!json_is_array(v))
        return add_scalar(p, name, v, e);
    for (size_t i = 0; i < json_array_size(v); i++) {
        int r = add_scalar(p, name, json_array_get(v, i), e);
        if (r < 0)
            return r;
    }
    return 0;
}

int params_add_json(struct params *p, const char *text, size_t n, struct err *e)
{
    json_error_t where;
    const char *name;
    json_t *v;
    int r = 0;

    if (json_depth(text, n) > PARAM_DEPTH_MAX)
        return err_set(e, -EINVAL, "param.deep", "JSON nested more than %u levels", PARAM_DEPTH_MAX);
    if (count_values(text, n) > 2 * PARAMS_MAX)
        return err_set(e, -E2BIG, "param.many", "more than %u parameters", PARAMS_MAX);
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);
    if (!root)
        return err_set(e, -EINVAL, "param.json", "malformed JSON at line %d: %s", where.line, where.text);
    if (!json_is_object(root))
        r = err_set(e, -EINVAL, "param.json", "the JSON body is not an object");
    else
        json_object_foreach(root, name, v)
        {
            r = add_member(p, name, v, e);
            if (r < 0)
                break;
        }
    json_decref(root);
    return r;
}
