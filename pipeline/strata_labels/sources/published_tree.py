"""A tree made of published labels, in the tables that proposals come in; no label is in doubt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from strata_labels.evidence import Evidence, Reason, evidence_hash
from strata_labels.tables import SCHEMAS, labels_at

#: Status of a row that has a parent, and of an item whose labels are all blank.
PROPOSED, NO_LABEL = "proposed", "no_label"


def published_tree(
    items: pd.DataFrame,
    labels: pd.DataFrame,
    num_levels: int,
    blank: str = "unspecified",
    first: int = 1,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Makes nodes and edges of published labels.

    A node is its lineage: two genera of one name in different families stay two nodes. Its id says
    so, `1/Plantae/.../Apiaceae/Oenanthe`, and lasts as long as the names do. A blank below, above
    or between labels is filled by a node `<blank> in <nearest named ancestor>`.

    Args:
        items: the table `items`.
        labels: the table `labels`; those of origin `published` are taken.
        num_levels: number of levels, the item's own included.
        blank: the word for a missing label; taxonomists say `incertae sedis`.
        first: the lowest level that is published; above 1 where levels between are made elsewhere.

    Returns:
        `(proposals, nodes)`. Proposals under `SCHEMAS["proposals"]`, one for each item and each
        node below the top: origin `published`, confidence 1, accepted; an item without any label
        has an open row. Nodes under `SCHEMAS["vocabulary"]`, all above the items.
    """
    levels = range(first, num_levels)
    ids = items["item_id"]
    found = {level: labels_at(labels, ids, level, "published") for level in levels}
    names = pd.DataFrame(found, index=ids.index).set_index(pd.Index(ids, name="item_id"))
    labelled = (names != "").any(axis=1)
    named = names[labelled]
    path = pd.Series("", named.index, dtype=object)
    known = pd.Series("", named.index, dtype=object)
    above = pd.Series(None, named.index, dtype=object)
    parts: list[pd.DataFrame] = []
    for level in reversed(levels):
        own = named[level]
        stand_in = known.map(lambda name: f"{blank} in {name}" if name else blank)
        name = own.where(own != "", stand_in)
        step = pd.Series(pd.factorize(name)[0], named.index)
        escaped = pd.Series([_escape(text) for text in pd.unique(name)], dtype=object)
        path = path + "/" + pd.Series(escaped.to_numpy()[step], named.index, dtype=object)
        node = str(level) + path
        rows = pd.DataFrame(
            {
                "node_id": node,
                "level": level,
                "name": name,
                "parent_id": above,
                "qid": None,
            }
        )
        parts.append(rows.drop_duplicates("node_id"))
        known = own.where(own != "", known)
        above = node
    columns = SCHEMAS["vocabulary"].names
    nodes = pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns)
    nodes = nodes.sort_values(["level", "node_id"], ignore_index=True)
    below = nodes[nodes.parent_id.notna()]
    parent_of = dict(zip(below.node_id, below.parent_id, strict=True))
    unlabelled = names.index[~labelled] if len(levels) else names.index[:0]
    subjects = [*below.node_id, *named.index, *unlabelled]
    parents = [*below.parent_id, *above, *[""] * len(unlabelled)]
    level_of = np.ones(len(subjects), dtype="int8")
    level_of[: len(below)] = below.level + 1
    proposals = _rows(subjects, level_of, parents, parent_of, len(unlabelled))
    proposals = proposals.sort_values(["level", "subject"], ignore_index=True)
    return proposals[SCHEMAS["proposals"].names], nodes.astype({"level": "int8"})


_SIGNS = str.maketrans({" ": "_", "_": "%5F", "/": "%2F", "%": "%25"})


def _escape(name: str) -> str:
    """A name as a step of a node id: no slash, no space, readable, and no two alike.

    Example:
        >>> _escape("AC/DC 100 %"), _escape("église")
        ('AC%2FDC_100_%25', 'église')
    """
    return name.translate(_SIGNS)


def label_node(level: int, name: str) -> str:
    """The id of a node without a parent."""
    return f"{level}/{_escape(name)}"


def _rows(
    subjects: list[str],
    levels: np.ndarray,
    parents: list[str],
    parent_of: dict[str, str],
    unlabelled: int,
) -> pd.DataFrame:
    """Accepted proposals, whose evidence is the path from the parent to the top.

    The last ones are items without any label: their rows are open, and they have no parent.
    """
    evidence, marks = {}, {}
    for parent in dict.fromkeys(parents):
        path = [parent]
        while path[-1] in parent_of:
            path.append(parent_of[path[-1]])
        evidence[parent] = (Evidence("published", parent, ids=tuple(path)),)
        marks[parent] = evidence_hash(published=path)
    number = len(subjects)
    given = np.arange(number) < number - unlabelled
    share = given.astype("float32")
    reasons = [() if labelled else (Reason(NO_LABEL),) for labelled in given]
    rows = {
        "subject": pd.Series(subjects, dtype=object),
        "parent": pd.Series(parents, dtype=object),
        "level": levels,
        "row_id": _texts(f"{n}:{name}" for n, name in zip(levels, subjects, strict=True)),
        "evidence": _objects([evidence[parent] if parent else () for parent in parents]),
        "evidence_hash": _texts(marks[parent] for parent in parents),
        "status": _texts(np.where(given, PROPOSED, NO_LABEL)),
        "origin": _texts(np.where(given, "published", "")),
        "confidence": share,
        "margin": share,
        "accepted": given,
        "score": share,
        "reasons": _objects(reasons),
        "suggestion": _texts([""] * number),
        "alternatives": _objects([()] * number),
    }
    return pd.DataFrame(rows)


def _texts(values: Iterable[str]) -> pd.Series:
    return pd.Series(list(values), dtype="str")


def _objects(values: list[tuple[Any, ...]]) -> pd.Series:
    return pd.Series(values, dtype=object)
