"""Stops every command at moments spread over the files it writes, and runs it again to the end.

    python -m tests.kill [--moments 15] [--signals KILL,TERM,HUP] [COMMAND ...]

A command is stopped just before its n-th change of a file (opening one for writing, renaming,
removing, flushing to disk). The same command, run again, has to end with the bytes of an
undisturbed run, without further files, and without a process left over. Prints a table of what
survived.
"""

from __future__ import annotations

import argparse
import atexit
import csv
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO
from urllib.error import URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
os.environ["HF_HUB_OFFLINE"] = "1"

SIGNALS = {"KILL": signal.SIGKILL, "TERM": signal.SIGTERM, "HUP": signal.SIGHUP}
MARK, _COUNT = "STRATA_KILL_MARK", "STRATA_KILL_COUNT"
ITEMS = "".join(
    f"{n},{kind} {n},{',' if n % 3 == 0 else f'{kind},{group}'},c{n}.png\n"
    for n, (kind, group) in enumerate([("tea", "food"), ("soap", "home")] * 6)
)


@dataclass
class Run:
    """What a command does: its words, and what it needs around it.

    Attributes:
        words: of the command line, for the folder that it works in.
        prepare: fills that folder.
        act: used in place of simply waiting for the command.
    """

    words: Callable[[Path], list[str]]
    prepare: Callable[[Path], None] = lambda folder: folder.mkdir()
    act: Callable[[Path, Callable[[], Started]], None] | None = None


# --- inside the process that is stopped ----------------------------------------------------


def inside(folder: str, moment: int, number: int, words: list[str]) -> None:
    """Runs a command and sends itself a signal at its `moment`-th change of a file."""
    seen = 0

    def change(path: object) -> None:
        nonlocal seen
        if isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path).startswith(folder):
            seen += 1
            if seen == moment:
                os.kill(os.getpid(), number)

    def watch(event: str, details: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = details
            if (isinstance(mode, str) and set("wax+") & set(mode)) or (flags or 0) & os.O_ACCMODE:
                change(path)
        elif event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir"):
            change(details[0])

    real = os.fsync

    def fsync(descriptor: int) -> None:
        change(Path(f"/proc/self/fd/{descriptor}").readlink())
        real(descriptor)

    os.fsync = fsync
    sys.addaudithook(watch)
    atexit.register(lambda: Path(os.environ[_COUNT]).write_text(str(seen)))
    sys.argv = ["strata", *words]
    from strata_labels.cli import main

    main()


def copies() -> None:
    """Runs each command that standard input asks for in a copy of this process.

    A copy has imported what commands import, which takes longer than most of them run. For each
    command, its process and null is printed, and then its process and its exit status.
    """
    import matplotlib.pyplot  # noqa: F401
    import strata_labels.build
    import strata_labels.cli
    import strata_labels.review.page
    import strata_labels.show  # noqa: F401

    for line in sys.stdin:
        asked = json.loads(line)
        copy = os.fork()
        if not copy:
            said = os.open(asked["said"], os.O_WRONLY)
            for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), said, said)):
                os.dup2(descriptor, number)
            inside(asked["folder"], asked["moment"], asked["number"], asked["words"])
        print(json.dumps([copy, None]), flush=True)
        status = os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
        print(json.dumps([copy, status]), flush=True)


# --- outside -------------------------------------------------------------------------------


class Copies:
    """A process that runs commands in copies of itself; what it starts bears its mark."""

    def __init__(self, scratch: Path) -> None:
        self._said, self.mark = scratch / "said", str(uuid.uuid4())
        self.count = scratch / "count"
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--copies"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env={**os.environ, _COUNT: str(self.count), MARK: self.mark}, cwd=scratch,
        )  # fmt: skip

    def start(self, folder: Path, moment: int, number: int, words: list[str]) -> Started:
        """Starts a command, which gets a signal at its `moment`-th change of a file.

        One that still runs, because its test was cut off, is killed.
        """
        self.kill_left()
        self._said.unlink(missing_ok=True)  # what that one has printed may be in it
        os.mkfifo(self._said)
        asked = {"folder": str(folder), "moment": moment, "number": number, "words": words}
        assert self.process.stdin
        print(json.dumps(asked | {"said": str(self._said)}), file=self.process.stdin, flush=True)
        pid, status = self._line()
        while status is not None:  # of a command whose end nobody waited for
            pid, status = self._line()
        assert pid > 1, f"no process of a command: {pid}"
        return Started(pid, self._said.open(), self._line)

    def left(self) -> list[int]:
        """Processes of commands that are still there."""
        return [number for number in marked(self.mark) if number != self.process.pid]

    def kill_left(self) -> list[int]:
        """Kills them."""
        left = self.left()
        for number in left:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        return left

    def __enter__(self) -> Copies:
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill_left()
        self.process.communicate()
        self._said.unlink(missing_ok=True)

    def _line(self) -> tuple[int, int | None]:
        assert self.process.stdout
        pid, status = json.loads(self.process.stdout.readline())
        return pid, status


