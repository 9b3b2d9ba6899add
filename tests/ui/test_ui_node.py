"""Nodes, tasks and settings in Debian's chromium: networks planned, dropped and applied; name servers, time and services;
the journal as it grows; a task that goes on and is stopped; settings kept; what an auditor is not offered."""
import functools
import glob
import json
import os

from lib import netns
from lib.tap import main, test
from lib.wait import wait_for
from ui.node_host import ServerScene
from ui.scene import check_console, choose, end_with, key, press, sign_in, sign_out, text, type_into

NAMES = {100: "router", 101: "dns-1", 110: "shop-db", 111: "shop-web", 120: "git", 130: "ci-runner-1", 131: "ci-runner-2", 140: "windows-build-machine"}
STARTUP = {100: "order=1,up=5", 101: "order=2", 110: "order=3"}
NET = "/nodes/{node}/network"


@functools.cache
def scene():
    s = ServerScene()
    for vmid, name in NAMES.items():
        s.node.create(vmid, name=name, memory=64, **({"startup": STARTUP[vmid], "onboot": 1} if vmid in STARTUP else {}), **({"scsi0": "local:0.0625,format=raw"} if vmid == 110 else {}))
    with open(glob.glob(s.node.path("var/storage/local/images/110/*.raw"))[0], "r+b") as f:
        f.write(os.urandom(2**20) * 60)  # something to copy
    s.node.api.post(NET, iface="vmbr0", type="bridge", cidr="10.87.0.1/24", nat=1, autostart=1, comments="guests", **{"dhcp-range": "10.87.0.16-10.87.0.254"})
    s.node.api.run("PUT", NET)
    s.node.api.put(s.node.vm(111, "/config"), net0="virtio,bridge=vmbr77")
    s.node.api.outcome("POST", s.node.vm(111, "/status/start"))  # fails: there is no such bridge
    s.node.api.run("POST", s.node.vm(100, "/status/start"))
    s.node.create_user("auditor@pve", "PVEAuditor")
    return s


def listed():
    return {i["iface"]: i for i in scene().node.api.get(NET)}


def labelled(page, label):
    """The field of a dialog that has this label."""
    find = f"[...document.querySelectorAll('dialog label')].find(l => l.innerText.trim() == {json.dumps(label)})?.htmlFor"
    return "#" + page.until(find)


@test(limit=120)
def a_node_and_its_summary():
    s = scene()
    page = s.signed_in("/nodes")
    page.until("location.pathname == '/nodes/n1'")  # there is one only
    page.until("document.querySelectorAll('.node-uses .meter').length >= 4")
    page.says("h1", "n1", "Online")
    page.until("document.querySelectorAll('.chart canvas').length >= 4")
    s.shoot(page, "node-summary", "/nodes/n1", "document.querySelectorAll('.chart canvas').length >= 4 && document.querySelector('.task-row')")
    press(page, ".view-head .menu-around .button", "Host")
    press(page, ".menu-item", "Reboot host")
    page.until("!!document.querySelector('dialog button.danger[disabled]')")  # the name is not typed
    s.shoot(page, "node-reboot", modes=("light", "phone"))
    press(page, "dialog button", "Cancel")
    page.until("!document.querySelector('dialog')")
    check_console(page)
    page.close()


@test(limit=120)
def all_guests_in_their_order():
    s = scene()
    page = s.signed_in("/nodes/n1")
    press(page, ".view-head .menu-around .button", "All guests")
    press(page, ".menu-item", "Start guests")
    page.until(f"document.querySelectorAll('dialog .items li').length == {len(NAMES) - 1}")
    page.until("document.querySelector('dialog .items li').innerText.startsWith('dns-1')")
    page.becomes("[...document.querySelectorAll('dialog .items input')].slice(0, 3).map(i => i.checked)", [True, True, False])
    s.shoot(page, "node-start-all", modes=("light", "phone"))
    press(page, "dialog button", "Go ahead with 2")
    page.until("document.querySelector('dialog [role=status]')?.innerText.includes('All guests are done')", 60)
    assert [s.node.guest_state(v) for v in (101, 110, 111)] == ["running", "running", "stopped"]
    press(page, "dialog button", "Log")
    page.until("document.querySelector('.drawer h2')?.innerText == 'Start all guests' && !document.querySelector('dialog')")
    key(page, "Escape")
    page.until("!document.querySelector('.drawer')")
    check_console(page)
    page.close()


