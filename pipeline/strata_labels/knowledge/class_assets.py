"""Reads the curated classes of a tree: the node of each class, and classes where chains stop."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from strata_labels.errors import Problem, refuse
from strata_labels.knowledge.classgraph import REACHED, ClassGraph
from strata_labels.knowledge.snapshot import Snapshot
from strata_labels.people_csv import read_people_csv

REASONS = ("abstract", "decisive", "outside")
LEXICON_COLUMNS = ["node", "qid", "language", "term", "strength"]


@dataclass(frozen=True)
class ClassAssets:
    """Classes with a place in the vocabulary, and classes at which the chain stops.

    Attributes:
        placed: class -> vocabulary node.
        stops: class -> `outside`, `decisive` or `abstract`.
        labels: class -> English label, where the assets have one.
    """

    placed: dict[str, str]
    stops: dict[str, str]
    labels: dict[str, str]


def read_class_assets(
    vocabulary: Path, classes: Path | None = None, outside: Path | None = None
) -> ClassAssets:
    """Reads `vocabulary.csv` (`node, class_qids`), `classes.csv` and `outside.csv`.

    Raises:
        InputError: a malformed class id, an unknown node or reason, a class with two places; all
            of them, over all files.
    """
    problems: list[Problem] = []
    placed: dict[str, str] = {}
    stops: dict[str, str] = {}
    labels: dict[str, str] = {}

    def put(path: Path, row: int, column: str, qid: str, value: str, into: dict[str, str]) -> None:
        before = placed.get(qid) or stops.get(qid)
        if not re.fullmatch(r"Q[1-9][0-9]*", qid):
            fix = "Write a Wikidata item id such as Q16970."
            problems.append(Problem(path, "not a class id:", fix, row, column, qid))
        elif before is not None and before != value:
            what = f"class has two places ({before!r} and {value!r}):"
            problems.append(Problem(path, what, "Keep one of them.", row, column, qid))
        else:
            into[qid] = value

    frame = read_people_csv(vocabulary, ["node"], ["class_qids"])
    nodes = set(frame["node"])
    for row, node, qids in zip(frame.index, frame["node"], frame["class_qids"], strict=True):
        for qid in filter(None, (part.strip() for part in qids.split("|"))):
            put(vocabulary, row, "class_qids", qid, node, placed)
    if classes is not None:
        frame = read_people_csv(classes, ["qid", "node"], ["label"])
        for row, qid, node in zip(frame.index, frame["qid"], frame["node"], strict=True):
            if node not in nodes:
                fix = f"Take a node of {vocabulary.name}."
                problems.append(Problem(classes, "unknown node:", fix, row, "node", node))
            put(classes, row, "qid", qid, node, placed)
        labels |= dict(zip(frame["qid"], frame["label"], strict=True))
    if outside is not None:
        frame = read_people_csv(outside, ["qid", "reason"], ["label"])
        for row, qid, reason in zip(frame.index, frame["qid"], frame["reason"], strict=True):
            if reason not in REASONS:
                fix = f"Write one of {', '.join(REASONS)}."
                problems.append(Problem(outside, "unknown reason:", fix, row, "reason", reason))
            put(outside, row, "qid", qid, reason, stops)
        labels |= dict(zip(frame["qid"], frame["label"], strict=True))
    refuse(problems)
    return ClassAssets(placed, stops, labels)


def snapshot_lexicon(snapshot: Snapshot, graph: ClassGraph) -> pd.DataFrame:
    """Words of the snapshot's classes: their labels (strong) and aliases (weak), all languages.

    Only classes that reach exactly one node speak for it.

    Returns:
        `node, qid, language, term, strength`, sorted; terms in lower case.
    """
    rows: dict[tuple[str, str, str, str], str] = {}
    for qid in sorted(snapshot.classes, key=lambda q: int(q[1:])):
        verdict = graph.reach([qid])
        if verdict.reason != REACHED or verdict.node is None:
            continue
        entity = snapshot.classes[qid]
        words = [(lang, text, "strong") for lang, text in entity.labels.items()]
        words += [(lang, t, "weak") for lang, texts in entity.aliases.items() for t in texts]
        for language, text, strength in words:
            term = " ".join(text.lower().split()).strip("-")
            if term:
                rows.setdefault((verdict.node, qid, language, term), strength)
    return pd.DataFrame(
        [(*key, strength) for key, strength in sorted(rows.items())], columns=LEXICON_COLUMNS
    )
