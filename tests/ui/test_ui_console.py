"""Consoles in the page: a real guest's serial port in a terminal and its screen by VNC, typed at with real keys and read
back; both come back when the guest does; layouts, paste, a window of its own, a phone, and who is not let in."""
import functools

from lib.guests import DEMO, install_demo, write_boot_sector
from lib.tap import main, test
from lib.wait import wait_for
from ui.look_console import PHASE, connected, focus, lines, screen, sees, shell_answers, shows
from ui.scene import SHOTS, Scene, check_console, choose, end_with, key, press, show, sign_out, text, type_into, type_keys

SHELL, SCREEN, OFF, PLAIN, DISK = 101, 102, 103, 104, 105
CTRL, SHIFT = 2, 8
# A key of a keyboard with another layout: its place, and what it gives there.
OTHER_KEY = """(code, key) => {
    for (const type of ['keydown', 'keyup'])
        document.activeElement.dispatchEvent(new KeyboardEvent(type, {code, key, bubbles: true, cancelable: true}));
}"""


@functools.cache
def scene():
    s = Scene()
    install_demo(s.node)
    s.node.create(SHELL, name="gateway", tags="prod;net", **DEMO, vga="serial0", serial1="socket")
    s.node.create(SCREEN, name="win-erp-1", memory=64, scsi0="local:1,format=raw", tags="erp")
    s.node.create(OFF, name="staging-db", memory=64, serial0="socket")
    s.node.create(PLAIN, name="no-console", memory=64, vga="none")
    s.node.create(DISK, name="mail-relay", memory=64, scsi0="local:1,format=raw", serial0="socket")
    for vmid, sector in ((SCREEN, "screen"), (DISK, "bootdisk")):
        write_boot_sector(s.node, s.node.api.get(s.node.vm(vmid, "/config"))["scsi0"], sector)
    for vmid in (SHELL, SCREEN, DISK):
        s.node.api.run("POST", s.node.vm(vmid, "/status/start"))
    return s


@test(limit=240)
def the_serial_port_is_a_terminal():
    s = scene()
    page = s.signed_in(f"/guests/{SHELL}/console")
    connected(page)
    page.becomes("document.querySelector('.console-tools').innerText.split(/\\s+/)", ["Connected", "Serial", "0", "Serial", "1", "A−", "A+"])
    focus(page, "textarea")
    shell_answers(page, 90)
    press(page, ".console-tools button", "Paste text")
    type_into(page, "dialog textarea", "printf 'gr\u00fc\u00dfe %s\\n' \u732b\necho two=$((1+1))\n")
    press(page, "dialog button.main", "Type")
    sees(page, "gr\u00fc\u00dfe \u732b")
    sees(page, "two=2")
    page.until("document.activeElement?.className == 'xterm-helper-textarea'")  # one goes on typing
    press(page, ".console-tools .menu-item", "Tell the shell its size")
    type_keys(page, "stty size\n")
    wait_for(lambda: any(x.split()[:1] and x.strip().replace(" ", "").isdigit() for x in lines(page).split("\n")), 20, "the size")
    press(page, ".console-tools button", "Larger letters")
    s.shoot(page, "console-terminal", modes=("light", "dark"))
    # What was written is there again after a reload, and nothing is typed in answer to what the guest once asked.
    page.open(page.url())
    connected(page)
    sees(page, "sum=42")
    focus(page, "textarea")
    type_keys(page, "echo again=$((2+2))\n")
    sees(page, "again=4")
    assert "R: not found" not in lines(page) and "[1;1R" not in lines(page), lines(page)
    key(page, "F6", CTRL | SHIFT)
    page.until("!!document.activeElement.closest('.console-tools')")  # the keyboard can leave
    sign_out(page)
    check_console(page)
    page.close()


