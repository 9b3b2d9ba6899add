"""Users, groups, roles, permissions, tokens, realms and pools through the page; one's own account with second factors;
the audit log. What is made here is looked up through the API, and used: by signing in, by calling with a token."""
import base64
import functools
import time
from concurrent.futures import ThreadPoolExecutor

from lib.holm import PASSWORD
from lib.otp import Authenticator
from lib.tap import main, test
from ui.scene import OUT, Scene, check_console, choose, end_with, key, press, sign_in, text, type_into

PEOPLE = [("ada@pve", "Ada", "Byron", "web,ops"), ("grace@pve", "Grace", "Hopper", "ops"), ("linus@pve", "Linus", "Berg", "web"),
          ("margaret@pve", "Margaret", "Hamilton", "web"), ("old.contractor@pve", "", "", ""), ("backup@pve", "", "", "")]
GUESTS = ["web-1", "web-2", "shop-db", "mail", "git", "ci-runner"]


@functools.cache
def scene():
    s = Scene()
    a = s.node.api
    for i, name in enumerate(GUESTS):
        s.node.create(100 + i, name=name, memory=256)
    for name, comment in (("ops", "On call"), ("web", "Web team")):
        a.post("/access/groups", groupid=name, comment=comment)
    for userid, first, last, groups in PEOPLE:
        a.post("/access/users", userid=userid, firstname=first, lastname=last, groups=groups, email=f"{userid.split('@')[0]}@example.org")
    a.put("/access/users/old.contractor@pve", enable=0, comment="left in spring")
    a.put("/access/users/linus@pve", expire=int(time.time()) + 90 * 86400)
    a.post("/pools", poolid="shop", comment="What earns the money")
    a.put("/pools", poolid="shop", vms="100,102", storage="local")
    a.post("/access/roles", roleid="Operator", privs="VM.Audit,VM.PowerMgmt,VM.Console,VM.Snapshot")
    for path, who in (("/pool/shop", {"groups": "web", "roles": "PVEVMAdmin"}), ("/vms", {"groups": "ops", "roles": "Operator"}),
                      ("/vms/103", {"users": "ada@pve", "roles": "NoAccess"}), ("/storage/local", {"groups": "web", "roles": "PVEDatastoreUser"})):
        a.put("/access/acl", path=path, **who)
    a.post("/access/users/backup@pve/token/nightly", comment="backup job at 02:00", expire=int(time.time()) + 30 * 86400)
    a.post("/access/users/ada@pve/token/deploy", privsep=0, comment="CI")
    a.post("/access/users/linus@pve/token/idle", comment="nobody remembers")
    for who in ({"users": "backup@pve"}, {"tokens": "backup@pve!nightly"}, {"tokens": "linus@pve!idle"}):
        a.put("/access/acl", path="/vms", roles="PVEAuditor", **who)
    return s


def labels(page, selector=".view button, .view a.button"):
    return page.evaluate(f"[...document.querySelectorAll({selector!r})].map(b => (b.innerText + ' ' + (b.ariaLabel ?? '')).trim())")


def by_label(page, label, value):
    """Types into the field of the dialog, or of the view, that has this label."""
    page.until(f"[...document.querySelectorAll('dialog[open] label, .view label')].some(x => x.innerText.trim() == {label!r})")
    # A choice may still be on its way.
    page.until("""((label, value) => {
        const l = [...document.querySelectorAll('dialog[open] label')].find(x => x.innerText.trim() == label);
        const e = l && document.getElementById(l.htmlFor);
        return !(e instanceof HTMLSelectElement) || [...e.options].some(o => o.value == value);
    })(%r, %r)""" % (label, value))
    page.run("""(label, value) => {
        const all = [...document.querySelectorAll('dialog[open] label'), ...document.querySelectorAll('.view label')].filter(x => x.htmlFor);
        const e = document.getElementById(all.find(x => x.innerText.trim() == label).htmlFor);
        const kind = e instanceof HTMLSelectElement ? 'change' : 'input';
        Object.getOwnPropertyDescriptor(Object.getPrototypeOf(e), 'value').set.call(e, value);
        e.dispatchEvent(new Event(kind, {bubbles: true}));
    }""", label, value)


