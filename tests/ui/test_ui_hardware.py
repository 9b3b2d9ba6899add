"""Hardware, options and cloud-init of a guest in the page: disks from their making to their end, a CD-ROM, interfaces of a
stopped and a running guest, boot order, processors, settings without a dialog of their own, refusals at their fields, and
what an auditor sees. Results are read through the API."""
import functools
import os

from lib.tap import main, test
from ui.scene import SHOTS, Scene, check_console, choose, end_with, key, press, text, type_into

STOPPED, RUNNING, OTHER, CLOUD = 100, 101, 102, 103
SSH = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl anna@laptop"
DIALOG = "dialog[open]"
SUBMIT = f"{DIALOG} button[type=submit]"


@functools.cache
def scene():
    s = Scene()
    api, vm = s.node.api, s.node.vm
    fast = s.node.base + "/fast"
    os.makedirs(fast)
    api.post("/storage", storage="fast", type="dir", path=fast, content="images")
    for name in ("debian-12.7.0-amd64-netinst.iso", "virtio-win-0.1.262.iso"):
        put_iso(s, name)
    s.node.create(STOPPED, name="shop-db", memory=2048, cores=2, scsihw="virtio-scsi-single", scsi0="local:2,format=qcow2,discard=on,ssd=1",
                  scsi1="local:1", ide2="none,media=cdrom", net0="virtio", boot="order=scsi0;net0", agent=1, serial0="socket",
                  description="PostgreSQL of the shop.\nAsk Anna first.", tags="prod;shop", onboot=1, startup="order=2,up=30")
    s.node.create(RUNNING, name="web-1", memory=64, scsihw="virtio-scsi-pci", scsi0="local:1", ide2="none,media=cdrom", net0="virtio", tags="prod;web",
                  scsi3="local:cloudinit", ciuser="ops", ipconfig0="ip=dhcp")
    s.node.create(OTHER, name="scratch", memory=512)
    s.node.create(CLOUD, name="ci-runner-1", memory=64, scsihw="virtio-scsi-pci", scsi0="local:1", net0="virtio", net1="virtio")
    api.run("POST", vm(RUNNING, "/status/start"))
    s.node.create_user("auditor@pve", "PVEAuditor")
    return s


def put_iso(s, name):
    """Into the folder where an upload puts it."""
    folder = s.node.path("var/storage/local/template/iso")
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/{name}", "wb") as f:
        f.truncate(4 << 20)


def config(vmid=STOPPED):
    return scene().node.api.get(scene().node.vm(vmid, "/config"))


def waits(vmid=RUNNING):
    return {r["key"] for r in scene().node.api.get(scene().node.vm(vmid, "/pending")) if "pending" in r or "delete" in r}


def has(page, name, selector=".config li"):
    """A row of the list says this."""
    page.until(f"[...document.querySelectorAll({selector!r})].some(x => x.innerText.replaceAll('\\u00a0', ' ').includes({name!r}))", 30)


def gone(page):
    try:
        page.until(f"!document.querySelector({DIALOG!r})", 10)
    except AssertionError as e:
        raise AssertionError(f"the dialog stays: {text(page, DIALOG)}") from e


def submit(page, ends=True):
    press(page, SUBMIT)
    if ends:
        gone(page)


def field(page, label):
    """A selector of the field with this label; it gets a mark of its own."""
    page.until(f"[...document.querySelectorAll('dialog[open] label')].some(l => l.textContent.trim().startsWith({label!r}))")
    page.evaluate(f"""(() => {{
        const label = [...document.querySelectorAll('dialog[open] label')].find(l => l.textContent.trim().startsWith({label!r}));
        const e = label.htmlFor ? document.getElementById(label.htmlFor) : label.querySelector('input');
        document.querySelectorAll('[data-t]').forEach(x => delete x.dataset.t);
        e.dataset.t = '1';
    }})()""")
    return "[data-t]"


def fill(page, label, value):
    type_into(page, field(page, label), value)


def pick(page, label, value):
    page.until(f"""(() => {{ const l = [...document.querySelectorAll('dialog[open] label')].find(x => x.textContent.trim().startsWith({label!r}));
        const e = l && document.getElementById(l.htmlFor); return e && [...e.options].some(o => o.value === {value!r}); }})()""")
    choose(page, field(page, label), value)


def tick(page, label):
    field(page, label)
    page.evaluate("document.querySelector('[data-t]').click()")


