"""Edits of the tree: what a decision would change, and what nobody can decide any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass

import pandas as pd

from strata_labels.errors import Problem
from strata_labels.review.apply import Resolution
from strata_labels.review.decisions import OF_PLACEHOLDERS, WITHDRAW, Decision
from strata_labels.tree import LabelTree, diff

_Count = Counter[tuple[str, str]]


@dataclass(frozen=True)
class TreeChange:
    """What decisions change.

    Attributes:
        items: by level, how many items have another node there, or none any more.
        moves: for each level the nodes that items leave and reach, with the number of items:
            `level, before, after, items`, ids; "" for no node. The largest number first.
        nodes: the nodes that are added, removed, renamed or moved, see `strata_labels.tree.diff`.
    """

    items: dict[int, int]
    moves: pd.DataFrame
    nodes: pd.DataFrame


def tree_change(before: Resolution, after: Resolution) -> TreeChange:
    """What became different between two replays of the same proposals."""
    then = before.rows.loc[before.rows.level == 1].set_index("subject").parent
    now = after.rows.loc[after.rows.level == 1].set_index("subject").parent
    pairs = Counter(zip(then, now.reindex(then.index), strict=True))
    moved: dict[int, _Count] = {level: Counter() for level in range(1, after.known.top + 1)}
    for (one, other), number in pairs.items():
        path = {before.tree.level[node]: node for node in before.tree.path(one)}
        path_now = {after.tree.level[node]: node for node in after.tree.path(other)}
        for level, found in moved.items():
            ends = path.get(level, ""), path_now.get(level, "")
            if ends[0] != ends[1]:
                found[ends] += number
    rows = [
        (level, *ends, number)
        for level, found in moved.items()
        for ends, number in sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    ]
    return TreeChange(
        items={level: sum(found.values()) for level, found in moved.items()},
        moves=pd.DataFrame(rows, columns=["level", "before", "after", "items"]),
        nodes=diff(before.tree, after.tree).changes,
    )


def change_lines(
    change: TreeChange, before: LabelTree, after: LabelTree, levels: Sequence[str]
) -> list[str]:
    """A change in words: items by level with the largest moves, then the nodes.

    Args:
        change: from `tree_change`.
        before, after: the trees.
        levels: names of the levels, the item's first.
    """
    lines = []
    for level, number in sorted(change.items.items()):
        if not number:
            continue
        items = f"{number:,} item{'s' if number > 1 else ''}"
        lines.append(f"{_words(levels[level])}: {items} would change")
        moves = change.moves[change.moves.level == level]
        for one, other, count in moves[["before", "after", "items"]].values[:_SHOWN]:
            left, reached = before.path_name(one) or "no place", after.path_name(other)
            lines.append(f"{count:,} from {left} to {reached or 'no place'}")
        if len(moves) > _SHOWN:
            lines.append(f"and {len(moves) - _SHOWN:,} smaller moves")
    for kind, level, node, was, now in change.nodes.head(_SHOWN).itertuples(index=False):
        name = before.name.get(node) or after.name[node]
        end = {
            "added": f"would be new, under {now}",
            "removed": "would not be there any more",
            "renamed": f"would be called {now}",
            "moved": f"would be under {now or 'nothing'}, not under {was or 'nothing'}",
        }[kind]
        lines.append(f"{name} ({_words(levels[level])}) {end}")
    if len(change.nodes) > _SHOWN:
        lines.append(f"and {len(change.nodes) - _SHOWN:,} more nodes")
    return lines or ["No item and no node would move."]


_SHOWN = 8


def _words(level: str) -> str:
    return level.replace("_", " ")


class EditCheck:
    """Says why a decision that is being made cannot be meant, though a ledger may hold it.

    A ledger is replayed as it is: a name given before a merge stays without effect. Whoever gives
    it afterwards has an old sheet or page, and is told.

    Args:
        found: the tree and the ledger of now.
        making: nodes that are made together with what is checked.
    """

    def __init__(self, found: Resolution, making: Container[str] = ()) -> None:
        self._found, self._making = found, making
        self._known = {(d.subject, d.reviewer, d.outcome) for d in found.read}
        self._made = {d.made for d in found.read}
        self._words = found.placeholders
        self._gone = found.known.level.keys() - found.tree.level.keys() - found.merged.keys()

    def problem(self, decision: Decision) -> Problem | None:
        """What is wrong with a decision that `Checker.check` has found right, if anything."""
        word, subject, target = decision.decision, decision.subject, decision.target
        found, wrong = self._found, decision.problem
        if (subject, decision.reviewer, decision.outcome) in self._known:
            return None  # it is in the ledger already
        if word == "split" and not decision.members and decision.level <= found.known.top:
            fix = "Name its members, name|member|member; a node alone is created below its parent."
            return wrong("a split without members:", fix, "target", target)
        if decision.made in found.known.level and decision.made not in self._made:
            fix = f"Decide on {decision.made}."
            return wrong("the node exists already:", fix, "target", target)
        if word == WITHDRAW or subject in found.lost:
            return None
        # A kept word may have a name, but its place is that of its items.
        idle = decision.aspect == "place" or not self._words.get(subject, True)
        if subject in self._words and idle and word not in OF_PLACEHOLDERS:
            fix = "Decide keep (it is a class), merge (it is another class) or exclude."
            return wrong("no decision on a word for a missing label:", fix, "decision", word)
        if decision.aspect != "place" and (other := found.merged.get(subject)):
            fix = f"Decide on {other}, or take the merge back first."
            return wrong("the node was merged into another one:", fix, "row_id", other)
        for column, node in (("row_id", subject), ("target", target)):
            if node in self._gone and node not in self._making:
                fix = "Create it again first, or name another node."
                return wrong("the decision that made the node was taken back:", fix, column, node)
        return None
