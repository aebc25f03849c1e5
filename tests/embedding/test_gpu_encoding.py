"""Encoding on a GPU, on a simulated one: half precision for images, one wait for each batch.

With STRATA_TEST_GPU=1 on the machine's own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from encoding import encode_images, encode_texts, timm_weights
from simulated_gpu import ON_GPU, no_gpu, simulated_gpu, waits
from strata_labels.embedding import VectorStore, embed_images, load_encoder
from tiny_clip import PLANT, colour_image


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    return [
        colour_image(tmp_path / f"{name}{n}.png", colour, n)
        for name, colour in PLANT.items()
        for n in range(25)
    ]


def specification(kind: str, tiny_folder: Path, folder: Path) -> str:
    if kind == "open_clip":
        return f"local-dir:{tiny_folder}"
    return f"timm:test_vit@{timm_weights(folder, 'test_vit')}"


@pytest.mark.parametrize("kind", ["open_clip", "timm"])
def test_images_are_encoded_on_gpu_in_half_precision(
    kind: str, tiny_folder: Path, tmp_path: Path, images: list[Path], gpu
) -> None:
    spec = specification(kind, tiny_folder, tmp_path)
    with no_gpu():
        here = encode_images(load_encoder(spec), images)
    with gpu():
        encoder = load_encoder(spec)
        assert encoder.image_dim == here.shape[1]
        there = encode_images(encoder, images)  # 75: a batch of 64, and one that is filled up
        some = encode_images(encoder, images[70:])
    assert (here.dtype, there.dtype) == (np.float32, np.float16)
    np.testing.assert_allclose(there, here, atol=4e-3 if ON_GPU else 1e-3)
    assert some.tobytes() == there[70:].tobytes()


def test_the_host_waits_once_for_each_batch(tiny_folder: Path, images: list[Path]) -> None:
    with simulated_gpu():
        encoder = load_encoder(f"local-dir:{tiny_folder}")
        assert encoder.image_dim
        waits.clear()
        encode_images(encoder, images)
        assert sum(waits.values()) == 2, waits


def test_texts_are_encoded_on_gpu_in_single_precision(tiny_folder: Path, gpu) -> None:
    names = ["church", "a mountain far away", "bridge"]
    spec = f"local-dir:{tiny_folder}"
    with gpu():
        there = encode_texts(load_encoder(spec), names)
    assert there.dtype == np.float32
    with no_gpu():
        here = encode_texts(load_encoder(spec), names)
    np.testing.assert_allclose(there, here, atol=1e-5 if ON_GPU else 1e-6)


def test_half_precision_is_stored_as_such(
    tiny_folder: Path, tmp_path: Path, images: list[Path]
) -> None:
    store, spec = tmp_path / "store", f"local-dir:{tiny_folder}"
    with simulated_gpu():
        first, _ = embed_images(VectorStore(store), load_encoder(spec), images[:64])
    (part,) = store.glob("*/image/*.vectors")
    assert part.stat().st_size == 512 + 64 * (32 + 2 * 16)
    both, _ = embed_images(VectorStore(store), load_encoder(spec), images)  # the rest is new
    assert both.dtype == np.float32 and both[:64].tobytes() == first.tobytes()
    np.testing.assert_allclose(both, encode_images(load_encoder(spec), images), atol=1e-3)
    again, _ = embed_images(VectorStore(store), load_encoder(spec), images[::-1])
    assert again.tobytes() == both[::-1].tobytes()
