"""Cross-batch memory: embeddings of past batches as further references."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from strata_labels.label_tensors import send


class Memory(nn.Module):
    """The last embeddings and their labels, first in, first out (Wang et al., "Cross-Batch Memory
    for Embedding Learning", CVPR 2020).

    Args:
        size: embeddings kept.
        dim: their length.
        num_levels: L.
        device: where the embeddings are; labels are on the host.
        precision: of the embeddings.
    """

    embeddings: Tensor
    labels: Tensor

    def __init__(
        self,
        size: int,
        dim: int,
        num_levels: int,
        device: torch.device | str = "cpu",
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.register_buffer("embeddings", torch.zeros(size, dim, device=device, dtype=precision))
        self.register_buffer("labels", torch.zeros(size, num_levels, dtype=torch.int64))
        # Where the next goes, and how many there are; on the host, so that no device is waited for.
        self._next = self._filled = 0

    def get_extra_state(self) -> tuple[int, int]:
        """Where the next goes, and how many there are."""
        return self._next, self._filled

    def set_extra_state(self, state: tuple[int, int]) -> None:
        """Continues from `get_extra_state`."""
        self._next, self._filled = state

    def references(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The batch `[b, d]`, and its labels `[b, L]` on the host, followed by what is kept."""
        return (
            torch.cat([embeddings, self.embeddings[: self._filled].to(embeddings.dtype)]),
            torch.cat([labels, self.labels[: self._filled]]),
        )

    @torch.no_grad()
    def add(self, embeddings: Tensor, labels: Tensor) -> None:
        """Keeps a batch, its labels being on the host; of one larger than the memory, its end."""
        size = len(self.embeddings)
        embeddings, labels = embeddings[-size:], labels[-size:]
        at = (self._next + torch.arange(len(labels))) % size
        there = send(at, self.embeddings.device)
        self.embeddings[there] = embeddings.detach().to(self.embeddings.dtype)
        self.labels[at] = labels
        self._next = (self._next + len(labels)) % size
        self._filled = min(self._filled + len(labels), size)
