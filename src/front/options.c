/* Command line of holm-front; see options.h. */
#include "front/options.h"

#include <getopt.h>
#include <limits.h>

enum {
    OPT_LISTEN = 1,
    OPT_LINK,
    OPT_CERT,
    OPT_KEY,
    OPT_WEB,
    OPT_NODE,
    OPT_CHROOT,
    OPT_UID,
    OPT_GID,
    OPT_HSTS,
    OPT_LIMIT
};

static const struct front_limits default_limits = {
#define FRONT_LIMIT_DEFAULT(name, value) .name = value,
    FRONT_LIMITS(FRONT_LIMIT_DEFAULT)
#undef FRONT_LIMIT_DEFAULT
};

static const struct {
    const char *name;
    size_t offset;
} limit_names[] = {
#define FRONT_LIMIT_NAME(name, value) {#name, offsetof(struct front_limits, name)},
    FRONT_LIMITS(FRONT_LIMIT_NAME)
#undef FRONT_LIMIT_NAME
};

static int parse_number(const char *name, const char *text, uint64_t max, uint64_t *ret, struct err *e)
{
    if (str_to_u64(text, ret) < 0 || *ret > max)
        return err_set(e, -EINVAL, "front.usage", "--%s needs a number, not '%s'", name, text);
    return 0;
}

static int set_limit(struct front_limits *l, const char *text, struct err *e)
{
    const char *equals = strchr(text, '=');
    uint64_t v = 0;

    for (size_t i = 0; equals && i < ARRAY_SIZE(limit_names); i++) {
        size_t n = strlen(limit_names[i].name);
        if (n != (size_t)(equals - text) || memcmp(text, limit_names[i].name, n) != 0)
            continue;
        int r = parse_number("test-limit", equals + 1, UINT32_MAX, &v, e);
        if (r == 0)
            *(uint32_t *)(void *)((char *)l + limit_names[i].offset) = (uint32_t)v;
        return r;
    }
    return err_set(e, -EINVAL, "front.usage", "unknown limit '%s'", text);
}

static int set_listen_fd(struct front_options *o, int fd, struct err *e)
{
    if (o->n_listen_fds == FRONT_LISTEN_MAX)
        return err_set(e, -EINVAL, "front.usage", "too many --listen-fd");
    o->listen_fds[o->n_listen_fds++] = fd;
    return 0;
}

static int set_option(struct front_options *o, int option, const char *name, const char *text, struct err *e)
{
    uint64_t v = 0;

    if (option == OPT_NODE || option == OPT_CHROOT) {
        *(option == OPT_NODE ? &o->node : &o->chroot_dir) = text;
        return 0;
    }
    if (option == OPT_LIMIT)
        return set_limit(&o->limits, text, e);
    int r = parse_number(name, text, option == OPT_UID || option == OPT_GID ? UINT32_MAX - 1 : INT_MAX, &v, e);
    if (r < 0)
        return r;
    if (option == OPT_LISTEN)
        return set_listen_fd(o, (int)v, e);
    if (option == OPT_UID)
        o->uid = (uid_t)v;
    else if (option == OPT_GID)
        o->gid = (gid_t)v;
    else if (option == OPT_HSTS)
        o->hsts_s = (uint32_t)v;
    else
        *(option == OPT_LINK   ? &o->link_fd
          : option == OPT_CERT ? &o->cert_fd
          : option == OPT_KEY  ? &o->key_fd
                               : &o->web_fd) = (int)v;
    return 0;
}

int front_options_parse(int argc, char **argv, struct front_options *ret, struct err *e)
{
    static const struct option table[] = {
        {"listen-fd", required_argument, NULL, OPT_LISTEN}, {"link-fd", required_argument, NULL, OPT_LINK},
        {"cert-fd", required_argument, NULL, OPT_CERT},     {"key-fd", required_argument, NULL, OPT_KEY},
        {"web-fd", required_argument, NULL, OPT_WEB},       {"node", required_argument, NULL, OPT_NODE},
        {"chroot", required_argument, NULL, OPT_CHROOT},    {"uid", required_argument, NULL, OPT_UID},
        {"gid", required_argument, NULL, OPT_GID},          {"hsts", required_argument, NULL, OPT_HSTS},
        {"test-limit", required_argument, NULL, OPT_LIMIT}, {NULL, 0, NULL, 0},
    };
    int option, index = 0;

    *ret = (struct front_options){
        .link_fd = -EBADF, .cert_fd = -EBADF, .key_fd = -EBADF, .web_fd = -EBADF, .limits = default_limits};
    opterr = 0;
    while ((option = getopt_long(argc, argv, "", table, &index)) != -1) {
        if (option == '?')
            return err_set(e, -EINVAL, "front.usage", "unknown or incomplete option '%s'", argv[optind - 1]);
        int r = set_option(ret, option, table[index].name, optarg, e);
        if (r < 0)
            return r;
    }
    if (optind != argc || ret->n_listen_fds == 0 || ret->link_fd < 0 || ret->cert_fd < 0 || ret->key_fd < 0 ||
        !ret->node)
        return err_set(e, -EINVAL, "front.usage", "needs --listen-fd N --link-fd N --cert-fd N --key-fd N --node NAME");
    return 0;
}
