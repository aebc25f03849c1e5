"""Query expansion and gallery augmentation: vectors averaged with their nearest neighbours."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from strata_labels.label_tensors import check_embeddings

# Numbers in flight: scores of a part of the vectors, or its neighbours in double.
_NUMBERS = 1 << 24


def expand(vectors: Tensor, k: int, gallery: Tensor | None = None) -> Tensor:
    """The mean of each vector and its k nearest, of unit length again.

    With a gallery this is average query expansion (Chum et al., 2007). Without one, each vector's
    nearest are the others of its own set: `expand(gallery, k)` is database augmentation (Turcot
    and Lowe, 2009). No labels are used. A set that is ranked against itself must not be augmented
    as a whole: its vectors would then contain the queries.

    Args:
        vectors: `[n, d]` of unit length.
        k: neighbours, about as many as the items that a finest class has, or fewer.
        gallery: `[m, d]` of unit length; None: the vectors.

    Returns:
        `[n, d]`.

    Raises:
        ValueError: with the argument and the value: vectors that are not finite or not of unit
            length, other dimensions, k less than 1 or more than there are neighbours.

    Example:
        >>> corner = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
        >>> expand(torch.tensor([[0.6, 0.8]]), 2, corner)
        tensor([[0.6644, 0.7474]])
    """
    check_embeddings(vectors, "vectors", unit=True)
    others = vectors if gallery is None else gallery
    if gallery is not None:
        check_embeddings(gallery, "gallery", unit=True)
        if gallery.shape[1] != vectors.shape[1]:
            raise ValueError(
                f"vectors and gallery must have the same dimension, got {vectors.shape[1]} "
                f"and {gallery.shape[1]}"
            )
    neighbours = len(others) - (gallery is None)
    if not 1 <= k <= neighbours:
        raise ValueError(f"k must be 1 ... {neighbours}, the number of neighbours, got {k}")
    precision = torch.promote_types(vectors.dtype, others.dtype)
    own_type, vectors = vectors.dtype, vectors.to(precision)
    others = others.to(vectors.device, precision)
    rows = max(1, _NUMBERS // max(len(others), k * vectors.shape[1]))
    parts = []
    for start in range(0, len(vectors), rows):
        part = vectors[start : start + rows]
        scores = part @ others.T
        if gallery is None:
            own = torch.arange(len(part), device=part.device)
            scores[own, own + start] = -torch.inf
        nearest = scores.topk(k, dim=1).indices
        # Vectors that are each other's nearest get one mean: in double, whatever the order is.
        sums = part.double() + others[nearest].double().sum(1)
        # Opposite vectors have no mean direction: such a vector stays as it is.
        sums = torch.where(sums.norm(dim=1, keepdim=True) > 1e-6, sums, part.double())
        parts.append(nn.functional.normalize(sums, dim=1).to(own_type))
    return torch.cat(parts)
