"""Checks embeddings and hierarchical labels, and counts the levels two items agree on.

Needs only torch; `retrieval` and `losses` build on it.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Agreement is kept in one byte per pair, and -1 marks an item that is not ranked.
MAX_LEVELS = 126
# Unit vectors stored in half precision are off by up to about 0.004.
_UNIT_TOLERANCE = 0.01
_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def check_tensor(values: Tensor, name: str) -> None:
    """Checks that it is a tensor of PyTorch, and a dense one.

    Raises:
        ValueError: names the argument and what it is.
    """
    if not isinstance(values, Tensor):
        raise ValueError(
            f"{name} must be a tensor, got {type(values).__name__}; torch.as_tensor makes one"
        )
    if values.layout != torch.strided:
        raise ValueError(f"{name} must be dense, got {values.layout}; to_dense() makes them so")


def check_embeddings(embeddings: Tensor, name: str, unit: bool = False) -> None:
    """Checks shape, type and values of embeddings `[n, d]`.

    Args:
        embeddings: floating point, of 16 to 64 bits.
        name: what to call them in an error.
        unit: whether rows must have length 1.

    Raises:
        ValueError: names the first row at fault and what it holds.
    """
    check_tensor(embeddings, name)
    if embeddings.dtype not in _FLOATS:
        raise ValueError(f"{name} must be floating point of 16 to 64 bits, got {embeddings.dtype}")
    if embeddings.ndim != 2 or embeddings.shape[1] == 0:
        raise ValueError(f"{name} must have the shape [n, d], got {tuple(embeddings.shape)}")
    if len(embeddings) == 0:
        raise ValueError(f"{name} must not be empty, got the shape {tuple(embeddings.shape)}")
    finite = torch.isfinite(embeddings)
    if not bool(finite.all()):
        row, column = (~finite).nonzero()[0].tolist()
        raise ValueError(
            f"{name} must be finite, got {embeddings[row, column].item()} in row {row}"
        )
    if not unit:
        return
    lengths = torch.linalg.vector_norm(
        embeddings.to(torch.promote_types(embeddings.dtype, torch.float32)), dim=1
    )
    wrong = (lengths - 1).abs() > _UNIT_TOLERANCE
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise ValueError(
            f"{name} must have rows of length 1 for cosine similarity, got length "
            f"{lengths[row].item():.4g} in row {row} (and {int(wrong.sum()) - 1} more); "
            "normalise them, or ask for similarity='dot'"
        )


def check_labels(labels: Tensor, name: str = "labels") -> Tensor:
    """Labels as an int64 tensor `[n, L]`; a vector `[n]` is one level.

    Args:
        labels: integers, column 0 the finest level.
        name: what to call them in an error.

    Raises:
        ValueError: no tensor, not integers, not `[n, L]`, without or with too many levels, or -1,
            which stands for an unknown label and must not be taken for a class.
    """
    check_tensor(labels, name)
    if labels.dtype.is_floating_point or labels.dtype.is_complex or labels.dtype == torch.bool:
        raise ValueError(f"{name} must be integers, got {labels.dtype}")
    if labels.dtype == torch.uint64:
        signed = labels.view(torch.int64)
        if bool((signed < 0).any()):
            largest = int(signed[signed < 0].max()) + 2**64
            raise ValueError(f"{name} overflow a signed 64-bit integer: largest {largest}")
    if labels.ndim == 1:
        labels = labels.unsqueeze(1)
    if labels.ndim != 2 or not 1 <= labels.shape[1] <= MAX_LEVELS:
        raise ValueError(
            f"{name} must have the shape [n, L] with 1 <= L <= {MAX_LEVELS}, "
            f"got {tuple(labels.shape)}"
        )
    labels = labels.to(torch.int64)
    unknown = labels == -1
    if bool(unknown.any()):
        row, column = unknown.nonzero()[0].tolist()
        raise ValueError(
            f"{name} must be known, got -1 in row {row}, level {column} "
            f"({int(unknown.any(1).sum())} rows have one): leave these rows out"
        )
    return labels


def check_nested(labels: Tensor) -> None:
    """Checks that every class lies under one class of the next coarser level.

    Args:
        labels: `[n, L]`, column 0 the finest level.

    Raises:
        ValueError: names the first class that lies under two, and both parents.

    Example:
        >>> check_nested(torch.tensor([[7, 0], [7, 1]]))
        Traceback (most recent call last):
        ...
        ValueError: labels are not nested: class 7 of level 0 lies under classes 0 and 1 of level 1
    """
    for level in range(labels.shape[1] - 1):
        fine, order = labels[:, level].sort(stable=True)
        coarse = labels[order, level + 1]
        torn = (fine[1:] == fine[:-1]) & (coarse[1:] != coarse[:-1])
        if bool(torn.any()):
            at = int(torn.nonzero()[0])
            raise ValueError(
                f"labels are not nested: class {fine[at].item()} of level {level} lies under "
                f"classes {coarse[at].item()} and {coarse[at + 1].item()} of level {level + 1}"
            )


def send(values: Tensor, device: torch.device) -> Tensor:
    """Values of the host on a device, without waiting for what a GPU is doing.

    A copy from memory that is not pinned would begin only when the GPU has nothing left to do.
    Other devices do not keep values that nobody waits for.
    """
    if device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def agreement(query_labels: Tensor, gallery_labels: Tensor) -> Tensor:
    """Number of levels on which each query agrees with each gallery item.

    Args:
        query_labels: `[q, L]` integers.
        gallery_labels: `[n, L]` integers.

    Returns:
        `[q, n]` int8, 0 (nothing in common) to L (same finest class).

    Example:
        >>> agreement(torch.tensor([[1, 0]]), torch.tensor([[1, 0], [2, 0], [3, 1]]))
        tensor([[2, 1, 0]], dtype=torch.int8)
    """
    levels = torch.zeros(
        len(query_labels), len(gallery_labels), dtype=torch.int8, device=query_labels.device
    )
    # Column by column: a [q, n, L] tensor would be the largest thing in the whole evaluation.
    columns = (labels.T.contiguous() for labels in (query_labels, gallery_labels))
    for query, gallery in zip(*columns, strict=True):
        # `==` gives one-byte booleans; reading them as int8 saves a conversion pass.
        levels += (query[:, None] == gallery).view(torch.int8)
    return levels
