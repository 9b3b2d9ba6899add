/* See services.h. */
#include "api/services.h"

#include <unistd.h>

#include "base/capture.h"

#define SYSTEMCTL  "/usr/bin/systemctl"
#define BOOTED     "/run/systemd/system" /* is there while systemd is the init: sd_booted(3) */
#define OUTPUT_MAX (256u * 1024u)
#define ARGS_MAX   64u

const struct service services[] = {
    {"chrony", "chrony.service"},
    {"corosync", "corosync.service"},
    {"cron", "cron.service"},
    {"holmd", "holmd.service", true},
    {"ksmtuned", "ksmtuned.service"},
    {"lxcfs", "lxcfs.service"},
    {"nftables", "nftables.service"},
    {"postfix", "postfix.service"},
    {"proxmox-firewall", "proxmox-firewall.service"},
    {"pve-cluster", "pve-cluster.service"},
    {"pve-firewall", "pve-firewall.service"},
    {"pve-ha-crm", "pve-ha-crm.service"},
    {"pve-ha-lrm", "pve-ha-lrm.service"},
    {"pve-lxc-syscalld", "pve-lxc-syscalld.service"},
    {"pvedaemon", "pvedaemon.service"},
    {"pvefw-logger", "pvefw-logger.service"},
    {"pveproxy", "pveproxy.service"},
    {"pvescheduler", "pvescheduler.service"},
    {"pvestatd", "pvestatd.service"},
    {"qmeventd", "qmeventd.service"},
    {"spiceproxy", "spiceproxy.service"},
    {"sshd", "ssh.service"},
    {"syslog", "rsyslog.service"},
    {"systemd-journald", "systemd-journald.service"},
    {"systemd-networkd", "systemd-networkd.service"},
    {"systemd-timesyncd", "systemd-timesyncd.service"},
    {0},
};

const struct service *service_find(const char *id)
{
    for (const struct service *s = services; s->id; s++)
        if (streq(s->id, id))
            return s;
    return NULL;
}

int systemctl_check(struct err *e)
{
    if (access(BOOTED, F_OK) == 0)
        return 0;
    err_set(e, -ENOSYS, "services.absent", "systemd does not run on this node");
    return err_hint(e, "services are started and stopped by the host's own means");
}

static bool take(void *arg, const char *data, size_t n)
{
    struct buf *out = arg;

    buf_append(out, data, n);
    return !out->is_failed;
}

int systemctl_run(const char *const *args, uint32_t timeout_ms, struct buf *out, int *ret_status, struct err *e)
{
    const char *argv[ARGS_MAX] = {SYSTEMCTL};
    struct capture run = {.path = SYSTEMCTL,
                          .argv = argv,
                          .timeout_ms = timeout_ms,
                          .max_bytes = OUTPUT_MAX,
                          .take = take,
                          .arg = out,
                          .has_errors = true,
                          .ret_status = ret_status};

    for (size_t i = 0; args[i] && i < ARGS_MAX - 2; i++)
        argv[i + 1] = args[i];
    int r = systemctl_check(e);
    return r < 0 ? r : capture_run(&run, e);
}

bool systemctl_property(const char *text, const char *end, const char *key, char *dst, size_t cap)
{
    size_t k = strlen(key);

    for (const char *line = text; line < end;) {
        size_t n = strcspn(line, "\n");
        if (n > k && strncmp(line, key, k) == 0 && line[k] == '=') {
            snprintf(dst, cap, "%.*s", (int)(n - k - 1), line + k + 1);
            return true;
        }
        line += n + (line[n] != 0);
    }
    dst[0] = 0;
    return false;
}
