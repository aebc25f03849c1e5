"""Keeps vectors on disk, so that nothing is encoded twice.

The vectors of one encoder and modality are a table in a folder of part files. A part holds the keys
(SHA-256 of the content) and the vectors of some thousand texts or images. It appears whole or not
at all, and its name follows from its keys, so several processes, also on several machines, may
write to one folder without a lock. The keys stand first in a part: opening a table reads them
alone; the vectors are memory-mapped while they are read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import repeat
from pathlib import Path

import numpy as np

from strata_labels.embedding.encoder import Floats, StoredFloats
from strata_labels.errors import RetryError
from strata_labels.files import whole

_HEADER_BYTES = 512
_KEY_BYTES = 32
# A part is written after so many vectors or seconds; a killed run repeats at most that much.
_PART_VECTORS = 4096
_PART_SECONDS = 10.0

logger = logging.getLogger(__name__)


class VectorStore:
    """The tables of any number of encoders in one folder.

    Args:
        folder: created when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._tables: dict[tuple[str, str], VectorTable] = {}

    def table(self, encoder_id: str, modality: str) -> VectorTable:
        """The table of one encoder's `text` or `image` vectors, opened on first use."""
        if (encoder_id, modality) not in self._tables:
            folder = self.folder / re.sub(r"[^\w.@-]", "_", encoder_id) / modality
            self._tables[encoder_id, modality] = VectorTable(folder, encoder_id, modality)
        return self._tables[encoder_id, modality]


class VectorTable:
    """Vectors of one encoder and modality, by content key.

    What other processes write after it was opened is not seen.

    Raises:
        RetryError: a part cannot be read now, though it may be whole (no permission).

    Attributes:
        dim: length of a vector; None while the table is empty.
    """

    def __init__(self, folder: Path, encoder_id: str, modality: str) -> None:
        self.folder = folder
        self.dim: int | None = None
        # Images of format 2 were opened without transparency, rotation and sixteen bits, those of
        # format 3 decoded in full size.
        number = 4 if modality == "image" else 2
        self._identity = {"encoder": encoder_id, "modality": modality, "format": number}
        self._parts: list[_Part] = []
        self._starts: list[int] = []  # a part's first row
        self._rows: dict[bytes, int] = {}
        for path in sorted(folder.glob("part-*.vectors")):
            self._open(path)

    def missing(self, keys: Iterable[bytes]) -> list[bytes]:
        """The keys without a vector, each once, in order.

        Parts that hold any of the others are checked when they are used first; a damaged one is
        set aside, and its keys are missing.
        """
        keys = list(keys)
        while True:
            rows = np.fromiter(map(self._rows.get, keys, repeat(-1)), np.int64, len(keys))
            parts = np.unique(np.searchsorted(self._starts, rows[rows >= 0], "right") - 1)
            if not [n for n in parts.tolist() if not self._check(n)]:
                return list(dict.fromkeys(keys[n] for n in np.flatnonzero(rows < 0).tolist()))

    def vectors(self, keys: Sequence[bytes]) -> Floats:
        """Vectors of keys that all have one, in their order: `[len(keys), dim]`.

        Raises:
            KeyError: a key has no vector.
        """
        rows = np.fromiter(map(self._rows.__getitem__, keys), np.int64, len(keys))
        result = np.empty((len(keys), self.dim or 0), np.float32)
        order = np.argsort(rows, kind="stable")
        bounds = np.searchsorted(rows[order], [*self._starts, np.iinfo(np.int64).max])
        for number, part in enumerate(self._parts):
            at = order[bounds[number] : bounds[number + 1]]
            if len(at):
                result[at] = part.vectors[rows[at] - self._starts[number]]
        return result

    @contextmanager
    def writer(self) -> Iterator[Callable[[Sequence[bytes], StoredFloats], None]]:
        """Gives a function that adds vectors `[len(keys), dim]` to the table.

        Those of half precision are stored as such. They are on disk when the block ends, also where
        it ends in an exception.
        """
        keys: list[bytes] = []
        vectors: list[StoredFloats] = []
        written = time.monotonic()

        def add(more_keys: Sequence[bytes], more_vectors: StoredFloats) -> None:
            nonlocal written
            keys.extend(more_keys)
            vectors.append(more_vectors)
            if len(keys) >= _PART_VECTORS or time.monotonic() - written >= _PART_SECONDS:
                self._write(keys, vectors)
                written = time.monotonic()

        try:
            yield add
        finally:
            self._write(keys, vectors)

    def _write(self, keys: list[bytes], vectors: list[StoredFloats]) -> None:
        if not keys:
            return
        block = np.ascontiguousarray(np.concatenate(vectors))
        block = block.astype("<f2" if block.dtype == np.float16 else "<f4", copy=False)
        joined = b"".join(keys)
        if block.shape != (len(keys), self.dim or block.shape[1]):
            raise ValueError(f"vectors {block.shape} do not fit {len(keys)} keys of {self.dim}-d")
        path = self.folder / f"part-{hashlib.sha256(joined).hexdigest()[:16]}.vectors"
        header = {
            **self._identity,
            "dim": block.shape[1],
            "count": len(keys),
            "crc32": zlib.crc32(block.data, zlib.crc32(joined)),
            **({"half": True} if block.dtype == np.float16 else {}),
        }
        with whole(path) as beside, beside.open("wb") as file:
            file.write(json.dumps(header).encode().ljust(_HEADER_BYTES))
            file.write(joined)
            file.write(block.data)
        keys.clear()
        vectors.clear()
        self._open(path)

    def _open(self, path: Path) -> None:
        try:
            part = _Part(path, self._identity)
        except FileNotFoundError:  # another process has just set it aside
            return None
        except OSError as error:  # no permission, too many open files: the part itself is whole
            raise RetryError(f"{path} cannot be read ({error.strerror}).") from error
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            return self._set_aside(path, f"cannot be read ({error})")
        if self.dim not in (None, part.dim):
            return self._set_aside(path, f"has vectors of another length ({part.dim})")
        self.dim = part.dim
        start = self._starts[-1] + self._parts[-1].count if self._parts else 0
        self._parts.append(part)
        self._starts.append(start)
        self._rows.update(zip(part.keys(), range(start, start + part.count), strict=True))
        return None

    def _check(self, number: int) -> bool:
        """Whether a part is intact; a damaged one is set aside."""
        part = self._parts[number]
        if part.checked or part.is_intact():
            return True
        start, end = self._starts[number], self._starts[number] + part.count
        self._rows = {key: row for key, row in self._rows.items() if not start <= row < end}
        self._set_aside(part.path, "does not have the checksum it was written with")
        return False

    def _set_aside(self, path: Path, why: str) -> None:
        aside = path.with_suffix(".damaged")
        with suppress(FileNotFoundError):  # another process was first
            path.replace(aside)
        text = "%s %s and was set aside to %s; its vectors are encoded again."
        logger.warning(text, path, why, aside.name)


