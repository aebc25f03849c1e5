"""Drives that are full, read-only or others', and folders of another user, as real mounts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from archives import pack, picture
from building import data_files, run_strata, strata_environment
from publishing import Site, serve
from tiny_clip import make_tiny_clip

ITEMS = "id,name,kind,group\n" + "".join(
    f"{n},thing {n},{kind},{kind and 'food'}\n" for n, kind in enumerate(["tea", "", "salt"] * 8)
)
Drive = Callable[[str], Path]


# Even root may open no files of others then.
OWN_FILES_ONLY = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")


def run(home: Path, *words: object, before: Sequence[str] = ()) -> tuple[int, str]:
    """A command's exit status and what it said; a traceback fails the test.

    With words `before` the command line, in a process of its own.
    """
    if before:
        command = [*before, sys.executable, "-m", "strata_labels.cli", *map(str, words)]
        environment = strata_environment(home)
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
    else:
        done = run_strata(*words, home=home)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Drive]:
    """Makes a drive of a size in memory, or mounts it again with other options."""
    place = tmp_path / "drive"
    place.mkdir()

    def mount(options: str) -> Path:
        again = ["-o", f"remount,{options}"] if place.is_mount() else ["-o", options]
        command = ["mount", "-t", "tmpfs", *again, "tmpfs", str(place)]
        if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("nothing can be mounted here")
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", "-l", str(place)], check=True)


def build(home: Path, workspace: Path, items: Path) -> tuple[int, str]:
    return run(home, "build", "table", workspace, "--items", items, "--encoder", "")


@pytest.fixture
def items(tmp_path: Path) -> Path:
    path = tmp_path / "items.csv"
    path.write_text(ITEMS)
    return path


def test_a_build_on_a_full_disk_goes_on_once_there_is_room(
    drive: Drive, items: Path, tmp_path: Path
) -> None:
    for size in ("16k", "48k", "128k"):
        status, said = build(tmp_path, drive(f"size={size}") / "ws", items)
        assert (status, "No space left on device" in said) == (1, True), said
        assert said.splitlines()[-1] == "Try again; finished work is kept."
    place = drive("size=50m")
    assert build(tmp_path, place / "ws", items)[0] == 3
    assert build(tmp_path, tmp_path / "other", items)[0] == 3
    assert data_files(place / "ws") == data_files(tmp_path / "other")
    assert not list(place.rglob("*.part"))


def test_archives_read_on_a_full_disk_go_on_once_there_is_room(
    drive: Drive, tmp_path: Path
) -> None:
    archives = tmp_path / "archives"
    archives.mkdir()
    for number in range(4):
        some = {f"{n}.jpg": picture(n, (400, 300)) for n in range(8 * number, 8 * number + 8)}
        (archives / f"{number}.tar").write_bytes(pack(some))
    items = tmp_path / "items.csv"
    rows = [f"{n},thing {n},{'tea' if n % 2 else 'salt'},{n}.jpg" for n in range(32)]
    items.write_text("\n".join(["id,name,kind,image", *rows, ""]))
    place = drive("size=50m")
    workspace, other = place / "ws", tmp_path / "other"
    encoder = make_tiny_clip(tmp_path / "clip", steps=1)
    words = ("build", "table", workspace, "--items", items, "--encoder", encoder)
    assert run(tmp_path, *words)[0] == 0
    shutil.copytree(workspace, other)
    archive = (archives / "0.tar").stat().st_size
    filler = place / "filler"
    leave_free(filler, archive * 5 // 2)
    site = Site({f"/{path.name}": path.read_bytes() for path in archives.iterdir()})
    server = serve(site)
    embed = ("embed", workspace, "--shards", archives, "--workers", 2)
    status, said = run(tmp_path, *embed)
    assert (status, "No space left on device" in said) == (1, True), said
    done = [path.name for path in (workspace / "vectors" / "archives").iterdir()]
    assert len(done) < 4 and not list(workspace.rglob("*.part"))
    # An archive that does not fit is not begun. Which ones were done depends on the workers.
    leave_free(filler, archive // 2)
    undone = next(path.name for path in archives.iterdir() if f"{path.name}.parquet" not in done)
    status, said = run(tmp_path, "embed", workspace, "--shards", f"{site.url}/{undone}")
    assert (status, "the disk has" in said and "Make room" in said) == (1, True), said
    filler.unlink()
    assert run(tmp_path, *embed)[0] == 0
    server.shutdown()
    server.server_close()
    assert run(tmp_path, "embed", other, "--shards", archives)[0] == 0
    for folder in ("images", "vectors/archives", "vectors/store"):
        one, two = (files_in(space / folder) for space in (workspace, other))
        assert one == two, folder


def leave_free(filler: Path, size: int) -> None:
    """Fill the drive of `filler` so that `size` bytes are left."""
    filler.unlink(missing_ok=True)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(filler.parent).free - size)


def files_in(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_what_can_be_done_with_a_workspace_on_a_read_only_drive(
    drive: Drive, items: Path, tmp_path: Path
) -> None:
    place = drive("size=50m")
    workspace = place / "ws"
    shutil.copy(items, place)
    assert build(tmp_path, workspace, place / "items.csv")[0] == 3
    before = data_files(workspace)
    drive("ro")
    reads = [("status", workspace), ("history", "1", workspace), ("explain", "1", workspace)]
    for words in reads:
        assert run(tmp_path, *words)[0] in (0, 3), words
    writes = [
        ("apply", workspace),
        ("export", workspace, "--format", "newick"),
        ("review", workspace, "--sheet"),
        ("review", workspace, "--no-browser", "--reviewer", "ann"),
    ]
    for words in writes:
        status, said = run(tmp_path, *words)
        assert (status, "Read-only file system" in said) == (1, True), words
    assert data_files(workspace) == before
    # The data may be on such a drive; a workspace can be moved to another one.
    assert build(tmp_path, tmp_path / "ws", place / "items.csv")[0] == 3
    drive("rw")
    shutil.move(workspace, tmp_path / "moved")
    assert "brought in" not in run(tmp_path, "status", tmp_path / "moved")[1]


def test_a_workspace_and_a_home_of_another_user(items: Path, tmp_path: Path) -> None:
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("nobody else can be")
    workspace, home = tmp_path / "ws", tmp_path / "home"
    home.mkdir()
    assert build(tmp_path, workspace, items)[0] == 3
    for path in (home, workspace, *workspace.rglob("*")):
        os.chown(path, 65534, 65534)
    home.chmod(0o700)
    before = data_files(workspace)
    assert run(home, "status", workspace, before=OWN_FILES_ONLY)[0] == 3
    for words in (("apply", workspace), ("export", workspace, "--format", "newick")):
        status, said = run(home, *words, before=OWN_FILES_ONLY)
        assert (status, "Permission denied" in said) == (1, True), said
    assert data_files(workspace) == before
    copy = Path(shutil.copytree(workspace, tmp_path / "copy"))
    assert run(home, "export", copy, "--format", "newick", before=OWN_FILES_ONLY)[0] == 0
