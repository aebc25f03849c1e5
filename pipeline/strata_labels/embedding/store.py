"""A resumable store of vectors: what was encoded once is never encoded again.

One append-only log per encoder and modality. A record is the key (SHA-256 of the content), the
vector and a checksum, all of one size, so a log of 200,000 vectors is one sequential read. A
killed run leaves at most a torn last record, which the next run cuts off; a record whose checksum
fails is set aside and named, the others stay.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from strata_labels.files import whole

_HEADER_BYTES = 512
_READ_RECORDS = 4096

logger = logging.getLogger(__name__)


class VectorStore:
    """Vectors of any number of encoders in one folder.

    Args:
        folder: created if absent.

    Attributes:
        damaged: one sentence per damaged file met so far, naming it and where it was set aside.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.damaged: list[str] = []
        self._logs: dict[tuple[str, str], VectorLog] = {}

    def log(self, encoder_id: str, modality: str) -> VectorLog:
        """The log of one encoder's `text` or `image` vectors, read and checked on first use."""
        if (encoder_id, modality) not in self._logs:
            folder = self.folder / re.sub(r"[^\w.@-]", "_", encoder_id)
            log = VectorLog(folder / f"{modality}.vectors", encoder_id, modality)
            self.damaged += log.damaged
            self._logs[encoder_id, modality] = log
        return self._logs[encoder_id, modality]


class VectorLog:
    """The vectors of one encoder and modality, by content key.

    Two processes may add to one log: additions are made under a file lock.

    Attributes:
        dim: length of a vector; None while the log is empty.
        damaged: one sentence per damage found when the log was read.
    """

    def __init__(self, path: Path, encoder_id: str, modality: str) -> None:
        self.path = path
        self.dim: int | None = None
        self.damaged: list[str] = []
        self._identity = {"encoder": encoder_id, "modality": modality, "format": 1}
        self._rows: dict[bytes, int] = {}
        if path.exists():
            with self._locked():
                self._read()

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: bytes) -> bool:
        return key in self._rows

    def vectors(self, keys: Sequence[bytes]) -> NDArray[np.float32]:
        """Vectors of keys that are all present, in their order: `[len(keys), dim]`.

        Raises:
            KeyError: a key is not in the log.
        """
        if not keys:
            return np.empty((0, self.dim or 0), np.float32)
        rows = np.fromiter((self._rows[key] for key in keys), np.int64, len(keys))
        records = np.memmap(self.path, self._dtype, "r", offset=_HEADER_BYTES)
        return np.asarray(records["vector"][rows], np.float32)

    def add(self, keys: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
        """Appends vectors `[len(keys), dim]` and flushes them to disk.

        Raises:
            ValueError: the vectors' length is not the log's.
        """
        if self.dim is None:
            self.dim = vectors.shape[1]
        if vectors.shape != (len(keys), self.dim):
            raise ValueError(f"vectors {vectors.shape} do not fit {len(keys)} keys of {self.dim}-d")
        records = np.zeros(len(keys), self._dtype)
        records["key"] = np.frombuffer(b"".join(keys), "V32")
        records["vector"] = vectors
        records["check"] = [zlib.crc32(record.tobytes()[:-4]) for record in records]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked(), self.path.open("ab") as file:
            if file.tell() == 0:
                file.write(self._header())
            size = self._dtype.itemsize
            # Another process may have added records since, or been killed while adding one.
            first = (file.tell() - _HEADER_BYTES) // size
            file.truncate(_HEADER_BYTES + first * size)
            file.seek(0, os.SEEK_END)
            file.write(records.tobytes())
            file.flush()
            os.fsync(file.fileno())
        for row, key in enumerate(keys, start=first):
            self._rows.setdefault(bytes(key), row)

    @property
    def _dtype(self) -> np.dtype:
        return np.dtype([("key", "V32"), ("vector", "<f4", (self.dim or 0,)), ("check", "<u4")])

    def _header(self) -> bytes:
        text = json.dumps({**self._identity, "dim": self.dim}, sort_keys=True)
        return text.encode().ljust(_HEADER_BYTES - 1) + b"\n"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self.path.with_suffix(".lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self) -> None:
        with self.path.open("rb") as file:
            self.dim = self._read_dim(file)
            if self.dim is not None:
                bad = self._read_records(file)
        if self.dim is None:
            if self.path.stat().st_size > 0:
                self._set_aside_all()
            self.path.unlink(missing_ok=True)
        elif bad:
            self._set_aside(bad)

    def _read_dim(self, file: BinaryIO) -> int | None:
        try:
            header = json.loads(file.read(_HEADER_BYTES))
            dim = header.pop("dim")
        except (ValueError, KeyError, AttributeError):
            return None
        return dim if header == self._identity and isinstance(dim, int) else None

    def _read_records(self, file: BinaryIO) -> list[int]:
        """Fills the index; returns the rows whose checksum fails. A torn last record is ignored."""
        size, bad, row = self._dtype.itemsize, [], 0
        while block := file.read(size * _READ_RECORDS):
            view = memoryview(block)
            for start in range(0, len(block) - size + 1, size):
                check = int.from_bytes(view[start + size - 4 : start + size], "little")
                if zlib.crc32(view[start : start + size - 4]) == check:
                    self._rows.setdefault(bytes(view[start : start + 32]), row)
                else:
                    bad.append(row)
                row += 1
        return bad

    def _set_aside(self, bad: list[int]) -> None:
        """Moves damaged records out of the log into a file beside it."""
        records = np.memmap(self.path, self._dtype, "r", offset=_HEADER_BYTES)
        aside = self._free_name()
        with whole(aside) as beside:
            beside.write_bytes(records[bad].tobytes())
        with whole(self.path) as beside, beside.open("wb") as file:
            file.write(self._header())
            good = np.delete(np.arange(len(records)), bad)
            for start in range(0, len(good), _READ_RECORDS):
                file.write(records[good[start : start + _READ_RECORDS]].tobytes())
        self._rows = {}
        with self.path.open("rb") as file:
            file.seek(_HEADER_BYTES)
            self._read_records(file)
        self._tell(f"{len(bad)} damaged vectors of {self.path} were set aside to {aside.name}")

    def _set_aside_all(self) -> None:
        aside = self._free_name()
        self.path.rename(aside)
        self._tell(f"{self.path} is damaged and was set aside to {aside.name}")

    def _free_name(self) -> Path:
        number = 1
        while (name := self.path.with_name(f"{self.path.name}.damaged-{number}")).exists():
            number += 1
        return name

    def _tell(self, what: str) -> None:
        self.damaged.append(f"{what}; they are encoded again.")
        logger.warning(self.damaged[-1])


def text_key(text: str) -> bytes:
    """Content key of a text: SHA-256 of its UTF-8 bytes."""
    return hashlib.sha256(text.encode()).digest()
