"""Items of a tree that labels made: missing labels as proposals, given ones as label issues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from strata_labels.evidence import Alternative, Evidence, Reason, evidence_hash
from strata_labels.proposal.class_votes import ClassVotes
from strata_labels.proposal.label_issues import LabelIssues
from strata_labels.proposal.learners import CHUNK
from strata_labels.proposal.propose import UNSTABLE
from strata_labels.proposal.rows import (
    DECIMALS,
    LEAST_LIKELY,
    NUM_ALTERNATIVES,
    SMALL_MARGIN,
    proposal_row,
)
from strata_labels.proposal.score import Scorer, Scores

# Nodes that the name or the images of an item are nearest to, shown of each item.
NUM_PROMPTS = 2


@dataclass(frozen=True)
class Ladder:
    """The nodes that items are scored for, level by level.

    Attributes:
        first: level of the finest of them.
        ids: node ids of each level, the finest first.
        above: which node of each coarser level each of the K finest is part of, `[K]` each.
    """

    first: int
    ids: Sequence[Sequence[str]]
    above: Sequence[np.ndarray]

    def path(self, indices: Sequence[int]) -> list[str]:
        """Node ids of an item's indices, the finest first."""
        return [ids[k] for ids, k in zip(self.ids, indices, strict=True)]


def propose_missing(
    items: pd.DataFrame,
    rows: np.ndarray,
    ladder: Ladder,
    scorer: Scorer,
    scores: Scores,
    least_level: int,
    votes: ClassVotes | None = None,
) -> list[tuple[object, ...]]:
    """Proposals of items that lack a label at the finest level.

    Args:
        items: `item_id, name, qualifier, image_ids`.
        rows: positions of the items.
        ladder: the nodes.
        scorer: holds the evidence.
        scores: its answer.
        least_level: level from which on upwards a path must be sure to need no review.
        votes: of classes of the knowledge base, if there are any.

    Returns:
        Cells of `proposal_row`, one for each of `rows`.
    """
    neighbours = scorer.nearest_labelled(rows, scores)
    prompts = {kind: _nearest_prompts(scorer, rows, kind) for kind in ("text", "image_to_text")}
    ids, finest = items["item_id"].tolist(), ladder.ids[0]
    origin = scorer.main_source
    made = []
    for place, n in enumerate(rows.tolist()):
        own = items.iloc[n]
        path = ladder.path(scores.path[n])
        sure = ladder.first + scores.accepted_level[n] <= least_level
        confidence = float(scores.level_confidence[n, 0])
        evidence = _given(ladder, scores, n)
        if votes is not None:
            evidence += votes.evidence(n, int(scores.path[n, 0]), path[0])
        evidence += [
            Evidence(kind, finest[k], round(value, DECIMALS))
            for kind, found in prompts.items()
            for k, value in found[place]
        ]
        near = neighbours[place]
        evidence += [
            Evidence("neighbours", finest[k], round(similar, DECIMALS), ids=(ids[m],))
            for m, k, similar in near
        ]
        others = [
            Alternative(finest[k], round(float(p), 4), _spoken(near, int(k), finest, ids))
            for k, p in zip(scores.top[n], scores.top_probability[n], strict=True)
            if k != scores.path[n, 0] and p >= LEAST_LIKELY
        ][:NUM_ALTERNATIVES]
        on = {
            "low_confidence": not sure,
            "small_margin": scores.margin[n] < SMALL_MARGIN,
            "neighbours_elsewhere": scores.neighbours[n] not in (-1, scores.path[n, 0]),
            "unstable": scores.instability[n] > 0,
        }
        made.append(
            proposal_row(
                ids[n], 1, path[0], origin,
                fingerprint=fingerprint(own), confidence=confidence,
                margin=float(scores.margin[n]), accepted=bool(sure),
                score=confidence * (1 - UNSTABLE * float(scores.instability[n])),
                evidence=evidence, reasons=[Reason(kind) for kind, is_on in on.items() if is_on],
                alternatives=others,
            )
        )  # fmt: skip
    return made


