"""Editing the tree on the page: what is shown of a node, what an edit changes, recording it."""

from __future__ import annotations

from typing import Any

from strata_labels.people_csv import clean_cell
from strata_labels.review.decisions import Decision
from strata_labels.review.ledger import ledger_lines
from strata_labels.review.page.answers import Refused
from strata_labels.review.page.desk import Desk
from strata_labels.review.page.naming import describe, level_name, path_of
from strata_labels.review.page.review import TRIED
from strata_labels.review.page.review_rows import ReviewRows
from strata_labels.review.tree_edits import change_lines, tree_change

#: What can be decided on a node of the tree.
EDITS = ("create", "rename", "describe", "move", "merge", "split")

#: Items of a node, and nodes found, that are listed at most.
LISTED = 50


def shown_node(desk: Desk, node: str, text: str = "", word: str = "") -> dict[str, Any]:
    """A node and what is right below it; the top nodes for none.

    Args:
        desk: of who looks.
        node: its id; "" for the whole tree.
        text: also look for nodes with these beginnings of words.
        word: `move` or `merge`: only for those that the node can be moved to or merged into.
    """
    review = desk.review
    with review.lock:
        review.catch_up()
        table = review.table
        known, tree = table.known, table.resolution.tree
        own = tree.level.get(node, 0)
        levels = {"move": range(own + 1, tree.top + 1), "merge": range(own, own + 1)}
        wanted = levels.get(word, range(1, tree.top + 1))
        found = review.search.nodes(text, wanted, node)
        if word and not text.strip():
            found = [one for one in tree.level if tree.level[one] in wanted and one != node]
            found.sort(key=lambda one: (-table.sizes.get(one, 0), tree.path_name(one)))
        below = [child for child in tree.children(node) if tree.level.get(child, 0) > 0]
        return {
            "node": None if node not in tree.level else {
                **describe(table, node),
                "level_number": own,
                "text": table.resolution.text.get(node, ""),
                "top": own == tree.top,
                "above": path_of(table, node)[1:],
                "kinds": [level_name(table, level) for level in range(own + 1)],
            },
            "below": [describe(table, child) for child in below],
            "items": _items_of(table, node) if own == 1 else [],
            "found": [describe(table, one) for one in found if one in known.level][:LISTED],
        }  # fmt: skip


def preview_edit(desk: Desk, node: str, word: str, target: str) -> dict[str, Any]:
    """What an edit would change, without recording it.

    Returns:
        `lines`, sentences; `items`: how many items have another node, at the level with the most.

    Raises:
        Refused: the edit cannot be.
    """
    with desk.review.lock:
        desk.review.catch_up()
        _, change, lines = _tried(desk, node, word, target, "")
        return {"lines": lines, "items": max(change, default=0)}


def record_edit(desk: Desk, state: str, node: str, word: str, target: str, note: str) -> str:
    """Records an edit, on the disk when this returns, and loads the tree with it.

    `word` is one of `EDITS`; its `target` is as `Decision.target` says.

    Returns:
        What was recorded, as a sentence.

    Raises:
        Stale: somebody else has decided since.
        Refused: the edit cannot be.
        RetryError: the disk refused.
    """
    return desk.edit(
        state, ("edit", node, word, target, note), lambda: _tried(desk, node, word, target, note)[0]
    )


def _tried(
    desk: Desk, node: str, word: str, target: str, note: str
) -> tuple[Decision, list[int], list[str]]:
    """An edit as a decision, how many items would move by level, and what would change.

    Raises:
        Refused: the edit cannot be.
    """
    table = desk.review.table
    if desk.blind:
        raise Refused("The tree is not edited in a blind review.")
    if word not in EDITS or node not in table.resolution.tree.level:
        raise Refused(f"The page cannot {word} {node!r}." if node else "Choose a node first.")
    before = table.resolution
    level = before.tree.level[node] + 1
    checked = desk.check.decision(node, level, word, clean_cell(target), note)
    after = desk.check.tried(ledger_lines([checked]))
    if (after.disputed.file == TRIED).any():
        dispute = ["Another reviewer has decided otherwise: both would be shown as a dispute, and "
                "neither would count."]  # fmt: skip
        return checked, [], dispute
    change = tree_change(before, after)
    said = change_lines(change, before.tree, after.tree, table.setup.levels)
    return checked, list(change.items.values()), said


def _items_of(table: ReviewRows, node: str) -> list[dict[str, str]]:
    """Some items right below a node, by name."""
    rows = table.resolution.rows
    items = rows.subject[(rows.level == 1) & (rows.parent == node)].head(LISTED)
    names = [(str(table.items.name.iat[table.item_at[item]]), item) for item in items]
    return [{"node": item, "name": name} for name, item in sorted(names)]
