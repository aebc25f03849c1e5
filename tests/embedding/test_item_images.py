"""Vectors of image files and of items: each image is encoded once, damaged ones are named."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from encoding import encode_images
from strata_labels.embedding import (
    Encoder,
    ItemImages,
    VectorStore,
    alike,
    embed_images,
    image_vectors,
)
from strata_labels.embedding.decoding import PictureDecoder
from strata_labels.errors import InputError
from tiny_clip import PLANT, colour_image

RED, GREEN, BLUE = PLANT.values()


def _image(root: Path, name: str, colour: tuple[int, int, int], suffix: str = ".jpg") -> Path:
    path = root / name[0] / name[1] / name[2] / f"{name}{suffix}"
    return colour_image(path, colour, seed=sum(name.encode()))


def _count_images(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that are decoded from now on."""
    decoded = []
    real = PictureDecoder.__call__

    def counting(decoder, path):
        decoded.append(path)
        return real(decoder, path)

    monkeypatch.setattr(PictureDecoder, "__call__", counting)
    return decoded


def test_an_items_vector_is_the_mean_of_its_first_images(tiny: Encoder, tmp_path: Path) -> None:
    root = tmp_path / "images"
    reds = [_image(root, f"abc{n}", RED) for n in range(3)]
    suffixes = (".jpeg", ".png")
    greens = [_image(root, f"bcd{n}", GREEN, suffix) for n, suffix in enumerate(suffixes)]
    items = [
        ["abc0", "gone-1", "abc1", "abc2"],
        [],
        ["bcd0", "bcd1"],
        ["zz", "../x/abc0", "zzzzzz"],
    ]
    found = image_vectors(
        ItemImages(VectorStore(tmp_path / "store"), tiny, items, root, images_per_item=2)
    )
    assert found.num_images.tolist() == [2, 0, 2, 0]
    assert found.missing == ["gone-1", "zz", "../x/abc0", "zzzzzz"] and found.damaged == {}
    assert np.isnan(found.vectors[[1, 3]]).all()
    for row, paths in ((0, reds[:2]), (2, greens)):
        mean = encode_images(tiny, paths).mean(axis=0)
        np.testing.assert_allclose(found.vectors[row], mean / np.linalg.norm(mean), atol=1e-6)


def test_damaged_images_are_named_and_left_out(tiny: Encoder, tmp_path: Path) -> None:
    root = tmp_path / "images"
    good = _image(root, "abc0", RED)
    torn = _image(root, "abc1", RED)
    torn.write_bytes(torn.read_bytes()[:300])
    empty = _image(root, "abc2", RED)
    empty.write_bytes(b"")
    text = _image(root, "abc3", RED, ".png")
    text.write_bytes(b"<html>429 Too Many Requests</html>")
    png = _image(root, "abc4", RED, ".png")
    png.write_bytes(png.read_bytes()[:200] + b"\0" * 400)
    items = [["abc0", "abc1", "abc2"], ["abc3", "abc4"]]
    found = image_vectors(ItemImages(VectorStore(tmp_path / "store"), tiny, items, root))
    assert found.num_images.tolist() == [1, 0]
    assert set(found.damaged) == {torn, empty, text, png}
    np.testing.assert_allclose(found.vectors[0], encode_images(tiny, [good])[0], atol=1e-6)


