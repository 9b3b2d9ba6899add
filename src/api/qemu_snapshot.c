/* Snapshots of guests: their list. There is no way to take one yet, so what the list shows is where the guest is now;
 * clients that read it for every guest (Ansible's inventory) need no more. PVE: qemu-server, API2/Qemu.pm. Loop thread.
 */
#include "api/common.h"

int api_qemu_snapshot_list(struct api_call *c, const struct api_qemu_snapshot_list_args *a, struct err *e)
{
    struct guest *g;
    int r = api_check_node(c, a->node, e);

    if (r == 0)
        r = guest_get(c->api->guests, (uint32_t)a->vmid, &g, e);
    if (r < 0)
        return r;
    jw_array(&c->out);
    jw_object(&c->out);
    jw_kv_str(&c->out, "name", "current");
    jw_kv_str(&c->out, "description", "You are here!");
    jw_kv_str(&c->out, "digest", g->digest);
    jw_kv_int(&c->out, "running", guest_is_running(g));
    jw_object_end(&c->out);
    jw_array_end(&c->out);
    return 0;
}
