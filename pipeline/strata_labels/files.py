"""Files that appear whole or not at all, locks that end with their holder, and fingerprints."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from strata_labels.errors import RetryError

# What `whole` writes to, beside the file; downloads that can be resumed are called otherwise.
_PART = re.compile(r"\..+\.strata-[a-z0-9_]{8}\.part")
_SWEPT: set[Path] = set()  # folders that this process has looked through
_LOCKED: set[int] = set()  # descriptors of locks that this process holds


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Gives a path beside `path` to write to; renames it to `path` if the block succeeds.

    Written data is flushed to disk before the rename, so a killed process or a power cut leaves
    the old file or the new one. What killed processes left in the folder is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    handle, beside = _part_file(path)
    try:
        yield beside
        move_into_place(beside, path)
    finally:
        beside.unlink(missing_ok=True)
        _release(handle)


def _part_file(path: Path) -> tuple[int, Path]:
    """A new file beside `path`, locked as long as its writer lives, so that nobody sweeps it."""
    while True:
        prefix = f".{path.name}.strata-"
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=".part", dir=path.parent)
        if _is_locked(handle, Path(name)):
            return handle, Path(name)
        _release(handle)


@contextmanager
def part_folder(path: Path) -> Iterator[Path]:
    """Gives an empty folder beside `path` to fill, removed at the end unless it was renamed.

    What killed processes left of the same is removed first.
    """
    prefix = f".{path.name}.strata-"
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f"{prefix}*"):
        with suppress(OSError):
            handle = os.open(left, os.O_RDONLY | os.O_DIRECTORY)
            try:
                if _is_locked(handle, left):
                    shutil.rmtree(left)
            finally:
                _release(handle)
    while True:
        beside = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
        handle = os.open(beside, os.O_RDONLY | os.O_DIRECTORY)
        if _is_locked(handle, beside):
            break
        _release(handle)
    try:
        yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        _release(handle)


def _is_locked(descriptor: int, path: Path) -> bool:
    """Locks an open file; whether that worked and the file is still the one at `path`."""
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _LOCKED.add(descriptor)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


def _release(descriptor: int) -> None:
    _LOCKED.discard(descriptor)
    os.close(descriptor)


def _leave_locks() -> None:
    """In a forked process: a lock lasts as long as any copy of its descriptor, so none is kept."""
    while _LOCKED:
        os.close(_LOCKED.pop())


os.register_at_fork(after_in_child=_leave_locks)


def sweep(folder: Path) -> None:
    """Removes what killed processes left of files that they were writing in a folder.

    Each folder is looked through once by a process.
    """
    folder = folder.absolute()
    if folder in _SWEPT or not folder.is_dir():
        return
    _SWEPT.add(folder)
    for entry in os.scandir(folder):
        if _PART.fullmatch(entry.name):
            with suppress(OSError):
                handle = os.open(entry.path, os.O_RDWR)
                try:
                    if _is_locked(handle, Path(entry.path)):
                        os.unlink(entry.path)  # noqa: PTH108
                finally:
                    _release(handle)


def holder(path: Path) -> str:
    """Who holds the lock file `path`, see `only_one`; "" for nobody."""
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.read(descriptor, 200).decode("utf-8", "replace").strip()
            return text or "another process"
        finally:
            os.close(descriptor)
    return ""


def remove_dead(path: Path) -> None:
    """Removes a lock file whose holder was killed, where it can be removed."""
    if path.exists():
        with suppress(RetryError, OSError), only_one(path, "clean up"):
            pass


@contextmanager
def only_one(path: Path, doing: str) -> Iterator[int]:
    """Holds the lock file `path`, which is removed at the end, its folder too if it was made empty.

    The system lets go of a lock however its process ends, so a dead holder's lock is taken over.

    Args:
        path: the lock file.
        doing: what is done under it; shown to others with this process's id.

    Yields:
        The descriptor of the lock file.

    Raises:
        RetryError: another process holds it; the message says which and what it does.
    """
    made = not path.parent.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if _is_locked(descriptor, path):
            break
        _release(descriptor)
        if who := holder(path):
            raise RetryError(f"{path.parent}: in use by {who}.")
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} ({doing})\n".encode(), 0)
        yield descriptor
    finally:
        path.unlink(missing_ok=True)
        _release(descriptor)
        if made:
            with suppress(OSError):  # something was written
                path.parent.rmdir()


def move_into_place(beside: Path, path: Path) -> None:
    """Flushes the finished file `beside` to disk and renames it to `path`, in the same folder."""
    with beside.open("rb+") as file:
        os.fsync(file.fileno())
    beside.chmod(0o644)
    beside.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flushes the names in a folder to disk."""
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


def write_table(
    path: Path,
    rows: pd.DataFrame | pa.Table,
    schema: pa.Schema | None = None,
    metadata: dict[str, str] | None = None,
) -> None:
    """Writes a Parquet file whose bytes depend on the arguments alone (no pandas metadata)."""
    if isinstance(rows, pd.DataFrame):
        rows = pa.Table.from_pandas(rows, schema=schema, preserve_index=False)
    with whole(path) as beside:
        pq.write_table(rows.replace_schema_metadata(metadata), beside, compression="zstd")


def user_cache() -> Path:
    """The folder for files that can be made again, `strata` in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "strata"


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
