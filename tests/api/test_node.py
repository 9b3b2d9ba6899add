"""Routes of a node and of the cluster about the host and the settings. Those that change files of the host run in a
holmd whose /etc and /var/log are copies in a private mount namespace."""
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import time

from lib.host import HostNode, read, write
from lib.tap import main, test

# Files of the machine that no test may change.
HOST_FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/timezone")


class _Shared:
    node = None
    files = {}


def host():
    if not _Shared.node:
        _Shared.files = {p: read(p) for p in HOST_FILES if os.path.exists(p)}
        _Shared.node = HostNode().start()
    return _Shared.node


SYSTEMCTL = """Id=ssh.service
Description=OpenBSD Secure Shell server
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled

Id=chrony.service
Description=chrony.service
LoadState=not-found
ActiveState=inactive
SubState=dead
UnitFileState=
"""
JOURNAL = "Nov 21 10:00:00 n1 a[1]: one\nNov 21 10:00:01 n1 a[1]: two\n"
DISKS = {
    "sda/size": "2097152", "sda/dev": "8:0", "sda/device/vendor": "ATA     ", "sda/device/model": "Spinning Disk",
    "sda/device/serial": "S1", "sda/queue/rotational": "1", "sda/holders/": "",
    "sda/sda1/partition": "1", "sda/sda1/size": "2048", "sda/sda1/dev": "8:1", "sda/sda1/holders/": "",
    "sda/sda2/partition": "2", "sda/sda2/size": "4096", "sda/sda2/dev": "8:2",
    "sda/sda2/holders/dm-0/dm/uuid": "LVM-abcdef",
    "nvme0n1/size": "4194304", "nvme0n1/dev": "259:0", "nvme0n1/wwid": "eui.0001", "nvme0n1/queue/rotational": "0",
    "nvme0n1/holders/": "", "sdb/size": "0", "sdb/dev": "8:16", "loop0/size": "100", "loop0/dev": "7:0",
}
PCI = {
    "0000:00:1f.0/class": "0x060100", "0000:00:1f.0/vendor": "0x8086", "0000:00:1f.0/device": "0x2918",
    "0000:01:00.0/class": "0x030000", "0000:01:00.0/vendor": "0x10de", "0000:01:00.0/device": "0x1db6",
    "0000:01:00.0/subsystem_vendor": "0x10de", "0000:01:00.0/subsystem_device": "0x124a",
    "0000:01:00.0/mdev_supported_types/": "",
}
PCI_IDS = """# a comment
10de  NVIDIA Corporation
\t1db6  GV100GL [Tesla V100]
\t\t10de 124a  Tesla V100
8086  Intel Corporation
C 03  Display controller
"""


class OtherHost(HostNode):
    """A host with systemd, a journal, and other hardware."""

    def __init__(self):
        super().__init__()
        for name, text in (("systemctl", SYSTEMCTL), ("journalctl", JOURNAL)):
            self.program(name, text, f"{self.base}/{name}")
            self.binds.append((f"{self.base}/{name}", f"/usr/bin/{name}"))
        for folder in ("run/systemd/system", "run/log/journal", "run/udev/data"):
            os.makedirs(f"{self.base}/{folder}")
        write(self.base + "/run/udev/data/b259:0", "E:ID_PART_TABLE_TYPE=gpt\nE:ID_MODEL=Fast\nE:ID_FS_TYPE=\n")
        write(self.base + "/run/udev/data/b8:1", "E:ID_FS_TYPE=ext4\n")
        self.tree("block", DISKS)
        self.tree("pci", PCI)
        os.symlink("/sys/kernel/iommu_groups/7", self.base + "/pci/0000:01:00.0/iommu_group")
        os.mkdir(self.base + "/misc")
        write(self.base + "/misc/pci.ids", PCI_IDS)
        self.binds += [(self.base + "/run", "/run"), (self.base + "/block", "/sys/block"),
                       (self.base + "/pci", "/sys/bus/pci/devices"), (self.base + "/misc", "/usr/share/misc")]