def tick(page, label):
    page.until(f"[...document.querySelectorAll('dialog[open] label.check')].some(x => x.innerText.trim().startsWith({label!r}))")
    page.run("label => [...document.querySelectorAll('dialog[open] label.check')].find(x => x.innerText.trim().startsWith(label)).querySelector('input').click()", label)


def submit(page):
    page.run("() => document.querySelector('dialog[open] form button[type=submit]').click()")


def gone(page):
    page.until("!document.querySelector('dialog[open]')", 30)


def find(rows, key, value):
    return next((r for r in rows if r[key] == value), None)


@test(limit=120)
def an_administrator_makes_things():
    s = scene()
    api = s.node.api
    page = s.signed_in("/access/groups")
    press(page, "button", "Create group")
    by_label(page, "Name", "support")
    by_label(page, "Comment", "First line")
    submit(page)
    gone(page)
    assert find(api.get("/access/groups"), "groupid", "support")["comment"] == "First line"
    page.open(s.base + "/access/users")
    press(page, "button", "Create user")
    by_label(page, "User name", "sam")
    by_label(page, "New password", PASSWORD)
    by_label(page, "New password again", "not the same")
    by_label(page, "First name", "Sam")
    tick(page, "support")
    submit(page)
    page.until("document.querySelector('dialog[open] .error-box')?.innerText.includes('not the same')")
    by_label(page, "New password again", PASSWORD)
    submit(page)
    gone(page)
    page.until("document.querySelector('tbody')?.innerText.includes('sam@pve')")
    assert find(api.get("/access/users", full=1), "userid", "sam@pve")["groups"] == "support"
    page.open(s.base + "/access/roles/PVEVMUser")
    press(page, "button", "Copy role")
    by_label(page, "Name", "Starter")
    tick(page, "VM.Backup")
    submit(page)
    page.until("location.pathname == '/access/roles/Starter'")
    privs = find(api.get("/access/roles"), "roleid", "Starter")["privs"].split(",")
    assert "VM.PowerMgmt" in privs and "VM.Backup" not in privs, privs
    page.open(s.base + "/access/pools")
    press(page, "button", "Create pool")
    by_label(page, "Name", "testing")
    submit(page)
    gone(page)
    press(page, "tbody a", "testing")
    press(page, "button", "Add members")
    tick(page, "105 ci-runner")
    tick(page, "local")
    submit(page)
    gone(page)
    members = api.get("/pools", poolid="testing")[0]["members"]
    assert {m.get("vmid", m.get("storage")) for m in members} == {105, "local"}, members
    press(page, ".panel button", "Add permission")
    by_label(page, "Kind", "group")
    by_label(page, "Who", "support")
    by_label(page, "Role", "Starter")
    submit(page)
    gone(page)
    entry = next(e for e in api.get("/access/acl") if e["path"] == "/pool/testing")
    assert (entry["type"], entry["ugid"], entry["roleid"], entry["propagate"]) == ("group", "support", "Starter", 1), entry
    page.open(s.base + "/access/realms")
    press(page, "button", "Create realm")
    by_label(page, "Name", "customers")
    submit(page)
    gone(page)
    assert find(api.get("/access/domains"), "realm", "customers")["type"] == "pve"
    press(page, "button", "Delete realm customers")
    page.until("document.querySelector('dialog[open] button[type=submit]')?.disabled")
    by_label(page, "Type customers to confirm", "customers")
    submit(page)
    gone(page)
    assert not find(api.get("/access/domains"), "realm", "customers")
    check_console(page, allowed=["400"])
    page.close()


@test(limit=60)
def the_new_user_sees_what_the_role_gives():
    s = scene()
    page = s.signed_in("/guests", "sam")
    page.until("document.querySelectorAll('tbody tr[id]').length == 1")
    page.says("tbody", "ci-runner")
    page.open(s.base + "/guests/105")
    page.until("document.querySelector('h1')?.innerText.includes('ci-runner')")
    assert any("Start" in b for b in labels(page)), labels(page)  # VM.PowerMgmt
    page.open(s.base + "/guests/105/options")
    page.until("document.querySelectorAll('.config li').length > 5")
    assert not any("Edit Name" in b for b in labels(page)), labels(page)  # no VM.Config.Options
    page.open(s.base + "/access/groups")
    page.until("!!document.querySelector('.empty')")
    assert not labels(page), labels(page)
    page.open(s.base + "/account")
    page.until("document.querySelector('.view')?.innerText.includes('/vms/105')")
    check_console(page)
    page.close()


