"""Metadata files in a folder, unpacked or in the archive they are published in."""

from __future__ import annotations

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from strata_labels.errors import InputError, Problem

# Bytes of a member that is read into memory; the largest published one has 100 million.
_LARGEST = 1 << 31
# What reading an archive raises: damaged, encrypted, of an unknown method.
_DAMAGE = (
    OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError,
    RuntimeError, ValueError,
)  # fmt: skip


@dataclass(frozen=True)
class Packed:
    """A file to read.

    Attributes:
        path: the file, or the archive it is in.
        member: its name in the archive; "" for an unpacked file.
    """

    path: Path
    member: str = ""

    def __str__(self) -> str:
        return f"{self.path}/{self.member}" if self.member else str(self.path)

    def text(self) -> str:
        """The file's UTF-8 text.

        Raises:
            InputError: unreadable, a damaged archive, a member that is no file or too large, not
                UTF-8.
        """
        try:
            return self._bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            what, fix = f"not UTF-8 text ({error.reason})", "Get the file again."
            raise InputError(Problem(str(self), what, fix)) from None
        except _DAMAGE as error:
            what, fix = f"cannot be read ({error})", "Get the file again."
            raise InputError(Problem(str(self), what, fix)) from None

    def _bytes(self) -> bytes:
        if not self.member:
            return self.path.read_bytes()
        if self.path.suffix == ".zip":
            with zipfile.ZipFile(self.path) as archive:
                found = archive.getinfo(self.member)
                link = stat.S_ISLNK(found.external_attr >> 16)
                self._check(found.file_size, not (link or found.is_dir()))
                return archive.read(self.member)
        with tarfile.open(self.path) as archive:
            member = archive.getmember(self.member)
            self._check(member.size, member.isreg())
            file = archive.extractfile(member)
            return file.read() if file else b""

    def _check(self, size: int, is_file: bool) -> None:
        """Refuses links, devices and folders, and what would fill the memory."""
        fix = "Get the archive again from its publisher."
        if not is_file:
            raise InputError(Problem(str(self), "a link, device or folder, not a file", fix))
        if size > _LARGEST:
            what = f"{size:,} bytes unpacked; {_LARGEST:,} at most are read"
            raise InputError(Problem(str(self), what, fix))


def find(folder: Path, name: str, archives: Sequence[str] = ()) -> Packed | None:
    """Looks for `name` in `folder`, then in those of the `archives` that are there.

    Raises:
        InputError: a damaged archive.
    """
    if (folder / name).is_file():
        return Packed(folder / name)
    for archive in archives:
        path = folder / archive
        if not path.is_file():
            continue
        try:
            if path.suffix == ".zip":
                with zipfile.ZipFile(path) as opened:
                    members = opened.namelist()
            else:
                with tarfile.open(path) as opened_tar:
                    members = opened_tar.getnames()
        except _DAMAGE as error:
            what, fix = f"cannot be read ({error})", "Get the archive again."
            raise InputError(Problem(path, what, fix)) from None
        for member in sorted(members, key=len):
            if Path(member).name == Path(name).name:
                return Packed(path, member)
    return None
