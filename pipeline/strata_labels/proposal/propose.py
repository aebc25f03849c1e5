"""The `proposals` table: a parent for every item, class and cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter

import numpy as np
import pandas as pd

from strata_labels.evidence import Evidence, Reason, evidence_hash
from strata_labels.proposal.ids import node_id
from strata_labels.proposal.item_evidence import (
    VECTORS,
    Verdict,
    alternatives_of,
    best_hits,
    class_evidence,
    two_nearest,
    verdicts_of,
)
from strata_labels.proposal.rows import (
    COLUMNS,
    SMALL_MARGIN,
    proposal_row,
    proposal_table,
)
from strata_labels.proposal.score import Scorer, Scores
from strata_labels.tables import without_cycle_search

# By how much each kind of objection lowers a score; set by hand. What known look-alikes say lowers
# the confidence already.
OBJECTIONS = {"splits_differ": 0.5, "class_tie": 0.9, "several_classes": 0.9}
# Of a score that every resample of the known rows contradicts this much is taken off.
UNSTABLE = 0.5
_SHOWN_WORDS = 3


class Proposer:
    """Turns a scorer's answers into rows. What does not depend on the answers is read once.

    An item's `score` is the calibrated confidence, lowered by what speaks against it and the
    confidence does not know of: the same title proposed elsewhere in the other split, several
    classes, a tie, a proposal that changes when a part of the known labels is left out.

    Args:
        items: `item_id, name`, and where there are any `title, split, qualifier, image_ids`; rows
            as in `scorer`.
        scorer: holds the evidence.
        vocabulary: `node, parent, class_qids` (`|`-joined, main class first); nodes without a
            parent are the top level.
        classes: class evidence, a row an item in the same order: `status` (`reached, tie, outside,
            unknown`), `node` and `class_qid` (what the chain reached, and from which class),
            `class_label`, `qid`, `class_qids`, and perhaps `ties` (`(node, path, label)` of each
            way that ties: the class and those above it, and the label of the first); None without a
            knowledge base.
    """

    def __init__(
        self,
        items: pd.DataFrame,
        scorer: Scorer,
        vocabulary: pd.DataFrame,
        classes: pd.DataFrame | None = None,
    ) -> None:
        self._items, self._scorer = items, scorer
        self._leaves = vocabulary[vocabulary["parent"].fillna("") != ""]
        qids = self._leaves["class_qids"].fillna("").astype(str)
        self._mains = {
            str(node): [qid for qid in joined.split("|") if qid]
            for node, joined in zip(self._leaves["node"], qids, strict=True)
        }
        self._verdicts = verdicts_of(classes, len(items))
        self._hits = best_hits(scorer)
        self._cluster_of = _cluster_of_class(scorer.nodes, self._mains, self._hits, self._verdicts)
        self._of_classes = [class_evidence(verdict) for verdict in self._verdicts]
        sources = scorer.node_scores.by_source
        silent = np.ones(len(items), dtype=bool)
        for source in sources.values():
            silent &= ~source.speaks
        self._silent = [
            bool(not sources or (silent[n] and not (self._hits.get(n) or self._of_classes[n])))
            for n in range(len(items))
        ]
        self._hashes = self._item_hashes()

    def _item_hashes(self) -> list[str]:
        items = self._items
        qualifiers = items.get("qualifier", pd.Series([""] * len(items))).fillna("").tolist()
        images = items.get("image_ids", pd.Series([[]] * len(items))).tolist()
        return [
            evidence_hash(
                name=name,
                qualifier=qualifier,
                entity=verdict.qid,
                classes=sorted(verdict.class_qids),
                images=sorted(of_item),
            )
            for name, qualifier, of_item, verdict in zip(
                items["name"].tolist(), qualifiers, images, self._verdicts, strict=True
            )
        ]

    def propose(self, scores: Scores) -> pd.DataFrame:
        """One row per item, class and cluster, sorted by level (coarse first) and subject.

        Returns:
            Columns `COLUMNS`. `status` is `known`, `proposed`, `no_place` (its class has none in
            the vocabulary) or `no_evidence`; the last two have no parent.
        """
        with without_cycle_search():
            rows, class_names = self._item_rows(scores)
        return self._table(rows, class_names)

    def places(self, scores: Scores) -> pd.DataFrame:
        """The rows of `propose` with statuses, parents and hashes alone.

        That is what decisions refer to; there is no evidence, reason or confidence yet.
        """
        rows = []
        for n, item_id in enumerate(self._items["item_id"].tolist()):
            status, qid = self._place(n, scores)
            node = self._scorer.nodes[int(scores.node[n])]
            parent = None if status in _NO_PARENT else node_id(1, qid or node)
            mark = self._hashes[n]
            rows.append(proposal_row(item_id, 1, parent, "", fingerprint=mark, status=status))
        return self._table(rows, {})

    def _table(
        self, item_rows: list[tuple[object, ...]], class_names: Mapping[str, str]
    ) -> pd.DataFrame:
        used = {parent for parent in map(itemgetter(COLUMNS.index("parent")), item_rows) if parent}
        rows = [
            *item_rows,
            *_class_rows(used, self._cluster_of, self._mains, class_names),
            *_cluster_rows(self._leaves),
        ]
        table = proposal_table(rows)
        order = table[["level", "subject"]].sort_values(
            ["level", "subject"], ascending=[False, True], kind="stable"
        )
        return table.loc[order.index].reset_index(drop=True)

    def _place(self, n: int, scores: Scores) -> tuple[str, str]:
        """Status of an item's row, and its class under the proposed node, "" for none."""
        verdict, chosen = self._verdicts[n], int(scores.node[n])
        status = "proposed"
        if scores.known_level[n] == 0:
            status = "known"
        elif verdict.status == "outside":
            status = "no_place"
        elif self._silent[n]:
            status = "no_evidence"
        if status in _NO_PARENT:
            return status, ""
        node, found = self._scorer.nodes[chosen], self._hits.get(n, [])
        return status, _class_of(node, verdict, found, chosen, self._mains, self._cluster_of)

    def _item_rows(self, scores: Scores) -> tuple[list[tuple[object, ...]], dict[str, str]]:
        items, nodes, accepted = self._items, self._scorer.nodes, scores.accepted
        ids = [node_id(2, node) for node in nodes]
        sources = self._scorer.node_scores.by_source
        vectors = {name: two_nearest(sources[name]) for name in VECTORS if name in sources}
        differ = _splits_differ(items, scores.node)
        others = alternatives_of(self._scorer, scores, self._hits, self._of_classes, ids)
        class_names: dict[str, str] = {}
        rows = []
        for n, (item_id, verdict) in enumerate(
            zip(items["item_id"].tolist(), self._verdicts, strict=True)
        ):
            chosen = int(scores.node[n])
            node = nodes[chosen]
            found = self._hits.get(n, [])
            evidence = [
                Evidence("name_word", ids[k], text=term, language=language)
                for k, _, term, language, _ in found[:_SHOWN_WORDS]
            ]
            opinions: dict[str, int] = {"name": found[0][0]} if found else {}
            for kind, nearest in vectors.items():
                if nearest[n]:
                    opinions[kind] = nearest[n][0][0]
                    evidence += [Evidence(kind, ids[k], value) for k, value in nearest[n]]
            if verdict.status == "reached":
                opinions["class"] = nodes.index(verdict.node)
            evidence += self._of_classes[n]
            status, class_qid = self._place(n, scores)
            if status in _NO_PARENT:
                rows.append(
                    proposal_row(
                        item_id, 1, None, "", fingerprint=self._hashes[n], status=status,
                        confidence=0.0, margin=0.0, accepted=status == "no_place",
                        evidence=evidence, reasons=[Reason(status)],
                    )
                )  # fmt: skip
                continue
            if class_qid and verdict.class_qid == class_qid and verdict.class_label:
                class_names[class_qid] = verdict.class_label
            origin = "published" if status == "known" else _origin(opinions, chosen)
            spoken, instability = int(scores.neighbours[n]), float(scores.instability[n])
            given = {
                "low_confidence": not accepted[n],
                "class_tie": verdict.status == "tie",
                "several_classes": len(verdict.class_qids) > 1,
                "no_name_word": not found,
                "small_margin": scores.margin[n] < SMALL_MARGIN and status != "known",
                "evidence_disagrees": len(set(opinions.values()) | {chosen}) > 1,
                "splits_differ": differ[n],
                "neighbours_elsewhere": spoken not in (-1, chosen),
                "unstable": instability > 0,
            }
            score = float(np.float32(scores.confidence[n]))
            for objection, factor in OBJECTIONS.items():
                score *= factor if given[objection] else 1.0
            score *= 1 - UNSTABLE * instability
            about = {"neighbours_elsewhere": ids[spoken]}
            rows.append(
                proposal_row(
                    item_id, 1, node_id(1, class_qid or node), origin, fingerprint=self._hashes[n],
                    status=status, confidence=float(scores.confidence[n]),
                    margin=float(scores.margin[n]), accepted=bool(accepted[n]), score=score,
                    evidence=evidence, alternatives=others[n],
                    reasons=[Reason(kind, about.get(kind, "")) for kind, on in given.items() if on],
                )
            )  # fmt: skip
        return rows, class_names


