"""The page: the guest list with its saved views and bulk actions, the overview, one guest's summary, snapshots, agent and
permissions."""
import functools
import json

from lib.guests import DEMO, install_agent
from lib.tap import main, test
from ui.scene import Scene, check_console, choose, end_with, key, press, text, type_into, visit
from ui.sheets import check_sheets

NAMES = ["web-1", "web-2", "web-3", "shop-db", "shop-cache", "mail", "git", "ci-runner-1", "ci-runner-2", "wiki",
         "monitoring-prometheus-and-alertmanager-eu-central", "vpn", "staging-web", "staging-db"]
TAGS = {"web": "prod;web", "shop": "prod;shop", "ci": "ci", "staging": "staging"}
FIRST = 100
SHOP, LIVE, AGENT = 103, 120, 121  # shop-db has snapshots, LIVE runs with a disk, AGENT with the agent of Debian
ROWS = "[...document.querySelectorAll('tbody tr[id]')]"
DIALOG = ("light", "phone")
NOTES = "Shop database, PostgreSQL 15.\nBackups at 02:00. Ask <ops@example.org> before a restart."


@functools.cache
def scene():
    s = Scene()
    api = s.node.api
    install_agent(s.node)
    s.node.create(AGENT, name="app-1", agent="1", tags="prod;app", net0="virtio=BC:24:11:00:00:21", description=NOTES,
                  scsi0="local:1,format=qcow2", onboot=1, **DEMO)
    api.run("POST", s.node.vm(AGENT, "/status/start"))
    for i, name in enumerate(NAMES):
        tags = TAGS.get(name.split("-")[0])
        s.node.create(FIRST + i, name=name, memory=[64, 512, 1024, 2048][i % 4], **({"tags": tags} if tags else {}))
    s.node.create(LIVE, name="live", memory=64, scsi0="local:1,format=qcow2", net0="virtio=BC:24:11:00:00:20")
    api.post("/pools", poolid="shop", comment="The shop")
    api.put("/pools", poolid="shop", vms=f"{SHOP},{SHOP + 1}")
    api.post("/access/groups", groupid="operators")
    for user in ("ada@pve", "grace@pve"):
        api.post("/access/users", userid=user)
    for entry in ({"path": "/vms", "roles": "PVEVMUser", "groups": "operators"}, {"path": "/pool/shop", "roles": "PVEVMAdmin", "users": "grace@pve"}):
        api.put("/access/acl", **entry)
    s.node.create_user("auditor@pve", "PVEAuditor")
    branches(s)
    return s


def branches(s):
    """Snapshots with two branches: one goes back and takes another way."""
    for name, description in (("fresh", "Right after the installation"), ("configured", "PostgreSQL 15, tuned"), ("try-16", "PostgreSQL 16 on trial")):
        s.node.api.run("POST", s.node.vm(SHOP, "/snapshot"), {"snapname": name, "description": description})
    s.node.api.run("POST", s.node.vm(SHOP, "/snapshot/configured/rollback"))
    s.node.api.run("POST", s.node.vm(SHOP, "/snapshot"), {"snapname": "before-holidays", "description": "Calm before the storm.\nNothing else changed."})
    s.node.api.put(s.node.vm(SHOP, "/config"), memory=4096, cores=4, description=NOTES)


def count(page, n):
    page.until(f"{ROWS}.length == {n}")


def states(page, word):
    return f"[...document.querySelectorAll('dialog .items .state')].filter(x => x.innerText == '{word}').length"


def snapshots(s, vmid):
    return {x["name"]: x for x in s.node.api.get(s.node.vm(vmid, "/snapshot"))}


