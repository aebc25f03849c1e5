"""Pictures on the page in a real browser: where they come from, what they cannot do, large ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from page_client import ReviewCommand
from page_world import IMAGE, with_pictures
from PIL import Image
from strata_labels.build import Workspace
from strata_labels.cli.review import review_setup
from strata_labels.errors import InputError
from strata_labels.review.page import Desk
from strata_labels.tables import load, save

sync_api = pytest.importorskip("playwright.sync_api")

Row = tuple[str, str, str]


def test_pictures_are_shown_and_nothing_comes_from_elsewhere(
    browser: sync_api.Browser, desk: Callable, serve: Callable
) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    address = serve(desk()).address
    page.goto(f"{address}?view=rows#1:gldv2/train/0")
    page.wait_for_selector(".pictures img")
    page.wait_for_function("() => document.querySelector('.pictures img').naturalWidth === 60")
    assert page.text_content(".pictures .note") == "looks more like lake"
    assert asked and all(url.startswith((address, "data:")) for url in asked)
    page.close()


PIXELS = {"content-type": "image/jpeg", "access-control-allow-origin": "*"}


def test_pictures_without_a_file_come_from_one_server_if_allowed(
    browser: sync_api.Browser, workspace: Path, serve: Callable, tmp_path: Path
) -> None:
    colour = Image.new("RGB", (33, 22), "navy")
    colour.save(tmp_path / "navy.jpg")
    items = load(workspace, "items")
    items["image_ids"] = items["image_ids"].astype(object)
    items.at[0, "image_ids"] = [*items.image_ids[0], "def0", "def1", "def2"]
    save(workspace, "items", items)
    host = "upload.wikimedia.org/wikipedia/commons"
    rows = [f"def0,https://{host}/6/62/A%20b.jpg,1", "def1,https://evil.example/x.jpg,1"]
    # A page must not be made to ask elsewhere, whatever the metadata hold.
    rows += [f"{IMAGE},http://{host}/1/11/Has_a_file.png,1"]
    (workspace / "train.csv").write_text("\n".join(["id,url,landmark_id", *rows]) + "\n")
    setup = review_setup(Workspace(workspace), online_images=True)
    evil = {**setup.online_images, "def2": "https://evil.example/y.jpg"}
    page, asked = browser.new_page(), list[str]()

    def answer(route: sync_api.Route) -> None:
        asked.append(route.request.url)
        assert "referer" not in route.request.headers
        route.fulfill(path=tmp_path / "navy.jpg", headers=PIXELS)

    page.route(lambda url: "127.0.0.1" not in url, answer)
    address = serve(Desk(replace(setup, online_images=evil), "ann")).address
    page.goto(f"{address}?view=rows#1:gldv2/train/0")
    page.wait_for_selector(".pictures img")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.pictures img')].some(i => i.naturalWidth === 33)"
    )
    assert asked == [f"https://{host}/thumb/6/62/A%20b.jpg/330px-A%20b.jpg"]
    # The server's address is the only one that the page may load pictures from.
    blocked = page.evaluate(
        """() => new Promise(done => {
          document.addEventListener('securitypolicyviolation', e => done(e.blockedURI));
          new Image().src = 'https://evil.example/z.jpg'; })"""
    )
    assert blocked.startswith("https://evil.example") and len(asked) == 1
    page.close()


def test_without_being_allowed_the_page_asks_for_no_picture_elsewhere(
    browser: sync_api.Browser, workspace: Path, serve: Callable
) -> None:
    setup = review_setup(Workspace(workspace))
    assert (setup.online_server, setup.online_images) == ("", {})
    page = browser.new_page()
    page.goto(serve(Desk(setup, "ann")).address)
    blocked = page.evaluate(
        """() => new Promise(done => {
          document.addEventListener('securitypolicyviolation', e => done(e.blockedURI));
          new Image().src = 'https://upload.wikimedia.org/z.jpg'; })"""
    )
    assert blocked.startswith("https://upload.wikimedia.org")
    page.close()


def test_online_images_need_addresses(workspace: Path) -> None:
    with pytest.raises(InputError, match=r"--online-images: no address of an image"):
        review_setup(Workspace(workspace), online_images=True)


def test_kept_images_are_shown_whatever_the_build_read(workspace: Path) -> None:
    record = json.loads((workspace / "run.json").read_text())
    record["parameters"]["images"] = None
    (workspace / "run.json").write_text(json.dumps(record))
    drawn = Desk(review_setup(Workspace(workspace)), "ann").picture("gldv2/train/0", IMAGE)
    assert drawn is not None and drawn.startswith(b"\xff\xd8")


ATTACK = """fetch(location.href.replace(/picture.*/, 'row')).then(r => r.json()).then(seen =>
  fetch(location.href.replace(/picture.*/, 'decide'), {method: 'POST',
    headers: {'content-type': 'application/json'},
    body: JSON.stringify({state: seen.state, row_id: seen.row.row_id, decision: 'exclude'})}))"""
SVG = f"<svg xmlns='http://www.w3.org/2000/svg'><script>{ATTACK}</script></svg>"
HTML = f"<!doctype html><html><script>{ATTACK}</script></html>"


def hostile_pictures(root: Path) -> dict[str, bool]:
    """Writes pictures that attack the page; by name, whether a picture can be shown of each."""
    (root / "plain.svg").write_text(SVG)
    (root / "svg.png").write_text(SVG)
    (root / "html.jpg").write_text(HTML)
    Image.new("RGB", (6, 6), "red").save(root / "polyglot.gif", comment=HTML.encode())
    Image.new("RGB", (6, 6), "red").save(root / "polyglot.jpg", comment=HTML.encode())
    with (root / "polyglot.jpg").open("ab") as file:
        file.write(HTML.encode())
    Image.new("1", (15_000, 15_000)).save(root / "oversized.png")
    Image.new("1", (9_000, 9_000)).save(root / "large.png")
    return {
        "plain.svg": False,
        "svg.png": False,
        "html.jpg": False,
        "polyglot.gif": True,
        "polyglot.jpg": True,
        "oversized.png": False,
        "large.png": True,
    }


def test_no_picture_runs_a_program(
    workspace: Path,
    start: Callable[..., ReviewCommand],
    browser: sync_api.Browser,
    ledger: Callable[[], list[Row]],
) -> None:
    shown = hostile_pictures(workspace / "images")
    items = load(workspace, "items")
    items.at[0, "image_ids"] = list(shown)
    save(workspace, "items", items)
    page = browser.new_page()
    address = start("--no-browser", "--reviewer", "ann").address
    for name, drawn in shown.items():
        answer = page.goto(f"{address}picture?item={items.item_id[0]}&id={name}")
        assert answer is not None
        assert answer.status == (200 if drawn else 404), name
        headers = answer.all_headers()
        if drawn:
            assert headers["content-type"] == "image/jpeg"
            assert headers["content-security-policy"].startswith("default-src 'none'")
            assert answer.body()[:3] == b"\xff\xd8\xff" and b"script" not in answer.body()
            assert len(answer.body()) < 100_000
        assert headers["x-content-type-options"] == "nosniff"
        page.wait_for_timeout(300)
        assert ledger() == [], name
    page.goto(f"{address}?view=rows#1:gldv2/train/0")
    page.wait_for_selector(".pictures img")
    page.wait_for_timeout(300)
    assert ledger() == []
    page.close()


def test_pictures_are_viewed_large_beside_the_nearest_of_each_place(
    browser: sync_api.Browser, workspace: Path, desk: Callable, serve: Callable
) -> None:
    with_pictures(workspace)
    page = browser.new_page()
    page.goto(f"{serve(desk()).address}?view=rows#1:gldv2/train/0")
    page.wait_for_selector(".pictures img")
    page.keyboard.press("v")
    page.wait_for_function(
        "() => document.querySelector('#viewer-own img')?.naturalWidth === 900", timeout=60_000
    )
    width = page.locator("#viewer-own img").bounding_box()["width"]
    for key, wider in (("+", True), ("+", True), ("0", False)):
        page.keyboard.press(key)
        assert (page.locator("#viewer-own img").bounding_box()["width"] > width) == wider
    first = page.get_attribute("#viewer-own img", "src")
    page.keyboard.press("ArrowRight")
    assert page.text_content("#viewer-title") == "Place 0, 2 of 2"
    assert page.get_attribute("#viewer-own img", "src") != first
    # No two places have the same pictures beside it.
    shown = page.locator("#viewer-others section").all()
    sources = [{image.get_attribute("src") for image in one.locator("img").all()} for one in shown]
    assert len(sources) > 1 and all(sources)
    assert sum(map(len, sources)) == len(set.union(*sources))
    page.keyboard.press("c")
    assert page.locator("#viewer-others").is_hidden()
    page.keyboard.press("Escape")
    # In a grid, those of the one under the cursor; a tap on a picture of a row opens it too.
    page.keyboard.press("g")
    page.wait_for_function("() => now.row.grid && !busy")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("v")
    assert page.text_content("#viewer-title").startswith(page.evaluate("now.row.grid[1].name"))
    page.close()
    assert len(list((workspace / "thumbnails").glob("*/*.jpg"))) > 5
