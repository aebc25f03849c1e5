"""What would change an item's label, read off the evidence of its row; nothing is scored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from strata_labels.evidence import Evidence
from strata_labels.tree import LabelTree

# Kinds of evidence that each speak for one node; of several pieces the first is the strongest.
_FIRST = ("published", "name_word", "text", "image_to_text", "image", "class_chain", "category")


@dataclass(frozen=True)
class WhatIf:
    """What each kind of evidence says by itself, and what is left without one.

    Attributes:
        alone: by kind the node that it speaks for.
        without: by kind that speaks for the item's place the nodes that the others speak for, none
            of which is that place; empty where no other evidence is there.
        similar: how many of the similar labelled items shown are under the item's place, and the
            node that the others speak for, "" for none; None if they speak for another place.
    """

    alone: dict[str, str]
    without: dict[str, list[str]]
    similar: tuple[int, str] | None


def what_if(evidence: Iterable[Evidence], place: str, tree: LabelTree) -> WhatIf:
    """Reads evidence against an item's place.

    Args:
        evidence: of the item's row.
        place: the node that it is under, "" for none.
        tree: all nodes; a node agrees with those above and below it.
    """
    pieces = list(evidence)
    near = [piece for piece in pieces if piece.kind == "neighbours"]
    alone: dict[str, str] = {}
    for piece in pieces:
        if piece.kind in _FIRST and piece.node:
            alone.setdefault(piece.kind, piece.node)
    given = alone.get("published", "")
    if given != place and given in tree.path(place):
        # A given coarser label restricts the candidates.
        near = [piece for piece in near if given in tree.path(piece.node)]
    if near:
        alone["neighbours"] = _favoured(near)

    def agrees(node: str) -> bool:
        return node in tree.path(place) or place in tree.path(node)

    without = {}
    similar = None
    for kind, node in alone.items():
        others = [other for name, other in alone.items() if name != kind]
        if place and agrees(node) and not any(map(agrees, others)):
            without[kind] = list(dict.fromkeys(others))
    if place and near and agrees(alone["neighbours"]) and any(piece.ids for piece in near):
        rest = [piece for piece in near if not agrees(piece.node)]
        similar = len(near) - len(rest), _favoured(rest) if rest else ""
    return WhatIf(alone, without, similar)


def _favoured(near: list[Evidence]) -> str:
    """The node with most similarity in sum; of equals the one that comes first."""
    total: dict[str, float] = {}
    for piece in near:
        total[piece.node] = total.get(piece.node, 0.0) + (piece.value or 1.0)
    return max(total, key=lambda node: round(total[node], 6))
