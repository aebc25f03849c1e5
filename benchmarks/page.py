"""Time of the review page with 200,000 open rows: the next page, a decision, undo, search.

`python -m benchmarks.page` prints one line of JSON.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from strata_labels.evidence import Alternative, Evidence, Reason
from strata_labels.review.page import Desk, ReviewSetup
from strata_labels.tables import SCHEMAS, save

ROWS, CLASSES, LABELS, DIM, ASKED = 200_000, 900, 78, 384, 60
LEVELS = ("landmark", "class", "label", "kind")
EVIDENCE = (
    Evidence("name_word", "2/l1", text="x", language="en"),
    Evidence("text", "2/l1", 2.0),
    Evidence("text", "2/l2", 1.0),
)


def make(folder: Path, size: int = ROWS) -> ReviewSetup:
    """A workspace of `size` open items, evenly over `CLASSES` classes; vectors at random."""
    rng = np.random.default_rng(0)
    ids = [f"made/train/{n}" for n in range(size)]
    items = pd.DataFrame({"item_id": ids, "dataset": "made", "split": "train"})
    items = items.assign(source_id=range(size), title=ids, name=ids, qualifier=None)
    items = items.assign(source_url=None, image_ids=pd.Series([[]] * size, dtype=object))
    nodes: list[tuple[str, int, str, str | None, None]] = []
    nodes += [(f"1/c{n}", 1, f"class {n}", f"2/l{n % LABELS}", None) for n in range(CLASSES)]
    nodes += [(f"2/l{n}", 2, f"label {n}", f"3/k{n % 2}", None) for n in range(LABELS)]
    nodes += [(f"3/k{n}", 3, f"kind {n}", None, None) for n in range(2)]
    rows = pd.DataFrame(
        {
            "row_id": [f"1:{item}" for item in ids],
            "subject": ids,
            "level": 1,
            "status": "proposed",
            "parent": [f"1/c{n}" for n in rng.integers(0, CLASSES, size)],
            "origin": "name",
            "confidence": rng.uniform(0.1, 0.9, size),
            "margin": 0.1,
            "accepted": False,
            "evidence_hash": [f"e2:{n:016x}" for n in range(size)],
        }
    )
    rows["score"] = rows["confidence"]
    others = tuple(Alternative(f"2/l{n}", 0.1) for n in (1, 2, 3))
    rows["evidence"] = pd.Series([EVIDENCE] * size, dtype=object)
    rows["reasons"] = pd.Series([(Reason("low_confidence"),)] * size, dtype=object)
    rows["alternatives"] = pd.Series([others] * size, dtype=object)
    rows["suggestion"] = rows["parent"]
    save(folder, "items", items)
    save(folder, "vocabulary", pd.DataFrame(nodes, columns=SCHEMAS["vocabulary"].names))
    save(folder, "proposals", rows)
    np.save(folder / "names.npy", rng.normal(size=(size, DIM)).astype(np.float32))
    return ReviewSetup(
        folder, [folder / "decisions.csv"], LEVELS, "made", 0.95, [folder / "names.npy"]
    )


def timed(act: Callable[..., Any], *given: object) -> tuple[Any, float]:
    """What a function returns, and the milliseconds it took."""
    start = time.perf_counter()
    found = act(*given)
    return found, 1000 * (time.perf_counter() - start)


def main() -> None:
    """Opens a desk, decides and turns pages as the page does."""
    with tempfile.TemporaryDirectory() as name:
        setup = make(Path(name))
        began = time.perf_counter()
        desk = Desk(setup, "ann")
        opened = time.perf_counter() - began
        pages, decisions = [], []
        for _ in range(ASKED):
            shown, taken = timed(desk.show)
            pages.append(taken)
            row = shown["row"]["row_id"]
            decisions.append(timed(desk.decide, desk.state, row, "keep")[1])
        undone = [timed(desk.undo, desk.state)[1] for _ in range(10)]
        _, found = timed(desk.search, "label", desk.show()["row"]["row_id"], "move")
    figures = {
        "open_rows": ROWS,
        "opened_s": round(opened, 1),
        "next_page_ms": {"median": statistics.median(pages), "most": max(pages)},
        "decision_ms": {"median": statistics.median(decisions), "most": max(decisions)},
        "undo_ms": {"median": statistics.median(undone), "most": max(undone)},
        "search_ms": found,
    }
    text = json.dumps(figures, default=float)
    print(json.dumps(json.loads(text, parse_float=lambda part: round(float(part), 1))))


if __name__ == "__main__":
    main()
