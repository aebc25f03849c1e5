"""Vectors of texts, prompts, images and items; what the store has is not encoded again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from strata_labels.embedding.encoder import Encoder, Floats
from strata_labels.embedding.file_hashes import FileHashes
from strata_labels.embedding.vector_store import VectorStore, text_key
from strata_labels.errors import InputError, Problem
from strata_labels.pictures import picture_file
from strata_labels.progress import track

_IMAGES_AT_ONCE = 4096

#: An image further from the others than this many times the item's median is left out.
#: Chosen on the grocery photographs with an even `fine_id` (see benchmarks/strangers.py).
FURTHER = 1.5
#: Images as near as this, as 1 - cosine, are alike however near the others are.
NEAR = 0.05
#: Of fewer images, none is left out: each is as far from the other as the other from it.
LEAST_IMAGES = 3
_DECIMALS = 5


@dataclass(frozen=True)
class ItemVectors:
    """Image vectors of items.

    Attributes:
        vectors: `[num_items, d]`, the normalised mean over an item's images that are alike; a row
            of NaN for an item without a readable image.
        num_images: `[num_items]`, how many images each mean is over.
        left_out: how many readable images are in no mean.
        missing: image ids without a file, as far as files were looked for, in order.
        damaged: files and contents that are no images, with the reason.
    """

    vectors: Floats
    num_images: NDArray[np.int32]
    left_out: int
    missing: list[str]
    damaged: dict[Path | bytes, str]


def embed_texts(store: VectorStore, encoder: Encoder, texts: Sequence[str]) -> Floats:
    """Vectors of texts `[len(texts), d]`; only texts the store does not know are encoded.

    The vectors do not depend on what the store held before.
    """
    table = store.table(encoder.id, "text")
    keys = [text_key(text) for text in texts]
    by_key = dict(zip(keys, texts, strict=True))
    new = table.missing(keys)
    if new:
        with track(len(new), "embedding texts") as tracker, table.writer() as add:
            for positions, vectors in encoder.text_batches([by_key[key] for key in new]):
                add([new[n] for n in positions], vectors)
                tracker.advance(len(positions))
    return table.vectors(keys)


def prompt_vectors(
    store: VectorStore, encoder: Encoder, names: Sequence[str], templates: Sequence[str]
) -> Floats:
    """Vectors of names `[len(names), d]`: the normalised mean over prompt templates.

    Args:
        store: where vectors are kept.
        encoder: a loaded encoder.
        names: e.g. class names.
        templates: prompts in which the name replaces `{}`, at least one; averaging in the vector
            space is Radford et al. 2021 (CLIP), section 3.1.4.

    Raises:
        InputError: no template, or one without `{}`.
    """
    fix = 'Write a prompt such as "A picture of a {}".'
    problems = [
        Problem("templates", "prompt without {}:", fix, value=template)
        for template in templates
        if "{}" not in template
    ]
    if problems or not templates:
        raise InputError(problems or Problem("templates", "no prompt template", fix))
    prompts = [template.replace("{}", name) for name in names for template in templates]
    vectors = embed_texts(store, encoder, prompts)
    shape = (len(names), len(templates), vectors.shape[1])
    return _normalised(vectors.reshape(shape).mean(axis=1))


def embed_images(
    store: VectorStore, encoder: Encoder, paths: Sequence[Path]
) -> tuple[Floats, dict[Path, str]]:
    """Vectors of image files; only images whose content the store does not know are encoded.

    Returns:
        Vectors `[len(paths), d]`, a row of NaN where an image is missing or damaged; and the files
        that are no images, with the reason.
    """
    with track(len(paths), "embedding images") as tracker:
        vectors, damaged = _embed_images(store, encoder, paths, tracker.advance)
        return vectors, {file: why for file, why in damaged.items() if isinstance(file, Path)}


@dataclass(frozen=True)
class ImageGroup:
    """Items with equally many readable images.

    Attributes:
        items: positions of the items, `[items]`.
        images: references of each item's n images.
        vectors: unit vectors, `[items, n, d]`.
    """

    items: NDArray[np.int64]
    images: list[list[str]]
    vectors: Floats


class ItemImages:
    """The first images of items that are there, with a vector for each.

    Args:
        store: where vectors are kept.
        encoder: a loaded encoder.
        items: image references of each item.
        root: folder of images: a path is relative to it, an id has the file `a/b/c/abc….jpg` (or
            `.jpeg`, `.png`). None where no image has a file.
        images_per_item: at most this many images of an item.
        keys: SHA-256 of the content by image reference, for images that were encoded before and
            need no file.

    Raises:
        InputError: no such folder.

    Attributes:
        missing: image ids without a file, as far as files were looked for, in order.
        damaged: files and contents that are no images, with the reason, as far as `groups` came.
    """

    def __init__(
        self,
        store: VectorStore,
        encoder: Encoder,
        items: Iterable[Sequence[str]],
        root: Path | None,
        images_per_item: int = 8,
        keys: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        if root is not None and not root.is_dir():
            fix = "Give the folder whose sub-folders are the first characters of the image ids."
            raise InputError(Problem("--images", "no such folder:", fix, value=str(root)))
        self._store, self._encoder = store, encoder
        self.missing: list[str] = []
        self.damaged: dict[Path | bytes, str] = {}
        without = set(store.table(encoder.id, "image").missing(keys.values()))
        encoded = {image: key for image, key in keys.items() if key not in without}
        self._files = [
            image_files(root, images, images_per_item, self.missing, encoded) for images in items
        ]

    def __len__(self) -> int:
        return len(self._files)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._store.table(self._encoder.id, "image").dim or self._encoder.image_dim

    def groups(self, activity: str = "embedding images") -> Iterator[ImageGroup]:
        """Yields every item with a readable image, in portions, so that memory stays bounded."""
        sizes = np.array([len(files) for files in self._files], np.int64)
        portions = np.cumsum(sizes) // _IMAGES_AT_ONCE
        with track(int(sizes.sum()), activity) as tracker:
            for portion in np.unique(portions):
                some = np.flatnonzero((portions == portion) & (sizes > 0))
                paths = [path for item in some for path in self._files[item].values()]
                vectors, unread = _embed_images(self._store, self._encoder, paths, tracker.advance)
                self.damaged |= unread
                good = np.flatnonzero(np.isfinite(vectors).any(axis=1))
                yield from self._groups(some, good, vectors)

    def _groups(
        self, some: NDArray[np.int64], good: NDArray[np.int64], vectors: Floats
    ) -> Iterator[ImageGroup]:
        images = [image for item in some for image in self._files[item]]
        item = np.repeat(some, [len(self._files[each]) for each in some])
        counts = np.bincount(item[good], minlength=len(self))
        for count in np.unique(counts[counts > 0]):
            table = good[counts[item[good]] == count].reshape(-1, count)
            named = [[images[row] for row in of_item] for of_item in table.tolist()]
            yield ImageGroup(item[table[:, 0]], named, vectors[table])


def image_vectors(images: ItemImages) -> ItemVectors:
    """An item's image vector: the normalised mean over its images that are alike (see `alike`)."""
    num_images = np.zeros(len(images), np.int32)
    left_out = 0
    means: Floats | None = None
    for group in images.groups():
        kept = alike(group.vectors)
        left_out += int((~kept).sum())
        num_images[group.items] = kept.sum(axis=1)
        if means is None:
            means = np.full((len(images), group.vectors.shape[2]), np.nan, np.float32)
        total = np.where(kept[:, :, None], group.vectors, 0).sum(axis=1)
        means[group.items] = _normalised(total)
    if means is None:
        means = np.full((len(images), images.dim), np.nan, np.float32)
    return ItemVectors(means, num_images, left_out, images.missing, images.damaged)


