"""proxmoxer through everything that an administrator's script does in a day: more than 120 different routes, on guests that
really boot, one of them with Debian's guest agent in it. Each answer is looked at, not only taken.

Nothing of the host is changed: networks are made and taken back unapplied, settings of the host are read.
"""
import os
import re
import time
from types import SimpleNamespace

import urllib3
from proxmoxer import ProxmoxAPI, ResourceException

from lib import facts, netns
from lib.console import Console
from lib.guests import DEMO, install_agent, write_boot_sector
from lib.holm import PASSWORD
from lib.proxy import Proxy
from lib.rfb import Viewer
from lib.tap import main, test
from lib.wait import wait_for

urllib3.disable_warnings()
AGENT, SCREEN = 100, 110
MAC = "BC:24:11:00:00:01"
ROUTES_AT_LEAST = 120
WRONG = "400 Bad Request: Parameter verification failed."  # this version of proxmoxer keeps no more than the reason
ISO = os.urandom(200_000)


class Day:
    """A session of proxmoxer behind the recording proxy."""

    def __init__(self, node, proxy):
        self.node, self.proxy = node, proxy
        self.api = self.login(user="admin@pve", password=PASSWORD)
        self.host = self.api.nodes(node.name)

    def login(self, **who):
        return ProxmoxAPI("127.0.0.1", port=self.proxy.port, verify_ssl=False, **who)

    def end(self, upid):
        """Waits as the Ansible modules do; the task's exit status."""
        def is_done():
            status = self.host.tasks(upid).status.get()
            return status["status"] == "stopped" and status
        return wait_for(is_done, 90, f"task {upid}", step=0.1)["exitstatus"]

    def done(self, upid, kind):
        assert upid.split(":")[5] == kind, upid
        end = self.end(upid)
        assert end == "OK", (upid, end, self.host.tasks(upid).log.get())
        return upid

    def terminal(self):
        """What lib.console and lib.rfb want of a client, answered by this session."""
        def post(path, params=None):
            return self.api(path.replace("{node}", self.node.name).lstrip("/")).post(**(params or {}))
        cookie = f"PVEAuthCookie={self.api.get_tokens()[0]}"
        return SimpleNamespace(base=f"https://{self.proxy.address}", node=self.node.name, post=post,
                               http=SimpleNamespace(headers={"Cookie": cookie}))

    def routes(self):
        """What was asked for and answered well."""
        return {(method, facts.template_of(path.removeprefix("/api2/json"))) for method, path, status in self.proxy.requests
                if status < 400}


def refused(call, status, text):
    try:
        answer = call()
    except ResourceException as e:
        assert e.status_code == status and text in str(e), e
        return
    raise AssertionError(f"not refused with {text!r}: {answer}")


@test(limit=420)
def a_day_of_proxmoxer(node):
    install_agent(node)
    with Proxy(node) as proxy:
        day = Day(node, proxy)
        booting = make_agent_guest(day)  # boots while the rest is looked at
        cluster_and_node(day)
        host_settings(day)
        networks(day)
        users_and_rights(day)
        pools(day)
        storages(day)
        configurations(day)
        screen(day)
        day.done(booting, "qmstart")
        agent(day)
        power(day)
        tasks(day)
        errors(day)
        delete(day)
        routes = day.routes()
        print(f"{len(proxy.requests)} calls, {len(routes)} different routes")
        assert None not in {template for _, template in routes}, routes
        assert len(routes) >= ROUTES_AT_LEAST, sorted(routes)


def make_agent_guest(day):
    assert int(day.api.cluster.nextid.get()) == AGENT
    day.done(day.host.qemu.create(vmid=AGENT, name="agent", agent="enabled=1", net0=f"virtio={MAC}", tags="debian;agent",
                                  description="with an agent\nin it", **DEMO), "qmcreate")
    refused(lambda: day.api.cluster.nextid.get(vmid=AGENT), 400, WRONG)
    assert day.api.cluster.nextid.get(vmid=54321) == "54321"
    return day.host.qemu(AGENT).status.start.post()