def _cluster_of_class(
    nodes: list[str],
    mains: Mapping[str, list[str]],
    hits: Mapping[int, list[tuple[int, float, str, str, str]]],
    verdicts: Sequence[Verdict],
) -> dict[str, str]:
    """Class id to its one cluster: the vocabulary first, then chains, then the lexicon."""
    cluster_of = {qid: node for node, qids in mains.items() for qid in qids}
    chains = {(v.class_qid, v.node) for v in verdicts if v.status == "reached" and v.class_qid}
    for qid, node in sorted(chains):
        cluster_of.setdefault(qid, node)
    pairs = {(hit[4], nodes[hit[0]]) for found in hits.values() for hit in found if hit[4]}
    for qid, node in sorted(pairs):
        cluster_of.setdefault(qid, node)
    return cluster_of


# Statuses of rows that have no parent.
_NO_PARENT = ("no_place", "no_evidence")


def _splits_differ(items: pd.DataFrame, node: np.ndarray) -> np.ndarray:
    """Whether an item of another split with the same title is proposed elsewhere, `[n]`."""
    if not {"title", "split"} <= set(items.columns):
        return np.zeros(len(items), dtype=bool)
    titled = pd.DataFrame({"title": items["title"].fillna(""), "node": node})
    many = titled.groupby("title")["node"].transform("nunique") > 1
    across = items["split"].groupby(titled["title"]).transform("nunique") > 1
    return (many & across.to_numpy() & (titled["title"] != "")).to_numpy()


