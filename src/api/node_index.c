/* Routes below /nodes/N that only say what is below them, and what a node has for moving guests. PVE: pve-manager, the
 * index methods of API2. Loop thread; nothing is read. */
#include "api/common.h"

static int reply_index(struct api_call *c, const char *node, const char *key, const char *const *names, struct err *e)
{
    int r = api_check_node(c, node, e);

    return r < 0 ? r : api_reply_index(c, key, names);
}

int api_node_pci_index(struct api_call *c, const struct api_node_pci_index_args *a, struct err *e)
{
    static const char *const names[] = {"mdev", NULL};

    if (!strchr(a->pci_id_or_mapping, ':'))
        return api_param_error(c, e, "pci-id-or-mapping", "there is no mapping '%.64s'", a->pci_id_or_mapping);
    return reply_index(c, a->node, "method", names, e);
}

int api_node_service_index(struct api_call *c, const struct api_node_service_index_args *a, struct err *e)
{
    static const char *const names[] = {"reload", "restart", "start", "state", "stop", NULL};

    return reply_index(c, a->node, "subdir", names, e);
}

int api_node_certificates_index(struct api_call *c, const struct api_node_certificates_index_args *a, struct err *e)
{
    static const char *const names[] = {"custom", "info", NULL};

    return reply_index(c, a->node, "name", names, e);
}

int api_node_apt_index(struct api_call *c, const struct api_node_apt_index_args *a, struct err *e)
{
    static const char *const names[] = {"versions", NULL};

    return reply_index(c, a->node, "id", names, e);
}

int api_node_scan_index(struct api_call *c, const struct api_node_scan_index_args *a, struct err *e)
{
    static const char *const names[] = {"lvm", "lvmthin", "zfs", NULL};

    return reply_index(c, a->node, "method", names, e);
}

/* PVE has a helper that takes a guest's D-Bus state along when it moves; guests of Holm have no such state. */
int api_node_capabilities_migration(struct api_call *c, const struct api_node_capabilities_migration_args *a,
                                    struct err *e)
{
    int r = api_check_node(c, a->node, e);

    if (r < 0)
        return r;
    jw_object(&c->out);
    jw_kv_int(&c->out, "has-dbus-vmstate", 0);
    jw_object_end(&c->out);
    return 0;
}