def cluster_and_node(day):
    api, host, name = day.api, day.host, day.node.name
    version = api.version.get()
    assert version["version"].startswith(version["release"]) and host.version.get()["release"] == version["release"]
    assert {"resources", "nextid", "options"} <= {r["name"] for r in api.cluster.get()}
    (row,) = api.nodes.get()
    assert row["node"] == name and row["status"] == "online" and row["maxcpu"] == os.cpu_count(), row
    assert {"qemu", "storage", "tasks"} <= {r["name"] for r in host.get()}
    (own,) = [r for r in api.cluster.status.get() if r["type"] == "node"]
    assert own["name"] == name and own["local"] == own["online"] == 1, own
    kinds = {r["type"] for r in api.cluster.resources.get()}
    assert {"node", "storage", "qemu"} <= kinds, kinds
    (vm,) = api.cluster.resources.get(type="vm")
    assert (vm["vmid"], vm["name"], vm["tags"], vm["template"]) == (AGENT, "agent", "debian;agent", 0), vm
    status = host.status.get()
    with open("/proc/meminfo", encoding="ascii") as f:
        assert status["memory"]["total"] == int(f.readline().split()[1]) * 1024
    assert status["cpuinfo"]["cpus"] == os.cpu_count() and status["kversion"].startswith("Linux "), status
    rows = host.rrddata.get(timeframe="hour", cf="AVERAGE")
    assert isinstance(rows, list) and all("time" in r for r in rows), rows[:2]
    models = {m["name"] for m in host.capabilities.qemu.cpu.get()}
    assert {"qemu64", "kvm64", "host"} & models, models
    machines = {m["id"] for m in host.capabilities.qemu.machines.get()}
    assert any(m.startswith("pc-q35") for m in machines), machines
    assert host.lxc.get() == []
    assert host.subscription.get()["status"] in ("notfound", "active")
    assert isinstance(api.cluster.log.get(max=20), list)
    assert f"UPID:{name}:" in api.cluster.tasks.get()[0]["upid"]


def host_settings(day):
    host = day.host
    clock = host.time.get()
    assert abs(clock["time"] - time.time()) < 60 and clock["timezone"], clock
    assert set(host.dns.get()) <= {"search", "dns1", "dns2", "dns3"}
    refused(lambda: host.dns.put(search="example.org", dns1="nowhere"), 400, WRONG)
    refused(lambda: host.time.put(timezone="Mars/Olympus"), 400, "No such timezone: 'Mars/Olympus'")
    hosts = host.hosts.get()
    with open("/etc/hosts", encoding="utf-8") as f:
        assert hosts["data"] == f.read() and re.fullmatch("[0-9a-f]{40,64}", hosts["digest"]), hosts
    assert day.node.name in host.report.get()
    assert isinstance(host.syslog.get(limit=5), list)
    assert isinstance(host.services.get(), list) and isinstance(host.netstat.get(), list)
    assert all(d["devpath"].startswith("/dev/") for d in host.disks.list.get())
    assert all(re.match("[0-9a-f]{4}:", d["id"]) for d in host.hardware.pci.get())
    assert isinstance(host.aplinfo.get(), list)
    refused(lambda: host.aplinfo.post(storage="local", template="debian-99-standard.tar.zst"), 400, WRONG)
    host.config.put(description="a small host")
    assert host.config.get()["description"] == "a small host"
    day.api.cluster.options.put(keyboard="de", description="one node")
    options = day.api.cluster.options.get()
    assert options["keyboard"] == "de" and options["description"] == "one node", options
    day.api.cluster.options.put(delete="keyboard,description")
    assert "keyboard" not in day.api.cluster.options.get()


