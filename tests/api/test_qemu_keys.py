"""Keys of the configuration as the running QEMU, the host and the guest see them."""
import os
import re

from lib import efi, procs
from lib.console import Console
from lib.guests import DEMO, install_demo, volume_path, write_boot_sector
from lib.qmp import Qmp
from lib.tap import main, test
from lib.wait import wait_for


def start(node, vmid, timeout=30):
    return node.api.run("POST", node.vm(vmid, "/status/start"), timeout=timeout)


def qemu(node, vmid):
    """Pid of the guest's QEMU."""
    return node.api.get(node.vm(vmid, "/status/current"))["pid"]


def status_line(pid, name):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return re.search(rf"^{name}:\s*(.*)$", f.read(), re.M).group(1)


def option(node, vmid, name):
    """Values of an option on QEMU's command line."""
    words = procs.cmdline(qemu(node, vmid)).split(" ")
    return [words[i + 1] for i, w in enumerate(words[:-1]) if w == name]


def block(q, key):
    """The image of a key, below its throttle; whether writes are cached is the device's own."""
    for b in q.run("query-block"):
        if b["qdev"] == key or f"/{key}" in b["qdev"]:
            image = node_of(q, f"format-{key}")
            return {**image, "cache": {**image["cache"], "writeback": b["inserted"]["cache"]["writeback"]}}
    raise AssertionError(f"no drive {key}")


def node_of(q, name):
    return next(n for n in q.run("query-named-block-nodes") if n["node-name"].startswith(name))


def limits(q, key):
    group = q.get(f"/objects/throttle-{key}", "limits")
    return {k: v for k, v in group.items() if v and not k.endswith("-length")}


