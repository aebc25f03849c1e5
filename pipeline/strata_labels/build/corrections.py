"""A workspace's corrections of the labels that were published, with evidence, as patches."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from strata_labels.build.assets import ledgers
from strata_labels.build.workspace import Workspace
from strata_labels.errors import InputError, Problem
from strata_labels.evidence import REASONS, Evidence, Reason
from strata_labels.evidence_text import evidence_text, reason_text
from strata_labels.export import (
    PUBLICATIONS,
    About,
    Corrections,
    find_corrections,
    write_corrections,
)
from strata_labels.progress import activity
from strata_labels.review import read_ledger, replay, reviewed
from strata_labels.tables import LABELLED, SHARE_DECIMALS, load, own_ids
from strata_labels.tree import LabelTree


def correct_published(workspace: Workspace, published: Path, out: Path) -> Corrections:
    """Writes what the workspace corrects of published files.

    Args:
        workspace: one that a build has filled.
        published: the published file, or the folder of the files.
        out: gets a patch for each file, `corrections.csv`, `left_out.csv` and `README.md`.

    Raises:
        InputError: the labels of the workspace's data are published in files that cannot be
            patched; everything that is wrong with the files; `out` holds other files.
    """
    hierarchy = workspace.last_settings().hierarchy
    publication = PUBLICATIONS.get(hierarchy.source)
    if publication is None:
        known = ", ".join(sorted(PUBLICATIONS))
        what = f"no CSV files of labels are published for trees of the source {hierarchy.source!r}"
        fix = f"Such files are known for {known}; compare two trees: strata diff A B."
        raise InputError(Problem(workspace.folder, what, fix))
    items, assignments = load(workspace.folder, "items"), load(workspace.folder, "assignments")
    levels = hierarchy.levels[1:]
    own = assignments.set_index("item_id").reindex(items["item_id"])
    labelled = (own["status"] == LABELLED).to_numpy()
    labels = pd.DataFrame(
        {
            "item_id": items["item_id"],
            "id": own_ids(items),
            "split": items["split"],
            "source_url": items["source_url"].fillna(""),
            "accepted": own["accepted"].to_numpy(dtype=bool),
        }
    )
    for n, level in enumerate(levels, 1):
        names = own[f"level{n}_name"].fillna("").astype(str).to_numpy(dtype=object)
        labels[level] = np.where(labelled, names, "")
    with activity("comparing labels"):
        found = find_corrections(published, publication, labels, levels, hierarchy.blank)
        grounds = _grounds(workspace, items, assignments, found.table["item_id"], levels)
    table = found.table.merge(grounds, on="item_id")
    about = About(
        title=hierarchy.title,
        licence=hierarchy.licence,
        sources=hierarchy.sources,
        citations=hierarchy.citations,
    )
    write_corrections(out, found, table, about)
    return found


def _grounds(
    workspace: Workspace,
    items: pd.DataFrame,
    assignments: pd.DataFrame,
    wanted: pd.Series,
    levels: tuple[str, ...],
) -> pd.DataFrame:
    """Why some items are where they are: confidences, origin, who decided it, and evidence."""
    decisions = read_ledger(*ledgers(workspace.last_settings())).decisions
    resolution = replay(decisions, reviewed(workspace.folder), load(workspace.folder, "vocabulary"))
    rows = resolution.rows.set_index("subject")
    item_rows = rows[rows["level"] == 1]
    tree, before = resolution.tree, resolution.known
    names = {
        **dict(zip(items["item_id"], items["name"], strict=True)),
        **before.name,
        **tree.name,
    }
    by_subject: dict[str, list[Evidence]] = {}
    columns = ["subject", "decision", "target", "reviewer", "decided_at"]
    for subject, word, target, reviewer, when in resolution.effective[columns].values.tolist():
        node = target if target in names else ""
        ids = (word, when, "" if node else target)
        by_subject.setdefault(subject, []).append(
            Evidence("decision", node, None, reviewer, "", ids)
        )
    own = assignments.set_index("item_id").loc[wanted.drop_duplicates()]
    cells = {
        item: _ground(item, status, item_rows, by_subject, tree, before, names)
        for item, status in zip(own.index, own["status"], strict=True)
    }
    table = pd.DataFrame({"item_id": pd.Series(list(cells), dtype=object)})
    table["name"] = own["name"].to_numpy()
    for n, level in enumerate(levels, 1):
        table[f"confidence_{level}"] = (
            own[f"level{n}_confidence"].astype("float64").round(SHARE_DECIMALS).to_numpy()
        )
    table["sure_from"] = [
        levels[int(n) - 1] if pd.notna(n) and n > 0 else "" for n in own["accepted_level"]
    ]
    table["origin"] = own["origin"].fillna("").to_numpy()
    table["decided_by"] = [who for who, _ in cells.values()]
    table["evidence"] = [words for _, words in cells.values()]
    return table


def _ground(
    item: str,
    status: str,
    rows: pd.DataFrame,
    by_subject: dict[str, list[Evidence]],
    tree: LabelTree,
    before: LabelTree,
    names: dict[str, str],
) -> tuple[str, str]:
    """Who decided on an item or on a node that it is or was under, and the evidence in words."""
    row = rows.loc[item]
    place = tree.path(str(row["parent"]))
    on_the_way = dict.fromkeys([item, *before.path(str(row["proposed"])), *place])
    decided = [piece for subject in on_the_way for piece in by_subject.get(subject, ())]
    evidence = [piece for piece in row["evidence"] if piece.kind != "decision"]
    own = by_subject.get(item, ())
    words = evidence_text([*own, *evidence], names, place, with_images=True)
    if status in REASONS:  # why it has no label
        words += reason_text([Reason(status)], names)
    for subject in list(on_the_way)[1:]:
        pieces = by_subject.get(subject, [])
        words += [f"{names[subject]}: {text}" for text in evidence_text(pieces, names)]
    return "; ".join(dict.fromkeys(_who(decided))), " ".join(words)


def _who(decided: Iterable[Evidence]) -> list[str]:
    return [f"{piece.text} ({piece.ids[0]}, {piece.ids[1][:10]})" for piece in decided]
