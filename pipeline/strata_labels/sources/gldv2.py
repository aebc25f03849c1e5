"""Google Landmarks v2: its metadata files, where they are published, and reading them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from strata_labels.errors import InputError, Problem, gathered, refuse
from strata_labels.sources.contract import Counts, Labels, Metadata, count_labels, label_rows
from strata_labels.sources.gldv2_images import add_images
from strata_labels.sources.gldv2_landmarks import (
    LEVELS,
    SPLITS,
    read_landmarks,
    read_released,
    split_of,
)

# The data set's README (github.com/cvdfoundation/google-landmark) names these addresses.
BASE_URL = "https://s3.amazonaws.com/google-landmark"
# What is fetched, by official name, and the folder it lies in. A build reads `train` only where
# there is no `train_clean`; `index` has the addresses of images, for people.
FILES = {
    "train_label_to_category": "metadata",
    "train_label_to_hierarchical": "metadata",
    "train_clean": "metadata",
    "train": "metadata",
    "index_label_to_category": "metadata",
    "index_label_to_hierarchical": "metadata",
    "index_image_to_landmark": "metadata",
    "index": "metadata",
    "retrieval_solution_v2.1": "ground_truth",
}
#: The official files: their paths below the base address; a mirror may have them all in one folder.
DOWNLOADS: Mapping[str, Sequence[str]] = {
    f"{name}.csv": (f"{place}/{name}.csv", f"{name}.csv") for name, place in FILES.items()
}


#: Archives of images by split.
ARCHIVES = {"train": 500, "index": 100}
#: Splits whose images can be fetched.
IMAGE_SPLITS: tuple[str, ...] = tuple(ARCHIVES)


def image_archives(splits: Sequence[str] = SPLITS) -> list[tuple[str, str]]:
    """Path of each archive of images below the base address, and of the file with its MD5 sum."""
    return [
        (f"{split}/images_{n:03}.tar", f"md5sum/{split}/md5.images_{n:03}.txt")
        for split in splits
        for n in range(ARCHIVES[split])
    ]


def read(folder: Path, levels: Sequence[str]) -> Metadata:
    """Reads whatever metadata files a folder has; one `*_label_to_category.csv` is required.

    Args:
        folder: holds files under their official names; or one file of labelled landmarks in the
            released columns with `category`, of the split that its name begins with, else train.
        levels: names of the tree's levels, the item's first.

    Returns:
        The landmarks of both splits as items, with their images, and the released labels. Labels
        of a split whose landmarks are not there are not read.

    Raises:
        InputError: no such folder, no required file, and every problem of the files' contents
            (those of landmarks and labels first; images are read once these are right).
    """
    folder = Path(folder)
    there = {path.stem: path for path in files(folder)}
    landmarks = {split: there.get(f"{split}_label_to_category") for split in sorted(SPLITS)}
    released = {split: there.get(f"{split}_label_to_hierarchical") for split in SPLITS}
    if folder.is_file():
        landmarks = {split_of(folder) or SPLITS[0]: folder}
        released = landmarks
    elif not any(landmarks.values()):
        what = "holds neither" if folder.is_dir() else "no such folder; there is neither"
        fix = "Add the file, or fetch it with `strata fetch gldv2`."
        wanted = " nor ".join(f"{split}_label_to_category.csv" for split in SPLITS)
        raise InputError(Problem(folder, f"{what} {wanted}", fix))
    parts, labels, problems = [], [], list[Problem]()
    counts: Counts = {"landmarks": {}, "labels": {}}
    for split, path in landmarks.items():
        if path is None:
            continue
        with gathered(problems):
            part, counts["landmarks"][split] = read_landmarks(path, split)
            parts.append(part)
            if labelled := released[split]:
                wide = read_released(labelled, part)
                labels.append(label_rows(wide, levels, "published"))
                counts["labels"][split] = count_labels(wide)
    refuse(problems)
    items, counts["images"] = add_images(pd.concat(parts, ignore_index=True), there)
    for split, counted in counts["landmarks"].items():
        own = items.loc[items["split"] == split, "image_ids"]
        counted["without_images"] = int((own.list.len() == 0).sum())
    none = label_rows(pd.DataFrame({"item_id": []}), levels, "published")
    return Metadata(items, pd.concat(labels or [none], ignore_index=True), counts)


def read_labels(path: Path, items: pd.DataFrame, levels: Sequence[str]) -> Labels:
    """Reads labels in the released columns (see `read_released`)."""
    wide = read_released(Path(path), items)
    return Labels(label_rows(wide, levels, "known"), count_labels(wide))


def files(folder: Path) -> list[Path]:
    """The files of a folder that a build or an export reads."""
    if Path(folder).is_file():
        return [Path(folder)]
    there = {name: path for name in FILES if (path := Path(folder) / f"{name}.csv").is_file()}
    there.pop("index", None)
    if "train_clean" in there:
        there.pop("train", None)
    return sorted(there.values())


def levels(folder: Path) -> tuple[str, ...]:
    """The released levels."""
    return LEVELS


def image_root(folder: Path) -> Path:
    """The folder itself; that of a file."""
    return Path(folder).parent if Path(folder).is_file() else Path(folder)
