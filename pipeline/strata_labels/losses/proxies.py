"""Losses that compare embeddings with learnt class proxies."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from strata_labels.losses.batch import Batch, Loss, check_level, check_number


class ClusterLoss(Loss):
    """Cross-entropy of similarities to class proxies (HAPPIER 2022).

    Proxies are normalised, embeddings are taken as given: cosine if they are unit vectors.

    Labels of the level are class indices 0 ... num_classes - 1 here, since each class has its row
    of `proxies`. References are not used.

    Args:
        num_classes: classes of the level.
        dim: dimension of the embeddings.
        level: column of the labels.
        temperature: of the softmax.
    """

    def __init__(
        self, num_classes: int, dim: int, level: int = 0, temperature: float = 0.05
    ) -> None:
        super().__init__()
        _check_sizes(num_classes=num_classes, dim=dim)
        self.level = level
        self.temperature = check_number("temperature", temperature)
        self.proxies = _new_proxies(num_classes, dim)

    def check(self, batch: Batch) -> None:
        level = check_level(self.level, batch.labels)
        classes, num_classes = batch.labels[:, level], len(self.proxies)
        wrong = (classes < 0) | (classes >= num_classes)
        if bool(wrong.any()):
            raise ValueError(
                f"labels of level {level} must be class indices in 0 ... {num_classes - 1} here, "
                f"since each class has a proxy; got {classes[wrong][0].item()}"
            )

    def batch_loss(self, batch: Batch) -> Tensor:
        logits = _similarity(batch.embeddings, self.proxies, 1 / self.temperature)
        classes = batch.labels[:, check_level(self.level, batch.labels)]
        return nn.functional.cross_entropy(logits, classes)


class CSLLoss(Loss):
    """Hierarchical proxy loss with one margin per level (CSL, as in HAPPIER's comparison).

    Sum over levels of the mean over items of softplus(LSE over proxies that differ on the level
    of (scale s) + LSE over proxies of the item's finest class of (-scale s) + scale margin).
    References are not used.

    Args:
        proxy_labels: `[p, L]` integers, the classes of each proxy, nested; labels are matched to
            them by value, so they may be any integers.
        dim: dimension of the embeddings.
        margins: one per level, the finest first.
        scale: of the similarities.
    """

    proxy_labels: Tensor

    def __init__(
        self, proxy_labels: Tensor, dim: int, margins: Sequence[float], scale: float = 32.0
    ) -> None:
        super().__init__()
        if proxy_labels.ndim != 2 or proxy_labels.dtype.is_floating_point:
            raise ValueError(
                f"proxy_labels must be integers [p, L], got {proxy_labels.dtype} "
                f"of shape {tuple(proxy_labels.shape)}"
            )
        _check_sizes(num_proxies=len(proxy_labels), dim=dim)
        if len(margins) != proxy_labels.shape[1]:
            raise ValueError(
                f"margins must have one entry per level ({proxy_labels.shape[1]}), "
                f"got {len(margins)}"
            )
        self.margins = [float(margin) for margin in margins]
        self.scale = check_number("scale", scale)
        self.register_buffer("proxy_labels", proxy_labels.to(torch.int64))
        self.proxies = _new_proxies(len(proxy_labels), dim)

    def check(self, batch: Batch) -> None:
        if batch.labels.shape[1] != len(self.margins):
            raise ValueError(
                f"labels must have {len(self.margins)} levels, got {batch.labels.shape[1]}"
            )
        unknown = ~torch.isin(batch.labels[:, 0], self.proxy_labels[:, 0])
        if bool(unknown.any()):
            row = int(unknown.nonzero()[0])
            raise ValueError(
                f"labels must have a proxy for every finest class, got class "
                f"{batch.labels[row, 0].item()} in row {row}"
            )

    def batch_loss(self, batch: Batch) -> Tensor:
        similarity = _similarity(batch.embeddings, self.proxies, self.scale)
        differs = batch.labels[:, None, :] != self.proxy_labels[None, :, :]
        pull = _log_sum_exp(-similarity, ~differs[:, :, 0])
        terms = [
            nn.functional.softplus(
                _log_sum_exp(similarity, differs[:, :, level]) + pull + self.scale * margin
            ).mean()
            for level, margin in enumerate(self.margins)
        ]
        return torch.stack(terms).sum()


def _new_proxies(count: int, dim: int) -> nn.Parameter:
    """Random proxies `[count, dim]`, uniform as in the published code."""
    bound = dim**-0.5
    return nn.Parameter(torch.empty(count, dim).uniform_(-bound, bound))


def _similarity(embeddings: Tensor, proxies: Tensor, scale: float) -> Tensor:
    """Scaled products with normalised proxies `[b, p]`, without a copy of all proxies."""
    if embeddings.shape[1] != proxies.shape[1]:
        raise ValueError(
            f"embeddings must have dimension {proxies.shape[1]}, got {embeddings.shape[1]}"
        )
    lengths = torch.linalg.vector_norm(proxies, dim=1).clamp(min=1e-12)
    return embeddings @ proxies.to(embeddings.dtype).T * (scale / lengths).to(embeddings.dtype)


def _log_sum_exp(values: Tensor, chosen: Tensor) -> Tensor:
    """Log-sum-exp over the chosen columns; very low where none is, so softplus gives 0."""
    return values.masked_fill(~chosen, torch.finfo(values.dtype).min / 4).logsumexp(1)


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be >= 1, got {size}")
