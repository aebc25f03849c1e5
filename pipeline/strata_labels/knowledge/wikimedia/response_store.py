"""The response store: answers of Commons and Wikidata, with the time of each, in one SQLite file.

An answer belongs to a wiki (the name it gives itself), not to the address of the request, so a
mirror and the original share answers, and people can share the file. Each batch is one
transaction, on disk before the next request.
"""

from __future__ import annotations

import gzip
import json
import re
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

from strata_labels.errors import InputError, Problem, RetryError
from strata_labels.files import whole

# Kinds of question: a page by its title, an entity by its id, items that name a category (P373).
PAGE, ENTITY, NAMED = "page", "entity", "named"
VERSION = 1
_APPLICATION = 0x53747261  # "Stra": whose SQLite file it is
_SCHEMA = """
CREATE TABLE wikis (address TEXT PRIMARY KEY, wiki TEXT NOT NULL);
CREATE TABLE answers (
    wiki TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
    asked INTEGER NOT NULL,  -- seconds since 1970, UTC
    revision INTEGER,
    body BLOB NOT NULL,      -- deflated JSON
    UNIQUE (wiki, kind, key)
);
"""
_AT_ONCE = 500
_UNITS = {"d": 86400, "h": 3600, "w": 7 * 86400}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, reduced to what Strata uses.

    Attributes:
        body: its content; has the key `missing` where there is no such page or entity.
        revision: of the page or entity, where there is one.
    """

    body: dict[str, Any]
    revision: int | None


def read_age(text: str) -> int:
    """Seconds in an age such as `90d`, `12h` or `2w`.

    Raises:
        InputError: it is none.

    Example:
        >>> read_age("90d")
        7776000
    """
    match = re.fullmatch(r"(\d{1,6})([dhw])", text.strip())
    if match is None:
        fix = "Write a number and d, h or w, such as 90d."
        raise InputError(Problem("--refresh-older-than", "no age:", fix, value=text))
    return int(match[1]) * _UNITS[match[2]]


class ResponseStore:
    """The answers in a file, which is created if absent. Use as a context manager.

    Only one run can open it at a time, so requests stay serial.

    Raises:
        InputError: the file is not a response store, has another version, or is damaged; it is
            not changed.
        RetryError: another run has it open.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._guarded():
            self._base = sqlite3.connect(self.path, timeout=0, isolation_level=None)
            try:
                self._open()
            except BaseException:
                self._base.close()
                raise

    def _open(self) -> None:
        base = self._base
        base.execute("PRAGMA locking_mode = EXCLUSIVE")
        base.execute("PRAGMA synchronous = FULL")
        tables = base.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        application = base.execute("PRAGMA application_id").fetchone()[0]
        found = base.execute("PRAGMA user_version").fetchone()[0]
        if not tables and not application:
            base.executescript(
                f"BEGIN EXCLUSIVE; {_SCHEMA} PRAGMA application_id = {_APPLICATION};"
                f"PRAGMA user_version = {VERSION}; COMMIT;"
            )
        elif application != _APPLICATION:
            fix = "Name another file, or move this one away."
            raise InputError(Problem(self.path, "a database, but no response store", fix))
        elif found != VERSION:
            what = f"a response store of version {found}; this Strata reads version {VERSION}"
            fix = "Use the Strata that wrote it, or move it away to start a new one."
            raise InputError(Problem(self.path, what, fix))
        report = base.execute("PRAGMA quick_check(1)").fetchone()[0]
        if report != "ok":
            raise sqlite3.DatabaseError(report)
        base.execute("PRAGMA journal_mode = WAL")
        # Takes the lock now rather than at the first answer.
        base.executescript("BEGIN EXCLUSIVE; COMMIT;")

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, zlib.error, ValueError, RecursionError) as error:
            if isinstance(error, InputError | sqlite3.ProgrammingError):
                raise
            if "locked" in str(error):
                text = f"{self.path}: another run has the response store open; wait for it"
                raise RetryError(text) from None
            if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
                raise RetryError(f"{self.path}: {error}") from None
            fix = "The file is unchanged; restore a copy, or move it away to start a new one."
            what = f"a damaged response store ({error})"
            raise InputError(Problem(self.path, what, fix)) from None

    def __enter__(self) -> ResponseStore:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Writes everything into the file and closes it."""
        self._base.close()

    def wiki_at(self, address: str) -> str | None:
        """The wiki that answered at an address, if it ever did."""
        with self._guarded():
            row = self._base.execute("SELECT wiki FROM wikis WHERE address = ?", [address])
            found = row.fetchone()
        return found[0] if found else None

    def note_wiki(self, address: str, wiki: str) -> None:
        """Records which wiki answers at an address."""
        with self._guarded():
            self._base.execute("INSERT OR REPLACE INTO wikis VALUES (?, ?)", [address, wiki])

    def known(self, wiki: str, kind: str, since: int = 0) -> set[str]:
        """Keys with an answer no older than `since` (seconds since 1970), negative ones too."""
        query = "SELECT key FROM answers WHERE wiki = ? AND kind = ? AND asked >= ?"
        with self._guarded():
            return {row[0] for row in self._base.execute(query, [wiki, kind, since])}

    def get(self, wiki: str, kind: str, keys: Iterable[str]) -> Iterator[tuple[str, Answer]]:
        """The answers to `keys` that there are, in their order, read piece by piece."""
        rest = iter(keys)
        while some := list(islice(rest, _AT_ONCE)):
            marks = ",".join("?" * len(some))
            query = (
                "SELECT key, body, revision FROM answers "
                f"WHERE wiki = ? AND kind = ? AND key IN ({marks})"
            )
            with self._guarded():
                rows = self._base.execute(query, [wiki, kind, *some]).fetchall()
                found = {key: Answer(_inflated(body), revision) for key, body, revision in rows}
            yield from ((key, found[key]) for key in some if key in found)

    def put(self, wiki: str, kind: str, answers: Mapping[str, Answer]) -> None:
        """Records a batch of answers: all of them, on disk, or none."""
        now = int(time.time())
        rows = [
            (wiki, kind, key, now, stored.revision, _deflated(stored.body))
            for key, stored in answers.items()
        ]
        with self._guarded():
            self._base.execute("BEGIN")
            try:
                self._base.executemany(
                    "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?) "
                    "ON CONFLICT (wiki, kind, key) DO UPDATE SET asked = excluded.asked, "
                    "revision = excluded.revision, body = excluded.body",
                    rows,
                )
                self._base.execute("COMMIT")
            except BaseException:
                self._base.execute("ROLLBACK")
                raise


def write_snapshot(path: Path, entities: Iterable[dict[str, Any]]) -> int:
    """Writes entities as JSON lines, gzipped if the name ends in .gz; whole or not at all.

    Returns:
        The number of entities.
    """
    count = 0
    with whole(path) as beside, beside.open("wb") as raw:
        # No name and no time in the header: the same entities give the same bytes.
        packed = gzip.GzipFile("", "wb", 6, raw, mtime=0) if path.suffix == ".gz" else None
        file = cast(BinaryIO, packed or raw)
        for entity in entities:
            count += 1
            file.write(json.dumps(entity, sort_keys=True).encode() + b"\n")
        if packed:
            packed.close()
    return count


def _deflated(body: dict[str, Any]) -> bytes:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return zlib.compress(text.encode(), 3)


def _inflated(blob: bytes) -> dict[str, Any]:
    body = json.loads(zlib.decompress(blob))
    if not isinstance(body, dict):
        raise ValueError("an answer is no JSON object")
    return body
