"""What all losses share: the checks of their inputs and parameters, and one signature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from strata_labels.label_tensors import (
    agreement,
    check_embeddings,
    check_labels,
    check_nested,
    check_tensor,
    send,
)


@dataclass
class Batch:
    """Checked inputs of a loss.

    Args:
        embeddings: `[b, d]` queries, single or double precision.
        labels: `[b, L]` int64, nested.
        references: `[n, d]`; the queries where none were given.
        reference_labels: `[n, L]` int64.
        own: the first references are the queries themselves, in their order.
        on_host: both labels on the host, where they are already, so that no device is waited for.
    """

    embeddings: Tensor
    labels: Tensor
    references: Tensor
    reference_labels: Tensor
    own: bool
    on_host: tuple[Tensor, Tensor] | None = None

    def scores(self) -> Tensor:
        """`[b, n]` dot products."""
        return self.embeddings @ self.references.T

    def cosines(self) -> Tensor:
        """`[b, n]` dot products of the normalised embeddings."""
        left, right = (
            nn.functional.normalize(vectors, dim=1)
            for vectors in (self.embeddings, self.references)
        )
        return replace(self, embeddings=left, references=right).scores()

    def levels(self) -> Places:
        """Places by the number of levels on which query and reference agree."""
        shared = [self._sharing(level) for level in reversed(range(self.labels.shape[1]))]
        return Places.of(agreement(self.labels, self.reference_labels).long(), shared)

    def positives(self, level: int) -> Places:
        """Places of 1 where query and reference share the class of one level."""
        check_level(level, self.labels)
        same = self.labels[:, level, None] == self.reference_labels[None, :, level]
        return Places.of(same.long(), [self._sharing(level)])

    def _sharing(self, level: int) -> Tensor:
        """`[b]` on the host: how many references share the query's class."""
        if self.on_host is None:
            self.on_host = self.labels.cpu(), self.reference_labels.cpu()
        queries, references = (labels[:, level].contiguous() for labels in self.on_host)
        ordered = references.sort()[0]
        return torch.searchsorted(ordered, queries, right=True) - torch.searchsorted(
            ordered, queries
        )


@dataclass
class Places:
    """The places of a query's references in the order to learn, the highest first.

    Args:
        at: `[b, n]` int64.
        counts: `[b, top + 1]` int64 on the host: how many references have each place.
    """

    at: Tensor
    counts: Tensor

    @classmethod
    def of(cls, at: Tensor, upwards: Sequence[Tensor]) -> Places:
        """`upwards`: for each place above 0, `[b]` how many have it or a higher one."""
        all_ = torch.full_like(upwards[0], at.shape[1])
        upto = torch.stack([all_, *upwards, torch.zeros_like(all_)], dim=1)
        return cls(at, upto[:, :-1] - upto[:, 1:])

    @property
    def top(self) -> int:
        """The highest place that may occur."""
        return self.counts.shape[1] - 1

    @cached_property
    def order(self) -> Tensor:
        """`[b, n]` the references by falling place."""
        return self.at.argsort(dim=1, descending=True, stable=True)


class Loss(nn.Module):
    """A loss: checks its inputs, then takes them as a `Batch`."""

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        reference_embeddings: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """The loss, a scalar.

        Args:
            embeddings: `[b, d]`, b >= 1, finite.
            labels: `[b, L]` integers, nested, column 0 the finest; `[b]` is one level.
            reference_embeddings: `[n, d]`, n >= 1: a memory bank, or gathered from other processes.
            reference_labels: `[n, L]`.

        Raises:
            ValueError: with the argument and the value.
        """
        batch = checked_batch(embeddings, labels, reference_embeddings, reference_labels)
        self.check(batch)
        # Under autocast products would come back in half precision, too coarse for tau.
        with torch.autocast(batch.embeddings.device.type, enabled=False):
            return self.batch_loss(batch)

    def check(self, batch: Batch) -> None:
        """Raises ValueError where this loss needs more of the inputs than others do."""

    def batch_loss(self, batch: Batch) -> Tensor:
        """The loss of checked inputs, a scalar. No GPU is waited for if labels are `on_host`."""
        raise NotImplementedError


def checked_batch(
    embeddings: Tensor,
    labels: Tensor,
    reference_embeddings: Tensor | None = None,
    reference_labels: Tensor | None = None,
) -> Batch:
    """Checks the inputs of a loss; arguments and errors as of `Loss.forward`.

    Half precision becomes single precision.
    """
    alone = reference_embeddings is None
    if alone != (reference_labels is None):
        raise ValueError("reference_embeddings and reference_labels must be given together")
    labels = _check_pair(embeddings, labels, "")
    embeddings = _single(embeddings)
    sent = send(labels, embeddings.device)
    if reference_embeddings is None or reference_labels is None:
        check_nested(labels)
        return Batch(embeddings, sent, embeddings, sent, True, (labels, labels))
    check_tensor(reference_embeddings, "reference_embeddings")
    references = _single(reference_embeddings)
    for name, here, there in (
        ("device", embeddings.device, references.device),
        ("precision", embeddings.dtype, references.dtype),
    ):
        if here != there:
            raise ValueError(
                f"references must have the same {name} as the queries ({here}), got {there}; "
                "convert them with .to(...)"
            )
    reference_labels = _check_pair(references, reference_labels, "reference_")
    for name, one, other in (
        ("dimension", embeddings, references),
        ("number of levels", labels, reference_labels),
    ):
        if one.shape[1] != other.shape[1]:
            raise ValueError(
                f"references must have the same {name} as the queries ({one.shape[1]}), "
                f"got {other.shape[1]}"
            )
    check_nested(torch.cat([labels, reference_labels]))
    of_references = send(reference_labels, references.device)
    on_host = labels, reference_labels
    return Batch(embeddings, sent, references, of_references, False, on_host)


def _single(embeddings: Tensor) -> Tensor:
    half = embeddings.dtype in (torch.float16, torch.bfloat16)
    return embeddings.float() if half else embeddings


def check_number(name: str, value: float, zero: bool = False) -> float:
    """The value of a parameter, if it is finite and > 0 (or 0, where `zero`).

    Raises:
        ValueError: with the name and the value.
    """
    if not (0 <= value < math.inf) or (value == 0 and not zero):
        raise ValueError(f"{name} must be finite and {'>=' if zero else '>'} 0, got {value}")
    return value


def check_level(level: int, labels: Tensor) -> int:
    """The level, if the labels `[n, L]` have it.

    Raises:
        ValueError: it is not in 0 ... L - 1.
    """
    if not 0 <= level < labels.shape[1]:
        raise ValueError(f"level must be in 0 ... {labels.shape[1] - 1}, got {level}")
    return level


def _check_pair(embeddings: Tensor, labels: Tensor, prefix: str) -> Tensor:
    """Labels on the host, where they are checked: a device is waited for once."""
    check_embeddings(embeddings, f"{prefix}embeddings")
    check_tensor(labels, f"{prefix}labels")
    labels = check_labels(labels.cpu(), f"{prefix}labels")
    if len(labels) != len(embeddings):
        raise ValueError(
            f"{prefix}labels must have the shape [{len(embeddings)}, L], got {tuple(labels.shape)}"
        )
    return labels
