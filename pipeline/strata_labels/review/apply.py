"""Applies decisions to the proposals and the tree, as a pure function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from strata_labels.errors import InputError, Problem, refuse
from strata_labels.evidence import (
    NAME_REASONS,
    Alternative,
    Reason,
    Seen,
    evidence_hash,
    has_reason,
    read_seen,
)
from strata_labels.review.carry_over import LostNode
from strata_labels.review.decisions import (
    MAKES_NODE,
    OF_PLACEHOLDERS,
    SAME,
    Decision,
    active_decisions,
    as_evidence,
    decisions_frame,
    what_changed,
)
from strata_labels.review.merged_rows import follow_merges
from strata_labels.review.placement import Placement
from strata_labels.review.reliability import answers_on_item, double_answers, estimate
from strata_labels.review.validate import Validated, validate
from strata_labels.tables import without_cycle_search
from strata_labels.tree import UNKNOWN_NODE, LabelTree

#: Statuses of rows that a decision gave (others come from the proposals).
PROPOSED, EXCLUDED, MERGED = "proposed", "excluded", "merged"


@dataclass(frozen=True)
class Resolution:
    """Proposals after the decisions.

    Attributes:
        rows: the proposals, in their order, `parent, status, origin, confidence, accepted,
            reasons, suggestion, evidence, alternatives` as decided (what they say of a merged node,
            they say of what it is part of), and five columns more: `state` (`accepted`
            without a decision, `settled` by one, `open`), `unsure`, `proposed` and `known_before`
            (the parent and the evidence before any decision), and `own`, the row's own parent. An
            item's `parent` is the node it is finally under, which is above its own if a decision
            stops there, and blank if one excludes it.
        tree: every node after the decisions; merged nodes are not among them, nor nodes that
            decisions made which were taken back, unless something is there.
        known: every node before them, with those that decisions make.
        made: the nodes that people have made, and that count, without those merged since.
        text: what people wrote of a node with `describe`, by node.
        merged: for each merged node the one that it is part of.
        lost: nodes that decisions name and that are not in the tree any more, by id. `rows` has a
            row for each, of status `lost_node`.
        renamed: id of now by former id, of nodes that decisions named by it.
        read: all decisions that were read, also those that are not active, with ids of now.
        effective, disputed, stale, gone: decisions that are applied, on which reviewers differ,
            whose evidence has changed (`changed` says how), and whose subject is not in the data
            any more; `DECISION_COLUMNS`, `file` and `row`.
    """

    rows: pd.DataFrame
    tree: LabelTree
    known: LabelTree
    made: list[str]
    text: dict[str, str]
    merged: dict[str, str]
    lost: dict[str, LostNode]
    renamed: dict[str, str]
    read: list[Decision]
    effective: pd.DataFrame
    disputed: pd.DataFrame
    stale: pd.DataFrame
    gone: pd.DataFrame

    @property
    def placeholders(self) -> dict[str, bool]:
        """Words for a missing label, and whether each was kept as a class."""
        kept = {*self.effective.subject[self.effective.decision == "keep"]}
        words = self.rows.subject[has_reason(self.rows.reasons, "placeholder")]
        return {word: word in kept for word in words}

    @property
    def without_effect(self) -> pd.DataFrame:
        """Of `effective` those that say nothing of a word for a missing label: its row is open."""
        words = [word for word, kept in self.placeholders.items() if not kept]
        idle = ~self.effective.decision.isin((*OF_PLACEHOLDERS, *MAKES_NODE))
        return self.effective[self.effective.subject.isin(words) & idle]

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
            "nodes_renamed": len(self.renamed),
            "nodes_lost": len(self.lost.keys() - self.renamed.keys()),
        }


def replay(
    decisions: pd.DataFrame, proposals: pd.DataFrame, vocabulary: pd.DataFrame
) -> Resolution:
    """Applies decisions to proposals. The order of the decisions' rows does not matter.

    - `keep`: the parent is right (without a target, the place that the reviewer saw).
    - `move`: the target is the parent. A target further up takes the main child on each level
      between: the child with the target's own Wikidata id, else with its name, else a general node
      `<level>/<target>.general` made for it.
    - `merge`: the target takes over the subject's children, and children of one name become one
      (unless they have Wikidata ids or a decision of their own); in other decisions the subject's
      id means the target.
    - `split`: a new node beside the subject, named by the target, which takes what is named behind
      it: `name|member|member` (items by id; nodes by id or name). Its id is the subject's with the
      name behind a dot. It has the subject's parent, and a member's own decision counts before the
      split.
    - `create`: a new node below the subject, named by the target, which may name members too, as
      for `split`. Its id is one level down, `<level>/<subject>/<name>`.
    - `rename`: the node's new name; `describe`: what belongs to it, in words. The node's row stays
      as open as it was.
    - `stop`: no finer than the target (without one, the place that the reviewer saw; for an item,
      that one's parent): what is below is directly under it, with the levels between blank.
    - `exclude`: the subject and all below it have no label.
    - `unsure`: the row stays open, at the end of the sheet.
    - `same`: the target takes the place of a lost node in all decisions that name it.
    - `withdraw`: the same reviewer's decision of the time that is the target, or all before this
      one if it is blank, counts as never made; what was decided before that counts again.

    A decision on a class settles its items too (an item's confidence is that of its label above
    the class), unless an item's own decision is stale or unsure. What a person decided has
    origin `human` and confidence 1, or, once enough items have been decided twice, the probability
    that it is right by the accuracies of those who decided it (see `reliability`). If reviewers
    differ, or their decisions cannot hold together (merges in a circle, a name twice), none of
    them is applied and the rows are open again with all opinions, until one of the reviewers
    decides anew or withdraws.

    Args:
        decisions: `Ledger.decisions`, in any order.
        proposals: the table `proposals`.
        vocabulary: all known nodes, `node_id, level, name, parent_id, qid`.

    Raises:
        InputError: everything that is wrong with the decisions, see `validate`.
    """
    known = LabelTree.from_nodes(vocabulary)
    _check_proposals(proposals, known)
    parent = proposals.parent.fillna("").astype(object)
    rows = proposals.assign(proposed=parent, own=parent, known_before=proposals.evidence)
    rows = rows.set_index("row_id", drop=False)
    # A proposed parent, also none, counts before the vocabulary's.
    above = rows[rows.level > 1]
    parents = {**known.parent, **dict(zip(above.subject, above.proposed, strict=True))}
    known = LabelTree(known.level, known.name, parents, known.qid)
    with without_cycle_search():
        found, checker = validate(decisions, known, rows)
    if found.problems:
        raise InputError(found.problems)

    words = {*rows.subject[has_reason(rows.reasons, "placeholder")]}
    place = {
        d.subject: d
        for d in found.effective
        if d.aspect == "place" and (d.subject not in words or d.decision in OF_PLACEHOLDERS)
    }
    for makes in found.effective:
        for member in makes.members:
            level = checker.tree.level.get(member, 0) + 1
            move = makes._replace(subject=member, level=level, decision="move", target=makes.made)
            place.setdefault(member, move)
    placement = Placement(checker, place)
    made = {d.made: d.new_name for d in found.effective if d.made}
    placement.name |= {node: name for node, name in made.items() if node in checker.made}
    placement.name |= {d.subject: d.target for d in found.effective if d.decision == "rename"}
    placement.place_nodes()
    shown = rows.reset_index(drop=True)
    if placement.merged:
        shown = shown.assign(**follow_merges(shown, placement.merged, checker.tree))
    decided = _decided_rows(shown, place, found, placement)
    _rely(decided, found, checker.tree)
    changed = [
        f"it names {d.target}, which is not in the tree any more"
        if checker.names_lost(d) or d.row_id not in rows.index
        else what_changed(
            read_seen(d.seen),
            Seen(rows.proposed[d.row_id], rows.evidence[d.row_id]),
            placement.name,
        )
        for d in found.stale
    ]
    if found.lost:
        decided = pd.concat(
            [decided, _lost_rows(found, decided, placement.merged, checker.tree)], ignore_index=True
        )
    tree = placement.tree(
        {node for node in checker.made if node not in known.level and node not in made},
        {*decided.parent, *decided.own, *placement.merged.values()},
    )
    return Resolution(
        rows=decided,
        tree=tree,
        known=checker.tree,
        made=sorted(made.keys() & checker.made.keys() & tree.level.keys()),
        text={
            placement.merged.get(d.subject, d.subject): d.target
            for d in found.effective
            if d.decision == "describe"
        },
        merged=placement.merged,
        lost=found.lost,
        renamed=found.renamed,
        read=found.read,
        effective=decisions_frame(found.effective),
        disputed=decisions_frame(d for group in found.disputed for d in group),
        stale=decisions_frame(found.stale).assign(changed=changed),
        gone=decisions_frame(found.gone),
    )


def _check_proposals(proposals: pd.DataFrame, tree: LabelTree) -> None:
    """Checks that every node a proposal names is known and that no row is there twice.

    Raises:
        InputError: every unknown node and every duplicate row.
    """
    above = proposals[proposals.level > 1]
    fix = "Run `strata build` again."
    problems = [
        Problem("table proposals", UNKNOWN_NODE, fix, column=name, value=value)
        for name, values in (("parent", proposals.parent), ("subject", above.subject))
        for value in sorted(set(values.fillna("")) - {""} - tree.level.keys())
    ]
    twice = proposals.row_id[proposals.row_id.duplicated()]
    problems += [
        Problem("table proposals", "duplicate row:", fix, value=value)
        for value in sorted(set(twice))
    ]
    refuse(problems)


def _decided_rows(
    rows: pd.DataFrame, place: dict[str, Decision], found: Validated, placement: Placement
) -> pd.DataFrame:
    for column in ("parent", "suggestion", "origin"):
        rows[column] = rows[column].fillna("").astype(object)
    rows["status"] = rows.status.astype(object)
    proposed, merged = rows.proposed.to_numpy(), placement.merged
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
        word, is_node = decision.decision, decision.subject in placement.level
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
            parent[n], status[n] = placement.parent[decision.subject], PROPOSED
        elif word == "stop" or (word == "keep" and decision.target == proposed[n]):
            parent[n], status[n] = decision.target, PROPOSED
        else:
            parent[n], status[n] = placement.main_child(decision.target, 1), PROPOSED
    by_parents = np.array(sorted(merged.keys() - place.keys()), dtype=object)
    twins = rows.subject.isin(by_parents).to_numpy() & (rows.level > 1).to_numpy()
    settled |= twins
    parent[twins], status[twins] = "", MERGED
    stale = at.get_indexer([d.row_id for d in found.stale])
    for n, decision in zip(stale, found.stale, strict=True):
        if settled[n] or decision.decision in ("rename", "describe"):
            continue
        reopened[n] = True
        reasons[n] = (*reasons[n], Reason("stale_decision"))
        if decision.target in placement.level:
            suggestion[n] = merged.get(decision.target, decision.target)
        evidence[n] = (*evidence[n], as_evidence(decision, placement.level, "stale_decision"))
    opinions = [decision for group in found.disputed for decision in group]
    disputed = at.get_indexer([decision.row_id for decision in opinions])
    for n, decision in zip(disputed, opinions, strict=True):
        if n < 0:
            continue
        reopened[n] = True
        if Reason("disputed") not in reasons[n]:
            reasons[n] = (*reasons[n], Reason("disputed"))
        evidence[n] = (*evidence[n], as_evidence(decision, placement.level, "decision"))

    settled &= ~reopened
    # A decision on a class (its row is one level up) settles the items that were proposed for it,
    # unless it was asked for the name or the parent of the class alone.
    by_name = has_reason(rows.reasons, *NAME_REASONS, "no_parent") & (status != EXCLUDED)
    class_rows = settled & (rows.level == 2).to_numpy() & ~by_name & ~twins
    classes = set(rows.subject[class_rows])
    items = (rows.level == 1).to_numpy()
    by_class = pd.Series(proposed).map(lambda node: merged.get(node, node)).isin(classes)
    by_class |= pd.Series(proposed).isin(classes)
    settled |= items & by_class.to_numpy() & ~unsure & ~reopened

    own = pd.Series(parent).map(lambda node: merged.get(node, node)).to_numpy(dtype=object)
    ends = placement.ends()
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


def _rely(rows: pd.DataFrame, found: Validated, tree: LabelTree) -> None:
    """Sets the confidence of items that were decided by reviewers of estimated accuracy."""
    reliability = estimate(double_answers(found.read, tree))
    known = {who for who in reliability.double if reliability.known(who) is not None}
    if not known:
        return
    said: dict[str, dict[str, Decision]] = {}
    applied = {d.subject: d for d in found.effective if d.level == 1 and d.aspect == "place"}
    for decision in active_decisions(d for d in found.read if d.subject in applied)[0]:
        if decision.aspect == "place" and decision.decision != "unsure":
            said.setdefault(decision.subject, {})[decision.reviewer] = decision
    confidence = rows.confidence.to_numpy(copy=True)
    settled = (rows.state == "settled").to_numpy()
    subjects = [subject for subject in applied if subject in said]
    at = pd.Index(rows.row_id).get_indexer([f"1:{subject}" for subject in subjects])
    for n, subject in zip(at, subjects, strict=True):
        if n >= 0 and settled[n] and known & said[subject].keys():
            answers = answers_on_item(said[subject], tree)
            label = answers.labels.get(applied[subject].reviewer, "")
            confidence[n] = round(reliability.confidence(answers, label), 6)
    rows["confidence"] = confidence


def _lost_rows(
    found: Validated, like: pd.DataFrame, merged: Mapping[str, str], tree: LabelTree
) -> pd.DataFrame:
    """A row for each lost node, columns and types as `like`."""
    settled = {d.subject for d in found.effective if d.decision in (SAME, "exclude")}
    unsure = {d.subject for d in found.effective if d.decision == "unsure"}
    disputed = {group[0].subject: group for group in found.disputed}
    rows = []
    for node, lost in found.lost.items():
        state = "settled" if node in settled else "open"
        others = list(dict.fromkeys(merged.get(other, other) for other in lost.candidates))
        opinions = [] if state == "settled" else disputed.get(node, [])
        reasons = [Reason("lost_node")]
        reasons += [Reason("disputed")] if opinions else []
        reasons += [Reason("unsure")] if node in unsure else []
        rows.append(
            {
                "row_id": f"{lost.level + 1}:{node}",
                "subject": node,
                "level": lost.level + 1,
                "status": "lost_node",
                "confidence": float(state == "settled"),
                "margin": 0.0,
                "accepted": state == "settled",
                "score": 0.0,
                "evidence": (
                    *lost.evidence,
                    *(as_evidence(d, tree.level, "decision") for d in opinions),
                ),
                "reasons": tuple(reasons),
                "suggestion": others[0] if len(others) == 1 else "",
                "alternatives": tuple(map(Alternative, others)),
                "evidence_hash": evidence_hash(subject=node),
                "state": state,
                "unsure": node in unsure,
            }
        )
    blank = dict.fromkeys(("parent", "origin", "proposed", "own"), "")
    frame = pd.DataFrame(rows).assign(**blank)
    frame["known_before"] = frame["evidence"]
    if "gain" in like:
        frame["gain"] = 0.0
    return frame.reindex(columns=like.columns).astype(like.dtypes.to_dict())