class Started:
    """A command that runs.

    Attributes:
        pid: of its process.
        stdout: what it prints, also on standard error.
        returncode: its exit status, once `communicate` has been called.
    """

    returncode: int

    def __init__(
        self, pid: int, stdout: TextIO, line: Callable[[], tuple[int, int | None]]
    ) -> None:
        self.pid, self.stdout, self._line = pid, stdout, line

    def communicate(self) -> str:
        """Waits for its end; returns the rest of what it prints."""
        with self.stdout:
            rest = self.stdout.read()
        pid, status = self._line()
        assert pid == self.pid and status is not None, f"{pid} ended, not {self.pid}"
        self.returncode = status
        return rest


@dataclass
class Harness:
    """Stops one command many times.

    Attributes:
        name: of the command.
        run: what it does.
        scratch: a folder for workspaces.
        copies: the process that it runs in copies of.
        faults: what went wrong, by moment.
        tried: how often it was stopped, by signal.
    """

    name: str
    run: Run
    scratch: Path
    copies: Copies
    faults: list[str] = field(default_factory=list)
    tried: dict[str, int] = field(default_factory=dict)

    def test(self, moments: int, signals: list[str]) -> None:
        """Runs it undisturbed twice, then stops it at `moments` moments for each signal."""
        template = self.scratch / f"{self.name}-template"
        self.run.prepare(template)
        folder = self._copy(template)
        total = self._end(folder, 0, 0)
        first = contents(folder)
        self._again(self._copy(template))
        second = contents(folder)
        stable = {name for name, content in first.items() if second.get(name) == content}
        for name in signals:
            for n in range(moments):
                moment = 1 + n * max(total - 1, 1) // max(moments - 1, 1)
                self.tried[name] = self.tried.get(name, 0) + 1
                wrong = self._stopped(template, moment, name, first, stable)
                if wrong:
                    place = f"{name} at change {moment} of {total}"
                    self.faults.append(f"{self.name}, {place}: {wrong}")

    def _stopped(
        self, template: Path, moment: int, name: str, expected: dict[str, bytes], stable: set[str]
    ) -> str:
        folder = self._copy(template)
        self._end(folder, moment, SIGNALS[name])
        time.sleep(0.3)
        deadline = time.monotonic() + 20
        while self.copies.left() and time.monotonic() < deadline:
            time.sleep(0.5)
        if left := self.copies.kill_left():
            return f"processes left over: {left}"
        try:
            self._again(folder)
        except RuntimeError as error:
            return f"run again, {error}"
        found = contents(folder)
        if found.keys() != expected.keys():
            return f"other files: {sorted(found.keys() ^ expected.keys())}"
        differ = sorted(one for one in stable if found[one] != expected[one])
        return f"other bytes: {differ}" if differ else ""

    def _copy(self, template: Path) -> Path:
        folder = self.scratch / f"{self.name}-run"  # the same path each time
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(template, folder)
        return folder

    def _again(self, folder: Path) -> None:
        """Runs the command to its end; in this process, if it does nothing but run."""
        if self.run.act:
            self._end(folder, 0, 0)
        else:
            strata(*self.run.words(folder))

    def _end(self, folder: Path, moment: int, number: int) -> int:
        """Runs the command to its end or to its moment; returns how many changes it made."""
        self.copies.count.write_text("0")

        def start() -> Started:
            return self.copies.start(folder, moment, int(number), self.run.words(folder))

        if self.run.act:
            self.run.act(folder, start)
        else:
            process = start()
            said = process.communicate()
            if not moment and process.returncode not in (0, 3):
                raise RuntimeError(f"{self.name} ended with {process.returncode}:\n{said}")
            if "Traceback" in said and moment:
                self.faults.append(f"{self.name}, change {moment}: a traceback\n{said[-1500:]}")
        return int(self.copies.count.read_text())


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by name; times are left out of ledgers and records.

    The parts of a table of vectors count as one file. The store begins a part every ten seconds, so
    how the vectors are divided depends on the machine, but not which vectors there are.
    """
    found = {}
    tables: dict[str, list[bytes]] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.suffix == ".vectors":
            tables.setdefault(str(Path(name).parent), []).extend(vectors_of(path))
        elif path.is_file():
            found[re.sub(r"tfevents\..*", "tfevents", name)] = without_times(path)
    found |= {f"{name}/*.vectors": b"".join(sorted(rows)) for name, rows in tables.items()}
    return found


def vectors_of(path: Path) -> list[bytes]:
    """Each vector of a part file behind its key."""
    from strata_labels.embedding.vector_store import _HEADER_BYTES, _KEY_BYTES

    raw = path.read_bytes()
    count = json.loads(raw[:_HEADER_BYTES])["count"]
    keys, vectors = np.split(np.frombuffer(raw[_HEADER_BYTES:], np.uint8), [count * _KEY_BYTES])
    rows = np.hstack([keys.reshape(count, -1), vectors.reshape(count, -1)])
    return [row.tobytes() for row in rows]


def without_times(path: Path) -> bytes:
    raw = path.read_bytes()
    if path.name == "decisions.csv":
        rows = csv.DictReader(raw.decode().splitlines())
        kept = [{k: v for k, v in row.items() if k != "decided_at"} for row in rows]
        return json.dumps(kept).encode()
    if path.name == "checkpoint.pt":  # what is in it: a continued training packs it otherwise
        import torch

        return repr(_plain(torch.load(path, weights_only=True))).encode()
    if path.name == "run.json":
        return re.sub(rb'("seconds": [\d.]+|"(key|[^"]*decisions\.csv)": "[^"]*"|'
                      rb'"decisions\.csv",\s*"[0-9a-f]{64}")', b"", raw)  # fmt: skip
    return raw


def _plain(value: Any) -> Any:
    """Tensors, dictionaries and lists as plain values."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value.tolist() if hasattr(value, "tolist") else value