@test(limit=120)
def a_network_is_planned_dropped_and_applied():
    s = scene()
    page = s.signed_in("/nodes/n1/network")
    page.until("document.querySelectorAll('.sheet tbody tr').length >= 4")
    press(page, ".panel .menu-around .button", "Create")
    press(page, ".menu-item", "Bridge with NAT and DHCP")
    page.until("document.querySelector('dialog input')?.value == 'vmbr1'")
    type_into(page, labelled(page, "IPv4 address"), "10.88.0.1")
    press(page, "dialog button", "Add to the plan")
    page.until("!!document.querySelector('dialog .field-error, dialog .error-box')")
    type_into(page, labelled(page, "IPv4 address"), "10.88.0.1/24")
    s.shoot(page, "node-bridge", modes=("light", "phone"))
    press(page, "dialog button", "Add to the plan")
    page.until("document.querySelector('.waiting')?.innerText.includes('vmbr1')")
    assert listed()["vmbr1"]["pending"] == "new" and listed()["vmbr1"]["nat"] == 1
    press(page, ".waiting button", "Drop changes")
    press(page, "dialog button.danger", "Drop changes")
    page.until("!document.querySelector('.waiting')")
    assert "vmbr1" not in listed()
    # a change of what there is, shown with what it was; applied in the namespace of this program
    press(page, ".sheet button", "Edit vmbr0")
    page.until("!!document.querySelector('dialog form')")
    type_into(page, labelled(page, "MTU"), "1400")
    press(page, "dialog button", "Add to the plan")
    page.until("document.querySelector('.waiting .diff.change ins')?.innerText == '1400'")
    s.node.api.put(NET + "/vmbr0", type="bridge", comments="office")
    s.node.api.post(NET, iface="vmbr2", type="bridge", bridge_ports="eth1", bridge_vlan_aware=1, comments="office")
    page.open(s.base + "/nodes/n1/network")
    page.until("document.querySelectorAll('.waiting .diff').length == 2")
    page.becomes("document.querySelector('.waiting .diff.change del')?.innerText", "guests")
    s.shoot(page, "node-network", "/nodes/n1/network", "document.querySelectorAll('.waiting .diff').length == 2")
    s.node.api.delete(NET + "/vmbr2")
    page.open(s.base + "/nodes/n1/network")
    press(page, ".waiting button", "Apply")
    page.until("document.querySelector('dialog')?.innerText.includes('is not known')")
    press(page, "dialog button.main", "Apply")
    page.until("!document.querySelector('dialog') && !document.querySelector('.waiting')", 30)
    assert netns.links()["vmbr0"]["mtu"] == 1400 and "pending" not in listed()["vmbr0"]
    check_console(page, allowed=["400"])
    page.close()


@test(limit=60)
def a_change_of_the_way_here_warns():
    s = scene()
    s.node.api.post(NET, iface="vmbr9", type="bridge", bridge_ports="eth0")
    page = s.browser.page()
    page.call("Log.enable")
    page.open(s.by_address + "/nodes/n1/network")
    sign_in(page)
    page.until("document.querySelector('.sheet')?.innerText.includes('your way here')")
    press(page, ".waiting button", "Apply")
    page.until("document.querySelector('dialog .notice.bad')?.innerText.includes('192.0.2.10')")
    page.until("document.querySelector('dialog button.danger').disabled")
    s.shoot(page, "node-cut-off", modes=("light", "phone"))
    s.node.api.delete(NET)
    page.close()


