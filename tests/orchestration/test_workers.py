"""Several processes read archives: the same bytes, and a lost process costs one archive's time."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from archives import image_id, items_with, official
from building import strata_environment
from distributed import Client
from distributed.comm import connect
from publishing import Site, serve
from strata_labels.build import Workspace, read_here
from strata_labels.build.image_archives import ReadUnits, read_archives
from strata_labels.embedding import load_encoder
from strata_labels.errors import InputError, RetryError
from strata_labels.orchestration import archive_workers
from strata_labels.sources import SOURCES, find_archives
from tiny_clip import make_tiny_clip

ARCHIVES, IMAGES = 6, 8
NUMBERS = [range(IMAGES * n, IMAGES * (n + 1)) for n in range(ARCHIVES)]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    site = Site(official(NUMBERS))
    server = serve(site)
    yield site
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_tiny_clip(tmp_path_factory.mktemp("tiny") / "clip", steps=1)


def run(folder: Path, site: Site, spec: str, read: ReadUnits) -> tuple[dict[str, bytes], str]:
    """The files of a workspace into which all archives were read; and what failed."""
    items = items_with([[image_id(n)] for n in range(IMAGES * ARCHIVES)])
    archives = find_archives(site.url, SOURCES["gldv2"].image_archives(["train"]))[:ARCHIVES]
    encoder = spec, load_encoder(spec)
    _, failure = read_archives(Workspace(folder), items, archives, 1, encoder, "wanted", 32, read)
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}, failure


@pytest.fixture(scope="module")
def alone(site: Site, spec: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What this process alone makes of the archives."""
    files, failure = run(tmp_path_factory.mktemp("alone") / "ws", site, spec, read_here)
    assert not failure
    return files


@pytest.fixture(scope="module")
def two() -> Iterator[ReadUnits]:
    """Two processes on this machine."""
    with archive_workers(2, None) as read:
        yield read
    assert not worker_processes()


def worker_processes() -> list[psutil.Process]:
    """The processes of a local cluster."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            parent = child.parent()
            if parent is not None and "forkserver" in " ".join(parent.cmdline()):
                found.append(child)
    return found


def test_two_processes_give_the_bytes_of_one(
    site: Site, spec: str, alone: dict[str, bytes], two: ReadUnits, tmp_path: Path
) -> None:
    files, failure = run(tmp_path / "ws", site, spec, two)
    assert not failure and files == alone


def test_a_killed_process_costs_only_its_archives(
    site: Site, spec: str, alone: dict[str, bytes], two: ReadUnits, tmp_path: Path
) -> None:
    def kill_one() -> None:
        while not any(path.endswith("images_003.tar") for path, *_ in site.log):
            time.sleep(0.001)
        worker_processes()[0].kill()

    site.log.clear()
    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    files, failure = run(tmp_path / "ws", site, spec, two)
    killer.join()
    assert not failure and files == alone
    fetched = [path for path, *_ in site.log if path.endswith(".tar")]
    # The two archives of the lost process are fetched again, and what it had not sent yet.
    assert ARCHIVES <= len(fetched) <= ARCHIVES + 4


def test_an_archive_that_kills_its_process_is_set_aside(
    site: Site, spec: str, alone: dict[str, bytes], two: ReadUnits, tmp_path: Path
) -> None:
    poison = "images_005.tar"
    large = official(NUMBERS, padding=1 << 23)
    site.files |= {path: body for path, body in large.items() if "images_005" in path}
    site.log.clear()
    stop = threading.Event()

    def kill_readers() -> None:
        """Kills all processes whenever one has begun to fetch the archive, the last to be read."""
        seen = 0
        while not stop.wait(0.002):
            asked = sum(path.endswith(poison) for path, *_ in site.log)
            done = list((tmp_path / "ws" / "vectors" / "archives").glob("*.parquet"))
            if asked > seen and len(done) == ARCHIVES - 1:
                seen = asked
                for process in worker_processes():
                    process.kill()

    site.slow = 0.2
    killer = threading.Thread(target=kill_readers)
    try:
        killer.start()
        files, failure = run(tmp_path / "ws", site, spec, two)
    finally:
        site.slow, site.files = 0.0, official(NUMBERS)
        stop.set()
        killer.join()
    assert failure.splitlines()[1:] == [f"  train/{poison}: its worker died, 3 times"]
    rest = {name for name in alone if name.startswith("vectors/archives/")}
    assert rest - files.keys() == {f"vectors/archives/train__{poison}.parquet"}


@contextmanager
def scheduler(folder: Path, path: str = "") -> Iterator[str]:
    """A Dask scheduler and two workers as processes of their own, with working folders of their
    own; `path` is put before the places in which the workers look for packages."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    environment = strata_environment(folder) | {"TMPDIR": str(folder), "PYTHONPATH": path}
    dask = [sys.executable, "-m", "distributed.cli"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = [
        subprocess.Popen(
            [*dask[:2], "distributed.cli.dask_scheduler", "--port", str(port), "--no-dashboard"],
            env=environment,
            cwd=folder,
            **quiet,
        )
    ]
    for number in range(2):
        own = folder / f"worker{number}"
        own.mkdir()
        words = ["distributed.cli.dask_worker", address, "--no-dashboard", "--nthreads", "2"]
        started.append(
            subprocess.Popen(
                [*dask[:2], *words],
                env=environment | {"TMPDIR": str(own)},
                cwd=own,
                start_new_session=True,
                **quiet,
            )
        )
    try:
        asyncio.run(connect_when_up(address))
        yield address
    finally:
        for process in started[1:]:
            os.killpg(process.pid, signal.SIGKILL)
        started[0].kill()
        for process in started:
            process.wait()


async def connect_when_up(address: str) -> None:
    comm = await connect(address, 120)
    await comm.close()


def test_workers_elsewhere_need_no_shared_disk(
    site: Site, spec: str, alone: dict[str, bytes], tmp_path: Path
) -> None:
    with scheduler(tmp_path) as address, archive_workers(1, address) as read:
        files, failure = run(tmp_path / "ws", site, spec, read)
    assert not failure and files == alone
    # They fetched to folders of their own and left nothing there.
    assert not [*tmp_path.rglob("*.tar"), *tmp_path.rglob("*.part")]


def test_what_cannot_work_is_said(tmp_path: Path) -> None:
    clients = [one for one in gc.get_objects() if type(one) is Client]
    nobody, said = "tcp://127.0.0.1:9", "No Dask scheduler answers at"
    with pytest.raises(RetryError, match=said), archive_workers(1, nobody):
        pass
    with pytest.raises(InputError, match="--dask"), archive_workers(1, "no address at all"):
        pass
    # A client that failed would block this process when it is collected while a thread starts.
    assert not [one for one in gc.get_objects() if type(one) is Client and one not in clients]


def test_workers_of_another_version_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other" / "strata_labels-9.9.dist-info"
    other.mkdir(parents=True)
    text = "Metadata-Version: 2.1\nName: strata-labels\nVersion: 9.9\n"
    (other / "METADATA").write_text(text, encoding="utf-8")
    said = r"has another strata-labels \(9.9\)"
    with (
        scheduler(tmp_path, str(other.parent)) as address,
        pytest.raises(InputError, match=said),
        archive_workers(1, address),
    ):
        pass
