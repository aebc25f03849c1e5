"""Archives of images: each is read once, what is readable is there, what is not is named."""

from __future__ import annotations

import io
import tarfile
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
from archives import image_id, items_with, official, pack, picture
from copies import started, wait_until
from kill_archives import read_all
from publishing import Site, serve
from strata_labels.build import Workspace, read_here
from strata_labels.build.image_archives import ImageIndex, read_archives
from strata_labels.embedding import Encoder, VectorStore, load_encoder
from strata_labels.errors import InputError, RetryError
from strata_labels.pictures import picture_file
from strata_labels.sources import SOURCES, ImageArchive, find_archives
from tiny_clip import make_tiny_clip

Named = tuple[str, Encoder]


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Named:
    folder = tmp_path_factory.mktemp("tiny") / "clip"
    spec = make_tiny_clip(folder, steps=1)
    return spec, load_encoder(spec)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site({})
    server = serve(site)
    yield site
    server.shutdown()
    server.server_close()


def archives_of(site: Site, number: int) -> list[ImageArchive]:
    published = SOURCES["gldv2"].image_archives(["train"])
    return find_archives(site.url, published)[:number]


def vectors_of(workspace: Workspace, encoder: Named) -> dict[str, np.ndarray]:
    """The vector of each image that has one."""
    keys = ImageIndex(workspace.archive_indexes).keys
    table = VectorStore(workspace.vector_store).table(encoder[1].id, "image")
    return dict(zip(keys, table.vectors(list(keys.values())), strict=True))


def alone(encoder: Named, content: bytes) -> np.ndarray:
    """A picture's vector when nothing else is encoded."""
    return next(iter(encoder[1].image_batches([content], 1)))[1][0]


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".strata.lock"
    }


def requests_of(site: Site, suffix: str = ".tar") -> list[str]:
    return [path for path, _, status in site.log if path.endswith(suffix) and status < 400]


def test_each_wanted_image_has_its_own_vector(site: Site, encoder: Named, tmp_path: Path) -> None:
    site.files = official([range(12), range(12, 24)], damaged=[5])
    # Of each item the first two; image 99 is in no archive.
    items = items_with(
        [[image_id(3 * n + k) for k in range(3)] for n in range(7)] + [[image_id(99)]]
    )
    workspace = Workspace(tmp_path / "ws")
    archives = archives_of(site, 2)
    items.loc[1, "image_ids"][:] = [image_id(5), image_id(4), image_id(3)]
    counts, failure = read_archives(workspace, items, archives, 2, encoder, "none")
    wanted = [3 * n + k for n in range(7) if n != 1 for k in range(2)] + [4]
    found = vectors_of(workspace, encoder)
    assert set(found) == {image_id(number) for number in wanted} and not failure
    for number in wanted:
        assert (found[image_id(number)] == alone(encoder, picture(number))).all()
    assert counts["images_damaged"] == 1 and counts["archives_read"] == 2
    problems = ImageIndex(workspace.archive_indexes).problems
    assert list(problems) == [image_id(5)] and "UnidentifiedImageError" in problems[image_id(5)]
    # Dropped, and not fetched again.
    assert not (workspace.folder / "archives").exists() and not workspace.images.exists()
    site.log.clear()
    before = files_in(workspace.folder)
    counts, _ = read_archives(workspace, items, archives, 2, encoder, "none")
    assert not site.log and counts["archives_read"] == 0 and files_in(workspace.folder) == before


def test_more_wanted_images_need_only_the_archives_that_have_them(
    site: Site, encoder: Named, tmp_path: Path
) -> None:
    site.files = official([range(6), range(6, 12), range(12, 18)])
    items = items_with([[image_id(0), image_id(7)], [image_id(12)]])
    workspace, archives = Workspace(tmp_path / "ws"), archives_of(site, 3)
    read_archives(workspace, items, archives, 1, encoder, "none")
    site.log.clear()
    read_archives(workspace, items, archives, 2, encoder, "none")
    assert requests_of(site) == ["/train/images_001.tar"]
    assert set(vectors_of(workspace, encoder)) == {image_id(n) for n in (0, 7, 12)}


def test_bad_connections_cost_no_image(site: Site, encoder: Named, tmp_path: Path) -> None:
    site.files = official([range(6), range(6, 12)])
    site.faults = ["503", "", "cut", "", "", "reset", "damage"]
    items = items_with([[image_id(n)] for n in range(12)])
    workspace = Workspace(tmp_path / "ws")
    _, failure = read_archives(workspace, items, archives_of(site, 2), 1, encoder, "none")
    assert not failure and len(vectors_of(workspace, encoder)) == 12


