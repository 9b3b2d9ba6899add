"""Making guests on the page: from a CD, a cloud image, a kernel, a template and nothing, by mouse and by keyboard; what is
refused and where that is said; copies and templates; who is offered none of it. Guests are real, and looked at by the API."""
import base64
import functools
import json
import os
import shlex
import struct
import subprocess

from lib.guests import install_demo
from lib.tap import main, test
from ui.scene import PRESS, Scene, check_console, end_with, key, press, sign_out, text, type_into, type_keys

MIB = 1 << 20
ISOS = {"debian-13.1.0-amd64-netinst.iso": 3, "ubuntu-24.04.3-live-server-amd64.iso": 5, "Win11_24H2_English_x64.iso": 6, "virtio-win-0.1.271.iso": 2}
NEXT, MAIN = ".create-foot button[type=submit]", ".create-foot button.main"


def ssh_key():
    name = b"ssh-ed25519"
    return "ssh-ed25519 " + base64.b64encode(struct.pack(">I", len(name)) + name + struct.pack(">I", 32) + bytes(range(32))).decode() + " anna@laptop"


def folder(node, name):
    path = node.path("var/storage/local", name)
    os.makedirs(path, exist_ok=True)
    return path


@functools.cache
def scene():
    s = Scene()
    install_demo(s.node)
    for name, mib in ISOS.items():
        with open(os.path.join(folder(s.node, "template/iso"), name), "wb") as f:
            f.truncate(mib * MIB)
    for name in ("debian-12", "ubuntu-24.04"):
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", f"{folder(s.node, 'import')}/{name}.qcow2", "64M"], check=True)
    for pool in ("shop", "lab"):
        s.node.api.post("/pools", poolid=pool)
    s.node.create(100, name="web-1", memory=64, scsi0="local:0.03125,format=qcow2", net0="virtio")
    s.node.api.run("POST", s.node.vm(100, "/snapshot"), {"snapname": "clean"})
    s.node.create(101, name="debian-golden", memory=64, scsi0="local:0.03125,format=qcow2", scsi1="local:cloudinit", net0="virtio")
    s.node.api.run("POST", s.node.vm(101, "/template"), {})
    return s


def config(vmid):
    return scene().node.api.get(scene().node.vm(vmid, "/config"))


def fresh(page, path="/guests/new"):
    page.evaluate("sessionStorage.clear()")
    page.open(scene().base + path)
    page.until("!!document.querySelector('.create-fields')")


def review(page):
    press(page, ".create-foot button", "Review")
    page.until("location.search == '?step=review' && !!document.querySelector('.plan li, .error-box')")


def created(page, vmid, tab=""):
    press(page, MAIN, "Create")
    page.until(f"location.pathname == '/guests/{vmid}{tab}'", 60)


@test(limit=120)
def from_a_cd_with_what_is_assumed():
    s = scene()
    page = s.signed_in("/guests")
    press(page, ".view-head button", "New guest")
    page.until("location.pathname == '/guests/new'")
    review(page)
    page.says(".error-box", "CD image")
    page.until("document.querySelector('.create-foot .main').disabled")
    press(page, ".error-box a", "CD image")  # the way to what is missing
    page.until("!!document.querySelector('.choices.wrong')")
    page.until("document.querySelectorAll('.choice').length == 4")
    page.run("(name) => [...document.querySelectorAll('.choice input')].find(x => x.value.includes(name)).click()", "debian-13.1.0")
    review(page)
    page.until("!!document.querySelector('.plan li[data-volume]')")
    values = {"vmid": 102, "scsi0": "local:32,format=qcow2", "ide2": "local:iso/debian-13.1.0-amd64-netinst.iso,media=cdrom"}
    plan = s.node.api.call("POST", "/nodes/{node}/qemu", {**values, "dry-run": 1}).data["plan"]
    page.becomes("[...document.querySelectorAll('.plan li[data-volume]')].map(x => [x.dataset.step, x.dataset.volume])",
                 [[p["step"], p["args"]["volume"]] for p in plan])
    page.evaluate("document.querySelector('.equal').open = true")
    page.until("document.querySelectorAll('.equal pre').length == 2")
    command = text(page, ".equal pre").split("\nholm vm start")[0].replace("\\\n", " ")
    said = s.node.cli(*shlex.split(command)[1:], "--dry-run", "-o", "json")  # it can be pasted
    assert json.loads(said.stdout)["plan"] == plan, said.stdout
    created(page, 102, "/console")
    made = config(102)
    assert made["boot"] == "order=scsi0;ide2" and made["memory"] == "2048" and made["cores"] == 2 and made["ostype"] == "l26", made
    assert made["name"] == "debian-13-1-0-amd64-netinst-102" and "size=32G" in made["scsi0"] and made["net0"].startswith("virtio="), made
    assert s.node.guest_state(102) == "running"
    s.node.remove(102)
    sign_out(page)
    check_console(page)
    page.close()


