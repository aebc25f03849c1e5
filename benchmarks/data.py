"""Embeddings and label trees of a given size for the benchmarks."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

# Classes per level, finest first: like products (SOP), species (iNaturalist), and a tree whose
# coarsest level has two classes, so that half of everything is positive.
TREES = {
    3: (5000, 500, 12),
    7: (5690, 3438, 961, 249, 54, 23, 12),
}
HALF = (5000, 100, 2)


def labels(n: int, classes: tuple[int, ...], seed: int = 0) -> Tensor:
    """`[n, L]` nested labels, classes of about equal size."""
    generator = torch.Generator().manual_seed(seed)
    columns = [torch.randint(classes[0], (n,), generator=generator)]
    for fine, coarse in itertools.pairwise(classes):
        columns.append(columns[-1] * coarse // fine)
    return torch.stack(columns, dim=1)


def embeddings(tree: Tensor, dim: int, spread: float = 1.0, seed: int = 1) -> Tensor:
    """`[n, d]` unit vectors: a direction per class of every level, plus noise of `spread`."""
    generator = torch.Generator().manual_seed(seed)
    vectors = spread * torch.randn(len(tree), dim, generator=generator)
    for column in tree.T:
        classes, inverse = column.unique(return_inverse=True)
        vectors += 0.5 * torch.randn(len(classes), dim, generator=generator)[inverse]
    return torch.nn.functional.normalize(vectors, dim=1)