def test_archives_that_cannot_be_read_are_named_and_the_rest_is_there(
    site: Site, encoder: Named, tmp_path: Path
) -> None:
    site.files = official([range(4), range(4, 8), range(8, 12), range(12, 16), range(90, 94)])
    site.files["/md5sum/train/md5.images_001.txt"] = b"0" * 32 + b"  images_001.tar\n"
    del site.files["/md5sum/train/md5.images_002.txt"]
    items = items_with([[image_id(n)] for n in range(16)])
    workspace, archives = Workspace(tmp_path / "ws"), archives_of(site, 6)
    counts, failure = read_archives(workspace, items, archives, 1, encoder, "none")
    assert set(vectors_of(workspace, encoder)) == {image_id(n) for n in (*range(4), *range(12, 16))}
    assert counts["archives_read"] == 2 and counts["archives_not_on_the_server"] == 1
    lines = failure.splitlines()
    assert lines[0].startswith("3 of 6 archives could not be read")
    assert "images_001.tar" in lines[1] and "published " + "0" * 32 in lines[1]
    assert "images_002.tar" in lines[2] and "md5.images_002.txt" in lines[2]
    assert "images_004.tar" in lines[3] and "is it another's?" in lines[3]
    # Mended, only these are read.
    site.files |= official([range(4), range(4, 8), range(8, 12), range(12, 16)])
    site.log.clear()
    read_archives(workspace, items, archives[:4], 1, encoder, "none")
    assert sorted(requests_of(site)) == ["/train/images_001.tar", "/train/images_002.tar"]
    assert len(vectors_of(workspace, encoder)) == 16


def test_a_server_without_archives_is_refused(site: Site, encoder: Named, tmp_path: Path) -> None:
    items = items_with([[image_id(0)]])
    with pytest.raises(InputError, match="no archive of the data set there"):
        read_archives(Workspace(tmp_path), items, archives_of(site, 5), 1, encoder, "none")
    with pytest.raises(InputError, match="no archive in"):
        find_archives(str(tmp_path), [])


