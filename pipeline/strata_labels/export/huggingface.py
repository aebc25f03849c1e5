"""A dataset folder as hubs read it: Parquet per split below `data/`, nodes, `README.md`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

from strata_labels.export.export_input import ExportInput
from strata_labels.export.export_result import ExportResult
from strata_labels.export.parquet_tables import IN_ITEMS, NODES, compare_table, items_table
from strata_labels.files import write_table

#: How to open it, in Markdown.
USAGE = f'Hugging Face: `datasets.load_dataset(FOLDER, "items")`, or `"nodes"`. {IN_ITEMS}'

NODES_NAME = "nodes.parquet"

# Hubs sort data sets by number of rows.
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))


def _splits(given: ExportInput) -> tuple[dict[str, pd.DataFrame], Any]:
    """Rows by file, a file for each split; its name in a hub is of letters, digits and `_`."""
    frame, schema = items_table(given, given.split_rows())
    parts: dict[str, pd.DataFrame] = {}
    for split, part in frame.groupby("split", sort=True):
        name = text = re.sub(r"\W+", "_", str(split), flags=re.ASCII)
        number = 1
        # `all` is the loaders' word for all splits together.
        while name == "all" or f"data/{name}.parquet" in parts:
            number += 1
            name = f"{text}_{number}"
        parts[f"data/{name}.parquet"] = part
    return parts, schema


def write(folder: Path, given: ExportInput) -> ExportResult:
    """Every item by split, and the nodes where there are any: loaders refuse a table of no row.

    Of a split that was made, the items that are in it; a query's or gallery's row has their images.
    """
    parts, schema = _splits(given)
    for name, part in parts.items():
        write_table(folder / name, part.reset_index(drop=True), schema)
    rows = {name: len(part) for name, part in parts.items()}
    if len(given.nodes):
        write_table(folder / NODES_NAME, given.nodes, NODES)
        rows[NODES_NAME] = len(given.nodes)
    files = [folder / name for name in rows]
    split_rows = given.split_rows()
    items = int(split_rows.item_id[split_rows.split.notna()].nunique())
    outside = len(given.items) - items
    return ExportResult(files, rows, items, {"not_in_the_split": outside} if outside else {})


def front_matter(given: ExportInput) -> str:
    """The head of the card, as YAML (its strings are JSON's)."""
    about, count = given.about, len(given.items)
    size = next((label for most, label in _SIZES if count < most), "1M<n<10M")
    lines = ["---", f"pretty_name: {json.dumps(about.title, ensure_ascii=False)}"]
    if about.licence:
        lines.append(f"license: {json.dumps(about.licence, ensure_ascii=False)}")
    lines += ["task_categories:", "- image-feature-extraction", "size_categories:", f"- {size}"]
    lines += ["configs:", "- config_name: items", "  default: true", "  data_files:"]
    for name in _splits(given)[0]:
        lines += [f"  - split: {Path(name).stem}", f"    path: {name}"]
    if len(given.nodes):
        lines += ["- config_name: nodes", "  data_files:", "  - split: nodes"]
        lines += [f"    path: {NODES_NAME}"]
    return "\n".join([*lines, "---", "", ""])


def check(folder: Path, given: ExportInput) -> None:
    """Reads the tables back."""
    parts, schema = _splits(given)
    for name, part in parts.items():
        compare_table(folder / name, part.reset_index(drop=True), schema)
    if len(given.nodes):
        compare_table(folder / NODES_NAME, given.nodes, NODES)