def networks(day):
    net = day.host.network
    assert net.create(iface="vmbr7", type="bridge", cidr="10.7.0.1/24", autostart=1) is None
    assert [i for i in net.get(type="bridge") if i["iface"] == "vmbr7"][0]["pending"] == "new"
    assert net("vmbr7").get()["cidr"] == "10.7.0.1/24"
    net("vmbr7").put(type="bridge", cidr="10.7.0.2/24")
    assert net("vmbr7").get()["address"] == "10.7.0.2"
    net.delete()
    assert "vmbr7" not in [i["iface"] for i in net.get()]


def users_and_rights(day):
    access = day.api.access
    assert {"pam", "pve"} <= {d["realm"] for d in access.domains.get()}
    assert access.domains("pve").get()["type"] == "pve"
    access.roles.create(roleid="Operator", privs="VM.Audit,VM.PowerMgmt")
    access.roles("Operator").put(privs="VM.Console", append=1)
    assert access.roles("Operator").get() == {"VM.Audit": 1, "VM.PowerMgmt": 1, "VM.Console": 1}
    assert {"PVEVMUser", "Operator"} <= {r["roleid"] for r in access.roles.get()}
    access.groups.create(groupid="ops", comment="on call")
    access.groups("ops").put(comment="always on call")
    access.users.create(userid="eve@pve", password="her own words", groups="ops", firstname="Eve")
    access.users("eve@pve").put(comment="night", email="eve@example.org")
    user = access.users("eve@pve").get()
    assert user["groups"] == ["ops"] and user["comment"] == "night" and user["enable"] == 1, user
    (listed,) = [u for u in access.users.get(full=1) if u["userid"] == "eve@pve"]
    assert listed["groups"] == "ops" and listed["firstname"] == "Eve", listed
    group = access.groups("ops").get()
    assert group["members"] == ["eve@pve"] and group["comment"] == "always on call", group
    assert {"groupid": "ops", "comment": "always on call", "users": "eve@pve"} in access.groups.get()
    access.acl.put(path=f"/vms/{AGENT}", roles="Operator", groups="ops")
    rights = access.permissions.get(userid="eve@pve", path=f"/vms/{AGENT}")[f"/vms/{AGENT}"]
    assert set(rights) == {"VM.Audit", "VM.PowerMgmt", "VM.Console"}, rights
    (rule,) = [a for a in access.acl.get() if a["ugid"] == "ops"]
    assert (rule["path"], rule["roleid"], rule["type"], rule["propagate"]) == (f"/vms/{AGENT}", "Operator", "group", 1)
    her = day.login(user="eve@pve", password="her own words")
    assert [vm["vmid"] for vm in her.cluster.resources.get(type="vm")] == [AGENT]
    refused(lambda: her.nodes(day.node.name).qemu(AGENT).config.put(cores=2), 403, f"Permission check failed (/vms/{AGENT}, ")
    tokens(day)
    access.password.put(userid="eve@pve", password="words of others", **{"confirmation-password": PASSWORD})
    day.login(user="eve@pve", password="words of others")
    access.acl.put(path=f"/vms/{AGENT}", roles="Operator", groups="ops", delete=1)
    assert not [a for a in access.acl.get() if a["ugid"] == "ops"]
    access.users("eve@pve").delete()
    access.groups("ops").delete()
    access.roles("Operator").delete()
    refused(access.users("eve@pve").get, 500, "no such user ('eve@pve')")


def tokens(day):
    token = day.api.access.users("eve@pve").token
    made = token("ci").post(privsep=0, comment="builds")
    assert made["full-tokenid"] == "eve@pve!ci" and made["info"]["privsep"] in (0, "0"), made
    machine = day.login(user="eve@pve", token_name="ci", token_value=made["value"])
    current = machine.nodes(day.node.name).qemu(AGENT).status.current.get()
    assert current["name"] == "agent", current
    token("ci").put(comment="nightly builds")
    assert token("ci").get()["comment"] == "nightly builds"
    assert [t["tokenid"] for t in token.get()] == ["ci"]
    token("ci").delete()
    refused(machine.version.get, 401, "invalid token value!")


