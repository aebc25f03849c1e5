"""Carries decisions over to data whose ids have changed.

Nodes were renamed or removed, levels added, or items stand under another data set's name.
An id that is still there is kept. An item is found by its own id and unchanged evidence. A node is
found by the last step of its id, which stands for its name; where that is not certain the node is
lost, and a decision `same` on it says which node takes its place.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote

import pandas as pd

from strata_labels.evidence import Evidence, Seen, evidence_hash, read_seen, same_hash, write_seen
from strata_labels.review.decisions import (
    MAKES_NODE,
    SAME,
    Decision,
    active_decisions,
    join_members,
    order,
    split_members,
)
from strata_labels.tree import LabelTree

_NODE = re.compile(r"[1-9][0-9]?/.+", re.DOTALL)
#: Decisions whose target is a node.
_NAMES_NODE = {"keep", "move", "merge", "stop", SAME}


class LostNode(NamedTuple):
    """A node that decisions name and that is not in the tree any more.

    Attributes:
        name: as far as the id says it.
        level: its level, at most the highest of the tree.
        decisions: how many decisions name it.
        candidates: nodes of the tree with its name.
    """

    name: str
    level: int
    decisions: int
    candidates: tuple[str, ...]

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What is shown of it for review."""
        return (Evidence("lost_node", value=float(self.decisions)),)


@dataclass(frozen=True)
class CarriedOver:
    """Decisions with the ids of now.

    Attributes:
        decisions: in the order given.
        lost: the nodes they name that are not there any more, by id.
        renamed: id of now by former id, of the nodes that were found.
    """

    decisions: list[Decision]
    lost: dict[str, LostNode] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)


def carry_over(read: list[Decision], tree: LabelTree, rows: pd.DataFrame) -> CarriedOver:
    """Finds what decisions name in the data of now.

    Args:
        read: decisions, as written.
        tree: all nodes.
        rows: proposals by `row_id`; with `evidence_hash`, where they are known.
    """
    read = _with_items(read, rows)
    known = {*tree.level, *made_nodes(tree.level, read)}
    hashes: dict[str, str] = {}
    if "evidence_hash" in rows:
        hashes = dict(zip(rows.index, rows["evidence_hash"].fillna(""), strict=True))
    if all(_nodes(decision, hashes) <= known for decision in read):
        return CarriedOver(read)
    named: Counter[str] = Counter()
    for decision in active_decisions(read)[0]:
        for node in _nodes(decision, hashes) - known:
            named[node] += decision.decision != SAME
    by_name = _by_name(tree.level)
    renamed: dict[str, str] = {}
    lost: dict[str, LostNode] = {}
    for node in sorted(named):
        if general := _general(node, tree):
            renamed[node] = general
            continue
        found = by_name.get(_name(node), [])
        alike = [other for other in found if tree.level[other] == _level(node)]
        # At another level only if the number of levels has changed.
        alike = alike or [other for other in found if _depth(other) != _depth(node)]
        # Below a parent that is still there, the node was removed or moved: people have to say.
        if len(alike) == 1 and _parent(node) not in tree.level:
            renamed[node] = alike[0]
        else:
            level = min(_level(node), tree.top)
            lost[node] = LostNode(_readable(node), level, named[node], tuple(alike))
    renamed, levels = follow_made(read, renamed, tree.level)
    lost = {node: found for node, found in lost.items() if node not in renamed}
    return CarriedOver([rename_nodes(d, renamed, levels) for d in read], lost, renamed)


def follow_made(
    decisions: Sequence[Decision], renamed: Mapping[str, str], level: Mapping[str, int]
) -> tuple[dict[str, str], dict[str, int]]:
    """Nodes that decisions make, renamed with the node whose id theirs has in it.

    Returns:
        `renamed` and `level` with these.
    """
    found, levels = dict(renamed), dict(level)
    while makes := [d for d in decisions if d.subject in found and d.made and d.made not in found]:
        for decision in makes:
            now = rename_nodes(decision, found, levels)
            found[decision.made] = now.made
            levels[now.made] = now.level - 1 if now.decision == "split" else now.level - 2
    return found, levels


def made_nodes(level: Mapping[str, int], decisions: Iterable[Decision]) -> dict[str, Decision]:
    """The nodes that decisions make, by id, also those of decisions that are not active.

    What people move to such a node stays there whatever becomes of the decision.

    Args:
        level: of the nodes that are there without them.
        decisions: in any order; one may be on a node that another makes.
    """
    left = sorted((d for d in decisions if d.made and d.level > 1), key=order)
    found: dict[str, Decision] = {}
    while fitting := [d for d in left if d.subject in level or d.subject in found]:
        for decision in fitting:
            if decision.decision == "split" or decision.level > 2:
                found[decision.made] = decision
        done = {id(decision) for decision in fitting}
        left = [decision for decision in left if id(decision) not in done]
    return found