@test(limit=240)
def the_screen_shows_the_guest_and_takes_keys():
    s = scene()
    page = s.signed_in(f"/guests/{SCREEN}/console?kind=vnc")
    connected(page)
    shows(page, "The screen is up.")
    s.shoot(page, "console-screen", modes=("light", "dark"))
    focus(page, "canvas")
    key(page, "q")
    shows(page, "key q")
    # Another keyboard: its places go to the guest, whose BIOS has an American one ...
    page.run(OTHER_KEY, "KeyY", "z")
    shows(page, "key y")
    # ... or what is on its keys, if the user says what the guest has.
    choose(page, ".console-layout select", "en-us")
    focus(page, "canvas")
    page.run(OTHER_KEY, "KeyY", "z")
    shows(page, "key z")
    page.run(OTHER_KEY, "Minus", "?")  # a key with Shift in the guest, without on the user's keyboard
    shows(page, "key ?")
    choose(page, ".console-layout select", "")
    press(page, ".console-tools button", "Paste text")
    type_into(page, "dialog textarea", "a{B\u732b@")
    page.says("dialog .warn-text", "1 character is not")
    s.shoot(page, "console-paste", modes=("light", "phone"))
    press(page, "dialog button.main", "Type")
    for char in "a{B@":
        shows(page, f"key {char}")
    page.evaluate("document.querySelector('.console-tools .menu').showPopover()")
    s.shoot(page, "console-keys", modes=("light", "dark"))
    page.evaluate("document.querySelector('.console-tools .menu').hidePopover()")
    press(page, ".console-tools button", "Fit to the window")
    page.until("document.querySelector('.console-surface canvas').getBoundingClientRect().width == 720")
    press(page, ".console-tools button", "Full screen")
    page.until("document.fullscreenElement?.className == 'console'")
    page.until("document.querySelector('.console-tools .button.main')?.innerText == 'Shut down'")
    page.screenshot(f"{SHOTS}/console-full-light.png")
    press(page, ".console-tools button", "Full screen")
    page.until("!document.fullscreenElement")
    press(page, ".console-cad button", "CtrlAltDel")
    shows(page, "The screen is up.", 30)  # the BIOS began again
    wait_for(lambda: "key @" not in screen(page), 20, "a new picture")
    page.becomes(PHASE, "connected")
    sign_out(page)
    check_console(page)
    page.close()


@test(limit=240)
def both_come_back_with_the_guest():
    s = scene()
    page = s.signed_in(f"/console/{DISK}?kind=serial0")
    other = s.browser.page(f"{s.base}/console/{SCREEN}")
    page.becomes("document.querySelector('#app').firstElementChild.nextElementSibling.className", "bare console-window")
    connected(page)
    connected(other)
    page.until("document.title.includes('mail-relay (105)')")
    for vmid in (DISK, SCREEN):
        s.node.api.run("POST", s.node.vm(vmid, "/status/stop"))
    for tab in (page, other):
        tab.until("document.querySelector('.console-cover')?.innerText.includes('is not running')")
    page.call("Page.bringToFront")
    s.shoot(page, "console-off", ready="document.querySelector('.console-cover')")
    press(page, ".console-cover button", "Show what it wrote last")
    page.until("!document.querySelector('.console-cover')")
    press(page, ".console-window > header button", "Start")
    other.call("Page.bringToFront")
    press(other, ".console-cover button", "Start")
    connected(other)
    shows(other, "The screen is up.")
    focus(other, "canvas")
    key(other, "w")
    shows(other, "key w")
    page.call("Page.bringToFront")
    connected(page)
    sees(page, "disk guest is up")
    focus(page, "textarea")
    type_keys(page, "r")
    sees(page, "key r")
    s.node.api.run("POST", s.node.vm(DISK, "/status/reset"))
    wait_for(lambda: lines(page).count("disk guest is up") == 2, 30, "another boot")
    page.becomes(PHASE, "connected")
    # The server goes away: the page tries again by itself, and less and less often.
    s.node.stop()
    for tab in (page, other):
        tab.until(f"{PHASE} == 'waiting' && document.querySelector('.console-lost')?.innerText.includes('Next try')")
    page.screenshot(f"{SHOTS}/console-lost-light.png")
    s.node.start()
    for tab in (page, other):
        connected(tab, 40)
        check_console(tab, allowed=["500", "ERR_", "net::", "WebSocket"])
        tab.close()


