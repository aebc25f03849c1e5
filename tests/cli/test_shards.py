"""`strata fetch --images` and `strata embed --shards`: what they refuse."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from archives import image_id, official, official_metadata, pack, picture
from building import Strata
from publishing import Site, serve


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fetch", "gldv2", "WS", "--images", "train", "--keep", "none"], "nothing would be kept"),
        (["fetch", "gldv2", "WS", "--images", "train", "--shards", "x-9"], "no range of archives"),
        (["fetch", "gldv2", "WS", "--images", "test", "--base-url", "http://127.0.0.1:9"], "test"),
        (["fetch", "gldv2", "WS", "--shards", "0-9"], "--images"),
        (["embed", "WS", "--plan"], "--shards"),
        (["embed", "WS", "--shards", "nothing-there"], "no build in this folder"),
    ],
)
def test_refusals_are_one_message(
    words: list[str], said: str, strata: Strata, tmp_path: Path
) -> None:
    run = strata(*(str(tmp_path / "WS") if word == "WS" else word for word in words))
    assert run.returncode == 2 and said in run.stderr and "Traceback" not in run.stderr
    assert not (tmp_path / "WS").exists()


def test_archives_with_faults_are_named_and_the_rest_is_kept(
    strata: Strata, tmp_path: Path
) -> None:
    site = Site(official_metadata() | official([[4, 5], [6], [90, 91], [7]], damaged=[7]))
    del site.files["/md5sum/train/md5.images_001.txt"]
    climbing = pack({f"../../../{image_id(8)}.jpg": picture(8), f"/{image_id(9)}.jpg": b"no"})
    site.files["/train/images_004.tar"] = climbing
    digest = hashlib.md5(climbing).hexdigest()
    site.files["/md5sum/train/md5.images_004.txt"] = f"{digest}  images_004.tar".encode()
    server = serve(site)
    workspace = tmp_path / "a" / "b" / "ws"
    run = strata("fetch", "gldv2", workspace, "--images", "train", "--base-url", site.url)
    server.shutdown()
    server.server_close()
    assert run.returncode == 1 and "Traceback" not in run.stderr
    said = run.stderr[run.stderr.index("2 of 500 archives could not be read") :].splitlines()
    assert "images_001.tar" in said[1] and "md5.images_001.txt: the server answers 404" in said[1]
    assert "images_002.tar: none of its 2 images is one of the data set's" in said[2]
    names = [image_id(number) for number in (4, 5, 8)]
    kept = {f"images/{name[0]}/{name[1]}/{name[2]}/{name}.jpg" for name in names}
    pictures = {path.relative_to(workspace).as_posix() for path in workspace.rglob("*.jpg")}
    assert pictures == kept and len(list(tmp_path.rglob("*.jpg"))) == 3
    assert "2 images damaged" in run.stdout
