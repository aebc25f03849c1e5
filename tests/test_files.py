"""Files that appear whole, what killed writers leave, and locks that end with their holder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from strata_labels import files
from strata_labels.errors import RetryError
from strata_labels.files import holder, only_one, part_folder, whole, write_text

_WRITER = """
import sys, time
from pathlib import Path
from strata_labels.files import whole
with whole(Path(sys.argv[1])) as beside:
    beside.write_text("half")
    print("writing", flush=True)
    time.sleep(100)
"""
_HOLDER = """
import sys, time
from pathlib import Path
from strata_labels.files import only_one
with only_one(Path(sys.argv[1]), "train"):
    print("held", flush=True)
    time.sleep(100)
"""


def started(code: str, path: Path) -> subprocess.Popen[str]:
    """A process that has said that it is at work."""
    command = [sys.executable, "-c", code, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline()
    return process


def end(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> None:
    process.send_signal(number)
    process.communicate()


def parts(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.endswith(".part"))


def test_what_a_killed_writer_left_is_swept_and_a_living_ones_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_SWEPT", set())
    alive = started(_WRITER, tmp_path / "alive.csv")
    dead = started(_WRITER, tmp_path / "dead.csv")
    end(dead)
    other = tmp_path / ".some.download.part"  # another program's, or a download to be resumed
    other.write_text("not ours")
    assert len(parts(tmp_path)) == 3
    write_text(tmp_path / "new.csv", "x")
    left = parts(tmp_path)
    assert len(left) == 2 and other.name in left and left[0].startswith(".alive.csv.")
    end(alive)


def test_a_failed_writing_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_text(path, "old")
    with pytest.raises(KeyError), whole(path) as beside:
        beside.write_text("new")
        raise KeyError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_lock_names_its_holder_and_ends_with_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / ".lock"
    first = started(_HOLDER, path)
    for _ in range(2):
        with pytest.raises(RetryError, match=rf"process {first.pid} \(train\)"):
            only_one(path, "build").__enter__()
    end(first)
    assert path.exists() and holder(path) == ""
    with only_one(path, "build"):
        assert holder(path) == f"process {os.getpid()} (build)"
    assert not path.exists()


def test_forked_processes_do_not_hold_the_locks_of_a_killed_one(tmp_path: Path) -> None:
    code = (
        "import os, sys, time\nfrom pathlib import Path\n"
        "from strata_labels.files import only_one, part_folder\n"
        "path = Path(sys.argv[1])\n"
        "with only_one(path / 'lock', 'embed'), part_folder(path / 'model'):\n"
        "    ready, alive = os.pipe()\n"
        "    child = os.fork()\n"
        "    if child:\n"
        "        os.read(ready, 1)\n"  # what it does first has been done
        "        print(child, flush=True)\n"
        "    else:\n"
        "        os.write(alive, b'.')\n"
        "    time.sleep(100)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        with pytest.raises(RetryError, match="in use"):
            only_one(tmp_path / "lock", "build").__enter__()
        process.kill()
        process.wait()
        os.kill(child, 0)  # it lives on
        with only_one(tmp_path / "lock", "build"), part_folder(tmp_path / "model") as beside:
            assert list(tmp_path.glob(".model*")) == [beside]
    finally:
        os.kill(child, signal.SIGKILL)
        process.stdout.close()


def test_a_folder_that_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    filling = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from strata_labels.files import part_folder\n"
        "with part_folder(Path(sys.argv[1])) as beside:\n"
        "    (beside / 'weights').write_bytes(b'x' * 1000)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    place = tmp_path / "model"
    subprocess.run([sys.executable, "-c", filling, str(place)], check=False)
    (left,) = tmp_path.iterdir()
    with part_folder(place) as beside:
        assert sorted(tmp_path.iterdir()) == [beside] and beside != left
        with part_folder(place) as other:  # of a writer that lives
            assert beside.is_dir() and other != beside
        beside.rename(place)
    assert list(tmp_path.iterdir()) == [place]
