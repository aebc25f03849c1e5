"""One open row, or a grid of look-alikes, as the page shows it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from strata_labels.evidence import NAME_REASONS, has_reason
from strata_labels.evidence_text import label_issue_text, reason_text
from strata_labels.people_csv import clean_cell
from strata_labels.review.page.naming import (
    first_picture,
    level_name,
    name_of,
    path_of,
    picture,
)
from strata_labels.review.page.places import choices, other_facts, place_card, rows_below
from strata_labels.review.page.review_rows import ReviewRows

#: For a group whose likeliest place is less likely than this in the mean, no place is proposed: one
#: answer would be wrong for most of it.
GROUP_SURE = 0.5
#: Pictures of a row, and examples of what a decision on a node settles, at most.
PICTURES, EXAMPLES = 6, 10


def card(
    table: ReviewRows, rows: list[int], blind: bool, alike: int, is_open: NDArray[np.bool_]
) -> dict[str, Any]:
    """What a curator sees of a row, or of a group of rows.

    Args:
        table: all rows.
        rows: the row, or the rows of a group in the order to show them.
        blind: leave out what is proposed, and everything that hints at it.
        alike: how many open rows the first one can be decided with, itself among them.
        is_open: rows that are still to be decided, `[num_rows]`: no examples of anything.
    """
    n = rows[0]
    is_item, is_lost = bool(table.is_item[n]), table.subject[n] in table.resolution.lost
    own, suggestion = table.own[n], table.suggestion.get(n, "")
    found = choices(table, rows, blind)
    shown = [choice.node for choice in found]
    places = [place_card(table, n, choice, shown, is_open, blind) for choice in found]
    return {
        "row_id": table.row_id[n],
        "kind": level_name(table, table.level[n] - 1),
        "is_item": is_item,
        "is_lost": is_lost,
        **_named(table, n),
        "why": [] if blind else _why(table, n),
        "pictures": _pictures(table, n, blind),
        "question": _question(table, n),
        "places": places,
        # Enter answers with the first place, if anything is proposed at all.
        "enter": bool(places)
        and not blind
        and bool(own or (is_item and suggestion))
        and (len(rows) == 1 or (found[0].likely or 0) >= GROUP_SURE),
        # A node without a parent can be kept as it is.
        "keeps": not (is_item or is_lost or own or blind),
        "facts": [] if blind else [*_description(table, n), *other_facts(table, n, shown)],
        "members": _members(table, n),
        "alike": alike,
        "grid": [_tile(table, row, blind, shown[:1]) for row in rows] if len(rows) > 1 else None,
        "stops": [] if blind or not own else _stops(table, n),
        "levels": [level_name(table, level) for level in range(table.known.top + 1)],
    }


def _tile(table: ReviewRows, n: int, blind: bool, first: list[str]) -> dict[str, Any]:
    """A row of a group: its name or picture, and its own place where that is another one."""
    own = table.own[n]
    other = own and not blind and own not in first
    return {
        "row_id": table.row_id[n],
        **_named(table, n),
        "pictures": _pictures(table, n, blind),
        "place": table.known.name[own] if other else "",
    }


def _description(table: ReviewRows, n: int) -> list[str]:
    text = table.resolution.text.get(table.subject[n], "")
    return [f"What belongs to it: {text}"] if text else []


def _why(table: ReviewRows, n: int) -> list[str]:
    reasons, names = table.reasons[n], table.distinct_names
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
        return f"Is it a {level_name(table, level - 1)} of its own?"
    return f"Under which {level_name(table, level)} does it belong?"


def _named(table: ReviewRows, n: int) -> dict[str, str]:
    subject = table.subject[n]
    named = {"name": name_of(table, n), "subject": subject, "address": "", "qualifier": ""}
    if table.is_item[n]:
        at = table.item_at.get(subject)
        if at is not None:
            address = table.item_cells["source_url"][at]
            # Only an address a browser may follow; metadata could hold anything.
            named["address"] = address if address.startswith(("http://", "https://")) else ""
            named["qualifier"] = clean_cell(table.item_cells["qualifier"][at])
    elif qid := table.known.qid.get(subject):
        named["address"] = f"https://www.wikidata.org/wiki/{qid}"
    return named


def _members(table: ReviewRows, n: int) -> dict[str, Any] | None:
    """The items that a decision on a node settles."""
    if table.is_item[n] or table.subject[n] in table.resolution.lost:
        return None
    rows = rows_below(table, table.subject[n], EXAMPLES)
    return {
        "size": table.sizes.get(table.subject[n], 0),
        "examples": [name_of(table, row) for row in rows],
    }


def _stops(table: ReviewRows, n: int) -> list[dict[str, str]]:
    """Nodes of the path at which a row can stop: above its own class for an item."""
    lowest = 2 if table.is_item[n] else 1
    path = path_of(table, table.own[n])
    return [step for step in path if table.known.level[step["node"]] >= lowest]


def _pictures(table: ReviewRows, n: int, blind: bool) -> list[dict[str, str]]:
    if table.is_item[n]:
        name, item = name_of(table, n), table.subject[n]
        return [
            picture(table, n, image, f"{name}, picture {k}")
            | {"note": _picture_note(table, item, image, blind)}
            for k, image in enumerate(table.images_of(item)[:PICTURES], start=1)
        ]
    rows = rows_below(table, table.subject[n], PICTURES)
    return [found for row in rows if (found := first_picture(table, row))]


def _picture_note(table: ReviewRows, item: str, image: str, blind: bool) -> str:
    other = table.image_issues.get((item, image))
    if other is None:
        return ""
    named = "" if blind else table.known.name.get(other, "")
    return f"looks more like {named}" if named else "unlike the other pictures"
