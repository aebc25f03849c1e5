"""The one place that finds and opens picture files: pixels as a viewer shows them, or a reason.

Training, embedding, the review page and reports all open pictures here, so they see the same.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from strata_labels.errors import RetryError

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

#: Further folders, apart by `:`, in which picture files may lie that an image root points to.
ROOTS_VARIABLE = "STRATA_IMAGE_ROOTS"
#: Pixels of the largest picture that is opened.
LARGEST = 200_000_000
# Sides' ratio: with its shorter side resized to what a model takes, more would not fit in memory.
_THINNEST = 200
_LONGEST_NAME = 200
_SUFFIXES = (".jpg", ".jpeg", ".png")  # of ids
#: Suffixes of picture files in folders and archives.
PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
# Readers that Pillow has in itself; others start programs (EPS) or are for no photographs.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")


#: Reasons for which an image has no picture file, see `why_no_picture`.
MISSING, OUTSIDE = "no such file", "outside of the image root"


class UnreadablePictureError(Exception):
    """A file is missing, is no picture, is damaged, or is too large; the message says which."""


# --- files ---------------------------------------------------------------------------------


def is_picture(name: str) -> bool:
    """Whether a file is a picture, by its name."""
    return PurePosixPath(name).suffix.lower() in PICTURES


def picture_file(root: Path, image: str) -> Path | None:
    """The file of an image reference below a root, None where there is none that may be opened.

    Args:
        root: folder of images.
        image: a path relative to it, or an id, whose file is `a/b/c/abc….jpg` (`.jpeg`, `.png`).
    """
    path = _found(root, image)
    return path if path is not None and _may_open(root, path) else None


def why_no_picture(root: Path, image: str) -> str:
    """Why `picture_file` finds nothing."""
    path = _found(root, image)
    if path is None:
        return MISSING
    return f"{OUTSIDE}; {ROOTS_VARIABLE}={path.resolve().parent} allows it"


def _found(root: Path, image: str) -> Path | None:
    if "\0" in image or len(image) > 4096:
        return None
    places = [root / image]
    if _is_id(image):
        folder = root / image[0] / image[1] / image[2]
        places = [*(folder / f"{image}{suffix}" for suffix in _SUFFIXES), root / image]
    try:
        return next((path for path in places if path.is_file()), None)
    except OSError:  # a name too long
        return None


def _is_id(image: str) -> bool:
    return len(image) >= 3 and image.replace("-", "").replace("_", "").isalnum()


def place_of(image: str) -> str | None:
    """Where a reduced picture of a reference is kept, below its root: what `picture_file` finds.

    None for a reference that leads out of the root, or is too long for a file's name.
    """
    path = PurePosixPath(image)
    if _is_id(image):
        path = PurePosixPath(image[0], image[1], image[2], f"{image}.jpg")
    inside = path.parts and not path.is_absolute() and ".." not in path.parts and "\0" not in image
    return str(path) if inside and max(map(len, path.parts)) <= _LONGEST_NAME else None


def _may_open(root: Path, path: Path) -> bool:
    """Whether a file, all links followed, is below the root or a further allowed folder."""
    parent = Path(_real(str(path.parent)))
    real = path.resolve() if path.is_symlink() else parent / path.name
    roots = [_real(str(root))]
    roots += [_real(name) for name in os.environ.get(ROOTS_VARIABLE, "").split(os.pathsep) if name]
    return any(real.is_relative_to(allowed) for allowed in roots)


@lru_cache(maxsize=4096)
def _real(folder: str) -> str:
    return os.path.realpath(folder)


# --- pixels --------------------------------------------------------------------------------


def open_picture(file: Path | bytes, side: int | None = None) -> Image.Image:
    """A picture as 8-bit RGB, as a viewer shows it: the first frame, turned as its EXIF data says.

    Sixteen-bit grey is scaled to eight bits; transparency is put on white.

    Args:
        file: the file, or its content.
        side: enough pixels on the shorter side; a JPEG is decoded smaller then, which is faster.

    Raises:
        UnreadablePictureError: there is no picture to open.
    """
    from PIL import Image

    try:
        # Opening a named pipe would wait for a writer.
        if isinstance(file, Path) and not file.is_file() and file.exists():
            raise UnreadablePictureError("a folder or device, no file")
        source = io.BytesIO(file) if isinstance(file, bytes) else file
        with Image.open(source, formats=_formats()) as image:
            width, height = image.size
            if width * height > LARGEST:
                raise UnreadablePictureError(f"{width} x {height} pixels are too many to open")
            if max(width, height) > _THINNEST * min(width, height):
                raise UnreadablePictureError(f"{width} x {height} pixels are too thin a picture")
            if side:
                image.draft("RGB", (side, side))
            image.load()
            picture = _on_white(_eight_bit(_upright(image)))
            picture.info = {}  # Pillow would copy comments and profiles into what it writes
            return picture
    except UnreadablePictureError:
        raise
    except FileNotFoundError:
        raise UnreadablePictureError("missing") from None
    except MemoryError:
        raise UnreadablePictureError("more memory needed than there is") from None
    except Exception as error:  # Pillow's readers raise anything on broken files
        text = re.sub(r"<_io\.BytesIO object at 0x[0-9a-f]+>", "the file", str(error))
        if isinstance(file, Path):
            text = text.replace(str(file), file.name)
        raise UnreadablePictureError(f"{type(error).__name__}: {text}") from None


@lru_cache(maxsize=1)
def _formats() -> list[str]:
    """Those of `_FORMATS` that this Pillow can read."""
    from PIL import Image

    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def normalised(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """What torchvision's `ToTensor` and `Normalize` make of pixels, where these are.

    Eight bits a channel move between processes and to a GPU in a quarter of the time of floats.

    Args:
        pixels: `[n, 3, h, w]` uint8.
        mean, std: `[3]`, of one floating type, which is the result's too.
    """
    floats = pixels.to(mean.dtype).div_(255)
    return floats.sub_(mean[:, None, None]).div_(std[:, None, None])


def available_cores() -> int:
    """Cores that this process may use, of those that the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def give_way(_worker: int) -> None:
    """Lets other processes go first; for the processes of a `DataLoader`.

    With a decoder on every core, the thread that starts a GPU's kernels would wait for a core.
    """
    os.nice(10)


