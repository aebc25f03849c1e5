"""A session in a real browser, by keyboard alone, against the real command."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from page_client import ReviewCommand
from page_world import with_pictures
from strata_labels.review import read_ledger

sync_api = pytest.importorskip("playwright.sync_api")

Row = tuple[str, str, str]
#: One of ten castles that are shown in a grid.
CASTLE = "1:gldv2/train/2"


class Curator:
    """Presses keys and notes what the ledger should then say."""

    def __init__(self, page: sync_api.Page) -> None:
        self.page = page
        self.expected: list[Row] = []
        self.decisions = 0
        page.on("pageerror", lambda error: pytest.fail(str(error)))

    def open(self, address: str) -> None:
        self.page.goto(address)
        self.page.wait_for_selector("#name")

    @property
    def row(self) -> str:
        return unquote(self.page.evaluate("location.hash.slice(1)"))

    def press(self, *keys: str) -> str:
        """Presses keys one after the other, then waits for the answer; returns what is said."""
        before = self.page.evaluate("now.state")
        for key in keys:
            self.page.keyboard.press(key)
        self.page.wait_for_function("before => now.state !== before && !busy", arg=before)
        return str(self.page.text_content("#said"))

    def decide(self, key: str, word: str, target: str) -> None:
        row = self.row
        self.press(key)
        assert self.row != row
        self.expected.append((row, word, target))
        self.decisions += 1

    def keep(self) -> None:
        """Enter: the first place, which may be another than the present one."""
        first = self.page.evaluate("now.row.places[0]")
        self.decide("Enter", first["answer"], first["node"])

    def pick(self, number: int) -> None:
        at = self.page.evaluate(f"now.row.places[{number}]")
        self.decide(str(number), at["answer"], at["node"])

    def find(self, text: str, target: str) -> None:
        row = self.row
        self.page.keyboard.press("/")
        self.page.keyboard.type(text)
        self.press("Enter")  # at once: the page waits for its search, then picks the first place
        self.expected.append((row, "move", target))
        self.decisions += 1

    def one_by_one(self) -> None:
        self.page.keyboard.press("g")
        self.page.wait_for_function("() => now.row && !now.row.grid && !busy")

    def undo(self, rows: int = 1) -> None:
        taken = self.expected[-rows:]
        assert self.press("z").startswith("Taken back")
        assert self.row == taken[0][0]
        self.decisions -= rows
        self.expected += [(row, "withdraw", "") for row, *_ in taken]


def test_thirty_decisions_by_keyboard_are_exactly_what_the_ledger_has(
    browser: sync_api.Browser, start: Callable[..., ReviewCommand], workspace: Path
) -> None:
    def told() -> list[Row]:
        """The ledger's decisions; the answer for a group is a line that names all of it."""
        found = read_ledger(workspace / "decisions.csv").decisions
        return list(found[["row_id", "decision", "target"]].itertuples(index=False, name=None))

    command = start("--no-browser", "--reviewer", "ann")
    curator = Curator(browser.new_page())
    curator.open(command.address)
    assert curator.page.evaluate("document.activeElement.id") == "name"
    curator.keep()  # the class
    # A grid of look-alikes as one answer, taken back and given again.
    alike = curator.page.evaluate("now.row.grid.length")
    assert alike > 2
    for again in (False, True):
        state = curator.page.evaluate("now.row.row_id")
        # No place is likely for most of them, so none is proposed: Enter has nothing to record.
        curator.page.keyboard.press("Enter")
        assert "Choose a place first" in str(curator.page.text_content("#said"))
        curator.press("0", "Enter")
        wrote = told()[-alike:]
        assert wrote[0][:2] == (state, "keep") and len({row for row, *_ in wrote}) == alike
        curator.expected += wrote
        curator.decisions += alike
        if not again:
            curator.undo(rows=alike)
    curator.one_by_one()
    for number in (1, 2, 3):
        curator.pick(number)
    curator.find("lake", "2/lake")
    curator.keep()
    curator.undo()
    curator.keep()
    curator.decide("u", "unsure", "")
    curator.decide("x", "exclude", "")
    stop = curator.page.evaluate("now.row.stops[0].node")
    curator.decide("s", "stop", stop)
    # A reload in the middle: the same row, and nothing is lost or repeated.
    row = curator.row
    curator.page.reload()
    curator.page.wait_for_selector("#name")
    assert curator.row == row
    curator.keep()
    # The server is killed: the page says so, and the next server goes on.
    command.end(signal.SIGKILL)
    curator.page.keyboard.press("Enter")
    curator.page.wait_for_selector("#alert:not([hidden])")
    assert "nothing was recorded" in str(curator.page.text_content("#alert"))
    command = start("--no-browser", "--reviewer", "ann")
    curator.open(command.address)
    curator.one_by_one()
    while curator.decisions < 30:
        curator.keep() if curator.decisions % 2 else curator.pick(1)
    wrote = told()
    assert [(r, w, "" if w == "withdraw" else t) for r, w, t in wrote] == curator.expected
    counted = {row for row, *_ in wrote}
    for place, (row, word, _) in enumerate(wrote):
        if word == "withdraw" and row not in {later for later, *_ in wrote[place + 1 :]}:
            counted.discard(row)
    assert len(counted) == curator.decisions == 30
    curator.page.close()


