"""What lies beside the files of every export: `README.md`, confidences, split, the data card."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa

from strata_labels.export.export_input import ExportInput
from strata_labels.export.export_result import ExportResult
from strata_labels.export.parquet_tables import ITEMS, compare_table
from strata_labels.files import whole, write_table, write_text
from strata_labels.tables import SCHEMAS

NAME, CONFIDENCES, SPLIT = "README.md", "confidence.parquet", "split.parquet"
_COLUMNS = {
    "item_id": pa.string(),
    **{name: ITEMS[name] for name in ("id", "split", "origin", "accepted_level")},
}


def write_confidences(folder: Path, given: ExportInput) -> Path:
    """Writes each item's origin, `accepted_level` and confidence at each level; null without one.

    For formats that have no place for them.
    """
    columns = given.level_columns(_COLUMNS)
    columns = {key: name for key, name in columns.items() if key.endswith("_confidence")}
    frame = given.rows[[*_COLUMNS, *columns]].rename(columns=columns)
    schema = pa.schema({**_COLUMNS, **dict.fromkeys(columns.values(), pa.float32())})
    path = folder / CONFIDENCES
    write_table(path, frame, schema)
    compare_table(path, frame, schema)
    return path


def write_split_table(folder: Path, split: pd.DataFrame) -> Path:
    """Writes the table `split`, for formats whose own splits are part of the items' ids."""
    path, schema = folder / SPLIT, SCHEMAS["split"]
    write_table(path, split, schema)
    compare_table(path, split, schema)
    return path


def copy_card(folder: Path, given: ExportInput) -> list[Path]:
    """Copies the workspace's data card, where there is one."""
    copies = []
    for path in given.about.card:
        if path.is_file():
            with whole(folder / path.name) as beside:
                shutil.copyfile(path, beside)
            copies.append(folder / path.name)
    return copies


def write_readme(
    folder: Path, given: ExportInput, result: ExportResult, usage: str, front: str = ""
) -> Path:
    """Writes `README.md`: what is in the export and what is not, how to open it, what to cite.

    Args:
        folder: of the export.
        given: what was exported.
        result: what was written.
        usage: how to open it, in Markdown.
        front: front matter, with its marks.
    """
    about = given.about
    parts = [f"# {_line(about.title)}", about.description, usage, *_contents(given, result)]
    if (folder / CONFIDENCES).exists():
        parts.append(
            f"`{CONFIDENCES}` has each item's origin and its confidence (0 to 1) at each level. "
            "`accepted_level` is the finest level that needs no review."
        )
    files = ["| file | rows |", "| --- | ---: |"]
    for path in sorted(result.files):
        name = path.relative_to(folder).as_posix()
        rows = f"{result.rows[name]:,}" if name in result.rows else ""
        files.append(f"| {_cell(name)} | {rows} |")
    parts += ["## Files", "\n".join(files)]
    if result.missing:
        lines = [f"- {_line(name)}" for name in result.missing]
        parts.append("Its loader needs these files too, which were not there:")
        parts.append("\n".join(lines))
    if about.licence and about.licence != "other":
        parts += ["## Licence", f"The labels: {_line(about.licence)}."]
    if about.sources:
        table = ["| source | licence | from |", "| --- | --- | --- |"]
        for source in about.sources:
            cells = (source.name, source.licence, source.origin)
            table.append(f"| {' | '.join(map(_cell, cells))} |")
        parts += ["## Sources", "\n".join(table)]
    if about.citations:
        parts += ["## Citation", "\n".join(f"- {_line(text)}" for text in about.citations)]
    write_text(folder / NAME, front + "\n\n".join(parts) + "\n")
    return folder / NAME


def _contents(given: ExportInput, result: ExportResult) -> list[str]:
    counts = {0: len(given.items), **given.nodes.level.value_counts().to_dict()}
    levels = ["| level | name | nodes |", "| --- | --- | ---: |"]
    levels += [
        f"| {n} | {_cell(name)} | {counts.get(n, 0):,} |" for n, name in enumerate(given.levels)
    ]
    text = f"{result.items:,} of {len(given.items):,} items are in the files."
    left = [f"- {reason.replace('_', ' ')}: {n:,}" for reason, n in result.set_aside.items()]
    parts = ["## Contents", "\n".join(levels), text]
    return [*parts, "Left out, by reason:", "\n".join(left)] if left else parts


def _line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    """Text on one line that does not end a table's cell."""
    return _line(text).replace("|", "\\|")
