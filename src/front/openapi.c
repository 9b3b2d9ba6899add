/* The description of the API, /api2/openapi.json: made from api/ when Holm is built (tools/gen-openapi), part of this
 * program in compressed form. Most clients take it like that; for the others it is unpacked while one of them is being
 * served, since it is larger than everything else that a front keeps. Public facts: no login is asked for. */
#include <zlib.h>

#include "front/openapi_gen.h"
#include "front/site.h"

static char *unpack(const struct site_file *file)
{
    z_stream z = {0};
    char *data = malloc(file->len);

    if (!data || inflateInit2(&z, 15 + 16) != Z_OK) {
        free(data);
        return NULL;
    }
    z.next_in = (unsigned char *)file->gzip;
    z.avail_in = (unsigned)file->gzip_len;
    z.next_out = (unsigned char *)data;
    z.avail_out = (unsigned)file->len;
    int r = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    if (r == Z_STREAM_END && z.total_out == file->len)
        return data;
    free(data);
    return NULL;
}

int openapi_load(struct site_file *file, struct err *e)
{
    *file = (struct site_file){.path = strdup(OPENAPI_PATH),
                               .content_type = "application/json",
                               .len = OPENAPI_LEN,
                               .gzip = (char *)openapi_gzip,
                               .gzip_len = sizeof(openapi_gzip),
                               .is_of_program = true};
    return file->path ? 0 : err_set(e, -ENOMEM, NULL, "out of memory");
}

const char *site_borrow(struct site_file *file)
{
    if (file->is_of_program && !file->data)
        file->data = unpack(file);
    file->n_readers += file->data != NULL;
    return file->data;
}

void site_return(struct site_file *file)
{
    if (--file->n_readers || !file->is_of_program)
        return;
    free(file->data);
    file->data = NULL;
}
