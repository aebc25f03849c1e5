"""The places that a row, or a group of rows, can go to: on one scale, the likeliest first."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from strata_labels.evidence import Evidence
from strata_labels.evidence_text import evidence_text
from strata_labels.review.page.naming import describe, first_picture, name_of
from strata_labels.review.page.review_rows import ReviewRows

#: Places that are shown besides the first, and nearest items that are shown at each.
PICKS, SIBLINGS = 3, 4
#: Nearest siblings are looked for among so many, the most confident first.
_COMPARED = 5000


class Choice(NamedTuple):
    """A place of a row.

    Attributes:
        node: its node.
        likely: probability, None if unknown.
        own: whether the row is there now, as proposed or as the label it came with.
        evidence: what speaks for it.
    """

    node: str
    likely: float | None
    own: bool = False
    evidence: tuple[Evidence, ...] = ()


def choices(table: ReviewRows, rows: Sequence[int], blind: bool) -> list[Choice]:
    """Where rows can go, the likeliest first; of several rows the means of what is said of each.

    What retrieval or a merge suggests has no probability of its own: it takes what the row's own
    place leaves, so that it comes first where that is unlikely.

    Args:
        table: all rows.
        rows: one row, or the rows of a group.
        blind: nothing may show which place is proposed: one level, by name.
    """
    found: dict[str, list[Choice]] = {}
    for n in rows:
        for choice in _of_row(table, n):
            found.setdefault(choice.node, []).append(choice)
    joint = []
    for node, several in found.items():
        known = [choice.likely for choice in several if choice.likely is not None]
        likely = sum(known) / len(rows) if known else None
        evidence = [
            piece
            for piece in dict.fromkeys(several[0].evidence)
            if all(piece in other.evidence for other in several[1:])
        ]
        shared = tuple(evidence) if len(several) == len(rows) else ()
        own = len(several) == len(rows) and all(choice.own for choice in several)
        joint.append(Choice(node, likely, own, shared))
    if blind:
        return _even(table, joint)
    first = table.suggestion.get(rows[0], "")
    left = 1.0 - max((c.likely or 0.0 for c in joint if c.node != first), default=0.0)

    def order(choice: Choice) -> tuple[float, bool]:
        likely = choice.likely
        if likely is None:
            likely = left if choice.node == first else 0.0
        return -likely, not choice.own

    return sorted(joint, key=order)[: PICKS + 1]


def _of_row(table: ReviewRows, n: int) -> list[Choice]:
    """A row's own place, the suggestion and the alternatives, each with what speaks for it."""
    own, pieces = table.own[n], table.evidence[n]
    others = {o.node: o for o in table.alternatives[n] if o.node in table.known.level}
    likely = {node: other.confidence for node, other in others.items()}
    for node in (own, table.suggestion.get(n, "")):
        if node:
            likely.setdefault(node, None)
    if own:
        likely[own] = float(table.confidence[n])
    found = []
    for node, probability in likely.items():
        path = table.known.path(node)
        mine = [piece for piece in pieces if piece.node in path]
        mine += others[node].evidence if node in others else ()
        found.append(Choice(node, probability, node == own, _once(mine)))
    return found