@test
def another_host_is_shown_as_it_is():
    with OtherHost() as node:
        assert node.api.get("/nodes/{node}/services") == [
            {"service": "sshd", "name": "ssh", "desc": "OpenBSD Secure Shell server", "state": "running",
             "active-state": "active", "unit-state": "enabled"}]
        lines = node.api.call("GET", "/nodes/{node}/syslog", {"start": 1, "service": "ssh", "since": "2026-11-21 10:00"})
        assert lines.data == [{"n": 2, "t": "Nov 21 10:00:01 n1 a[1]: two"}] and lines.total == 2, lines.text
        assert "--unit=ssh --since=2026-11-21 10:00" in node.asked("journalctl"), node.asked("journalctl")
        rows = node.api.get("/nodes/{node}/journal", lastentries=5, since=1000, startcursor="s=abc;i=1")
        assert rows == ["Nov 21 10:00:00 n1 a[1]: one", "Nov 21 10:00:01 n1 a[1]: two", "s=abc;i=2"], rows
        assert "--after-cursor=s=abc;i=1 --since=@1000 --lines=5" in node.asked("journalctl"), node.asked("journalctl")
        disks = {r["devpath"]: r for r in node.api.get("/nodes/{node}/disks/list", {"include-partitions": 1})}
        assert set(disks) == {"/dev/sda", "/dev/sda1", "/dev/sda2", "/dev/nvme0n1"}, disks
        sda, fast = disks["/dev/sda"], disks["/dev/nvme0n1"]
        assert (sda["type"], sda["rpm"], sda["model"], sda["vendor"]) == ("hdd", -1, "Spinning Disk", "ATA"), sda
        assert sda["size"] == 1 << 30 and sda["serial"] == "S1" and sda["used"] == "partitions", sda
        assert (fast["type"], fast["rpm"], fast["model"], fast["wwn"], fast["gpt"]) == ("nvme", 0, "Fast", "eui.0001", 1), fast
        assert disks["/dev/sda1"]["used"] == "ext4" and disks["/dev/sda1"]["parent"] == "/dev/sda"
        assert disks["/dev/sda2"]["used"] == "LVM" and disks["/dev/sda2"]["type"] == "partition"
        assert [r["devpath"] for r in node.api.get("/nodes/{node}/disks/list", type="unused")] == ["/dev/nvme0n1"]
        card = node.api.get("/nodes/{node}/hardware/pci")
        assert card == [{"id": "0000:01:00.0", "class": "0x030000", "vendor": "0x10de", "device": "0x1db6",
                         "iommugroup": 7, "vendor_name": "NVIDIA Corporation", "device_name": "GV100GL [Tesla V100]",
                         "subsystem_vendor": "0x10de", "subsystem_device": "0x124a", "mdev": 1,
                         "subsystem_vendor_name": "NVIDIA Corporation", "subsystem_device_name": "Tesla V100"}], card


@test
def dns_is_shown_and_changed():
    node = host()
    assert node.api.get("/nodes/{node}/dns") == {"search": "old.example", "dns1": "192.0.2.1", "dns2": "192.0.2.2"}
    node.api.put("/nodes/{node}/dns", search="new.example", dns1="2001:db8::53")
    assert node.api.get("/nodes/{node}/dns") == {"search": "new.example", "dns1": "2001:db8::53"}
    text = read(node.etc + "/resolv.conf")
    assert text == "search new.example\nnameserver 2001:db8::53\n# kept\noptions rotate\n", text
    assert os.stat(node.etc + "/resolv.conf").st_mode & 0o777 == 0o644
    node.api.refused("PUT", "/nodes/{node}/dns", {"search": "x", "dns1": "here"}, 400, "valid IP address", "dns1")
    node.api.refused("PUT", "/nodes/{node}/dns", {"search": "a\nnameserver 6.6.6.6"}, 400, param="search")
    node.api.refused("PUT", "/nodes/{node}/dns", {"dns1": "192.0.2.9"}, 400, param="search")
    assert read(node.etc + "/resolv.conf") == text
    node.api.refused("GET", "/nodes/elsewhere/dns")


