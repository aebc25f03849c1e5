"""Scores of queries against a gallery: cosine, dot product or Euclidean distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from strata_labels.label_tensors import check_embeddings

Similarity = Literal["cosine", "dot", "euclidean"]
DTYPES = (torch.float64, torch.float32, torch.bfloat16)


@dataclass
class Gallery:
    """A gallery ready to be scored; `scores` of a block of queries is one matrix product."""

    vectors: Tensor
    offset: Tensor | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    def scores(self, query: Tensor) -> Tensor:
        """`[b, n]` scores, higher is nearer, float64 or float32."""
        if query.dtype == torch.bfloat16:
            if query.is_cuda:
                scores = torch.mm(query, self.vectors.T, out_dtype=torch.float32)
            else:
                # A bfloat16 product would round the scores too; only the inputs are meant.
                scores = query.float() @ self.vectors.float().T
        else:
            scores = query @ self.vectors.T
        return scores if self.offset is None else scores.sub_(self.offset)


def prepare(
    query: Tensor,
    gallery: Tensor | None,
    similarity: Similarity,
    dtype: torch.dtype,
    device: torch.device,
) -> tuple[Tensor, Gallery]:
    """Checks embeddings and moves them where they are scored.

    Args:
        query: `[q, d]`.
        gallery: `[n, d]`; None: the queries.
        similarity: "cosine", "dot" or "euclidean".
        dtype: precision of the scores.
        device: where the scores are computed.

    Returns:
        The queries, and the gallery.

    Raises:
        ValueError: with the argument and the value.
    """
    if similarity not in get_args(Similarity):
        raise ValueError(
            f"similarity must be one of {', '.join(get_args(Similarity))}, got {similarity!r}"
        )
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be float64, float32 or bfloat16, got {dtype}")
    check_embeddings(query, "query", unit=similarity == "cosine")
    if gallery is not None:
        check_embeddings(gallery, "gallery", unit=similarity == "cosine")
        if gallery.shape[1] != query.shape[1]:
            raise ValueError(
                f"query and gallery must have the same dimension, got {query.shape[1]} "
                f"and {gallery.shape[1]}"
            )
    same = gallery is None
    left = query.detach().to(device)
    right = left if gallery is None else gallery.detach().to(device)
    if similarity != "euclidean":
        left = left.to(dtype)
        return left, Gallery(left if same else right.to(dtype))
    # |q|^2 is the same for the whole row, and a common shift changes no distance: without both,
    # less is lost to rounding.
    exact = torch.promote_types(right.dtype, torch.float32)
    middle = right.to(exact).mean(0)
    left, right = (left.to(exact) - middle).to(dtype), (right.to(exact) - middle).to(dtype)
    norms = right.to(exact).square().sum(1)
    return left, Gallery(right, norms.to(torch.promote_types(dtype, torch.float32)) / 2)
