"""GLDv2's files of images: which images a landmark has, in a table and as lists."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from strata_labels.files import whole, write_table
from strata_labels.sources.contract import Counts
from strata_labels.sources.streamed import stream_csv

# Images lie at a/b/c/abc....jpg, so an id has three characters at least.
_IMAGE = "[0-9A-Za-z_-]{3,}"
_LANDMARK = "[0-9]{1,18}"
_TABLE = pa.schema(
    [
        ("image_id", pa.string()),
        ("split", pa.string()),
        ("landmark_id", pa.int64()),
        ("url", pa.string()),
    ]
)
_LIST = pa.list_(pa.string())


def add_images(
    items: pd.DataFrame, files: dict[str, Path], images_table: Path | None
) -> tuple[pd.DataFrame, Counts, Path | None]:
    """Adds `image_ids` to the landmarks, and writes the table of images.

    A train landmark's images are those of `train_clean` where that file is there, else those of
    `train`; an index landmark's those of `index_image_to_landmark`. The table holds the images of
    `train` (or, without it, of `train_clean`, urls blank) and of the index.

    Args:
        items: landmarks, sorted by split and id.
        files: the files there are, by official name.
        images_table: Parquet file to write; None for none.

    Returns:
        `(items, counts, table)`: the items with an Arrow list column `image_ids` in the order of
        the files; `in, out, set_aside` by file; the table's path, None where none was written.

    Raises:
        InputError: anything wrong in a file (see `stream_csv`); no table is written then.
    """
    tabled: list[str] = [name for name in files if name in ("train", "index_image_to_landmark")]
    if "train" not in files and "train_clean" in files:
        tabled.insert(0, "train_clean")
    listed = ["train_clean" if "train_clean" in files else "train", "index_image_to_landmark"]
    table = images_table if tabled else None
    counts: Counts = {}
    lists: dict[str, pa.Array] = {}
    with ExitStack() as stack:
        writer = None
        if table is not None:
            beside = stack.enter_context(whole(table))
            writer = stack.enter_context(pq.ParquetWriter(beside, _TABLE, compression="zstd"))
        for name in ("train", "train_clean", "index_image_to_landmark"):
            if name not in files:
                continue
            split = name.split("_")[0]
            owners = items.loc[items["split"] == split, "source_id"].to_numpy()
            gathered = _Lists(owners)
            total = kept = 0
            for batch in _batches(name, files):
                total += len(batch)
                batch = batch.filter(pa.array(np.isin(batch["landmark_id"], owners)))
                kept += len(batch)
                if name in listed:
                    gathered.add(batch)
                if writer is not None and name in tabled:
                    splits = pa.array([split]).take(pa.array(np.zeros(len(batch), dtype=np.int8)))
                    columns = [batch["image_id"], splits, batch["landmark_id"], batch["url"]]
                    writer.write_table(pa.table(columns, schema=_TABLE))
            aside = {"landmark not in the metadata": total - kept} if total > kept else {}
            counts[name] = {"in": total, "out": kept, "set_aside": aside}
            if name in listed:
                lists[split] = gathered.lists()
    columns = [
        lists.get(str(split), pa.array([[]] * len(part), _LIST))
        for split, part in items.groupby("split", sort=True)
    ]
    image_ids = pa.concat_arrays(columns) if columns else pa.array([], _LIST)
    items = items.assign(image_ids=pd.Series(image_ids, items.index, dtype=pd.ArrowDtype(_LIST)))
    return items, counts, table


class _Lists:
    """Gathers image ids by landmark; Arrow arrays, since millions of Python strings are large."""

    def __init__(self, owners: np.ndarray) -> None:
        self._owners = owners
        self._landmarks: list[np.ndarray] = [np.empty(0, dtype=np.int64)]
        self._images: list[pa.Array] = [pa.array([], pa.string())]

    def add(self, batch: pa.Table) -> None:
        self._landmarks.append(batch["landmark_id"].to_numpy())
        self._images.extend(batch["image_id"].chunks)

    def lists(self) -> pa.Array:
        """One list per owner (sorted by id), images in the order they came."""
        landmarks = np.concatenate(self._landmarks)
        order = np.argsort(landmarks, kind="stable")
        images = pa.concat_arrays(self._images).take(pa.array(order))
        offsets = np.searchsorted(landmarks[order], self._owners)
        return pa.ListArray.from_arrays(
            pa.array(np.append(offsets, len(landmarks)), pa.int32()), images
        )


def _batches(name: str, files: dict[str, Path]) -> Iterator[pa.Table]:
    """Columns `image_id, landmark_id, url` of a file, block by block."""
    if name == "train_clean":
        columns = {"landmark_id": _LANDMARK, "images": rf" *{_IMAGE}(?: +{_IMAGE})* *"}
        for batch in stream_csv(files[name], columns):
            images = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(batch["images"]))
            owners = pc.cast(batch["landmark_id"], pa.int64()).take(pc.list_parent_indices(images))
            yield _table(pc.list_flatten(images), owners, None)
    elif name == "train":
        columns = {"id": _IMAGE, "landmark_id": _LANDMARK, "url": ".*"}
        for batch in stream_csv(files[name], columns):
            yield _table(batch["id"], pc.cast(batch["landmark_id"], pa.int64()), batch["url"])
    else:
        # The official list of index images has ids alone, so their addresses are blank.
        for batch in stream_csv(files[name], {"id": _IMAGE, "landmark_id": _LANDMARK}):
            yield _table(batch["id"], pc.cast(batch["landmark_id"], pa.int64()), None)


def _table(images: pa.Array, landmarks: pa.Array, urls: pa.Array | None) -> pa.Table:
    if urls is None:
        urls = pa.array([""]).take(pa.array(np.zeros(len(images), dtype=np.int8)))
    return pa.table({"image_id": images, "landmark_id": landmarks, "url": urls})


def write_images(path: Path | None, images: pd.DataFrame) -> Path | None:
    """Writes the table of images of a set that lists them in memory.

    Args:
        path: Parquet file; None for none.
        images: `path` (the image's id), `split` and `source_id` of the item, in order.

    Returns:
        The path, None where there is nothing to write.
    """
    if path is None or images.empty:
        return None
    columns = {"path": "image_id", "source_id": "landmark_id"}
    frame = images[["path", "split", "source_id"]].rename(columns=columns).assign(url="")
    write_table(path, frame, _TABLE)
    return path