def pools(day):
    pool = day.api.pools
    pool.create(poolid="lab", comment="all of it")
    pool("lab").put(vms=str(AGENT), storage="local")
    got = pool("lab").get()
    assert {m["id"] for m in got["members"]} == {f"qemu/{AGENT}", f"storage/{day.node.name}/local"}, got
    assert got["comment"] == "all of it" and {"poolid": "lab", "comment": "all of it"} in pool.get()
    (found,) = pool.get(poolid="lab")
    assert len(found["members"]) == 2, found
    pool.put(poolid="lab", vms=str(AGENT), storage="local", delete=1)
    assert pool("lab").get()["members"] == []
    pool("lab").delete()
    refused(pool("lab").get, 500, "pool 'lab' does not exist")


def storages(day):
    api, host = day.api, day.host
    path = os.path.join(day.node.base, "extra")
    assert api.storage.create(storage="extra", type="dir", path=path, content="images,iso")["storage"] == "extra"
    api.storage("extra").put(content="images,iso,vztmpl")
    assert set(api.storage("extra").get()["content"].split(",")) == {"images", "iso", "vztmpl"}
    assert {s["storage"] for s in api.storage.get(type="dir")} == {"local", "extra"}
    wait_for(lambda: host.storage("extra").status.get()["active"] == 1, 20, step=0.1)
    assert {s["storage"] for s in host.storage.get(content="vztmpl")} >= {"extra"}
    assert {"content", "status"} <= {r["subdir"] for r in host.storage("extra").get()}
    content = host.storage("extra").content
    volid = content.create(filename="vm-900-disk-0.raw", vmid=900, size="16M", format="raw")
    assert volid == "extra:900/vm-900-disk-0.raw", volid
    assert content(volid).get()["size"] == 16 << 20
    assert os.path.getsize(f"{path}/images/900/vm-900-disk-0.raw") == 16 << 20
    day_upload(day, path)
    content(volid).put(notes="by hand")
    assert content(volid).get()["notes"] == "by hand"
    (row,) = [v for v in content.get(vmid=900)]
    assert row["volid"] == volid and row["format"] == "raw", row
    upid = content(volid).delete()
    assert upid is None or day.done(upid, "imgdel")
    assert content.get() == [] and not os.path.exists(f"{path}/images/900/vm-900-disk-0.raw")
    assert isinstance(host.storage("extra").rrddata.get(timeframe="hour"), list)
    assert host.storage("extra").prunebackups.get(**{"prune-backups": "keep-all=1"}) == []
    api.storage("extra").delete()
    refused(host.storage("extra").status.get, 500, "storage 'extra' does not exist")


def day_upload(day, path):
    """A file as proxmoxer sends it: multipart, its name taken from the open file."""
    name = os.path.join(day.node.base, "tiny.iso")
    with open(name, "wb") as f:
        f.write(ISO)
    storage = day.host.storage("extra")
    with open(name, "rb") as f:
        day.done(storage.upload.create(content="iso", filename=f), "imgcopy")
    (row,) = storage.content.get(content="iso")
    assert row["volid"] == "extra:iso/tiny.iso" and row["size"] == len(ISO), row
    with open(f"{path}/template/iso/tiny.iso", "rb") as f:
        assert f.read() == ISO
    upid = storage.content("extra:iso/tiny.iso").delete()
    assert upid is None or day.done(upid, "imgdel")


