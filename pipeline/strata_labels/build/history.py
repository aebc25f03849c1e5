"""The history of one item or node in a workspace."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from strata_labels.build.assets import ledgers
from strata_labels.build.workspace import Workspace
from strata_labels.errors import InputError, Problem
from strata_labels.evidence import read_seen
from strata_labels.evidence_text import evidence_text
from strata_labels.review import history, read_ledger, replay, reviewed, similar_ids
from strata_labels.tables import load
from strata_labels.tree import LabelTree


@dataclass(frozen=True)
class ItemHistory:
    """The present state of an item or a node, and the decisions about it.

    Attributes:
        subject: its id.
        name: its name.
        path: the names above it, nearest first, as it stands now; blank where it has no place.
        state: `accepted`, `settled` or `open`.
        evidence: what is known of it now, a sentence each.
        own: decisions on it, see `strata_labels.review.history`.
        above: decisions on the nodes it hangs below, or was proposed to.
    """

    subject: str
    name: str
    path: str
    state: str
    evidence: list[str]
    own: pd.DataFrame
    above: pd.DataFrame


def item_history(workspace: Workspace, asked: str) -> ItemHistory:
    """Everything people decided on an item or node, and on what it hangs below.

    Args:
        workspace: a workspace that was built.
        asked: an item's or a node's id, the end of an item's id if only one ends so (`train/123`,
            `123`), or a row id (`level:id`).

    Raises:
        InputError: nothing has that id (the nearest ids are named), or the ledger is wrong.
    """
    settings = workspace.last_settings()
    items, proposals = load(workspace.folder, "items"), reviewed(workspace.folder)
    vocabulary = load(workspace.folder, "vocabulary")
    decisions = read_ledger(*ledgers(settings)).decisions
    resolution = replay(decisions, proposals, vocabulary)
    before, after = LabelTree.from_nodes(vocabulary), resolution.tree
    names = dict(zip(items["item_id"], items["name"], strict=True))
    names |= {**before.name, **after.name}
    subject = asked
    if asked not in names:
        short = [item for item in items["item_id"] if item.endswith(f"/{asked}")]
        subject = short[0] if len(short) == 1 else asked.split(":", 1)[-1]
    decided = set(decisions["subject"])
    if subject not in names and subject not in decided:
        fix = f"Did you mean {', '.join(similar_ids(asked, names, names.values()))}?"
        raise InputError(
            Problem(workspace.folder, "no item or node has this id:", fix, value=asked)
        )

    subject = resolution.renamed.get(subject, subject)
    rows = resolution.rows[resolution.rows["subject"] == subject]
    proposed = proposals.loc[proposals["subject"] == subject, "parent"].fillna("").tolist()
    now = rows["parent"].tolist()
    chain = dict.fromkeys(
        [node for start in now for node in after.path(start)]
        + [node for start in proposed for node in before.path(start)]
    )
    chain.pop(subject, None)
    return ItemHistory(
        subject=subject,
        name=str(names.get(subject, "")),
        path=after.path_name(now[0]) if now else "",
        state=rows["state"].iloc[0] if len(rows) else "",
        evidence=evidence_text(rows["evidence"].iloc[0], after.name) if len(rows) else [],
        own=_worded(history([subject], resolution), after),
        above=_worded(history(chain, resolution), after),
    )


def _worded(decisions: pd.DataFrame, tree: LabelTree) -> pd.DataFrame:
    """A history whose `seen` is sentences; that of version 0.1.0 stays as it was written."""
    return decisions.assign(seen=[_seen_text(cell, tree) for cell in decisions["seen"]])


def _seen_text(cell: str, tree: LabelTree) -> str:
    seen = read_seen(cell)
    if seen is None or not seen.evidence:
        return cell
    proposed = [f"Proposed under {tree.name.get(seen.place, seen.place)}."] if seen.place else []
    return " ".join([*proposed, *evidence_text(seen.evidence, tree.name)])
