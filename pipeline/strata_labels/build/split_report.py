"""Writes a split: its table, its files for people, and the lines that `strata split` prints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from strata_labels.build.workspace import Workspace
from strata_labels.embedding import PictureGroups
from strata_labels.people_csv import write_list
from strata_labels.tables import save
from strata_labels.tree import ImageSplit

TABLE = "split"


@dataclass(frozen=True)
class MadeSplit:
    """A split that has just been made.

    Attributes:
        lines: what came out, in sentences.
        counts: the same as numbers.
    """

    lines: list[str]
    counts: dict[str, Any]


def split_text(made: ImageSplit, levels: tuple[str, ...], class_level: int, seed: int) -> str:
    """What a split is, in a few words: `train and test of 8 classes (level label), seed 0`."""
    parts = list(dict.fromkeys(sorted(made.table["split"], key=_order)))
    number = made.table["class_id"].nunique()
    named = ", ".join(parts[:-1]) + f" and {parts[-1]}"
    return f"{named} of {number:,} classes (level {levels[class_level]}), seed {seed}"


def _order(split: str) -> tuple[int, int, str]:
    known = ("train", "test", "query", "gallery")
    return (known.index(split) if split in known else len(known), len(split), split)


def write_split(
    workspace: Workspace,
    made: ImageSplit,
    left_out: pd.DataFrame,
    about: dict[str, Any],
    assignments: pd.DataFrame,
) -> None:
    """Writes the table `split`, and the lists of classes and of what was tied and left out.

    Args:
        workspace: gets them, in place of those of an earlier split.
        made: the split.
        left_out: `class_id, item_id, image, reason`.
        about: what was asked for, kept with the table.
        assignments: for the classes' names.
    """
    names = _names(assignments, about["class_level"])
    counts = made.table.groupby(["class_id", "split"], sort=True)
    classes = counts.agg(items=("item_id", "nunique"), images=("image", "count")).reset_index()
    classes.insert(1, "name", classes["class_id"].map(names).fillna(""))
    write_list(workspace.split_classes, classes.astype(str))
    report = pd.concat(
        [
            made.tied.assign(what="tied", reason="tie " + made.tied["tie"].astype(str)),
            left_out.assign(what="left out"),
        ]
    )
    columns = ["what", "reason", "class_id", "item_id", "image"]
    report = report[columns].fillna("").sort_values(columns, kind="stable", key=_numbered)
    write_list(workspace.split_report, report.astype(str))
    table = made.table.sort_values(["item_id", "image"], ignore_index=True)
    # Last, and with what was asked for: where this was stopped, the earlier split counts.
    save(workspace.folder, TABLE, table, about=json.dumps(about, sort_keys=True))


def _numbered(column: pd.Series) -> pd.Series:
    """`tie 2` before `tie 10`."""
    text = column.astype(str)
    return text.str.replace(r"\d+", lambda match: match[0].zfill(9), regex=True)


def _names(assignments: pd.DataFrame, level: int) -> dict[str, str]:
    own, name = ("item_id", "name") if not level else (f"level{level}_id", f"level{level}_name")
    known = assignments[[own, name]].dropna().drop_duplicates(own)
    return dict(zip(known[own], known[name], strict=True))


def split_lines(
    made: ImageSplit,
    left_out: list[pd.DataFrame],
    groups: PictureGroups,
    about: Mapping[str, Any],
    levels: tuple[str, ...],
) -> MadeSplit:
    """What came out of a split, in lines and in numbers.

    Args:
        made: the split.
        left_out: items that were left out before it was made, with `reason`.
        groups: how images were compared.
        about: what was asked for.
        levels: names of the levels.
    """
    table = made.table
    parts: dict[str, dict[str, int]] = {}
    lines = [f"Split: {about['text']}"]
    for split in sorted(table["split"].unique(), key=_order):
        own = table[table["split"] == split]
        parts[split] = {
            "classes": int(own["class_id"].nunique()),
            "items": int(own["item_id"].nunique()),
            "images": int(own["image"].notna().sum()),
        }
        shown = ", ".join(f"{count:,} {what}" for what, count in parts[split].items())
        lines.append(f"  {split:<8} {shown}")
    stratum = about["stratify_level"]
    lines.append(
        f"Compared: {groups.by_file:,} images by their pictures, {groups.by_content:,} by their "
        f"content only, {groups.by_reference:,} by their reference only"
    )
    ties = made.tied.groupby("tie")["class_id"].nunique()
    if len(ties):
        lines.append(
            f"Tied: {int(ties.sum()):,} classes in {len(ties):,} groups that have the same or "
            "nearly the same image; each group is on one side"
        )
    reasons = pd.concat([*left_out, made.left_out])["reason"].value_counts(sort=False).to_dict()
    for reason, count in reasons.items():
        is_item = str(reason).startswith("no ")
        lines.append(f"Left out: {count:,} {'items' if is_item else 'images'}: {reason}")
    if made.without_query:
        lines.append(
            f"Without a query: {len(made.without_query):,} classes, whose images are nearly the "
            "same; they are in the gallery only"
        )
    counts = {
        "splits": parts,
        "class_level": levels[about["class_level"]],
        "stratify": levels[stratum] if stratum else None,
        "compared": {
            "by_picture": groups.by_file,
            "by_content": groups.by_content,
            "by_reference": groups.by_reference,
        },
        "tied_classes": int(ties.sum()),
        "left_out": {str(reason): int(count) for reason, count in reasons.items()},
        "classes_without_query": made.without_query,
    }
    return MadeSplit(lines, counts)
