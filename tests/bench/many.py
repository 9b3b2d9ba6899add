"""Many guests: one is created, and a dump of the state with so many copies of its record is loaded, as after a restore."""
import json

from lib.wait import slow

FIRST = 10000


def copy(record, vmid):
    """Of a record of the state; its disk, if it has one, is one of the new guest."""
    mac = f"BC:24:11:{vmid >> 16 & 255:02X}:{vmid >> 8 & 255:02X}:{vmid & 255:02X}"
    config = {**record["config"], "name": f"guest-{vmid}", "scsi0": f"local:{vmid}/vm-{vmid}-disk-0.raw,size=8G"}
    if "net0" in config:
        config["net0"] = f"virtio={mac}"
    return {**record, "uuid": f"00000000-0000-4000-8000-{vmid:012}", "config": config}


def define(node, count, has_disk=True, **config):
    """So many guests from FIRST on. Headers of the administrator and of a user who may see them by an entry on /vms."""
    if not node.starts:
        node.start()
    auditor = node.restricted("auditor@pve", **{"/vms": "PVEAuditor"})
    node.create(FIRST, **config)
    node.stop()
    dump = json.loads(node.cli("state", "dump").stdout)
    record = dump["keys"][f"shared/guest/{FIRST}"]
    for vmid in range(FIRST, FIRST + count):
        dump["keys"][f"shared/guest/{vmid}"] = copied = copy(record, vmid)
        if not has_disk:
            del copied["config"]["scsi0"]
    path = node.base + "/dump"
    with open(path, "w", encoding="utf-8") as f:
        json.dump(dump, f)
    node.cli("-y", "state", "load", path, timeout=60)
    node.launch().wait_ready(slow(90))
    return f"Cookie: PVEAuthCookie={node.api.ticket}\r\n", "Authorization: PVEAPIToken=%s=%s\r\n" % auditor.token