@test(limit=60)
def who_may_see_nothing_and_who_may_only_look():
    s = scene()
    s.node.create_user("nobody@pve")
    page = s.signed_in("/access/pools", "nobody")
    for tab in ("groups", "pools", "permissions"):
        page.open(f"{s.base}/access/{tab}")
        page.until("!!document.querySelector('.empty')")
        assert not labels(page), (tab, labels(page))
    page.open(s.base + "/audit")
    page.until("document.querySelector('.view')?.innerText.includes('your own events')")
    s.shoot(page, "access-nothing", "/access/permissions", modes=("light", "phone"))
    leave(page)
    s.node.create_user("auditor@pve", "PVEAuditor")
    sign_in(page, "auditor")
    for path, ready in (("users", "tbody tr[id]"), ("users/ada@pve", ".rows"), ("groups", "tbody tr[id]"), ("groups/web", ".rows"), ("roles", "tbody tr[id]"),
                        ("roles/Operator", ".privileges"), ("permissions", "tbody tr[id]"), ("tokens/ada@pve!deploy", ".facts"), ("realms", "tbody tr[id]"),
                        ("pools", "tbody tr[id]"), ("pools/shop", ".rows"), ("check?who=ada@pve&path=/vms/100", ".answer")):
        page.open(f"{s.base}/access/{path}")
        page.until(f"!!document.querySelector('{ready}')")
        changing = [b for b in labels(page) if b not in ("", "Columns")]
        changing = [b for b in changing if not any(h.lower() in b.lower() for h in ("User", "State", "Name", "Groups", "Second factor", "API tokens", "Expires", "Group", "Members", "Comment", "Role", "Kind", "Privileges", "Path", "Who", "And below", "Realm", "Passwords", "Pool", "Guests")) or "Create" in b]
        assert not changing, (path, changing)
    check_console(page)
    page.close()


@test(limit=60)
def why_somebody_may_do_something():
    s = scene()
    page = s.signed_in("/access/check?who=ada@pve&path=/vms/100")
    page.says(".answer", "VM.Config.Disk")
    # What is shown first is true already: nothing is explained before all that explains it is known.
    answers = page.evaluate("[...document.querySelectorAll('.answer li')].map(x => x.innerText)")
    disk, power = (next(x for x in answers if x.startswith(name)) for name in ("VM.Config.Disk", "VM.PowerMgmt"))
    assert "PVEVMAdmin" in disk and "/pool/shop" in disk and "web" in disk, disk
    assert "Operator" in power and "PVEVMAdmin" in power, power
    by_label(page, "Path", "/vms/103")
    page.until("document.querySelector('.empty')?.innerText.includes('NoAccess')")
    by_label(page, "User or token", "linus@pve!idle")
    page.until("document.querySelector('.empty')?.innerText.includes('at most what its user has')")
    page.until("location.href.includes('who=linus%40pve%21idle')")
    check_console(page)
    page.close()


@test(limit=60)
def a_token_shows_its_secret_once():
    s = scene()
    page = s.signed_in("/access/users/grace@pve")
    press(page, ".panel button", "Create token")
    by_label(page, "Name", "monitor")
    by_label(page, "Comment", "reads metrics")
    tick(page, "Permissions of its own")
    submit(page)
    page.until("document.querySelectorAll('dialog[open] .code.secret').length == 3")
    secret = page.evaluate("document.querySelectorAll('dialog[open] .code.secret')[1].innerText")
    assert s.node.client(token=("grace@pve!monitor", secret)).get("/version")
    s.shoot(page, "access-token-secret", modes=("light",))
    key(page, "Escape")
    page.until("document.querySelector('dialog[open]')?.innerText.includes('cannot be shown again')")
    press(page, "dialog[open] button", "I have stored it")
    gone(page)
    assert secret not in page.evaluate("document.documentElement.outerHTML + JSON.stringify({...localStorage})")
    press(page, ".rows a", "monitor")
    press(page, "button", "New secret")
    page.until("!!document.querySelector('dialog[open] button.danger')")
    submit(page)
    page.until("document.querySelectorAll('dialog[open] .code.secret').length == 3")
    fresh = page.evaluate("document.querySelectorAll('dialog[open] .code.secret')[1].innerText")
    assert fresh != secret and s.node.client(token=("grace@pve!monitor", fresh)).get("/version")
    s.node.client(token=("grace@pve!monitor", secret)).refused("GET", "/version", status=401)
    press(page, "dialog[open] button", "I have stored it")
    gone(page)
    press(page, "button", "Delete")
    by_label(page, "Type monitor to confirm", "monitor")
    submit(page)
    page.until("location.pathname == '/access/tokens'")
    assert not s.node.api.get("/access/users/grace@pve/token")
    check_console(page)
    page.close()


