"""/dev/kvm as udev makes it, for tests that start holm-vmm as another user than root."""
import grp
import os
import stat
import subprocess
import tempfile

from lib import smallfs

RW_GROUP = stat.S_IRGRP | stat.S_IWGRP
NO_GROUPS_YET = 4000  # where there is no group "kvm": one that nobody is in


def _group():
    try:
        return grp.getgrnam("kvm").gr_gid
    except KeyError:
        return NO_GROUPS_YET


def give_to_group():
    """Where nobody but root may open it (no udev has run): a node for its group, for this process and what it starts, in
    mounts of their own. Before any thread is started."""
    if os.geteuid() != 0 or not os.path.exists("/dev/kvm") or os.stat("/dev/kvm").st_mode & RW_GROUP == RW_GROUP:
        return
    if not smallfs.own_mounts():
        return
    device = os.stat("/dev/kvm").st_rdev
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "kvm", folder], check=True)
        node = folder + "/kvm"
        os.mknod(node, stat.S_IFCHR, device)
        os.chown(node, 0, _group())
        os.chmod(node, 0o660)
        subprocess.run(["mount", "--bind", node, "/dev/kvm"], check=True)
        subprocess.run(["umount", "-l", folder], check=True)