@test(limit=240)
def searching_and_saved_views():
    s = scene()
    page = s.signed_in("/guests")
    count(page, len(NAMES) + 2)
    for term, n in (("id:100-102", 3), ("id:101", 1), ("tag:prod -tag:web", 3), ("pool:shop", 2), ("state:running", 1), ("node:nowhere", 0)):
        type_into(page, "input[type=search]", term)
        count(page, n)
    press(page, ".view button", "Show all")
    press(page, ".menu-item input", "tag:ci")  # of the filter menu
    count(page, 2)
    page.until("location.href.includes('q=tag%3Aci')")
    press(page, "th button", "ID")
    press(page, "th button", "ID")
    page.until("location.search.includes('sort=-vmid')")
    page.becomes(f"{ROWS}.map(r => r.id)", ["guests-108", "guests-107"])
    press(page, ".menu-item", "Pool")  # a column more
    press(page, ".menu-item", "Save this view")
    type_into(page, "dialog input", "Runners")
    press(page, "dialog button", "Save")
    page.until("document.querySelector('.view-chip')?.innerText.includes('Runners')")
    page.until("location.href.includes('view=Runners')")
    page.open(s.base + "/guests")
    count(page, len(NAMES) + 2)
    press(page, ".view-chip", "Runners")
    count(page, 2)
    page.open(s.base + "/guests?view=Runners")  # the name alone
    count(page, 2)
    page.until("location.search.includes('sort=-vmid') && [...document.querySelectorAll('th')].some(x => x.innerText == 'Pool')")
    press(page, ".menu-item", "Rename or delete")
    type_into(page, "dialog input", "CI")
    press(page, "dialog button", "Rename view Runners")
    page.until("document.querySelector('.view-chip')?.innerText.includes('CI') && location.search.includes('view=CI')")
    press(page, "dialog button", "Delete view CI")
    page.until("!document.querySelector('.view-chip') && !location.search.includes('view=')")
    press(page, "dialog button", "Close")
    page.until("!document.querySelector('dialog')")
    check_console(page)
    page.close()


@test(limit=240)
def the_list_as_csv():
    s = scene()
    page = s.signed_in("/guests?q=tag:shop&sort=-vmid")
    count(page, 2)
    page.evaluate("URL.createObjectURL = (blob) => { blob.text().then(x => { window.csv = x; }); return '#'; }; 0")
    press(page, ".tools button", "Save as CSV")
    lines = page.until("window.csv").split("\r\n")
    assert lines[0].startswith("name,vmid,status"), lines
    assert [line.split(",")[:3] for line in lines[1:3]] == [["shop-cache", "104", "stopped"], ["shop-db", "103", "stopped"]], lines
    check_console(page)
    page.close()


@test(limit=240)
def snapshots_of_many_with_a_failure_and_another_try():
    s = scene()
    s.node.api.run("POST", s.node.vm(113, "/snapshot"), {"snapname": "nightly"})
    page = s.signed_in("/guests?q=staging")
    count(page, 2)
    press(page, "thead input", "Select all")
    press(page, ".selection .menu-item", "Take snapshot")
    type_into(page, "dialog input[type=text]", "1 wrong")
    page.until("!!document.querySelector('dialog .field-error')")
    type_into(page, "dialog input[type=text]", "nightly")
    press(page, "dialog button[type=submit]", "Go ahead with 2")
    page.until(f"{states(page, 'OK')} == 1 && {states(page, 'Failed')} == 1", 60)
    page.says("dialog .bulk-why", "nightly")
    s.shoot(page, "guest-bulk-results", modes=DIALOG)
    press(page, "dialog header button", "Close")
    page.until("document.querySelector('.bulk-strip')?.innerText.includes('1 failed')")  # stays until it is dismissed
    s.node.api.run("DELETE", s.node.vm(113, "/snapshot/nightly"))
    press(page, ".bulk-strip button", "Try 1 again")
    page.until("document.querySelector('.bulk-strip')?.innerText.includes('2 of 2')", 60)
    press(page, ".bulk-strip button", "Dismiss")
    page.until("!document.querySelector('.bulk-strip')")
    assert "nightly" in snapshots(s, 112) and "nightly" in snapshots(s, 113)
    check_console(page, allowed=["500"])
    page.close()


@test(limit=240)
def tags_pools_and_destroying():
    s = scene()
    for vmid, name in ((130, "old-a"), (131, "old-b"), (132, "old-c")):
        s.node.create(vmid, name=name, memory=64, tags="old")
    page = s.signed_in("/guests?q=tag:old")
    count(page, 3)
    press(page, "thead input", "Select all")
    press(page, ".selection .menu-item", "Change tags")
    type_into(page, "dialog input[type=text]", "retired prod")
    s.shoot(page, "guest-bulk-tags", modes=DIALOG)
    press(page, "dialog button[type=submit]", "Go ahead with 3")
    page.until(f"{states(page, 'OK')} == 3", 60)
    press(page, "dialog .dialog-foot button", "Close")
    assert sorted(s.node.api.get(s.node.vm(130, "/config"))["tags"].split(";")) == ["old", "prod", "retired"]
    press(page, ".selection .menu-item", "Move to pool")
    choose(page, "dialog select", "shop")
    press(page, "dialog button[type=submit]", "Go ahead with 3")
    page.until(f"{states(page, 'OK')} == 3", 60)
    press(page, "dialog .dialog-foot button", "Close")
    assert {m["vmid"] for m in s.node.api.get("/pools/shop")["members"]} == {103, 104, 130, 131, 132}
    press(page, ".selection .menu-item", "Destroy")
    page.until("!!document.querySelector('dialog button.danger')?.disabled")
    s.shoot(page, "guest-bulk-destroy", modes=DIALOG)
    type_into(page, "dialog input", "3")
    press(page, "dialog button.danger", "Go ahead with 3")
    page.until(f"{states(page, 'OK')} == 3", 60)
    press(page, "dialog .dialog-foot button", "Close")
    page.until("!document.querySelector('tbody tr[id]')")
    assert not [g for g in s.node.api.get("/cluster/resources", type="vm") if g["vmid"] in (130, 131, 132)]
    check_console(page)
    page.close()


