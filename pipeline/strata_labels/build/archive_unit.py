"""The work on one archive of images: fetch it, read it once, encode what is wanted, drop it.

A unit needs no workspace, so it runs in any process on any machine; what it read goes back to the
one process that writes.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np

from strata_labels.embedding import Encoder, load_encoder
from strata_labels.errors import InputError, Problem, RetryError
from strata_labels.files import whole
from strata_labels.freed_memory import keep_freed_memory
from strata_labels.pictures import UnreadablePictureError, available_cores, place_of, reduced
from strata_labels.progress import without_progress
from strata_labels.sources import (
    AbsentArchiveError,
    DamagedArchiveError,
    ImageArchive,
    fetch_archive,
    read_members,
)

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_ENCODING = Lock()  # in one process, one archive is encoded while the next is fetched


@dataclass(frozen=True)
class Unit:
    """The work on one archive.

    Attributes:
        archive: the archive.
        encoder: specification of the encoder; "" to encode nothing.
        encoder_id: the encoder's identity where the work was planned.
        keep: which images to keep: `wanted`, `all` or `none`.
        side: pixels of a kept image's shorter side.
        scratch: where archives are downloaded to; None for this machine's temporary folder.
        images: root of the kept images, where this process can write to it: an archive may have
            more of them than fit into memory. None to send them back.
        threads: images decoded at a time; None for what the machine has.
    """

    archive: ImageArchive
    encoder: str
    encoder_id: str
    keep: str
    side: int
    scratch: Path | None = None
    images: Path | None = None
    threads: int | None = None


@dataclass
class ArchiveContent:
    """What a unit read of its archive.

    Attributes:
        name: the archive's.
        rows: for each member its name, the wanted image that it is, the SHA-256 of its content,
            and why there is no vector; None for what does not apply. A row with the name "" says
            from where on the archive is damaged.
        keys, vectors: SHA-256 of contents, each once, and their vectors `[len(keys), d]`.
        kept: reduced images by path below the root of the kept images, unless they are there.
        failed: why the archive could not be read at all; "" if it could.
        absent: the server does not have it.
    """

    name: str
    rows: list[tuple[str, str | None, bytes | None, str | None]] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    vectors: np.ndarray | None = None
    kept: dict[str, bytes] = field(default_factory=dict)
    failed: str = ""
    absent: bool = False

    @property
    def damage(self) -> str:
        """From where on the archive is damaged; "" if it was read to its end."""
        return next((why for name, *_, why in self.rows if not name and why), "")


def read_unit(unit: Unit, wanted: Collection[str]) -> ArchiveContent:
    """Does the work on one archive.

    Args:
        unit: the work.
        wanted: references of the wanted images, of this and of other archives.

    Raises:
        InputError: the encoder cannot be loaded, or is another one here.
        OSError: the disk is full.
    """
    found = ArchiveContent(unit.archive.name)
    encoder = _encoder(unit)
    folder = unit.scratch or Path(tempfile.gettempdir()) / "strata-archives"
    folder /= hashlib.sha256(unit.archive.address.encode()).hexdigest()[:16]
    try:
        with without_progress():
            path = fetch_archive(unit.archive, folder)
        with _ENCODING:
            contents = _contents(found, unit, path, wanted)
            if encoder is None:
                deque(contents, maxlen=0)
            else:
                with one_torch_thread():
                    _encode(found, encoder, contents, unit.threads)
    except AbsentArchiveError:
        found.absent = True
    except (InputError, RetryError) as error:
        found.failed = " ".join(str(error).split())
    except DamagedArchiveError as error:
        found.failed = str(error)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise
        found.failed = f"{error.strerror or error}"
    if unit.archive.is_remote and not found.failed:
        shutil.rmtree(folder, ignore_errors=True)
    return found


def _contents(
    found: ArchiveContent, unit: Unit, path: Path, wanted: Collection[str]
) -> Iterator[bytes]:
    """Yields each wanted content once, in the archive's order, and notes it in `found.keys`."""
    known = set()
    is_ours = False
    try:
        for member in read_members(path, wanted, unit.keep == "all"):
            content, problem = member.content, member.problem
            is_ours = is_ours or bool(member.reference)
            if content is not None and unit.keep != "none":
                root = unit.images if is_ours else None  # none of another data set's images
                image = member.reference or member.name
                problem = _keep(found, image, content, unit.side, root)
            wants = content is not None and member.reference and not problem
            key = hashlib.sha256(content).digest() if wants and content else None
            found.rows.append((member.name, member.reference or None, key, problem or None))
            if key is not None and content is not None and key not in known:
                known.add(key)
                found.keys.append(key)
                yield content
    except DamagedArchiveError as error:
        found.rows.append(("", None, None, str(error)))


def _keep(found: ArchiveContent, image: str, content: bytes, side: int, root: Path | None) -> str:
    """Keeps a reduced image; returns why it cannot be read, "" if it can."""
    place = place_of(image)
    try:
        if place is not None and root is not None:
            write_kept(root / place, reduced(content, side))
        elif place is not None:
            found.kept[place] = reduced(content, side)
    except UnreadablePictureError as error:
        return str(error)
    return ""


def write_kept(path: Path, picture: bytes) -> None:
    """Writes a kept image, which appears whole or not at all."""
    with whole(path) as beside:
        beside.write_bytes(picture)


def _encode(
    found: ArchiveContent, encoder: Encoder, contents: Iterator[bytes], threads: int | None
) -> None:
    vectors: dict[int, np.ndarray] = {}
    unread: dict[bytes, str] = {}
    for places, some, damaged in encoder.image_batches(contents, threads):
        vectors |= dict(zip(places, some, strict=True))
        unread |= {found.keys[place]: why for place, why in damaged.items()}
    places = sorted(vectors)
    found.keys = [found.keys[place] for place in places]
    found.vectors = np.stack([vectors[place] for place in places]) if places else None
    found.rows = [
        (name, image, None, unread[key]) if key in unread else (name, image, key, problem)
        for name, image, key, problem in found.rows
    ]


def _encoder(unit: Unit) -> Encoder | None:
    if not unit.encoder:
        return None
    encoder = _loaded(unit.encoder)
    if encoder.id != unit.encoder_id:
        what = f"is {encoder.id} on a worker and {unit.encoder_id} where the work was planned:"
        fix = "Give all machines the same version and the same weights."
        raise InputError(Problem("--encoder", what, fix, value=unit.encoder))
    return encoder


@lru_cache(maxsize=1)
def _loaded(spec: str) -> Encoder:
    # Also beside a GPU: Dask starts workers with the opposite setting, under which page faults took
    # longer than encoding.
    keep_freed_memory()
    return load_encoder(spec)


def usable_cores() -> int:
    """Cores that this process may use; no more than OMP_NUM_THREADS says."""
    cores = available_cores()
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(limit)) if limit.isdigit() and int(limit) else cores


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Some CPU kernels round otherwise with several threads: the number of workers may not show."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