@test(limit=120)
def by_keyboard_from_a_kernel():
    s = scene()
    page = s.signed_in("/guests/new")
    page.until("document.activeElement?.name == 'source'")
    for _ in range(2):
        key(page, "ArrowRight")
    page.until("document.querySelector('input[value=kernel]').checked && !!document.querySelector('.choice input')")
    for _ in range(10):
        if page.evaluate("document.activeElement?.value?.includes('boot/vmlinuz')"):
            break
        key(page, "Tab")
    key(page, " ")
    page.until("!!document.querySelector('.choice input:checked')")
    key(page, "Enter")
    page.until("document.activeElement?.name == 'name'")
    type_keys(page, "tiny")
    key(page, "Enter", 2)
    page.until("location.search == '?step=review' && !!document.querySelector('.plan li')")
    key(page, "Enter", 2)
    page.until("location.pathname == '/guests/102/console'", 60)
    made = config(102)
    assert made["kernel"] == "local:boot/vmlinuz" and made["initrd"] == "local:boot/initrd.img" and made["vga"] == "serial0", made
    assert made["cmdline"] == "console=ttyS0" and made["serial0"] == "socket" and made["name"] == "tiny", made
    assert s.node.guest_state(102) == "running"
    s.node.remove(102)
    sign_out(page)
    check_console(page)
    page.close()


@test(limit=120)
def from_a_cloud_image():
    """With cloud-init, a larger disk, and a name that is refused at its field; a reload in between."""
    s = scene()
    page = s.signed_in("/guests/new")
    fresh(page)
    page.run(PRESS, ".card input", "")
    page.run("() => document.querySelector('.card input[value=image]').click()")
    page.until("[...document.querySelectorAll('.choice input')].some(x => x.value == 'local:import/debian-12.qcow2')")
    page.run("() => document.querySelector(\".choice input[value='local:import/debian-12.qcow2']\").click()")
    press(page, NEXT, "Next")
    type_into(page, "input[name=name]", "not a name!")
    page.until("!!document.querySelector('.field.wrong .field-error')")
    type_into(page, "input[name=name]", "shop-db")
    page.until("!document.querySelector('.field-error')")
    type_into(page, "input[name=tags]", "prod;shop")
    press(page, ".create-steps a", "Hardware")
    type_into(page, "input[name=size0]", "1")
    press(page, ".create-steps a", "Cloud-init")
    type_into(page, "input[name=ciuser]", "anna")
    type_into(page, "input[name=cipassword]", "correct horse: battery")
    type_into(page, "textarea", ssh_key())
    page.run("() => { const e = [...document.querySelectorAll('.group select')][0]; e.value = 'static'; e.dispatchEvent(new Event('change', {bubbles: true})); }")
    type_into(page, "input[name=address0]", "192.0.2.7/24")
    type_into(page, "input[name=gateway0]", "192.0.2.1")
    page.evaluate("history.back()")
    page.until("location.search == '?step=hardware'")
    page.open(page.url())
    page.until("document.querySelector('input[name=size0]')?.value == '1'")
    assert "correct horse" not in page.evaluate("JSON.stringify({...sessionStorage, ...localStorage})")
    press(page, ".create-steps a", "Cloud-init")
    page.until("document.querySelector('input[name=ciuser]')?.value == 'anna'")
    page.becomes("document.querySelector('input[name=cipassword]').value", "")
    type_into(page, "input[name=cipassword]", "correct horse: battery")
    review(page)
    page.until("!!document.querySelector('.plan li[data-step=\"volume.copy\"]')")
    page.evaluate("document.querySelector('.equal').open = true")
    page.until("document.querySelectorAll('.equal pre').length == 2")
    page.says(".equal pre", "holm vm resize 102 scsi0 1G")
    assert "correct horse" not in text(page)
    created(page, 102, "/console")
    made = config(102)
    assert made["ciuser"] == "anna" and made["cipassword"] == "**********" and made["ipconfig0"] == "ip=192.0.2.7/24,gw=192.0.2.1", made
    assert "cloudinit" in made["scsi1"] and made["scsi0"].endswith("size=1G") and made["tags"] == "prod;shop" and made["boot"] == "order=scsi0", made
    assert s.node.guest_state(102) == "running"
    s.node.remove(102)
    page.open(s.base + "/guests/new?step=basics")
    page.until("document.querySelector('input[name=name]')?.value === ''")  # what was made is no draft any more
    sign_out(page)
    check_console(page)
    page.close()