@test(limit=240)
def back_to_a_snapshot_of_a_running_guest():
    s = scene()
    s.node.api.run("POST", s.node.vm(LIVE, "/status/start"))
    page = s.signed_in(f"/guests/{LIVE}/snapshots")
    for name in ("one", "two"):
        press(page, ".view button", "Take snapshot")
        type_into(page, "dialog input[type=text]", name)
        press(page, "dialog button[type=submit]", "Take")
        page.until(f"!document.querySelector('dialog') && document.querySelector('.snapshots')?.innerText.includes('{name}')", 60)
    s.node.api.put(s.node.vm(LIVE, "/config"), tags="changed")
    page.evaluate("document.querySelector('a[href*=\"snapshot=one\"]').click()")
    page.until("document.querySelector('table.compare')?.innerText.includes('changed')")
    page.until("location.href.includes('snapshot=one')")
    key(page, "Escape")
    page.until("!document.querySelector('dialog') && !location.search.includes('snapshot=')")
    press(page, ".snapshot button", "Roll back to one")
    press(page, "dialog summary", "What will be done")
    page.until("!!document.querySelector('dialog .plan li[data-step]')", 30)
    s.shoot(page, "guest-rollback", modes=DIALOG)
    press(page, "dialog button.danger", "Roll back")
    page.until("!document.querySelector('dialog')", 90)
    api = s.node.api
    assert snapshots(s, LIVE)["current"]["parent"] == "one"
    assert "tags" not in api.get(s.node.vm(LIVE, "/config"))
    page.until("document.querySelector('h1')?.innerText.includes('Running')", 60)  # it was asked to run on
    press(page, ".snapshot .menu-item", "Edit notes")
    type_into(page, "dialog textarea", "The first of them")
    press(page, "dialog button[type=submit]", "Save")
    page.until("document.querySelector('.snapshots')?.innerText.includes('The first of them')", 20)
    press(page, ".snapshot .menu-item", "Delete snapshot two")
    press(page, "dialog button.danger", "Delete")
    page.until("!document.querySelector('dialog') && !document.querySelector('.snapshots').innerText.includes('two')", 60)
    assert set(snapshots(s, LIVE)) == {"one", "current"}
    api.run("POST", s.node.vm(LIVE, "/status/stop"))
    check_console(page)
    page.close()


@test(limit=240)
def who_may_do_what():
    s = scene()
    page = s.signed_in(f"/guests/{SHOP}/permissions")
    page.until("document.querySelector('#content')?.innerText.includes('grace@pve')")
    page.says("#content", "/pool/shop", "operators")
    press(page, ".view button", "Add permission")
    type_into(page, "dialog .fields-who input", "ada@pve")
    choose(page, "dialog .fields-who ~ .field select", "PVEVMUser")
    s.shoot(page, "guest-permission", modes=DIALOG)
    press(page, "dialog button[type=submit]", "Grant")
    page.until("!document.querySelector('dialog') && document.querySelector('#content').innerText.includes('ada@pve')")
    entry = [e for e in s.node.api.get("/access/acl") if e["path"] == f"/vms/{SHOP}"]
    assert [(e["ugid"], e["roleid"], e["propagate"]) for e in entry] == [("ada@pve", "PVEVMUser", 1)], entry
    s.shoot(page, "guest-permissions", f"/guests/{SHOP}/permissions", "document.querySelectorAll('.rows li').length > 3")
    press(page, ".rows button", "Take permission of ada@pve")
    press(page, "dialog button.danger", "Take away")
    page.until("!document.querySelector('dialog') && !document.querySelector('#content').innerText.includes('ada@pve')")
    assert not [e for e in s.node.api.get("/access/acl") if e["path"] == f"/vms/{SHOP}"]
    check_console(page)
    page.close()