class _Part:
    """A part file: its keys are in memory, its vectors on disk.

    A memory map keeps its file open, and a table may have more parts than a process may open
    files; so each use maps the vectors anew.
    """

    def __init__(self, path: Path, identity: dict[str, object]) -> None:
        self.path, self.checked = path, False
        with path.open("rb") as file:
            header = json.loads(file.read(_HEADER_BYTES))
            self.dim, self.count, self._crc32 = (
                int(header.pop(k)) for k in ("dim", "count", "crc32")
            )
            self._dtype = "<f2" if header.pop("half", False) else "<f4"
            if header != identity:
                raise ValueError("of another encoder or version")
            self._joined = file.read(self.count * _KEY_BYTES)
        self._offset, self._shape = _HEADER_BYTES + self.count * _KEY_BYTES, (self.count, self.dim)
        size = self.count * self.dim * np.dtype(self._dtype).itemsize
        if path.stat().st_size != self._offset + size:
            raise ValueError("not of its full length")

    def keys(self) -> list[bytes]:
        """The keys in the order of the vectors."""
        return np.frombuffer(self._joined, f"V{_KEY_BYTES}").tolist()  # type: ignore[no-any-return]

    @property
    def vectors(self) -> StoredFloats:
        """The part's vectors `[count, dim]`, memory-mapped."""
        return np.memmap(self.path, self._dtype, "r", self._offset, self._shape)

    def is_intact(self) -> bool:
        """Compares the content with its checksum."""
        try:
            checksum = zlib.crc32(self.vectors.data, zlib.crc32(self._joined))
        except (FileNotFoundError, ValueError):  # set aside by another process, or cut short
            return False
        self.checked = checksum == self._crc32
        return self.checked


def text_key(text: str) -> bytes:
    """Content key of a text: SHA-256 of its UTF-8 bytes."""
    return hashlib.sha256(text.encode()).digest()
