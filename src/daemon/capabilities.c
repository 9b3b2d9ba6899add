/* What holmd keeps of root's capabilities: a table with what each is for. All others are gone from it and, by the
 * bounding set, from every program it starts, before anything of a client or a guest is read. Processes of another user
 * have none at all (base/proc.c). What a new feature needs is added here and in doc/threat-model.md; a test compares.
 */
#include <cap-ng.h>

#include "daemon/daemon.h"

static const struct {
    unsigned cap;
    const char *why;
} kept[] = {
    {CAP_CHOWN, "a guest's folder and volumes belong to its user"},
    {CAP_DAC_OVERRIDE, "files of guests, made by their users"},
    {CAP_FOWNER, "modes and links of such files"},
    {CAP_KILL, "guests, monitors, workers and fronts run as others"},
    {CAP_SETGID, "start a program as another user"},
    {CAP_SETUID, "the same"},
    {CAP_SETPCAP, "programs it starts give up the rest"},
    {CAP_SYS_CHROOT, "holm-front goes into an empty root"},
    {CAP_NET_BIND_SERVICE, "--listen with a port below 1024"},
    {CAP_NET_ADMIN, "bridges, taps, addresses, and NAT by the programs it starts"},
    {CAP_SYS_ADMIN, "holm-pam makes a network and a process namespace for modules"},
    {CAP_AUDIT_WRITE, "PAM modules report logins to the kernel's audit"},
};

static bool is_kept(unsigned cap)
{
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
        if (kept[i].cap == cap)
            return true;
    return false;
}

int capabilities_drop(struct err *e)
{
    const capng_type_t all = CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE | CAPNG_BOUNDING_SET;

    if (capng_get_caps_process() < 0)
        return err_set(e, -EIO, "start.capabilities", "cannot read the capabilities of this process");
    /* Only ever less than there is: a container may have taken some of the kept ones already. */
    for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++)
        if (!is_kept(cap))
            capng_update(CAPNG_DROP, all, cap);
    int r = capng_apply(CAPNG_SELECT_BOTH);
    return r < 0 ? err_set(e, -EPERM, "start.capabilities", "cannot give up capabilities (step %d)", -r) : 0;
}
