"""Size of the tree page with 200,000 items, and how soon it shows, finds and filters in a browser.

    python -m benchmarks.tree_page --shared DIR [--items 200000] [--keep FILE]

Names are made of the real sample's: the first half of the words of one and the second half of
another, drawn at random. They hang on 900 classes, with sizes that fall as 1 / rank, below 78
labels and 2 kinds; three in ten are open, one in a hundred has a label in doubt. Pictures are
grocery's photographs. Prints one line of JSON. Needs chromium.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from playwright.sync_api import sync_playwright
from strata_labels.show import render_page

CLASSES, LABELS, KINDS = 900, 78, 2
IDS = 203_094  # landmarks of GLDv2's training set
LEVELS = ("landmark", "class", "label", "kind")
#: What is typed into the search field, and how often the page is opened.
SEARCHES, OPENED = ("church", "castle of", "san", "zzz", "é", "2500"), 5
#: Milliseconds from an event to the frame that shows what it did.
EVENT = """([id, kind, value]) => new Promise(done => {
  const field = document.getElementById(id), start = performance.now();
  field.value = value;
  field.dispatchEvent(new Event(kind));
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
})"""


def tables(
    shared: Path, size: int
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Tables `items, nodes, assignments, label_issues` of a made tree with real words."""
    rng = np.random.default_rng(0)
    sample = pd.read_csv(shared / "gldv2" / "train_label_to_hierarchical.sample.csv")
    titles = sample["category"].dropna().str.rsplit("Category:", n=1).str[-1].str.replace("_", " ")
    words = [title.split(" ") for title in titles]
    first = [" ".join(part[: (len(part) + 1) // 2]) for part in words]
    second = [" ".join(part[(len(part) + 1) // 2 :]) for part in words]
    pairs = rng.integers(0, len(words), (2, size))
    names = [f"{first[a]} {second[b]}".strip() for a, b in pairs.T]
    number = np.sort(rng.choice(max(IDS, size), size, replace=False))
    ids = [f"gldv2/train/{n}" for n in number]
    weight = 1 / np.arange(1, CLASSES + 1)
    at = rng.choice(CLASSES, size, p=weight / weight.sum())
    label = np.arange(CLASSES) % LABELS
    start = "http://commons.wikimedia.org/wiki/Category:"
    items = pd.DataFrame({"item_id": ids, "name": names})
    items["source_url"] = [start + name.replace(" ", "_") for name in names]
    items["image_ids"] = pd.Series([[str(n)] for n in range(size)], dtype=object)
    open_ = rng.random(size) < 0.3
    assignments = pd.DataFrame({"item_id": ids, "split": "train", "name": names})
    assignments = assignments.assign(status="labelled", origin="class", accepted=~open_)
    assignments["confidence"] = rng.random(size).round(4)
    parts = {1: at, 2: label[at], 3: label[at] % KINDS}
    for level, column in parts.items():
        assignments[f"level{level}_id"] = [f"{level}/Q{n}" for n in column]
        assignments[f"level{level}_name"] = [f"{LEVELS[level]} {n}" for n in column]
    upper = [(f"1/Q{n}", 1, f"class {n}", f"2/Q{label[n]}", f"Q{n}") for n in range(CLASSES)]
    upper += [(f"2/Q{n}", 2, f"label {n}", f"3/Q{n % KINDS}", None) for n in range(LABELS)]  # type: ignore[misc]
    upper += [(f"3/Q{n}", 3, f"kind {n}", None, None) for n in range(KINDS)]  # type: ignore[misc]
    nodes = pd.DataFrame(upper, columns=["node_id", "level", "name", "parent_id", "qid"])
    issues = pd.DataFrame({"item_id": [ids[n] for n in range(0, size, 100)], "level": 2})
    issues = issues.assign(given="2/Q1", suggestion="2/Q2", score=0.1, wrong=0.9, opened=True)
    return items, nodes, assignments, issues


def look(path: Path) -> dict[str, Any]:
    """Times of the page in a browser, in milliseconds: medians of `OPENED` fresh windows."""
    found: dict[str, list[float]] = {name: [] for name in ("paint", "ready", "search", "filter")}
    with sync_playwright() as player:
        chromium = shutil.which("chromium")
        browser = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(OPENED):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(path.as_uri())
            page.wait_for_selector("html[data-ready]", timeout=60_000)
            paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
            found["paint"].append(page.evaluate(paint))
            found["ready"].append(
                page.evaluate("performance.getEntriesByName('ready')[0].startTime")
            )
            first = page.evaluate(EVENT, ["find", "input", "abbey"])
            found.setdefault("first_search", []).append(first)
            found["search"] += [page.evaluate(EVENT, ["find", "input", w]) for w in SEARCHES]
            page.evaluate(EVENT, ["find", "input", ""])
            found["filter"].append(page.evaluate(EVENT, ["filter", "change", "open"]))
            page.close()
        browser.close()
    most = {"search_most_ms": round(max(found["search"]))}
    return {f"{name}_ms": round(statistics.median(all_)) for name, all_ in found.items()} | most


def main() -> None:
    """Makes the tables, writes the page and looks at it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--keep", type=Path, help="write the page here")
    chosen = parser.parse_args()
    photos = sorted((chosen.shared / "grocery" / "subset").rglob("*.jpg"))
    with tempfile.TemporaryDirectory() as folder:
        path = chosen.keep or Path(folder) / "tree.html"
        items, nodes, assignments, issues = tables(chosen.shared, chosen.items)
        start = time.perf_counter()
        render_page(
            path, items, nodes, assignments, LEVELS, "Made tree", label_issues=issues,
            find_image=lambda image: photos[int(image) % len(photos)],
        )  # fmt: skip
        taken = time.perf_counter() - start
        text = path.read_text(encoding="utf-8")
        figures = {
            "items": chosen.items,
            "bytes": path.stat().st_size,
            "left_out": text.partition("it leaves out ")[2].partition(". The")[0],
            "pictures": len(json.loads(text.split('id="picture-rows">')[1].split("</script>")[0])),
            "written_s": round(taken, 1),
            **look(path.absolute()),
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
