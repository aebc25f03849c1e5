"""Text and image encoders of open_clip and timm; torch is imported when something is encoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from strata_labels.embedding.encoder_spec import EncoderSpec, resolve_spec
from strata_labels.embedding.registry import build_registry
from strata_labels.errors import InputError, Problem
from strata_labels.files import user_cache
from strata_labels.pictures import available_cores

if TYPE_CHECKING:
    import torch

    from strata_labels.embedding.image_tower import ImageTower
    from strata_labels.embedding.towers import Towers

Floats = NDArray[np.float32]
#: Vectors as they are stored: of half precision where the model computed in it.
StoredFloats = NDArray[np.float32] | NDArray[np.float16]

_TOKENIZED_AT_ONCE = 4096


def load_encoder(spec: str, cache_folder: Path | None = None) -> Encoder:
    """An encoder by its specification; its weights are loaded when something is encoded.

    Args:
        spec: `registry`, `MODEL/TAG`, `MODEL/path-to-a-checkpoint`, `local-dir:FOLDER`,
            `timm:NAME` or `timm:NAME@FILE`.
        cache_folder: where the `registry` encoder is kept once joined; by default `strata` in
            the user's cache folder.

    Raises:
        InputError: the specification names nothing, or an extra is missing.
    """
    return Encoder(resolve_spec(spec), cache_folder or user_cache())


class Encoder:
    """Text and image vectors of one model, L2-normalised; images of half precision on a GPU.

    A vector depends on its text or image alone, to the last bit on one machine, not on what else
    is encoded with it.

    Attributes:
        id: lasting identity, by content where the weights are local files.
        aligned: whether texts and images share a space, so that they can be compared.
        has_text: whether it encodes texts at all.
    """

    def __init__(self, spec: EncoderSpec, cache_folder: Path) -> None:
        self.id = spec.id
        self.aligned = spec.aligned
        self.has_text = spec.kind != "timm"
        self._spec = spec
        self._cache_folder = cache_folder

    @cached_property
    def image_dim(self) -> int:
        """Length of an image vector."""
        return self._loaded.start(self._loaded.blank_batch()).shape[1]

    @cached_property
    def logit_scale(self) -> float:
        """The learnt inverse temperature: softmax(logit_scale * cosine) ranks texts for an image.

        Raises:
            InputError: the towers are not aligned.
        """
        if not self.aligned:
            what = "its text and image vectors do not share a space: no text-image similarity from"
            fix = "Compare texts with texts and images with images, or take a CLIP model."
            raise InputError(Problem("--encoder", what, fix, value=self._spec.text))
        return float(self._towers.model.logit_scale.detach().exp())

    def text_batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], Floats]]:
        """Yields `(positions, vectors)` batch by batch, every position once, in any order.

        Raises:
            InputError: the encoder has no texts, or returned NaN or an infinite number.
        """
        loaded = self._towers
        for first in range(0, len(texts), _TOKENIZED_AT_ONCE):
            tokens = loaded.tokenizer(list(texts[first : first + _TOKENIZED_AT_ONCE]))
            lengths = loaded.padded_lengths(tokens)
            for length in np.unique(lengths):
                rows = np.flatnonzero(lengths == length)
                for start in range(0, len(rows), loaded.text_batch):
                    some = rows[start : start + loaded.text_batch]
                    positions = (some + first).tolist()
                    vectors = loaded.text_vectors(tokens[some, :length])
                    self._check_finite(vectors, [texts[n] for n in positions])
                    yield positions, vectors

    def image_batches(
        self, files: Iterable[Path | bytes], threads: int | None = None
    ) -> Iterator[tuple[list[int], StoredFloats, dict[int, str]]]:
        """Yields `(positions, vectors, damaged)`; `damaged` has position and reason of the rest.

        Args:
            files: image files or their contents, which are taken as they are needed.
            threads: how many images are decoded at a time, in processes for an encoder on a GPU;
                None for what the machine has, 1 for nothing besides this thread.

        Raises:
            InputError: the encoder returned NaN or an infinite number.
        """
        from strata_labels.embedding.decoding import decode

        loaded = self._loaded
        cores, on_gpu = threads or min(16, available_cores()), loaded.device == "cuda"
        begun: tuple[list[int], torch.Tensor, list[str]] | None = None
        for batch in decode(loaded.pixels, files, loaded.image_batch, cores, on_gpu):
            # All this while a GPU encodes the batch before.
            some = loaded.batch_of(batch.pixels) if batch.positions else None
            done = self._finish(*begun) if begun else ([], np.empty((0, 0), np.float32))
            begun = None
            if some is not None:
                begun = batch.positions, loaded.start(some), batch.names
            if done[0] or batch.damaged:
                yield *done, batch.damaged
        if begun:
            yield *self._finish(*begun), {}

    def image_tower(self) -> tuple[Any, torch.Tensor, torch.Tensor]:
        """The image tower as a torch module, with the mean and deviation `[3]` its pixels
        `[n, 3, h, w]` are normalised by; its output is not of unit length."""
        return self._loaded.visual, self._loaded.mean, self._loaded.std

    def _finish(
        self, positions: list[int], begun: torch.Tensor, names: list[str]
    ) -> tuple[list[int], StoredFloats]:
        vectors = self._loaded.fetch(begun, len(positions))
        self._check_finite(vectors, names)
        return positions, vectors

    def _check_finite(self, vectors: StoredFloats, inputs: Sequence[str]) -> None:
        """Refuses vectors that say nothing before they are stored."""
        wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(wrong):
            what = f"encoder {self._spec.text!r} returned NaN or infinite numbers, first for"
            fix = "Its weights are damaged or do not fit its configuration: use another encoder."
            raise InputError(Problem("--encoder", what, fix, value=inputs[wrong[0]]))

    @cached_property
    def _loaded(self) -> ImageTower:
        if not self.has_text:
            from strata_labels.embedding.timm_tower import TimmTower

            return TimmTower(self._spec)
        from strata_labels.embedding.towers import Towers

        if self._spec.kind == "registry":
            return Towers(resolve_spec(f"local-dir:{build_registry(self._cache_folder)}"))
        return Towers(self._spec)

    @property
    def _towers(self) -> Towers:
        if not self.has_text:
            what = "encodes images alone, no names:"
            fix = f"Give it as --image-encoder {self._spec.text}, and another --encoder for names."
            raise InputError(Problem("--encoder", what, fix, value=self._spec.text))
        return self._loaded  # type: ignore[return-value]
