"""A host for the pages of a node: cards, disks, services, devices and a journal like those of a small server. All of it is
files and programs below the test's folder, and a network namespace; nothing of the machine is seen or changed."""
import json
import os
import subprocess

from lib import netns
from lib.host import HostNode, write
from ui.scene import Scene

CARD_ADDRESS = "192.0.2.10"

SERVICES = [("chrony", "chrony, an NTP client/server", "active", "running"), ("cron", "Regular background program processing daemon", "active", "running"),
            ("holmd", "Holm virtualization daemon", "active", "running"), ("nftables", "nftables", "active", "exited"),
            ("postfix", "Postfix Mail Transport Agent", "failed", "failed"), ("ssh", "OpenBSD Secure Shell server", "active", "running"),
            ("systemd-journald", "Journal Service", "active", "running"), ("systemd-networkd", "Network Configuration", "inactive", "dead")]
UNITS = "\n".join(f"Id={name}.service\nDescription={what}\nLoadState=loaded\nActiveState={active}\nSubState={sub}\nUnitFileState={'disabled' if active == 'inactive' else 'enabled'}\n"
                  for name, what, active, sub in SERVICES)
# Says what is in base/journal: all, or what is after the cursor i=N; --unit keeps lines of that service.
JOURNALCTL = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv)
{
    const char *unit = NULL;
    char line[4096], want[256] = "";
    int after = 0, n = 0, has_cursor = 0, said = 0, last = 0, total = 0;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--after-cursor=", 15) == 0)
            after = atoi(strstr(argv[i], "i=") + 2);
        if (strncmp(argv[i], "--unit=", 7) == 0)
            unit = argv[i] + 7;
        if (strncmp(argv[i], "--lines=", 8) == 0)
            last = atoi(argv[i] + 8);
        has_cursor |= strcmp(argv[i], "--show-cursor") == 0;
    }
    if (unit)
        snprintf(want, sizeof(want), " %s[", unit);
    FILE *f = fopen(JOURNAL, "r");
    while (f && fgets(line, sizeof(line), f))
        total++;
    if (f)
        rewind(f);
    while (f && fgets(line, sizeof(line), f))
        if (++n > after && (!last || after || n > total - last) && strstr(line, want)) {
            fputs(line, stdout);
            said++;
        }
    if (has_cursor && said)
        printf("-- cursor: s=abc;i=%d\n", n);
    return 0;
}
"""
DISKS = {
    "vda/size": str(480 * 2**21), "vda/dev": "254:0", "vda/device/vendor": "ATA     ", "vda/device/model": "Samsung SSD 870 EVO", "vda/device/serial": "S5Y2NX0R123456",
    "vda/queue/rotational": "0", "vda/holders/": "", "vda/vda1/partition": "1", "vda/vda1/size": str(512 * 2048), "vda/vda1/dev": "254:1", "vda/vda1/holders/": "",
    "vda/vda2/partition": "2", "vda/vda2/size": str(479 * 2**21), "vda/vda2/dev": "254:2", "vda/vda2/holders/dm-0/dm/uuid": "LVM-abcdef",
    "sdb/size": str(8 * 2**31), "sdb/dev": "8:16", "sdb/device/vendor": "WDC     ", "sdb/device/model": "WD80EFZZ-68BTXN0 Red Plus", "sdb/device/serial": "WD-CA0ABCDE",
    "sdb/queue/rotational": "1", "sdb/holders/": "",
    "nvme0n1/size": str(2 * 2**31), "nvme0n1/dev": "259:0", "nvme0n1/wwid": "eui.0001", "nvme0n1/queue/rotational": "0", "nvme0n1/holders/": "",
}
PCI = {
    "0000:00:1f.0/class": "0x060100", "0000:00:1f.0/vendor": "0x8086", "0000:00:1f.0/device": "0x2918",
    "0000:01:00.0/class": "0x030000", "0000:01:00.0/vendor": "0x10de", "0000:01:00.0/device": "0x1db6", "0000:01:00.0/subsystem_vendor": "0x10de",
    "0000:01:00.0/subsystem_device": "0x124a", "0000:01:00.0/mdev_supported_types/nvidia-11/available_instances": "16",
    "0000:01:00.0/mdev_supported_types/nvidia-11/name": "GRID V100-1Q", "0000:01:00.0/mdev_supported_types/nvidia-11/description": "num_heads=4\nframebuffer=1024M",
    "0000:02:00.0/class": "0x020000", "0000:02:00.0/vendor": "0x8086", "0000:02:00.0/device": "0x1572",
}
PCI_IDS = "10de  NVIDIA Corporation\n\t1db6  GV100GL [Tesla V100 PCIe 16GB]\n\t\t10de 124a  Tesla V100\n8086  Intel Corporation\n\t1572  Ethernet Controller X710 for 10GbE SFP+\n"
USB = {
    "usb1/busnum": "1", "usb1/devnum": "1", "usb1/bDeviceClass": "09", "usb1/idVendor": "1d6b", "usb1/idProduct": "0002", "usb1/speed": "480",
    "usb1/manufacturer": "Linux xhci-hcd", "usb1/product": "xHCI Host Controller",
    "1-2.3/busnum": "1", "1-2.3/devnum": "7", "1-2.3/bDeviceClass": "00", "1-2.3/idVendor": "0781", "1-2.3/idProduct": "5567", "1-2.3/speed": "480",
    "1-2.3/manufacturer": "SanDisk", "1-2.3/product": "Cruzer Blade", "1-2.3/serial": "4C530001230101",
}
MOUNT = "[Unit]\nDescription=Mount storage 'backup'\n\n[Mount]\nOptions=defaults\nType=ext4\nWhat=/dev/disk/by-uuid/0a1b2c3d\nWhere=/mnt/pve/backup\n\n[Install]\nWantedBy=multi-user.target\n"
GIB = 2**30
PVS = {"report": [{"pv": [{"pv_name": "/dev/vda2", "pv_size": str(479 * GIB), "pv_free": str(16 * GIB), "vg_name": "pve", "vg_size": str(479 * GIB), "vg_free": str(16 * GIB)}]}]}
LVS = {"report": [{"lv": [{"vg_name": "pve", "lv_name": "data", "segtype": "thin-pool", "lv_size": str(337 * GIB), "data_percent": "71.20", "lv_metadata_size": str(4 * GIB), "metadata_percent": "3.10"}]}]}
ZPOOL = f"tank\t{16 * 10**12}\t{9 * 10**12}\t{7 * 10**12}\t12\t1.00\tONLINE\nold\t{2 * 10**12}\t{19 * 10**11}\t{10**11}\t61\t1.42\tDEGRADED\n"
SMART = [(5, "Reallocated_Sector_Ct", 100, 100, 10, "0"), (9, "Power_On_Hours", 97, 97, 0, "13542"), (12, "Power_Cycle_Count", 99, 99, 0, "61"),
         (177, "Wear_Leveling_Count", 93, 93, 0, "112"), (190, "Airflow_Temperature_Cel", 68, 49, 0, "32"), (241, "Total_LBAs_Written", 99, 99, 0, "61873341234")]
ATA = {"smartctl": {"exit_status": 0, "output": ["smartctl 7.4"]}, "smart_status": {"passed": True},
       "ata_smart_attributes": {"table": [{"id": i, "name": name, "value": v, "worst": w, "thresh": t, "when_failed": "", "flags": {"string": "-O--CK "},
                                           "raw": {"value": 0, "string": raw}} for i, name, v, w, t, raw in SMART]}}


def journal(n=60):
    what = ["sshd[812]: Accepted publickey for admin from 198.51.100.7 port 50214 ssh2", "holmd[611]: guest 100: started", "cron[702]: (root) CMD (test -x /usr/sbin/anacron)",
            "kernel[0]: vmbr0: port 2(tap100i0) entered forwarding state", "chronyd[655]: Selected source 203.0.113.5 (2.debian.pool.ntp.org)"]
    return "".join(f"Nov 21 10:{i // 60:02}:{i % 60:02} n1 {what[i * 7 % 5]}\n" for i in range(n))


class ServerHost(HostNode):
    """The host. `cards` are two network cards, of which the first has the address that the page may be reached under."""

    def __init__(self):
        super().__init__()
        os.makedirs(self.base + "/sbin")
        os.makedirs(self.base + "/sbin-real")
        self.binds.append(("/usr/sbin", self.base + "/sbin-real"))
        for name in os.listdir("/usr/sbin"):
            os.symlink(f"{self.base}/sbin-real/{name}", f"{self.base}/sbin/{name}")
        for name, told in (("pvs", json.dumps(PVS)), ("lvs", json.dumps(LVS)), ("zpool", ZPOOL), ("smartctl", json.dumps(ATA))):
            self.program(name, told, f"{self.base}/sbin/{name}")
        self.program("systemctl", UNITS, f"{self.base}/systemctl")
        write(self.base + "/journal", journal())
        subprocess.run(["gcc", "-x", "c", "-", "-o", self.base + "/journalctl", f"-DJOURNAL={json.dumps(self.base + '/journal')}"], input=JOURNALCTL, text=True, check=True)
        for folder in ("run/systemd/system", "run/log/journal", "run/udev/data"):
            os.makedirs(f"{self.base}/{folder}")
        write(self.base + "/run/udev/data/b259:0", "E:ID_PART_TABLE_TYPE=gpt\nE:ID_MODEL=KINGSTON SKC3000D2048G\nE:ID_FS_TYPE=zfs_member\n")
        write(self.base + "/run/udev/data/b254:1", "E:ID_FS_TYPE=vfat\n")
        self.tree("block", DISKS)
        self.tree("bus/pci/devices", PCI)
        self.tree("bus/usb/devices", USB)
        os.symlink("/sys/kernel/iommu_groups/7", self.base + "/bus/pci/devices/0000:01:00.0/iommu_group")
        os.mkdir(self.base + "/misc")
        write(self.base + "/misc/pci.ids", PCI_IDS)
        os.makedirs(self.etc + "/systemd/system", exist_ok=True)
        write(self.etc + "/systemd/system/mnt-pve-backup.mount", MOUNT)
        write(self.etc + "/resolv.conf", "search lab.example\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n")
        write(self.etc + "/hosts", "127.0.0.1 localhost\n192.0.2.10 n1.lab.example n1\n2001:db8::10 n1.lab.example n1\n")
        self.binds += [(self.base + "/sbin", "/usr/sbin"), (self.base + "/systemctl", "/usr/bin/systemctl"), (self.base + "/journalctl", "/usr/bin/journalctl"),
                       (self.base + "/run", "/run"), (self.base + "/block", "/sys/block"), (self.base + "/bus", "/sys/bus"), (self.base + "/misc", "/usr/share/misc")]

    @staticmethod
    def cards():
        for name, address in (("eth0", CARD_ADDRESS + "/24"), ("eth1", None)):
            netns.ip("link", "add", name, "type", "veth", "peer", "name", name + "p")
            netns.ip("link", "set", name, "up")
            if address:
                netns.ip("address", "add", address, "dev", name)


class ServerScene(Scene):
    """The scene with that host; the page is also reached under the address of its card."""

    def __init__(self):  # pylint: disable=super-init-not-called
        ServerHost.cards()
        self._open(ServerHost(), [CARD_ADDRESS])
        self.by_address = f"https://{CARD_ADDRESS}:{self.node.port}"
