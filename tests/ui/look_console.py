"""What a console of the page shows: the terminal's lines, and the screen's letters."""
import base64

from lib.rfb import Viewer
from lib.wait import wait_for
from ui.scene import text, type_keys

PHASE = "document.querySelector('.console')?.dataset.phase"
# The guest's picture, one bit each pixel, as base64.
PICTURE = """(() => {
    const c = document.querySelector('.console-surface canvas');
    if (!c || !c.width) return null;
    const data = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
    let out = '';
    for (let i = 0; i < data.length; i += 4) out += String.fromCharCode(data[i] + data[i + 1] + data[i + 2] > 300 ? 1 : 0);
    return [c.width, c.height, btoa(out)];
})()"""


class Picture(Viewer):
    """What the canvas shows, read by the font of the VGA BIOS. found: what PICTURE gave."""

    def __init__(self, found):  # pylint: disable=super-init-not-called
        self.width, self.height = found[:2] if found else (0, 0)
        self.pixels = base64.b64decode(found[2]) if found else b""


def screen(page):
    """The text on the guest's screen."""
    return Picture(page.evaluate(PICTURE)).text()


def lines(page):
    return text(page, ".xterm-rows").replace("\u00a0", " ")


def sees(page, wanted, timeout=30):
    """The terminal shows it."""
    try:
        wait_for(lambda: wanted in lines(page), timeout, repr(wanted))
    except AssertionError as e:
        raise AssertionError(f"{e}: {lines(page)[-600:]!r}") from None


def shows(page, wanted, timeout=30):
    """The screen shows it."""
    try:
        wait_for(lambda: wanted in screen(page), timeout, repr(wanted), step=0.2)
    except AssertionError as e:
        raise AssertionError(f"{e}: {screen(page).strip()!r}") from None


def shell_answers(page, timeout=60):
    """Signs in at the terminal, which has the focus, and has the guest's shell compute something."""
    sees(page, "login:", timeout)
    type_keys(page, "root\n")
    sees(page, "# ")
    type_keys(page, "echo sum=$((40+2))\n")
    sees(page, "sum=42")


def connected(page, timeout=30):
    page.until(f"{PHASE} == 'connected'", timeout)


def focus(page, what):
    page.evaluate(f"document.querySelector('.console-surface {what}').focus()")