def test_a_grid_takes_its_exceptions_one_by_one_or_together(
    browser: sync_api.Browser, desk: Callable, serve: Callable, workspace: Path
) -> None:
    def told() -> list[Row]:
        found = read_ledger(workspace / "decisions.csv").decisions
        return list(found[["row_id", "decision", "target"]].itertuples(index=False, name=None))

    curator = Curator(browser.new_page())
    page = curator.page
    curator.open(f"{serve(desk()).address}#{CASTLE}")
    assert page.evaluate("document.activeElement.id") == "tiles"
    rows = page.evaluate("grid.rows")
    assert len(rows) > 4 and page.get_by_role("option").count() == len(rows)
    # Two exceptions, one by keyboard, one by a click; the place of the others is chosen.
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.get_by_role("option").nth(3).click()
    assert page.locator("[role=option][aria-selected=true]").count() == 2
    assert page.evaluate("document.activeElement.id") == "tiles"
    page.keyboard.press("1")
    place = page.evaluate("grid.chosen.node")
    assert place == page.evaluate("now.row.places[1].node")
    page.keyboard.press("Enter")
    page.wait_for_function("() => now.row && !now.row.grid && !busy")
    rest = [row for n, row in enumerate(rows) if n not in (1, 3)]
    assert told() == [(row, "move", place) for row in rest]
    # The exceptions come up by themselves, also after a reload; then the next grid.
    assert page.evaluate("now.row.row_id") == rows[1]
    page.reload()
    page.wait_for_function("() => now && now.row")
    assert page.evaluate("[now.row.row_id, now.row.grid]") == [rows[1], None]
    curator.find("lake", "2/lake")
    assert page.evaluate("[now.row.row_id, now.row.grid]") == [rows[3], None]
    curator.press("x")
    assert told()[-2:] == [(rows[1], "move", "2/lake"), (rows[3], "exclude", "")]
    page.wait_for_function("() => now.row.grid")
    # Each answer is taken back by itself, that for the grid as a whole.
    for taken in (1, 2, len(rows)):
        curator.press("z")
        assert [word for _, word, _ in told()[len(rows) :]] == ["withdraw"] * taken
    # The marked ones get another place at once; the others stay in the grid.
    curator.open(page.url.partition("#")[0] + f"#{CASTLE}")
    page.reload()
    page.wait_for_function("() => now && now.row && now.row.grid")
    rows = page.evaluate("grid.rows")
    page.keyboard.press("Space")
    page.get_by_role("option").nth(1).click()
    page.keyboard.press("p")
    page.keyboard.type("mountain")
    curator.press("Enter")
    assert told()[-2:] == [(row, "move", "2/mountain") for row in rows[:2]]
    assert page.evaluate("grid.rows") == rows[2:] and page.evaluate("grid.marked.size") == 0
    # With all of them marked, no answer is recorded: each comes up by itself.
    state = page.evaluate("now.state")
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    page.wait_for_function("() => now.row && !now.row.grid && !busy")
    assert page.evaluate("now.state") == state
    assert page.evaluate("pending") == rows[2:]
    page.close()