def alike(vectors: Floats) -> NDArray[np.bool_]:
    """Which images of each item are like the item's other images; at least half of them are.

    An image's distance is the median of 1 - cosine to the other images of its item. It is compared
    with the item's median of these, so how much an item's images vary is taken into account.

    Args:
        vectors: unit vectors of items with n images each, `[items, n, d]`.

    Returns:
        Boolean `[items, n]`.
    """
    items, count, _ = vectors.shape
    if count < LEAST_IMAGES:
        return np.ones((items, count), dtype=bool)
    distance = 1.0 - vectors @ vectors.transpose(0, 2, 1)
    own = np.arange(count)
    distance[:, own, own] = np.inf
    to_others = np.median(np.sort(distance, axis=2)[:, :, :-1], axis=2).round(_DECIMALS)
    usual = np.median(to_others, axis=1, keepdims=True)
    return np.asarray(to_others <= np.maximum(FURTHER * usual, NEAR))


def _embed_images(
    store: VectorStore,
    encoder: Encoder,
    paths: Sequence[Path | bytes],
    advance: Callable[[int], None],
) -> tuple[Floats, dict[Path | bytes, str]]:
    """Vectors of files, and of contents by their keys, which the store has."""
    with closing(FileHashes(store.folder / "images.sqlite")) as hashes:
        hashed = iter(hashes.keys([path for path in paths if isinstance(path, Path)]))
    keys = [path if isinstance(path, bytes) else next(hashed) for path in paths]
    table = store.table(encoder.id, "image")
    by_key = {key: path for path, key in zip(paths, keys, strict=True) if key is not None}
    new = table.missing(by_key)
    advance(len(paths) - len(new))
    reasons: dict[bytes | None, str] = {}
    if new:
        with table.writer() as add:
            for positions, vectors, damaged in encoder.image_batches([by_key[k] for k in new]):
                if positions:
                    add([new[n] for n in positions], vectors)
                reasons |= {new[n]: why for n, why in damaged.items()}
                advance(len(positions) + len(damaged))
    known = {n: key for n, key in enumerate(keys) if key is not None and key not in reasons}
    found = np.full((len(paths), table.dim or 0), np.nan, np.float32)
    found[list(known)] = table.vectors(list(known.values()))
    return found, {
        path: reasons[key] for path, key in zip(paths, keys, strict=True) if key in reasons
    }


def image_files(
    root: Path | None,
    images: Sequence[str],
    at_most: int,
    missing: list[str] | None = None,
    encoded: Mapping[str, bytes] = MappingProxyType({}),
) -> dict[str, Path | bytes]:
    """The first images that are there, at most so many, by reference; adds others to `missing`.

    An image is there if it was encoded, which gives its key, or has a file.
    """
    files: dict[str, Path | bytes] = {}
    for image in images:
        if len(files) == at_most:
            break
        if image in encoded:
            files[image] = encoded[image]
        elif root is not None and (path := picture_file(root, image)) is not None:
            files[image] = path
        elif missing is not None:
            missing.append(image)
    return files


def _normalised(vectors: Floats) -> Floats:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