@test(limit=120)
def what_the_server_refuses_is_said_at_its_field():
    s = scene()
    page = s.signed_in("/guests/new")
    fresh(page)
    page.run("() => document.querySelector('.card input[value=empty]').click()")
    press(page, NEXT, "Next")
    type_into(page, "input[name=vmid]", "100")
    page.until("document.querySelector('.field-error')?.innerText.includes('already')")
    type_into(page, "input[name=vmid]", "150")
    review(page)
    page.until("!document.querySelector('.create-foot .main').disabled")
    s.node.create(150, name="faster")  # somebody else was
    page.until("document.querySelector('.error-box')?.innerText.includes('ID')", 30)
    press(page, ".error-box a", "ID")
    page.until("document.activeElement?.name == 'vmid'")
    type_into(page, "input[name=vmid]", "151")
    review(page)
    page.until("!document.querySelector('.create-foot .main').disabled")
    s.node.remove(150)
    sign_out(page)
    check_console(page, allowed=["500", "400"])
    page.close()


@test(limit=180)
def everything_that_is_offered_is_taken():
    """Each choice of hardware and network in turn: the server plans all of them."""
    s = scene()
    page = s.signed_in("/guests/new")
    fresh(page)
    page.run("() => document.querySelector('.card input[value=empty]').click()")
    base = page.evaluate("JSON.parse(Object.entries({...sessionStorage}).find(([k]) => k.startsWith('holm.create'))[1])")
    name = page.evaluate("Object.keys({...sessionStorage}).find(k => k.startsWith('holm.create'))")
    disk, nic = base["disks"][0], base["nics"][0]
    more = {"discard": True, "ssd": True, "iothread": True}
    drafts = [
        {"bios": "ovmf", "hasKeys": True, "hasTpm": True, "machine": "pc", "vga": "qxl", "agent": True, "balloon": False, "cpu": "x86-64-v2-AES"},
        {"ostype": "win11", "bios": "ovmf", "hasTpm": True, "sockets": "2", "vga": "vmware"},
        {"ostype": "solaris", "vga": "cirrus", "hasCloudInit": True, "onboot": True},
        {"disks": [{**disk, **more, "bus": bus, "cache": cache, "format": form, "size": "1.5"} for bus, cache, form in
                   (("scsi", "none", "raw"), ("virtio", "writeback", "qcow2"), ("sata", "unsafe", ""), ("ide", "directsync", ""), ("scsi", "writethrough", ""))]},
        {"nics": [{**nic, "model": m, "mac": mac} for m, mac in
                  (("virtio", "BC:24:11:00:00:01"), ("e1000e", ""), ("e1000", ""), ("vmxnet3", ""), ("rtl8139", ""))]},
        {"source": "kernel", "kernel": "local:boot/vmlinuz", "disks": [], "vga": "none", "hasCloudInit": True},
    ]
    for draft in drafts:
        page.run("(name, draft) => sessionStorage.setItem(name, JSON.stringify(draft))", name, {**base, **draft})
        page.open(s.base + "/guests/new?step=review")
        page.until("!!document.querySelector('.plan li, .error-box')")
        assert not text(page, ".error-box"), (draft, text(page, ".error-box"))
    sign_out(page)
    check_console(page)
    page.close()


