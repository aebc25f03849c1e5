"""Looks up what explains an item's label: given labels, classes, evidence, confidences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from strata_labels.build.assets import ledgers, vocabulary_in_force
from strata_labels.build.reconcile import assets_in_force, class_name
from strata_labels.build.what_if import WhatIf, what_if
from strata_labels.build.workspace import Workspace
from strata_labels.errors import InputError, Problem
from strata_labels.knowledge import ClassGraph, ClassVerdict, Cut, Reach
from strata_labels.review import read_ledger, replay, reviewed, similar_ids
from strata_labels.tables import load

_NEAR = 5
_DECISION = ["reviewer", "decision", "target", "note", "decided_at", "state"]


@dataclass(frozen=True)
class ClassFacts:
    """What the knowledge base says of an item.

    Attributes:
        entity: its row of `entities`.
        verdict: where its classes lead.
        cuts: the subclass statements that were met on the way and not climbed.
        labels: names of classes.
    """

    entity: pd.Series
    verdict: ClassVerdict
    cuts: list[Cut]
    labels: Mapping[str, str]

    def path(self, way: Reach | ClassVerdict) -> str:
        """A way up for people, with labels."""
        return " > ".join(class_name(qid, self.labels) for qid in way.path)


@dataclass(frozen=True)
class Explanation:
    """What the tables of a workspace know about an item.

    Attributes:
        item: its row of `items`.
        classes: what the knowledge base says, in a tree that is made of classes.
        levels: names of the tree's levels.
        given_levels: names of the levels of `given`.
        given: its rows of `labels`, the finest first.
        issues: its rows of `label_issues`, the finest first.
        nodes: names of the tree's nodes.
        proposal: its row of `proposals`; evidence, reasons and alternatives after the decisions.
        assignment: its row of `assignments`.
        decisions: people's active decisions on it: `reviewer, decision, target, note, decided_at`,
            and `state`: `effective`, `disputed` or `stale`.
        what_if: what would change its place.
    """

    item: pd.Series
    classes: ClassFacts | None
    levels: tuple[str, ...]
    given_levels: tuple[str, ...]
    given: pd.DataFrame
    issues: pd.DataFrame
    nodes: Mapping[str, str]
    proposal: pd.Series
    assignment: pd.Series
    decisions: pd.DataFrame
    what_if: WhatIf


def explain(workspace: Workspace, item: str) -> Explanation:
    """Looks an item up by its id, or by the end of it (`train/123`, `123`) where that says which.

    Raises:
        InputError: no build here; no such item (near ids are named).
    """
    settings = workspace.last_settings()
    items = load(workspace.folder, "items")
    item_id = _find(items, item)
    proposals, nodes = load(workspace.folder, "proposals"), load(workspace.folder, "vocabulary")
    proposal = _row(proposals[proposals["level"] == 1], "subject", item_id)
    place = proposal["parent"] if isinstance(proposal["parent"], str) else ""
    ledger = read_ledger(*ledgers(settings)).decisions
    resolution = replay(ledger, reviewed(workspace.folder), nodes)
    now = _row(resolution.rows[resolution.rows["level"] == 1], "subject", item_id)
    shown = {name: now[name] for name in ("evidence", "reasons", "alternatives")}
    of_people = {name: getattr(resolution, name) for name in ("effective", "disputed", "stale")}
    decisions = pd.concat([part.assign(state=name) for name, part in of_people.items()])
    return Explanation(
        item=_row(items, "item_id", item_id),
        classes=None if settings.hierarchy.published else _class_facts(workspace, item_id),
        levels=settings.hierarchy.levels,
        given_levels=settings.given_levels,
        given=_rows(load(workspace.folder, "labels"), item_id),
        issues=_rows(load(workspace.folder, "label_issues"), item_id),
        nodes=dict(zip(nodes["node_id"], nodes["name"], strict=True)),
        proposal=pd.Series({**proposal, **shown}),
        assignment=_row(load(workspace.folder, "assignments"), "item_id", item_id),
        decisions=decisions.loc[decisions["subject"] == item_id, _DECISION],
        what_if=what_if(now["evidence"], resolution.merged.get(place, place), resolution.tree),
    )


def _class_facts(workspace: Workspace, item_id: str) -> ClassFacts:
    settings = workspace.last_settings()
    vocabulary = vocabulary_in_force(settings)
    assets = assets_in_force(settings, vocabulary, read_ledger(*ledgers(settings)))
    classes = load(workspace.folder, "classes")
    labels = dict(assets.labels)
    labels |= {q: text for q, text in zip(classes["qid"], classes["label"], strict=True) if text}
    graph = ClassGraph(classes, assets.placed, assets.stops)
    entity = _row(load(workspace.folder, "entities"), "item_id", item_id)
    own = list(entity["class_qids"])
    verdict = graph.reach(own)
    met = {*verdict.path, *(qid for way in (*verdict.ties, *verdict.others) for qid in way.path)}
    recorded = load(workspace.folder, "class_cuts")
    recorded = recorded[
        recorded["reason"].isin(["rank", "missing"]) & recorded["from_qid"].isin(met)
    ]
    cuts = [*graph.cuts(own), *(Cut(*row) for row in recorded.itertuples(index=False))]
    return ClassFacts(entity, verdict, cuts, labels)


def _rows(table: pd.DataFrame, item_id: str) -> pd.DataFrame:
    return table[table["item_id"] == item_id].sort_values("level", kind="stable")


def _row(table: pd.DataFrame, column: str, value: str) -> pd.Series:
    return table[table[column] == value].iloc[0]


def _find(items: pd.DataFrame, asked: str) -> str:
    ids: list[str] = items["item_id"].tolist()
    found = [i for i in ids if i == asked] or [i for i in ids if i.endswith(f"/{asked}")]
    if len(found) == 1:
        return found[0]
    named = items.loc[items["name"].str.casefold() == asked.casefold(), "item_id"].tolist()
    if len(named) == 1 and not found:
        return str(named[0])
    near = found or named or similar_ids(asked, ids, items["name"])
    what = "several items end so:" if found else "several have this name:" if named else "no item:"
    fix = f"Near: {', '.join(near[:_NEAR])}."
    raise InputError(Problem("ITEM", what, fix, value=asked))