@test
def a_file_that_another_program_manages_is_left_alone():
    node = host()
    os.unlink(node.etc + "/resolv.conf")
    os.symlink("/run/somebody/resolv.conf", node.etc + "/resolv.conf")
    node.api.refused("PUT", "/nodes/{node}/dns", {"search": "x"}, 500, "another program manages it")
    assert os.readlink(node.etc + "/resolv.conf") == "/run/somebody/resolv.conf"
    assert node.api.get("/nodes/{node}/dns") == {}
    os.unlink(node.etc + "/resolv.conf")
    write(node.etc + "/resolv.conf", "")


@test
def time_zone_is_shown_and_changed():
    node = host()
    node.api.put("/nodes/{node}/time", timezone="Asia/Tokyo")
    data = node.api.get("/nodes/{node}/time")
    assert data["timezone"] == "Asia/Tokyo" and abs(data["time"] - time.time()) < 60, data
    assert data["localtime"] - data["time"] == 9 * 3600, data
    assert os.readlink(node.etc + "/localtime") == "/usr/share/zoneinfo/Asia/Tokyo"
    assert read(node.etc + "/timezone") == "Asia/Tokyo\n"
    node.api.put("/nodes/{node}/time", timezone="Etc/UTC")
    assert node.api.get("/nodes/{node}/time")["timezone"] == "Etc/UTC"
    for bad in ("Mars/Olympus", "../../../etc/passwd", "/etc/localtime", "zone.tab", "Asia", "a b", ""):
        node.api.refused("PUT", "/nodes/{node}/time", {"timezone": bad}, 400)
    assert os.readlink(node.etc + "/localtime") == "/usr/share/zoneinfo/Etc/UTC"
    node.api.refused("GET", "/nodes/elsewhere/time")


@test
def hosts_is_replaced_only_by_who_has_seen_it():
    node = host()
    seen = node.api.get("/nodes/{node}/hosts")
    assert seen["data"] == "127.0.0.1 localhost\n" and seen["digest"] == hashlib.sha256(seen["data"].encode()).hexdigest()
    new = "# ours\n127.0.0.1 localhost\n\nfe80::1%lo other\n2001:db8::1\tnode node.example # here\n"
    node.api.post("/nodes/{node}/hosts", data=new, digest=seen["digest"])
    assert read(node.etc + "/hosts") == new and node.api.get("/nodes/{node}/hosts")["data"] == new
    node.api.refused("POST", "/nodes/{node}/hosts", {"data": "127.0.0.1 x\n", "digest": seen["digest"]}, 500,
                     "file changed by other user")
    for bad in ("localhost 127.0.0.1\n", "127.0.0.1\n", "127.0.0.256 x\n"):
        node.api.refused("POST", "/nodes/{node}/hosts", {"data": bad}, 400, "line 1", "data")
    assert read(node.etc + "/hosts") == new
    node.api.post("/nodes/{node}/hosts", data="127.0.0.1 localhost\n")
    node.restricted("hosts@pve").refused("GET", "/nodes/{node}/hosts", status=403)


SYSLOG = """2026-11-20T10:00:00.000000+00:00 n1 sshd[12]: first
2026-11-20T11:00:00.000000+00:00 n1 kernel: second
2026-11-21T10:00:00.000000+00:00 n1 sshd[13]: third
2026-11-21T10:00:01.000000+00:00 n1 sshdx: fourth
"""


def texts(rows):
    return [r["t"].split(": ")[1] for r in rows]


