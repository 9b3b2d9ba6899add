"""The list of 10,000 guests: only rows in sight are drawn, each is the guest that its place says also after far scrolling, a
metric does not sort again, and a change is seen. How fast all that is: bench/test_page_many.py."""
import functools

from bench.many import FIRST, define
from lib.holm import is_sanitized
from lib.tap import main, test
from ui.scene import Scene, check_console, end_with, press, type_into

COUNT = 2000 if is_sanitized() else 10000
LIVE = FIRST + COUNT
ROWS = "[...document.querySelectorAll('tbody tr[id]')]"
# Rows whose number, name, link and label are not those of the guest that belongs there in the order of names.
STRANGERS = f"""{ROWS}.filter((row) => {{
    const id = row.ariaRowIndex == 2 ? {LIVE} : {FIRST} + Number(row.ariaRowIndex) - 3, name = id == {LIVE} ? 'aaa-live' : 'guest-' + id;
    const link = row.querySelector('a');
    return row.id != 'guests-' + id || link.textContent != name || !link.href.endsWith('/guests/' + id)
        || row.querySelector('input').ariaLabel != 'Select ' + name || row.cells[2].textContent != id;
}}).map((row) => row.outerHTML)"""
# Big arrays that are sorted from now on.
COUNT_SORTS = """(() => {
    const sort = Array.prototype.sort;
    window.sorts = 0;
    Array.prototype.sort = function (...args) { if (this.length > 1000) window.sorts++; return sort.apply(this, args); };
    window.mutations = 0;
    new MutationObserver((list) => { window.mutations += list.length; }).observe(document.querySelector('tbody'), {subtree: true, childList: true, characterData: true, attributes: true});
})()"""


@functools.cache
def scene():
    s = Scene()
    define(s.node, COUNT, cores=2, memory=1024, net0="virtio", tags="prod")
    s.node.create(LIVE, name="aaa-live", memory=64)
    s.node.api.run("POST", s.node.vm(LIVE, "/status/start"))
    return s


@functools.cache
def listed():
    page = scene().signed_in("/guests")
    all_there(page)
    return page


def all_there(page):
    page.until(f"document.querySelector('table')?.ariaRowCount == '{COUNT + 2}'", 60)


def scroll_to(page, row):
    """Until the row at this place is drawn."""
    page.evaluate(f"document.querySelector('.table-box').scrollTop = {row} * 34")
    page.until(f"!!document.querySelector('tbody tr[aria-rowindex=\"{row + 2}\"]')")


@test(limit=120)
def rows_are_those_of_their_places():
    page = listed()
    assert page.evaluate(f"{ROWS}.length") < 80
    for row in (0, 7, 30, 31, 900, 1900, 880, COUNT - 20, COUNT, 3, 0):
        scroll_to(page, row)
        assert not page.evaluate(STRANGERS), row
    assert page.evaluate("[...document.querySelectorAll('tbody tr:not([id])')].map(r => r.offsetHeight)") == \
        [page.evaluate(f"({COUNT + 1} - {ROWS}.length) * 34")]


@test(limit=120)
def what_is_selected_and_focused_does_not_move_to_another_guest():
    page = listed()
    scroll_to(page, 0)
    press(page, f"#guests-{FIRST + 1} input")
    page.until(f"document.getElementById('guests-{FIRST + 1}').ariaSelected == 'true'")
    page.evaluate(f"document.querySelector('#guests-{FIRST + 2} a').focus()")
    scroll_to(page, 1000)
    assert not page.evaluate("document.querySelectorAll('tbody tr[aria-selected=true], tbody input:checked').length")
    page.becomes("document.activeElement.tagName", "TABLE")
    page.evaluate(f"document.querySelector('#guests-{FIRST + 1000}').cells[2].click()")
    page.until("document.querySelector('.selection')?.innerText.includes('2')")
    scroll_to(page, 0)
    page.becomes("[...document.querySelectorAll('tbody tr[aria-selected=true]')].map(r => [r.id, r.querySelector('input').checked])", [[f"guests-{FIRST + 1}", True]])
    press(page, ".selection button", "Select none")
    page.until("!document.querySelector('.selection')")


@test(limit=120)
def sorting_and_searching():
    page = listed()
    first = f"{ROWS}[0].id"
    press(page, "th button", "ID")
    page.until(f"{first} == 'guests-{FIRST}'")
    press(page, "th button", "ID")
    page.until(f"{first} == 'guests-{LIVE}'")
    type_into(page, "input[type=search]", f"id:{FIRST + 100}-{FIRST + 200}")
    page.until("document.querySelector('table').ariaRowCount == '102'")
    page.becomes(first, f"guests-{FIRST + 200}")
    type_into(page, "input[type=search]", "")
    press(page, "th button", "Name")
    page.until(f"{first} == 'guests-{LIVE}'")
    all_there(page)


@test(limit=120)
def a_metric_does_not_sort_again():
    page = listed()
    scroll_to(page, 0)
    page.evaluate(COUNT_SORTS)
    page.until("window.mutations > 0", 30)
    page.pump(3)
    sorts, mutations = page.evaluate("[window.sorts, window.mutations]")
    assert sorts == 0 and 0 < mutations < 100, (sorts, mutations)


@test(limit=120)
def changes_are_seen():
    s, page = scene(), listed()
    row = f"document.getElementById('guests-{LIVE}').innerText"
    s.node.api.put(s.node.vm(LIVE, "/config"), name="aaa-other")
    page.until(f"{row}.includes('aaa-other')")
    s.node.api.post(s.node.vm(LIVE, "/status/stop"))
    page.until(f"{row}.includes('Stopped')")
    s.node.api.put(s.node.vm(LIVE, "/config"), name="zzz-last")  # goes to the end
    page.until(f"!document.getElementById('guests-{LIVE}')")
    scroll_to(page, COUNT)
    page.becomes(f"{ROWS}.at(-1).id", f"guests-{LIVE}")
    check_console(page)


if __name__ == "__main__":
    end_with(scene)
    main()
