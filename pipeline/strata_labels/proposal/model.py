"""What a fit of the scorer has learnt, and what it says of some rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from strata_labels.proposal.blend import Blend
from strata_labels.proposal.learners import Ridge
from strata_labels.proposal.levels import NodeLevels
from strata_labels.proposal.signals import NodeScores

# Added to shares before their logarithm is taken.
FLOOR = 0.02
# Values scored at a time.
CHUNK_VALUES = 8_000_000


class Votes(Protocol):
    """What labels say of the finest nodes beside the ridges."""

    def scores(self, rows: np.ndarray, images: np.ndarray | None = None) -> np.ndarray:
        """Scores of nodes, float32 `[len(rows), K]`; labelled rows without their own label."""

    def resampled(self, rows: np.ndarray, parts: list[np.ndarray]) -> Iterator[np.ndarray]:
        """Scores of open items with each part of the labelled rows left out, `[len(rows), K]`."""


@dataclass
class Chunk:
    """Everything computed of some rows that is of the size rows times nodes.

    Attributes:
        rows: positions of the items, `[n]`.
        sources: what each source says of the finest nodes, `[n, K]`.
        learnt: see `learnt_at_levels`; empty where nothing is learnt.
        votes: see `NameVotes` and `NeighbourVotes`, `[n, K]` each; may be empty.
        probabilities: of the finest nodes, from everything, `[n, K]`.
        zero_shot: the same without any label, if there is evidence without.
        shares: share of the labels that each finest node has, `[K]`; None where nothing is learnt.
    """

    rows: np.ndarray
    sources: dict[str, np.ndarray]
    learnt: list[np.ndarray]
    votes: list[np.ndarray]
    probabilities: np.ndarray
    zero_shot: np.ndarray | None
    shares: np.ndarray | None

    @property
    def alike(self) -> np.ndarray | None:
        """How far labelled look-alikes speak for each finest node, at most 1, `[n, K]`.

        Of a row that nothing is like, the ridge says what share of the labels each node has: that
        is 0 here. None where nothing is learnt.
        """
        if self.shares is None:
            return None
        # With nearly all labels of one node the difference is rounding.
        return (self.learnt[0] - self.shares) / np.maximum(1.0 - self.shares, 1e-3)

    @property
    def silent(self) -> np.ndarray:
        """Where the evidence without labels tells no node from another, boolean `[n]`."""
        if self.zero_shot is None:
            return np.ones(len(self.rows), dtype=bool)
        # Nodes that a given label rules out have 0.
        lowest = np.where(self.zero_shot > 0, self.zero_shot, np.inf).min(axis=1)
        return np.asarray(self.zero_shot.max(axis=1) <= lowest * 1.0001)

    def within(self, levels: NodeLevels, level: int, node: np.ndarray) -> Chunk:
        """The same rows with the nodes below a given one alone.

        Args:
            levels: the nodes.
            level: at which each row's node is given.
            node: its index there, `[n]`.
        """
        zero_shot = self.zero_shot
        if zero_shot is not None:
            zero_shot = levels.within(zero_shot, level, node)
        probabilities = levels.within(self.probabilities, level, node)
        return replace(self, probabilities=probabilities, zero_shot=zero_shot)

    def part(self, part: np.ndarray) -> Chunk:
        """The rows that a boolean `[n]` names."""
        if part.all():
            return replace(self)
        return Chunk(
            self.rows[part],
            {name: source[part] for name, source in self.sources.items()},
            [learnt[part] for learnt in self.learnt],
            [votes[part] for votes in self.votes],
            self.probabilities[part],
            None if self.zero_shot is None else self.zero_shot[part],
            self.shares,
        )


@dataclass(frozen=True)
class Model:
    """What a fit has learnt.

    Attributes:
        levels: the nodes.
        node_scores: the evidence without labels.
        ridges: by the level from which on upwards each is the one that counts (see
            `learnt_at_levels`).
        votes: of n-grams and of words for the finest nodes, if items have names and labels; then of
            the nearest items, if there are very many nodes.
        blend: of all evidence.
        zero_shot: of the evidence without labels, if there is any.
        labelled: where there is such evidence, which nodes have a label, boolean `[K]`.
        surest: no confidence is higher. Where labels are all there is to learn from, m answers that
            are all right say no more than (m + 1) / (m + 2) (Laplace's rule of succession).
    """

    levels: NodeLevels
    node_scores: NodeScores
    ridges: dict[int, Ridge]
    votes: list[Votes]
    blend: Blend
    zero_shot: Blend | None
    labelled: np.ndarray | None = None
    surest: float = 1.0

    def chunk(self, rows: np.ndarray, images: np.ndarray | None = None) -> Chunk:
        """What is computed of some items.

        Args:
            rows: positions of the items, `[n]`.
            images: vectors that stand for theirs, see `Ridge.scores_of_images`.
        """
        by_source = self.node_scores.by_source
        sources = {name: source.rows(rows) for name, source in by_source.items()}
        columns = list(sources.values())
        zero_shot = self.zero_shot.probabilities(columns) if self.zero_shot else None
        ridges = {
            n: ridge.scores(rows) if images is None else ridge.scores_of_images(rows, images)
            for n, ridge in self.ridges.items()
        }
        learnt = learnt_at_levels(self.levels, ridges)
        votes = [some.scores(rows, images) for some in self.votes]
        columns += learnt_columns(self.levels, learnt, votes, self.labelled)
        if not columns:
            columns = [np.zeros((len(rows), self.levels.sizes[0]), dtype=np.float32)]
        probabilities = self.blend.probabilities(columns)
        shares = self.ridges[0].mean if self.ridges else None
        return Chunk(rows, sources, learnt, votes, probabilities, zero_shot, shares)

    def resampled(
        self, rows: np.ndarray, known_level: np.ndarray, path: np.ndarray
    ) -> Iterator[np.ndarray]:
        """Finest node of open items with each part of the labelled rows left out, `[n]`.

        Args:
            rows: positions of the items, `[n]`.
            known_level: the finest level at which the label of each was given, `[n]`; S for none.
            path: node of each at each level, the known one from there on upwards, `[n, S]`.
        """
        ridge_levels = list(self.ridges)
        step = max(1, CHUNK_VALUES // self.levels.sizes[0])
        resamples = [self.ridges[n].resampled(rows) for n in ridge_levels]
        parts_left = self.ridges[0].parts
        resamples += [votes.resampled(rows, parts_left) for votes in self.votes]
        for parts in zip(*resamples, strict=False):
            best = np.empty(len(rows), dtype=np.int64)
            for start in range(0, len(rows), step):
                place = slice(start, start + step)
                some = [part[place] for part in parts]
                ridges = dict(zip(ridge_levels, some, strict=False))
                best[place] = self._best(
                    rows[place], ridges, some[len(ridges) :], known_level[place], path[place]
                )
            yield best

    def _best(
        self,
        rows: np.ndarray,
        ridges: dict[int, np.ndarray],
        votes: list[np.ndarray],
        known_level: np.ndarray,
        path: np.ndarray,
    ) -> np.ndarray:
        """Finest node of some items by other ridge scores and votes, `[len(rows)]`."""
        columns = [source.rows(rows) for source in self.node_scores.by_source.values()]
        learnt = learnt_at_levels(self.levels, ridges)
        columns += learnt_columns(self.levels, learnt, votes, self.labelled)
        best = self.blend.probabilities(columns)
        for given in np.unique(known_level).tolist():
            if 0 < given < len(self.levels):
                part = known_level == given
                best[part] = self.levels.within(best[part], given, path[part, given])
        return self.levels.best_path(best)[:, 0]


def learnt_at_levels(levels: NodeLevels, scores: dict[int, np.ndarray]) -> list[np.ndarray]:
    """Ridge scores of the nodes of each level, `[n, K_level]` each.

    A level has a ridge of its own where more rows are labelled at it than at the one below.
    Elsewhere its scores are sums of the finer ones, which is what a ridge would say too, since
    it is linear in the labels.
    """
    if not scores:
        return []
    found = [scores[0]]
    below = 0
    for level in range(1, len(levels)):
        below = level if level in scores else below
        step = levels.step(below, level)
        found.append(scores[below] if level == below else scores[below] @ step)
    return found


def learnt_columns(
    levels: NodeLevels,
    learnt: list[np.ndarray],
    votes: list[np.ndarray],
    labelled: np.ndarray | None,
) -> list[np.ndarray]:
    """Ridge scores are shares, not log-odds: the blend takes them as both, at each level. Votes
    come last.

    Labels say nothing of a node without one, which gets the mean of the others.
    """
    columns = []
    for level, values in enumerate(learnt):
        if level and levels.sizes[level] in (levels.sizes[level - 1], 1):
            continue
        wide = values[:, levels.above[level]] if level else values
        columns += [wide, np.log(np.clip(wide, 0.0, 1.0) + np.float32(FLOOR))]
    finest = [0, 1] if columns else []
    finest += range(len(columns), len(columns) + len(votes))
    columns += votes
    if labelled is not None and not labelled.all():
        for column in finest:
            values = columns[column].copy()
            values[:, ~labelled] = values[:, labelled].mean(axis=1, keepdims=True)
            columns[column] = values
    return columns