@test
def syslog_is_paged_and_filtered():
    node = host()
    if glob.glob("/run/log/journal"):
        print("this host keeps a journal in memory: only the shape is checked")
        assert isinstance(node.api.get("/nodes/{node}/syslog", limit=3), list)
        return
    assert node.api.get("/nodes/{node}/syslog") == []
    write(node.log_folder + "/syslog", SYSLOG)
    reply = node.api.call("GET", "/nodes/{node}/syslog")
    assert reply.total == 4 and texts(reply.data) == ["first", "second", "third", "fourth"], reply.text
    assert [r["n"] for r in reply.data] == [1, 2, 3, 4]
    page = node.api.call("GET", "/nodes/{node}/syslog", {"start": 1, "limit": 2})
    assert texts(page.data) == ["second", "third"] and page.total == 4 and page.data[0]["n"] == 2, page.text
    assert texts(node.api.get("/nodes/{node}/syslog", service="sshd")) == ["first", "third"]
    assert texts(node.api.get("/nodes/{node}/syslog", since="2026-11-21")) == ["third", "fourth"]
    assert texts(node.api.get("/nodes/{node}/syslog", until="2026-11-20 10:30")) == ["first"]
    assert node.api.get("/nodes/{node}/journal") == []
    with open(node.log_folder + "/syslog", "a", encoding="utf-8") as f:
        f.write("2026-11-21T10:00:02.000000+00:00 n1 long: " + "x" * 100000 + "\nlast line without its end")
    last = node.api.get("/nodes/{node}/syslog", start=4, limit=0)
    assert 1000 < len(last[0]["t"]) < 5000 and last[1]["t"].startswith("last line"), [len(r["t"]) for r in last]


@test
def syslog_refuses(node):
    for bad in ("--root=/", "*", "a b"):
        node.api.refused("GET", "/nodes/{node}/syslog", {"service": bad}, 400, param="service")
    node.api.refused("GET", "/nodes/{node}/syslog", {"since": "yesterday"}, 400, param="since")
    node.api.refused("GET", "/nodes/{node}/syslog", {"until": "2026-99-99"}, 400, param="until")
    node.api.refused("GET", "/nodes/{node}/journal", {"startcursor": "-x"}, 400, param="startcursor")
    node.api.refused("GET", "/nodes/{node}/journal", {"endcursor": "s=1"}, 400, param="endcursor")
    node.restricted("log@pve", **{"/": "PVEVMAdmin"}).refused("GET", "/nodes/{node}/syslog", status=403)


@test
def indexes(node):
    known = {r["name"] for r in node.api.get("/nodes/{node}")}
    for name in known - {"startall", "stopall", "suspendall"}:
        assert node.api.call("GET", f"/nodes/{{node}}/{name}", {"timeframe": "hour"} if name == "rrddata" else {}).status == 200, name
    assert node.api.get("/nodes/{node}/hardware") == [{"type": "pci"}, {"type": "usb"}]
    assert "list" in {r["name"] for r in node.api.get("/nodes/{node}/disks")}
    assert node.api.get("/nodes/{node}/capabilities") == [{"name": "qemu"}]
    assert {r["name"] for r in node.api.get("/nodes/{node}/capabilities/qemu")} == {"cpu", "cpu-flags", "machines"}
    assert "options" in {r["name"] for r in node.api.get("/cluster")}
    for path in ("hardware", "disks", "capabilities", "capabilities/qemu", "netstat", "subscription", "services", "report"):
        node.api.refused("GET", f"/nodes/elsewhere/{path}")


@test
def what_cannot_exist_here_is_empty(node):
    assert node.api.get("/nodes/{node}/netstat") == []
    assert node.api.get("/nodes/{node}/subscription")["status"] == "notfound"
    services = node.api.get("/nodes/{node}/services")
    assert bool(services) == os.path.exists("/run/systemd/system"), services


@test
def pci_devices_are_those_of_the_kernel(node):
    known = {os.path.basename(p) for p in glob.glob("/sys/bus/pci/devices/*")}
    rows = {r["id"]: r for r in node.api.get("/nodes/{node}/hardware/pci", {"pci-class-blacklist": ""})}
    assert set(rows) == known, rows
    for name, row in rows.items():
        for key in ("class", "vendor", "device"):
            assert row[key] == read(f"/sys/bus/pci/devices/{name}/{key}").strip(), row
        group = f"/sys/bus/pci/devices/{name}/iommu_group"
        assert row["iommugroup"] == (int(os.path.basename(os.readlink(group))) if os.path.islink(group) else -1), row
    bridges = {r["id"] for r in rows.values() if r["class"].startswith("0x06")}
    usual = {r["id"] for r in node.api.get("/nodes/{node}/hardware/pci")}
    assert not usual & bridges and usual <= known
    assert node.api.get("/nodes/{node}/hardware/pci", {"pci-class-blacklist": "0;1;2;3;4;5;6;7;8;9;a;b;c;d;e;f"}) == []
    assert all(set(r) == {"id", "class", "vendor", "device", "iommugroup"} for r in node.api.get("/nodes/{node}/hardware/pci", verbose=0))
    node.restricted("pci@pve").refused("GET", "/nodes/{node}/hardware/pci", status=403)


