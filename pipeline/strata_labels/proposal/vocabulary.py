"""The vocabulary: the nodes items are sorted into, their parents, classes and phrases."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from strata_labels.errors import InputError, Problem, refuse
from strata_labels.people_csv import read_people_csv
from strata_labels.proposal.ids import node_id, slug

_COLUMNS = ["node", "parent", "class_qids", "description"]


@dataclass(frozen=True)
class Vocabulary:
    """Two levels of nodes.

    Attributes:
        frame: `node, parent, class_qids, description`; top nodes have a blank parent.
        nodes: names of the K nodes that items are sorted into, in the file's order.
        phrases: names and descriptions of the nodes, in pieces that can be embedded.
        phrase_nodes: node index of each phrase, `[P]`.
    """

    frame: pd.DataFrame
    nodes: list[str]
    phrases: list[str]
    phrase_nodes: np.ndarray

    @property
    def tops(self) -> list[str]:
        """Top node of each node, `[K]`."""
        return self.frame.loc[self.frame["parent"] != "", "parent"].tolist()

    def index(self, names: pd.Series) -> np.ndarray:
        """Node index of each name, -1 for a name that is none, `[n]`."""
        place = {name: number for number, name in enumerate(self.nodes)}
        return names.map(place).fillna(-1).to_numpy(dtype=np.int64)


def read_vocabulary(path: Path, levels: Sequence[str] = ()) -> Vocabulary:
    """Reads `node, parent, class_qids, description` (the last two may be missing).

    Args:
        path: the file.
        levels: names of the tree's levels, the item's first. With them, a list of published labels
            is understood too: its columns are named like the levels of node and parent, and its
            parents need no rows of their own.

    Raises:
        InputError: no such columns, a blank or doubled node, two names with one id, an unknown
            parent, a node under itself, a vocabulary deeper than two levels; all of them.
    """
    frame = _read(path, levels)
    problems = _problems(path, frame)
    refuse(problems)
    return _of_frame(frame.reset_index(drop=True))


def with_descriptions(vocabulary: Vocabulary, texts: Mapping[str, str]) -> Vocabulary:
    """The vocabulary with more that belongs to its nodes.

    Args:
        vocabulary: its nodes.
        texts: by the id of a node that items are sorted into: words and phrases, with commas.
    """
    frame = vocabulary.frame
    more = frame["node"].map(lambda name: texts.get(node_id(2, name), "")).astype(str)
    both = frame["description"].where(more == "", frame["description"] + "," + more)
    return _of_frame(frame.assign(description=both))


def _of_frame(frame: pd.DataFrame) -> Vocabulary:
    leaves = frame[frame["parent"] != ""]
    phrases, numbers = [], []
    for number, (node, text) in enumerate(zip(leaves["node"], leaves["description"], strict=True)):
        pieces = dict.fromkeys([node, *(part.strip() for part in text.split(","))])
        phrases += [piece for piece in pieces if piece]
        numbers += [number] * sum(1 for piece in pieces if piece)
    return Vocabulary(frame, leaves["node"].tolist(), phrases, np.array(numbers))


def vocabulary_nodes(
    vocabulary: Vocabulary, classes: pd.DataFrame, labels: dict[str, str]
) -> pd.DataFrame:
    """Every node a decision may name: tops, nodes, and the classes below them.

    Args:
        vocabulary: the two upper levels.
        classes: `qid, node`: classes and the node each belongs to; the first row of a class counts.
        labels: names of classes.

    Returns:
        `node_id, level, name, parent_id, qid`, sorted.
    """
    frame = vocabulary.frame
    tops, leaves = frame[frame["parent"] == ""], frame[frame["parent"] != ""]
    rows: list[tuple[str, int, str, str | None, str | None]] = [
        (node_id(3, name), 3, name, None, _first(qids))
        for name, qids in zip(tops["node"], tops["class_qids"], strict=True)
    ]
    mains: dict[str, str] = {}
    for node, parent, qids in zip(
        leaves["node"], leaves["parent"], leaves["class_qids"], strict=True
    ):
        rows.append((node_id(2, node), 2, node, node_id(3, parent), _first(qids)))
        if not qids:  # a node without a class is its own
            rows.append((node_id(1, node), 1, node, node_id(2, node), None))
        for qid in filter(None, qids.split("|")):
            mains.setdefault(qid, node)
    owner = dict(mains)
    for qid, node in zip(classes["qid"], classes["node"], strict=True):
        if qid:
            owner.setdefault(qid, node)
    first = {
        _first(qids): node for node, qids in zip(leaves["node"], leaves["class_qids"], strict=True)
    }
    for qid, node in owner.items():
        name = labels.get(qid) or first.get(qid) or f"{node} ({qid})"
        rows.append((node_id(1, qid), 1, name, node_id(2, node), qid))
    nodes = pd.DataFrame(rows, columns=["node_id", "level", "name", "parent_id", "qid"])
    return nodes.sort_values(["level", "node_id"], ignore_index=True)


def _first(qids: str) -> str | None:
    return qids.split("|")[0] or None


def _read(path: Path, levels: Sequence[str]) -> pd.DataFrame:
    published = dict(zip(levels[2:4], ("node", "parent"), strict=False))
    try:
        frame = read_people_csv(path, ["node", "parent"], _COLUMNS[2:])
    except InputError as error:
        try:
            frame = read_people_csv(path, list(published) or ["node"])
        except InputError:
            raise error from None
        frame = frame.rename(columns=published).reindex(columns=_COLUMNS, fill_value="")
        tops = pd.DataFrame({"node": sorted(set(frame["parent"]) - {""}), "parent": ""})
        frame = pd.concat([frame, tops]).fillna("")
    frame["class_qids"] = frame["class_qids"].str.replace(" ", "")
    return frame


def _problems(path: Path, frame: pd.DataFrame) -> list[Problem]:
    problems: list[Problem] = []

    def add(row: int, what: str, fix: str, column: str, value: str) -> None:
        problems.append(Problem(path, what, fix, row, column, value))

    for row, qids in zip(frame.index, frame["class_qids"], strict=True):
        for qid in filter(None, qids.split("|")):
            if not re.fullmatch(r"Q[1-9][0-9]*", qid):
                fix = "Write Wikidata item ids such as Q16970, joined by |."
                add(row, "not a class id:", fix, "class_qids", qid)
    parent_of = dict(zip(frame["node"], frame["parent"], strict=True))
    circles = _circles(parent_of)
    times, ids = Counter(frame["node"]), Counter(slug(node) for node in parent_of)
    for row, node, parent in zip(frame.index, frame["node"], frame["parent"], strict=True):
        if not node:
            add(row, "no name", "Name the node, or delete the row.", "node", node)
        elif times[node] > 1:
            add(row, "node stands twice:", "Keep one row for it.", "node", node)
        elif ids[slug(node)] > 1:
            add(
                row,
                "another node has the same id:",
                "Make the names differ in letters.",
                "node",
                node,
            )
        if node in circles:
            add(
                row,
                f"node {node!r} is under itself, by way of",
                "Break the circle.",
                "parent",
                parent,
            )
        elif parent and parent not in parent_of:
            add(row, "unknown parent:", "Add a row for it, with a blank parent.", "parent", parent)
        elif parent and parent_of[parent]:
            fix = "A vocabulary has two levels: nodes, and parents with a blank parent."
            add(
                row,
                f"parent of {node!r} is itself below {parent_of[parent]!r}:",
                fix,
                "parent",
                parent,
            )
    if not any(parent_of.values()) and not problems:
        fix = "Give each node a parent; parents are rows with a blank parent."
        problems.append(Problem(path, "no node has a parent", fix))
    return problems


def _circles(parent_of: Mapping[str, str]) -> set[str]:
    """The nodes that are above themselves; each node has one parent, "" for none."""
    found: set[str] = set()
    seen = {""}
    for start in parent_of:
        walk: list[str] = []
        node = start
        while node not in seen:
            seen.add(node)
            walk.append(node)
            node = parent_of.get(node, "")
        if node in walk:
            found.update(walk[walk.index(node) :])
    return found
