/* The description of the API that tools/gen-openapi made, as this program carries it: which routes there are, and what
 * they take. For the tools of compat.c. */
#include <zlib.h>

#include "cli/compat_priv.h"
#include "front/openapi_gen.h"

static int inflate_whole(char *dst, size_t n, struct err *e)
{
    z_stream z = {0};

    if (inflateInit2(&z, 15 + 16) != Z_OK)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    z.next_in = (unsigned char *)openapi_gzip;
    z.avail_in = sizeof(openapi_gzip);
    z.next_out = (unsigned char *)dst;
    z.avail_out = (unsigned)n;
    int r = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    return r == Z_STREAM_END && z.total_out == n ? 0 : err_set(e, -EIO, NULL, "the description of the API is damaged");
}

json_t *schema_paths(struct err *e)
{
    autofree char *text = malloc(OPENAPI_LEN);

    if (!text) {
        (void)!err_set(e, -ENOMEM, NULL, "out of memory");
        return NULL;
    }
    if (inflate_whole(text, OPENAPI_LEN, e) < 0)
        return NULL;
    json_t *whole = json_loadb(text, OPENAPI_LEN, 0, NULL);
    json_t *paths = json_incref(json_object_get(whole, "paths"));
    json_decref(whole);
    if (!paths)
        (void)!err_set(e, -EIO, NULL, "the description of the API is damaged");
    return paths;
}

/* "/nodes/{node}/qemu" against "/nodes/pve1/qemu" or against itself. */
static bool is_instance(const char *template_, const char *path)
{
    while (*template_ || *path) {
        size_t n = strcspn(template_ + (*template_ == '/'), "/"), m = strcspn(path + (*path == '/'), "/");
        if (*template_ != '/' || *path != '/' || m == 0)
            return false;
        if (template_[1] != '{' && (n != m || memcmp(template_, path, n + 1) != 0))
            return false;
        template_ += n + 1;
        path += m + 1;
    }
    return true;
}

const char *schema_template(json_t *paths, const char *path)
{
    const char *key, *best = NULL;
    json_t *value;

    /* "/a/b" rather than "/a/{x}". */
    json_object_foreach(paths, key, value)
    {
        if (is_instance(key, path) && (!best || strcmp(key, best) < 0))
            best = key;
    }
    return best;
}

static json_t *body_of(json_t *operation)
{
    json_t *content = json_object_get(json_object_get(operation, "requestBody"), "content");
    const char *key;
    json_t *value;

    json_object_foreach(content, key, value) return json_object_get(value, "schema");
    return NULL;
}

static void add_all(json_t *dst, json_t *from)
{
    const char *key;
    json_t *value;

    json_object_foreach(from, key, value) json_object_set(dst, key, value);
}

json_t *schema_parameters(json_t *operation)
{
    json_t *all = json_object(), *p, *body = body_of(operation);
    size_t i;

    json_array_foreach(json_object_get(operation, "parameters"), i, p)
    {
        if (!streq(json_string_value(json_object_get(p, "in")), "path"))
            json_object_set(all, json_string_value(json_object_get(p, "name")), json_object_get(p, "schema"));
    }
    add_all(all, json_object_get(body, "properties"));
    add_all(all, json_object_get(body, "patternProperties"));
    return all;
}

bool schema_is_required(json_t *operation, const char *name)
{
    json_t *v;
    size_t i;

    json_array_foreach(json_object_get(operation, "parameters"), i, v)
    {
        if (streq(json_string_value(json_object_get(v, "name")), name))
            return json_is_true(json_object_get(v, "required"));
    }
    json_array_foreach(json_object_get(body_of(operation), "required"), i, v)
    {
        if (streq(json_string_value(v), name))
            return true;
    }
    return false;
}
