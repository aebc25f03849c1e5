"""Pictures of every kind that Pillow writes: the pixels that training, embedding and page see."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from strata_labels import pictures
from strata_labels.embedding import image_files
from strata_labels.pictures import (
    UnreadablePictureError,
    normalised,
    open_picture,
    picture_file,
    place_of,
    reduced,
    thumbnail,
    why_no_picture,
)
from strata_labels.training.image_loading import unreadable
from torchvision.transforms import functional

GREY = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)


def solid(mode: str, colour: object) -> Image.Image:
    return Image.new(mode, (8, 8), colour)  # type: ignore[arg-type]


def palette(transparent: bool) -> Image.Image:
    image = solid("P", 1)
    image.putpalette([0, 0, 255, 255, 0, 0])
    if transparent:
        image.info["transparency"] = 1
    return image


#: File name, picture, what it shows in its middle.
KINDS: dict[str, tuple[Callable[[], Image.Image], tuple[int, int, int]]] = {
    "rgb.png": (lambda: solid("RGB", (10, 20, 30)), (10, 20, 30)),
    "grey.png": (lambda: solid("L", 77), (77, 77, 77)),
    "grey16.png": (lambda: solid("I;16", 77 * 257), (77, 77, 77)),
    "grey16.tiff": (lambda: solid("I;16", 77 * 257), (77, 77, 77)),
    "grey32.tiff": (lambda: solid("I", 77 * 257), (77, 77, 77)),
    "float.tiff": (lambda: solid("F", 0.5), (128, 128, 128)),
    "one_bit.png": (lambda: solid("1", 1), (255, 255, 255)),
    "one_bit.bmp": (lambda: solid("1", 0), (0, 0, 0)),
    "palette.png": (lambda: palette(False), (255, 0, 0)),
    "palette.gif": (lambda: palette(True), (255, 255, 255)),
    "hidden.png": (lambda: solid("RGBA", (200, 0, 0, 0)), (255, 255, 255)),
    "half.png": (lambda: solid("RGBA", (0, 0, 0, 127)), (128, 128, 128)),
    "half_grey.png": (lambda: solid("LA", (0, 127)), (128, 128, 128)),
    "half.webp": (lambda: solid("RGBA", (0, 0, 0, 127)), (128, 128, 128)),
    "cmyk.tiff": (lambda: solid("CMYK", (0, 255, 255, 0)), (255, 0, 0)),
    "cmyk.jpg": (lambda: solid("CMYK", (0, 255, 255, 0)), (254, 0, 0)),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_picture_is_what_a_viewer_shows(name: str, tmp_path: Path) -> None:
    make, shown = KINDS[name]
    make().save(tmp_path / name, lossless=True)
    found = open_picture(tmp_path / name)
    assert (found.mode, found.size) == ("RGB", (8, 8))
    assert np.abs(np.array(found.getpixel((4, 4))) - shown).max() <= 2
    assert unreadable([tmp_path / name]) == {}
    assert thumbnail(tmp_path / name, 4)[:3] == b"\xff\xd8\xff"


def test_sixteen_bits_keep_their_order(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    found = np.asarray(open_picture(tmp_path / "a.png"))[..., 0]
    assert np.array_equal(found, np.rint(GREY / 257))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
def test_a_picture_is_turned_as_its_exif_data_says(suffix: str, tmp_path: Path) -> None:
    image = Image.new("RGB", (32, 16), "black")
    image.paste("white", (0, 0, 16, 16))
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned to the right
    image.save(tmp_path / f"a.{suffix}", exif=exif)
    found = np.asarray(open_picture(tmp_path / f"a.{suffix}"))
    assert found.shape == (32, 16, 3)
    assert found[4, 8, 0] > 200 and found[28, 8, 0] < 50


def test_of_an_animation_the_first_frame_counts(tmp_path: Path) -> None:
    frames = [solid("RGB", colour) for colour in ("red", "lime", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert open_picture(tmp_path / "a.gif").getpixel((4, 4)) == (255, 0, 0)


def huge(path: Path) -> None:
    """A PNG of a few bytes that claims to have 10,000,000,000 pixels."""
    solid("1", 0).save(path)
    raw = bytearray(path.read_bytes())
    raw[16:24] = struct.pack(">II", 100_000, 100_000)
    raw[29:33] = struct.pack(">I", zlib.crc32(bytes(raw[12:29])))
    path.write_bytes(raw)


def truncated(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-2000])


BROKEN: dict[str, Callable[[Path], object]] = {
    "huge.png": huge,
    "truncated.jpg": truncated,
    "truncated.png": truncated,
    "text.jpg": lambda path: path.write_text("not a picture"),
    "page.svg": lambda path: path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>"),
    "post.eps": lambda path: solid("RGB", 0).save(path),
    "empty.png": lambda path: path.write_bytes(b""),
    "folder.png": lambda path: path.mkdir(),
    "pipe.png": os.mkfifo,
    "loop.png": lambda path: path.symlink_to(path.name),
    "device.png": lambda path: path.symlink_to("/dev/zero"),
    "gone.png": lambda path: None,
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_picture_has_a_reason(name: str, tmp_path: Path) -> None:
    BROKEN[name](tmp_path / name)
    with pytest.raises(UnreadablePictureError) as caught:
        open_picture(tmp_path / name)
    assert str(caught.value) and str(tmp_path) not in str(caught.value)
    assert unreadable([tmp_path / name]) == {0: str(caught.value)}


def test_only_files_below_the_root_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, other = tmp_path / "images", tmp_path / "other"
    (root / "a/b/c").mkdir(parents=True)
    other.mkdir()
    for path in (root / "in.png", root / "a/b/c/abcdef.jpg", other / "out.png"):
        solid("RGB", "red").save(path)
    (root / "link.png").symlink_to(other / "out.png")
    (root / "folder").symlink_to(other)
    (root / "own.png").symlink_to(root / "in.png")
    inside = ["in.png", "abcdef", "./a/../in.png", "own.png", str(root / "in.png")]
    outside = ["link.png", "folder/out.png", "../other/out.png", str(other / "out.png")]
    outside += ["/etc/passwd"]
    gone = ["none.png", "abcxyz", "", ".", "a\0b", "x" * 5000, "a/" * 2000 + "b"]
    assert all(picture_file(root, image) for image in inside)
    assert not any(picture_file(root, image) for image in (*outside, *gone))
    assert all(why_no_picture(root, image).startswith("outside") for image in outside)
    assert all(why_no_picture(root, image) == "no such file" for image in gone)
    assert len(image_files(root, [*inside, *outside], 99)) == len(inside)
    monkeypatch.setenv(pictures.ROOTS_VARIABLE, f"/nowhere:{other}")
    assert all(picture_file(root, image) for image in outside[:4])
    assert not picture_file(root, "/etc/passwd")


@pytest.mark.parametrize(("size", "side", "expected"), [
    ((1600, 1200), 512, (683, 512)),
    ((400, 1600), 100, (100, 400)),
    ((60, 40), 512, (60, 40)),
])  # fmt: skip
def test_a_reduced_picture_has_its_shorter_side(
    size: tuple[int, int], side: int, expected: tuple[int, int]
) -> None:
    content = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(content, "JPEG")
    found = reduced(content.getvalue(), side)
    assert Image.open(io.BytesIO(found)).size == expected
    assert (found == content.getvalue()) == (size == expected)


def test_a_reduced_picture_is_turned_as_its_viewer_does() -> None:
    content, turned = io.BytesIO(), Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (300, 200), "red").save(content, "JPEG", exif=turned)
    found = Image.open(io.BytesIO(reduced(content.getvalue(), 100)))
    assert found.size == (100, 150) and not found.getexif()


@pytest.mark.parametrize(
    "image", ["../a.jpg", "/a.jpg", "a/../../b.jpg", "", "a\0b.jpg", "x" * 300]
)
def test_no_picture_is_kept_outside_of_its_root(image: str) -> None:
    assert place_of(image) is None


@pytest.mark.parametrize("image", ["0123456789abcdef", "Aves/1/a.jpg", "no_suffix", "ab"])
def test_a_kept_picture_is_found(image: str, tmp_path: Path) -> None:
    place = place_of(image)
    assert place
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_bytes(b"x")
    assert picture_file(tmp_path, image) == tmp_path / place


def test_pixels_are_normalised_as_torchvision_does() -> None:
    noise = Image.effect_noise((40, 30), 80).convert("RGB")
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = functional.normalize(functional.to_tensor(noise), mean, std)
    pixels = functional.pil_to_tensor(noise)[None]
    assert torch.equal(normalised(pixels, torch.tensor(mean), torch.tensor(std))[0], expected)
    assert pixels.dtype == torch.uint8


def test_a_picture_too_thin_to_be_resized_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "line.png"
    Image.new("RGB", (1, 60_000)).save(path)
    with pytest.raises(UnreadablePictureError, match="1 x 60000 pixels are too thin"):
        open_picture(path, 224)
    Image.new("RGB", (20, 4_000)).save(path)
    assert open_picture(path).size == (20, 4_000)
