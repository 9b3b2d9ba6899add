/* UPIDs as Proxmox VE writes them (pve-common, UPID.pm): UPID:NODE:PID8:PSTART8:START8:TYPE:ID:USER: */
#include <inttypes.h>

#include "task/task.h"

void upid_format(const struct upid *u, char *dst, size_t cap)
{
    snprintf(dst, cap, "UPID:%s:%08" PRIX32 ":%08" PRIX64 ":%08" PRIX64 ":%s:%s:%s:", u->node, u->pid, u->pstart,
             (uint64_t)u->starttime, u->type, u->id, u->user);
}

/* Copies up to the next ':' and steps over it. */
static int take(const char **p, char *dst, size_t cap)
{
    const char *end = strchr(*p, ':');

    if (!end || (size_t)(end - *p) >= cap)
        return -EINVAL;
    memcpy(dst, *p, (size_t)(end - *p));
    dst[end - *p] = 0;
    *p = end + 1;
    return 0;
}

static int take_hex(const char **p, size_t min, size_t max, uint64_t *ret)
{
    char text[20], *end;

    if (take(p, text, sizeof(text)) < 0 || strlen(text) < min || strlen(text) > max)
        return -EINVAL;
    for (const char *c = text; *c; c++)
        if (!strchr("0123456789ABCDEFabcdef", *c))
            return -EINVAL;
    *ret = strtoull(text, &end, 16);
    return 0;
}

static bool is_plain(const char *s, bool may_be_empty)
{
    for (const char *c = s; *c; c++)
        if (*c <= 0x20 || *c >= 0x7f || *c == '/')
            return false;
    return may_be_empty || *s;
}

int upid_parse(const char *text, struct upid *ret)
{
    struct upid u = {0};
    uint64_t pid, start;
    const char *p = text + 5;

    if (!str_starts(text, "UPID:") || strlen(text) >= UPID_MAX)
        return -EINVAL;
    if (take(&p, u.node, sizeof(u.node)) < 0 || take_hex(&p, 8, 8, &pid) < 0 || take_hex(&p, 8, 9, &u.pstart) < 0 ||
        take_hex(&p, 8, 8, &start) < 0 || take(&p, u.type, sizeof(u.type)) < 0 || take(&p, u.id, sizeof(u.id)) < 0 ||
        take(&p, u.user, sizeof(u.user)) < 0 || *p)
        return -EINVAL;
    for (const char *c = u.node; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '-'))
            return -EINVAL;
    if (!is_plain(u.node, false) || !is_plain(u.type, false) || !is_plain(u.id, true) || !is_plain(u.user, false))
        return -EINVAL;
    u.pid = (uint32_t)pid;
    u.starttime = (int64_t)start;
    *ret = u;
    return 0;
}
