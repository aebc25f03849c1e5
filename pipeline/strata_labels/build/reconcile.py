"""Reconciliation: what is known of the items, which classes are unmapped, and mapping them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from strata_labels.build.assets import class_assets, ledgers, vocabulary_in_force
from strata_labels.build.settings import BuildSettings
from strata_labels.build.wikimedia import ResolvedTitles
from strata_labels.build.workspace import Workspace
from strata_labels.errors import InputError, Problem, refuse
from strata_labels.files import sha256_of, whole, write_json
from strata_labels.knowledge import (
    ClassAssets,
    ClassGraph,
    ClassVerdict,
    link,
    read_snapshot,
)
from strata_labels.messages import warn
from strata_labels.people_csv import neutralise, read_people_csv, read_people_sheets
from strata_labels.proposal import Vocabulary, vocabulary_nodes
from strata_labels.review import Ledger, read_ledger, undisputed
from strata_labels.tables import DECISION_COLUMNS
from strata_labels.tree import LabelTree, NodeFinder

#: What a curator writes for a class that has no place in the vocabulary.
NO_PLACE = "none"
TO_MAP_COLUMNS = [
    "class_qid", "label", "why", "landmarks", "images", "ends_at", "examples", "node", "note",
    "reviewer",
]  # fmt: skip
_EXAMPLES = 5
_CLASS = re.compile(r"1/(Q[1-9][0-9]*)")


def assets_in_force(settings: BuildSettings, vocabulary: Vocabulary, ledger: Ledger) -> ClassAssets:
    """The classes with a place, those that people decided on among them.

    A class that a curated file places stays there: a decision on it moves the tree's node, and
    what hangs on it, when the ledger is replayed.
    """
    assets = class_assets(settings, vocabulary)
    decided = decided_classes(ledger, vocabulary)
    new = {qid: node for qid, node in decided.items() if qid not in assets.placed}
    placed = {**assets.placed, **{qid: node for qid, node in new.items() if node}}
    stops = {qid: why for qid, why in assets.stops.items() if qid not in new}
    stops |= {qid: "outside" for qid, node in new.items() if not node}
    return replace(assets, placed=placed, stops=stops)


def decided_classes(ledger: Ledger, vocabulary: Vocabulary) -> dict[str, str]:
    """Class -> the node that people give it, "" if it has no place; without disputed ones."""
    decisions = ledger.decisions
    named = decisions["subject"][decisions["subject"].str.fullmatch(_CLASS.pattern)]
    if named.empty:
        return {}
    qids = sorted({subject.removeprefix("1/") for subject in named})
    nodes = with_classes(_upper_nodes(vocabulary), dict.fromkeys(qids, ""))
    tree = LabelTree.from_nodes(nodes)
    finder = NodeFinder(tree)
    found: dict[str, str] = {}
    for decision in undisputed(decisions, tree):
        if not _CLASS.fullmatch(decision.subject):
            continue
        word, qid = decision.decision, decision.subject.removeprefix("1/")
        node = finder.find(decision.target, [2])[0] if word == "move" else ""
        if node or word == "exclude":
            found[qid] = tree.name[node] if node else ""
    return found


def _upper_nodes(vocabulary: Vocabulary) -> pd.DataFrame:
    nodes = vocabulary_nodes(vocabulary, pd.DataFrame(columns=["qid", "node"]), {})
    return nodes[nodes["level"] > 1]


def with_classes(nodes: pd.DataFrame, qids: Mapping[str, str]) -> pd.DataFrame:
    """Nodes, and with them the classes (by id, with their labels) that have no place."""
    new = {qid: label for qid, label in qids.items() if f"1/{qid}" not in set(nodes["node_id"])}
    rows = pd.DataFrame(
        {
            "node_id": [f"1/{qid}" for qid in new],
            "level": 1,
            "name": [label or qid for qid, label in new.items()],
            "parent_id": None,
            "qid": list(new),
        }
    )
    if rows.empty:
        return nodes
    both = pd.concat([nodes, rows.astype(nodes.dtypes.to_dict())])
    return both.sort_values(["level", "node_id"], ignore_index=True)


def reconcile(
    items: pd.DataFrame,
    entities: pd.DataFrame,
    graph: ClassGraph,
    labels: Mapping[str, str],
) -> tuple[dict[str, Any], pd.DataFrame]:
    """What is known of the items, in numbers, and the classes that nothing maps.

    Args:
        items: `name, image_ids`.
        entities: a row an item, in the same order.
        graph: the classes, with those that have a place.
        labels: names of classes.

    Returns:
        Counts (`items`; by status of the entity and by where its classes lead; items with
        coordinates and with a country; countries), and `TO_MAP_COLUMNS`: the classes, of items
        without a node or with several, that lead nowhere (`unknown`) or to several nodes at once
        (`tie`); worst first, by landmarks times images, then by landmarks.
    """
    verdicts = [graph.reach(qids) for qids in entities["class_qids"]]
    leads = Counter(
        verdict.reason if len(qids) else "no_class"
        for verdict, qids in zip(verdicts, entities["class_qids"], strict=True)
    )
    to_map = _to_map(items, entities, verdicts, graph, labels)
    unmapped = set(to_map["class_qid"])
    stuck = [
        verdict.reason in ("unknown", "tie") and not unmapped.isdisjoint(qids)
        for verdict, qids in zip(verdicts, entities["class_qids"], strict=True)
    ]
    return {
        "items": len(items),
        "by_status": _counts(Counter(entities["status"])),
        "classes_lead": _counts(leads),
        "with_coordinates": int(entities["lat"].notna().sum()),
        "with_country": int(entities["country"].notna().sum()),
        "countries": int(entities["country"].nunique()),
        "classes_to_map": len(to_map),
        "items_of_classes_to_map": sum(stuck),
    }, to_map


def report_classes(
    workspace: Workspace, settings: BuildSettings, items: pd.DataFrame, asked: ResolvedTitles
) -> dict[str, Any]:
    """Writes the reconciliation of what was just asked, before any build; returns its numbers."""
    vocabulary = vocabulary_in_force(settings)
    assets = assets_in_force(settings, vocabulary, read_ledger(*ledgers(settings)))
    ids = asked.titles["qid"].dropna().tolist()
    snapshot = read_snapshot(workspace.answers, items["title"], assets.placed, ids)
    entities, classes = link(items, snapshot, asked.titles)
    named = dict(zip(classes["qid"], classes["label"], strict=True))
    graph = ClassGraph(classes, assets.placed, assets.stops)
    put_filled_in_aside(workspace.to_map, "node", workspace.applied)
    numbers, to_map = reconcile(items, entities, graph, {**assets.labels, **named})
    write_reconciliation(workspace, numbers, to_map)
    return numbers


def _counts(counter: Counter[str]) -> dict[str, int]:
    return {key: counter[key] for key in sorted(counter, key=lambda k: (-counter[k], k))}


def _to_map(
    items: pd.DataFrame,
    entities: pd.DataFrame,
    verdicts: list[ClassVerdict],
    graph: ClassGraph,
    labels: Mapping[str, str],
) -> pd.DataFrame:
    landmarks: Counter[str] = Counter()
    images: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    own: dict[str, ClassVerdict] = {}
    for verdict, qids, name, pictures in zip(
        verdicts, entities["class_qids"], items["name"], items["image_ids"], strict=True
    ):
        if verdict.reason not in ("unknown", "tie"):
            continue
        for qid in qids:
            own[qid] = graph.reach([qid])
            if own[qid].reason not in ("unknown", "tie"):
                continue  # this one has its place, or is known to have none
            landmarks[qid] += 1
            images[qid] += len(pictures)
            if len(shown := examples.setdefault(qid, [])) < _EXAMPLES:
                shown.append(str(name))
    order = sorted(landmarks, key=lambda q: (-landmarks[q] * images[q], -landmarks[q], int(q[1:])))
    rows = [
        (
            qid,
            labels.get(qid, ""),
            own[qid].reason,
            landmarks[qid],
            images[qid],
            "; ".join(class_name(way, labels) for way in _ends(own[qid])),
            "; ".join(examples[qid]),
            *("", "", ""),
        )
        for qid in order
    ]
    return pd.DataFrame(rows, columns=TO_MAP_COLUMNS)


def _ends(verdict: ClassVerdict) -> list[str]:
    if verdict.ties:
        return [str(way.node) for way in verdict.ties]
    return [verdict.node or verdict.path[-1]]


def class_name(qid: str, labels: Mapping[str, str]) -> str:
    """A class for people: `church building (Q16970)`; other texts as they are."""
    return f"{labels[qid]} ({qid})" if labels.get(qid) else qid


def write_reconciliation(
    workspace: Workspace, numbers: dict[str, Any], to_map: pd.DataFrame
) -> None:
    """Writes the numbers, and the classes to map as a sheet for a curator."""
    write_json(workspace.reconciliation, numbers)
    harmless = to_map.map(lambda cell: neutralise(cell) if isinstance(cell, str) else cell)
    with whole(workspace.to_map) as beside:
        harmless.to_csv(beside, index=False, encoding="utf-8-sig", lineterminator="\n")


def put_filled_in_aside(sheet: Path, column: str, applied: Container[str]) -> None:
    """Renames a sheet with decisions, so that a new one does not overwrite somebody's work.

    A sheet whose decisions are in the ledger is left to be overwritten.

    The copy is `review.filled-in-1.csv` beside it, or has a higher number.

    Args:
        sheet: the sheet, where there is one.
        column: in which people decide.
        applied: hashes of sheets whose decisions are in the ledger, see `Workspace.applied`.
    """
    if not sheet.is_file() or sha256_of(sheet) in applied:
        return
    try:
        frames = read_people_sheets(sheet, [column]).values()
        decided = any((frame[column] != "").any() for frame in frames)
    except InputError:
        decided = True  # whatever it is now, it is not ours to throw away
    if not decided:
        return
    number = 1
    while (kept := sheet.with_name(f"{sheet.stem}.filled-in-{number}{sheet.suffix}")).exists():
        number += 1
    sheet.replace(kept)
    warn(f"{sheet.name} had decisions that were not applied: kept as {kept}")


def is_class_sheet(path: Path) -> bool:
    """Whether a filled-in sheet is one of classes: it has their columns."""
    try:
        return "row_id" not in read_people_csv(path, ["class_qid", "node"], further=True).columns
    except InputError:
        return False


def read_class_sheet(
    path: Path, nodes: pd.DataFrame, reviewer: str, decided_at: str
) -> pd.DataFrame:
    """The decisions of a filled-in sheet of classes; a row without `node` is untouched.

    Args:
        path: the sheet: `class_qid, node`, and where given `note, reviewer`.
        nodes: the table `vocabulary`.
        reviewer: who decided, where the sheet's cell is blank.
        decided_at: UTC time.

    Returns:
        `DECISION_COLUMNS`: a `move` of the class to its node, or `exclude` for one without a place.

    Raises:
        InputError: all rows with no class id, an unknown node, a class with two nodes, no reviewer.
    """
    frame = read_people_csv(path, ["class_qid", "node"], ["note", "reviewer"])
    finder = NodeFinder(LabelTree.from_nodes(nodes))
    problems, rows = list[Problem](), dict[str, tuple[str, ...]]()
    for line, qid, node, note, who in frame[frame["node"] != ""].itertuples():

        def wrong(what: str, fix: str, column: str, value: str, line: int = line) -> None:
            problems.append(Problem(path, what, fix, line, column, value))

        target = ""
        if node.casefold() != NO_PLACE:
            target, what, fix = finder.find(node, [2])
            if not target:
                wrong(what, f"{fix} Or write {NO_PLACE}.", "node", node)
        if not (who or reviewer):
            wrong("no reviewer", "Write who decided, or give --reviewer.", "reviewer", "")
        if not _CLASS.fullmatch(f"1/{qid}"):
            wrong("not a class id:", "Take the class_qid from the sheet.", "class_qid", qid)
        row = f"2:1/{qid}", f"1/{qid}", "2", "move" if target else "exclude", target
        if rows.setdefault(qid, (*row, who or reviewer, note, decided_at, "", ""))[:5] != row:
            wrong("the class has another node above:", "Keep one of the two.", "node", node)
    refuse(problems)
    return pd.DataFrame(list(rows.values()), columns=DECISION_COLUMNS, dtype=str)