# The big guest: key, value, what is asked of QEMU, the answer.
LINUX = [
    ("sockets", 2, lambda q: len(q.run("query-hotpluggable-cpus")), 4),
    ("cores", 2, lambda q: max(c["props"]["core-id"] for c in q.run("query-cpus-fast")), 1),
    ("vcpus", 3, lambda q: len(q.run("query-cpus-fast")), 3),
    ("cpu", "qemu64,flags=+aes;-svm", lambda q: [q.get(q.run("query-cpus-fast")[0]["qom-path"], f) for f in ("aes", "svm")],
     [True, False]),
    ("memory", "current=320", lambda q: q.run("query-memory-size-summary")["base-memory"], 320 << 20),
    ("numa", 1, lambda q: [m["id"] for m in sorted(q.run("query-memdev"), key=lambda m: m["id"])], ["ram-node0", "ram-node1"]),
    ("numa0", "cpus=0-1,memory=192", lambda q: q.get("/objects/ram-node0", "size"), 192 << 20),
    ("numa1", "cpus=2-3,memory=128,hostnodes=0,policy=preferred",
     lambda q: [q.get("/objects/ram-node1", p) for p in ("policy", "host-nodes")], ["preferred", [0]]),
    ("allow-ksm", 0, lambda q: q.get("/machine", "mem-merge"), False),
    ("machine", "q35,enable-s3=0", lambda q: q.get("/machine", "type"), "pc-q35-7.2-machine"),
    ("scsihw", "virtio-scsi-single", lambda q: q.device("scsihw1", "type"), "virtio-scsi-pci"),
    ("scsi0", "local:0.125,cache=writethrough,discard=on,ssd=1,serial=SER1,wwn=0x5000c50000000001,iothread=1,queues=4,"
              "vendor=HOLM,product=Disk,rerror=stop,werror=ignore",
     lambda q: [q.device("scsi0", p) for p in ("serial", "wwn", "rotation_rate", "write-cache", "vendor", "product", "rerror",
                                               "werror")] + [q.device("scsihw0", "num_queues")],
     ["SER1", 0x5000c50000000001, 1, "off", "HOLM", "Disk", "stop", "ignore", 4]),
    ("scsi1", "local:0.125,ro=1", lambda q: block(q, "scsi1")["ro"], True),
    ("scsi2", "local:0.125,cache=unsafe", lambda q: block(q, "scsi2")["cache"],
     {"writeback": True, "direct": False, "no-flush": True}),
    ("virtio0", "local:0.125,cache=none,aio=native,iothread=1,detect_zeroes=0",
     lambda q: [block(q, "virtio0")[k] for k in ("detect_zeroes",)] + [block(q, "virtio0")["cache"]["direct"]], ["off", True]),
    ("virtio1", "local:0.125,mbps_rd=1.5,mbps_wr=2,mbps_wr_max=4,iops=300,iops_max=600", lambda q: limits(q, "virtio1"),
     {"bps-read": 1572864, "bps-write": 2 << 20, "bps-write-max": 4 << 20, "iops-total": 300, "iops-total-max": 600}),
    ("sata3", "local:0.125,discard=on,format=qcow2", lambda q: [node_of(q, "format-sata3")[k] for k in ("drv", "detect_zeroes")],
     ["qcow2", "unmap"]),
    ("ide1", "local:0.125,model=HolmDisk,backup=0,replicate=0", lambda q: q.device("ide1", "model"), "HolmDisk"),
    ("ide2", "none,media=cdrom", lambda q: q.device("ide2", "type"), "ide-cd"),
    ("boot", "order=virtio1;scsi1", lambda q: [q.device(k, "bootindex") for k in ("virtio1", "scsi1", "scsi0")], [1, 2, -1]),
    ("rng0", "source=/dev/urandom,max_bytes=1000,period=500", lambda q: [q.device("rng0", p) for p in ("max-bytes", "period")],
     [1000, 500]),
    ("watchdog", "model=i6300esb,action=pause", lambda q: q.device("watchdog0", "addr"), 0x1e << 3),
    ("audio0", "device=ich9-intel-hda,driver=none", lambda q: q.device("audio0-codec1", "audiodev"), "audio0"),
    ("smbios1", "uuid=11111111-2222-4333-8444-555555555555,product=SG9sbSAx,base64=1",
     lambda q: q.run("query-uuid")["UUID"], "11111111-2222-4333-8444-555555555555"),
    ("vmgenid", "AAAAAAAA-2222-4333-8444-555555555555", lambda q: q.run("query-vm-generation-id")["guid"],
     "aaaaaaaa-2222-4333-8444-555555555555"),
    ("tpmstate0", "local:1,version=v2.0", lambda q: q.run("query-tpm")[0]["model"], "tpm-tis"),
    ("ostype", "l26", lambda q: q.device("panic0", "type"), "pvpanic-pci"),
    ("acpi", 1, lambda q: q.get("/machine", "acpi"), "on"),
]
# Typed into that guest: a command, what it prints.
INSIDE = [
    ("grep -c ^processor /proc/cpuinfo", "3"),
    ("ls -d /sys/devices/system/node/node[0-9] | wc -l", "2"),
    ("cat /sys/class/dmi/id/product_name", "Holm 1"),
    ("head -c 4 /sys/firmware/acpi/tables/TPM2", "TPM2"),
    ("cat /sys/bus/pci/devices/0000:00:1e.0/device", "0x25ab"),
    ("cat /sys/bus/pci/devices/0000:00:1d.0/device", "0x293e"),
    ("for d in /sys/block/sd*; do grep -q HOLM $d/device/vendor && cat $d/queue/rotational $d/ro; done | xargs", "0 0"),
    ("cat /sys/block/sd*/ro | sort -n | xargs", "0 0 1"),
    ("grep -c ' aes ' /proc/cpuinfo", "3"),
]


def cgroup_v1(pid):
    """Folder of the process's own cgroup with the controller cpu; None where that is no hierarchy of its own."""
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as f:
        for line in f:
            _, names, path = line.strip().split(":", 2)
            if "cpu" in names.split(","):
                return f"/sys/fs/cgroup/{names}{path}"
    return None


