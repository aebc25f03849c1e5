"""Replay: proposals and decisions together, as a pure function."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd

from strata_labels.errors import InputError
from strata_labels.evidence import Evidence, Reason, read_seen
from strata_labels.review.check import Checker, Sorted
from strata_labels.review.decision import Decision, decisions_frame, seen_of, what_changed
from strata_labels.review.known import KnownNodes, check_proposals
from strata_labels.review.place import Placer, hanging, merged_ends
from strata_labels.tree import LabelTree

#: Statuses of rows that a decision gave (others come from the proposals).
PROPOSED, EXCLUDED, MERGED = "proposed", "excluded", "merged"


@dataclass(frozen=True)
class Resolution:
    """Proposals after the decisions.

    Attributes:
        rows: the proposals, in their order, `parent, status, origin, confidence, accepted,
            reasons, suggestion, evidence` as decided, and four columns more: `state` (`accepted`
            without a decision, `settled` by one, `open`), `unsure`, `proposed` (the parent before
            any decision), and `own`, the row's own parent. An item's `parent` is where it finally
            hangs, which is above its own where a decision stops there, and blank where one excludes
            it.
        nodes: every node after the decisions: `node_id, level, name, parent_id, qid` (blank
            `parent_id` at the top and where nothing is known); merged nodes are not among them.
        merged: where each merged node went.
        effective, disputed, stale, gone: decisions that are applied, on which reviewers differ,
            that wait for a new look because their evidence has changed (`changed` says what has),
            and whose subject is not in the data any more; `DECISION_COLUMNS`, `file` and `row`.
    """

    rows: pd.DataFrame
    nodes: pd.DataFrame
    merged: dict[str, str]
    effective: pd.DataFrame
    disputed: pd.DataFrame
    stale: pd.DataFrame
    gone: pd.DataFrame

    @property
    def tree(self) -> LabelTree:
        """The tree of `nodes`."""
        return LabelTree.from_nodes(self.nodes)

    @property
    def report(self) -> dict[str, int]:
        """Counts: `rows = accepted + settled + open`, and decisions by what became of them."""
        states = self.rows.state.value_counts()
        return {
            "rows": len(self.rows),
            **{state: int(states.get(state, 0)) for state in ("accepted", "settled", "open")},
            "decisions_effective": len(self.effective),
            "decisions_disputed": len(self.disputed),
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
    - `split`: a new node beside the subject, named by the target, which takes what is named behind
      it: `name|member|member` (items by id; nodes by id or name). Its id is the subject's with the
      name behind a dot. It stands where the subject stands, and a member's own decision counts
      before the split.
    - `rename`: the node's new name; its row stays as open as it was.
    - `stop`: no finer than the target (blank: the proposed parent; for an item, that one's
      parent): what is below hangs directly there, with the levels between blank.
    - `exclude`: the subject and all below it are set aside.
    - `unsure`: the row stays open, at the end of the sheet.
    - `withdraw`: the same reviewer's decision of the time that is the target, or all before this
      one where it is blank, counts as never made; what was said before that counts again.

    A decision on a class settles its items too (an item's confidence is that of its label above
    the class), unless an item's own decision is stale or unsure. What a person decided has
    confidence 1 and origin `human`. Where reviewers differ, or their decisions cannot hold together
    (merges in a circle, a name twice), nothing of it is applied and the rows are open again with
    both opinions, until one of them decides anew or withdraws.

    Args:
        decisions: from `read_ledger`, in any order.
        proposals: the table `proposals`.
        vocabulary: all known nodes, `node_id, level, name, parent_id, qid`.

    Raises:
        InputError: everything that is wrong with the decisions, see `Checker`.
    """
    known = KnownNodes(vocabulary)
    check_proposals(proposals, known)
    by_row = proposals.set_index("row_id", drop=False)
    # A proposed parent, also none, counts before the vocabulary's.
    above = by_row[by_row.level > 1]
    known.parent.update(zip(above.subject, above.parent.fillna(""), strict=True))
    with _no_collection():
        found = Checker(known, by_row, by_row.parent).sort(decisions)
    if found.problems:
        raise InputError(found.problems)

    place = {d.subject: d for d in found.effective if d.aspect == "place"}
    for decision in found.effective:
        if decision.decision == "rename":
            known.name[decision.subject] = decision.target
    for split in (d for d in found.effective if d.decision == "split"):
        for member in split.members:
            at = known.level.get(member, 0) + 1
            move = split._replace(subject=member, level=at, decision="move", target=split.made)
            place.setdefault(member, move)
    merged = merged_ends(place)
    placer = Placer(known, place, merged, found.made)
    placer.place_nodes()

    proposed = by_row.parent.fillna("")
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
        effective=decisions_frame(found.effective),
        disputed=decisions_frame([d for group in found.disputed for d in group]),
        stale=decisions_frame(found.stale).assign(
            changed=[
                what_changed(
                    read_seen(d.seen),
                    seen_of(proposed[d.row_id], by_row.evidence[d.row_id]),
                    known.name,
                )
                for d in found.stale
            ]
        ),
        gone=decisions_frame(found.gone),
    )


