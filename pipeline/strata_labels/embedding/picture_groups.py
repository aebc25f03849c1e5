"""Finds images that are the same picture: equal files, and copies that were scaled or compressed.

Two pictures are nearly the same if the outlines of their 16 x 16 thumbnails agree. The threshold
was chosen on every other photograph of the Grocery Store Dataset (324 of them) so that copies in
half and a third of the size, of JPEG quality 30, or with another brightness, contrast or colour are
found; docs/splits.md says what it finds on the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from strata_labels.embedding.encoder import Floats
from strata_labels.embedding.file_hashes import FileHashes
from strata_labels.pictures import UnreadablePictureError, open_picture
from strata_labels.progress import track

#: Cosine of two outlines from which on pictures are nearly the same.
NEARLY_SAME = 0.97
_SIDE = 16
_DIM = 2 * _SIDE * (_SIDE - 1)
_AT_ONCE = 2048


@dataclass(frozen=True)
class PictureGroups:
    """Which images are the same picture.

    Attributes:
        group: `[n]`, one number for the images of a picture.
        by_file: how many images could be looked at.
        by_content: how many were compared by the checksum of their content only.
        by_reference: how many were compared by their reference only.
    """

    group: NDArray[np.int64]
    by_file: int
    by_content: int
    by_reference: int


def picture_groups(
    references: Sequence[str],
    files: Sequence[Path | None],
    hashes: Path,
    keys: Mapping[str, bytes] = MappingProxyType({}),
) -> PictureGroups:
    """Groups images that are the same or nearly so.

    Args:
        references: of the images.
        files: their files; None where there is none.
        hashes: the SQLite file in which checksums of files are kept.
        keys: SHA-256 of the content of images that have been read from archives, by reference.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    there = [n for n, file in enumerate(files) if file is not None and references[n] not in keys]
    with closing(FileHashes(hashes)) as known:
        found = dict(zip(there, known.keys([files[n] or Path() for n in there]), strict=True))
    contents: dict[bytes | str, int] = {}
    content = np.empty(len(references), np.int64)
    for n, reference in enumerate(references):
        own = keys.get(reference) or found.get(n) or reference
        content[n] = contents.setdefault(own, len(contents))
    known_content = np.array([isinstance(own, bytes) for own in contents], dtype=bool)
    first: dict[int, Path] = {}
    for n, file in enumerate(files):
        if file is not None:
            first.setdefault(int(content[n]), file)
    vectors, looked_at = _outlines(list(first.values()))
    looked = np.zeros(len(contents), dtype=bool)
    looked[np.array(list(first), dtype=np.int64)[looked_at]] = True
    one, other = near_pairs(vectors)
    place = np.array(list(first), dtype=np.int64)[looked_at]
    edges = coo_array(
        (np.ones(len(one)), (place[one], place[other])), shape=(len(contents), len(contents))
    )
    group = connected_components(edges, directed=False)[1][content] if len(contents) else content
    return PictureGroups(
        group.astype(np.int64),
        int(looked[content].sum()),
        int((known_content & ~looked)[content].sum()),
        int((~known_content & ~looked)[content].sum()),
    )


def outline(file: Path | bytes) -> Floats:
    """The unit vector `[480]` of how grey changes across a thumbnail; zeros of a plain picture.

    Args:
        file: of the picture, or its content.

    Raises:
        UnreadablePictureError: there is no picture to open.
    """
    from PIL import Image

    picture = open_picture(file, 4 * _SIDE).convert("L")
    small = picture.resize((_SIDE, _SIDE), Image.Resampling.BOX)
    grey = np.asarray(small, dtype=np.float32)
    change = np.concatenate([np.diff(grey, axis=0).ravel(), np.diff(grey, axis=1).ravel()])
    change -= change.mean()
    # Differences of one grey level are noise: so little says nothing.
    length = np.linalg.norm(change)
    return change / length if length > np.sqrt(_DIM) else np.zeros(_DIM, np.float32)


def near_pairs(
    vectors: Floats, least: float = NEARLY_SAME
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of all pairs of unit vectors whose cosine is at least so much, each pair once."""
    pairs: list[NDArray[np.int64]] = [np.empty((2, 0), np.int64)]
    with track(len(vectors), "comparing pictures") as tracker:
        for start in range(0, len(vectors), _AT_ONCE):
            block = vectors[start : start + _AT_ONCE]
            for after in range(start, len(vectors), _AT_ONCE):
                # Rounded, so that other kernels of linear algebra find the same pairs.
                alike = np.round(block @ vectors[after : after + _AT_ONCE].T, 4) >= least
                one, other = np.nonzero(alike)
                later = start + one < after + other
                pairs.append(np.stack([start + one[later], after + other[later]]))
            tracker.advance(len(block))
    found = np.concatenate(pairs, axis=1)
    return found[0], found[1]


def _outlines(files: Sequence[Path]) -> tuple[Floats, NDArray[np.bool_]]:
    """Outlines of the files that can be read, and which these are."""

    def look(path: Path) -> Floats | None:
        try:
            return outline(path)
        except UnreadablePictureError:
            return None

    found: list[Floats] = []
    readable = np.zeros(len(files), dtype=bool)
    with track(len(files), "looking at pictures") as tracker, ThreadPoolExecutor() as pool:
        for start in range(0, len(files), _AT_ONCE):
            some = list(pool.map(look, files[start : start + _AT_ONCE]))
            readable[start : start + len(some)] = [one is not None for one in some]
            found += [one for one in some if one is not None]
            tracker.advance(len(some))
    return np.array(found, np.float32).reshape(-1, _DIM), readable
