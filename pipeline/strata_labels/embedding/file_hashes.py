"""Content hashes of image files, cached by path, size and modification time."""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from strata_labels.errors import RetryError

_FILES_AT_ONCE = 512

logger = logging.getLogger(__name__)


class FileHashes:
    """SHA-256 of files; a file is read again only when its size or modification time changed.

    Args:
        path: the SQLite file that remembers them. A damaged one is set aside: it is only a cache.

    Raises:
        RetryError: the file cannot be opened now.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = _open(path)
        except sqlite3.OperationalError as error:  # locked, no permission: it is not damaged
            raise RetryError(f"{path}: {error}.") from error
        except sqlite3.DatabaseError:
            aside = path.with_name(path.name + ".damaged")
            path.replace(aside)
            logger.warning("%s is damaged and was set aside to %s.", path, aside.name)
            self._database = _open(path)

    def keys(self, paths: Sequence[Path]) -> list[bytes | None]:
        """SHA-256 digest of each file; None where it cannot be read."""
        found: list[bytes | None] = []
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for start in range(0, len(paths), _FILES_AT_ONCE):
                found += self._some_keys(pool, paths[start : start + _FILES_AT_ONCE])
        return found

    def close(self) -> None:
        self._database.close()

    def _some_keys(self, pool: ThreadPoolExecutor, paths: Sequence[Path]) -> list[bytes | None]:
        names = [os.path.abspath(path) for path in paths]  # noqa: PTH100 (keeps symbolic links)
        stats = [_stat(name) for name in names]
        keys = [self._remembered(name, stat) for name, stat in zip(names, stats, strict=True)]
        new = [n for n, key in enumerate(keys) if key is None and stats[n] is not None]
        for n, key in zip(new, pool.map(_digest, [names[n] for n in new]), strict=True):
            keys[n] = key
        rows = [(names[n], *(stats[n] or ()), keys[n]) for n in new if keys[n] is not None]
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", rows)
        return keys

    def _remembered(self, name: str, stat: tuple[int, int] | None) -> bytes | None:
        if stat is None:
            return None
        query = "SELECT sha256 FROM files WHERE path = ? AND size = ? AND mtime_ns = ?"
        row = self._database.execute(query, (name, *stat)).fetchone()
        return row[0] if row else None


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path)
    try:
        database.execute(
            "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER, "
            "mtime_ns INTEGER, sha256 BLOB) WITHOUT ROWID"
        )
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database


def _stat(name: str) -> tuple[int, int] | None:
    try:
        stat = os.stat(name)  # noqa: PTH116
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _digest(name: str) -> bytes | None:
    try:
        with open(name, "rb") as file:  # noqa: PTH123
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return None
