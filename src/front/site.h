/* The web page: files read once at start and served from memory. Nothing is opened later, so a request can only ever
 * name what is in the table. */
#ifndef HOLM_FRONT_SITE_H
#define HOLM_FRONT_SITE_H

#include "base/err.h"

#define SITE_FILES_MAX 512u
#define SITE_FILE_MAX  (4u * 1024u * 1024u)
#define SITE_TOTAL_MAX (16u * 1024u * 1024u)
#define SITE_DEPTH_MAX 4u

struct site_file {
    char *path; /* "/assets/app-1a2b.js" */
    const char *content_type;
    char *data; /* NULL: site_borrow unpacks it */
    size_t len;
    char *gzip; /* the .gz beside it, or NULL */
    size_t gzip_len;
    char etag[40]; /* with quotes */
    bool is_immutable;
    bool is_of_program; /* gzip is not ours to free */
    unsigned n_readers; /* of data, where it comes and goes */
};

struct site;

/* openapi.c: the one file that is part of the program. Like the others of the table it is freed by site_free, also
 * when this failed. */
#define OPENAPI_PATH "/api2/openapi.json"
MUST_CHECK int openapi_load(struct site_file *file, struct err *e);

/* openapi.c: the plain form, for as long as somebody is being sent it; one copy for all. NULL when out of memory. */
const char *site_borrow(struct site_file *file);
void site_return(struct site_file *file);

/* dirfd stays the caller's; negative gives a site of the description of the API alone. */
MUST_CHECK int site_load(int dirfd, struct site **ret, struct err *e);
void site_free(struct site *s);
/* What is not named like a file (.js, .html …) is a view of the page and gets index.html, "/" among them; path begins
 * with a slash. NULL if there is no such file. */
struct site_file *site_find(const struct site *s, const char *path);

#endif
