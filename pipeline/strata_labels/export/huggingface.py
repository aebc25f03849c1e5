"""A dataset folder as hubs read it: Parquet per split below `data/`, nodes, `README.md`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

from strata_labels.export.material import Material
from strata_labels.export.report import Export
from strata_labels.export.tables import NODES, compare_table, items_table
from strata_labels.files import write_table, write_text

# Hubs sort data sets by number of rows.
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))


def _splits(material: Material) -> tuple[dict[str, pd.DataFrame], Any]:
    """Rows by file; a split's name in a hub is of letters, digits and `_`."""
    frame, schema = items_table(material)
    named = frame.split.map(lambda split: re.sub(r"\W+", "_", split, flags=re.ASCII) or "all")
    parts = {f"data/{name}.parquet": part for name, part in frame.groupby(named, sort=True)}
    return parts, schema


def write(folder: Path, material: Material) -> Export:
    """Every item by split, the nodes, and the card with its front matter."""
    parts, schema = _splits(material)
    for name, part in parts.items():
        write_table(folder / name, part.reset_index(drop=True), schema)
    write_table(folder / "nodes.parquet", material.nodes(), NODES)
    write_text(folder / "README.md", _card(material, list(parts)))
    rows = {name: len(part) for name, part in parts.items()}
    rows["nodes.parquet"] = len(material.nodes())
    return Export([folder / name for name in [*rows, "README.md"]], rows)


def _card(material: Material, files: list[str]) -> str:
    """Front matter as YAML (its strings are JSON's) and the tree's card, or a short one."""
    about, count = material.about, len(material.items)
    size = next((label for most, label in _SIZES if count < most), "1M<n<10M")
    lines = ["---", f"pretty_name: {json.dumps(about.title, ensure_ascii=False)}"]
    if about.license:
        lines.append(f"license: {json.dumps(about.license)}")
    lines += ["task_categories:", "- image-feature-extraction", "size_categories:", f"- {size}"]
    lines += ["configs:", "- config_name: items", "  default: true", "  data_files:"]
    for name in files:
        lines += [f"  - split: {Path(name).stem}", f"    path: {name}"]
    lines += ["- config_name: nodes", "  data_files:", "  - split: all", "    path: nodes.parquet"]
    counts = material.nodes().level.value_counts()
    levels = [f"| 0 | {material.levels[0]} | {count:,} |"]
    levels += [
        f"| {n} | {name} | {int(counts.get(n, 0)):,} |"
        for n, name in enumerate(material.levels)
        if n
    ]
    short = [f"# {about.title}", "", about.description, "", "| level | name | nodes |"]
    short += ["| --- | --- | --- |", *levels]
    body = about.card.strip() or "\n".join(short)
    return "\n".join([*lines, "---", "", body]) + "\n"


def check(folder: Path, material: Material) -> None:
    """Reads the tables back; the card names each of them."""
    parts, schema = _splits(material)
    for name, part in parts.items():
        compare_table(folder / name, part.reset_index(drop=True), schema)
    compare_table(folder / "nodes.parquet", material.nodes(), NODES)
    card = (folder / "README.md").read_text(encoding="utf-8")
    unnamed = [name for name in parts if f"path: {name}\n" not in card]
    if unnamed:
        raise ValueError(f"{folder / 'README.md'}: does not name {unnamed[0]}")