def test_no_image_is_decoded_twice(
    tiny: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [colour_image(tmp_path / f"{n}.png", RED, seed=n) for n in range(12)]
    twin = tmp_path / "twin.png"
    twin.write_bytes(paths[0].read_bytes())
    encode_images(tiny, paths[:1])
    decoded = _count_images(monkeypatch)
    first, _ = embed_images(VectorStore(tmp_path / "s"), tiny, [*paths, twin, paths[1]])
    assert len(decoded) == 12
    assert first[0].tobytes() == first[12].tobytes()
    again, _ = embed_images(VectorStore(tmp_path / "s"), tiny, paths[::-1])
    assert len(decoded) == 12
    assert again.tobytes() == first[:12][::-1].tobytes()
    colour_image(paths[3], BLUE, seed=99)
    changed, _ = embed_images(VectorStore(tmp_path / "s"), tiny, paths)
    assert len(decoded) == 13
    assert (changed != first[:12]).any(axis=1).nonzero()[0].tolist() == [3]


def test_hashes_are_remembered_until_a_file_changes(tmp_path: Path) -> None:
    from strata_labels.embedding.file_hashes import FileHashes

    path = tmp_path / "a.jpg"
    path.write_bytes(b"one")
    os.utime(path, ns=(10, 10))
    keys = FileHashes(tmp_path / "h.sqlite").keys([path, tmp_path / "gone.jpg"])
    assert keys[0] is not None and keys[1] is None
    path.write_bytes(b"two")
    os.utime(path, ns=(10, 10))  # same size, same time: taken for unchanged, by design
    assert FileHashes(tmp_path / "h.sqlite").keys([path])[0] == keys[0]
    os.utime(path, ns=(20, 20))
    assert FileHashes(tmp_path / "h.sqlite").keys([path])[0] != keys[0]
    (tmp_path / "h.sqlite").write_bytes(b"not a database" * 100)
    assert FileHashes(tmp_path / "h.sqlite").keys([path])[0] is not None
    assert (tmp_path / "h.sqlite.damaged").exists()


def test_no_image_folder_is_refused(tiny: Encoder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        image_vectors(ItemImages(VectorStore(tmp_path), tiny, [["abc"]], tmp_path / "nowhere"))


def test_items_without_any_image(tiny: Encoder, tmp_path: Path) -> None:
    found = image_vectors(ItemImages(VectorStore(tmp_path / "s"), tiny, [["abcd"], []], tmp_path))
    assert found.vectors.shape == (2, 16) and np.isnan(found.vectors).all()
    assert found.num_images.tolist() == [0, 0] and found.missing == ["abcd"]


def test_all_images_damaged(tiny: Encoder, tmp_path: Path) -> None:
    for n in range(3):
        _image(tmp_path, f"abc{n}", RED).write_bytes(b"?")
    items = [["abc0", "abc1"], ["abc2"]]
    found = image_vectors(ItemImages(VectorStore(tmp_path / "s"), tiny, items, tmp_path))
    assert found.num_images.tolist() == [0, 0] and len(found.damaged) == 3
    assert np.isnan(found.vectors).all()


def _around(centre: int, count: int, generator: np.random.Generator) -> np.ndarray:
    vectors = 0.1 * generator.normal(size=(count, 64))
    vectors[:, centre] += 1
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_planted_strangers_are_not_alike() -> None:
    generator = np.random.default_rng(0)
    for strangers in (1, 2, 3):
        own = _around(0, 8 - strangers, generator)
        others = np.concatenate([_around(k + 1, 1, generator) for k in range(strangers)])
        order = generator.permutation(8)
        found = alike(np.concatenate([own, others])[order][None].astype(np.float32))
        assert found[0].tolist() == (order < len(own)).tolist()


def test_without_outliers_and_of_two_images_none_is_left_out() -> None:
    generator = np.random.default_rng(1)
    same = np.stack([_around(0, 5, generator) for _ in range(200)]).astype(np.float32)
    assert alike(same).mean() > 0.99
    assert alike(np.eye(2, 64, dtype=np.float32)[None]).all()
    assert alike(np.repeat(same[:1, :1], 4, axis=1)).all()  # one image, four times
    apart = np.eye(5, 64, dtype=np.float32)[None]
    assert alike(apart).all()  # all equally far


def test_an_outlier_is_left_out_of_the_mean(tiny: Encoder, tmp_path: Path) -> None:
    reds = [_image(tmp_path, f"abc{n}", RED) for n in range(4)]
    _image(tmp_path, "bcd0", BLUE)
    items = [["abc0", "abc1", "bcd0", "abc2", "abc3"], ["abc0", "bcd0"]]
    found = image_vectors(ItemImages(VectorStore(tmp_path / "s"), tiny, items, tmp_path))
    assert found.num_images.tolist() == [4, 2] and found.left_out == 1
    mean = encode_images(tiny, reds).mean(axis=0)
    np.testing.assert_allclose(found.vectors[0], mean / np.linalg.norm(mean), atol=1e-6)