def test_the_second_of_two_windows_is_told_and_shown_the_present_state(
    browser: sync_api.Browser, desk: Callable, serve: Callable, ledger: Callable[[], list[Row]]
) -> None:
    address = serve(desk()).address
    # Two contexts, so that neither window learns of the other by being looked at.
    one, two = (browser.new_context().new_page() for _ in range(2))
    for page in (one, two):
        page.goto(address)
        page.wait_for_selector("#name")
    row = one.evaluate("now.row.row_id")
    one.keyboard.press("u")
    one.wait_for_function("row => now.row.row_id !== row", arg=row)
    two.keyboard.press("x")
    two.wait_for_selector("#alert:not([hidden])")
    assert "Nothing of this window was recorded" in str(two.text_content("#alert"))
    assert two.evaluate("now.row.row_id") == one.evaluate("now.row.row_id") != row
    assert ledger() == [(row, "unsure", "")]
    two.keyboard.press("x")  # now it has seen the present state
    two.wait_for_function("() => document.getElementById('said').textContent.startsWith('Excl')")
    assert len(ledger()) == 2


def test_everything_can_be_reached_and_is_named_for_a_screen_reader(
    browser: sync_api.Browser, desk: Callable, serve: Callable, ledger: Callable[[], list[Row]]
) -> None:
    page = browser.new_page()
    page.goto(serve(desk()).address)
    page.wait_for_selector("#name")
    page.keyboard.press("Enter")
    page.wait_for_function("() => now.progress.decided === 1")
    status = page.get_by_role("status").first
    assert status.text_content().startswith("Kept cathedral under church")
    assert page.get_by_role("listbox", name="look-alikes").get_by_role("option").count() == 10
    page.keyboard.press("g")
    page.wait_for_function("() => !now.row.grid && !busy")
    assert page.get_by_role("heading", level=1).text_content() == page.evaluate("now.row.name")
    assert (
        page.get_by_role("progressbar", name="Rows decided").get_attribute("aria-valuenow") == "1"
    )
    # Every control has a name, and Tab leads to each.
    names = page.eval_on_selector_all(
        "main button, main a, main input, footer button",
        "all => all.map(e => (e.textContent || e.labels?.[0]?.textContent || '').trim())",
    )
    assert all(names) and len(names) > 8
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.textContent.trim()"))
    assert set(names) - {"i Note"} <= reached
    # Without single keys the buttons still do everything.
    page.get_by_role("button", name="Keys").press("Enter")
    page.get_by_role("checkbox").uncheck()
    page.keyboard.press("Escape")
    rows = len(ledger())
    page.keyboard.press("u")
    page.get_by_role("button", name="Unsure").press("Enter")
    page.wait_for_function("() => now.progress.decided === 2")
    assert len(ledger()) == rows + 1
    # The search is a combobox.
    page.get_by_role("button", name="Search").press("Enter")
    box = page.get_by_role("combobox")
    box.type("mount")
    page.wait_for_function(  # of all letters
        "() => $('found').children.length > 1"
        " && [...$('found').children].every(one => one.textContent.includes('mount'))"
    )
    assert box.get_attribute("aria-activedescendant") == "hit0"
    page.keyboard.press("ArrowDown")
    assert box.get_attribute("aria-activedescendant") == "hit1"
    page.keyboard.press("Escape")
    page.wait_for_function("() => document.activeElement.id === 'name'")
    page.close()