def _once(pieces: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """Evidence without repetitions; a value that was rounded otherwise is no other evidence."""
    found: dict[Evidence, Evidence] = {}
    for piece in pieces:
        found.setdefault(piece._replace(value=None), piece)
    return tuple(found.values())


def _even(table: ReviewRows, found: list[Choice]) -> list[Choice]:
    """The candidates so that none shows which of them is the proposal: one level, by name."""
    known = table.known
    own = next((choice.node for choice in found if choice.own), "")
    others = [choice.node for choice in found if not choice.own]
    top = min((known.level[node] for node in others), default=1)
    raised = next((node for node in known.path(own) if known.level[node] >= top), "")
    nodes = [node for node in dict.fromkeys([raised, *others]) if node][:PICKS]
    if len(nodes) < 2:  # one alone would give the proposal away
        return []
    nodes.sort(key=lambda node: (known.name[node].casefold(), node))
    return [Choice(node, None) for node in nodes]


def place_card(
    table: ReviewRows,
    n: int,
    choice: Choice,
    shown: Collection[str],
    is_open: NDArray[np.bool_],
    blind: bool,
) -> dict[str, Any]:
    """A place as the page shows it for row `n`.

    Args:
        table: all rows.
        n: the row, or the first of a group.
        choice: the place.
        shown: nodes of all places that are shown.
        is_open: rows that are still to be decided, `[num_rows]`: no examples of anything.
        blind: without likelihood and evidence.
    """
    path = table.known.path(choice.node)
    given = any(
        reason.kind == "only_coarse" or (reason.kind == "label_issue" and reason.node in path)
        for reason in table.reasons[n]
    )
    given &= choice.own and not blind
    unknown = blind or given or choice.likely is None
    own_level = table.known.level[choice.node] < table.level[n]
    if choice.own:
        answer = "keep"
    elif table.subject[n] in table.resolution.lost:
        answer = "same"
    else:
        answer = "merge" if own_level else "move"
    return {
        **describe(table, choice.node),
        "answer": answer,
        # How a label compares that came with the item is said where it is questioned.
        "given": given,
        "likely": None if unknown else round(choice.likely or 0.0, 3),
        "evidence": [] if blind else evidence_text(choice.evidence, table.names, path),
        "siblings": _siblings(table, n, choice.node, is_open, shown),
    }


def other_facts(table: ReviewRows, n: int, shown: Collection[str]) -> list[str]:
    """What is known of a row that speaks for none of the places shown."""
    paths = {step for node in shown for step in table.known.path(node)}
    rest = [piece for piece in table.evidence[n] if piece.node not in paths]
    return evidence_text(rest, table.names)


def _siblings(
    table: ReviewRows, n: int, node: str, is_open: NDArray[np.bool_], shown: Collection[str]
) -> list[dict[str, Any]]:
    """What already stands there and resembles the row most; no two places show the same.

    Items right under the node come first, then those of wider nodes that no other place is in.
    """
    known = table.known
    if not table.is_item[n]:
        below = [other for other in known.children(node) if other != table.subject[n]]
        below.sort(key=lambda other: (-table.sizes.get(other, 0), other))
        return [{"name": known.name[other]} for other in below[:SIBLINGS]]
    others = {other for other in shown if other != node}
    above = {step for other in others for step in known.path(other)}
    named: dict[str, int] = {}  # the same place may stand in train and index
    for step in known.path(node):
        if (step in above and step != node) or len(named) == SIBLINGS:
            break
        there = np.array(rows_below(table, step, _COMPARED, others), dtype=np.int64)
        for other in _nearest(table, n, there[~is_open[there] & (there != n)].tolist()):
            named.setdefault(name_of(table, other), other)
            if len(named) == SIBLINGS:
                break
    return [{"name": name, "picture": first_picture(table, m)} for name, m in named.items()]


def _nearest(table: ReviewRows, n: int, others: list[int]) -> list[int]:
    """Others by likeness of their vectors to the row's, most alike first."""
    at = table.item_at.get(table.subject[n])
    if not others or at is None or not table.vectors:
        return others
    rows = np.array([table.item_at[table.subject[other]] for other in others])
    likeness = np.zeros(len(others))
    for vectors in table.vectors:
        likeness += np.nan_to_num(np.asarray(vectors[rows]) @ np.asarray(vectors[at]))
    return [others[k] for k in np.argsort(-likeness, kind="stable")]


def rows_below(
    table: ReviewRows, node: str, at_most: int, without: Collection[str] = ()
) -> list[int]:
    """Rows of the items below a node, but for those below some of its descendants."""
    rows, nodes = list[int](), [node]
    while nodes and len(rows) < at_most:
        first = nodes.pop(0)
        rows += table.members.get(first, [])[: at_most - len(rows)]
        nodes += [child for child in table.known.children(first) if child not in without]
    return rows