def marked(mark: str) -> list[int]:
    """Processes that were started with this mark, or by one that was."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                environment = (entry / "environ").read_bytes()
                state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
            except OSError:
                continue
            if state != "Z" and f"{MARK}={mark}\0".encode() in environment:
                found.append(int(entry.name))
    return found


# --- the commands --------------------------------------------------------------------------


def strata(*words: object) -> None:
    """Runs a command in this process; it has to succeed."""
    from building import run_strata

    done = run_strata(*words)
    if done.returncode not in (0, 3):
        raise RuntimeError(f"ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def table(folder: Path) -> None:
    folder.mkdir()
    (folder / "items.csv").write_text("id,name,kind,group,image\n" + ITEMS)


def built(folder: Path) -> None:
    table(folder)
    strata("build", "table", folder, "--items", folder / "items.csv")


def filled(folder: Path) -> None:
    """A built workspace whose sheet is filled in."""
    built(folder)
    with (folder / "review.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row |= {"decision": "move", "target": "tea", "reviewer": "ann"}
    with (folder / "review.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def answer(folder: Path, start: Callable[[], Started]) -> None:
    """Answers three open rows on the page and closes it; what was acknowledged has to last."""
    process = start()
    address, acknowledged = "", []
    for line in process.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+/\S+", line):
            address = found[0]
            break
    try:
        rows = [f"1:table/train/{item}" for item in ("0", "3", "6") if address]
        acknowledged.extend(row_id for row_id in rows if decide(address, row_id))
        if address:
            os.kill(process.pid, signal.SIGINT)
    except (URLError, ConnectionError, ProcessLookupError):
        pass  # it was stopped
    process.communicate()
    ledger = folder / "decisions.csv"
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    for row_id in acknowledged:
        count = sum(line.startswith(f'"{row_id}"') for line in lines)
        if count != 1:
            raise RuntimeError(f"{row_id} was acknowledged and is in the ledger {count} times")


def decide(address: str, row_id: str) -> bool:
    """Decides a row that is still open."""
    seen = json.loads(urlopen(f"{address}row?row={quote(row_id)}").read())
    if not seen["row"] or seen["row"]["row_id"] != row_id:
        return False
    given = {"state": seen["state"], "row_id": row_id, "decision": "move", "target": "1/food/tea"}
    place = urlsplit(address)
    headers = {"content-type": "application/json", "origin": f"http://{place.netloc}"}
    urlopen(Request(f"{address}decide", json.dumps(given).encode(), headers)).read()
    return True


@contextmanager
def commands(scratch: Path) -> Iterator[dict[str, Run]]:
    """Every command, with the servers, pictures and encoder it needs."""
    from mediawiki import MediaWiki, World, item
    from publishing import Site, serve
    from strata_labels.sources.gldv2 import FILES
    from tiny_clip import colour_image, make_tiny_clip

    @functools.cache
    def encoder() -> str:  # made for the commands that need it
        return make_tiny_clip(scratch / "clip", steps=5)

    colours = [(200, 30, 30), (30, 180, 40)]
    for n in range(12):
        for copy in ("", "b"):
            colour_image(scratch / "images" / f"c{n}{copy}.png", colours[n % 2], n)
    labels = ["path,split,level0,level1"]
    labels += [
        f"c{n}{copy}.png,{'train' if n < 4 else 'test'},{n},{n % 2}"
        for n in range(12)
        for copy in ("", "b")
    ]
    (scratch / "labels.csv").write_text("\n".join([*labels, ""]))
    metadata = scratch / "metadata"
    metadata.mkdir()
    pages = "http://commons.wikimedia.org/wiki/Category:"
    rows = [f"{n},{pages}Mill_{n}" for n in range(6)]
    (metadata / "train_label_to_category.csv").write_text(
        "\n".join(["landmark_id,category", *rows, ""])
    )
    world = World()
    world.pages = {f"Category:Mill {n}": {"item": f"Q{n + 1}"} for n in range(6)}
    world.entities = {f"Q{n + 1}": item(f"Q{n + 1}", f"mill {n}", P31=["Q20"]) for n in range(6)}
    world.entities["Q20"] = item("Q20", "watermill")
    site = Site({f"/{name}.csv": b"x,y\n" * 20_000 for name in FILES})
    with ExitStack() as stack:
        server = serve(site)
        stack.callback(server.shutdown)
        wiki = stack.enter_context(MediaWiki(world).running())
        apis = ["--commons-api", wiki.commons, "--wikidata-api", wiki.wikidata]
        small = ["--set", "epochs=2", "--set", "batch_size=4", "--set", "images_per_class=2",
                 "--set", "checkpoint_every=1"]  # fmt: skip

        def with_pictures(folder: Path) -> None:
            table(folder)
            pictures = ["--images", scratch / "images", "--encoder", encoder()]
            strata("build", "table", folder, "--items", folder / "items.csv", *pictures)
            shutil.rmtree(folder / "vectors")

        yield {
            "build": Run(
                lambda ws: ["build", "table", str(ws), "--items", str(ws / "items.csv")], table
            ),
            "apply": Run(lambda ws: ["apply", str(ws)], filled),
            "export": Run(
                lambda ws: ["export", str(ws), "--format", "croissant", "--format", "newick"], built
            ),
            "review": Run(
                lambda ws: ["review", str(ws), "--no-browser", "--reviewer", "ann"], built, answer
            ),
            "embed": Run(lambda ws: ["embed", str(ws)], with_pictures),
            "train": Run(
                lambda out: ["train", "--labels", str(scratch / "labels.csv"), "--images",
                             str(scratch / "images"), "--recipe", "happier", "--out", str(out),
                             "--encoder", encoder(), *small]
            ),
            "resolve": Run(
                lambda ws: ["resolve", str(ws), "--metadata", str(metadata), *apis, "--contact",
                            "operator@institute.example"]
            ),
            "fetch": Run(lambda ws: ["fetch", "gldv2", str(ws), "--base-url", site.url]),
        }  # fmt: skip


def main() -> int:
    """Prints a table of what was tried and what survived; 1 if anything did not."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("commands", nargs="*", help="some of them; else all")
    parser.add_argument("--moments", type=int, default=15)
    parser.add_argument("--signals", type=lambda text: text.split(","), default=list(SIGNALS))
    asked = parser.parse_args()
    faults: list[str] = []
    print("| command | stopped (" + ", ".join(asked.signals) + ") | survived |\n|---|---|---|")
    with (
        tempfile.TemporaryDirectory() as place,
        commands(Path(place)) as known,
        Copies(Path(place)) as copies,
    ):
        for name in asked.commands or known:
            harness = Harness(name, known[name], Path(place), copies)
            harness.test(asked.moments, asked.signals)
            tried = sum(harness.tried.values())
            counts = ", ".join(str(harness.tried[one]) for one in asked.signals)
            print(f"| {name} | {counts} | {tried - len(harness.faults)} |", flush=True)
            print("".join(f"{fault}\n" for fault in harness.faults), file=sys.stderr, end="")
            faults += harness.faults
    return 1 if faults else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--copies"]:
        copies()
    else:
        sys.exit(main())