def _decided_rows(
    rows: pd.DataFrame,
    known: KnownNodes,
    place: dict[str, Decision],
    merged: dict[str, str],
    found: Sorted,
    placer: Placer,
) -> pd.DataFrame:
    rows = rows.copy()
    for column in ("parent", "suggestion", "origin"):
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
            reasons[n] = (*reasons[n], Reason("unsure"))
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
        reasons[n] = (*reasons[n], Reason("stale_decision"))
        if decision.target in known.level:
            suggestion[n] = merged.get(decision.target, decision.target)
        evidence[n] = (*evidence[n], _as_evidence(decision, known, "stale_decision"))
    opinions = [decision for group in found.disputed for decision in group]
    disputed = at.get_indexer([decision.row_id for decision in opinions])
    for n, decision in zip(disputed, opinions, strict=True):
        if n < 0:
            continue
        reopened[n] = True
        if Reason("disputed") not in reasons[n]:
            reasons[n] = (*reasons[n], Reason("disputed"))
        evidence[n] = (*evidence[n], _as_evidence(decision, known, "decision"))

    settled &= ~reopened
    # A decision on a class (its row is one level up) settles the items that were proposed for it.
    class_rows = settled & (rows.level == 2).to_numpy()
    classes = set(rows.subject[class_rows])
    items = (rows.level == 1).to_numpy()
    taken = pd.Series(proposed).map(lambda node: merged.get(node, node)).isin(classes)
    taken |= pd.Series(proposed).isin(classes)
    settled |= items & taken.to_numpy() & ~unsure & ~reopened

    own = pd.Series(parent).map(lambda node: merged.get(node, node)).to_numpy(dtype=object)
    ends = hanging(known, place, merged)
    final = pd.Series(parent).map(lambda node: ends.get(node, "")).to_numpy(dtype=object)
    status[items & (parent != "") & (final == "")] = EXCLUDED

    accepted = (accepted | settled) & ~unsure & ~reopened
    rows["proposed"], rows["own"] = proposed, own
    rows["parent"], rows["status"] = np.where(items, final, own), status
    rows["reasons"], rows["suggestion"], rows["evidence"] = reasons, suggestion, evidence
    rows["origin"] = np.where(settled, "human", rows.origin)
    rows["confidence"] = np.where(settled, np.float32(1), rows.confidence.astype("float32"))
    rows["accepted"], rows["unsure"] = accepted, unsure
    rows["state"] = np.where(settled, "settled", np.where(accepted, "accepted", "open"))
    return rows


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keeps Python from looking for cycles, of which hundreds of thousands of decisions have none.

    It would walk all of them again and again as they grow (40 % of the time of a long ledger).
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _as_evidence(decision: Decision, known: KnownNodes, kind: str) -> Evidence:
    """A decision that is not applied, as it is shown beside the other evidence."""
    target = decision.target if decision.target in known.level else ""
    written = (decision.said,) if decision.said else ()
    ids = (decision.decision, decision.decided_at, *written)
    return Evidence(kind, target, text=decision.reviewer, ids=ids)
