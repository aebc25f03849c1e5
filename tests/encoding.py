"""Vectors straight from an encoder, without a store, for comparison in tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from strata_labels.embedding import Encoder


def encode_texts(encoder: Encoder, texts: Sequence[str]) -> np.ndarray:
    """Vectors `[n, d]` of texts."""
    return _in_order(encoder.text_batches(texts), len(texts))


def encode_images(encoder: Encoder, paths: Sequence[Path]) -> np.ndarray:
    """Vectors `[n, d]` of images, all of them intact."""
    batches = encoder.image_batches(paths)
    return _in_order(((positions, vectors) for positions, vectors, _ in batches), len(paths))


def _in_order(batches, count: int) -> np.ndarray:
    rows = {n: row for positions, rows in batches for n, row in zip(positions, rows, strict=True)}
    return np.stack([rows[n] for n in range(count)])
