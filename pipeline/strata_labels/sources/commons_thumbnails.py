"""Addresses of Wikimedia's small pictures of a data set's images, from its own metadata."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from strata_labels.sources.streamed import stream_csv

#: The one server that these addresses are on.
THUMBNAIL_SERVER = "https://upload.wikimedia.org"
_WIDTH = 330  # pixels; one of the widths that the server offers
_ORIGINAL = re.compile(
    r"https?://upload\.wikimedia\.org/wikipedia/commons/"
    r"([0-9a-f]/[0-9a-f]{2}/([^/?#\\\s\"'<>]+\.(?:jpe?g|png|gif)))",
    re.IGNORECASE,
)


def thumbnail_addresses(folder: Path, images: Collection[str]) -> dict[str, str]:
    """The address of a small picture by image id.

    Args:
        folder: of metadata; CSV files in it with the columns `id` and `url` are read.
        images: ids that are asked for; those without a picture on Wikimedia's server are left out.

    Raises:
        InputError: anything wrong in such a file (see `stream_csv`).
    """
    wanted = pa.array(sorted(set(images)), pa.string())
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.csv")):
        if not {"id", "url"} <= _header(path):
            continue
        for batch in stream_csv(path, {"id": ".*", "url": ".*"}):
            some = batch.filter(pc.is_in(batch["id"], wanted))
            pairs = zip(some["id"].to_pylist(), some["url"].to_pylist(), strict=True)
            for image, address in pairs:
                if match := _ORIGINAL.fullmatch(address):
                    found[image] = (
                        f"{THUMBNAIL_SERVER}/wikipedia/commons/thumb/{match[1]}/"
                        f"{_WIDTH}px-{match[2]}"
                    )
    return found


def _header(path: Path) -> set[str]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        return set(next(csv.reader(file), []))
