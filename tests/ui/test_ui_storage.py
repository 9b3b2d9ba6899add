"""The storage screens in Debian's chromium against a real holmd: storages made, changed and removed; volumes looked at, noted
and deleted; files uploaded in pieces, over a lost connection and a reload; downloads; what an auditor is not offered."""
import functools
import hashlib
import http.server
import os
import shutil
import threading

from lib.tap import main, test
from lib.wait import wait_for
from ui.scene import Scene, check_console, end_with, files_into, key, press, text, type_into

MIB = 1 << 20
ISOS = {"debian-12.7.0-amd64-netinst.iso": 631, "debian-13.1.0-amd64-DVD-1.iso": 3822, "ubuntu-24.04.1-live-server-amd64.iso": 2646, "alpine-virt-3.20.3-x86_64.iso": 61,
        "virtio-win-0.1.262.iso": 708, "Rocky-9.4-x86_64-boot.iso": 1025, "OPNsense-24.7-dvd-amd64.iso": 2112, "TrueNAS-SCALE-24.10.0.2.iso": 1537,
        "proxmox-backup-server_3.2-1-with-a-rather-long-name-that-does-not-fit-anywhere.iso": 1020}
GUESTS = {100: ("web-1", 32), 101: ("shop-db", 200), 102: ("mail", 64), 103: ("git", 120), 110: ("windows-erp", 80)}
DATA = os.urandom(300_000)
DROP = """(selector, name) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(['no image'], name));
    document.querySelector(selector).dispatchEvent(new DragEvent('drop', {dataTransfer, bubbles: true, cancelable: true}));
}"""
SLOW = {"latency": 0, "downloadThroughput": -1}


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        known = self.path.endswith(".iso")
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "application/x-iso9660-image")
        self.send_header("Content-Length", str(len(DATA) if known else 0))
        self.end_headers()
        if known and self.command == "GET":
            self.wfile.write(DATA)

    do_HEAD = do_GET


