"""Chooses pictures of examples for the tree page and draws them small, within a number of bytes."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from strata_labels.pictures import UnreadablePictureError, open_picture
from strata_labels.progress import track
from strata_labels.show.page_layout import PageLayout

#: Pixels of the longer side, and quality of the WebP file.
SIDE, QUALITY = 96, 50
#: Pictures of a node's own items, at most, and of all nodes.
MOST_OF_NODE, MOST = 4, 400
_TRIED = 3  # images of an item, and items for one place, that are looked for in vain
_GIVEN_UP = 500  # items in a row without a picture, e.g. where no images were downloaded


def example_pictures(
    layout: PageLayout,
    rows: np.ndarray,
    find_image: Callable[[str], Path | None],
    most_bytes: int,
) -> list[tuple[int, bytes]]:
    """Pictures of the surest items: one below each node, the upper ones first, then further ones.

    Args:
        layout: nodes and items.
        rows: the rows of the items that may have a picture.
        find_image: gives the file of an image reference, None where there is none.
        most_bytes: bytes of all pictures, at most.

    Returns:
        Row of the item and the content of a WebP file, by row.
    """
    images = [list(ids)[:_TRIED] for ids in layout.items["image_ids"]]
    rank = np.full(len(images), np.inf)
    may = np.array([row for row in rows.tolist() if images[row]], dtype=int)
    if not len(may) or most_bytes <= 0:
        return []
    sure = layout.items["confidence"].to_numpy(dtype=float)[may]
    rank[may] = np.argsort(np.argsort(-np.nan_to_num(sure), kind="stable"))
    found: dict[int, bytes] = {}
    has = np.zeros(len(images), bool)
    left, in_vain = most_bytes, 0
    with track(None, "pictures of the tree page") as tracker:
        for first, end, turn in _places(layout):
            if len(found) >= MOST or left <= 0 or in_vain >= _GIVEN_UP:
                break
            if turn == 1 and has[first:end].any():
                continue
            for _ in range(_TRIED):
                row = first + int(rank[first:end].argmin())
                if rank[row] == np.inf:
                    break
                rank[row] = np.inf
                content = _first_picture(images[row], find_image)
                in_vain = in_vain + 1 if content is None else 0
                if content is not None:
                    found[row], has[row] = content, True
                    left -= len(content)
                    tracker.advance(1)
                    break
    while left < 0:  # the last one was too large
        left += len(found.popitem()[1])
    return sorted(found.items())


def _places(layout: PageLayout) -> list[tuple[int, int, int]]:
    """Ranges of items that get a picture each, in order, and whose turn it is of a node."""
    nodes = layout.nodes
    ends = np.cumsum(nodes["direct"].to_numpy())
    starts = ends - nodes["direct"].to_numpy()
    total, depth = nodes["total"].to_numpy(), nodes["depth"].to_numpy()
    order = np.lexsort([-total, depth])
    first = [(int(starts[n]), int(starts[n] + total[n]), 1) for n in order if total[n]]
    own = np.argsort(-nodes["direct"].to_numpy(), kind="stable")
    more = [
        (int(starts[n]), int(ends[n]), turn)
        for turn in range(2, MOST_OF_NODE + 1)
        for n in own
        if ends[n] - starts[n] >= turn
    ]
    return first + more


def _first_picture(images: list[str], find_image: Callable[[str], Path | None]) -> bytes | None:
    for image in images:
        path = find_image(image)
        if path is None:
            continue
        try:
            picture = open_picture(path, SIDE)
        except UnreadablePictureError:
            continue
        picture.thumbnail((SIDE, SIDE))
        content = io.BytesIO()
        picture.save(content, "WEBP", quality=QUALITY, method=4)
        return content.getvalue()
    return None