def configurations(day):
    """Of a guest that is off: synchronous, asynchronous, digest, pending, sizes, unused disks."""
    host = day.host
    day.done(host.qemu.create(vmid=SCREEN, name="screen", memory=64, scsi0="local:1,format=raw", serial0="socket",
                              net0="virtio", ostype="l26"), "qmcreate")
    vm = host.qemu(SCREEN)
    assert {"config", "status", "pending"} <= {r["subdir"] for r in vm.get()}
    config = vm.config.get()
    assert config["name"] == "screen" and int(config["memory"]) == 64 and "template" not in config, config
    assert vm.config.put(digest=config["digest"], cores=2, description="two\nlines") is None
    refused(lambda: vm.config.put(digest=config["digest"], cores=3), 500, "detected modified configuration")
    assert vm.config.get()["cores"] == 2 and vm.config.get()["description"] == "two\nlines"
    day.done(vm.config.post(scsi1="local:1", virtio0="local:1"), "qmconfig")
    vm.config.put(delete="virtio0,cores")
    config = vm.config.get()
    assert "cores" not in config and config["unused0"].startswith("local:") and "size=1G" in config["scsi1"], config
    vm.unlink.put(idlist="unused0", force=1)
    assert "unused0" not in vm.config.get()
    vm.unlink.put(idlist="scsi1")
    assert "scsi1" not in vm.config.get() and "unused0" in vm.config.get()
    vm.unlink.put(idlist="unused0", force=1)
    assert len(day.node.images()) == 1
    assert not [r for r in vm.pending.get() if "pending" in r]
    assert vm.feature.get(feature="snapshot")["hasFeature"] in (0, 1)
    assert vm.status.current.get()["status"] == "stopped"
    rows = {g["vmid"]: g for g in host.qemu.get(full=1)}
    assert rows[SCREEN]["status"] == "stopped" and rows[SCREEN]["name"] == "screen", rows


def screen(day):
    """A running guest without an operating system: its picture, keys, monitor, sizes, pauses."""
    vm = day.host.qemu(SCREEN)
    write_boot_sector(day.node, vm.config.get()["scsi0"], "screen")
    day.done(vm.status.start.post(), "qmstart")
    current = vm.status.current.get()
    assert current["status"] == "running" and current["qmpstatus"] == "running" and current["pid"] > 1, current
    with Viewer(day.terminal(), f"/nodes/{{node}}/qemu/{SCREEN}") as viewer:
        viewer.login()
        viewer.expect("The screen is up.", 60)
        assert vm.sendkey.put(key="q") is None
        viewer.expect("key q", 20)
    assert "running" in vm.monitor.post(command="info status")
    assert "Attached to:      scsi0" in vm.monitor.post(command="info block")
    vm.config.put(memory=96, name="renamed")
    waiting = {r["key"]: r for r in vm.pending.get() if "pending" in r}
    assert str(waiting["memory"]["pending"]) == "96" and "name" not in waiting, waiting
    assert int(vm.config.get(current=1)["memory"]) == 64
    vm.config.put(revert="memory")
    assert not [r for r in vm.pending.get() if "pending" in r]
    day.done(vm.resize.put(disk="scsi0", size="+1G"), "resize")
    assert "size=2G" in vm.config.get()["scsi0"]
    refused(lambda: vm.resize.put(disk="scsi0", size="1G"), 500, "shrinking disks is not supported")
    day.done(vm.status.suspend.post(), "qmpause")
    assert vm.status.current.get()["qmpstatus"] == "paused"
    day.done(vm.status.resume.post(), "qmresume")
    assert vm.status.current.get()["qmpstatus"] == "running"
    day.done(vm.status.reset.post(), "qmreset")
    assert vm.status.current.get()["pid"] == current["pid"]
    assert isinstance(vm.rrddata.get(timeframe="hour", cf="MAX"), list)
    refused(vm.spiceproxy.post, 500, "there is no SPICE here")
    assert "got timeout" in day.end(vm.status.shutdown.post(timeout=1))
    day.done(vm.status.stop.post(), "qmstop")
    assert "pid" not in vm.status.current.get()


