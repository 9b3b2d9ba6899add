/* The description of the API, /api2/openapi.json: made from api/ when Holm is built (tools/gen-openapi), part of this
 * program in compressed form, and unpacked once at start. Public facts: no login is asked for. */
#include <zlib.h>

#include "front/openapi_gen.h"
#include "front/site.h"

int openapi_load(struct site_file *file, struct err *e)
{
    size_t n = OPENAPI_LEN;
    z_stream z = {0};

    *file = (struct site_file){.path = strdup(OPENAPI_PATH),
                               .content_type = "application/json",
                               .data = malloc(n),
                               .len = n,
                               .gzip = malloc(sizeof(openapi_gzip)),
                               .gzip_len = sizeof(openapi_gzip)};
    if (!file->path || !file->data || !file->gzip || inflateInit2(&z, 15 + 16) != Z_OK)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    memcpy(file->gzip, openapi_gzip, sizeof(openapi_gzip));
    z.next_in = (unsigned char *)file->gzip;
    z.avail_in = sizeof(openapi_gzip);
    z.next_out = (unsigned char *)file->data;
    z.avail_out = (unsigned)n;
    int r = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    if (r != Z_STREAM_END || z.total_out != n)
        return err_set(e, -EIO, NULL, "the description of the API is damaged");
    return 0;
}
