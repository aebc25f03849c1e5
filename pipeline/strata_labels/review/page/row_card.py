"""One open row as the page shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from strata_labels.evidence import (
    NAME_REASONS,
    Alternative,
    evidence_text,
    has_reason,
    label_issue_text,
    reason_text,
)
from strata_labels.people_csv import clean_cell
from strata_labels.review.page.review_rows import ReviewRows

PICKS, SIBLINGS, PICTURES, SHOWN_OF_GROUP = 3, 4, 6, 10
#: Nearest siblings are looked for among so many, the most confident first.
_COMPARED = 5000


def card(
    table: ReviewRows, n: int, blind: bool, in_group: list[int], is_open: NDArray[np.bool_]
) -> dict[str, Any]:
    """What a curator sees of row `n`.

    Args:
        table: all rows.
        n: the row's number.
        blind: leave out what is proposed, and everything that hints at it.
        in_group: the open look-alikes it can be decided with, itself among them.
        is_open: rows that are still to be decided, `[num_rows]`: no examples of anything.
    """
    is_item, is_lost = bool(table.is_item[n]), table.subject[n] in table.resolution.lost
    own, evidence = table.own[n], table.evidence[n]
    suggestion = table.suggestion.get(n, "")
    current = None
    others = [other for other in table.alternatives[n] if other.node in table.known.level]
    if suggestion not in ("", own, *(other.node for other in others)):
        others.insert(0, Alternative(suggestion, float(table.confidence[n])))
    if blind:
        others = _even(table, own, others)
    shown = [other.node for other in others[:PICKS]]
    paths = Counter(step for node in {own, *shown} for step in table.known.path(node))
    shared = {step for step, count in paths.items() if count > 1}
    if own and not blind:
        likely = float(table.confidence[n])
        current = _place(table, n, is_open, shared, Alternative(own, likely, evidence))
    options = [_place(table, n, is_open, shared, other, blind) for other in others[:PICKS]]
    for option in options:
        own_level = table.known.level[option["node"]] < table.level[n]
        option["answer"] = "same" if is_lost else "merge" if own_level else "move"
    return {
        "row_id": table.row_id[n],
        "kind": _level_name(table, table.level[n] - 1),
        "is_item": is_item,
        "is_lost": is_lost,
        **_named(table, n),
        "why": [] if blind else _why(table, n),
        "pictures": _pictures(table, n, blind),
        "question": _question(table, n),
        "current": current,
        # A node without a parent can be kept as it is.
        "keeps": not (is_item or is_lost or own or blind),
        # Where nothing is proposed, what is known of the row is evidence for no place of its own.
        "facts": evidence_text(evidence, table.known.name) if not own and not blind else [],
        "options": options,
        "members": _members(table, n),
        "group": _group(table, n, in_group),
        "stops": [] if blind or not own else _stops(table, n),
        "levels": [_level_name(table, level) for level in range(table.known.top + 1)],
    }


def describe(table: ReviewRows, node: str) -> dict[str, Any]:
    """A node, its path and its size, as search lists it."""
    return {
        "node": node,
        "name": table.known.name[node],
        "level": _level_name(table, table.known.level[node]),
        "path": _path(table, node),
        "size": table.sizes.get(node, 0),
    }


def name_of(table: ReviewRows, n: int) -> str:
    """A row's subject in words."""
    subject = table.subject[n]
    if not table.is_item[n]:
        lost = table.resolution.lost.get(subject)
        return lost.name if lost else str(table.known.name.get(subject, subject))
    at = table.item_at.get(subject)
    return str(table.items.name.iat[at]) if at is not None else subject


def _why(table: ReviewRows, n: int) -> list[str]:
    reasons, names = table.reasons[n], table.known.distinct_names
    suggestion, others = table.suggestion.get(n, ""), table.alternatives[n]
    doubt = label_issue_text(reasons, suggestion, others, names)
    return doubt + reason_text(reasons, table.known.name)


def _question(table: ReviewRows, n: int) -> str:
    if table.is_item[n]:
        return "Where does it belong?"
    if table.subject[n] in table.resolution.lost:
        return "Which node takes its place?"
    level = table.level[n]
    if level > table.known.top or has_reason([table.reasons[n]], *NAME_REASONS)[0]:
        return f"Is it a {_level_name(table, level - 1)} of its own?"
    return f"Under which {_level_name(table, level)} does it belong?"


def _named(table: ReviewRows, n: int) -> dict[str, str]:
    subject = table.subject[n]
    named = {"name": name_of(table, n), "subject": subject, "address": "", "qualifier": ""}
    if table.is_item[n]:
        at = table.item_at.get(subject)
        if at is not None:
            item = table.items.iloc[at]
            address = str(item.get("source_url") or "")
            # Only an address a browser may follow; metadata could hold anything.
            named["address"] = address if address.startswith(("http://", "https://")) else ""
            qualifier = item.get("qualifier")
            named["qualifier"] = clean_cell(str(qualifier)) if pd.notna(qualifier) else ""
    elif qid := table.known.qid.get(subject):
        named["address"] = f"https://www.wikidata.org/wiki/{qid}"
    return named