@pytest.mark.parametrize("how", ["header", "cut", "gzip cut", "zip member", "end"])
def test_what_comes_before_a_damage_is_read(how: str, encoder: Named, tmp_path: Path) -> None:
    members = {f"a/{image_id(n)}.jpg": picture(n) for n in range(8)}
    place = tmp_path / "shards"
    place.mkdir()
    if how == "zip member":
        path = place / "images.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        content = bytearray(path.read_bytes())
        at = content.index(picture(4))
        content[at + 100] ^= 255
        path.write_bytes(content)
    elif how == "gzip cut":
        content = pack(members, "w:gz")
        (place / "images.tar.gz").write_bytes(content[: len(content) * 6 // 10])
    else:
        path = place / "images.tar"
        content = bytearray(pack(members))
        with tarfile.open(fileobj=io.BytesIO(bytes(content))) as archive:
            offsets = [info.offset for info in archive]
        if how == "header":
            content[offsets[4] : offsets[4] + 512] = b"\xff" * 512
        elif how == "cut":
            content = content[: offsets[4] + 700]
        else:
            content = content[: offsets[4]]
        path.write_bytes(content)
    items = items_with([[image_id(n)] for n in range(8)])
    workspace = Workspace(tmp_path / "ws")
    archives = find_archives(str(place), [])
    _, failure = read_archives(workspace, items, archives, 1, encoder, "none")
    found = vectors_of(workspace, encoder)
    if how == "zip member":
        assert set(found) == {image_id(n) for n in range(8) if n != 4}
        assert (
            "damaged in the archive" in ImageIndex(workspace.archive_indexes).problems[image_id(4)]
        )
        return
    assert set(found) == {image_id(n) for n in range(len(found))} and 2 <= len(found) <= 4
    assert "damaged" in failure and "what could be read is there" in failure
    # A right copy is read when it comes.
    for path in place.iterdir():
        path.unlink()
    (place / archives[0].name).write_bytes(pack(members, "w:gz" if how == "gzip cut" else "w"))
    _, failure = read_archives(workspace, items, archives, 1, encoder, "none")
    assert not failure and len(vectors_of(workspace, encoder)) == 8


def test_members_that_are_no_files_or_climb_out_do_no_harm(encoder: Named, tmp_path: Path) -> None:
    place = tmp_path / "shards"
    place.mkdir()
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(picture(1))
    with tarfile.open(place / "images.tar", "w") as archive:
        for kind, name in ((tarfile.SYMTYPE, image_id(1)), (tarfile.LNKTYPE, image_id(2))):
            link = tarfile.TarInfo(f"{name}.jpg")
            link.type, link.linkname = kind, str(secret)
            archive.addfile(link)
        fifo = tarfile.TarInfo(f"{image_id(3)}.jpg")
        fifo.type = tarfile.FIFOTYPE
        archive.addfile(fifo)
        for name, number in (("../../out.jpg", 4), ("/abs.jpg", 5), (f"x/{image_id(6)}.jpg", 6)):
            info = tarfile.TarInfo(name)
            info.size = len(picture(number))
            archive.addfile(info, io.BytesIO(picture(number)))
    items = items_with([[image_id(n)] for n in range(7)] + [["../../out.jpg"], ["abs.jpg"]])
    workspace = Workspace(tmp_path / "a" / "b" / "ws")
    read_archives(workspace, items, find_archives(str(place), []), 1, encoder, "all", 32)
    assert set(vectors_of(workspace, encoder)) == {image_id(6), "../../out.jpg", "abs.jpg"}
    assert not list(tmp_path.rglob("out.jpg"))
    inside = {
        path.relative_to(workspace.images).as_posix() for path in workspace.images.rglob("*.jpg")
    }
    six = image_id(6)
    assert inside == {f"{six[0]}/{six[1]}/{six[2]}/{six}.jpg", "abs.jpg"}


def test_kept_images_are_reduced_and_lie_where_they_are_looked_for(
    encoder: Named, tmp_path: Path
) -> None:
    from PIL import Image

    place = tmp_path / "shards"
    place.mkdir()
    large = picture(2, (300, 200))
    (place / "train_val.tar.gz").write_bytes(
        pack({"top/Aves/1/a.jpg": large, "top/Aves/1/b.jpg": picture(1), "top/c.txt": b"x"}, "w:gz")
    )
    items = items_with([["Aves/1/a.jpg"], ["Aves/1/b.jpg"], ["Aves/2/gone.jpg"]])
    workspace = Workspace(tmp_path / "ws")
    archives = find_archives(str(place), [])
    read_archives(workspace, items, archives, 1, None, "wanted", 80)
    kept = picture_file(workspace.images, "Aves/1/a.jpg")
    assert kept and Image.open(kept).size == (120, 80)
    small = picture_file(workspace.images, "Aves/1/b.jpg")
    assert small and small.read_bytes() == picture(1)
    assert len([path for path in workspace.images.rglob("*") if path.is_file()]) == 2
    # Nothing was encoded; a vector can be made of what was kept, so nothing is read again.
    counts, _ = read_archives(workspace, items.iloc[:2], archives, 1, encoder, "wanted", 80)
    assert counts["archives_read"] == 0


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_a_large_archive_is_read_once_without_filling_memory(kind: str, tmp_path: Path) -> None:
    """As iNaturalist's one archive, and SOP's: thousands of members, all of them kept."""
    place = tmp_path / "shards"
    place.mkdir()
    some = [picture(n, (100, 80)) for n in range(10)]
    # A comment after the start makes each file another one, and large.
    members = {
        f"top/{n}.jpg": b"\xff\xd8\xff\xfe\x75\x32" + f"{n:030000}".encode() + some[n % 10][2:]
        for n in range(1500)
    }
    path = place / f"images.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
    else:
        path.write_bytes(pack(members, "w:gz"))
    total = sum(map(len, members.values()))
    items = items_with([[f"{n}.jpg" for n in range(start, 1500, 500)] for start in range(500)])
    archives = find_archives(str(place), [])
    # Python's table of interned names may double meanwhile, by 8 or 16 MB; but not twice.
    for name in ("first", "second"):
        workspace = Workspace(tmp_path / name)
        tracemalloc.start()
        counts, failure = read_archives(workspace, items, archives, 2, None, "wanted", 80)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        if peak < total / 6:
            break
    assert not failure and counts["images_in_archives"] == 1000
    kept = list(workspace.images.rglob("*.jpg"))
    assert len(kept) == 1000 and sum(file.stat().st_size for file in kept) > total / 2
    assert peak < total / 6
    # With more wanted images it is read again; with none more it is not.
    assert read_archives(workspace, items, archives, 3, None, "wanted", 80)[0]["archives_read"] == 1
    assert len(list(workspace.images.rglob("*.jpg"))) == 1500
    assert read_archives(workspace, items, archives, 3, None, "wanted", 80)[0]["archives_read"] == 0


def test_the_first_archives_out_of_reach_stop_the_work(encoder: Named, tmp_path: Path) -> None:
    place = tmp_path / "shards"
    place.mkdir()
    for number in range(5):
        (place / f"{number}.tar").write_bytes(b"no archive at all" * 50)
    items = items_with([[image_id(n)] for n in range(7)])
    with pytest.raises(RetryError, match="archives could not be read") as caught:
        archives = [ImageArchive(f"{n}.tar", str(place / "gone" / f"{n}.tar")) for n in range(5)]
        read_archives(Workspace(tmp_path / "ws"), items, archives, 1, encoder, "none")
    assert str(caught.value).count("No such file") == 3


def test_a_killed_run_is_continued_to_the_same_bytes(
    site: Site, encoder: Named, tmp_path: Path
) -> None:
    site.files = official([range(8 * n, 8 * n + 8) for n in range(6)])
    items = items_with([[image_id(n)] for n in range(48)])
    whole = Workspace(tmp_path / "whole")
    read_archives(whole, items, archives_of(site, 6), 1, encoder, "wanted", 32)
    workspace = Workspace(tmp_path / "ws")
    site.log.clear()

    def reading() -> AbstractContextManager[BaseProcess]:
        return started(read_all, workspace.folder, site.url, encoder[0], 6, read_here)

    index = workspace.archive_indexes
    for done in (1, 3, 5):
        with reading() as copy:
            wait_until(copy, lambda n=done: len([*index.glob("*.parquet")]) >= n)
    with reading() as last:
        last.join(120)
        assert last.exitcode == 0
    assert files_in(workspace.folder) == files_in(whole.folder)
    # Each kill costs at most the two archives in flight.
    assert 6 <= len(requests_of(site)) <= 6 + 2 * 3