@test(limit=90)
def users_are_changed_and_deleted():
    s = scene()
    api = s.node.api
    page = s.signed_in("/access/users/margaret@pve")
    press(page, "button", "Edit")
    by_label(page, "Last name", "Heafield")
    tick(page, "ops")
    submit(page)
    gone(page)
    page.until("document.querySelector('.facts')?.innerText.includes('Heafield')")
    assert sorted(find(api.get("/access/users", full=1), "userid", "margaret@pve")["groups"].split(",")) == ["ops", "web"]
    press(page, "button", "Set password")
    by_label(page, "New password", "a new password")
    by_label(page, "New password again", "a new password")
    by_label(page, "Your own password", "not mine")
    submit(page)
    page.until("document.querySelector('dialog[open] .field-error')?.innerText.includes('not right')", 20)
    assert page.evaluate("!!document.querySelector('.shell')")  # a wrong password ends no session
    by_label(page, "Your own password", PASSWORD)
    submit(page)
    gone(page)
    assert s.node.client("margaret@pve", "a new password").get("/version")
    press(page, "button", "Disable")
    page.until("document.querySelector('h1')?.innerText.includes('Disabled')")
    assert api.get("/access/users/margaret@pve")["enable"] == 0
    press(page, "button", "Delete")
    page.until("document.querySelector('dialog[open] button[type=submit]')?.disabled")
    by_label(page, "Type margaret@pve to confirm", "margaret@pve")
    s.shoot(page, "access-user-delete", modes=("light",))
    submit(page)
    page.until("location.pathname == '/access/users'")
    assert not find(api.get("/access/users"), "userid", "margaret@pve")
    page.open(s.base + "/access/permissions?q=103")
    press(page, "button", "Take permission of ada@pve on /vms/103 away")
    page.until("!!document.querySelector('dialog[open] button.danger')")
    submit(page)
    gone(page)
    assert not any(e["path"] == "/vms/103" for e in api.get("/access/acl"))
    check_console(page, allowed=OUT)
    page.close()


def leave(page):
    """Signs out: the page begins anew. Nothing is asked of it meanwhile: what is asked of a page that goes is not answered."""
    loads = page.loads
    press(page, ".menu-item", "Sign out")
    page.wait(lambda: page.loads > loads, 20, "the sign-in to load")


def secret_of(page):
    page.until("!!document.querySelector('dialog[open] .qr path')")
    phone = Authenticator()
    shown = page.evaluate("document.querySelector('dialog[open] .code.secret').innerText").replace(" ", "")
    phone.secret = base64.b32decode(shown)
    return phone


def first_step(page, password=PASSWORD):
    sign_in(page, "ada", password="")
    type_into(page, "input[name=password]", password)
    press(page, "button[type=submit]")
    page.until("!!document.querySelector('input[name=code]')")