def test_blind_hides_what_is_proposed_from_the_browser(
    browser: sync_api.Browser, desk: Callable, serve: Callable, ledger: Callable[[], list[Row]]
) -> None:
    page = browser.new_page()
    page.goto(f"{serve(desk('ben', blind=True)).address}?view=rows#1:gldv2/train/0")
    page.wait_for_selector("#name")
    assert "likely" not in str(page.text_content("main"))
    assert page.text_content(".pictures .note") == "unlike the other pictures"
    page.keyboard.press("Enter")
    page.wait_for_function(
        "() => document.getElementById('said').textContent.includes('pick a place')"
    )
    assert ledger() == []
    page.close()


def test_a_search_that_was_closed_decides_nothing(
    browser: sync_api.Browser, desk: Callable, serve: Callable, ledger: Callable[[], list[Row]]
) -> None:
    curator = Curator(browser.new_page())
    page = curator.page
    curator.open(serve(desk()).address)
    shown, before = curator.row, ledger()
    held: list[sync_api.Route] = []
    page.route("**/search?*", lambda route: held.append(route))
    for reopened in (False, True):
        held.clear()
        page.keyboard.press("/")
        page.keyboard.type("c")
        page.keyboard.press("Enter")  # while the answer is on its way
        page.keyboard.press("Escape")
        if reopened:
            page.keyboard.press("/")
        with page.expect_response("**/search?*") as answered:
            held[0].continue_()
        assert answered.value.json()["found"]
        page.evaluate("() => new Promise(resolve => setTimeout(resolve))")
        assert page.locator("#found li").count() == 0
    assert (curator.row, ledger()) == (shown, before)


def test_filters_jumps_and_the_list_of_answers(
    browser: sync_api.Browser, desk: Callable, serve: Callable, ledger: Callable[[], list[Row]]
) -> None:
    curator = Curator(browser.new_page())
    page = curator.page
    curator.open(serve(desk()).address)

    def settled() -> None:
        page.wait_for_function("() => !busy")

    # A node is chosen in the tree of progress; the address keeps it.
    page.keyboard.press("f")
    page.wait_for_selector("#filters[open]")
    assert "open row" in str(page.text_content("#filter-total"))
    page.get_by_role("button", name="natural").click()
    page.wait_for_function("() => view.node === '3/natural' && !busy")
    page.get_by_label("Level").select_option("0")
    page.wait_for_function("() => view.level === '0' && !busy")
    page.keyboard.press("Escape")
    settled()
    assert "node=3%2Fnatural" in page.url and "level=0" in page.url
    assert page.get_by_role("button", name="Remove the filter").count() == 2
    left = page.evaluate("now.left")
    page.reload()
    page.wait_for_selector("#name")
    assert page.evaluate("[now.left, view.node]") == [left, "3/natural"]
    kept = page.evaluate("now.row.grid.map(tile => tile.row_id)")
    curator.press("0", "Enter")
    assert page.evaluate("now.left") == left - len(kept)
    page.get_by_role("button", name="Remove the filter level").click()
    page.wait_for_function("() => !view.level && !busy")
    page.keyboard.press("Escape")
    page.wait_for_function("() => !view.node && !busy")
    # Any item is found, decided or not, and answered.
    page.keyboard.press("j")
    page.keyboard.type("sure 3")
    page.keyboard.press("Enter")  # at once: the page waits for its search
    page.wait_for_function("() => now.row.name === 'Sure 3' && !busy")
    assert "accepted without review" in str(page.text_content(".eyebrow"))
    sure = curator.row
    curator.press("x")
    assert ledger()[-1] == (sure, "exclude", "")
    # The list: the first answer is withdrawn, the second changed.
    page.keyboard.press("d")
    page.wait_for_selector("#decided-list li")
    assert page.locator("#decided-list li").count() == 2
    page.get_by_role("button", name="Change the answer on Sure 3").click()
    page.wait_for_function("() => now.row.name === 'Sure 3' && !busy")
    assert "decided" in str(page.text_content(".eyebrow"))
    curator.find("lake", "2/lake")
    assert ledger()[-1] == (sure, "move", "2/lake")
    page.keyboard.press("d")
    page.wait_for_selector("#decided-list li")
    page.locator("#decided-list li").last.get_by_role("button", name="Withdraw").click()
    page.wait_for_function("() => document.querySelectorAll('#decided-list .past').length === 2")
    assert ledger()[-1][1] == "withdraw"
    page.locator("#decided-query").fill("no such name")
    page.wait_for_function("() => !document.querySelectorAll('#decided-list li').length")
    page.keyboard.press("Escape")
    page.close()


