"""Files that appear whole or not at all, and their fingerprints."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Gives a path beside `path` to write to; renames it to `path` if the block succeeds.

    Written data is flushed to disk before the rename, so a killed process or a power cut leaves
    the old file or the new one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        appear(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def appear(beside: Path, path: Path) -> None:
    """Flushes the finished file `beside` to disk and renames it to `path`, in the same folder."""
    with beside.open("rb+") as file:
        os.fsync(file.fileno())
    beside.chmod(0o644)
    beside.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text, whole or not at all, newlines as given."""
    with whole(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        file.write(text)


def write_json(path: Path, value: Any) -> None:
    """Writes sorted, indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_table(path: Path, rows: pd.DataFrame | pa.Table, schema: pa.Schema | None = None) -> None:
    """Writes a Parquet file whose bytes depend on the rows alone (no pandas metadata)."""
    if isinstance(rows, pd.DataFrame):
        rows = pa.Table.from_pandas(rows, schema=schema, preserve_index=False)
    with whole(path) as beside:
        pq.write_table(rows.replace_schema_metadata(None), beside, compression="zstd")


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
