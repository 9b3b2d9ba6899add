/* A request of holm-pam, parsed. Pure: bytes in, struct out. The sender is holmd, and is believed no more than a
 * stranger would be: this process is root and what it reads here ends up in other people's modules. */
#include "pam/pam.h"

static int bad(struct err *e, const char *what)
{
    return err_set(e, -EPROTO, "pam.request", "bad request to holm-pam: %s", what);
}

static bool is_made_of(const char *s, const char *more)
{
    for (; *s; s++)
        if (!(*s >= 'a' && *s <= 'z') && !(*s >= 'A' && *s <= 'Z') && !(*s >= '0' && *s <= '9') && !strchr(more, *s))
            return false;
    return true;
}

/* Names that useradd would make, and no others: modules hand them to programs and look for files called so. */
static int take_name(const struct field *f, struct pam_request *q, struct err *e)
{
    if (field_get_str(f, q->name, sizeof(q->name)) == 0 && q->name[0] && q->name[0] != '-' && !streq(q->name, ".") &&
        !streq(q->name, "..") && is_made_of(q->name, "._-"))
        return 0;
    return err_set(e, -EINVAL, "pam.name", "not the name of an account of this host");
}

static int take_arg(const struct field *f, struct pam_request *q, unsigned number, struct err *e)
{
    if (number == 0)
        return take_name(f, q, e);
    if (number == 1 && field_get_str(f, q->host, sizeof(q->host)) == 0 && is_made_of(q->host, ".:%_-"))
        return 0;
    return bad(e, "argument");
}

static int take_verb(const struct field *f, struct pam_request *q, struct err *e)
{
    char name[32];

    if (q->verb || field_get_str(f, name, sizeof(name)) < 0)
        return bad(e, "verb");
    q->verb = pam_verb_find(name);
    return q->verb ? 0 : err_set(e, -ENOSYS, "pam.verb", "holm-pam has no verb '%s'", name);
}

static int take_field(const struct field *f, struct pam_request *q, unsigned *n_args, bool *has_secret, struct err *e)
{
    switch (f->tag) {
    case FIELD_VERB:
        return take_verb(f, q, e);
    case FIELD_ARG:
        return take_arg(f, q, (*n_args)++, e);
    case FIELD_SECRET:
        if (*has_secret || field_get_str(f, q->password, sizeof(q->password)) < 0)
            return bad(e, "password");
        *has_secret = true;
        return 0;
    default:
        return 0; /* a newer peer */
    }
}

int pam_request_parse(const void *payload, size_t n, struct pam_request *q, struct err *e)
{
    struct field_reader reader;
    struct field f;
    bool has_secret = false;
    unsigned n_args = 0;
    int r, more = 0;

    *q = (struct pam_request){0};
    field_reader_init(&reader, payload, n);
    for (r = 0; r == 0 && (more = field_next(&reader, &f)) > 0;)
        r = take_field(&f, q, &n_args, &has_secret, e);
    if (r < 0)
        return r;
    if (more < 0 || !q->verb || !has_secret)
        return bad(e, "fields");
    if (n_args < q->verb->min_args || n_args > q->verb->max_args)
        return bad(e, "number of arguments");
    return 0;
}
