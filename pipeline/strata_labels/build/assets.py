"""Vocabulary and classes in force: the tree's, or a user's own completed from the tree's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from strata_labels.build.settings import BuildSettings
from strata_labels.knowledge import ClassAssets, read_class_assets
from strata_labels.people_csv import read_people_csv
from strata_labels.proposal import Vocabulary, read_vocabulary
from strata_labels.review import read_ledger, undisputed


def vocabulary_in_force(settings: BuildSettings) -> Vocabulary:
    """The tree's vocabulary, or one's own: its nodes without classes have those of the tree's."""
    vocabulary = read_vocabulary(settings.vocabulary_file, settings.hierarchy.levels)
    if not settings.vocabulary:
        return vocabulary
    tree = read_vocabulary(settings.hierarchy.vocabulary).frame
    frame = vocabulary.frame.copy()
    known = frame["node"].map(tree.set_index("node")["class_qids"]).fillna("")
    taken = {qid for qids in frame["class_qids"] for qid in qids.split("|")}
    free = known.map(lambda qids: "|".join(q for q in qids.split("|") if q not in taken))
    frame["class_qids"] = frame["class_qids"].where(frame["class_qids"] != "", free)
    return replace(vocabulary, frame=frame)


def class_assets(settings: BuildSettings, vocabulary: Vocabulary) -> ClassAssets:
    """Which class belongs to which node, and where chains stop.

    Under a vocabulary of one's own, its classes come first; of the tree's, those count whose node
    it has too.
    """
    tree = settings.hierarchy
    assets = read_class_assets(tree.vocabulary, tree.classes, tree.outside)
    if not settings.vocabulary:
        return assets
    placed: dict[str, str] = {}
    for node, qids in zip(vocabulary.frame["node"], vocabulary.frame["class_qids"], strict=True):
        for qid in filter(None, qids.split("|")):
            placed.setdefault(qid, node)
    for qid, node in assets.placed.items():
        if node in vocabulary.nodes:
            placed.setdefault(qid, node)
    stops = {qid: reason for qid, reason in assets.stops.items() if qid not in placed}
    return ClassAssets(placed, stops, assets.labels)


def ledgers(settings: BuildSettings) -> list[Path]:
    """The tree's curated decisions, then the workspace's."""
    return [settings.hierarchy.decisions, settings.decisions]


def descriptions(settings: BuildSettings) -> dict[str, str]:
    """What people wrote of nodes with `describe`, by node id; without what they differ on."""
    decided = undisputed(read_ledger(*ledgers(settings)).decisions)
    return {d.subject: d.target for d in decided if d.decision == "describe" and d.target}


def found_names(settings: BuildSettings) -> pd.DataFrame:
    """Names that found nodes may take: `parent` (the name of the node above), `name`."""
    frame = read_people_csv(settings.hierarchy.names, ["parent", "name"])
    return frame[(frame["name"] != "") & (frame["parent"] != "")].reset_index(drop=True)