@test(limit=120)
def host_settings_are_changed_and_refused():
    s = scene()
    page = s.signed_in("/nodes/n1/system")
    press(page, ".panel button", "Edit Name servers")
    type_into(page, labelled(page, "Name server 1"), "not an address")
    press(page, "dialog button.main", "Save")
    page.until("!!document.querySelector('dialog .field-error')")  # at its field
    type_into(page, labelled(page, "Name server 1"), "192.0.2.54")
    press(page, "dialog button.main", "Save")
    page.until("!document.querySelector('dialog') && document.querySelector('.facts').innerText.includes('192.0.2.54')")
    assert s.node.api.get("/nodes/{node}/dns")["dns1"] == "192.0.2.54"
    press(page, ".panel button", "Edit Time zone")
    type_into(page, "dialog input", "Europe/Vienna")
    press(page, "dialog button.main", "Save")
    page.until("document.querySelector('.view')?.innerText.includes('Europe/Vienna') && !document.querySelector('dialog')")
    press(page, ".panel button", "Edit /etc/hosts")
    type_into(page, "dialog textarea", "nonsense\n")
    press(page, "dialog button.main", "Save")
    page.until("document.querySelector('dialog .field-error')?.innerText.includes('line 1')")
    press(page, "dialog button", "Cancel")
    press(page, ".panel button", "Edit Settings of the node")
    type_into(page, "dialog textarea", "Rack 4, second from above.\nAsk Kim before rebooting.")
    type_into(page, "dialog input[type=number]", "20")
    press(page, "dialog button.main", "Save")
    page.until("document.querySelector('.view')?.innerText.includes('Ask Kim') && !document.querySelector('dialog')")
    assert s.node.api.get("/nodes/{node}/config")["startall-onboot-delay"] == 20
    s.shoot(page, "node-system", "/nodes/n1/system", "document.querySelector('.certificate')")
    press(page, ".panel button", "Upload certificate")
    page.until("!!document.querySelector('dialog textarea')")
    type_into(page, "dialog textarea", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")
    press(page, "dialog button.main", "Upload")
    page.until("!!document.querySelector('dialog .field-error, dialog .error-box')")
    s.shoot(page, "node-certificate", modes=("light", "phone"))
    press(page, "dialog button", "Cancel")
    # where the host cannot be written to, the server says so
    os.rename(s.node.etc + "/resolv.conf", s.node.etc + "/resolv.kept")
    os.symlink("/run/somebody/resolv.conf", s.node.etc + "/resolv.conf")
    page.open(s.base + "/nodes/n1/system")
    press(page, ".panel button", "Edit Name servers")
    type_into(page, "dialog input", "x.example")
    press(page, "dialog button.main", "Save")
    page.until("document.querySelector('dialog .error-box')?.innerText.includes('another program manages it')")
    os.replace(s.node.etc + "/resolv.kept", s.node.etc + "/resolv.conf")
    check_console(page, allowed=["400", "500"])
    page.close()


@test(limit=120)
def services_disks_devices_and_software():
    s = scene()
    page = s.signed_in("/nodes/n1/services")
    page.until("document.querySelectorAll('.sheet tbody tr').length >= 7")
    page.says(".bad-row", "Failed")
    press(page, ".sheet .menu-around .button", "What to do with ssh")
    press(page, ".menu:popover-open .menu-item", "Stop")
    page.until("document.querySelector('dialog')?.innerText.includes('reach the host')")
    press(page, "dialog button", "Cancel")
    press(page, ".sheet .menu-around .button", "What to do with cron")
    press(page, ".menu:popover-open .menu-item", "Restart")
    wait_for(lambda: [x for x in s.node.api.get("/nodes/{node}/tasks", source="all") if x["type"] == "srvrestart"], 20, "a task")
    s.shoot(page, "node-services", "/nodes/n1/services", "document.querySelector('.bad-row')", modes=("light", "phone"))
    s.shoot(page, "node-disks", "/nodes/n1/disks", "document.querySelectorAll('.sheet').length >= 5", modes=("light", "phone"))
    press(page, ".sheet button", "SMART values of /dev/vda")
    page.until("document.querySelector('dialog')?.innerText.includes('Power On Hours')")
    page.until("location.href.includes('disk=')")
    s.shoot(page, "node-smart", modes=("light", "phone"))
    s.shoot(page, "node-hardware", "/nodes/n1/hardware", "document.body.innerText.includes('Cruzer')", modes=("light", "phone"))
    press(page, ".sheet button", "Shared parts of 0000:01:00.0")
    page.until("document.querySelector('dialog')?.innerText.includes('GRID V100-1Q')")
    page.open(s.base + "/nodes/n1/software")
    press(page, ".panel button", "Make a report")
    page.until("document.querySelector('.report')?.innerText.includes('==== node ====')")
    s.shoot(page, "node-software", modes=("light", "phone"))
    check_console(page)
    page.close()


@test(limit=60)
def the_journal_is_followed_and_filtered():
    s = scene()
    page = s.signed_in("/nodes/n1/log")
    page.until("document.querySelector('.log')?.innerText.includes('10:00:59')")
    with open(s.node.base + "/journal", "a", encoding="utf-8") as f:
        f.write("Nov 21 10:05:00 n1 sshd[900]: Connection closed by 203.0.113.9 port 4022\n")
    page.until("document.querySelector('.log')?.innerText.includes('203.0.113.9')", 15)
    assert text(page, ".log").count("10:00:59") == 1
    page.evaluate("(e => { e.scrollTop = 0; })(document.querySelector('.log'))")
    press(page, ".log-follow button", "To the end")  # who reads is not torn away
    page.until("!document.querySelector('.log-follow')")
    s.shoot(page, "node-log", "/nodes/n1/log", "document.querySelector('.log')?.innerText.length > 100", modes=("light", "phone"))
    type_into(page, ".filters input[type=text]", "sshd")
    press(page, ".filters button[type=submit]", "Filter")
    page.until("document.querySelector('.log')?.innerText.includes('203.0.113.9') && !document.querySelector('.log').innerText.includes('cron')")
    page.until("location.href.includes('unit=sshd')")
    check_console(page)
    page.close()


@test(limit=120)
def a_task_goes_on_and_is_stopped():
    s = scene()
    s.node.api.run("POST", s.node.vm(110, "/status/stop"))
    upid = s.node.api.post(s.node.vm(110, "/clone"), newid=500, full=1, name="shop-db-copy", bwlimit=4096)
    page = s.signed_in(f"/tasks?task={upid}")
    page.until("!!document.querySelector('.task-progress progress')", 20)
    page.until("/left/.test(document.querySelector('.task-progress')?.innerText)", 20)
    s.shoot(page, "node-task")
    press(page, ".drawer button", "Stop task")
    page.until("document.querySelector('dialog')?.innerText.includes('undone')")
    press(page, "dialog button.danger", "Stop task")
    page.until("document.querySelector('.drawer .facts')?.innerText.includes('Failed')", 30)
    assert 500 not in [g["vmid"] for g in s.node.api.get("/nodes/{node}/qemu")]
    page.until("document.querySelector('.drawer .facts a')?.innerText.includes('shop-db')")  # its guest
    key(page, "Escape")
    page.until("!document.querySelector('.drawer')")
    press(page, ".chip", "Failed")
    page.until("document.querySelectorAll('.task-row').length == 2 && document.querySelector('.task-list').innerText.includes('vmbr77')")
    type_into(page, "input[type=search]", "guest:shop-web")
    page.until("document.querySelectorAll('.task-row').length == 1")
    s.shoot(page, "node-tasks", "/tasks", "document.querySelectorAll('.task-row').length > 5", modes=("light", "phone"))
    press(page, ".task-more button", "Show older tasks")
    page.until("!document.querySelector('.task-more')")
    s.shoot(page, "node-history", "/nodes/n1/tasks", "document.querySelectorAll('.task-row').length > 5", modes=("light", "phone"))
    choose(page, ".filters select", "error")
    page.until("document.querySelectorAll('.task-row').length == 2")
    check_console(page)
    page.close()


@test(limit=120)
def settings_are_kept():
    s = scene()
    page = s.signed_in("/settings")
    page.until("document.querySelector('.settings-form') && document.body.innerText.includes('pushed at once')")
    s.shoot(page, "settings-page", "/settings/page", "document.body.innerText.includes('pushed at once')", modes=("light", "phone"))
    choose(page, ".settings-form select", "de")
    page.until("document.querySelector('h1')?.innerText == 'Einstellungen'")
    choose(page, ".settings-form select", "")
    page.until("document.querySelector('h1')?.innerText == 'Settings'")
    page.open(s.base + "/settings/cluster")
    press(page, ".config button", "Edit Numbers of new guests")
    type_into(page, labelled(page, "First number"), "500")
    type_into(page, labelled(page, "Below"), "400")
    press(page, "dialog button.main", "Save")
    page.until("!!document.querySelector('dialog .field-error')")
    type_into(page, labelled(page, "Below"), "600")
    press(page, "dialog button.main", "Save")
    page.until("!document.querySelector('dialog')")
    assert s.node.api.get("/cluster/options")["next-id"] == {"lower": 500, "upper": 600}
    press(page, ".config button", "Edit Registered tags")
    type_into(page, "dialog input", "prod;test;web")
    press(page, "dialog button.main", "Save")
    page.until("document.querySelectorAll('.config .tag').length == 3")
    s.shoot(page, "settings-cluster", "/settings/cluster", "document.querySelectorAll('.config .tag').length == 3")
    page.open(s.base + "/settings/cpu")
    press(page, ".panel button", "New CPU model")
    page.until("document.querySelectorAll('dialog option').length > 20")
    type_into(page, "dialog input", "avx")
    choose(page, "dialog select", "EPYC-Rome")
    type_into(page, labelled(page, "Flags"), "+aes, -pcid pdpe1gb")
    s.shoot(page, "settings-model", modes=("light", "phone"))
    press(page, "dialog button.main", "Save")
    page.until("document.querySelector('.sheet')?.innerText.includes('custom-avx')")
    assert s.node.api.get("/cluster/qemu/custom-cpu-models")[0]["flags"] == "+aes;-pcid;+pdpe1gb"
    s.shoot(page, "settings-cpu", "/settings/cpu", "document.querySelector('.sheet')", modes=("light", "phone"))
    press(page, ".sheet button", "Delete custom-avx")
    type_into(page, "dialog input", "avx")
    press(page, "dialog button.danger", "Delete")
    page.until("document.querySelector('.panel')?.innerText.includes('No CPU models')")
    s.shoot(page, "settings-keys", "/settings/keys", modes=("light", "phone"))
    s.shoot(page, "settings-about", "/settings/about", "document.body.innerText.includes('holm 0.1')", modes=("light", "phone"))
    check_console(page, allowed=["400"])
    page.close()


@test(limit=60)
def an_auditor_is_offered_nothing():
    s = scene()
    page = s.signed_in("/nodes/n1", "auditor")
    page.until("document.querySelectorAll('.tabs a').length >= 7")
    looks = ["Load again", "SMART values", "Copy", "Filter", "Make a report", "To the end", "Shared parts"]
    for path in page.evaluate("[...document.querySelectorAll('.tabs a')].map(a => a.getAttribute('href'))") + ["/settings/cluster", "/settings/cpu"]:
        page.open(s.base + path)
        page.until("!!document.querySelector('.panel') && !document.querySelector('.loading')")
        offered = page.evaluate("[...document.querySelectorAll('.view .button')].map(b => (b.innerText + ' ' + (b.ariaLabel ?? '')).trim())")
        assert not [o for o in offered if not any(o.startswith(x) for x in looks)], (path, offered)
    sign_out(page)
    check_console(page)
    page.close()


if __name__ == "__main__":
    end_with(scene)
    netns.enter()
    main()
