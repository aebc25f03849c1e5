"""GLDv2's files of images: which images a landmark has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from strata_labels.sources.contract import Counts
from strata_labels.sources.streamed import stream_csv

# Images lie at a/b/c/abc....jpg, so an id has three characters at least.
_IMAGE = "[0-9A-Za-z_-]{3,}"
_LANDMARK = "[0-9]{1,18}"
_LIST = pa.list_(pa.string())


def add_images(items: pd.DataFrame, files: dict[str, Path]) -> tuple[pd.DataFrame, Counts]:
    """Adds `image_ids` to the landmarks.

    A train landmark's images are those of `train_clean` where that file is there, else those of
    `train`; an index landmark's those of `index_image_to_landmark`.

    Args:
        items: landmarks, sorted by split and id.
        files: the files there are, by official name.

    Returns:
        The items with an Arrow list column `image_ids` in the order of the files; and the counts
        of image rows by file.

    Raises:
        InputError: anything wrong in a file (see `stream_csv`).
    """
    listed = ["train_clean" if "train_clean" in files else "train", "index_image_to_landmark"]
    counts: Counts = {}
    lists: dict[str, pa.Array] = {}
    for name in listed:
        if name not in files:
            continue
        split = name.split("_")[0]
        owners = items.loc[items["split"] == split, "source_id"].to_numpy()
        total, known = 0, list[pa.Table]()
        for batch in _batches(name, files[name]):
            total += len(batch)
            known.append(batch.filter(pa.array(np.isin(batch["landmark_id"], owners))))
        kept = sum(map(len, known))
        aside = {"landmark not in the metadata": total - kept} if total > kept else {}
        counts[name] = {"in": total, "out": kept, "set_aside": aside}
        lists[split] = _lists(owners, known)
    columns = [
        lists.get(str(split), pa.array([[]] * len(part), _LIST))
        for split, part in items.groupby("split", sort=True)
    ]
    image_ids = pa.concat_arrays(columns)
    return items.assign(
        image_ids=pd.Series(image_ids, items.index, dtype=pd.ArrowDtype(_LIST))
    ), counts


def _lists(owners: np.ndarray, batches: list[pa.Table]) -> pa.Array:
    """One list of images per owner (sorted by id), in the order they came.

    Arrow arrays, since millions of Python strings are large.
    """
    found = pa.concat_tables(
        [_table(pa.array([], pa.string()), pa.array([], pa.int64())), *batches]
    )
    landmarks = found["landmark_id"].to_numpy()
    order = np.argsort(landmarks, kind="stable")
    images = pa.concat_arrays(found["image_id"].chunks).take(pa.array(order))
    offsets = np.searchsorted(landmarks[order], owners)
    return pa.ListArray.from_arrays(
        pa.array(np.append(offsets, len(landmarks)), pa.int32()), images
    )


def _batches(name: str, path: Path) -> Iterator[pa.Table]:
    """Columns `image_id, landmark_id` of a file, block by block."""
    if name == "train_clean":
        columns = {"landmark_id": _LANDMARK, "images": rf" *{_IMAGE}(?: +{_IMAGE})* *"}
        for batch in stream_csv(path, columns):
            images = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(batch["images"]))
            owners = batch["landmark_id"].take(pc.list_parent_indices(images))
            yield _table(pc.list_flatten(images), owners)
    else:
        for batch in stream_csv(path, {"id": _IMAGE, "landmark_id": _LANDMARK}):
            yield _table(batch["id"], batch["landmark_id"])


def _table(images: pa.Array, owners: pa.Array) -> pa.Table:
    return pa.table({"image_id": images, "landmark_id": pc.cast(owners, pa.int64())})