@test
def disks_are_those_of_the_kernel(node):
    rows = {r["devpath"]: r for r in node.api.get("/nodes/{node}/disks/list", {"include-partitions": 1})}
    whole = [r for r in rows.values() if "parent" not in r]
    assert not any(re.match(r"/dev/(loop|ram|zram|dm-|md|sr)", p) for p in rows), rows
    for row in rows.values():
        name = os.path.basename(row["devpath"])
        folder = f"/sys/block/{os.path.basename(row['parent'])}/{name}" if "parent" in row else f"/sys/block/{name}"
        assert row["size"] == int(read(folder + "/size")) * 512 > 0, row
        number = read(folder + "/dev").strip()
        assert bool(row["mounted"]) == any(line.split()[2] == number for line in read("/proc/self/mountinfo").splitlines()), row
        assert row["mounted"] == 0 or row["used"] == "mounted", row
    disks = [os.path.basename(p) for p in glob.glob("/sys/block/*") if re.match(r"(sd|vd|xvd|hd|nvme)", os.path.basename(p))]
    assert {os.path.basename(r["devpath"]) for r in whole} == {d for d in disks if int(read(f"/sys/block/{d}/size"))}
    assert node.api.get("/nodes/{node}/disks/list", type="unused") == [r for r in whole if not r.get("used")]
    node.api.refused("GET", "/nodes/{node}/disks/list", {"type": "floppy"}, 400, param="type")
    node.restricted("disks@pve").refused("GET", "/nodes/{node}/disks/list", status=403)


@test(limit=60)
def capabilities_are_those_of_the_installed_qemu(node):
    machines = node.api.get("/nodes/{node}/capabilities/qemu/machines")
    assert {m["type"] for m in machines} == {"q35", "i440fx"}, machines
    assert all(m["id"] == f"pc-{m['type']}-{m['version']}" for m in machines)
    node.create(700)
    made = node.api.get(node.vm(700, "/config")).get("machine")
    assert not made or made in [m["id"] for m in machines], made
    node.remove(700)
    cpus = {c["name"]: c for c in node.api.get("/nodes/{node}/capabilities/qemu/cpu")}
    assert cpus["EPYC-Rome"]["vendor"] == "AuthenticAMD" and cpus["Skylake-Server"]["vendor"] == "GenuineIntel", cpus
    assert cpus["max"]["custom"] == 0 and "base" not in cpus
    flags = {f["name"]: f for f in node.api.get("/nodes/{node}/capabilities/qemu/cpu-flags", accel="tcg")}
    assert flags["sse2"]["supported-on"] == [node.name] and flags["vmx"]["supported-on"] == [], flags["vmx"]
    assert not {"migratable", "realized", "kvm"} & set(flags)
    if not os.path.exists("/dev/kvm") or not re.search(r"^flags.* (vmx|svm)\b", read("/proc/cpuinfo"), re.M):
        assert all(f["supported-on"] == [] for f in node.api.get("/nodes/{node}/capabilities/qemu/cpu-flags"))
    for kind in ("machines", "cpu", "cpu-flags"):
        assert node.api.get(f"/nodes/{{node}}/capabilities/qemu/{kind}", arch="aarch64") == []
        node.api.refused("GET", f"/nodes/{{node}}/capabilities/qemu/{kind}", {"arch": "pdp11"}, 400, param="arch")
    kept = node.path("var/qemu-capabilities")
    assert os.path.exists(kept)
    node.restart()
    before = os.stat(kept).st_mtime_ns
    assert node.api.get("/nodes/{node}/capabilities/qemu/machines") == machines and os.stat(kept).st_mtime_ns == before
    write(kept, "{")  # damaged: asked again
    node.restart()
    assert node.api.get("/nodes/{node}/capabilities/qemu/machines") == machines and len(read(kept)) > 1000