@contextmanager
def killed_processes() -> Iterator[None]:
    """Says in one sentence that a process of a `DataLoader` was killed."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise RetryError(
            "A process that decodes images was killed, often because memory was short. Free some "
            "memory (in a container: enlarge /dev/shm), and run the same command again."
        ) from error


def thumbnail(path: Path, side: int) -> bytes:
    """A picture as a small JPEG, drawn anew from its pixels, at most `side` pixels wide and high.

    Raises:
        UnreadablePictureError: there is no picture to open.
    """
    picture = open_picture(path, side)
    picture.thumbnail((side, side))
    return _jpeg(picture, quality=85)


def reduced(content: bytes, side: int) -> bytes:
    """A picture file's content as a JPEG whose shorter side has `side` pixels.

    A JPEG that is not larger comes back as it is.

    Raises:
        UnreadablePictureError: there is no picture to open.
    """
    picture = open_picture(content, side)
    if content.startswith(b"\xff\xd8") and min(_size_of(content)) <= side:
        return content
    scale = side / min(picture.size)
    if scale < 1:
        width, height = picture.size
        picture = picture.resize((round(width * scale), round(height * scale)))
    return _jpeg(picture, quality=90)


def _size_of(content: bytes) -> tuple[int, int]:
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        return image.size


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=quality)
    return content.getvalue()


def _upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF data says nothing
        return image.copy()


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits, or of decimal numbers, as grey of 8 bits."""
    from PIL import Image

    if not image.mode.startswith(("I", "F")):
        return image
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    if image.mode == "F" and values.max(initial=0) <= 1:
        values = values * 255
    elif image.mode.startswith("I;16") or values.max(initial=0) > 255:
        values = values / 257
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode == "LAB":
        from PIL import ImageCms

        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        turned = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        assert turned is not None
        return turned
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
