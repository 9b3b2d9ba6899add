/* What the files about storages share. Loop thread unless said otherwise. */
#ifndef HOLM_API_STORAGE_COMMON_H
#define HOLM_API_STORAGE_COMMON_H

#include "api/common.h"

#define STORAGE_DIGEST_SIZE 41u

/* 40 hex digits over a storage's configuration. */
void storage_digest(const struct storage *s, char hex[STORAGE_DIGEST_SIZE]);
/* A guest whose configuration names a storage ("local:") or a volume ("local:iso/x.iso"); 0 if none. */
uint32_t storage_user(struct api *api, const char *text);

/* What PVE calls the format of a volume: "iso", "raw", "qcow2", "tgz", …; any thread. */
const char *storage_format_name(const struct volume_info *v);

/* A download into a storage as a task "download"; see storage_download.c. */
struct download_spec {
    const char *url, *storage, *content, *name;
    const char *checksum;    /* "sha256:HEX" or NULL */
    const char *compression; /* "gz", "zst" or NULL */
    bool is_insecure;        /* any certificate is good */
};
/* Certificates of the authorities that are trusted; an empty file if there are none, so that none is. Blocking. */
MUST_CHECK int storage_open_authorities(const char *root_dir, struct err *e);
/* Of holm-fetch, for this caller. */
const char *storage_fetch_flags(struct api_call *c, bool is_insecure);
/* Starts it and replies with its UPID, like a handler. */
int storage_download(struct api_call *c, const struct download_spec *spec, struct err *e);

#endif