@test
def report_says_what_helps_and_no_more(node):
    node.create(701, name="reported", description="private notes")
    text = node.api.get("/nodes/{node}/report")
    for word in ("==== node ====", "==== guests ====", "701: reported", "local: dir", "/proc/meminfo", "MemTotal"):
        assert word in text, word
    assert "private notes" not in text and "Administrator" not in text
    auditor = node.restricted("report@pve", **{"/nodes/" + node.name: "PVEAuditor"})
    assert "701: reported" not in auditor.get("/nodes/{node}/report")
    node.remove(701)
    node.restricted("report2@pve").refused("GET", "/nodes/{node}/report", status=403)


@test
def settings_of_a_node(node):
    digest = node.api.get("/nodes/{node}/config")["digest"]
    node.api.put("/nodes/{node}/config", {"description": "über\nall", "startall-onboot-delay": 7, "digest": digest})
    data = node.api.get("/nodes/{node}/config")
    assert data["description"] == "über\nall" and data["startall-onboot-delay"] == 7 and data["digest"] != digest, data
    assert set(node.api.get("/nodes/{node}/config", property="description")) == {"description", "digest"}
    node.api.refused("PUT", "/nodes/{node}/config", {"description": "x", "digest": digest}, 500, "changed by other user")
    for refused, value in (("wakeonlan", "02:00:00:00:00:01"), ("acme", "account=default"), ("acmedomain0", "a.example"),
                           ("ballooning-target", 50)):
        node.api.refused("PUT", "/nodes/{node}/config", {refused: value}, 400, "no effect here", refused)
    node.api.refused("PUT", "/nodes/{node}/config", {"delete": "wakeonlan"}, 400, param="delete")
    node.restart()
    assert node.api.get("/nodes/{node}/config")["description"] == "über\nall"
    node.api.put("/nodes/{node}/config", {"delete": "description,startall-onboot-delay"})
    assert set(node.api.get("/nodes/{node}/config")) == {"digest"}
    node.restricted("nc@pve").refused("GET", "/nodes/{node}/config", status=403)


@test
def options_of_the_cluster(node):
    node.api.put("/cluster/options", {"keyboard": "de", "language": "fr", "description": "d", "console": "html5",
                                      "registered-tags": "Prod;test", "tag-style": "shape=full,color-map=a:00ff00",
                                      "max_workers": 3, "location": "latitude=48,longitude=16"})
    data = node.api.get("/cluster/options")
    assert data["keyboard"] == "de" and data["registered-tags"] == ["Prod", "test"] and data["max_workers"] == 3, data
    assert data["tag-style"] == {"shape": "full", "color-map": "a:00ff00"}, data
    everybody = node.restricted("opt@pve")
    assert set(everybody.get("/cluster/options")) == {"console", "registered-tags", "tag-style"}
    everybody.refused("PUT", "/cluster/options", {"keyboard": "fr"}, 403)
    for refused, value in (("migration", "secure"), ("ha", "shutdown_policy=freeze"), ("mac_prefix", "02:00:00"),
                           ("http_proxy", "http://x"), ("email_from", "a@b.example"), ("fencing", "watchdog"),
                           ("user-tag-access", "user-allow=none"), ("bwlimit", "default=1")):
        node.api.refused("PUT", "/cluster/options", {refused: value, "keyboard": "it"}, 400, "no effect here", refused)
    assert node.api.get("/cluster/options")["keyboard"] == "de"
    node.api.refused("PUT", "/cluster/options", {"keyboard": "klingon"}, 400, "enumeration", "keyboard")
    node.api.refused("PUT", "/cluster/options", {"registered-tags": "a b"}, 400, param="registered-tags")
    node.api.refused("PUT", "/cluster/options", {"keyboard": "fr", "delete": "keyboard"}, 400, param="delete")
    node.api.put("/cluster/options", {"delete": "keyboard,language,description,console,registered-tags,tag-style,max_workers,location"})
    assert node.api.get("/cluster/options") == {}
    node.nobody().refused("GET", "/cluster/options", status=401)


