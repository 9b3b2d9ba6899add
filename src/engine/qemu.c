/* The engine `qemu`: its row in the table, and machine versions. A machine version is resolved once, at creation, to
 * what this QEMU calls it, and then stays: a newer QEMU still builds the same machine for the guest. Pure. */
#include "engine/qemu_priv.h"

static int check_host(const struct engine_host *h, struct err *e)
{
    if (h->qemu_path[0])
        return 0;
    err_set(e, -ENOENT, "engine.missing", "QEMU is not installed on this node");
    err_hint(e, "apt-get install qemu-system-x86");
    return e->num;
}

/* "7.2.22" -> 7002. */
static bool parse_version(const char *s, unsigned *ret)
{
    unsigned major, minor;
    char rest;

    if (sscanf(s, "%3u.%3u%c", &major, &minor, &rest) < 2)
        return false;
    *ret = major * 1000 + minor;
    return true;
}

bool qemu_machine_parse(const char *machine, bool *ret_is_q35, unsigned *ret_version)
{
    static const struct {
        const char *prefix;
        bool is_q35;
    } families[] = {{"pc-q35-", true}, {"pc-i440fx-", false}, {"pc-", false}};

    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        const char *prefix = families[i].prefix;
        if (!str_starts(machine, prefix) || !parse_version(machine + strlen(prefix), ret_version))
            continue;
        *ret_is_q35 = families[i].is_q35;
        return true;
    }
    return false;
}

static int resolve_machine(const struct engine_host *h, const char *wanted, char *ret, size_t cap, struct err *e)
{
    unsigned ours, version;
    bool is_q35 = !streq(wanted, "pc");

    if (!parse_version(h->qemu_version, &ours))
        return err_set(e, -ENOENT, "engine.missing", "the version of QEMU on this node is not known");
    version = ours;
    if (!streq(wanted, "pc") && !streq(wanted, "q35") && !qemu_machine_parse(wanted, &is_q35, &version))
        return engine_unsupported(e, "qemu", "machine", "'%.40s' is not a machine of this engine", wanted);
    if (version > ours)
        return engine_unsupported(e, "qemu", "machine", "'%.40s' is newer than QEMU %s", wanted, h->qemu_version);
    snprintf(ret, cap, "pc-%s-%u.%u", is_q35 ? "q35" : "i440fx", version / 1000, version % 1000);
    return 0;
}

static int resolve(const struct engine_host *h, const struct config_item *config, size_t n, struct engine_choice *ret,
                   struct err *e)
{
    struct engine_choice choice = {.engine = "qemu"};
    const char *value = config_item_get(config, n, "machine"), *type = NULL;
    struct propstr p;

    if (value) {
        int r = propstr_parse(value, "type", &p, e);
        if (r < 0)
            return err_wrap(e, r, "machine");
        type = propstr_get(&p, "type");
    }
    int r = resolve_machine(h, type ? type : "q35", choice.machine, sizeof(choice.machine), e);
    if (r == 0)
        *ret = choice;
    return r;
}

const struct engine engine_qemu = {
    .name = "qemu",
    .driver = "qmp",
    .caps = ENGINE_CAP_PAUSE | ENGINE_CAP_RESET | ENGINE_CAP_SHUTDOWN | ENGINE_CAP_SERIAL_CONSOLE |
            ENGINE_CAP_DIRECT_KERNEL | ENGINE_CAP_DISK_BOOT | ENGINE_CAP_QCOW2 | ENGINE_CAP_USER_NET | ENGINE_CAP_TAP |
            ENGINE_CAP_GRAPHICS | ENGINE_CAP_AGENT,
    .check_host = check_host,
    .resolve = resolve,
    .check_config = qemu_check_config,
    .has_display = qemu_has_display,
    .launch = qemu_launch,
    .live = qemu_live,
    .count = qemu_count,
    .has_image = qemu_has_image,
    .sweep = qemu_sweep,
    .job = qemu_job,
    .saved = qemu_saved,
};