@pytest.mark.parametrize(("width", "height"), [(390, 844), (640, 360)], ids=["phone", "zoom 200 %"])
def test_question_and_places_stay_on_a_small_screen(
    browser: sync_api.Browser, workspace: Path, desk: Callable, serve: Callable, width: int,
    height: int,
) -> None:  # fmt: skip
    with_pictures(workspace)
    page = browser.new_context(
        viewport={"width": width, "height": height}, has_touch=True, is_mobile=True
    ).new_page()
    page.goto(f"{serve(desk()).address}?view=rows#1:gldv2/train/0")
    page.wait_for_selector(".pictures img")
    floor = page.locator("footer").bounding_box()["y"]
    boxes = [page.locator("#name").bounding_box(), page.locator("#where").bounding_box()]
    boxes += [place.bounding_box() for place in page.locator(".place button").all()[:3]]
    assert len(boxes) == 5
    for box in boxes:
        assert box["y"] >= 0 and box["y"] + box["height"] <= floor
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Everything is done by touch.
    row = page.evaluate("now.row.row_id")
    page.locator(".place button").nth(1).tap()
    page.wait_for_function("row => now.row.row_id !== row && !busy", arg=row)
    page.get_by_role("button", name="Undo").tap()
    page.wait_for_function("row => now.row.row_id === row && !busy", arg=row)
    page.get_by_role("button", name="Grid of").tap()
    page.wait_for_function("() => now.row.grid && !busy")
    page.get_by_role("option").nth(1).tap()
    assert page.evaluate("grid.marked.size") == 1
    page.locator(".place button").first.tap()
    page.get_by_role("button", name="Record").tap()
    page.wait_for_function("() => now.row && !now.row.grid && !busy")
    page.close()


def test_axe_finds_nothing_on_any_view(
    browser: sync_api.Browser, axe: Any, workspace: Path, desk: Callable, serve: Callable
) -> None:
    with_pictures(workspace)
    ann = desk()
    ann.decide(ann.state, ann.ask(), "keep")
    page = browser.new_page()
    address = serve(ann).address
    found = {}
    page.goto(address)  # a grid
    page.wait_for_selector("#tiles img")
    page.keyboard.press("Space")
    found["grid"] = axe(page)
    for key, dialog in (("v", "viewer"), ("f", "filters"), ("j", "jump"), ("d", "decided"),
                        ("t", "tree"), ("/", "search"), ("?", "help")):  # fmt: skip
        page.keyboard.press(key)
        page.wait_for_selector(f"#{dialog}[open]")
        if dialog in ("jump", "search"):
            page.keyboard.type("ca")
            page.wait_for_selector(f"#{dialog} [role=option]")
        if dialog == "tree":
            page.click("#tree-below button >> nth=0")
            page.wait_for_selector("#tree-form:not([hidden])")
        found[dialog] = axe(page)
        page.keyboard.press("Escape")
        page.wait_for_function("() => !document.querySelector('dialog[open]') && !busy")
    page.goto(f"{address}?view=rows&split=train&from=0&to=1#1:gldv2/train/0")
    page.wait_for_selector(".pictures img")
    found["row"] = axe(page)
    page.emulate_media(color_scheme="dark")
    found["dark"] = axe(page)
    page.goto(f"{address}?split=nowhere")
    page.wait_for_selector("#name")
    found["nothing"] = axe(page)
    assert {view: some for view, some in found.items() if some} == {}
    page.close()
