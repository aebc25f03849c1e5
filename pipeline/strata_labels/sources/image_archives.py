"""Archives of images: which there are, fetching one, and reading its members as a stream.

An archive is read from its start to its end, once; nothing is unpacked. A member's name is only
compared with image references, and never used as a path.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tarfile import (  # type: ignore[attr-defined]
    EmptyHeaderError,
    InvalidHeaderError,
    ReadError,
    TruncatedHeaderError,
)

import requests

from strata_labels.errors import InputError, Problem
from strata_labels.pictures import is_picture
from strata_labels.progress import track
from strata_labels.sources.download import download_all, remote_size

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip")
#: Bytes of the largest member that is read.
LARGEST = 1 << 28
_DAMAGE = (EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError, NotImplementedError)


@dataclass(frozen=True)
class ImageArchive:
    """An archive of images, not fetched yet.

    Attributes:
        name: its lasting name, such as `train/images_000.tar`.
        address: its path or address.
        md5: path or address of the file with its MD5 sum; "" where none is published.
    """

    name: str
    address: str
    md5: str = ""

    @property
    def is_remote(self) -> bool:
        return self.address.startswith(("http://", "https://"))


class DamagedArchiveError(Exception):
    """An archive cannot be read, or not to its end; what was read before is right."""


class AbsentArchiveError(Exception):
    """The server does not have an archive."""


@dataclass(frozen=True)
class Member:
    """A file of an archive.

    Attributes:
        name: as the archive has it.
        reference: the wanted image that it is; "" for none.
        content: its bytes; None if it was not read.
        problem: why it could not be read; "" if it could, or was not wanted.
    """

    name: str
    reference: str = ""
    content: bytes | None = None
    problem: str = ""


def find_archives(place: str, published: Sequence[tuple[str, str]]) -> list[ImageArchive]:
    """The archives at a place.

    Args:
        place: a folder (all archives in it and below), an archive, the address of one, or that of
            a server or folder that has the data set's archives under their official names.
        published: official path and path of the MD5 file ("" for none) of each archive.

    Raises:
        InputError: nothing there, or no archive in it.
    """
    if place.startswith(("http://", "https://")):
        base = place.rstrip("/")
        if base.endswith(SUFFIXES):
            return [ImageArchive(base.rsplit("/", 1)[1], base)]
        if not published:
            fix = "Give a folder, or the address of one archive."
            what = "the tree's data set has no archives of its own; none can be found at"
            raise InputError(Problem("--shards", what, fix, value=place))
        return [
            ImageArchive(name, f"{base}/{name}", md5 and f"{base}/{md5}") for name, md5 in published
        ]
    path = Path(place)
    if path.is_file():
        return [ImageArchive(path.name, str(path.resolve()))]
    sums = dict(published)
    files = sorted(file for file in path.rglob("*") if file.name.endswith(SUFFIXES))
    if not files:
        what = f"{'no archive in' if path.is_dir() else 'no such folder or archive:'}"
        fix = f"Give a folder with {', '.join(SUFFIXES)} files, or an address."
        raise InputError(Problem("--shards", what, fix, value=place))
    found = []
    for file in files:
        name = file.relative_to(path).as_posix()
        md5 = path / sums.get(name, "")
        found.append(
            ImageArchive(name, str(file.resolve()), str(md5.resolve()) if md5.is_file() else "")
        )
    return found


def fetch_archive(archive: ImageArchive, folder: Path) -> Path:
    """The archive as a file: where it lies, or downloaded to `folder` and checked.

    Raises:
        AbsentArchiveError: the server does not have it.
        InputError: the server has no MD5 file of it, or one without a sum.
        RetryError: a server out of reach or broken; what came is kept for the next run.
        DamagedArchiveError: a local archive that does not have its MD5 sum.
    """
    name = PurePosixPath(archive.name).name
    if not archive.is_remote:
        path = Path(archive.address)
        if archive.md5:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "md5").hexdigest()
            if found != (published := _md5_in(Path(archive.md5), name)):
                raise DamagedArchiveError(f"damaged (MD5 {found}, published {published})")
        return path
    sums = {}
    if archive.md5:
        beside = PurePosixPath(archive.md5).name
        (folder / beside).unlink(missing_ok=True)  # where the sums differ, it may be the wrong one
        try:
            download_all(folder, {beside: [archive.md5]})
        except InputError:
            with requests.Session() as session:
                if remote_size(session, archive.address) is None:
                    raise AbsentArchiveError from None
            raise
        sums[name] = _md5_in(folder / beside, name)
    try:
        return download_all(folder, {name: [archive.address]}, md5_sums=sums)[0].path
    except InputError as error:
        raise AbsentArchiveError from error


def archive_sizes(archives: Sequence[ImageArchive]) -> list[int]:
    """Bytes of the archives that are there, 0 where a server does not say.

    Raises:
        RetryError: a server is out of reach.
    """
    sizes = []
    with requests.Session() as session, track(len(archives), "asking for sizes") as tracker:
        for archive in archives:
            if not archive.is_remote:
                sizes.append(Path(archive.address).stat().st_size)
            elif (size := remote_size(session, archive.address)) is not None:
                sizes.append(size)
            tracker.advance(1)
    return sizes


def _md5_in(path: Path, name: str) -> str:
    """The sum in a file of `md5sum`, of one archive."""
    found = re.search(r"\b[0-9a-fA-F]{32}\b", path.read_text(encoding="utf-8", errors="replace"))
    if not found:
        what, fix = f"no MD5 sum of {name} in it", "Get the file again."
        raise InputError(Problem(path, what, fix))
    return found[0].lower()


def read_members(
    path: Path, wanted: Collection[str], every_image: bool = False
) -> Iterator[Member]:
    """Reads an archive as a stream.

    Args:
        path: a tar file, packed or not, or a zip file.
        wanted: image references (see `reference_of`).
        every_image: give the content of images that are not wanted too.

    Yields:
        The files in it. Folders, links and devices are passed over.

    Raises:
        DamagedArchiveError: it is damaged from some place on; all before was yielded.
    """
    try:
        if path.name.endswith(".zip"):
            yield from _zip_members(path, wanted, every_image)
        else:
            yield from _tar_members(path, wanted, every_image)
    except _DAMAGE as error:
        raise DamagedArchiveError(f"damaged ({error})") from error


def reference_of(name: str, wanted: Collection[str]) -> str:
    """The wanted image reference that a member's name stands for, "" if there is none.

    A reference is an id, which is the file's name without its suffix, or a path, which is the
    name's end.
    """
    if not is_picture(name):
        return ""
    parts = PurePosixPath(name).parts
    ends = ("/".join(parts[at:]) for at in range(len(parts)))
    return next((end for end in (*ends, PurePosixPath(name).stem) if end in wanted), "")


class _StrictInfo(tarfile.TarInfo):
    """A header; where tarfile takes a damaged or missing one for the end, an error."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> _StrictInfo:
        try:
            return super().fromtarfile(tarfile)
        except (InvalidHeaderError, TruncatedHeaderError, EmptyHeaderError) as error:
            raise ReadError(f"{error} at byte {tarfile.offset}") from error


