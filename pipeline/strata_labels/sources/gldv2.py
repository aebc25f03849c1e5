"""Google Landmarks v2: its metadata files, where they are published, and reading them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from strata_labels.errors import InputError, Problem
from strata_labels.sources.contract import Counts, Metadata
from strata_labels.sources.download import Fetched, download_all
from strata_labels.sources.images import add_images
from strata_labels.sources.landmarks import LEVELS, SPLITS, read_labels, read_landmarks

__all__ = [
    "BASE_URL",
    "FILES",
    "fetch",
    "files",
    "image_root",
    "label_files",
    "levels",
    "read",
    "read_labels",
]

# The data set's README (github.com/cvdfoundation/google-landmark) names these addresses.
BASE_URL = "https://s3.amazonaws.com/google-landmark"
# What a build or an export can use, by official name; `train_attribution`, `test` and the
# recognition task's solution are none of it.
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


def fetch(
    folder: Path,
    base_url: str = BASE_URL,
    names: Sequence[str] | None = None,
) -> list[Fetched]:
    """Downloads the official metadata files; those already there and right are kept.

    Args:
        folder: where they go, as `NAME.csv`, with a manifest `checksums.sha256`.
        base_url: the bucket or a mirror of it: `metadata/` and `ground_truth/` below it, or all
            files in it.
        names: official names without `.csv`; all of `FILES` if None.

    Returns:
        The files.

    Raises:
        InputError: an unknown name, a base that is no address, files the server does not have.
        RetryError: a server out of reach or broken; another run goes on from there.
    """
    names = list(FILES) if names is None else list(names)
    problems = [
        Problem("names", "no such file:", f"Known: {', '.join(FILES)}.", value=name)
        for name in names
        if name not in FILES
    ]
    if not base_url.startswith(("http://", "https://")):
        fix = f"Give an http or https address, such as {BASE_URL}."
        problems.append(Problem("--base-url", "no address:", fix, value=base_url))
    if problems:
        raise InputError(problems)
    base = base_url.rstrip("/")
    addresses = {
        f"{name}.csv": [f"{base}/{FILES[name]}/{name}.csv", f"{base}/{name}.csv"] for name in names
    }
    if base == BASE_URL:
        addresses = {name: urls[:1] for name, urls in addresses.items()}
    return download_all(folder, addresses)


def read(folder: Path, images_table: Path | None = None) -> Metadata:
    """Reads whatever metadata files a folder has; one `*_label_to_category.csv` is required.

    Args:
        folder: holds files under their official names.
        images_table: Parquet file to write the images to, if there are image files.

    Returns:
        The landmarks of both splits as items, and the images.

    Raises:
        InputError: no such folder, no required file, and every problem of the files' contents
            (those of the landmarks first; images are read once these are right).
    """
    folder = Path(folder)
    files = {name: folder / f"{name}.csv" for name in FILES if (folder / f"{name}.csv").is_file()}
    required = [f"{split}_label_to_category" for split in SPLITS]
    if not any(name in files for name in required):
        what = "holds neither" if folder.is_dir() else "no such folder; there is neither"
        fix = "Add the file, or fetch it with `strata fetch gldv2`."
        wanted = " nor ".join(f"{name}.csv" for name in required)
        raise InputError(Problem(folder, f"{what} {wanted}", fix))
    parts, problems = [], []
    landmarks: Counts = {}
    for split in sorted(SPLITS):
        name = f"{split}_label_to_category"
        if name not in files:
            continue
        try:
            part, landmarks[split] = read_landmarks(files[name], split)
            parts.append(part)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    items, images, table = add_images(pd.concat(parts, ignore_index=True), files, images_table)
    for split, counts in landmarks.items():
        bare = (items["image_ids"].list.len() == 0) & (items["split"] == split)
        counts["without_images"] = int(bare.sum())
    return Metadata(items, table, {"landmarks": landmarks, "images": images}, files)


def label_files(folder: Path) -> list[Path]:
    """The released label files that a folder of metadata holds."""
    files = [Path(folder) / f"{split}_label_to_hierarchical.csv" for split in SPLITS]
    return [path for path in files if path.is_file()]


def files(folder: Path) -> list[Path]:
    """The metadata files that a folder holds."""
    paths = [Path(folder) / f"{name}.csv" for name in FILES]
    return sorted(path for path in paths if path.is_file())


def levels(folder: Path) -> tuple[str, ...]:
    """The released levels."""
    return LEVELS


def image_root(folder: Path) -> Path:
    """The folder itself."""
    return Path(folder)