@test(limit=150)
def a_second_factor_is_set_up_and_used():
    s = scene()
    s.node.api.put("/access/password", userid="ada@pve", password=PASSWORD, **{"confirmation-password": PASSWORD})
    page = s.signed_in("/account", "ada")
    press(page, ".panel button", "Authenticator")
    phone = secret_of(page)
    s.shoot(page, "account-totp")
    by_label(page, "Description", "my phone")
    by_label(page, "Code that it shows", phone.wrong())
    by_label(page, "Your own password", PASSWORD)
    submit(page)
    page.until("!!document.querySelector('dialog[open] .error-box')", 20)
    by_label(page, "Code that it shows", phone.code())
    submit(page)
    gone(page)
    page.until("document.querySelector('.view')?.innerText.includes('my phone')")
    assert [f["type"] for f in s.node.api.get("/access/tfa/ada@pve")] == ["totp"]
    press(page, ".panel button", "Recovery codes")
    by_label(page, "Your own password", PASSWORD)
    submit(page)
    page.until("!!document.querySelector('dialog[open] .code.secret')", 20)
    codes = page.evaluate("document.querySelector('dialog[open] .code.secret').innerText").split()
    assert len(codes) == 10, codes
    s.shoot(page, "account-recovery", modes=("light", "phone"))
    press(page, "dialog[open] button", "I have stored it")
    gone(page)
    leave(page)
    page.open(s.base + "/account")
    first_step(page)
    s.shoot(page, "account-signin-code", modes=("light", "phone"))
    type_into(page, "input[name=code]", phone.wrong())
    press(page, "button[type=submit]")
    page.until("document.querySelector('.error-box')?.innerText.includes('not right')", 20)
    type_into(page, "input[name=code]", phone.code(1))
    press(page, "button[type=submit]")
    page.until("!!document.querySelector('.shell')", 20)
    page.becomes("location.href", s.base + "/account")
    leave(page)
    first_step(page)
    press(page, "button", "Use a recovery code")
    type_into(page, "input[name=code]", codes[3])
    press(page, "button[type=submit]")
    page.until("!!document.querySelector('.shell')", 20)
    page.open(s.base + "/account")
    press(page, "button", "Delete my phone")
    by_label(page, "Your own password", PASSWORD)
    submit(page)
    gone(page)
    assert [f["type"] for f in s.node.api.get("/access/tfa/ada@pve")] == ["recovery"]
    check_console(page, allowed=[*OUT, "500"])  # wrong codes and passwords
    page.close()


@test(limit=90)
def a_changed_password_keeps_this_session():
    s = scene()
    s.node.create_user("pat@pve")
    page = s.signed_in("/account", "pat")
    press(page, "button", "Change password")
    by_label(page, "Your own password", PASSWORD)
    by_label(page, "New password", "another horse 8")
    by_label(page, "New password again", "another horse 8")
    submit(page)
    gone(page)
    page.until("document.querySelector('.toasts')?.innerText.includes('still signed in')")
    page.open(s.base + "/account")
    page.until("document.querySelector('.facts')?.innerText.includes('pat@pve')")
    assert s.node.client("pat@pve", "another horse 8").get("/version")
    check_console(page, allowed=OUT)
    page.close()


@test(limit=90)
def the_audit_log_tells_and_verifies():
    s = scene()
    page = s.signed_in("/audit")
    page.until("document.querySelector('tbody')?.innerText.includes('Sign-in')")
    s.node.api.post("/access/groups", groupid="seen-in-audit")
    press(page, "button", "Load the newest")
    page.until("document.querySelector('tbody')?.innerText.includes('group/seen-in-audit')")
    by_label(page, "Result", "refused")
    page.until("![...document.querySelectorAll('tbody tr[id] .state')].some(x => x.classList.contains('good'))")
    by_label(page, "Result", "")
    by_label(page, "Who", "root@pam")
    page.until("[...document.querySelectorAll('tbody tr[id]')].length > 1 && [...document.querySelectorAll('tbody tr[id]')].every(r => r.innerText.includes('root@pam'))")
    press(page, "button", "Show all")
    page.run("() => { const i = document.querySelector('.search-box input'); i.value = 'seen-in-audit'; i.dispatchEvent(new Event('input', {bubbles: true})); }")
    page.until("document.querySelectorAll('tbody tr[id]').length == 1")
    press(page, "tbody button.link")
    page.until("document.querySelector('dialog[open]')?.innerText.includes('shared/auth/group/seen-in-audit')")
    link = page.url()
    assert "record=" in link and "at=" in link
    s.shoot(page, "audit-record", modes=("light", "phone"))
    page.open(link.replace("q=seen-in-audit", "q=nothing-like-this"))
    page.until("document.querySelector('dialog[open]')?.innerText.includes('shared/auth/group/seen-in-audit')")
    press(page, "dialog[open] header button", "Close")
    gone(page)
    press(page, "button", "Verify")
    page.until("document.querySelector('dialog[open]')?.innerText.includes('Complete and unchanged')")
    assert s.node.api.get("/cluster/audit/verify")["ok"] == 1
    s.shoot(page, "audit-verify", modes=("light",))
    press(page, "dialog[open] footer button", "Close")
    gone(page)
    page.open(s.base + "/audit?q=seen-in-audit")
    page.evaluate("window.saved = []; URL.createObjectURL = b => { b.text().then(t => saved.push(t)); return '#'; };0")
    press(page, ".menu-item", "as JSON lines")
    press(page, ".menu-item", "as CSV")
    page.until("window.saved.length == 2")
    lines, csv = page.evaluate("window.saved")
    assert '"object":"shared/auth/group/seen-in-audit"' in lines and csv.startswith("seq,time,") and "seen-in-audit" in csv
    page.open(s.base + "/audit?tab=log")
    page.until("document.querySelectorAll('tbody tr[id]').length > 5")
    check_console(page)
    page.close()