def sparse(folder, name, mib, days):
    """A file of this size that takes no space."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    with open(path, "wb") as f:
        f.write(name.encode())
        f.truncate(mib * MIB)
    at = int(os.stat(path).st_mtime) - days * 86400
    os.utime(path, (at, at))


@functools.cache
def scene():
    s = Scene()
    node = s.node
    node.api.put("/storage/local", content="images,iso,import,vztmpl,boot,backup,snippets")
    top = node.path("var/storage/local")
    for i, (name, mib) in enumerate(ISOS.items()):
        sparse(top + "/template/iso", name, mib, i * 9)
    for i, vmid in enumerate(GUESTS):
        name, gib = GUESTS[vmid]
        node.create(vmid, name=name, memory=512, scsi0=f"local:{gib},format={'qcow2' if i % 2 else 'raw'}")
    node.api.post("/nodes/{node}/storage/local/content", filename="vm-900-disk-0.qcow2", vmid=900, size="3584M")
    os.makedirs(top + "/import")
    shutil.copy(top + "/images/900/vm-900-disk-0.qcow2", top + "/import/debian-12.qcow2")
    sparse(top + "/import", "appliance-7.2.raw", 4096, 40)
    for vmid, day in ((100, "2026-11-20"), (101, "2026-11-20"), (100, "2026-11-13")):
        sparse(top + "/dump", f"vzdump-qemu-{vmid}-{day.replace('-', '_')}-02_00_00.vma.zst", 900 + vmid, 3)
    sparse(top + "/boot", "vmlinuz-6.1.0-26-amd64", 8, 12)
    node.api.put("/nodes/{node}/storage/local/content/iso/debian-12.7.0-amd64-netinst.iso", notes="Standard installer\nSigned, checked on 2026-09-01", protected=1)
    node.api.put("/nodes/{node}/storage/local/content/iso/virtio-win-0.1.262.iso", notes="Drivers for Windows guests")
    node.api.post("/storage", storage="archive", type="dir", path=node.base + "/archive", content="iso,backup", shared=1)
    node.api.post("/storage", storage="nvme-tank", type="dir", path=node.base + "/nvme", content="images,import", preallocation="falloc")
    node.api.post("/storage", storage="old-nas", type="dir", path=node.base + "/nas", content="backup", disable=1)
    return s


@functools.cache
def server():
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{web.server_port}"


def volume(s, volid, storage="local"):
    return next((v for v in s.node.api.get(f"/nodes/{{node}}/storage/{storage}/content") if v["volid"] == volid), None)


def made(s, name, size):
    path = os.path.join(s.node.base, name)
    data = os.urandom(size)
    with open(path, "wb") as f:
        f.write(data)
    return path, hashlib.sha256(data).hexdigest()


def sha256_of(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def iso(s, name, storage="var/storage/local"):
    return os.path.join(s.node.path(storage), "template/iso", name)


def network(page, upload=-1, offline=False):
    page.call("Network.emulateNetworkConditions", offline=offline, uploadThroughput=upload, **SLOW)


def rows(page):
    return page.evaluate("[...document.querySelectorAll('tbody tr[id]')].map(r => r.innerText)")


@test(limit=120)
def a_storage_is_made_changed_and_removed():
    s = scene()
    page = s.signed_in("/storage")
    page.until("document.querySelectorAll('tbody tr[id]').length == 4")
    page.says("[id='storages-n1/old-nas']", "Switched off")
    page.says("[id='storages-n1/local']", "Available")
    press(page, ".view-head button", "Add storage")
    type_into(page, "dialog input[name=storage]", "data")
    type_into(page, "dialog input[name=path]", "relative")
    press(page, "dialog button[type=submit]", "Add storage")
    page.until("!!document.querySelector('dialog .field-error')")  # at its field
    type_into(page, "dialog input[name=path]", s.node.base + "/data")
    page.until("!!document.querySelector('dialog .toggle-grid')")
    s.shoot(page, "storage-add", modes=("light", "phone"))
    press(page, "dialog button[type=submit]", "Add storage")
    page.until("!document.querySelector('dialog') && !!document.querySelector('[id=\"storages-n1/data\"]')")
    assert s.node.api.get("/storage/data")["content"] == "images,iso,import"
    page.run("() => document.querySelector('[id=\"storages-n1/data\"] .menu-around button').click()")
    press(page, "[id='storages-n1/data'] .menu-item", "Settings")
    press(page, "dialog .toggle-grid label", "Backups")
    press(page, "dialog .more-settings summary")
    press(page, "dialog .more-settings label.check", "Shared")
    press(page, "dialog button[type=submit]", "Save")
    page.until("!document.querySelector('dialog')")
    data = s.node.api.get("/storage/data")
    assert "backup" in data["content"] and data["shared"] == 1, data
    press(page, "[id='storages-n1/data'] .menu-item", "Switch off")
    page.until("document.querySelector('[id=\"storages-n1/data\"]')?.innerText.includes('Switched off')")
    page.open(s.base + "/storage/n1/data")
    press(page, ".note-box button", "Switch on")
    page.until("!document.querySelector('.note-box') && document.querySelectorAll('.tabs a').length > 3")
    press(page, ".view-head .menu-item", "Remove")
    page.until("!!document.querySelector('dialog .field input')")
    page.until("document.querySelector('dialog button.danger').disabled")
    type_into(page, "dialog .field input", "data")
    press(page, "dialog button.danger", "Remove")
    page.until("location.pathname == '/storage' && !document.querySelector('[id=\"storages-n1/data\"]')")
    assert os.path.isdir(s.node.base + "/data"), "its files stay"
    s.node.api.refused("GET", "/storage/data")
    check_console(page, allowed=["400"])
    page.close()


@test(limit=120)
def content_is_found_noted_and_deleted():
    s = scene()
    page = s.signed_in("/storage/n1/local/content?kind=iso")
    page.until(f"document.querySelectorAll('tbody tr[id]').length == {len(ISOS)}")
    type_into(page, "input[type=search]", "win")
    page.until("document.querySelectorAll('tbody tr[id]').length == 1")
    press(page, "tbody a", "virtio-win")
    page.until("document.querySelector('dialog textarea')?.value.includes('Drivers')")
    page.until("location.href.includes('volume=local%3Aiso%2Fvirtio-win')")
    type_into(page, "dialog textarea", "Drivers, 0.1.262")
    press(page, "dialog .check", "Protected")
    press(page, "dialog button[type=submit]", "Save")
    wait_for(lambda: volume(s, "local:iso/virtio-win-0.1.262.iso").get("protected") == 1, 10, "the protection")
    assert volume(s, "local:iso/virtio-win-0.1.262.iso")["notes"] == "Drivers, 0.1.262"
    page.until("document.querySelector('dialog .dialog-foot button')?.disabled")  # protected: not deleted
    page.open(s.base + "/storage/n1/local/content?volume=local%3A900%2Fvm-900-disk-0.qcow2")
    press(page, "dialog .dialog-foot button", "Delete")
    page.until("!!document.querySelector('dialog .items') && document.querySelector('dialog button.danger').disabled")
    type_into(page, "dialog .field input", "vm-900-disk-0.qcow2")
    press(page, "dialog button.danger", "Delete")
    page.until("!document.querySelector('dialog')")
    assert volume(s, "local:900/vm-900-disk-0.qcow2") is None
    page.until("!document.querySelector('[id=\"volumes-local:900/vm-900-disk-0.qcow2\"]')")
    # Several at once: one is protected, and says so.
    for name in ("alpine", "virtio"):
        press(page, "td input", f"Select {name}")
    press(page, ".selection button", "Delete")
    press(page, "dialog button.danger", "Delete")
    page.until("document.querySelectorAll('dialog .items .state.good').length == 1 && document.querySelectorAll('dialog .items .state.bad').length == 1")
    page.says("dialog .items", "protected")
    press(page, "dialog .dialog-foot button", "Close")
    assert volume(s, "local:iso/alpine-virt-3.20.3-x86_64.iso") is None
    page.evaluate("document.querySelector('.table-box table').focus()")
    for name in ("Home", "ArrowDown", "Enter"):
        key(page, name)
    page.until("document.querySelector('dialog')?.innerText.includes('Path on the node')")
    key(page, "Escape")
    page.until("!document.querySelector('dialog') && !location.search.includes('volume')")
    # An empty image; the list knows of it by itself.
    press(page, ".view-head button", "New disk image")
    type_into(page, "dialog input[name=vmid]", "100")
    page.until("document.querySelector('dialog input[name=filename]').value == 'vm-100-disk-1'")
    type_into(page, "dialog input[name=size]", "4")
    press(page, "dialog button[type=submit]", "Make image")
    page.until("!document.querySelector('dialog')")
    assert volume(s, "local:100/vm-100-disk-1.raw")["size"] == 4 << 30
    check_console(page, allowed=["500"])
    page.close()


@test(limit=120)
def a_file_is_uploaded_over_a_lost_connection():
    s = scene()
    path, digest = made(s, "fedora server (40).iso", 20 * MIB)
    page = s.signed_in("/storage/n1/local/upload")
    files_into(page, ".drop input", path)
    page.until("document.querySelector('dialog input')?.value == 'fedora-server-(40).iso'")
    type_into(page, "dialog fieldset > .field input", digest + "  fedora.iso")
    page.until("document.querySelector('dialog').innerText.includes('Checked as sha256')")
    s.shoot(page, "storage-upload-dialog", modes=("light", "phone"))
    network(page, upload=6 * MIB)
    press(page, "dialog button[type=submit]", "Upload")
    page.until("document.querySelector('.upload [role=progressbar]')?.ariaValueNow >= 20")
    page.until("!dispatchEvent(new Event('beforeunload', {cancelable: true}))")  # it is not left without a word
    s.shoot(page, "storage-uploading", modes=("light",))
    network(page, offline=True)
    page.until("document.querySelector('.upload')?.classList.contains('waiting')")
    assert volume(s, "local:iso/fedora-server-(40).iso") is None
    network(page)
    page.until("document.querySelector('.upload')?.classList.contains('done')", 40)
    assert sha256_of(iso(s, "fedora-server-(40).iso")) == digest
    assert s.node.api.get("/nodes/{node}/storage/local/uploads") == []
    press(page, ".tabs a", "Content")
    page.until("!!document.querySelector('[id=\"volumes-local:iso/fedora-server-(40).iso\"]')")
    page.until("dispatchEvent(new Event('beforeunload', {cancelable: true}))")  # nothing is sent: it may be left
    # A wrong checksum: nothing is kept. This one is dropped.
    press(page, ".tabs a", "Upload")
    page.until("!!document.querySelector('.drop')")
    page.run(DROP, ".drop", "wrong.iso")
    type_into(page, "dialog fieldset > .field input", "0" * 64)
    press(page, "dialog button[type=submit]", "Upload")
    page.until("document.querySelector('.upload.failed')?.innerText.includes('checksum')", 30)
    assert volume(s, "local:iso/wrong.iso") is None
    press(page, ".upload.failed button", "Give up")
    page.until("!document.querySelector('.upload.failed')")
    check_console(page, allowed=["ERR_INTERNET_DISCONNECTED", "404"])
    page.close()


@test(limit=120)
def an_upload_is_paused_and_taken_up_after_a_reload():
    s = scene()
    path, digest = made(s, "openbsd-7.6.iso", 30 * MIB)
    second, _ = made(s, "freebsd-14.iso", 20 * MIB)
    page = s.signed_in("/storage/n1/local/upload")
    network(page, upload=5 * MIB)
    files_into(page, ".drop input", path, second)
    page.until("document.querySelectorAll('dialog .file-row').length == 2")
    press(page, "dialog button[type=submit]", "Upload")
    page.until("document.querySelector('.upload [role=progressbar]')?.ariaValueNow >= 15")
    press(page, ".upload button", "Pause freebsd")
    page.until("document.querySelectorAll('.upload.paused').length == 1")
    press(page, ".tabs a", "Summary")
    page.until("document.querySelector('.uploads-line')?.innerText.includes('Sending 1 file to local')")  # it goes on
    press(page, ".tabs a", "Upload")
    press(page, ".upload button", "Pause openbsd")
    page.until("document.querySelectorAll('.upload.paused').length == 2")
    network(page)
    page.open(s.base + "/storage/n1/local/upload")  # nothing runs: the page does not ask
    page.until("document.querySelectorAll('.upload').length == 2")
    parts = {u["filename"]: u for u in s.node.api.get("/nodes/{node}/storage/local/uploads")}
    assert 0 < parts["openbsd-7.6.iso"]["received"] < 30 * MIB, parts
    s.shoot(page, "storage-unfinished")
    press(page, ".upload:has(strong) button", "Delete the unfinished upload of freebsd")
    press(page, "dialog button.danger", "Delete")
    page.until("document.querySelectorAll('.upload').length == 1")
    page.call("Page.setInterceptFileChooserDialog", enabled=True)
    press(page, ".upload button", "Go on with the file")
    files_into(page, "input.take-up", second)  # another size
    page.until("!!document.querySelector('.toast.bad')")
    files_into(page, "input.take-up", path)
    page.until("document.querySelector('.upload')?.classList.contains('done')", 40)
    assert sha256_of(iso(s, "openbsd-7.6.iso")) == digest
    assert s.node.api.get("/nodes/{node}/storage/local/uploads") == []
    check_console(page)
    page.close()


@test(limit=120)
def downloads_from_an_address_and_the_catalogue():
    s = scene()
    with open(s.node.path("etc/images.list"), "w", encoding="utf-8") as f:
        f.write(f"golden-image qcow2 {server()}/golden-x86_64.qcow2 sha256 {server()}/SHA256SUMS\n")
    page = s.signed_in("/storage/n1/local/download")
    page.until("document.querySelectorAll('.card').length > 10")
    type_into(page, "input[name=url]", server() + "/none")
    press(page, ".url-row button", "Check")
    page.until("!!document.querySelector('.error-box')")
    type_into(page, "input[name=url]", server() + "/pub/netbsd-10.iso")
    press(page, ".url-row button", "Check")
    page.until("document.querySelector('input[name=filename]')?.value == 'netbsd-10.iso'")
    page.says(".downloads .facts", "293\u00a0KiB")
    type_into(page, "input[name=checksum]", hashlib.sha256(DATA).hexdigest())
    s.shoot(page, "storage-download-form", modes=("light", "phone"))
    press(page, ".downloads form button.main", "Download")
    page.until("document.querySelector('.task-list')?.innerText.includes('netbsd-10.iso')", 30)
    wait_for(lambda: volume(s, "local:iso/netbsd-10.iso"), 30, "the download")
    assert sha256_of(iso(s, "netbsd-10.iso")) == hashlib.sha256(DATA).hexdigest()
    page.until("[...document.querySelectorAll('.card')].find(c => c.innerText.includes('Debian 12'))?.innerText.includes('Here')")
    press(page, ".card button", "Download golden-image")
    page.until("document.querySelector('dialog')?.innerText.includes('SHA256SUMS') || !!document.querySelector('dialog .facts')")
    press(page, "dialog button[type=submit]", "Download")
    page.until("!!document.querySelector('dialog .error-box, .toast.bad')", 30)  # its maker's site has no checksums
    check_console(page, allowed=["500", "400", "596"])
    page.close()


@test(limit=60)
def an_auditor_is_offered_nothing():
    s = scene()
    s.node.create_user("auditor@pve", "PVEAuditor")
    page = s.signed_in("/storage", "auditor")
    page.until("document.querySelectorAll('tbody tr[id]').length >= 4")
    assert not page.evaluate("[...document.querySelectorAll('.view button')].filter(b => /Add|Actions|Settings|Remove/.test(b.textContent + b.ariaLabel)).length")
    page.open(s.base + "/storage/n1/local/content?volume=local%3Aiso%2Fdebian-12.7.0-amd64-netinst.iso")
    page.until("document.querySelector('.volume-notes')?.innerText.includes('Standard installer')")
    assert not page.evaluate("document.querySelectorAll('dialog form, .check-cell').length")
    page.becomes("[...document.querySelectorAll('.tabs a')].map(a => a.innerText)", ["Summary", "Content", "Backups"])
    page.open(s.base + "/storage/n1/local/upload")
    page.until("document.querySelector('.empty')?.innerText.includes('nothing')")
    check_console(page)
    page.close()


@test(limit=120)
def every_screen_in_every_mode():
    s = scene()
    page = s.signed_in("/storage")
    s.shoot(page, "storage-list", "/storage", "document.querySelectorAll('tbody tr[id]').length >= 4")
    s.shoot(page, "storage-summary", "/storage/n1/local", "document.querySelector('.kind-list') && document.querySelector('.chart canvas')")
    s.shoot(page, "storage-content", "/storage/n1/local/content", "document.querySelectorAll('tbody tr[id]').length > 10")
    s.shoot(page, "storage-volume", "/storage/n1/local/content?volume=local%3Aiso%2Fdebian-12.7.0-amd64-netinst.iso", "document.querySelector('dialog textarea')", ("light", "phone"))
    s.shoot(page, "storage-download", "/storage/n1/local/download", "document.querySelectorAll('.card').length > 5")
    s.shoot(page, "storage-backups", "/storage/n1/local/backups", "document.querySelectorAll('.plan-list li').length == 3", ("dark", "phone"))
    s.shoot(page, "storage-empty", "/storage/n1/archive/content", "document.querySelector('.empty')", modes=("light",))
    s.shoot(page, "storage-disabled", "/storage/n1/old-nas", modes=("light",))
    for lang in ("de", "fr"):  # longer words
        page.evaluate(f"localStorage.setItem('holm.language', '\"{lang}\"')")
        s.shoot(page, f"storage-content-{lang}", "/storage/n1/local/content", "document.querySelectorAll('tbody tr[id]').length > 7", ("phone",))
        s.shoot(page, f"storage-upload-{lang}", "/storage/n1/local/upload", modes=("light",))
    page.evaluate("localStorage.removeItem('holm.language')")
    check_console(page)
    page.close()


if __name__ == "__main__":
    end_with(scene)
    main()
