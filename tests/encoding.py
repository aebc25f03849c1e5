"""Vectors straight from an encoder, without a store, and weights for encoders of timm."""

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


def timm_weights(folder: Path, name: str, seed: int = 0, num_classes: int = 1000) -> Path:
    """A file with random weights of a timm model, its classifier included."""
    import timm
    import torch
    from safetensors.torch import save_file

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = timm.create_model(name, num_classes=num_classes)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors"


def _in_order(batches, count: int) -> np.ndarray:
    rows = {n: row for positions, rows in batches for n, row in zip(positions, rows, strict=True)}
    return np.stack([rows[n] for n in range(count)])
