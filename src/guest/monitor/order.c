/* Reads a launch order; see order.h. Its writer is holmd, but the reader is as strict as with a stranger. Pure. */
#include "guest/monitor/order.h"

#include <ctype.h>

#include "proto/frame.h"

static int too_many(const char *what, struct err *e)
{
    return err_set(e, -E2BIG, "launch.malformed", "too many %s in the launch order", what);
}

static int add_text(const struct field *f, char **list, size_t *n, size_t max, const char *what, struct err *e)
{
    if (*n == max)
        return too_many(what, e);
    int r = field_dup_str(f, &list[*n]);
    if (r < 0)
        return err_set(e, r, "launch.malformed", "a text in the launch order");
    ++*n;
    return 0;
}

static int get_fd(const struct field *f, int *ret, struct err *e)
{
    uint32_t number;

    if (field_get_u32(f, &number) < 0 || number < 3 || number > 300)
        return err_set(e, -EPROTO, "launch.malformed", "a descriptor number in the launch order");
    *ret = (int)number;
    return 0;
}

static int add_fd(int *list, size_t *n, size_t max, const struct field *f, struct err *e)
{
    if (*n == max)
        return too_many("descriptors", e);
    int r = get_fd(f, &list[*n], e);
    *n += r == 0;
    return r;
}

/* "serial0=11" */
static int add_channel(struct order *o, const struct field *f, struct err *e)
{
    struct order_channel *c = &o->channels[o->n_channels];
    char text[32];
    uint64_t number;

    if (o->n_channels == ORDER_CHANNELS_MAX)
        return too_many("channels", e);
    char *equals = field_get_str(f, text, sizeof(text)) == 0 ? strchr(text, '=') : NULL;
    if (!equals)
        return err_set(e, -EPROTO, "launch.malformed", "a channel in the launch order");
    *equals = 0;
    if (!text[0] || str_copy(c->name, sizeof(c->name), text) < 0 || str_to_u64(equals + 1, &number) < 0 || number < 3 ||
        number > 300)
        return err_set(e, -EPROTO, "launch.malformed", "a channel in the launch order");
    c->target = (int)number;
    o->n_channels++;
    return 0;
}

static int take_field(struct order *o, const struct field *f, struct err *e)
{
    switch (f->tag) {
    case FIELD_DRIVER:
        return field_get_str(f, o->driver, sizeof(o->driver)) < 0 ? -EPROTO : 0;
    case FIELD_VMID:
        return field_get_u32(f, &o->vmid);
    case FIELD_COOKIE:
        if (f->len != COOKIE_BYTES)
            return -EPROTO;
        memcpy(o->cookie, f->data, f->len);
        return 0;
    case FIELD_ARG:
        return add_text(f, o->args, &o->n_args, ORDER_ARGS_MAX, "arguments", e);
    case FIELD_ENV:
        return add_text(f, o->envs, &o->n_envs, ORDER_ENVS_MAX, "environment values", e);
    case FIELD_VERB:
        return add_text(f, o->verbs, &o->n_verbs, ORDER_VERBS_MAX, "verbs", e);
    case FIELD_FD_TARGET:
        return add_fd(o->fds, &o->n_fds, ORDER_FDS_MAX, f, e);
    case FIELD_HELPER_ARG:
        return add_text(f, o->helper_args, &o->n_helper_args, ORDER_HELPER_ARGS_MAX, "arguments of a helper", e);
    case FIELD_HELPER_FD:
        return add_fd(o->helper_fds, &o->n_helper_fds, ORDER_HELPER_FDS_MAX, f, e);
    case FIELD_HELPER_PEER:
        return get_fd(f, &o->helper_peer, e);
    case FIELD_CHANNEL:
        return add_channel(o, f, e);
    default: /* of a newer holmd */
        return 0;
    }
}

int order_parse(const void *payload, size_t n, struct order *ret, struct err *e)
{
    static const unsigned char no_cookie[COOKIE_BYTES];
    struct field_reader reader;
    struct field f;
    int r = 0, more;

    *ret = (struct order){0};
    field_reader_init(&reader, payload, n);
    while (r == 0 && (more = field_next(&reader, &f)) != 0)
        r = more < 0 ? more : take_field(ret, &f, e);
    if (r == 0 && (ret->n_helper_args ? ret->helper_args[0][0] != '/' || !ret->helper_peer
                                      : ret->n_helper_fds || ret->helper_peer))
        r = -EPROTO;
    if (r == 0 && (!ret->driver[0] || ret->n_args == 0 || ret->args[0][0] != '/' ||
                   memcmp(ret->cookie, no_cookie, COOKIE_BYTES) == 0))
        r = -EPROTO;
    if (r == 0)
        return 0;
    order_done(ret);
    return e->num ? r : err_set(e, r, "launch.malformed", "the launch order is malformed");
}

static void free_list(char **list, size_t *n)
{
    while (*n)
        free(list[--*n]);
    list[0] = NULL;
}

void order_done(struct order *o)
{
    free_list(o->args, &o->n_args);
    free_list(o->envs, &o->n_envs);
    free_list(o->verbs, &o->n_verbs);
    free_list(o->helper_args, &o->n_helper_args);
}