@test(limit=120)
def a_phone_has_the_keys_it_lacks():
    s = scene()
    page = s.signed_in(f"/console/{SCREEN}")
    show(page, "phone", None, f"{PHASE} == 'connected'")
    shows(page, "The screen is up.")
    press(page, ".extra-key", "Show the keyboard")
    page.call("Input.insertText", text="x")
    shows(page, "key x")
    press(page, ".extra-key", "|")
    shows(page, "key |")
    s.shoot(page, "console-phone", modes=("phone",))
    show(page, "phone", f"{s.base}/console/{SHELL}?kind=serial0", f"{PHASE} == 'connected'")
    press(page, ".extra-key", "Show the keyboard")
    page.call("Input.insertText", text="sleep 100 ")
    press(page, ".extra-key", "/")
    sees(page, "sleep 100 /")
    press(page, ".extra-key", "Ctrl")
    page.until("document.querySelector('.extra-key[aria-pressed=true]')?.innerText == 'Ctrl'")
    key(page, "c")
    sees(page, "^C")
    page.until("!document.querySelector('.extra-key[aria-pressed=true]')")
    press(page, ".extra-key", "Up")
    s.shoot(page, "console-phone-terminal", modes=("phone",))
    show(page, "phone", f"{s.base}/guests/{SHELL}/console", f"{PHASE} == 'connected'")
    s.shoot(page, "console-phone-tab", modes=("phone",))
    check_console(page)
    page.close()


@test(limit=120)
def who_may_not_is_not_let_in():
    s = scene()
    s.node.create_user("looker@pve", "PVEAuditor")
    page = s.signed_in(f"/guests/{SHELL}", "looker")
    page.until("document.querySelectorAll('.tabs a').length > 3")
    assert "Console" not in text(page, ".tabs")
    for path in (f"/guests/{SHELL}/console", f"/console/{SHELL}"):
        page.open(s.base + path)
        page.until("document.querySelector('.empty')?.innerText.includes('may not use')")
    assert not page.statuses("termproxy") and not page.statuses("vncproxy")
    page.close()
    # A right that is taken away ends the console; the page does not try to get it back.
    s.node.create_user("leaver@pve", "PVEAuditor")
    s.node.api.put("/access/acl", path=f"/vms/{SHELL}", roles="PVEVMUser", users="leaver@pve")
    page = s.signed_in(f"/guests/{SHELL}/console", "leaver")
    connected(page)
    s.node.api.put("/access/acl", path=f"/vms/{SHELL}", roles="PVEVMUser", users="leaver@pve", delete=1)
    page.until(f"{PHASE} == 'ended' && document.querySelector('.console-cover').innerText.includes('has ended this console')")
    assert len(page.statuses("termproxy")) == 1
    s.shoot(page, "console-ended", modes=("light", "phone"))
    press(page, ".console-cover button", "Connect again")
    page.until("document.querySelector('.console-cover .error-box')?.innerText.includes('auth.denied')")
    assert page.statuses("termproxy")[1:] == [403]
    check_console(page, allowed=["403"])
    page.close()


@test(limit=120)
def other_guests_and_the_way_out():
    s = scene()
    page = s.signed_in(f"/guests/{OFF}/console")
    page.until("document.querySelector('.console-cover')?.innerText.includes('staging-db is not running')")
    s.shoot(page, "console-stopped", modes=("light", "phone"))
    press(page, ".console-tools .chip", "Serial 0")
    page.until("location.search == '?kind=serial0'")
    page.evaluate("window.open = (...a) => { window.opened = a; }")
    press(page, ".console-tools button", "window of its own")
    page.becomes("opened[0]", f"/console/{OFF}?kind=serial0")
    press(page, ".console-cover button", "Start")
    connected(page, 30)
    page.open(f"{s.base}/guests/{PLAIN}/console")
    page.until("document.querySelector('.empty')?.innerText.includes('has no console')")
    s.shoot(page, "console-none", modes=("light",))
    page.evaluate("localStorage.setItem('holm.language', '\"de\"')")
    page.open(f"{s.base}/guests/{SCREEN}/console")
    page.until("document.querySelector('.console-state')?.innerText == 'Verbunden'")
    page.evaluate("localStorage.removeItem('holm.language')")
    check_console(page, allowed=["500"])  # the list of guests is a moment ahead of the guest
    page.close()


if __name__ == "__main__":
    end_with(scene)
    main()
