"""What rows say of nodes, with the nodes that people merged shown as what they are part of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from strata_labels.evidence import Alternative, Evidence, Reason
from strata_labels.tree import LabelTree

# Kinds of evidence whose `ids` are a node and those above it.
_PATHS = ("published", "label_count")


def follow_merges(
    rows: pd.DataFrame, merged: Mapping[str, str], tree: LabelTree
) -> dict[str, pd.Series]:
    """The columns `evidence, reasons, alternatives, suggestion` of rows, after merges.

    Alternatives that are one node now are one, as likely as all of them; one that is the row's own
    place now is none.

    Args:
        rows: `parent` as proposed, `evidence, reasons, alternatives, suggestion`.
        merged: the node that each merged one is part of.
        tree: all nodes, the merged ones among them.
    """
    places = rows.parent.fillna("").tolist()
    evidence = [_evidence(pieces, merged, tree) for pieces in rows.evidence]
    reasons = [
        tuple(Reason(one.kind, merged[one.node]) if one.node in merged else one for one in of_row)
        for of_row in rows.reasons
    ]
    others = [
        _alternatives(of_row, place, merged, tree)
        for of_row, place in zip(rows.alternatives, places, strict=True)
    ]
    suggested = [merged.get(node, node) for node in rows.suggestion.fillna("")]
    columns = {
        "evidence": evidence,
        "reasons": reasons,
        "alternatives": others,
        "suggestion": suggested,
    }
    return {name: pd.Series(cells, rows.index, dtype=object) for name, cells in columns.items()}


def _evidence(
    pieces: Iterable[Evidence], merged: Mapping[str, str], tree: LabelTree
) -> tuple[Evidence, ...]:
    found = []
    for piece in pieces:  # most name no merged node, and stay as they are
        if piece.kind in _PATHS and any(node in merged for node in piece.ids):
            piece = piece._replace(ids=_path(piece.ids, merged, tree))
        found.append(piece._replace(node=merged[piece.node]) if piece.node in merged else piece)
    return tuple(found)


def _path(nodes: tuple[str, ...], merged: Mapping[str, str], tree: LabelTree) -> tuple[str, ...]:
    """A path; from the first merged node on, that of the node that it is part of."""
    for n, node in enumerate(nodes):
        if node in merged:
            return (*nodes[:n], *_path(tuple(tree.path(merged[node])), merged, tree))
    return nodes


def _alternatives(
    others: Iterable[Alternative], place: str, merged: Mapping[str, str], tree: LabelTree
) -> tuple[Alternative, ...]:
    own = merged.get(place, place)
    others = tuple(others)
    if own == place and not any(other.node in merged for other in others):
        return others
    found: dict[str, Alternative] = {}
    for other in others:
        node = merged.get(other.node, other.node)
        if node == own and other.node != place:
            continue
        now = Alternative(node, other.confidence, _evidence(other.evidence, merged, tree))
        found[node] = _joined(found[node], now) if node in found else now
    return tuple(found.values())


def _joined(one: Alternative, other: Alternative) -> Alternative:
    likely = [each.confidence for each in (one, other) if each.confidence is not None]
    evidence = tuple(dict.fromkeys((*one.evidence, *other.evidence)))
    return Alternative(one.node, round(sum(likely), 4) if likely else None, evidence)