@test(limit=120)
def from_a_template():
    s = scene()
    page = s.signed_in("/guests/new")
    fresh(page)
    page.run("() => document.querySelector('.card input[value=template]').click()")
    page.until("!!document.querySelector('input[name=template]')")
    page.run("() => document.querySelector('input[name=template]').click()")
    page.until("document.querySelectorAll('.create-steps li').length == 4")  # no hardware, no network
    press(page, NEXT, "Next")
    type_into(page, "input[name=name]", "customer-7")
    page.run("() => document.querySelector('.checks input').click()")  # not started
    press(page, NEXT, "Next")
    press(page, ".check", "Values of its own")
    page.until("!!document.querySelector('input[name=ciuser]')")
    type_into(page, "input[name=ciuser]", "anna")
    type_into(page, "textarea", ssh_key())
    review(page)
    page.until("!!document.querySelector('.plan li[data-step=\"volume.fork\"]')")
    created(page, 102)
    made = config(102)
    assert made["name"] == "customer-7" and made["ciuser"] == "anna" and made["ipconfig0"] == "ip=dhcp", made
    assert s.node.guest_state(102) == "stopped"
    s.node.remove(102)
    sign_out(page)
    check_console(page)
    page.close()


@test(limit=120)
def clones_and_templates():
    s = scene()
    page = s.signed_in("/guests/100")
    press(page, ".menu-item", "Clone")
    page.until("!!document.querySelector('dialog .plan li')")
    type_into(page, "dialog input[name=name]", "a b")
    page.until("!!document.querySelector('dialog .field-error')")
    type_into(page, "dialog input[name=name]", "web-2")
    page.run("() => { const e = [...document.querySelectorAll('dialog select')].find(x => [...x.options].some(o => o.value == 'clean')); e.value = 'clean'; e.dispatchEvent(new Event('change', {bubbles: true})); }")
    page.until("document.querySelector('dialog .plan')?.innerText.includes('web-2') && !!document.querySelector('dialog .plan [data-step]')")
    press(page, "dialog button.main", "Clone")
    page.until("location.pathname == '/guests/102' && document.querySelector('h1')?.innerText.includes('web-2')", 60)
    assert config(102)["name"] == "web-2" and config(102)["scsi0"].startswith("local:102/")
    press(page, ".menu-item", "Make a template")
    press(page, "dialog button.main", "Make a template")
    page.until("!document.querySelector('dialog')")
    assert config(102)["template"] == 1
    press(page, ".menu-item", "Clone")
    page.until("!!document.querySelector('dialog .plan li[data-step=\"volume.fork\"]')")
    page.run("() => document.querySelector('dialog input[value=full]').click()")
    page.until("!!document.querySelector('dialog .plan li[data-step=\"volume.copy\"]')")
    key(page, "Escape")
    s.node.remove(102)
    sign_out(page)
    check_console(page)
    page.close()


