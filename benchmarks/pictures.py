"""Takes the pictures of the pages in README and docs.

    python -m benchmarks.pictures [--shared DIR] [--out docs]

Tree page, report and card are those of `make demo`: the sample, and drawn products. With the real
data the pictures of the review page are taken too: of a table of one's own from grocery's
photographs (GroceryStoreDataset, MIT), two to an item, half of the labels missing. Needs chromium.
"""

from __future__ import annotations

import argparse
import base64
import io
import re
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markdown_it import MarkdownIt
from PIL import Image
from playwright.sync_api import sync_playwright
from strata_labels.build import Workspace
from strata_labels.cli import app
from strata_labels.cli.review import review_setup
from strata_labels.review.page import Desk, open_page
from strata_labels.sources import draw_products
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[1]
CARD_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 55rem; margin: 1.5rem auto; color: #1f2d2e }
img { max-width: 100%; max-height: 32rem }
table { border-collapse: collapse; font-size: 13px; margin: 1rem 0 }
th, td { border: 1px solid #d8dfe0; padding: .2rem .6rem; text-align: left; vertical-align: top }
"""
#: Colours and bytes of a picture file at most, and pixels of the windows.
MOST_BYTES = 200_000
COLOURS, DESKTOP, PHONE = 128, {"width": 1200, "height": 800}, {"width": 390, "height": 844}
TALL = {"width": 1200, "height": 1060}


def strata(*words: object) -> None:
    """Runs the command.

    Raises:
        SystemExit: it fails.
    """
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exit_code not in (0, 3):
        raise SystemExit(result.output)


def build(shared: Path, folder: Path) -> Workspace:
    """A workspace of grocery's photographs, half of the items without labels."""
    photos = pd.read_csv(shared / "grocery" / "subset.csv")
    classes = pd.read_csv(shared / "grocery" / "classes.csv")
    fine = classes.set_index("Class ID (int)")["Class Name (str)"]
    coarse = classes.set_index("Coarse Class ID (int)")["Coarse Class Name (str)"]
    coarse = coarse[~coarse.index.duplicated()]
    photos["pair"] = photos.groupby("fine_id").cumcount() // 2
    items = photos.groupby(["fine_id", "pair"]).agg(
        image=("path", lambda paths: "|".join("subset/" + path for path in paths)),
        fine=("fine_id", lambda ids: fine[ids.iloc[0]]),
        coarse=("coarse_id", lambda ids: coarse[ids.iloc[0]]),
        top=("top", "first"),
    )
    items = items.reset_index(drop=True)
    items.insert(0, "id", [f"{n:03d}" for n in range(len(items))])
    items.insert(1, "name", [f"Product {n}" for n in range(len(items))])
    rest = np.random.default_rng(0).permutation(len(items))[len(items) // 2 :]
    items.loc[rest, ["fine", "coarse", "top"]] = ""
    items.to_csv(folder / "items.csv", index=False)
    command = ["build", "table", str(folder / "ws"), "--items", str(folder / "items.csv")]
    command += ["--images", str(shared / "grocery"), "--encoder", "registry"]
    strata(*command)
    return Workspace(folder / "ws")


def take(page: Any, path: Path) -> None:
    """Writes what a window shows as a small PNG."""
    page.wait_for_function(
        "() => !busy && [...document.images].every("
        "i => i.complete || i.getBoundingClientRect().top > innerHeight)",
        timeout=120_000,
    )
    save(Image.open(io.BytesIO(page.screenshot())), path)


def save(picture: Image.Image, path: Path) -> None:
    """Writes a picture as a PNG of at most `MOST_BYTES`, with as many colours as that allows."""
    colours = COLOURS
    while True:
        picture.convert("RGB").quantize(colours).save(path, optimize=True)
        if path.stat().st_size <= MOST_BYTES:
            return
        colours //= 2


def build_demo(folder: Path) -> None:
    """What `make demo` builds: `gldv2-h`, `sop-h` and `training` in a folder."""
    sample, registry = ROOT / "hierarchies" / "sample", ("--encoder", "registry")
    given: tuple[object, ...] = ("--metadata", sample, "--entities", sample / "entities.jsonl")
    strata("build", "gldv2-h", folder / "gldv2-h", *given, *registry)
    products = folder / "products"
    draw_products(products)
    given = ("--metadata", products, "--levels", "deep")
    strata("build", "sop-h", folder / "sop-h", *given, *registry)
    given = ("--images", products, "--recipe", "happier", "--synthetic")
    strata("train", folder / "sop-h", *given, *registry, "--out", folder / "training")


def take_demo(browser: Any, folder: Path, out: Path) -> None:
    """Tree pages, the report and a card."""
    page = browser.new_page(viewport=TALL)
    for name, address in (
        ("tree-page", folder / "sop-h" / "tree.html"),
        ("tree-open", folder / "gldv2-h" / "tree.html"),
    ):
        page.goto(address.as_uri())
        page.wait_for_selector("html[data-ready]")
        if name == "tree-open":
            page.select_option("#filter", "open")
            page.click("#icicle button[title^='human-made:']")
            page.mouse.move(0, 0)
        else:
            page.locator("#rows li", has_text="figurine").click()
        page.wait_for_function("() => [...document.images].every(i => i.complete)")
        save(Image.open(io.BytesIO(page.screenshot())), out / f"{name}.png")
    page.goto((folder / "training" / "report.html").as_uri())
    whole = Image.open(io.BytesIO(page.screenshot(full_page=True)))
    tops = page.eval_on_selector_all("h2", "all => all.map(h => h.getBoundingClientRect().top)")
    tops = [round(top) for top in tops]  # metrics, errors, nodes, sheets, map, training
    parts = [(0, tops[1] - 20), (tops[3] - 10, tops[3] + 420), (tops[4] - 10, tops[5] - 20)]
    report = Image.new("RGB", (whole.width, sum(end - top for top, end in parts)))
    at = 0
    for top, end in parts:
        report.paste(whole.crop((0, top, whole.width, end)), (0, at))
        at += end - top
    save(report, out / "report.png")
    page.set_content(card_html(folder / "sop-h" / "card.md"))
    page.wait_for_function("() => [...document.images].every(i => i.complete)")
    save(Image.open(io.BytesIO(page.screenshot())), out / "card.png")


def card_html(card: Path) -> str:
    """A card as data set hubs show it."""
    text = re.sub(r"\A---\n.*?\n---\n", "", card.read_text(encoding="utf-8"), flags=re.DOTALL)
    body = MarkdownIt("commonmark").enable("table").render(text)
    picture = base64.b64encode((card.parent / "tree.png").read_bytes()).decode()
    body = body.replace('src="tree.png"', f'src="data:image/png;base64,{picture}"')
    return f"<!doctype html><style>{CARD_STYLE}</style>{body}"


def take_all(browser: Any, address: str, out: Path) -> None:
    """Goes through the page as a curator does."""
    page = browser.new_page(viewport=DESKTOP)
    page.goto(f"{address}?view=rows")
    page.wait_for_selector(".pictures img")
    take(page, out / "review-page.png")
    page.keyboard.press("v")
    page.wait_for_selector("#viewer-own img")
    take(page, out / "review-large.png")
    page.keyboard.press("Escape")
    page.goto(address)
    page.wait_for_selector("#tiles img")
    for key in ("ArrowRight", "ArrowRight", "Space"):
        page.keyboard.press(key)
    take(page, out / "review-grid.png")
    if page.evaluate("!grid.chosen"):
        page.keyboard.press("0")
    page.keyboard.press("Enter")
    page.wait_for_function("() => !now.row.grid && !busy")
    for key in ("1", "Enter", "u"):
        row = page.evaluate("now.row.row_id")
        if page.evaluate("Boolean(now.row.grid)"):
            page.keyboard.press("g")
            page.wait_for_function("() => !now.row.grid && !busy")
        page.keyboard.press(key)
        page.wait_for_function("row => now.row.row_id !== row && !busy", arg=row)
    page.keyboard.press("f")
    page.wait_for_selector("#filters[open]")
    take(page, out / "review-filters.png")
    page.keyboard.press("Escape")
    page.keyboard.press("d")
    page.wait_for_selector("#decided-list li")
    take(page, out / "review-decided.png")
    phone = browser.new_page(viewport=PHONE, is_mobile=True, has_touch=True)
    phone.goto(f"{address}?view=rows")
    phone.wait_for_selector(".pictures img")
    take(phone, out / "review-phone.png")


def take_review(browser: Any, shared: Path, out: Path) -> None:
    """Builds grocery's table, serves the review page, and takes its pictures."""
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(review_setup(build(shared, Path(folder))), "ann")
        with open_page(desk) as served:
            thread = threading.Thread(target=served.run)
            thread.start()
            try:
                take_all(browser, served.address, out)
            finally:
                served.server.should_exit = True
                thread.join()


def main() -> None:
    """Takes all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, help="folder of the real data")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        build_demo(Path(folder))
        with sync_playwright() as player:
            chromium = shutil.which("chromium")
            browser = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            take_demo(browser, Path(folder), chosen.out)
            if chosen.shared:
                take_review(browser, chosen.shared, chosen.out)
            browser.close()


if __name__ == "__main__":
    main()