def _tar_members(path: Path, wanted: Collection[str], every_image: bool) -> Iterator[Member]:
    # "r|*": a stream, so that a packed archive is not read twice.
    with tarfile.open(path, "r|*", tarinfo=_StrictInfo) as archive:
        for info in archive:
            if not info.isreg():
                continue
            reference = reference_of(info.name, wanted)
            if not (reference or (every_image and is_picture(info.name))):
                yield Member(info.name)
            elif info.size > LARGEST:
                why = f"{info.size} bytes are too many to read"
                yield Member(info.name, reference, problem=why)
            else:
                file = archive.extractfile(info)
                content = file.read() if file else b""
                if len(content) < info.size:
                    raise EOFError("it ends early")
                yield Member(info.name, reference, content)
            archive.members = []  # type: ignore[attr-defined]  # tarfile keeps all it has seen


def _zip_members(path: Path, wanted: Collection[str], every_image: bool) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        for info in sorted(infos, key=lambda info: info.header_offset):
            reference = reference_of(info.filename, wanted)
            if not (reference or (every_image and is_picture(info.filename))):
                yield Member(info.filename)
                continue
            if info.file_size > LARGEST:
                why = f"{info.file_size} bytes are too many to read"
                yield Member(info.filename, reference, problem=why)
                continue
            try:
                with archive.open(info) as file:
                    yield Member(info.filename, reference, file.read(LARGEST))
            except (*_DAMAGE, RuntimeError) as error:  # of one member; RuntimeError: a password
                why = f"damaged in the archive ({error})"
                yield Member(info.filename, reference, problem=why)
