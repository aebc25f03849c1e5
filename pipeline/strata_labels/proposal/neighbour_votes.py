"""How alike the nearest labelled items of each node are: for more nodes than landmarks tell apart.

Kernel ridge from landmarks knows nothing of a node that none of them is like.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from strata_labels.proposal.learners import Targets, kernel, largest
from strata_labels.proposal.signals import Features

# Labelled items that speak for a row, and kernel values that are held at a time. Set by hand.
NUM_NEAREST, MOST_VALUES = 20, 16_000_000


class NeighbourVotes:
    """Votes of the nearest labelled items.

    A node has the kernel value of its item that is most like the row, among the `NUM_NEAREST` most
    similar labelled items; 0 where none of these is of the node.

    Args:
        features: kernel parts of n items.
        targets: what the m labelled items teach.
    """

    def __init__(self, features: Features, targets: Targets) -> None:
        self._features, self._targets = features, targets
        self._blocks = {n: block for block in targets.blocks() for n in block.tolist()}

    def scores(self, rows: np.ndarray, images: np.ndarray | None = None) -> np.ndarray:
        """Scores of nodes, float32 `[len(rows), K]`; labelled rows without their own label.

        Args:
            rows: positions of the items.
            images: vectors that stand for theirs, see `kernel`.
        """
        return self._votes(*self._nearest(rows, images))

    def resampled(self, rows: np.ndarray, parts: list[np.ndarray]) -> Iterator[np.ndarray]:
        """Scores of open items with each part of the labelled rows left out, `[len(rows), K]`.

        Of the `NUM_NEAREST`, those that are left out are silent; none comes in their place.

        Args:
            rows: positions of the items.
            parts: positions among the labelled rows, see `Ridge.parts`.
        """
        places, values = self._nearest(rows)
        for part in parts:
            speaks = np.ones(len(self._targets.rows), dtype=np.float32)
            speaks[part] = 0.0
            yield self._votes(places, values * speaks[places])

    def _nearest(
        self, rows: np.ndarray, images: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positions among the labelled rows of those most like each item, and how alike."""
        number = min(NUM_NEAREST, len(self._targets.rows))
        places = np.empty((len(rows), number), dtype=np.int64)
        values = np.empty((len(rows), number), dtype=np.float32)
        step = max(1, MOST_VALUES // len(self._targets.rows))
        for start in range(0, len(rows), step):
            some = slice(start, start + step)
            own = None if images is None else images[some]
            alike = kernel(self._features, rows[some], self._targets.rows, own)
            labelled, positions = self._targets.find(rows[some])
            for n, position in zip(np.flatnonzero(labelled), positions.tolist(), strict=True):
                alike[n, self._blocks.get(position, position)] = 0.0
            places[some], values[some] = largest(alike, number)
        return places, values

    def _votes(self, places: np.ndarray, values: np.ndarray) -> np.ndarray:
        found = np.zeros((len(places), self._targets.num_nodes), dtype=np.float32)
        nodes, index = self._targets.labels[places], np.arange(len(places))
        for place in range(places.shape[1]):
            column = nodes[:, place]
            found[index, column] = np.maximum(found[index, column], values[:, place])
        return found