@test(limit=300)
def the_agent():
    s = scene()
    page = s.signed_in(f"/guests/{SHOP}/agent")
    page.until("document.querySelector('.empty')?.innerText.includes('is off')")
    s.shoot(page, "guest-agent-off", modes=DIALOG)
    press(page, ".empty button", "Enable the agent")
    page.until("document.querySelector('.empty')?.innerText.includes('does not run')")
    assert s.node.api.get(s.node.vm(SHOP, "/config"))["agent"] == "1"
    page.open(s.base + f"/guests/{AGENT}/agent")
    page.until("document.querySelector('.facts')?.innerText.includes('holm')", 120)  # its host name
    type_into(page, "input[name=line]", "echo out; echo err >&2; exit 3")
    choose(page, ".panel select", "sh")
    press(page, ".panel button", "Run")
    page.until("document.querySelector('.panel [role=status]')?.innerText.includes('exit code 3')", 30)
    page.becomes("[...document.querySelectorAll('.panel pre')].map(x => x.innerText.trim())", ["out", "err"])
    type_into(page, "input[name=path]", "/tmp/motd")
    type_into(page, ".file-text textarea", "Grüße aus dem Gast\n")
    press(page, ".panel button", "Write to the guest")
    page.until("document.querySelector('.toasts')?.innerText.includes('done')", 20)
    path = s.node.vm(AGENT, "/agent/file-read")
    assert s.node.api.get(path, file="/tmp/motd")["content"].encode("latin-1").decode() == "Grüße aus dem Gast\n"
    type_into(page, ".file-text textarea", "")
    press(page, ".panel button", "Read")
    page.until("document.querySelector('.file-text textarea').value == 'Grüße aus dem Gast\\n'")
    s.shoot(page, "guest-agent", ready="!document.querySelector('.toast')")
    press(page, ".panel button", "Freeze")  # it has none that can be frozen, and says so
    page.until("document.querySelector('.toasts')?.innerText.includes('Freeze app-1')", 20)
    page.open(s.base + f"/guests/{AGENT}")
    page.until("document.querySelector('.address')?.innerText.includes('.')", 30)
    check_console(page, allowed=["500"])  # an agent that does not answer yet
    page.close()


@test(limit=240)
def every_screen_and_an_auditor():
    s = scene()
    page = s.signed_in("/")
    s.node.api.put(s.node.vm(AGENT, "/config"), cores=2)  # waits for the next start
    page.until("document.querySelector('.concerns')?.innerText.includes('waits for a restart')", 30)
    page.evaluate(f"localStorage.setItem('holm.views.guests', {json.dumps(json.dumps(VIEWS))})")
    s.shoot(page, "guest-dashboard", "/", "document.querySelector('.concerns')?.innerText.includes('waits')")
    check_sheets(page)
    s.shoot(page, "guest-list", "/guests?q=&view=Production&q=tag%3Aprod")
    s.shoot(page, "guest-summary", f"/guests/{AGENT}", "document.querySelector('.address') && document.querySelector('.uplot')")
    s.shoot(page, "guest-snapshots", f"/guests/{SHOP}/snapshots", "document.querySelectorAll('.snapshot').length == 5")
    s.shoot(page, "guest-compare", f"/guests/{SHOP}/snapshots?snapshot=fresh", "document.querySelector('table.compare')")
    page.close()
    page = s.signed_in(f"/guests/{SHOP}/snapshots", "auditor")
    page.until("document.querySelectorAll('.snapshot').length == 5")
    assert not page.evaluate("document.querySelectorAll('.view button').length")
    for tab in ("agent", "permissions", "summary"):
        page.open(s.base + f"/guests/{SHOP}/{tab}")
        page.until("!document.querySelector('.loading') && !!document.querySelector('.panel, .empty')")
        assert not page.evaluate("[...document.querySelectorAll('.view .button')].map(x => x.innerText + x.ariaLabel)"), tab
    page.open(s.base + "/guests?q=web")
    press(page, "thead input", "Select all")
    page.until("!!document.querySelector('.selection')")
    check_sheets(page)
    page.becomes("[...document.querySelectorAll('.selection button')].map(x => x.ariaLabel)", ["Select none"])
    check_console(page)
    page.close()


VIEWS = [{"name": "Production", "query": "q=tag%3Aprod", "hidden": ["node", "pool"]}, {"name": "Busy ones", "query": "state=running&sort=-cpu", "hidden": []}]


@test(limit=60)
def a_system_without_guests():
    with Scene() as s:
        page = s.signed_in("/")
        page.until("!!document.querySelector('.welcome')")
        s.shoot(page, "guest-welcome", "/")
        check_sheets(page)
        visit(page, "/guests")
        check_sheets(page)
        check_console(page)
        page.close()
        page = s.page("/")
        page.until("!!document.querySelector('input[name=password]')")
        check_sheets(page)


if __name__ == "__main__":
    end_with(scene)
    main()