@test(limit=120)
def who_may_not_and_who_may_in_one_pool():
    s = scene()
    s.node.create_user("auditor@pve", "PVEAuditor")
    page = s.signed_in("/guests", "auditor")
    page.until("!!document.querySelector('tbody tr[id]')")
    assert "New guest" not in text(page)
    page.open(s.base + "/guests/100")
    page.until("!!document.querySelector('h1')")
    assert not page.evaluate("document.querySelectorAll('.view .menu-item, .view-head button').length")
    page.open(s.base + "/guests/new")
    page.until("document.querySelector('.view')?.innerText.includes('You may not create guests')")
    sign_out(page)
    s.node.create_user("shop@pve")
    for path, role in (("/pool/shop", "PVEVMAdmin"), ("/storage/local", "PVEDatastoreUser")):
        s.node.api.put("/access/acl", path=path, roles=role, users="shop@pve")
    page = s.signed_in("/guests", "shop")
    press(page, ".empty button", "New guest")  # sees no guest yet
    page.until("!!document.querySelector('.card')")
    page.run("() => document.querySelector('.card input[value=empty]').click()")
    press(page, NEXT, "Next")
    page.until("[...document.querySelectorAll('select')].some(x => x.value == 'shop')")
    assert page.evaluate("[...document.querySelectorAll('select')].every(x => ![...x.options].some(o => o.value == 'lab'))")
    review(page)
    created(page, 102, "/console")
    assert [m["vmid"] for m in s.node.api.get("/pools", poolid="shop")[0]["members"]] == [102]
    sign_out(page)  # a page that shows the guest would ask for it while it goes, and not be told that it is gone
    s.node.remove(102)
    check_console(page)
    page.close()


@test(limit=180)
def screens():
    s = scene()
    page = s.signed_in("/guests/new")
    fresh(page)
    s.shoot(page, "create-iso", "/guests/new", "document.querySelectorAll('.choice').length == 4")
    page.run("() => document.querySelector('.card input[value=kernel]').click()")
    s.shoot(page, "create-kernel", "/guests/new", "document.querySelectorAll('.choice').length == 1")
    page.run("() => document.querySelector('.card input[value=image]').click()")
    page.until("document.querySelectorAll('fieldset .choice').length == 2")
    page.run("() => document.querySelector(\".choice input[value='local:import/debian-12.qcow2']\").click()")
    s.shoot(page, "create-image", "/guests/new", "document.querySelectorAll('fieldset .choice').length == 2")
    for step in ("basics", "hardware", "network", "cloudinit"):
        s.shoot(page, f"create-{step}", f"/guests/new?step={step}", "!!document.querySelector('.create-fields')")
    page.open(s.base + "/guests/new?step=cloudinit")
    type_into(page, "textarea", ssh_key())
    s.shoot(page, "create-review", "/guests/new?step=review", "!!document.querySelector('.plan li')")
    page.open(s.base + "/guests/new?step=basics")
    type_into(page, "input[name=name]", "bad name!")
    s.shoot(page, "create-wrong", "/guests/new?step=review", "!!document.querySelector('.error-box')")
    page.open(s.base + "/guests/101")
    press(page, ".menu-item", "Clone")
    page.until("!!document.querySelector('dialog .plan li')")
    s.shoot(page, "create-clone")
    key(page, "Escape")
    page.open(s.base + "/guests/100")
    press(page, ".menu-item", "Make a template")
    page.until("document.querySelector('dialog .error-box')?.innerText.includes('snapshots')")  # said before it is tried
    s.shoot(page, "create-template", modes=("light", "phone"))
    key(page, "Escape")
    page.until("!document.querySelector('dialog')")
    s.shoot(page, "create-list", "/guests", "!!document.querySelector('tbody tr[id]')", modes=("light", "phone"))
    for lang, word in (("de", "Neuer Gast"), ("fr", "Nouvel invité"), ("zh", "新建客户机"), ("xx", "[Néw gúést~~~]")):
        page.evaluate(f"localStorage.setItem('holm.language', '\"{lang}\"')")
        s.shoot(page, f"create-hardware-{lang}", "/guests/new?step=hardware", f"document.querySelector('h1')?.innerText == {json.dumps(word)}", modes=("phone",))
    page.evaluate("localStorage.setItem('holm.language', '\"en\"')")
    page.open(s.base + "/guests")
    sign_out(page)
    check_console(page, allowed=["500"])
    page.close()


if __name__ == "__main__":
    end_with(scene)
    main()
