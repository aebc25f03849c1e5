"""Pictures of the page are drawn once, and the folder that keeps them stays bounded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image
from strata_labels.pictures import UnreadablePictureError
from strata_labels.review.page.thumbnails import Thumbnails


def picture(path: Path, colour: str, side: int = 200) -> Path:
    Image.new("RGB", (side, side // 2), colour).save(path)
    return path


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*"))


def test_a_picture_is_drawn_once_for_each_size(tmp_path: Path) -> None:
    file, folder = picture(tmp_path / "a.png", "teal"), tmp_path / "thumbnails"
    drawn = Thumbnails(folder).draw(file, 50)
    (one,) = kept(folder)
    one.write_bytes(b"kept")  # another process, later, takes what is there
    assert Thumbnails(folder).draw(file, 50) == b"kept" and drawn[:2] == b"\xff\xd8"
    assert Thumbnails(folder).draw(file, 60)[:2] == b"\xff\xd8" and len(kept(folder)) == 2
    # Another picture under the same name is another picture.
    picture(file, "red", 220)
    assert Thumbnails(folder).draw(file, 50)[:2] == b"\xff\xd8"


def test_what_was_not_used_longest_goes_first(tmp_path: Path) -> None:
    folder = tmp_path / "thumbnails"
    files = [picture(tmp_path / f"{n}.png", "teal", 200 + n) for n in range(12)]
    size = len(Thumbnails(tmp_path / "other").draw(files[0], 50))
    thumbnails = Thumbnails(folder, most_bytes=10 * size)
    for n, file in enumerate(files[:10]):
        thumbnails.draw(file, 50)
        newest = max(kept(folder), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (n, n))
    thumbnails.draw(files[0], 50)  # used again
    thumbnails.draw(files[10], 50)
    left = kept(folder)
    assert sum(path.stat().st_size for path in left) <= 8 * size
    times = sorted(path.stat().st_mtime for path in left)
    assert times[0] > 2 and times[-2] > 10  # the second to fourth are gone, the first is not


def test_a_folder_that_cannot_be_written_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "thumbnails").write_text("a file where the folder should be")
    file = picture(tmp_path / "a.png", "teal")
    assert Thumbnails(tmp_path / "thumbnails").draw(file, 50)[:2] == b"\xff\xd8"
    with pytest.raises(UnreadablePictureError):
        Thumbnails(tmp_path / "other").draw(tmp_path / "missing.png", 50)
    assert not (tmp_path / "other").exists()
