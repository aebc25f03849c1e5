"""Takes the README's picture of the review page: `python -m benchmarks.pictures WORKSPACE OUT`.

WORKSPACE is one that `make demo` has built, OUT a PNG. Needs chromium. Nothing is decided: the
ledger is a new one, beside the picture while it is taken.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import sync_playwright
from strata_labels.build import Workspace
from strata_labels.cli.review import review_setup
from strata_labels.review.page import Desk, open_page

ROW = "1:gldv2/index/11"


def main() -> None:
    """Opens the page at a row with evidence for several places, and takes it."""
    found = review_setup(Workspace(Path(sys.argv[1]).resolve()))
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "decisions.csv"
        desk = Desk(replace(found, ledgers=[*found.ledgers[:-1], ledger]), "ann")
        with open_page(desk) as served, sync_playwright() as player:
            thread = threading.Thread(target=served.run)
            thread.start()
            chromium = shutil.which("chromium")
            browser = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1200, "height": 800})
            page.goto(f"{served.address}#{ROW}")
            page.wait_for_selector("#name")
            page.screenshot(path=sys.argv[2])
            browser.close()
            served.server.should_exit = True
            thread.join()


if __name__ == "__main__":
    main()