SCREENS = (("users", "users", "tbody tr[id]"), ("user", "users/ada@pve", ".rows"), ("groups", "groups", "tbody tr[id]"), ("group", "groups/web", ".rows"),
           ("roles", "roles", "tbody tr[id]"), ("role", "roles/Operator", ".privileges"), ("permissions", "permissions", "tbody tr[id]"),
           ("check", "check?who=ada@pve&path=/vms/100", ".answer"), ("tokens", "tokens", "tbody tr[id]"), ("token", "tokens/backup@pve!nightly", ".rows"),
           ("realms", "realms", "tbody tr[id]"), ("pools", "pools", "tbody tr[id]"), ("pool", "pools/shop", ".rows"))
DARK = ("users", "user", "check")
DIALOGS = (("user-create", "users", "Create user"), ("role-create", "roles", "Create role"), ("acl-add", "permissions", "Add permission"),
           ("token-create", "tokens", "Create token"), ("pool-add", "pools/shop", "Add members"), ("realm-create", "realms", "Create realm"))


@test(limit=240)
def every_screen_in_every_mode():
    s = scene()
    page = s.signed_in("/access")
    for name, path, ready in SCREENS:
        s.shoot(page, f"access-{name}", f"/access/{path}", f"document.querySelector('{ready}')", modes=("light", "dark", "phone") if name in DARK else ("light", "phone"))
    for name, path in (("account", "/account"), ("audit", "/audit"), ("audit-log", "/audit?tab=log")):
        s.shoot(page, name, path, "document.querySelector('.facts, tbody tr[id]')")
    check_console(page)
    page.close()


@test(limit=120)
def dialogs():
    s = scene()
    page = s.signed_in("/access")
    for name, path, button in DIALOGS:
        page.open(f"{s.base}/access/{path}")
        press(page, ".view button", button)
        page.until("!!document.querySelector('dialog[open]')")
        s.shoot(page, f"access-{name}", ready="document.querySelector('dialog[open]')", modes=("light", "phone"))
    check_console(page)
    page.close()


@test(limit=60)
def too_many_attempts_are_counted_down():
    s = scene()
    page = s.page("/")
    with ThreadPoolExecutor(3) as pool:  # each takes its time on purpose
        list(pool.map(lambda _: s.node.nobody().call("POST", "/access/ticket", {"username": "mallory@pve", "password": "x"}), range(12)))
    page.until("!!document.querySelector('input[name=password]')")
    type_into(page, "input[name=username]", "mallory@pve")
    type_into(page, "input[name=password]", "x")
    press(page, ".password button", "Show password")
    page.until("document.querySelector('input[name=password]').type == 'text'")
    press(page, "button[type=submit]")
    page.until("document.querySelector('.error-box')?.innerText.includes('Too many attempts')")
    page.until("document.querySelector('button[type=submit]').disabled")
    first = page.evaluate("document.querySelector('.error-box .num').innerText")
    page.until(f"document.querySelector('.error-box .num')?.innerText != {first!r}")
    s.shoot(page, "account-signin-wait", modes=("light", "dark", "phone"))
    check_console(page, allowed=["429"])
    page.close()


if __name__ == "__main__":
    end_with(scene)
    main()