def agent(day):
    """Debian's agent in a real Linux."""
    vm = day.host.qemu(AGENT)
    with Console(day.terminal(), f"/nodes/{{node}}/qemu/{AGENT}") as console:
        console.expect("login:", 90)

    def answers():
        try:
            return vm.agent("ping").post() == {"result": {}}
        except ResourceException as e:
            assert "QEMU guest agent is not running" in str(e), e
    wait_for(answers, 90, step=0.2)
    assert vm.status.current.get()["agent"] == 1
    assert {"name": "exec"} in vm.agent.get()
    assert vm.agent.post(command="get-host-name")["result"]["host-name"] == "holm"
    assert vm.agent("get-host-name").get()["result"] == {"host-name": "holm"}
    assert vm.agent("info").get()["result"]["version"].startswith("7.")
    assert vm.agent("get-osinfo").get()["result"]["machine"] == "x86_64"
    cards = {i["name"]: i for i in vm.agent("network-get-interfaces").get()["result"]}
    assert cards["eth0"]["hardware-address"] == MAC.lower() and "lo" in cards, cards

    def address():
        rows = vm.agent("network-get-interfaces").get()["result"]
        return [a["ip-address"] for i in rows if i["name"] == "eth0" for a in i.get("ip-addresses", [])]
    wait_for(lambda: "10.0.2.15" in address(), 30, "the address of the user-mode network", step=0.2)
    assert isinstance(vm.agent("get-fsinfo").get()["result"], list)
    assert vm.agent("get-users").get()["result"] == []
    assert [c["logical-id"] for c in vm.agent("get-vcpus").get()["result"]] == [0]
    assert abs(vm.agent("get-time").get()["result"] / 1e9 - time.time()) < 3600
    assert vm.agent("get-timezone").get()["result"]["offset"] == 0
    pid = vm.agent("exec").post(command=["/bin/sh", "-c", "cat; echo bad >&2; exit 3"], **{"input-data": "given"})["pid"]
    ended = wait_for(lambda: (s := vm.agent("exec-status").get(pid=pid))["exited"] and s, 20)
    assert (ended["exitcode"], ended["out-data"], ended["err-data"]) == (3, "given", "bad\n"), ended
    vm.agent("file-write").post(file="/tmp/note", content="from outside\n")
    assert vm.agent("file-read").get(file="/tmp/note") == {"content": "from outside\n"}
    pid = vm.agent("exec").post(command=["/bin/cat", "/tmp/note"])["pid"]
    ended = wait_for(lambda: (s := vm.agent("exec-status").get(pid=pid))["exited"] and s, 20)
    assert ended["out-data"] == "from outside\n", ended
    refused(lambda: vm.agent("file-read").get(file="/no/such"), 500, "Agent error")
    assert vm.agent("fsfreeze-status").post() == {"result": "thawed"}
    frozen = vm.agent("fsfreeze-freeze").post()["result"]
    assert frozen == 0 and vm.agent("fsfreeze-thaw").post()["result"] == 0, "it has no file system on a disk"
    assert vm.agent("fsfreeze-status").post() == {"result": "thawed"}


def boots(day):
    """Lets the guest say which boot this is."""
    vm = day.host.qemu(AGENT)
    pid = vm.agent("exec").post(command=["/bin/cat", "/proc/sys/kernel/random/boot_id"])["pid"]
    return wait_for(lambda: (s := vm.agent("exec-status").get(pid=pid))["exited"] and s, 20)["out-data"]


def power(day):
    """Reboot and shutdown of a guest that obeys."""
    vm = day.host.qemu(AGENT)
    first, pid = boots(day), vm.status.current.get()["pid"]
    day.done(vm.status.reboot.post(timeout=60), "qmreboot")

    def is_back():
        try:
            return boots(day)
        except ResourceException as e:
            assert "is not running" in str(e) or "got timeout" in str(e), e
    second = wait_for(is_back, 120, "the guest to be back", step=0.2)
    assert second != first and re.fullmatch(r"[0-9a-f-]{36}\n", second), (first, second)
    current = vm.status.current.get()
    assert current["status"] == "running" and current["pid"] != pid, current
    day.done(vm.status.shutdown.post(timeout=60), "qmshutdown")
    assert vm.status.current.get()["status"] == "stopped"
    refused(vm.agent("ping").post, 500, f"VM {AGENT} is not running")