def rename_nodes(
    decision: Decision, renamed: Mapping[str, str], level: Mapping[str, int]
) -> Decision:
    """A decision that names nodes by other ids.

    Args:
        decision: the decision.
        renamed: new id by former id.
        level: of the new ids.
    """
    seen = read_seen(decision.seen)
    if seen is not None:
        now = _renamed_seen(seen, renamed)
        decision = decision._replace(seen=decision.seen if now == seen else write_seen(now))
    if decision.decision in MAKES_NODE:
        name, *members = split_members(decision.target)
        target = join_members(name, (renamed.get(member, member) for member in members))
    else:
        target = renamed.get(decision.target, decision.target)
    subject = renamed.get(decision.subject)
    if subject is None or decision.decision == SAME:
        return decision._replace(target=target)
    return decision._replace(subject=subject, target=target, level=level.get(subject, 0) + 1)


def saw_the_same(decision: Decision, digest: str, evidence: Sequence[Evidence]) -> bool:
    """Whether a row whose evidence hash has changed only has other ids or further levels now.

    Only rows of published labels have a hash that node ids go into.

    Args:
        decision: with ids of now.
        digest: the row's evidence hash.
        evidence: of the row.
    """
    seen = read_seen(decision.seen)
    if seen is None or not seen.evidence:
        return False
    if same_hash(evidence_hash(evidence=seen.evidence), digest):
        return True
    before, now = _published(seen.evidence), _published(evidence)
    if same_hash(evidence_hash(published=before), digest):
        return True
    # With a level more, the path has the same nodes and another; an item's own label is the same.
    return (
        0 < len(before) < len(now)
        and {*before} < {*now}
        and (decision.level > 1 or before[0] == now[0])
    )


def _published(evidence: Sequence[Evidence]) -> tuple[str, ...]:
    """The path in evidence that is a published label alone."""
    alone = len(evidence) == 1 and evidence[0].kind == "published"
    return evidence[0].ids if alone else ()


def _renamed_seen(seen: Seen, renamed: Mapping[str, str]) -> Seen:
    evidence = tuple(
        piece._replace(
            node=renamed.get(piece.node, piece.node),
            ids=tuple(renamed.get(one, one) for one in piece.ids),
        )
        for piece in seen.evidence
    )
    return Seen(renamed.get(seen.place, seen.place), evidence)


def _with_items(read: list[Decision], rows: pd.DataFrame) -> list[Decision]:
    """The decisions; items that have another data set's name in front are found by their own id."""
    gone = {
        d.subject
        for d in read
        if d.level == 1 and d.evidence_hash and f"1:{d.subject}" not in rows.index
    }
    if not gone or "evidence_hash" not in rows:
        return read
    own: dict[str, list[str]] = defaultdict(list)
    for row_id in rows.index:
        if row_id.startswith("1:"):
            own[_own_id(row_id[2:])].append(row_id[2:])
    found = []
    for decision in read:
        alike = own.get(_own_id(decision.subject), []) if decision.subject in gone else []
        if len(alike) == 1 and same_hash(
            decision.evidence_hash, str(rows.at[f"1:{alike[0]}", "evidence_hash"])
        ):
            decision = decision._replace(subject=alike[0])
        found.append(decision)
    return found


def _own_id(item: str) -> str:
    return item.partition("/")[2]


def _nodes(decision: Decision, hashes: Mapping[str, str]) -> set[str]:
    """The nodes that a decision needs: subject, target, members, what its reviewer saw."""
    found = set(decision.members)
    if decision.level > 1 and decision.evidence_hash:  # made on a row that was there
        found.add(decision.subject)
    if decision.decision in _NAMES_NODE:
        found.add(decision.target)
    digest = hashes.get(decision.row_id, decision.evidence_hash)
    changed = not same_hash(decision.evidence_hash, digest)
    blank = not decision.target and decision.decision in {"keep", "stop"}
    if (changed or blank) and (seen := read_seen(decision.seen)):
        found.add(seen.place)
        found.update(*(piece.ids for piece in seen.evidence if piece.kind == "published"))
    return {node for node in found if _NODE.fullmatch(node)}


def _general(node: str, tree: LabelTree) -> str:
    """The node of the tree that a general node was made for (see `replay`); "" if it is none."""
    path = node.partition("/")[2]
    for above in range(_level(node) + 1, tree.top + 1):
        if not path.endswith(".general"):
            break
        path = path.removesuffix(".general")
        if f"{above}/{path}" in tree.level:
            return f"{above}/{path}"
    return ""


def _by_name(nodes: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for node in sorted(nodes):
        found[_name(node)].append(node)
    return found


def _level(node: str) -> int:
    return int(node.partition("/")[0])


def _depth(node: str) -> int:
    """Levels of the tree above the items, where an id says so."""
    return _level(node) + node.count("/")


def _name(node: str) -> str:
    return node.rpartition("/")[2].casefold()


def _readable(node: str) -> str:
    return unquote(node.rpartition("/")[2].replace("_", " "))


def _parent(node: str) -> str:
    """The id of the node above, where an id says so: `2/food` of `1/food/tea`."""
    path = node.partition("/")[2].rpartition("/")[0]
    return f"{_level(node) + 1}/{path}" if path else ""