def menu(page, row, action):
    """An action of a row, by its menu or its button."""
    page.until(f"!!document.querySelector('#row-{row}')", 30)
    press(page, f"#row-{row} .config-tools button", action)


def progress_of_a_move(s, page):
    """Data and a limit make it last long enough to be seen; it is stopped then, and the disk is where it was."""
    scsi1 = config()["scsi1"].split(",")[0]
    path = s.node.api.get(f"/nodes/{{node}}/storage/local/content/{scsi1}")["path"]
    with open(path, "r+b") as f:
        f.write(os.urandom(24 << 20))
    menu(page, "scsi1", "Move")
    fill(page, "At most MiB/s", "1")
    submit(page)
    page.until("document.querySelector('.hw-tasks [role=meter]')?.ariaValueNow > 0", 30)
    page.screenshot(f"{SHOTS}/hw-moving-light.png")
    press(page, ".hw-tasks button", "Log")
    press(page, ".drawer button", "Stop task")
    press(page, "dialog button.danger", "Stop task")
    page.until("!document.querySelector('.hw-tasks')", 30)
    press(page, ".drawer button", "Close")
    assert config()["scsi1"].split(",")[0] == scsi1


@test(limit=240)
def a_disk_from_its_making_to_its_end():
    s = scene()
    page = s.signed_in(f"/guests/{STOPPED}/hardware")
    has(page, "2 GiB on local")
    press(page, ".hw-head .menu-item", "Add disk")
    fill(page, "Size in GiB", "0.5")
    pick(page, "Format", "qcow2")
    pick(page, "Cache", "writeback")
    press(page, f"{DIALOG} summary", "More settings")
    fill(page, "Serial number", "data1")
    press(page, f"{DIALOG} summary", "What will be done")
    page.until(f"document.querySelector('{DIALOG} .plan li[data-step=\"volume.create\"]')?.innerText.includes('512')")
    submit(page)
    has(page, "512 MiB on local")
    scsi2 = config()["scsi2"]
    assert "qcow2" in scsi2 and "cache=writeback" in scsi2 and "serial=data1" in scsi2, scsi2
    menu(page, "scsi2", "Enlarge")
    fill(page, "More GiB", "0.5")
    page.until(f"document.querySelector('{DIALOG}').innerText.includes('From')")
    submit(page)
    has(page, "1 GiB on local")
    menu(page, "scsi2", "Move")
    pick(page, "To storage", "fast")
    submit(page)
    page.until("document.querySelector('#row-scsi2')?.innerText.includes('on fast')", 60)
    assert config()["scsi2"].startswith("fast:") and "unused0" not in config()
    progress_of_a_move(s, page)
    menu(page, "scsi2", "Detach")
    submit(page)
    has(page, "Unused disk (unused0)")
    menu(page, "unused0", "Attach")
    pick(page, "Bus", "virtio")
    submit(page)
    has(page, "Disk (virtio0)")
    assert config()["virtio0"].startswith("fast:")
    menu(page, "virtio0", "Detach")
    submit(page)
    menu(page, "unused0", "Give to another guest")
    pick(page, "To guest", str(OTHER))
    fill(page, "There as", "scsi0")
    submit(page)
    page.until("!document.querySelector('#row-unused0')", 60)
    assert "scsi0" in config(OTHER), config(OTHER)
    menu(page, "scsi1", "Detach")
    submit(page)
    menu(page, "unused0", "Delete for good")
    page.until(f"document.querySelector('{SUBMIT}')?.disabled")
    name = config()["unused0"].split("/")[-1]
    fill(page, "Type", name)
    submit(page)
    page.until("!document.querySelector('#row-unused0')", 60)
    assert "unused0" not in config()
    check_console(page)
    page.close()


@test(limit=120)
def a_medium_comes_and_goes():
    s = scene()
    page = s.signed_in(f"/guests/{RUNNING}/hardware")
    menu(page, "ide2", "Change medium")
    pick(page, "ISO image", "local:iso/debian-12.7.0-amd64-netinst.iso")
    page.until(f"document.querySelector('{DIALOG} .hw-when').innerText.includes('at once')")
    submit(page)
    has(page, "debian-12.7.0-amd64-netinst.iso on local")
    assert "debian-12.7.0" in config(RUNNING)["ide2"] and not waits()
    menu(page, "ide2", "Eject")
    submit(page)
    page.until("document.querySelector('#row-ide2').innerText.includes('Empty')", 30)
    assert config(RUNNING)["ide2"].startswith("none")
    check_console(page)
    page.close()


