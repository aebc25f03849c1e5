"""The one scorer: all evidence and every known label in, calibrated probabilities per level out.

Known labels, ledger decisions and a simulated review are the same thing to it: rows whose node is
known at some level. Without any it is zero-shot; each further one moves it towards what it can
learn. Rows are scored in chunks: of the size items times nodes, only the probabilities of labelled
items are held.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy

from strata_labels.progress import tracked
from strata_labels.proposal.acceptance import DECIMALS, Acceptance
from strata_labels.proposal.calibration import worth_of
from strata_labels.proposal.landmarks import LandmarkRidge, LandmarkSums
from strata_labels.proposal.learners import CHUNK, Targets, answers_of, kernel, largest
from strata_labels.proposal.learning import Learner
from strata_labels.proposal.levels import NodeLevels
from strata_labels.proposal.lexicon import Lexicon
from strata_labels.proposal.model import CHUNK_VALUES, Model
from strata_labels.proposal.signals import (
    Features,
    NodeScores,
    Prompts,
    Signals,
    features,
    node_scores,
)

# How far known look-alikes must speak for a node (`Chunk.alike`) to be named. Set by hand.
SPOKEN = 0.3
# Open rows that resampling is tried on: those with the smallest margin; a clear one stays.
MOST_RESAMPLED = 5_000
# Likely nodes that are kept of each item.
NUM_TOP = 6
# Values in the columns that the blend and the calibration are fitted on, and the fewest rows.
MOST_VALUES, FEWEST_ROWS, MOST_ROWS = 40_000_000, 1_000, 8_000
# Labelled items that are shown beside a row, and those they are looked for among at most.
NUM_NEAREST, MOST_REFERENCES = 5, 20_000
# Of the ridge on "labelled or not" (chosen with `outside.MOST_SET_ASIDE`).
SHARE_RIDGE, SHARE_RANK = 3.0, 1_000
# Added to probabilities before their logarithm is taken.
TINY = 1e-9


@dataclass(frozen=True)
class Scores:
    """What the scorer thinks of n items, at S levels, the finest first.

    Attributes:
        path: proposed node index at each level, `[n, S]`: the known one where it is known.
        level_confidence: calibrated probability that each is right, `[n, S]`; 1 where known; never
            less at a coarser level.
        accepted_level: the finest level from which on upwards the path needs no review, `[n]`; S
            for none.
        margin: probability of the best finest node less that of the second, `[n]`.
        known_level: the finest level at which the label was given, `[n]`; S for none.
        trusted: whether an uncontradicted class chain vouches for the finest node, `[n]`.
        top, top_probability: the likeliest finest nodes, best first, `[n, T]`, and their shares; of
            a row with a known finest label as without it.
        labelled: positions of the m items with a label at any level, `[m]`.
        left_out: their probabilities of the finest nodes without their own labels, `[m, K]`.
        left_out_node, left_out_confidence: finest node without the row's own label and its
            calibrated confidence, `[n]`.
        neighbours: finest node that known look-alikes speak for, -1 where none of them is like
            enough, `[n]`.
        instability: share of the resamples of the known rows, each without a part of them, in
            which another finest node is likeliest, `[n]`; 0 where that was not tried.
        threshold: lowest confidence at which a finest node was accepted of an item without any
            label.
    """

    path: np.ndarray
    level_confidence: np.ndarray
    accepted_level: np.ndarray
    margin: np.ndarray
    known_level: np.ndarray
    trusted: np.ndarray
    top: np.ndarray
    top_probability: np.ndarray
    labelled: np.ndarray
    left_out: np.ndarray
    left_out_node: np.ndarray
    left_out_confidence: np.ndarray
    neighbours: np.ndarray
    instability: np.ndarray
    threshold: float

    @property
    def node(self) -> np.ndarray:
        """Proposed finest node, `[n]`."""
        return self.path[:, 0]

    @property
    def confidence(self) -> np.ndarray:
        """Probability that the finest node is right, `[n]`."""
        return self.level_confidence[:, 0]

    @property
    def known(self) -> np.ndarray:
        """Whether the finest node was given, boolean `[n]`."""
        return self.known_level == 0

    @property
    def accepted(self) -> np.ndarray:
        """Whether the whole path needs no review, boolean `[n]`."""
        return self.accepted_level == 0


class Scorer:
    """Combines the evidence about a fixed set of items; refitting on more labels is cheap.

    Args:
        signals: what is known of the items.
        nodes: names of the K finest nodes.
        lexicon: compiled for the same nodes, or None.
        prompts: vectors of the nodes' phrases, or None where there are no text vectors.
        target: accuracy asked of proposals accepted without review.
        above: for each coarser level, from the finest up, which of its nodes each of the K is part
            of, `[K]` integers from 0.
    """

    def __init__(
        self,
        signals: Signals,
        nodes: Sequence[str],
        lexicon: Lexicon | None = None,
        prompts: Prompts | None = None,
        target: float = 0.95,
        above: Sequence[np.ndarray] = (),
    ) -> None:
        self.signals = signals
        self.nodes = list(nodes)
        self.target = target
        self.levels = NodeLevels(len(self.nodes), above)
        self.node_scores: NodeScores = node_scores(signals, len(self.nodes), lexicon, prompts)
        self._model: Model | None = None

    @property
    def has_evidence(self) -> np.ndarray:
        """Whether anything that labels can be compared by is known of each item, boolean `[n]`."""
        found = np.zeros(len(self.signals), dtype=bool)
        for source in self.node_scores.by_source.values():
            found |= source.speaks
        parts = self._features
        found |= np.diff(parts.sparse.indptr) > 0
        for vectors, _, _ in parts.dense:
            found |= vectors.any(axis=1)
        return found

    def fit(
        self,
        known: np.ndarray | None = None,
        together: np.ndarray | None = None,
        given: np.ndarray | None = None,
    ) -> Scores:
        """Scores all items, learning from the known ones. Deterministic.

        The answer depends on the arguments alone. With many labels a fit whose `given` was that of
        the fit before takes over what these have taught, and learns the difference.

        Args:
            known: node index of each item at the finest level `[n]`, or at each level `[n, S]`; -1
                where unknown; None for no label at all. Levels above a known one follow from it.
            together: number of the answer each item is known by, `[n]`, -1 where that is of no
                other; rows of one answer are left out together wherever a row is scored without
                its own label.
            given: the labels that came with the data, as `known`; the others are people's. None:
                all of the known ones.
        """
        num_items = len(self.signals)
        none = np.full(num_items, -1)
        known = self.levels.filled(none if known is None else known, num_items)
        given = known if given is None else self.levels.filled(given, num_items)
        if together is None:
            together = none
        rows = np.flatnonzero((known >= 0).any(axis=1))
        sample = self._sample(np.flatnonzero(known[:, 0] >= 0))
        self._model = None  # before another one takes memory
        self._model = self._learner.learn(known, rows, sample, together, given)
        worth = worth_of(((known >= 0) & (known != given))[:, 0])
        return self._score(self._model, known, sample, together, worth)

    def left_out_by_image(self, rows: np.ndarray, images: np.ndarray) -> np.ndarray:
        """What the last fit says of items by each of their images, without their own labels.

        Args:
            rows: positions of r items, none of them known by one answer with others.
            images: vectors of n images of each, `[r, n, d]`, of the space of `Signals.image`.

        Returns:
            Probabilities of the finest nodes, `[r, K]`, by the geometric mean over the images: one
            that could be of many nodes says little against another that is of one.

        Raises:
            ValueError: nothing was fitted, or the items have no image vectors.
        """
        if self._model is None or self.signals.image is None:
            raise ValueError("needs a fit, and image vectors of the items")
        moved = self.signals.image.centred(images)
        total = np.zeros((len(rows), len(self.nodes)), dtype=np.float32)
        for place in self._chunks(len(rows)):
            for one in moved[place].transpose(1, 0, 2):
                found = self._model.chunk(rows[place], one).probabilities
                total[place] += np.log(found + np.float32(TINY))
        return scipy.special.softmax(total / images.shape[1], axis=1)

    @property
    def main_source(self) -> str:
        """The kind of evidence that labels are learnt from: `image`, `text`, `name`, `class`."""
        if self.signals.image is not None:
            return "image"
        if self.signals.chains is not None and not any(self.signals.names):
            return "class"
        return "name" if self.signals.text is None else "text"

    def nearest_labelled(
        self, rows: np.ndarray, scores: Scores
    ) -> list[list[tuple[int, int, float]]]:
        """The `NUM_NEAREST` most similar items with a known finest label, the row itself left out.

        Args:
            rows: positions of the items asked about, `[r]`.
            scores: names the known ones; they are looked for among at most `MOST_REFERENCES`.

        Returns:
            For each row `(item, node, similarity)`, most similar first.
        """
        labelled = np.flatnonzero(scores.known)
        if len(labelled) > MOST_REFERENCES:
            labelled = labelled[np.linspace(0, len(labelled) - 1, MOST_REFERENCES).astype(int)]
        found: list[list[tuple[int, int, float]]] = []
        if not len(labelled):
            return [[] for _ in rows]
        count, step = min(NUM_NEAREST, len(labelled)), max(1, CHUNK_VALUES // len(labelled))
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            values = kernel(self._features, some, labelled)
            values[some[:, None] == labelled[None]] = -1.0
            for places, best in zip(*largest(values, count), strict=True):
                near, nodes = labelled[places], scores.path[labelled[places], 0]
                triples = zip(near.tolist(), nodes.tolist(), best.tolist(), strict=True)
                found.append([triple for triple in triples if triple[2] > 0])
        return found

    def similarity(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        """How alike items are in what labels are learnt from, 0 to 1, `[len(rows), len(others)]`.

        1 for an item and itself where it has every kind of evidence.
        """
        return kernel(self._features, rows, others)

    def labelled_share(self, known: np.ndarray) -> np.ndarray:
        """Share of labelled items among those like each item, itself left out, `[n]`.

        Args:
            known: whether the item's node is known, boolean `[n]`.
        """
        rows = np.arange(len(known))
        alone = answers_of(np.full(len(known), -1))
        landmarks = rows[np.linspace(0, len(rows) - 1, min(len(rows), SHARE_RANK)).astype(int)]
        targets = Targets(rows, known.astype(np.int64), 2, alone)
        ridge = LandmarkRidge(LandmarkSums(self._features, targets, landmarks, SHARE_RIDGE))
        return np.concatenate([ridge.scores(some)[:, 1] for some in self._chunks(len(rows))])

    def _sample(self, rows: np.ndarray) -> np.ndarray:
        """Evenly, the rows that blend and calibration are fitted on."""
        num_columns = len(self.node_scores.by_source) + 2 * len(self.levels)
        num_columns += len(self._features.of_names)
        most = MOST_VALUES // (len(self.nodes) * num_columns or 1)
        most = min(max(most, FEWEST_ROWS), MOST_ROWS)
        if len(rows) <= most:
            return rows
        return rows[np.linspace(0, len(rows) - 1, most).astype(int)]

    @cached_property
    def _features(self) -> Features:
        return features(self.signals, self.node_scores, len(self.nodes))

    @cached_property
    def _learner(self) -> Learner:
        return Learner(self._features, self.node_scores, self.levels)

    def _chunks(self, num_items: int) -> Iterator[np.ndarray]:
        size = min(max(64, CHUNK_VALUES // max(len(self.nodes), 1)), CHUNK)
        for start in range(0, num_items, size):
            yield np.arange(start, min(start + size, num_items))

    def _score(
        self,
        model: Model,
        known: np.ndarray,
        sample: np.ndarray,
        together: np.ndarray,
        worth: np.ndarray,
    ) -> Scores:
        num_items, num_levels = known.shape
        known_level = np.where((known >= 0).any(axis=1), (known >= 0).argmax(axis=1), num_levels)
        num_top = min(NUM_TOP, len(self.nodes))
        shape = (num_items, num_levels)
        path, top = np.empty(shape, np.int64), np.empty((num_items, num_top), np.int64)
        confidence: np.ndarray = np.ones(shape)
        top_probability = np.empty(top.shape, np.float32)
        labelled = np.flatnonzero(known_level < num_levels)
        left_out_probability = np.empty((len(labelled), len(self.nodes)), np.float32)
        left_out_node, left_out = np.empty(num_items, np.int64), np.empty(num_items)
        neighbours, margin = np.full(num_items, -1), np.empty(num_items, np.float32)
        trusted = np.zeros(num_items, dtype=bool)
        acceptance = Acceptance(self.levels, self.target, model.surest)
        if model.ridges:
            acceptance.fit(model.chunk(sample), known[sample], together[sample], worth[sample])
        for rows in tracked(self._chunks(num_items), num_items, "proposing labels"):
            chunk = model.chunk(rows)
            free = chunk.probabilities
            own = known_level[rows] < num_levels
            left_out_probability[np.searchsorted(labelled, rows[own])] = free[own]
            sure_without = np.empty(len(rows))
            for given in np.unique(known_level[rows]).tolist():
                part = known_level[rows] == given
                some = rows[part]
                inside = chunk.part(part)
                # A row whose finest label is known is shown as it would be without any.
                if 0 < given < num_levels:
                    inside = inside.within(self.levels, given, known[some, given])
                found = self.levels.best_path(inside.probabilities)
                top[some], top_probability[some] = largest(inside.probabilities, num_top)
                sure, trusted[some] = acceptance.confidence(inside, found, given or num_levels)
                left_out_node[some] = found[:, 0]
                sure_without[part] = sure[:, 0]
                has = known[some] >= 0
                path[some] = np.where(has, known[some], found)
                confidence[some] = np.where(has, 1.0, sure)
                margin[some] = top_probability[some, 0] - (
                    top_probability[some, 1] if num_top > 1 else 0.0
                )
            left_out[rows] = sure_without
            alike = chunk.alike
            if alike is not None:
                neighbours[rows] = np.where(alike.max(axis=1) >= SPOKEN, alike.argmax(axis=1), -1)
        confidence = np.round(np.maximum.accumulate(confidence, axis=1), DECIMALS)
        accepted_level, threshold = acceptance.accepted(confidence, known, known_level, trusted)
        scores = Scores(
            path=path,
            level_confidence=confidence,
            accepted_level=accepted_level,
            margin=margin,
            known_level=known_level,
            trusted=trusted,
            top=top,
            top_probability=top_probability,
            labelled=labelled,
            left_out=left_out_probability,
            left_out_node=left_out_node,
            left_out_confidence=np.round(left_out, DECIMALS),
            neighbours=neighbours,
            instability=np.zeros(num_items),
            threshold=threshold,
        )
        if model.ridges:
            scores.instability[:] = self._unstable(model, scores)
        return scores

    def _unstable(self, model: Model, scores: Scores) -> np.ndarray:
        """How often another node is likeliest with a part of the known rows left out, `[n]`."""
        still_open = np.flatnonzero(~scores.accepted)
        most = min(MOST_RESAMPLED, MOST_VALUES // max(len(self.nodes), 1))
        some = still_open[np.argsort(scores.margin[still_open], kind="stable")[:most]]
        flips = np.zeros(len(scores.node))
        if not len(some):
            return flips
        number = 0
        for best in model.resampled(some, scores.known_level[some], scores.path[some]):
            flips[some] += best != scores.node[some]
            number += 1
        return flips / max(number, 1)
