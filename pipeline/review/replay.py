"""Replay: proposals and decisions together, as a pure function."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.errors import InputError
from pipeline.review.decisions import Checker, Decision, Sorted
from pipeline.review.known import KnownNodes, check_proposals, fold
from pipeline.tables import DECISION_COLUMNS

#: Statuses of rows that a decision gave (others come from the proposals).
PROPOSED, EXCLUDED, MERGED = "proposed", "excluded", "merged"


@dataclass(frozen=True)
class Resolution:
    """Proposals after the decisions.

    Attributes:
        rows: the proposals, in their order, `parent, status, origin, confidence, accepted,
            reasons, suggestion, evidence` as decided, and three columns more: `state` (`accepted`
            without a decision, `settled` by one, `open`), `unsure`, and `own`, the row's own
            parent. An item's `parent` is where it finally hangs, which is above its own where a
            decision stops there, and blank where one excludes it.
        nodes: every node after the decisions: `node_id, level, name, parent_id, qid` (blank
            `parent_id` at the top and where nothing is known); merged nodes are not among them.
        merged: where each merged node went.
        effective, stale, gone: decisions that are applied, that wait for a new look because their
            evidence has changed, and whose subject is not in the data any more; `DECISION_COLUMNS`
            with `file` and `row`.
    """

    rows: pd.DataFrame
    nodes: pd.DataFrame
    merged: dict[str, str]
    effective: pd.DataFrame
    stale: pd.DataFrame
    gone: pd.DataFrame

    @property
    def report(self) -> dict[str, int]:
        """Counts: `rows = accepted + settled + open`, and decisions by what became of them."""
        states = self.rows.state.value_counts()
        return {
            "rows": len(self.rows),
            **{state: int(states.get(state, 0)) for state in ("accepted", "settled", "open")},
            "decisions_effective": len(self.effective),
            "decisions_stale": len(self.stale),
            "decisions_gone": len(self.gone),
        }


def replay(
    decisions: pd.DataFrame, proposals: pd.DataFrame, vocabulary: pd.DataFrame
) -> Resolution:
    """Applies decisions to proposals. The order of the decisions' rows does not matter.

    - `keep`: the parent is right (a blank target keeps the proposed one, else the suggestion).
    - `move`: the target is the parent. A target further up takes the main child on each level
      between: the child with the target's own Wikidata id, else with its name, else a general node
      `<level>/<target>.general` made for it.
    - `merge`: the target takes over the subject's children; the subject's id goes on standing for
      the target in other decisions.
    - `rename`: the node's new name; its row stays as open as it was.
    - `stop`: no finer than the target (blank: the proposed parent; for an item, that one's
      parent): what is below hangs directly there, with the levels between blank.
    - `exclude`: the subject and all below it are set aside.
    - `unsure`: the row stays open, at the end of the sheet.

    A decision on a class settles its items too (an item's confidence is that of its label above
    the class), unless an item's own decision is stale or unsure. What a person decided has
    confidence 1 and origin `human`.

    Args:
        decisions: from `read_ledger`, in any order.
        proposals: the table `proposals`.
        vocabulary: all known nodes, `node_id, level, name, parent_id, qid`.

    Raises:
        InputError: everything that is wrong with the decisions, see `pipeline.review.decisions`.
    """
    known = KnownNodes(vocabulary)
    check_proposals(proposals, known)
    by_row = proposals.set_index("row_id", drop=False)
    found = Checker(known, by_row, by_row.parent).sort(decisions)
    if found.problems:
        raise InputError(found.problems)

    place = {d.subject: d for d in found.effective if d.aspect == "place"}
    for decision in found.effective:
        if decision.decision == "rename":
            known.name[decision.subject] = decision.target
            known.add_name(decision.subject, decision.target)
    merged = _merged(place)
    placer = _Placer(known, place, merged)
    placer.place_nodes(by_row[by_row.level > 1])

    rows = _decided_rows(by_row.reset_index(drop=True), known, place, merged, found, placer)
    nodes = pd.DataFrame(
        [
            (node, level, known.name[node], known.parent[node] or None, known.qid[node] or None)
            for node, level in sorted(known.level.items(), key=lambda pair: (pair[1], pair[0]))
            if node not in merged
        ],
        columns=["node_id", "level", "name", "parent_id", "qid"],
    )
    return Resolution(
        rows=rows,
        nodes=nodes,
        merged=merged,
        effective=_frame(found.effective),
        stale=_frame(found.stale),
        gone=_frame(found.gone),
    )


def _merged(place: dict[str, Decision]) -> dict[str, str]:
    """Where each merged node ends; circles have been refused."""
    step = {node: d.target for node, d in place.items() if d.decision == "merge"}
    ends = {}
    for node in step:
        end = step[node]
        while end in step:
            end = step[end]
        ends[node] = end
    return ends


class _Placer:
    """Puts nodes where the decisions say, from the top level down."""

    def __init__(
        self, known: KnownNodes, place: dict[str, Decision], merged: dict[str, str]
    ) -> None:
        self._known, self._place, self._merged = known, place, merged
        self._found: dict[tuple[str, int], str] = {}

    def place_nodes(self, rows: pd.DataFrame) -> None:
        """Sets every node's parent: the decided one, else the proposed, else the vocabulary's."""
        known = self._known
        known.parent.update(zip(rows.subject, rows.parent.fillna(""), strict=True))
        for level in range(known.top - 1, 0, -1):
            for node in [node for node, own in known.level.items() if own == level]:
                decision = self._place.get(node)
                target = known.parent[node]
                if decision and decision.decision in {"keep", "move"}:
                    target = self.main_child(decision.target, level + 1)
                known.parent[node] = self._merged.get(target, target)

    def main_child(self, target: str, level: int) -> str:
        """The node of `level` that stands for `target`, which is at that level or above.

        Levels from `level` up have their parents by now, so what is found once stays right.
        """
        key = target, level
        if key not in self._found:
            target = self._merged.get(target, target)
            while self._known.level[target] > level:
                target = self._child(target)
            self._found[key] = target
        return self._found[key]

    def _child(self, target: str) -> str:
        known, below = self._known, self._known.level[target] - 1
        children = [
            node
            for node, level in known.level.items()
            if level == below and known.parent[node] == target
            if node not in self._merged and not self._left_out(node)
        ]
        same_qid = [n for n in children if known.qid[n] and known.qid[n] == known.qid[target]]
        same_name = [n for n in children if fold(known.name[n]) == fold(known.name[target])]
        if same_qid or same_name:
            return min(same_qid or same_name)
        made = f"{below}/{target.split('/', 1)[-1]}.general"
        known.level[made], known.name[made] = below, known.name[target]
        known.parent[made], known.qid[made] = target, ""
        return made

    def _left_out(self, node: str) -> bool:
        decision = self._place.get(node)
        return decision is not None and decision.decision in {"stop", "exclude"}


def _ends(known: KnownNodes, place: dict[str, Decision], merged: dict[str, str]) -> dict[str, str]:
    """For each node, where something that hangs on it finally hangs; "" if it is excluded."""
    ends = {}
    for node in known.level:
        end = step = merged.get(node, node)
        while step:
            decision = place.get(step)
            word = decision.decision if decision else ""
            if word == "exclude":
                end = ""
                break
            if decision and word == "stop":
                end = step = merged.get(decision.target, decision.target)
            else:
                step = known.parent[step]
        ends[node] = end
    return ends


def _decided_rows(
    rows: pd.DataFrame,
    known: KnownNodes,
    place: dict[str, Decision],
    merged: dict[str, str],
    found: Sorted,
    placer: _Placer,
) -> pd.DataFrame:
    rows = rows.copy()
    for column in ("parent", "reasons", "suggestion", "alternatives", "evidence", "origin"):
        rows[column] = rows[column].fillna("").astype(object)
    rows["status"] = rows.status.astype(object)
    proposed = rows.parent.to_numpy(copy=True)
    at = pd.Index(rows.row_id)
    accepted = rows.accepted.to_numpy(dtype=bool, copy=True)
    settled, unsure = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    reopened = np.zeros(len(rows), bool)
    parent, status = rows.parent.to_numpy(copy=True), rows.status.to_numpy(copy=True)
    reasons, suggestion = rows.reasons.to_numpy(copy=True), rows.suggestion.to_numpy(copy=True)
    evidence = rows.evidence.to_numpy(copy=True)

    # One pass over the decisions; everything per row below is vectorised.
    decided = list(place.values())
    for n, decision in zip(at.get_indexer([d.row_id for d in decided]), decided, strict=True):
        if n < 0:
            continue
        word, is_node = decision.decision, decision.subject in known.level
        if word == "unsure":
            unsure[n] = True
            reasons[n] = _join(reasons[n], "unsure")
            continue
        settled[n] = True
        if word == "exclude":
            parent[n], status[n] = "", EXCLUDED
        elif word == "merge":
            parent[n], status[n] = "", MERGED
        elif is_node:
            parent[n], status[n] = known.parent[decision.subject], PROPOSED
        elif word == "stop":
            parent[n], status[n] = decision.target, PROPOSED
        else:
            parent[n], status[n] = placer.main_child(decision.target, 1), PROPOSED
    stale = at.get_indexer([d.row_id for d in found.stale])
    for n, decision in zip(stale, found.stale, strict=True):
        if settled[n] or decision.decision == "rename":
            continue
        reopened[n] = True
        reasons[n] = _join(reasons[n], "stale_decision")
        if decision.target in known.level:
            suggestion[n] = merged.get(decision.target, decision.target)
        told = f"{decision} on {decision.decided_at}, on evidence that has changed since"
        evidence[n] = f"{evidence[n]}; {told}" if evidence[n] else told

    # A decision on a class (its row is one level up) settles the items that were proposed for it.
    class_rows = settled & (rows.level == 2).to_numpy()
    classes = set(rows.subject[class_rows])
    items = (rows.level == 1).to_numpy()
    taken = pd.Series(proposed).map(lambda node: merged.get(node, node)).isin(classes)
    taken |= pd.Series(proposed).isin(classes)
    settled |= items & taken.to_numpy() & ~unsure & ~reopened

    own = pd.Series(parent).map(lambda node: merged.get(node, node)).to_numpy(dtype=object)
    ends = _ends(known, place, merged)
    final = pd.Series(parent).map(lambda node: ends.get(node, "")).to_numpy(dtype=object)
    status[items & (parent != "") & (final == "")] = EXCLUDED

    accepted = (accepted | settled) & ~unsure & ~reopened
    rows["own"], rows["parent"], rows["status"] = own, np.where(items, final, own), status
    rows["reasons"], rows["suggestion"], rows["evidence"] = reasons, suggestion, evidence
    rows["origin"] = np.where(settled, "human", rows.origin)
    rows["confidence"] = np.where(settled, np.float32(1), rows.confidence.astype("float32"))
    rows["accepted"], rows["unsure"] = accepted, unsure
    rows["state"] = np.where(settled, "settled", np.where(accepted, "accepted", "open"))
    return rows


def _join(reasons: str, more: str) -> str:
    return "|".join([*filter(None, reasons.split("|")), more])


def _frame(decisions: list[Decision]) -> pd.DataFrame:
    columns = [*DECISION_COLUMNS, "file", "row"]
    records = [
        (
            d.row_id,
            d.subject,
            d.level,
            d.decision,
            d.target,
            d.reviewer,
            d.note,
            d.decided_at,
            d.evidence_hash,
            d.where,
            d.row,
        )
        for d in decisions
    ]
    return pd.DataFrame(records, columns=columns)