@test(limit=120)
def interfaces_of_a_stopped_and_a_running_guest():
    s = scene()
    page = s.signed_in(f"/guests/{STOPPED}/hardware")
    press(page, ".hw-head .menu-item", "Add network interface")
    fill(page, "VLAN", "5000")
    submit(page, ends=False)
    page.until(f"document.querySelector('{DIALOG} .field.wrong')?.innerText.includes('4094')")  # at its field
    fill(page, "VLAN", "")
    fill(page, "MAC address", "no address")
    submit(page, ends=False)
    page.until(f"[...document.querySelectorAll('{DIALOG} .field.wrong')].some(x => x.innerText.includes('MAC address'))")
    fill(page, "MAC address", "BC:24:11:00:00:07")
    pick(page, "Model", "e1000")
    submit(page)
    has(page, "Network (net1)")
    assert config()["net1"] == "e1000=BC:24:11:00:00:07", config()["net1"]
    menu(page, "net1", "Remove")
    submit(page)
    page.until("!document.querySelector('#row-net1')", 30)
    page.open(s.base + f"/guests/{RUNNING}/hardware?edit=net0")
    tick(page, "Cable unplugged")
    submit(page)
    has(page, "cable unplugged")
    assert "link_down=1" in config(RUNNING)["net0"] and not waits()
    menu(page, "scsihw", "Edit")
    pick(page, "SCSI controller", "virtio-scsi-single")
    page.until(f"document.querySelector('{DIALOG} .hw-when').innerText.includes('next start')")
    submit(page)
    page.until("document.querySelector('.hw-waiting')?.innerText.includes('1 change')", 30)
    assert waits() == {"scsihw"}
    s.shoot(page, "hw-pending", f"/guests/{RUNNING}/hardware", "document.querySelector('.waits')")
    press(page, "#row-scsihw button", "Keep SCSI controller as it is")
    page.until("!document.querySelector('.hw-waiting')", 30)
    assert not waits()
    check_console(page, allowed=["400"])
    page.close()


@test(limit=120)
def processors_boot_order_and_any_setting():
    s = scene()
    page = s.signed_in(f"/guests/{STOPPED}/hardware")
    menu(page, "cores", "Edit Processors")
    fill(page, "Cores per socket", "0")
    submit(page, ends=False)
    page.until(f"!!document.querySelector('{DIALOG} .field.wrong')")
    fill(page, "Cores per socket", "4")
    pick(page, "CPU model", "max")
    fill(page, "Limit, in CPUs", "1.5")
    submit(page)
    has(page, "4 CPUs · max")
    now = config()
    assert (now["cores"], now["cpu"], float(now["cpulimit"])) == (4, "max", 1.5), now
    menu(page, "boot", "Edit")
    page.until("document.querySelectorAll('dialog[open] .hw-boot li').length >= 3")  # what opens takes the focus
    page.evaluate("document.querySelectorAll('.hw-boot input')[1].focus()")
    key(page, "ArrowUp", 1)
    page.until("document.querySelector('.hw-boot li').innerText.includes('net0')")
    submit(page)
    has(page, "net0, scsi0")
    assert config()["boot"] == "order=net0;scsi0"
    press(page, ".hw-head .menu-item", "Another setting")
    fill(page, "Search settings", "migration downtime pause")
    fill(page, "Search settings", "longest pause")
    press(page, ".hw-keys button", "migrate_downtime")
    fill(page, "migrate_downtime", "0.5")
    submit(page)
    page.open(s.base + f"/guests/{STOPPED}/options")
    has(page, "migrate_downtime")
    assert float(config()["migrate_downtime"]) == 0.5
    menu(page, "hotplug", "Edit")
    tick(page, "CPUs")
    submit(page)
    page.until("document.querySelector('#row-hotplug').innerText.includes('CPUs')", 30)
    assert set(config()["hotplug"].split(",")) == {"network", "disk", "usb", "cpu"}
    menu(page, "startup", "Edit")
    fill(page, "Order", "7")
    submit(page)
    page.until("document.querySelector('#row-startup').innerText.includes('Order 7')", 30)
    assert sorted(config()["startup"].split(",")) == ["order=7", "up=30"], config()["startup"]
    check_console(page, allowed=["400"])
    page.close()


