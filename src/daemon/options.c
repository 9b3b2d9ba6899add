/* Command line of holmd. */
#include <getopt.h>
#include <limits.h>

#include "daemon/daemon.h"
#include "daemon/option_table.h"

#define HSTS_MAX_S (10u * 366 * 86400)

#define OPTIONS_MAX 32u

static void usage(FILE *f)
{
    fprintf(f, "usage: holmd [options]\n\n");
    for (const struct daemon_option *o = daemon_options; o->name; o++) {
        int n = fprintf(f, "  --%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        fprintf(f, "%*s%s\n", n < 19 ? 19 - n : 1, "", o->help);
    }
}

/* The table as getopt_long wants it. */
static void getopt_table(struct option *table)
{
    size_t n = 0;

    for (const struct daemon_option *o = daemon_options; o->name && n < OPTIONS_MAX - 1; o++)
        table[n++] = (struct option){o->name, o->value ? required_argument : no_argument, NULL, o->letter};
    table[n] = (struct option){NULL, 0, NULL, 0};
}

static int parse_listen(const char *text, struct options *o, struct err *e)
{
    const char *colon = strrchr(text, ':');
    uint64_t port;

    if (!colon || colon == text || str_to_u64(colon + 1, &port) < 0 || port == 0 || port > 65535)
        return err_set(e, -EINVAL, "option.listen", "--listen takes ADDRESS:PORT, not '%s'", text);
    const char *from = text + (*text == '[');
    size_t n = (size_t)(colon - from) - (*text == '[');
    if (n >= sizeof(o->address))
        return err_set(e, -EINVAL, "option.listen", "address too long");
    memcpy(o->address, from, n);
    o->address[n] = 0;
    o->port = (unsigned)port;
    return 0;
}

static int parse_count(const char *name, const char *text, unsigned min, unsigned max, unsigned *ret, struct err *e)
{
    uint64_t v;

    if (str_to_u64(text, &v) < 0 || v < min || v > max)
        return err_set(e, -EINVAL, "option.number", "%s takes a number from %u to %u, not '%s'", name, min, max, text);
    *ret = (unsigned)v;
    return 0;
}

static int default_node(struct options *o, struct err *e)
{
    char name[256];

    if (gethostname(name, sizeof(name)) < 0)
        return err_errno(e, errno, "host name");
    name[sizeof(name) - 1] = 0;
    name[strcspn(name, ".")] = 0;
    return str_copy(o->node, sizeof(o->node), name) < 0
               ? err_set(e, -EINVAL, "option.node", "the host name is too long, use --node")
               : 0;
}

/* Helper programs: $HOLM_LIBEXEC, else beside us in the build tree (../front …), else the installed folder. */
static int find_libexec(struct options *o, struct err *e)
{
    const char *env = getenv("HOLM_LIBEXEC");
    char self[PATH_MAX], probe[PATH_MAX + 64];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (env)
        return str_copy(o->libexec, sizeof(o->libexec), env) < 0 ? err_set(e, -ENAMETOOLONG, NULL, "HOLM_LIBEXEC") : 0;
    if (n > 0) {
        self[n] = 0;
        char *slash = strrchr(self, '/');
        if (slash)
            *slash = 0;
        snprintf(probe, sizeof(probe), "%s/../front/holm-front", self);
        if (access(probe, X_OK) == 0) {
            snprintf(o->libexec, sizeof(o->libexec), "%s/..", self);
            return 0;
        }
    }
    snprintf(o->libexec, sizeof(o->libexec), "%s", HOLM_LIBEXECDIR);
    return 0;
}

static bool is_node_name(const char *s)
{
    size_t n = strlen(s);

    if (n == 0 || s[0] == '-' || s[n - 1] == '-')
        return false;
    for (; *s; s++)
        if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || *s == '-'))
            return false;
    return true;
}

int options_parse(int argc, char **argv, struct options *ret, struct err *e)
{
    struct option table[OPTIONS_MAX];
    struct options o = {.root = "/var/lib/holm", .address = "127.0.0.1", .port = 8006, .n_fronts = FRONTS_DEFAULT};
    int c, r = 0;

    getopt_table(table);
    while (r == 0 && (c = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (c == 'r')
            o.root = optarg;
        else if (c == 'l')
            r = parse_listen(optarg, &o, e);
        else if (c == 'n')
            r = str_copy(o.node, sizeof(o.node), optarg) < 0 ? err_set(e, -EINVAL, "option.node", "name too long") : 0;
        else if (c == 'w')
            o.web = optarg;
        else if (c == 'f')
            r = parse_count("--fronts", optarg, 1, FRONTS_MAX, &o.n_fronts, e);
        else if (c == 's')
            r = parse_count("--hsts", optarg, 0, HSTS_MAX_S, &o.hsts_s, e);
        else if (c == 'i')
            o.interfaces = optarg;
        else if (c == 'v')
            o.is_verbose = true;
        else if (c == 'V')
            exit(printf("holmd %s\n", HOLM_VERSION) < 0);
        else if (c == 'h')
            exit((usage(stdout), 0));
        else
            exit((usage(stderr), 64));
    }
    if (r == 0 && optind < argc)
        r = err_set(e, -EINVAL, "option.unknown", "unexpected argument '%s'", argv[optind]);
    if (r == 0 && !o.node[0])
        r = default_node(&o, e);
    if (r == 0 && !is_node_name(o.node))
        r = err_set(e, -EINVAL, "option.node", "'%s' is not a node name (letters, digits and '-')", o.node);
    if (r == 0)
        r = find_libexec(&o, e);
    if (r == 0)
        *ret = o;
    return r;
}
