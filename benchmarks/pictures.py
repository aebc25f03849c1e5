"""Takes the pictures of the review page in README and docs, with photographs in them.

    python -m benchmarks.pictures --shared DIR [--out docs]

A table of one's own from grocery's photographs (GroceryStoreDataset, MIT), two to an item, half of
the labels missing, is built by the command. Needs chromium.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from playwright.sync_api import sync_playwright
from strata_labels.build import Workspace
from strata_labels.cli.review import review_setup
from strata_labels.review.page import Desk, open_page
from typer.testing import CliRunner

#: Colours of a picture file, and pixels of the windows.
COLOURS, DESKTOP, PHONE = 128, {"width": 1200, "height": 800}, {"width": 390, "height": 844}


def build(shared: Path, folder: Path) -> Workspace:
    """A workspace of grocery's photographs, half of the items without labels."""
    from strata_labels.cli import app

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
    result = CliRunner().invoke(app, command)
    if result.exit_code not in (0, 3):
        raise SystemExit(result.output)
    return Workspace(folder / "ws")


def take(page: Any, path: Path) -> None:
    """Writes what a window shows as a small PNG."""
    page.wait_for_function(
        "() => !busy && [...document.images].every("
        "i => i.complete || i.getBoundingClientRect().top > innerHeight)",
        timeout=120_000,
    )
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(COLOURS).save(path, optimize=True)


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


def main() -> None:
    """Builds, serves the page, and takes all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(review_setup(build(chosen.shared, Path(folder))), "ann")
        with open_page(desk) as served, sync_playwright() as player:
            thread = threading.Thread(target=served.run)
            thread.start()
            chromium = shutil.which("chromium")
            browser = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            try:
                take_all(browser, served.address, chosen.out)
            finally:
                browser.close()
                served.server.should_exit = True
                thread.join()


if __name__ == "__main__":
    main()