@test(limit=120)
def cloud_init():
    s = scene()
    page = s.signed_in(f"/guests/{CLOUD}/cloudinit")
    page.until("document.querySelector('.empty')?.innerText.includes('no cloud-init drive')")
    s.shoot(page, "hw-cloudinit-none", f"/guests/{CLOUD}/cloudinit", "document.querySelector('.empty')")
    press(page, ".empty button", "Add cloud-init drive")
    pick(page, "Storage", "local")
    submit(page)
    menu(page, "ciuser", "Edit User")
    fill(page, "User", "anna")
    submit(page)
    menu(page, "cipassword", "Edit Password")
    fill(page, "New password", "correct horse 9")
    submit(page)
    menu(page, "sshkeys", "Edit SSH keys")
    fill(page, "SSH keys", "ssh-ed25519 nonsense")
    submit(page, ends=False)
    page.until(f"document.querySelector('{DIALOG} .field.wrong')?.innerText.includes('SSH key 1')")
    fill(page, "SSH keys", SSH)
    submit(page)
    menu(page, "ipconfig0", "Edit")
    pick(page, "IPv4", "static")
    fill(page, "IPv4 address", "192.0.2.300/24")
    submit(page, ends=False)
    page.until(f"!!document.querySelector('{DIALOG} .field.wrong')")
    fill(page, "IPv4 address", "192.0.2.7/24")
    fill(page, "IPv4 gateway", "192.0.2.1")
    submit(page)
    has(page, "192.0.2.7/24 → 192.0.2.1")
    now = config(CLOUD)
    assert (now["ciuser"], now["cipassword"], now["ipconfig0"]) == ("anna", "**********", "ip=192.0.2.7/24,gw=192.0.2.1"), now
    assert "anna%40laptop" in now["sshkeys"] and "horse" not in text(page)
    page.until("document.querySelector('.ci-dump')?.innerText.includes('user: anna')", 30)
    choose(page, ".panel header select", "network")
    page.until("document.querySelector('.ci-dump')?.innerText.includes('192.0.2.7')", 30)
    s.node.api.run("POST", s.node.vm(CLOUD, "/status/start"))
    page.until("document.querySelector('h1').innerText.includes('Running')", 30)
    menu(page, "ciuser", "Edit User")
    fill(page, "User", "bert")
    submit(page)
    has(page, "not in the drive yet")
    s.shoot(page, "hw-cloudinit", f"/guests/{CLOUD}/cloudinit", "document.querySelector('.ci-dump')?.innerText")
    press(page, ".hw-head button", "Write the drive anew")
    page.until("!document.querySelector('.hw-waiting')", 30)
    assert not any("pending" in r for r in s.node.api.get(s.node.vm(CLOUD, "/cloudinit")))
    check_console(page, allowed=["400"])
    page.close()


@test(limit=240)
def screens():
    s = scene()
    page = s.signed_in(f"/guests/{STOPPED}/hardware")
    for name, path in {"": "/hardware", "-options": "/options", "-cpu": "/hardware?edit=cores", "-add-disk": "/hardware?add=disk",
                       "-boot": "/hardware?edit=boot", "-any": "/hardware?add=any", "-move": "/hardware?edit=scsi0&do=move"}.items():
        dialog = "?" in path
        s.shoot(page, f"hw{name or '-list'}", f"/guests/{STOPPED}{path}", f"document.querySelector('{DIALOG}')?.innerText" if dialog else "document.querySelector('.config')",
                modes=("light", "dark", "phone") if name in ("", "-options") else ("light", "phone") if name in ("-add-disk", "-cpu") else ("light",))
    for lang in ("de", "zh"):
        page.evaluate(f"localStorage.setItem('holm.language', '\"{lang}\"')")
        s.shoot(page, f"hw-list-{lang}", f"/guests/{STOPPED}/hardware", "document.querySelector('.config')", modes=("light",))
    check_console(page)
    page.close()


@test(limit=60)
def an_auditor_sees_and_changes_nothing():
    s = scene()
    page = s.signed_in(f"/guests/{STOPPED}/hardware", "auditor")
    has(page, "2 GiB on local")
    for path in (f"{STOPPED}/hardware", f"{STOPPED}/options", f"{RUNNING}/cloudinit", f"{STOPPED}/hardware?edit=scsi0&do=detach", f"{STOPPED}/hardware?add=disk", f"{STOPPED}/options?edit=name"):
        page.open(s.base + f"/guests/{path}")
        page.until("document.querySelectorAll('.config li').length > 5")
        assert not page.evaluate("[...document.querySelectorAll('.config button, .hw-head button')].map(b => b.ariaLabel)"), path
        assert not page.evaluate("document.querySelectorAll('dialog').length"), path
    check_console(page)
    page.close()


if __name__ == "__main__":
    end_with(scene)
    main()
