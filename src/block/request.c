/* A request of holm-block, parsed. Pure: bytes in, struct out; each field is bounded, the whole fits its verb.
 * Arguments: the images' formats, separated by commas; bytes a second; of a copy or import also the target's format. */
#include "block/block.h"

#define FORMATS_MAX (BLOCK_IMAGES_MAX * 6u) /* "qcow2," */

static int bad(struct err *e, const char *what)
{
    return err_set(e, -EPROTO, "block.request", "bad request to holm-block: %s", what);
}

static int take_verb(const struct field *f, struct block_request *q, bool *has_verb, struct err *e)
{
    char name[16];

    if (*has_verb || field_get_str(f, name, sizeof(name)) < 0)
        return bad(e, "verb");
    q->is_commit = streq(name, "commit");
    q->is_import = streq(name, "import");
    *has_verb = true;
    return q->is_commit || q->is_import || streq(name, "copy")
               ? 0
               : err_set(e, -ENOSYS, "block.verb", "no verb '%s'", name);
}

static int take_format(const char *text, size_t n, bool *ret)
{
    *ret = n == 5 && memcmp(text, "qcow2", 5) == 0;
    return *ret || (n == 3 && memcmp(text, "raw", 3) == 0) ? 0 : -EINVAL;
}

static int take_formats(const struct field *f, struct block_request *q, struct err *e)
{
    char text[FORMATS_MAX + 1];

    if (field_get_str(f, text, sizeof(text)) < 0)
        return bad(e, "formats");
    for (const char *p = text;; p++) {
        size_t n = strcspn(p, ",");
        if (q->n == BLOCK_IMAGES_MAX || take_format(p, n, &q->is_qcow2[q->n]) < 0)
            return bad(e, "formats");
        q->n++;
        p += n;
        if (!*p)
            return 0;
    }
}

static int take_arg(const struct field *f, struct block_request *q, unsigned number, struct err *e)
{
    char text[24];

    if (number == 0)
        return take_formats(f, q, e);
    if (field_get_str(f, text, sizeof(text)) < 0)
        return bad(e, "argument");
    if (number == 1)
        return str_to_u64(text, &q->bwlimit) < 0 || q->bwlimit > INT64_MAX ? bad(e, "limit") : 0;
    return number == 2 && take_format(text, strlen(text), &q->is_qcow2[q->n]) == 0 ? 0 : bad(e, "target");
}

static int check(const struct block_request *q, unsigned n_args, size_t n_fds, struct err *e)
{
    if (n_args != (q->is_commit ? 2 : 3))
        return bad(e, "number of arguments");
    if (q->is_commit && (q->n < 2 || !q->is_qcow2[0] || q->bwlimit))
        return bad(e, "nothing to commit");
    if (q->is_import && q->n != 1)
        return bad(e, "an image that is imported stands on nothing");
    return n_fds == q->n + (q->is_commit ? 0 : 1) ? 0 : bad(e, "number of descriptors");
}

int block_request_parse(const void *payload, size_t n, size_t n_fds, struct block_request *ret, struct err *e)
{
    struct block_request q = {0};
    struct field_reader reader;
    struct field f;
    bool has_verb = false;
    unsigned n_args = 0;
    int r = 0, more = 0;

    field_reader_init(&reader, payload, n);
    while (r == 0 && (more = field_next(&reader, &f)) > 0) {
        if (f.tag == FIELD_VERB)
            r = take_verb(&f, &q, &has_verb, e);
        else if (f.tag == FIELD_ARG)
            r = take_arg(&f, &q, n_args++, e);
    }
    if (r == 0 && (more < 0 || !has_verb))
        r = bad(e, "fields");
    if (r == 0)
        r = check(&q, n_args, n_fds, e);
    if (r == 0)
        *ret = q;
    return r;
}

size_t block_written(const struct block_request *q)
{
    return q->is_commit ? 1 : q->n;
}

bool block_is_plain(const struct block_request *q)
{
    return !q->is_commit && q->n == 1 && !q->is_qcow2[0] && !q->is_qcow2[1];
}
