"""The validation report of a training: one HTML file to open anywhere, and its numbers as JSON."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from strata_labels.files import whole, write_json, write_text
from strata_labels.validation.item_paths import read_item_table, read_vectors
from strata_labels.validation.report_numbers import FIRST, Ranked, report_numbers
from strata_labels.validation.report_pictures import draw_curves, map_points, thumbnail

FROZEN, TRAINED, ITEMS = "test_frozen.npy", "test_trained.npy", "test_items.parquet"
METRICS, REPORT, NUMBERS, CURVES = "metrics.csv", "report.html", "report.json", "curves.png"
#: Retrieval sheets shown: so many of the worst queries, and as many drawn at random.
SHEETS = 8
#: Nodes shown a level in the page; the JSON has all.
NODES = 40


def write_report(
    out: Path,
    images: Path | None = None,
    names: dict[str, str] | None = None,
    synthetic: bool = False,
) -> dict[str, Any]:
    """Writes `report.html`, `report.json` and `curves.png` beside a training's files.

    Args:
        out: the training's folder, with `test_frozen.npy`, `test_trained.npy`,
            `test_items.parquet` (`path, level0 ... levelN`) and, for the curves, `metrics.csv`.
        images: folder the paths are relative to; without it sheets show names.
        names: of the tree's nodes.
        synthetic: the images are drawn, which the page then says.

    Returns:
        The numbers, see `report_numbers`.

    Raises:
        InputError: a file is missing or damaged, or the files do not belong together.
    """
    names = names or {}
    frozen, _ = read_vectors(out / FROZEN, out / ITEMS)
    trained, _ = read_vectors(out / TRAINED, out / ITEMS)
    table = read_item_table(out / ITEMS)
    numbers = report_numbers(frozen, trained, table, names) | {"synthetic": synthetic}
    ranked = Ranked(trained, table)
    top = ranked.levels[-1]
    # Coloured by the coarsest level that has several nodes.
    several = [name for name in ranked.levels if table[name].nunique() > 1]
    chart = map_points(trained.numpy(), table[several[-1] if several else top].tolist())
    chart["classes"] = [(names.get(name, name), colour) for name, colour in chart["classes"]]
    curves = None
    if (out / METRICS).is_file() and (content := draw_curves(out / METRICS)):
        with whole(out / CURVES) as beside:
            beside.write_bytes(content)
        curves = base64.b64encode(content).decode()
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("strata_labels.validation", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["percent"] = lambda v: "–" if v is None else f"{100 * v:.2f}"
    environment.filters["signed"] = lambda v: "–" if v is None else f"{100 * v:+.2f}"
    text = environment.get_template("report.html.j2").render(
        numbers=numbers,
        headlines=_headlines(numbers["levels"]),
        levels=_levels(numbers),
        first=FIRST,
        sheets=_sheets(ranked, images, names),
        chart=chart,
        texts=table["path"].tolist() if "path" in table else table["level0"].tolist(),
        curves=curves,
        synthetic=synthetic,
    )
    write_json(out / NUMBERS, numbers)
    write_text(out / REPORT, text)
    return numbers


def _headlines(levels: int) -> list[tuple[str, str]]:
    rows = [("H-AP", "hap"), ("ASI", "asi"), ("NDCG", "ndcg")]
    for level in range(levels):
        shown = [("AP", "ap"), ("mAP@R", "map_at_r")]
        shown += [("R@1", "recall_at_1"), ("R@10", "recall_at_10")]
        rows += [(f"{label}, level {level}", f"{name}_level{level}") for label, name in shown]
    return rows


def _levels(numbers: dict[str, Any]) -> list[dict[str, Any]]:
    """Nodes by level, the coarsest first, each level's lowest `NODES`."""
    found = []
    for level in range(numbers["levels"] - 1, 0, -1):
        rows = [row for row in numbers["nodes"] if row["level"] == level]
        found.append({"level": level, "rows": rows[:NODES], "of": len(rows)})
    return found


def _sheets(ranked: Ranked, images: Path | None, names: dict[str, str]) -> list[dict[str, Any]]:
    """Queries with their first neighbours: the worst of as many nodes, then some at random."""
    rows, levels, _ = ranked.neighbours()
    hap = ranked.report().per_query["hap"].numpy()
    queries = ranked.table.iloc[ranked.queries].reset_index(drop=True)
    known = np.flatnonzero(~np.isnan(hap))
    parent = ranked.levels[min(1, len(ranked.levels) - 1)]
    order = known[np.argsort(hap[known], kind="stable")]
    worst = list(dict.fromkeys(queries.loc[order].drop_duplicates(parent).index[:SHEETS]))
    rest = np.setdiff1d(known, worst)
    drawn = np.random.default_rng(0).permutation(rest)[:SHEETS].tolist()
    top = len(ranked.levels)

    def cell(row: int, level: int) -> dict[str, Any]:
        image = str(ranked.table["path"].iloc[row]) if "path" in ranked.table else ""
        node = str(ranked.table[parent].iloc[row])
        return {
            "picture": thumbnail(images / image) if images is not None and image else None,
            "name": str(ranked.table["level0"].iloc[row]),
            "node": names.get(node, node),
            "level": level,
            "share": level / top,
        }

    return [
        {
            "kind": "lowest H-AP" if at in worst else "drawn at random",
            "hap": float(hap[at]),
            "query": cell(int(ranked.queries[at]), top),
            "found": [cell(int(r), int(n)) for r, n in zip(rows[at], levels[at], strict=True)],
        }
        for at in [*worst, *drawn]
    ]
