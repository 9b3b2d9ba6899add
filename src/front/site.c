/* Reading the web page's folder into a sorted table; see site.h. */
#include "front/site.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>

#include "base/fs.h"
#include "base/path.h"

struct site {
    struct site_file files[SITE_FILES_MAX];
    size_t n_files;
    size_t total_bytes;
};

static const struct {
    const char *suffix, *type;
} content_types[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".json", "application/json"},
    {".webmanifest", "application/manifest+json"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".ico", "image/x-icon"},
    {".woff2", "font/woff2"},
    {".txt", "text/plain; charset=utf-8"},
};

static const char *known_type(const char *path)
{
    for (size_t i = 0; i < ARRAY_SIZE(content_types); i++)
        if (str_ends(path, content_types[i].suffix))
            return content_types[i].type;
    return NULL;
}

static const char *content_type_of(const char *path)
{
    const char *type = known_type(path);

    return type ? type : "application/octet-stream";
}

static int make_etag(struct site_file *file, struct err *e)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    char *p = file->etag;

    if (EVP_Digest(file->data ? file->data : file->gzip, file->data ? file->len : file->gzip_len, digest, &n,
                   EVP_sha256(), NULL) != 1)
        return err_set(e, -EIO, NULL, "hash %s", file->path);
    *p++ = '"';
    for (size_t i = 0; i < 16; i++, p += 2)
        snprintf(p, 3, "%02x", digest[i]);
    snprintf(p, 2, "\"");
    return 0;
}

static int add_file(struct site *s, int dirfd, const char *name, const char *folder, struct err *e)
{
    struct buf content;
    struct site_file *file = &s->files[s->n_files];

    if (s->n_files == SITE_FILES_MAX)
        return err_set(e, -E2BIG, "site.files", "more than %u files", SITE_FILES_MAX);
    buf_init(&content, SITE_FILE_MAX);
    autoclose int fd = path_open_beneath(dirfd, name, O_RDONLY | O_NONBLOCK, 0, e);
    int r = fd < 0 ? fd : fs_read_fd(fd, &content, e);
    if (r < 0 || s->total_bytes + content.len > SITE_TOTAL_MAX) {
        buf_done(&content);
        return r < 0 ? r : err_set(e, -E2BIG, "site.size", "more than %u bytes", SITE_TOTAL_MAX);
    }
    *file = (struct site_file){.len = content.len};
    file->data = buf_take(&content);
    s->n_files++; /* from here on site_free cleans up */
    s->total_bytes += file->len;
    if (!file->data || asprintf(&file->path, "%s/%s", folder, name) < 0) {
        file->path = NULL;
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    file->content_type = content_type_of(file->path);
    file->is_immutable = str_starts(file->path, "/assets/");
    return make_etag(file, e);
}

static int scan(struct site *s, int dirfd, const char *folder, unsigned depth, struct err *e);

static int add_entry(struct site *s, int dirfd, const struct dirent *entry, const char *folder, unsigned depth,
                     struct err *e)
{
    struct stat st;

    if (entry->d_name[0] == '.')
        return 0;
    int r = path_name_check(entry->d_name, 200, e);
    if (r < 0)
        return r;
    if (fstatat(dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_errno(e, errno, "stat %s", entry->d_name);
    if (S_ISREG(st.st_mode))
        return add_file(s, dirfd, entry->d_name, folder, e);
    if (!S_ISDIR(st.st_mode))
        return 0;
    if (depth == SITE_DEPTH_MAX)
        return err_set(e, -E2BIG, "site.deep", "folders nested too deep");
    autofree char *path = NULL;
    if (asprintf(&path, "%s/%s", folder, entry->d_name) < 0) {
        path = NULL;
        return err_set(e, -ENOMEM, NULL, "out of memory");
    }
    autoclose int fd = path_open_beneath(dirfd, entry->d_name, O_RDONLY | O_DIRECTORY, 0, e);
    return fd < 0 ? fd : scan(s, fd, path, depth + 1, e);
}

static int scan(struct site *s, int dirfd, const char *folder, unsigned depth, struct err *e)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    int r = 0;

    if (!d) {
        r = err_errno(e, errno, "open web folder %s", folder);
        if (fd >= 0)
            close(fd);
        return r;
    }
    while (r == 0 && (entry = readdir(d)))
        r = add_entry(s, dirfd, entry, folder, depth, e);
    closedir(d);
    return r;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct site_file *)a)->path, ((const struct site_file *)b)->path);
}

static struct site_file *find(const struct site *s, const char *path)
{
    struct site_file key = {.path = (char *)path};

    return bsearch(&key, s->files, s->n_files, sizeof(key), compare);
}

/* X.gz beside X becomes X's compressed form. */
static int attach_gzip(struct site *s, struct err *e)
{
    size_t n = 0;

    qsort(s->files, s->n_files, sizeof(s->files[0]), compare);
    for (size_t i = 0; i < s->n_files; i++) {
        struct site_file *f = &s->files[i];
        if (!str_ends(f->path, ".gz"))
            continue;
        autofree char *plain = strndup(f->path, strlen(f->path) - 3);
        if (!plain)
            return err_set(e, -ENOMEM, NULL, "out of memory");
        struct site_file *of = find(s, plain);
        if (!of)
            continue;
        of->gzip = TAKE_PTR(f->data);
        of->gzip_len = f->len;
    }
    for (size_t i = 0; i < s->n_files; i++) {
        if (s->files[i].data || s->files[i].gzip)
            s->files[n++] = s->files[i];
        else
            free(s->files[i].path);
    }
    s->n_files = n;
    return 0;
}

static int add_openapi(struct site *s, struct err *e)
{
    struct site_file *file = &s->files[s->n_files];

    if (s->n_files == SITE_FILES_MAX)
        return err_set(e, -E2BIG, "site.files", "more than %u files", SITE_FILES_MAX);
    s->n_files++;
    int r = openapi_load(file, e);
    return r < 0 ? r : make_etag(file, e);
}

int site_load(int dirfd, struct site **ret, struct err *e)
{
    struct site *s = calloc(1, sizeof(*s));

    if (!s)
        return err_set(e, -ENOMEM, NULL, "out of memory");
    int r = dirfd < 0 ? 0 : scan(s, dirfd, "", 0, e);
    if (r == 0)
        r = add_openapi(s, e);
    if (r == 0)
        r = attach_gzip(s, e);
    if (r < 0) {
        site_free(s);
        return err_wrap(e, r, "load web page");
    }
    *ret = s;
    return 0;
}

void site_free(struct site *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_files; i++) {
        free(s->files[i].path);
        free(s->files[i].data);
        if (!s->files[i].is_of_program)
            free(s->files[i].gzip);
    }
    free(s);
}

/* Views of the page have addresses but no files. A user or a storage in an address may have a dot in its name. */
static bool is_view(const char *path)
{
    const char *last = strrchr(path, '/');

    return last && last[1] != '.' && !known_type(last) && !str_starts(path, "/assets") && !str_starts(path, "/api2");
}

struct site_file *site_find(const struct site *s, const char *path)
{
    struct site_file *file = find(s, path);

    return file || !is_view(path) ? file : find(s, "/index.html");
}
