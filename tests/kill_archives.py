"""Kills the processes that read archives of images, with kill -9, at random moments.

    python -m tests.kill_archives [--moments 10]

Archives are read by a client and two workers. Workers are killed in one run, at moments spread
over it; the client is killed in runs that follow each other. What is there at the end must have the
bytes of an undisturbed run, an archive may be asked for again only if it was in work at a kill, and
no process may be left over. Prints a table of what survived.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import numpy as np  # noqa: E402
from archives import image_id, items_with, official  # noqa: E402
from kill import MARK, marked  # noqa: E402
from publishing import Site, serve  # noqa: E402
from strata_labels.build import Workspace, read_here  # noqa: E402
from strata_labels.build.image_archives import read_archives  # noqa: E402
from strata_labels.embedding import load_encoder  # noqa: E402
from strata_labels.sources import SOURCES, find_archives  # noqa: E402

IMAGES = 8
RUN = """
import sys
from pathlib import Path
if __name__ == "__main__":  # workers import this file, and need nothing of it
    sys.path.insert(0, sys.argv[1])
    from kill_archives import read_all
    from strata_labels.orchestration import archive_workers
    with archive_workers(2, None) as read:
        read_all(Path(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5]), read)
"""


def read_all(folder: Path, url: str, spec: str, archives: int, read: Any) -> None:
    """Reads all archives of the server into a workspace."""
    items = items_with([[image_id(number)] for number in range(IMAGES * archives)])
    found = find_archives(url, SOURCES["gldv2"].image_archives(["train"]))[:archives]
    encoder = spec, load_encoder(spec)
    _, failure = read_archives(Workspace(folder), items, found, 1, encoder, "wanted", 32, read)
    if failure:
        raise RuntimeError(failure)


@dataclass
class Trial:
    """Archives that are read while processes are killed.

    Attributes:
        archives: how many there are.
        scratch: a folder for workspaces.
        site: the server.
        spec: the encoder's specification.
        expected: files of an undisturbed run, by name.
        kills: for each kill how many requests had come when it began and when it was over, and the
            archives that were done.
        faults: what went wrong.
    """

    archives: int
    scratch: Path
    site: Site
    spec: str
    expected: dict[str, bytes]
    kills: list[tuple[int, int, set[str]]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def kill_workers(self, moments: int, seed: int = 0) -> None:
        """Kills a worker so many times during one run."""
        self._begin()
        folder = self.scratch / f"workers-{seed}"
        random = np.random.default_rng(seed)
        process, mark = self._start(folder)
        for done in _moments(random, moments, self.archives):
            self._wait(folder, process, done, random)
            while not (workers := [number for number in marked(mark) if _is_worker(number)]):
                time.sleep(0.01)
            self._kill(folder, int(random.choice(workers)))
        self._end(process, mark, 0)
        self._check(folder)

    def kill_client(self, moments: int, seed: int = 0) -> None:
        """Kills the client so many times, and starts it again each time."""
        self._begin()
        folder = self.scratch / f"client-{seed}"
        random = np.random.default_rng(seed)
        for done in _moments(random, moments, self.archives):
            process, mark = self._start(folder)
            self._wait(folder, process, done, random)
            self._kill(folder, process.pid)
            self._end(process, mark, signal.SIGKILL)
            requests = len(self.site.log)
            self.kills[-1] = (requests, requests, self.kills[-1][2])
        self._end(*self._start(folder), 0)
        self._check(folder)

    def _begin(self) -> None:
        self.kills.clear()
        self.faults.clear()
        self.site.log.clear()

    def _start(self, folder: Path) -> tuple[subprocess.Popen[bytes], str]:
        words = [ROOT / "tests", folder, self.site.url, self.spec, self.archives]
        script = self.scratch / "run.py"  # a file: workers import it
        script.write_text(RUN)
        mark = str(uuid.uuid4())
        environment = {**os.environ, MARK: mark, "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, str(script), *map(str, words)]
        with (self.scratch / "log").open("w") as log:
            return subprocess.Popen(command, env=environment, stderr=log, stdout=log), mark

    def _wait(
        self, folder: Path, process: subprocess.Popen[bytes], done: int, random: np.random.Generator
    ) -> None:
        """Waits until so many archives are done, and a little longer."""
        while len(_done(folder)) < done and process.poll() is None:
            time.sleep(0.002)
        time.sleep(random.uniform(0, 0.1))

    def _kill(self, folder: Path, process: int) -> None:
        done, before = _done(folder), len(self.site.log)
        os.kill(process, signal.SIGKILL)
        # Other workers may have asked again by now.
        self.kills.append((before, len(self.site.log), done))

    def _end(self, process: subprocess.Popen[bytes], mark: str, killed_by: int) -> None:
        """Waits for the client and for the processes that it has started."""
        if process.wait() != -killed_by:
            log = (self.scratch / "log").read_text()[-1000:]
            self.faults.append(f"ended with status {process.returncode}\n{log}")
        start = time.monotonic()
        workers = {number for number in marked(mark) if _is_worker(number)}
        while left := set(marked(mark)):
            # That which workers are copies of ends slowly.
            if time.monotonic() > start + (20 if left & workers else 120):
                self.faults.append(f"processes left over: {left}")
                break
            time.sleep(0.2)

    def _check(self, folder: Path) -> None:
        """Compares the files, and looks for requests that no kill explains."""
        found = files_in(folder)
        if found != self.expected:
            differ = [name for name in found if found[name] != self.expected.get(name)]
            self.faults.append(f"other files: {found.keys() ^ self.expected.keys()} {differ}")
        last: dict[str, int] = {}
        for at, (path, _, _) in enumerate(self.site.log):
            if not path.endswith(".tar"):
                continue
            name = path.removeprefix("/").replace("/", "__") + ".parquet"
            explained = any(
                last.get(path, at) < after and before <= at and name not in done
                for before, after, done in self.kills
            )
            if path in last and not explained:
                self.faults.append(f"{path} was asked for again though no kill had hit it")
            last[path] = at


def _moments(random: np.random.Generator, moments: int, archives: int) -> list[int]:
    """At how many finished archives to kill: one at random in each of `moments` equal parts.

    Not at the start, nor at the end.
    """
    edges = np.linspace(1, archives - 2, moments + 1).astype(int)
    return [int(random.integers(first, end)) for first, end in itertools.pairwise(edges)]


def _done(folder: Path) -> set[str]:
    return {path.name for path in Workspace(folder).archive_indexes.glob("*.parquet")}


def _is_worker(number: int) -> bool:
    try:
        parent = Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[1]
        return b"forkserver" in Path(f"/proc/{parent}/cmdline").read_bytes()
    except OSError:  # it has just ended
        return False


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@contextmanager
def trial(archives: int, scratch: Path) -> Iterator[Trial]:
    """A server, an encoder, and what an undisturbed run makes of all archives."""
    from tiny_clip import make_tiny_clip  # imports open_clip, which the client has no need of

    site = Site(official([range(IMAGES * n, IMAGES * (n + 1)) for n in range(archives)]))
    server = serve(site)
    spec = make_tiny_clip(scratch / "clip", steps=1)
    read_all(scratch / "undisturbed", site.url, spec, archives, read_here)
    try:
        yield Trial(archives, scratch, site, spec, files_in(scratch / "undisturbed"))
    finally:
        server.shutdown()
        server.server_close()


def main() -> int:
    """Prints how many kills were survived; 1 if any was not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moments", type=int, default=10)
    moments = parser.parse_args().moments
    faults = []
    print("| killed | times | archives | asked for again | faults |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place, trial(4 * moments, Path(place)) as one:
        for name, kill in (("a worker", one.kill_workers), ("the client", one.kill_client)):
            kill(moments)
            asked = sum(path.endswith(".tar") for path, *_ in one.site.log)
            again = asked - one.archives
            row = (name, len(one.kills), one.archives, again, len(one.faults))
            print(f"| {' | '.join(map(str, row))} |", flush=True)
            faults += one.faults
    print("".join(f"{fault}\n" for fault in faults), file=sys.stderr, end="")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