def _level_name(table: ReviewRows, level: int) -> str:
    return table.setup.levels[level].replace("_", " ")


def _path(table: ReviewRows, node: str) -> list[dict[str, str]]:
    known = table.known
    return [
        {"node": step, "name": known.name[step], "level": _level_name(table, known.level[step])}
        for step in known.path(node)
    ]


def _place(
    table: ReviewRows,
    n: int,
    is_open: NDArray[np.bool_],
    shared: Container[str],
    at: Alternative,
    blind: bool = False,
) -> dict[str, Any]:
    known = table.known
    return {
        **describe(table, at.node),
        "likely": None if blind or at.confidence is None else round(at.confidence, 3),
        "evidence": [] if blind else evidence_text(at.evidence, known.name, known.path(at.node)),
        "siblings": _siblings(table, n, at.node, is_open, shared),
    }


def _even(table: ReviewRows, own: str, others: list[Alternative]) -> list[Alternative]:
    """The candidates so that none shows which of them is the proposal: one level, by name."""
    top = min((table.known.level[other.node] for other in others), default=1)
    path = table.known.path(own)
    raised = next((node for node in path if table.known.level[node] >= top), "")
    nodes = [raised, *(other.node for other in others)]
    nodes = [node for node in dict.fromkeys(nodes) if node][:PICKS]
    if len(nodes) < 2:  # one alone would give the proposal away
        return []
    nodes.sort(key=lambda node: (table.known.name[node].casefold(), node))
    return [Alternative(node) for node in nodes]


def _siblings(
    table: ReviewRows, n: int, node: str, is_open: NDArray[np.bool_], shared: Container[str]
) -> list[dict[str, Any]]:
    """What already stands there and resembles the row most.

    Items right under the node come first, then those of wider nodes that no other option is in.
    """
    if not table.is_item[n]:
        below = [other for other in table.known.children(node) if other != table.subject[n]]
        below.sort(key=lambda other: (-table.sizes.get(other, 0), other))
        return [{"name": table.known.name[other]} for other in below[:SIBLINGS]]
    named: dict[str, int] = {}  # the same place may stand in train and index
    for step in table.known.path(node):
        if step in shared or len(named) == SIBLINGS:
            break
        there = np.array(_below(table, step, _COMPARED), dtype=np.int64)
        for other in _nearest(table, n, there[~is_open[there] & (there != n)].tolist()):
            named.setdefault(name_of(table, other), other)
            if len(named) == SIBLINGS:
                break
    return [{"name": name, "picture": _first_picture(table, m)} for name, m in named.items()]


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


def _members(table: ReviewRows, n: int) -> dict[str, Any] | None:
    """The items that a decision on a node settles."""
    if table.is_item[n] or table.subject[n] in table.resolution.lost:
        return None
    rows = _below(table, table.subject[n], SHOWN_OF_GROUP)
    return {
        "size": table.sizes.get(table.subject[n], 0),
        "examples": [name_of(table, row) for row in rows],
    }


def _below(table: ReviewRows, node: str, at_most: int) -> list[int]:
    rows, nodes = list[int](), [node]
    while nodes and len(rows) < at_most:
        first = nodes.pop(0)
        rows += table.members.get(first, [])[: at_most - len(rows)]
        nodes += table.known.children(first)
    return rows


def _group(table: ReviewRows, n: int, rows: list[int]) -> dict[str, Any] | None:
    if len(rows) < 2:
        return None
    shown = [n, *(row for row in rows if row != n)][:SHOWN_OF_GROUP]
    return {"size": len(rows), "examples": [name_of(table, row) for row in shown]}


def _stops(table: ReviewRows, n: int) -> list[dict[str, str]]:
    """Nodes of the path at which a row can stop: above its own class for an item."""
    lowest = 2 if table.is_item[n] else 1
    path = _path(table, table.own[n])
    return [step for step in path if table.known.level[step["node"]] >= lowest]


def _pictures(table: ReviewRows, n: int, blind: bool) -> list[dict[str, str]]:
    if table.is_item[n]:
        name, item = name_of(table, n), table.subject[n]
        images = table.images_of(item)[:PICTURES]
        return [
            {
                "item": item,
                "image": image,
                "online": table.setup.online_image(image),
                "alt": f"{name}, picture {k}",
                "note": _picture_note(table, item, image, blind),
            }
            for k, image in enumerate(images, start=1)
        ]
    rows = _below(table, table.subject[n], PICTURES)
    return [picture for row in rows if (picture := _first_picture(table, row))]


def _picture_note(table: ReviewRows, item: str, image: str, blind: bool) -> str:
    other = table.image_issues.get((item, image))
    if other is None:
        return ""
    named = "" if blind else table.known.name.get(other, "")
    return f"looks more like {named}" if named else "unlike the other pictures"


def _first_picture(table: ReviewRows, n: int) -> dict[str, str] | None:
    images = table.images_of(table.subject[n])
    if not images:
        return None
    return {
        "item": table.subject[n],
        "image": images[0],
        "online": table.setup.online_image(images[0]),
        "alt": name_of(table, n),
    }
