"""The one scorer: all evidence and every known label in, calibrated probabilities out.

Known labels, ledger decisions and a simulated review are the same thing to it: rows whose node is
known. Without any it is zero-shot; each further one moves it towards what it can learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from strata_labels.proposal.calibration import (
    acceptance_threshold,
    doubt_features,
    fit_calibration,
    zero_shot_log_odds,
)
from strata_labels.proposal.learners import Blend, Ridge, fit_blend, kernel_ridge
from strata_labels.proposal.lexicon import Lexicon
from strata_labels.proposal.signals import (
    Features,
    NodeScores,
    Prompts,
    Signals,
    features,
    node_scores,
)

# Weights of the evidence columns before any label is known, and how far labels may move them.
# `name` and `text` were fitted once, with the map in calibration.py, on two thirds of the
# published labels of the real sample (see benchmarks/README.md); the others are set by hand.
PRIOR_WEIGHTS = {"text": 0.6, "name": 4.8, "class": 6.0, "image_to_text": 0.5}
WEIGHT_SPREAD = {
    "text": 1.0,
    "name": 5.0,
    "class": 3.0,
    "image_to_text": 1.0,
    "known": 10.0,
    "log_known": 2.0,
}
FLOOR = 0.02

# Confidence of an untied class chain, unless a head word of the name or look-alikes with known
# labels say otherwise this clearly. Set by hand: too few recorded matches exist to measure it.
CLASS_CONFIDENCE = 0.97
STRONG_NAME, STRONG_KNOWN = 0.9, 0.5
# Share of a node in what known look-alikes say from which they speak for it. Set by hand.
SPOKEN = 0.3
# Open rows that resampling is tried on: those with the smallest margin; a clear one stays.
MOST_RESAMPLED = 5_000

RIDGE = 0.15
# Kernel ridge costs the cube of the labels used, so no more than these are.
MOST_LABELS = 8_000
MIN_LABELS = 2


@dataclass(frozen=True)
class Scores:
    """What the scorer thinks of n items.

    Attributes:
        probabilities: `[n, K]`, rows sum to 1. A known row's are those it would have without its
            own label.
        node: proposed node index, `[n]`: the known one where it is known.
        confidence: calibrated probability that `node` is right, `[n]`; 1 where known.
        margin: probability of the best node less that of the second, `[n]`.
        known: whether the node was given, `[n]`.
        trusted: whether an uncontradicted class chain vouches for the node, `[n]`.
        threshold: confidence from which a proposal is accepted without review; a trusted one is
            accepted where class chains are good enough for the target.
        target: accuracy asked of accepted proposals.
        left_out_node: best node of each row without its own label, `[n]`.
        left_out_confidence: its calibrated confidence, `[n]`.
        neighbours: node that known look-alikes speak for, -1 where none of them is like enough,
            `[n]`.
        instability: share of the resamples of the known rows, each without a part of them, in
            which another node is proposed, `[n]`; 0 where that was not tried.
    """

    probabilities: np.ndarray
    node: np.ndarray
    confidence: np.ndarray
    margin: np.ndarray
    known: np.ndarray
    trusted: np.ndarray
    threshold: float
    target: float
    left_out_node: np.ndarray
    left_out_confidence: np.ndarray
    neighbours: np.ndarray
    instability: np.ndarray

    @property
    def accepted(self) -> np.ndarray:
        """Rows that need no review, `[n]`."""
        vouched = self.trusted & (self.target <= CLASS_CONFIDENCE)
        return self.known | vouched | (self.confidence >= self.threshold)


class Scorer:
    """Combines the evidence about a fixed set of items; refitting on more labels is cheap.

    Args:
        signals: what is known of the items.
        nodes: names of the K nodes.
        lexicon: compiled for the same nodes, or None.
        prompts: vectors of the nodes' phrases, or None where there are no text vectors.
        target: accuracy asked of proposals accepted without review.
    """

    def __init__(
        self,
        signals: Signals,
        nodes: Sequence[str],
        lexicon: Lexicon | None = None,
        prompts: Prompts | None = None,
        target: float = 0.95,
    ) -> None:
        self.signals = signals
        self.nodes = list(nodes)
        self.target = target
        self.node_scores: NodeScores = node_scores(signals, len(self.nodes), lexicon, prompts)
        self._features: Features | None = None

    def fit(self, known: np.ndarray | None = None, together: np.ndarray | None = None) -> Scores:
        """Scores all items, learning from the known ones. Deterministic.

        Args:
            known: node index of each item, -1 where unknown, `[n]`; None for no label at all.
            together: number of the answer each item is known by, `[n]`, -1 where that is of no
                other; rows of one answer are left out together wherever a row is scored without
                its own label.
        """
        num_items, num_nodes = len(self.signals), len(self.nodes)
        known = np.full(num_items, -1) if known is None else np.asarray(known)
        rows = np.flatnonzero(known >= 0)
        ridge: Ridge | None = None
        names = list(self.node_scores.by_source)
        sources = [self.node_scores.by_source[name] for name in names]
        prior = [PRIOR_WEIGHTS[name] for name in names]
        spread = [WEIGHT_SPREAD[name] for name in names]
        if len(rows) >= MIN_LABELS:
            if self._features is None:
                self._features = features(self.signals, self.node_scores, num_nodes)
            used = _spread_over_nodes(rows, known[rows], MOST_LABELS)
            acts = None if together is None else together[used]
            ridge = kernel_ridge(self._features, used, known[used], num_nodes, RIDGE, acts)
            sources += _both_ways(ridge.scores)
            prior += [0.0, 0.0]
            spread += [WEIGHT_SPREAD["known"], WEIGHT_SPREAD["log_known"]]
            blend = fit_blend(
                [source[used] for source in sources], known[used], np.array(prior), np.array(spread)
            )
        else:
            used = rows
            blend = Blend(np.array(prior), np.zeros(num_nodes))
        if not sources:
            sources = [np.zeros((num_items, num_nodes), dtype=np.float32)]
            blend = Blend(np.zeros(1), np.zeros(num_nodes))
        first = prior[: len(names)] or [0.0]
        probabilities = blend.probabilities(sources)
        own = len(names) or 1
        zero_shot = Blend(np.array(first), np.zeros(num_nodes)).probabilities(sources[:own])
        given = sources[: len(names) + 1]
        scores = self._scores(probabilities, zero_shot, given, known, used, together)
        if ridge is None:
            return scores
        highest = ridge.scores.max(axis=1)
        spoken = np.where(highest >= SPOKEN, ridge.scores.argmax(axis=1), -1)
        return replace(scores, neighbours=spoken, instability=self._unstable(scores, ridge, blend))

    def _unstable(self, scores: Scores, ridge: Ridge, blend: Blend) -> np.ndarray:
        """How often another node is proposed with a part of the known rows left out, `[n]`."""
        assert self._features is not None
        still_open = np.flatnonzero(~scores.accepted)
        some = still_open[np.argsort(scores.margin[still_open], kind="stable")[:MOST_RESAMPLED]]
        fixed = [source[some] for source in self.node_scores.by_source.values()]
        flips = np.zeros(len(scores.node))
        for learnt in ridge.resampled(self._features, some):
            best = blend.probabilities([*fixed, *_both_ways(learnt)]).argmax(axis=1)
            flips[some] += best != scores.node[some]
        return flips / max(len(ridge.duals), 1)

    def _scores(
        self,
        probabilities: np.ndarray,
        zero_shot: np.ndarray,
        sources: list[np.ndarray],
        known: np.ndarray,
        used: np.ndarray,
        together: np.ndarray | None,
    ) -> Scores:
        best = probabilities.argmax(axis=1)
        is_known = known >= 0
        right = best[used] == known[used]
        if len(used) >= MIN_LABELS:

            def doubts(part: slice | np.ndarray) -> np.ndarray:
                given = [source[part] for source in sources]
                return doubt_features(probabilities[part], zero_shot[part], given)

            weights = fit_calibration(doubts(used), right)
            parts = [expit(doubts(part) @ weights) for part in _chunks(len(probabilities))]
            confidence = np.concatenate(parts)
        else:
            confidence = expit(zero_shot_log_odds(probabilities))
        trusted = self._trusted_class(best, sources)
        confidence = np.where(trusted, np.maximum(confidence, CLASS_CONFIDENCE), confidence)
        top = np.partition(probabilities, -2, axis=1)[:, -2:]
        # Class chains have a confidence set by hand: they lend none of it to other rows.
        measured = used[~trusted[used]]
        threshold = acceptance_threshold(
            confidence[~is_known & ~trusted],
            self.target,
            confidence[measured],
            best[measured] == known[measured],
            None if together is None else together[measured],
        )
        return Scores(
            probabilities=probabilities,
            node=np.where(is_known, known, best),
            confidence=np.where(is_known, 1.0, confidence),
            margin=top[:, 1] - top[:, 0],
            known=is_known,
            trusted=trusted,
            threshold=threshold,
            target=self.target,
            left_out_node=best,
            left_out_confidence=confidence,
            neighbours=np.full(len(best), -1),
            instability=np.zeros(len(best)),
        )

    def _trusted_class(self, best: np.ndarray, sources: list[np.ndarray]) -> np.ndarray:
        """Rows whose class chain reaches the proposed node and nothing contradicts strongly.

        A chain that ties between nodes counts if the head word of the name says the same. A strong
        contradiction is the head word of the name, or labels of look-alikes learnt from.
        """
        index = np.arange(len(best))
        reached = self.node_scores.by_source.get("class")
        if reached is None:
            return np.zeros(len(best), dtype=bool)
        trusted = reached[index, best] >= 1.0
        names = self.node_scores.by_source.get("name")
        if names is not None:
            trusted |= (reached[index, best] > 0) & (names[index, best] >= STRONG_NAME)
        strong = [names, *sources[len(self.node_scores.by_source) :]]
        for source, limit in zip(strong, (STRONG_NAME, STRONG_KNOWN), strict=False):
            if source is not None:
                own = source.argmax(axis=1)
                trusted &= (own == best) | (source[index, own] < limit)
        return trusted


def _both_ways(learnt: np.ndarray) -> list[np.ndarray]:
    """Ridge scores are shares, not log-odds: the blend takes them as both."""
    return [learnt, np.log(np.clip(learnt, 0.0, 1.0) + FLOOR)]


def _chunks(length: int, size: int = 16_384) -> list[slice]:
    return [slice(start, start + size) for start in range(0, length, size)]


def _spread_over_nodes(rows: np.ndarray, labels: np.ndarray, most: int) -> np.ndarray:
    """At most `most` rows, rare nodes in full, evenly over the order of the rows."""
    if len(rows) <= most:
        return rows
    counts = np.bincount(labels)
    low, high = 1, int(counts.max())
    while low < high:  # the largest cap per node that keeps within the limit
        middle = (low + high + 1) // 2
        low, high = (
            (middle, high) if np.minimum(counts, middle).sum() <= most else (low, middle - 1)
        )
    kept = []
    for node in np.flatnonzero(counts):
        members = rows[labels == node]
        step = np.linspace(0, len(members) - 1, min(low, len(members)))
        kept.append(members[step.astype(int)])
    return np.sort(np.concatenate(kept))