def _origin(opinions: Mapping[str, int], chosen: int) -> str:
    """The strongest source that says so; what look-alike names taught counts as `name`."""
    for source, origin in (
        ("class", "class"), ("name", "name"), ("image_to_text", "image"), ("text", "text")
    ):  # fmt: skip
        if opinions.get(source) == chosen:
            return origin
    return "name"


def _class_of(
    node: str,
    verdict: Verdict,
    found: list[tuple[int, float, str, str, str]],
    chosen: int,
    mains: Mapping[str, list[str]],
    cluster_of: Mapping[str, str],
) -> str:
    """An item's class under its cluster: its own, else what its name says, else the main one."""
    own = [verdict.class_qid] if verdict.status == "reached" and verdict.node == node else []
    by_name = [qid for k, _, _, _, qid in found if k == chosen and qid]
    for qid in own + by_name:
        if cluster_of.get(qid) == node:
            return qid
    return mains.get(node, [""])[0] if mains.get(node) else ""


def _class_rows(
    used: set[object],
    cluster_of: Mapping[str, str],
    mains: Mapping[str, list[str]],
    class_names: Mapping[str, str],
) -> list[tuple[object, ...]]:
    by_id = {node_id(1, qid): (qid, node) for qid, node in cluster_of.items()}
    by_id |= {node_id(1, node): ("", node) for node, qids in mains.items() if not qids}
    rows = []
    for subject in sorted(map(str, used)):
        qid, node = by_id[subject]
        parent = node_id(2, node)
        given = qid in mains.get(node, []) or not qid
        evidence = Evidence(
            "vocabulary" if given else "class_chain",
            parent,
            text=class_names.get(qid, ""),
            ids=(qid,) if qid else (),
        )
        origin = "vocabulary" if given else "class"
        mark = evidence_hash(subject=qid or node)
        rows.append(proposal_row(subject, 2, parent, origin, fingerprint=mark, evidence=[evidence]))
    return rows


def _cluster_rows(leaves: pd.DataFrame) -> list[tuple[object, ...]]:
    return [
        proposal_row(
            node_id(2, node), 3, node_id(3, top), "vocabulary",
            fingerprint=evidence_hash(subject=node),
            evidence=[Evidence("vocabulary", node_id(3, top))],
        )
        for node, top in zip(leaves["node"].astype(str), leaves["parent"].astype(str), strict=True)
    ]  # fmt: skip