def cgroup_v2(pid):
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as f:
        path = re.search(r"^0::(.*)$", f.read(), re.M).group(1)
    return next(top + path for top in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup") if os.path.exists(top + path))


def number(folder, name):
    with open(f"{folder}/{name}", encoding="ascii") as f:
        return f.read().strip()


def check_limits(node, vmid, upid):
    pid = qemu(node, vmid)
    v1 = cgroup_v1(pid)
    if v1:
        assert number(v1, "cpu.cfs_quota_us") == "150000" and number(v1, "cpu.shares") == "2048", v1
    elif os.path.exists(cgroup_v2(pid) + "/cpu.max"):
        v2 = cgroup_v2(pid)
        assert number(v2, "cpu.max") == "150000 100000" and number(v2, "cpu.weight") == "2048", v2
    else:
        log = "\n".join(line["t"] for line in node.api.task_log(upid))
        assert "cpulimit and cpuunits are not in force" in log, log


def check_tpm(node, vmid, value):
    """Its process is the guest's own user, shut in, and goes with the guest; the state stays."""
    pids = [p for p in procs.of_root(node.root) if procs.name(p) == "swtpm"]
    assert len(pids) == 1, pids
    uid = status_line(qemu(node, vmid), "Uid")
    assert status_line(pids[0], "Uid") == uid and uid.split()[0] != "0", uid
    assert status_line(pids[0], "Seccomp") == "2" and status_line(pids[0], "NoNewPrivs") == "1"
    path = volume_path(node, value)
    assert os.stat(path).st_uid == int(uid.split()[0])
    return pids[0], path


def key_config(rows):
    return {key: value for key, value, *_ in rows}


@test(limit=240)
def a_linux_guest_with_everything(node):
    install_demo(node)
    config = key_config(LINUX)
    vmgenid = config.pop("vmgenid")  # root's
    node.create(700, **{**DEMO, **config, "cpulimit": 1.5, "cpuunits": 2048, "net0": "virtio"})
    node.cli("api", "PUT", f"/nodes/{node.name}/qemu/700/config", "-d", "affinity=1", "-d", f"vmgenid={vmgenid}")
    with Qmp(node, 700) as q:
        upid = start(node, 700, 60)
        wrong = []
        for key, value, ask, expected in LINUX:
            try:
                answer = ask(q)
            except (AssertionError, KeyError, StopIteration) as e:
                answer = repr(e)
            if answer != expected:
                wrong.append(f"{key}={value}: {answer!r}, expected {expected!r}")
        assert not wrong, "\n".join(wrong)
    tpm, state = check_tpm(node, 700, node.api.get(node.vm(700, "/config"))["tpmstate0"])
    assert status_line(qemu(node, 700), "Cpus_allowed_list") == "1"
    check_limits(node, 700, upid)
    assert node.api.get(node.vm(700, "/status/current"))["maxmem"] == 320 << 20
    with Console(node.api, node.vm(700)) as c:
        c.expect("login:", 120)
        c.type("root\n")
        c.expect("# ", 30)
        c.type("dmesg -n 1\n")  # a message of the kernel's would look like a part of an answer
        c.expect("# ", 30)
        for command, expected in INSIDE:
            c.type(f"echo \"is=$({command})=$((40+2))\"\n")
            answer = c.expect("=42\r\n", 30).rpartition("is=")[2].removesuffix("=42\r\n").strip()
            assert answer == expected, (command, answer)
    node.api.run("POST", node.vm(700, "/status/stop"))
    wait_for(lambda: not procs.is_alive(tpm), 10, "swtpm to end")
    assert os.stat(state).st_uid == 0 and os.path.getsize(state) == 4 << 20
    with open(state, "rb") as f:
        assert f.read(8) == b"nilmptws", "not a state of swtpm"
    node.remove(700)
    assert not any("vm-700" in i for i in node.images()), node.images()


# A guest without an operating system, on the other machine: SeaBIOS boots its disk.
WINDOWS = [
    ("machine", "pc-i440fx-6.2", lambda q: q.get("/machine", "type"), "pc-i440fx-6.2-machine"),
    ("ostype", "win10", lambda q: q.get("/machine", "hpet"), False),
    ("localtime", 1, None, None),
    ("scsihw", "pvscsi", lambda q: q.device("scsihw0", "type"), "pvscsi"),
    ("scsi0", "local:0.0625,format=raw", lambda q: q.device("scsi0", "type"), "scsi-hd"),
    ("ide0", "local:0.0625,cache=directsync", lambda q: block(q, "ide0")["cache"],
     {"writeback": False, "direct": True, "no-flush": False}),
    ("sata0", "local:0.0625,format=raw,aio=threads", lambda q: q.device("sata0", "type"), "ide-hd"),
    ("bootdisk", "sata0", lambda q: q.device("sata0", "bootindex"), 1),
    ("boot", "cn", lambda q: q.device("net0", "bootindex"), 2),
    ("audio0", "device=AC97,driver=none", lambda q: q.device("audio0-device", "audiodev"), "audio0"),
    ("watchdog", "ib700,action=poweroff", lambda q: q.device("watchdog0", "type"), "ib700"),
    ("net0", "e1000", lambda q: q.device("net0", "type"), "e1000"),
    ("balloon", 0, lambda q: [d["name"] for d in q.run("qom-list", path="/machine/peripheral") if d["name"] == "balloon0"], []),
    ("tdf", 1, None, None),
    ("kvm", 0, lambda q: q.run("query-kvm")["enabled"], False),
    ("reboot", 0, None, None),
    ("acpi", 0, lambda q: q.get("/machine", "acpi"), "off"),
    ("serial0", "socket", lambda q: [c["label"] for c in q.run("query-chardev") if c["label"] == "serial0"], ["serial0"]),
    ("memory", 64, lambda q: q.run("query-memory-size-summary")["base-memory"], 64 << 20),
]


@test(limit=90)
def a_disk_boots_by_seabios_with_an_old_boot_order(node):
    node.create(701, **key_config(WINDOWS))
    write_boot_sector(node, node.api.get(node.vm(701, "/config"))["sata0"])
    with Qmp(node, 701) as q:
        start(node, 701)
        for key, value, ask, expected in WINDOWS:
            answer = ask(q) if ask else None
            assert answer == expected, (key, value, answer)
    rtc, = option(node, 701, "-rtc")
    assert rtc == "base=localtime,driftfix=slew", rtc
    with Console(node.api, node.vm(701)) as c:
        c.expect("disk guest is up", 60)
    node.remove(701)


@test(limit=200)
def a_disk_boots_by_ovmf(node):
    """With variables of its own, which the firmware keeps there."""
    node.create(702, bios="ovmf", efidisk0="local:1,efitype=4m", memory=128, serial0="socket", vga="none",
                virtio0="local:0.0625,format=raw", boot="order=virtio0")
    config = node.api.get(node.vm(702, "/config"))
    assert re.fullmatch(r"local:702/vm-702-disk-\d\.raw,efitype=4m,size=528K", config["efidisk0"]), config["efidisk0"]
    variables = volume_path(node, config["efidisk0"])
    with open("/usr/share/OVMF/OVMF_VARS_4M.fd", "rb") as f:
        template = f.read()
    with open(variables, "rb") as f:
        assert f.read() == template
    with open(volume_path(node, config["virtio0"]), "r+b") as f:
        f.write(efi.image())
    with Qmp(node, 702) as q:
        start(node, 702)
        assert node_of(q, "efi-vars")["ro"] is False and node_of(q, "efi-code")["ro"] is True
        assert q.get("/machine", "smm") == "on"
    with Console(node.api, node.vm(702)) as c:
        c.expect("EFI guest is up", 150)
    node.api.run("POST", node.vm(702, "/status/stop"))
    with open(variables, "rb") as f:
        kept = f.read()
    assert len(kept) == len(template) and kept != template, "the firmware's variables were not kept"
    node.remove(702)


@test(limit=150)
def enrolled_keys_refuse_an_unsigned_program(node):
    node.create(710, bios="ovmf", efidisk0="local:1,efitype=4m,pre-enrolled-keys=1", memory=128, serial0="socket", vga="none",
                virtio0="local:0.0625,format=raw", boot="order=virtio0")
    with open(volume_path(node, node.api.get(node.vm(710, "/config"))["virtio0"]), "r+b") as f:
        f.write(efi.image())
    start(node, 710)
    with Console(node.api, node.vm(710)) as c:
        seen = c.expect("Access Denied", 120)
        assert "EFI guest is up" not in seen, seen
    node.remove(710)


@test(limit=60)
def the_tpm_goes_with_the_monitor(node):
    """swtpm's own end is told and leaves the guest alone; a killed monitor takes it along."""
    node.create(711, memory=64, tpmstate0="local:1,version=v1.2")
    value = node.api.get(node.vm(711, "/config"))["tpmstate0"]
    start(node, 711)
    pid, path = check_tpm(node, 711, value)
    procs.kill(pid)
    wait_for(lambda: "guest 711: helper-exited: /usr/bin/swtpm" in node.log(), 10, "the end of swtpm in the log")
    assert node.guest_state(711) == "running"
    node.api.run("POST", node.vm(711, "/status/stop"))
    start(node, 711)
    pid, path = check_tpm(node, 711, value)
    procs.kill(node.processes("holm-guest")[0])
    wait_for(lambda: not procs.is_alive(pid), 10, "swtpm to end")
    wait_for(lambda: node.guest_state(711) == "stopped", 20, "the guest to be stopped")
    wait_for(lambda: os.stat(path).st_uid == 0, 10, "the state to be root's again")
    node.remove(711)


@test(limit=120)
def ovmf_without_a_disk_of_its_own(node):
    node.create(703, bios="ovmf", machine="pc", memory=128, serial0="socket", vga="none", scsihw="virtio-scsi-pci",
                scsi0="local:0.0625,format=raw", boot="order=scsi0")
    with open(volume_path(node, node.api.get(node.vm(703, "/config"))["scsi0"]), "r+b") as f:
        f.write(efi.image())
    start(node, 703)
    with Console(node.api, node.vm(703)) as c:
        c.expect("EFI guest is up", 100)
    node.remove(703)


@test
def efidisk_and_tpmstate_volumes(node):
    node.create(704, efidisk0="local:0,efitype=4m,pre-enrolled-keys=1", tpmstate0="local:7,version=v1.2")
    config = node.api.get(node.vm(704, "/config"))
    assert config["efidisk0"].endswith(",efitype=4m,pre-enrolled-keys=1,size=528K"), config
    assert config["tpmstate0"].endswith(",version=v1.2,size=4M"), config
    with open("/usr/share/OVMF/OVMF_VARS_4M.ms.fd", "rb") as f, open(volume_path(node, config["efidisk0"]), "rb") as g:
        assert f.read() == g.read()
    node.api.put(node.vm(704, "/config"), delete="efidisk0")
    assert node.api.get(node.vm(704, "/config"))["unused0"] == config["efidisk0"].split(",")[0]
    node.api.put(node.vm(704, "/config"), efidisk0="local:1")
    assert node.api.get(node.vm(704, "/config"))["efidisk0"].endswith(",size=128K")
    for key, value, text in (("efidisk0", "local:iso/x.iso", "not an image"), ("tpmstate0", "local:boot/x", "not an image"),
                             ("efidisk0", "local:1,ms-cert=2023", "ms-cert")):
        node.api.refused("PUT", node.vm(704, "/config"), {key: value}, text=text)
    node.remove(704)
    assert not any("vm-704" in i for i in node.images()), node.images()


@test
def a_disk_is_no_tpm_state(node):
    """What is bigger than a state is left alone."""
    node.create(705, memory=64, scsi0="local:0.125,format=raw")
    volume = node.api.get(node.vm(705, "/config"))["scsi0"].split(",")[0]
    node.api.put(node.vm(705, "/config"), delete="scsi0", tpmstate0=volume)
    state = node.api.outcome("POST", node.vm(705, "/status/start"))
    assert "bigger than the state of a TPM" in str(state), state
    path = volume_path(node, volume)
    assert os.stat(path).st_uid == 0 and os.path.getsize(path) > 100 << 20
    node.remove(705)


REFUSED = [
    ("affinity", "0-", "list of CPUs"), ("affinity", "3-1", "list of CPUs"), ("affinity", "a", "list of CPUs"),
    ("hotplug", "disk,disk", "hotplug"), ("hotplug", "2", "hotplug"), ("hotplug", "disk,gpu", "hotplug"),
    ("startup", "order=", "startup"), ("startup", "up=1,up=2", "startup"), ("startup", "order=1,left=2", "startup"),
    ("watchdog", "model=cat", "watchdog"), ("audio0", "device=AC97", "spice"), ("arch", "aarch64", "arch"),
    ("machine", "pc,viommu=intel", "viommu"), ("numa0", "cpus=0-9,memory=512", "range"), ("cpulimit", 129, "128"),
    ("cpuunits", 0, "1"), ("hugepages", "4", "hugepages"), ("hugepages", "1024", "page size"), ("balloon", -1, "0"),
    ("efidisk0", "local:1,efitype=3m", "efitype"), ("tpmstate0", "local:1,version=2", "version"), ("args", "-x 'y", "quote"),
    ("scsi0", "local:1,queues=4", "queues"), ("rng0", "source=/dev/hwrng", "hwrng"), ("cpu", "host,flags=aes", "flag"),
    ("hostpci0", "00:02.0", "not supported"), ("virtiofs0", "x", ""), ("smbios1", "product=!!,base64=1", "base64"),
]
ACCEPTED = [("hotplug", "disk,network,usb,cpu,cloudinit"), ("hotplug", "0"), ("hotplug", "1"), ("startup", "5"),
            ("startup", "order=1,up=10,down=20"), ("affinity", "0-3,7"), ("shares", 2000), ("keephugepages", 1), ("arch", "x86_64")]


@test(limit=60)
def what_is_not_done_is_refused(node):
    node.create(706, memory=512, numa=1)
    for key, value, text in REFUSED:
        done = node.cli("api", "PUT", f"/nodes/{node.name}/qemu/706/config", "-d", f"{key}={value}", is_checked=False)
        assert done.returncode != 0 and text in done.stderr + done.stdout, (key, value, done.stderr)
    for key, value in ACCEPTED:
        node.cli("api", "PUT", f"/nodes/{node.name}/qemu/706/config", "-d", f"{key}={value}")
        assert str(node.api.get(node.vm(706, "/config"))[key]) == str(value)
    node.remove(706)


@test
def only_root_gives_arguments(node):
    node.create(707)
    for key, value in (("args", "-S"), ("affinity", "0"), ("hugepages", "2"), ("arch", "x86_64")):
        node.api.refused("PUT", node.vm(707, "/config"), {key: value}, 403)
    node.remove(707)


@test
def huge_pages_that_are_not_there(node):
    node.create(708, memory=1 << 20)
    node.cli("api", "PUT", f"/nodes/{node.name}/qemu/708/config", "-d", "hugepages=2")
    state = node.api.outcome("POST", node.vm(708, "/status/start"))
    assert "524288 pages of 2 MiB are needed" in str(state), state
    node.remove(708)


@test
def a_cpu_that_is_not_there(node):
    node.create(709, memory=64, cpulimit=1)
    node.cli("api", "PUT", f"/nodes/{node.name}/qemu/709/config", "-d", "affinity=900")
    state = node.api.outcome("POST", node.vm(709, "/status/start"))
    assert "Invalid argument" in str(state), state
    assert node.guest_state(709) == "stopped" and node.orphans() == "", node.orphans()
    node.remove(709)


if __name__ == "__main__":
    main()