def tasks(day):
    host = day.host
    rows = host.tasks.get(vmid=AGENT)
    kinds = [t["type"] for t in rows]
    assert {"qmcreate", "qmstart", "qmreboot", "qmshutdown"} <= set(kinds), kinds
    assert all(t["status"] == "OK" and t["endtime"] >= t["starttime"] and t["user"] == "admin@pve" for t in rows), rows
    upid = [t["upid"] for t in rows if t["type"] == "qmshutdown"][0]
    assert {r["name"] for r in host.tasks(upid).get()} == {"log", "status"}
    log = host.tasks(upid).log.get(limit=0)
    assert log[-1]["t"] == "TASK OK" and [line["n"] for line in log] == list(range(1, len(log) + 1)), log
    (failed,) = host.tasks.get(vmid=SCREEN, errors=1)
    assert failed["type"] == "qmshutdown" and "got timeout" in failed["status"], failed
    assert host.tasks.get(source="active") == []
    # One that would wait for long is stopped.
    vm = host.qemu(SCREEN)
    day.done(vm.status.start.post(), "qmstart")
    waiting = vm.status.shutdown.post(timeout=300)
    wait_for(lambda: waiting in [t["upid"] for t in host.tasks.get(source="active")], 20, step=0.1)
    host.tasks(waiting).delete()
    assert day.end(waiting) != "OK" and vm.status.current.get()["status"] == "running"
    day.done(host.stopall.post(vms=str(SCREEN), **{"force-stop": 1, "timeout": 1}), "stopall")
    assert vm.status.current.get()["status"] == "stopped"
    day.done(host.startall.post(vms=str(SCREEN), force=1), "startall")
    wait_for(lambda: vm.status.current.get()["status"] == "running", 30, step=0.1)


def errors(day):
    """What a script sees of refusals: code and reason."""
    host = day.host
    gone = f"Configuration file 'nodes/{day.node.name}/qemu-server/999.conf' does not exist"
    for call in (host.qemu(999).config.get, host.qemu(999).delete, host.qemu(999).status.start.post, host.qemu(999).agent("ping").post):
        refused(call, 500, gone)
    refused(lambda: host.qemu.create(vmid=SCREEN), 500, f"unable to create VM {SCREEN} - VM {SCREEN} already exists")
    refused(lambda: host.qemu.create(vmid=999, cores="many"), 400, WRONG)
    refused(host.qemu(SCREEN).delete, 500, f"VM {SCREEN} is running - destroy failed")
    refused(lambda: host.qemu(SCREEN).clone.post(newid=998, full=0), 500, "a linked clone needs a template")
    refused(lambda: host.qemu(SCREEN).migrate.post(target="elsewhere"), 501, "not implemented")
    refused(lambda: host.vzdump.post(vmid=SCREEN), 501, "not implemented")
    refused(lambda: host.tasks("UPID:none").status.get(), 400, WRONG)
    refused(lambda: day.api.nodes("elsewhere").status.get(), 500, "hostname lookup 'elsewhere' failed - no such node")


def delete(day):
    vm = day.host.qemu(SCREEN)
    day.done(vm.status.stop.post(), "qmstop")
    day.done(vm.delete(purge=1), "qmdestroy")
    day.done(day.host.qemu(AGENT).delete(**{"destroy-unreferenced-disks": 1}), "qmdestroy")
    assert day.host.qemu.get() == [] and day.api.cluster.resources.get(type="vm") == []
    assert day.node.images() == []


if __name__ == "__main__":
    netns.enter()  # before any thread; guests' user-mode networks are in here
    main()
