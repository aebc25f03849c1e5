"""A dataset folder as hubs read it: Parquet per split below `data/`, nodes, `README.md`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

from strata_labels.export.export_input import ExportInput
from strata_labels.export.export_result import ExportResult
from strata_labels.export.parquet_tables import NODES, compare_table, items_table
from strata_labels.files import write_table, write_text

# Hubs sort data sets by number of rows.
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))


def _splits(given: ExportInput) -> tuple[dict[str, pd.DataFrame], Any]:
    """Rows by file; a split's name in a hub is of letters, digits and `_`."""
    frame, schema = items_table(given)
    named = frame.split.map(lambda split: re.sub(r"\W+", "_", split, flags=re.ASCII) or "all")
    parts = {f"data/{name}.parquet": part for name, part in frame.groupby(named, sort=True)}
    return parts, schema


def write(folder: Path, given: ExportInput) -> ExportResult:
    """Every item by split, the nodes, and the card with its front matter."""
    parts, schema = _splits(given)
    for name, part in parts.items():
        write_table(folder / name, part.reset_index(drop=True), schema)
    write_table(folder / "nodes.parquet", given.nodes(), NODES)
    write_text(folder / "README.md", _card(given, list(parts)))
    rows = {name: len(part) for name, part in parts.items()}
    rows["nodes.parquet"] = len(given.nodes())
    files = [folder / name for name in [*rows, "README.md"]]
    return ExportResult(files, rows, sum(len(part) for part in parts.values()))


def _card(given: ExportInput, files: list[str]) -> str:
    """Front matter as YAML (its strings are JSON's), the levels and the sources."""
    about, count = given.about, len(given.items)
    size = next((label for most, label in _SIZES if count < most), "1M<n<10M")
    lines = ["---", f"pretty_name: {json.dumps(about.title, ensure_ascii=False)}"]
    if about.licence:
        lines.append(f"license: {json.dumps(about.licence, ensure_ascii=False)}")
    lines += ["task_categories:", "- image-feature-extraction", "size_categories:", f"- {size}"]
    lines += ["configs:", "- config_name: items", "  default: true", "  data_files:"]
    for name in files:
        lines += [f"  - split: {Path(name).stem}", f"    path: {name}"]
    lines += ["- config_name: nodes", "  data_files:", "  - split: all", "    path: nodes.parquet"]
    lines += ["---", "", f"# {about.title}", "", about.description, ""]
    counts = {0: count, **given.nodes().level.value_counts().to_dict()}
    lines += ["| level | name | nodes |", "| --- | --- | --- |"]
    lines += [
        f"| {n} | {_cell(name)} | {counts.get(n, 0):,} |" for n, name in enumerate(given.levels)
    ]
    if about.sources:
        lines += ["", "| source | licence | from |", "| --- | --- | --- |"]
        rows = ((source.name, source.licence, source.origin) for source in about.sources)
        lines += [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text on one line that does not end a table's cell."""
    return " ".join(text.split()).replace("|", "\\|")


def check(folder: Path, given: ExportInput) -> None:
    """Reads the tables back; the card names each of them."""
    parts, schema = _splits(given)
    for name, part in parts.items():
        compare_table(folder / name, part.reset_index(drop=True), schema)
    compare_table(folder / "nodes.parquet", given.nodes(), NODES)
    card = (folder / "README.md").read_text(encoding="utf-8")
    unnamed = [name for name in parts if f"path: {name}\n" not in card]
    if unnamed:
        raise ValueError(f"{folder / 'README.md'}: does not name {unnamed[0]}")