@test
def free_numbers_come_from_the_range(node):
    node.create(5000)
    node.api.put("/cluster/options", {"next-id": "lower=5000,upper=5002"})
    assert node.api.get("/cluster/options")["next-id"] == {"lower": 5000, "upper": 5002}
    assert node.api.get("/cluster/nextid") == "5001"
    node.create(5001)
    node.api.refused("GET", "/cluster/nextid", status=500, text="unable to get any free VMID in range [5000, 5002]")
    assert node.api.get("/cluster/nextid", vmid=900) == "900"
    for bad in ("lower=5000,upper=4000", "lower=9", "lower=x"):
        node.api.refused("PUT", "/cluster/options", {"next-id": bad}, 400, param="next-id")
    node.api.put("/cluster/options", {"delete": "next-id"})
    assert node.api.get("/cluster/nextid") == "100"
    node.remove(5000)
    node.remove(5001)


@test
def tasks_are_stopped_or_say_why_not(node):
    upid = node.create(702)
    assert node.api.delete(f"/nodes/{{node}}/tasks/{upid}") is None  # over long ago
    assert node.api.task_status(upid)["exitstatus"] == "OK"
    node.api.refused("DELETE", "/nodes/{node}/tasks/nonsense", status=400, param="upid")
    gone = upid.replace(":qmcreate:", ":qmclone:")
    node.api.refused("DELETE", f"/nodes/{{node}}/tasks/{gone}", status=400, text="no such task", param="upid")
    node.restricted("t@pve").refused("DELETE", f"/nodes/{{node}}/tasks/{upid}", status=403)
    node.remove(702)


@test
def command_line(node):
    assert isinstance(node.cli_json("node", "dns", "show"), dict)
    assert node.cli_json("node", "time", "show")["timezone"]
    assert "digest" in node.cli("node", "hosts", "show").stdout
    assert node.cli("node", "time", "set", "Nowhere/At_all", is_checked=False).returncode
    assert node.cli("node", "dns", "set", "--search", "a/b", is_checked=False).returncode
    assert node.cli("node", "hosts", "set", "-d", "data=nonsense", is_checked=False).returncode
    assert [m for m in node.cli_json("node", "machines") if m["type"] == "q35"]
    assert "EPYC-Rome" in node.cli("node", "cpus", "-o", "name").stdout
    assert "==== node ====" in node.cli("node", "report").stdout
    assert isinstance(node.cli_json("node", "disks"), list) and isinstance(node.cli_json("node", "pci"), list)
    assert isinstance(node.cli_json("node", "syslog"), list) and isinstance(node.cli_json("node", "services"), list)
    node.cli("cluster", "options", "set", "--keyboard", "de")
    assert node.cli_json("cluster", "options", "show")["keyboard"] == "de"
    node.cli("cluster", "options", "set", "--delete", "keyboard")
    node.cli("node", "config", "set", "--description", "by hand")
    assert node.cli_json("node", "config", "show")["description"] == "by hand"
    upid = node.cli("node", "startall", "--no-wait").stdout.strip()
    assert node.api.wait_task(upid) == "OK" and ":startall::" in upid, upid
    upid = node.cli("node", "stopall", "-y", "--no-wait").stdout.strip()
    assert node.api.wait_task(upid) == "OK" and ":stopall::" in upid, upid
    node.cli("task", "stop", upid, "-y")


@test
def nothing_of_the_machine_was_changed():
    node = host()
    node.close()
    assert {p: read(p) for p in _Shared.files} == _Shared.files


if __name__ == "__main__":
    try:
        main()
    finally:
        if _Shared.node and not _Shared.node.is_dead():
            _Shared.node.close(is_checked=False)