def doubt_given(
    items: pd.DataFrame,
    rows: np.ndarray,
    places: np.ndarray,
    ladder: Ladder,
    scorer: Scorer,
    scores: Scores,
    issues: LabelIssues,
    votes: ClassVotes | None = None,
) -> pd.DataFrame:
    """What speaks against given labels, for the rows that are opened.

    Args:
        items: `item_id`.
        rows: positions of the opened items, each with a given finest label.
        places: their rows in `issues`.
        ladder: the nodes.
        scorer: holds the evidence.
        scores: its answer.
        issues: scores of given labels.
        votes: of classes of the knowledge base, if there are any.

    Returns:
        Columns of `proposals` that change, indexed by item id. The evidence hash stays that of the
        label, so that a decision holds whether or not the row is opened in a later build.
    """
    neighbours = scorer.nearest_labelled(rows, scores)
    ids, finest = items["item_id"].tolist(), ladder.ids[0]
    found = {}
    for place, (n, at) in enumerate(zip(rows.tolist(), places.tolist(), strict=True)):
        given, other = int(scores.path[n, 0]), int(issues.suggestion[at, 0])
        near = neighbours[place]
        likely = [
            (int(k), float(p))
            for k, p in zip(scores.top[n], scores.top_probability[n], strict=True)
            if k not in (given, other) and p >= LEAST_LIKELY
        ]
        share = dict(zip(scores.top[n].tolist(), scores.top_probability[n].tolist(), strict=True))
        options = [(other, share.get(other)), *likely][:NUM_ALTERNATIVES]
        # Neighbours count at the finest node at which the options differ: their own.
        evidence = [
            Evidence("published", finest[given], ids=tuple(ladder.path(scores.path[n]))),
            *(votes.evidence(n, other, finest[other]) if votes is not None else ()),
            *(
                Evidence("neighbours", finest[k], round(similar, DECIMALS), ids=(ids[m],))
                for m, k, similar in near
            ),
        ]
        clean = float(np.nanmin(issues.score[at]))
        found[ids[n]] = {
            "accepted": False,
            "confidence": np.float32(1 - issues.wrong[at, 0]),
            "margin": np.float32(0),
            "score": np.float32(clean),
            "suggestion": finest[other],
            "evidence": tuple(evidence),
            "reasons": (Reason("label_issue", finest[given]),),
            "alternatives": tuple(
                Alternative(
                    finest[k], None if p is None else round(p, 4), _spoken(near, k, finest, ids)
                )
                for k, p in options
            ),
        }
    return pd.DataFrame.from_dict(found, orient="index")


def doubt_coarse(
    items: pd.DataFrame,
    rows: np.ndarray,
    places: np.ndarray,
    ladder: Ladder,
    scorer: Scorer,
    scores: Scores,
    issues: LabelIssues,
    left_out: np.ndarray,
    proposals: pd.DataFrame,
) -> pd.DataFrame:
    """What speaks against given coarse labels of items that lack a finer one.

    Args:
        items: `item_id`.
        rows: positions of the opened items, each with a given coarse label.
        places: their rows in `issues` and `left_out`.
        ladder: the nodes.
        scorer: holds the evidence.
        scores: its answer.
        issues: scores of given labels.
        left_out: probabilities of the finest nodes without the given label, `[m, K]`.
        proposals: the table `proposals`, with what is proposed below the given label.

    Returns:
        Columns of `proposals` that change, indexed by item id.
    """
    neighbours = scorer.nearest_labelled(rows, scores)
    ids, finest = items["item_id"].tolist(), ladder.ids[0]
    before = proposals[proposals["level"] == 1].set_index("subject")
    found = {}
    for place, (n, at) in enumerate(zip(rows.tolist(), places.tolist(), strict=True)):
        level = int(scores.known_level[n])
        inside = ladder.above[level] == issues.suggestion[at, level]
        other = int(np.where(inside, left_out[at], -1.0).argmax())
        spoken = _spoken(neighbours[place], other, finest, ids)
        probability = round(float(left_out[at, other]), 4)
        own = before.loc[ids[n]]
        others = (one for one in own["alternatives"] if one.node != finest[other])
        alternatives = (Alternative(finest[other], probability, spoken), *others)
        found[ids[n]] = {
            "accepted": False,
            "score": np.float32(np.nanmin(issues.score[at])),
            "suggestion": finest[other],
            "reasons": (
                Reason("label_issue", ladder.ids[level][scores.path[n, level]]),
                *(reason for reason in own["reasons"] if reason.kind != "low_confidence"),
            ),
            "alternatives": alternatives[:NUM_ALTERNATIVES],
        }
    return pd.DataFrame.from_dict(found, orient="index")


def fingerprint(item: pd.Series) -> str:
    """The evidence hash of an item."""
    return evidence_hash(
        name=str(item["name"]),
        qualifier=item["qualifier"] or "",
        entity="",
        classes=[],
        images=sorted(item["image_ids"]),
    )


def _given(ladder: Ladder, scores: Scores, n: int) -> list[Evidence]:
    """The coarser label that came with an item."""
    level = int(scores.known_level[n])
    if not 0 < level < len(ladder.ids):
        return []
    path = ladder.path(scores.path[n])[level:]
    return [Evidence("published", path[0], ids=tuple(path))]


def _nearest_prompts(scorer: Scorer, rows: np.ndarray, kind: str) -> list[list[tuple[int, float]]]:
    """The nodes whose names' vectors a source says each item is nearest to, best first."""
    source = scorer.node_scores.by_source.get(kind)
    if source is None:
        return [[] for _ in rows]
    found: list[list[tuple[int, float]]] = []
    for start in range(0, len(rows), CHUNK):
        values = source.rows(rows[start : start + CHUNK])
        speaks = source.speaks[rows[start : start + CHUNK]]
        best = np.argsort(-values, axis=1, kind="stable")[:, :NUM_PROMPTS]
        found += [
            [(int(k), float(line[k])) for k in order] if heard else []
            for line, order, heard in zip(values, best, speaks, strict=True)
        ]
    return found


def _spoken(
    near: Sequence[tuple[int, int, float]], node: int, finest: Sequence[str], ids: Sequence[str]
) -> tuple[Evidence, ...]:
    """The nearest labelled items under a node."""
    return tuple(
        Evidence("neighbours", finest[k], round(similar, DECIMALS), ids=(ids[m],))
        for m, k, similar in near
        if k == node
    )
