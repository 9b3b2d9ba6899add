"""Disks of a running guest: requests as the guest would make them, and what its hypervisor has open."""
import os


def as_guest(node, vmid, key, *commands):
    """qemu-io's commands for a drive, one after the other, as root@pam. What they did QEMU tells its own standard output;
    an error is an answer."""
    device = f"/machine/peripheral/{key}/virtio-backend" if key.startswith("virtio") else key
    for command in commands:
        said = node.cli("api", "POST", f"/nodes/{node.name}/qemu/{vmid}/monitor", "-d",
                        f'command=qemu-io -d {device} "{command}"').stdout
        assert said.strip() == '""', (command, said)


def open_volumes(node, vmid):
    """The volumes that the hypervisor of the guest has open; "inode N" for a file that is none."""
    pid = node.api.get(node.vm(vmid, "/status/current"))["pid"]
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            if "/images/" in os.readlink(f"/proc/{pid}/fd/{fd}"):
                inodes.add(os.stat(f"/proc/{pid}/fd/{fd}").st_ino)
        except FileNotFoundError:
            pass
    known = {}
    for storage in node.api.get("/storage"):
        path = f"/nodes/{{node}}/storage/{storage['storage']}/content"
        for volume in node.api.get(path):
            if volume["content"] == "images":
                known[os.stat(node.api.get(f"{path}/{volume['volid']}")["path"]).st_ino] = volume["volid"]
    return sorted(known.get(n, f"inode {n}") for n in inodes)
