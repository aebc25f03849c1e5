"""Small pictures for the page, each drawn once and kept in a bounded folder of the workspace."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from strata_labels.files import whole
from strata_labels.pictures import thumbnail

#: Pixels at most in width and height: beside a name, in a row, enlarged.
SIDES = {"small": 320, "": 1024, "large": 2400}
#: Bytes of the folder, at most; of a full one the pictures that were not used longest are removed.
MOST_BYTES = 1 << 30


class Thumbnails:
    """Draws pictures, and remembers them by their file, its time and its size.

    Args:
        folder: where they are kept; may be removed at any time.
        most_bytes: bytes of the folder, at most.
    """

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._folder, self._most = folder, most_bytes
        self._written: int | None = None  # bytes in the folder, once it was looked at

    def draw(self, picture: Path, side: int) -> bytes:
        """A picture file as a JPEG, at most `side` pixels wide and high.

        Raises:
            UnreadablePictureError: there is no picture to open.
        """
        try:
            state = picture.stat()
        except OSError:
            return thumbnail(picture, side)  # says what is wrong
        key = f"{picture.resolve()}|{state.st_mtime_ns}|{state.st_size}|{side}"
        name = hashlib.sha256(os.fsencode(key)).hexdigest()
        kept = self._folder / name[:2] / f"{name[2:]}.jpg"
        with suppress(OSError):
            content = kept.read_bytes()
            os.utime(kept)  # used now
            return content
        content = thumbnail(picture, side)
        with suppress(OSError):  # a full disk only means that it is drawn again
            self._keep(kept, content)
        return content

    def _keep(self, path: Path, content: bytes) -> None:
        if self._written is None:
            self._written = sum(size for _, size, _ in self._files())
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as part:
            part.write_bytes(content)
        self._written += len(content)
        if self._written > self._most:
            self._remove_oldest()

    def _remove_oldest(self) -> None:
        """Frees a fifth of the folder."""
        files = sorted(self._files())
        left = sum(size for _, size, _ in files)
        for _, size, path in files:
            if left <= 0.8 * self._most:
                break
            path.unlink(missing_ok=True)
            left -= size
        self._written = left

    def _files(self) -> list[tuple[int, int, Path]]:
        """Time of the last use, size and path of each picture kept."""
        found = []
        for path in self._folder.glob("*/*.jpg"):
            with suppress(OSError):  # another process removes too
                state = path.stat()
                found.append((state.st_mtime_ns, state.st_size, path))
        return found
