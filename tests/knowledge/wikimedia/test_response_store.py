"""The response store survives kill -9, damage, other versions and files of other programs."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mediawiki import MediaWiki, World, item
from strata_labels.errors import InputError, RetryError
from strata_labels.knowledge import ResponseStore, read_age
from strata_labels.knowledge.wikimedia.response_store import ENTITY, Answer
from wikimedia_helpers import ask

# Imports once; every line on its standard input starts a process that resolves everything.
RUNNER = """
import os, sys
sys.path[:0] = sys.argv[4:]
from wikimedia_helpers import CONTACT, QUICK
from strata_labels.knowledge import Apis, Client, ResponseStore, resolve_titles
for _ in sys.stdin:
    child = os.fork()
    if not child:
        apis = Apis(sys.argv[2], sys.argv[3])
        with ResponseStore(sys.argv[1]) as store, Client(CONTACT, apis, QUICK) as client:
            resolve_titles([f"Place {n}" for n in range(3000)], store, apis, client)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""
ROOT = Path(__file__).resolve().parents[3]


class Runner:
    """Runs of the resolver against a server and a store, each in a process of its own."""

    def __init__(self, wiki: MediaWiki, path: Path) -> None:
        places = [str(path), wiki.commons, wiki.wikidata, str(ROOT), str(ROOT / "tests")]
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", RUNNER, *places]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def start(self) -> int:
        assert self.process.stdin
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self._read()

    def status(self) -> int:
        return self._read()

    def _read(self) -> int:
        assert self.process.stdout
        return int(self.process.stdout.readline())

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.communicate()


def test_a_killed_run_repeats_at_most_one_batch_of_requests(tmp_path: Path) -> None:
    world = World()
    for n in range(3000):
        world.pages[f"Category:Place {n}"] = {"item": f"Q{n + 100}"}
        world.entities[f"Q{n + 100}"] = item(f"Q{n + 100}", P31=[f"Q{n % 90 + 1}"])
    world.entities |= {f"Q{n + 1}": item(f"Q{n + 1}") for n in range(90)}
    path = tmp_path / "store.sqlite"
    chance = random.Random(7)
    with MediaWiki(world).running() as wiki, Runner(wiki, path) as runner:
        before: set[str] = set()
        for _ in range(10):
            begun = len(wiki.asked)
            process = runner.start()
            until = begun + chance.randint(1, 11)
            while len(wiki.asked) < until:
                time.sleep(0.0005)
            time.sleep(chance.uniform(0, 0.02))
            os.kill(process, signal.SIGKILL)
            assert runner.status() == signal.SIGKILL
            time.sleep(0.05)  # the server notes what was under way
            batches = [keys for what, keys in wiki.asked[begun:] if what != "siteinfo"]
            assert sum(not before.isdisjoint(keys) for keys in batches) <= 1
            before |= {key for keys in batches for key in keys}
        assert 10 < len(wiki.asked) < 120
        runner.start()
        assert runner.status() == 0
        with ResponseStore(path) as store:
            resolved = ask(wiki, store, [f"Place {n}" for n in range(3000)])
            assert resolved.counts() == {"resolved": 3000}
            assert len(list(resolved.entities())) == 3090


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    path = tmp_path / "store.sqlite"
    with ResponseStore(path) as store:
        bodies = {
            f"Q{n}": Answer({"id": f"Q{n}", "pad": os.urandom(99).hex()}, n) for n in range(800)
        }
        store.put("wikidatawiki", ENTITY, bodies)
    return path


def test_a_closed_store_is_one_file_with_everything(filled: Path) -> None:
    assert [path.name for path in filled.parent.iterdir()] == ["store.sqlite"]
    with ResponseStore(filled) as store:
        found = dict(store.get("wikidatawiki", ENTITY, ["Q7", "Q5", "Q9999"]))
    assert list(found) == ["Q7", "Q5"]
    assert found["Q7"].revision == 7


def test_two_runs_at_once_are_refused(filled: Path) -> None:
    with ResponseStore(filled), pytest.raises(RetryError, match="another run"):
        ResponseStore(filled)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:30000])


def overwritten(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[8192:24576] = bytes(16384)
    path.write_bytes(data)


def no_database(path: Path) -> None:
    path.write_text("Q1,Q2\n" * 300)


def other_program(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as base:
        base.execute("CREATE TABLE mine (a)")
    base.close()


def other_version(path: Path) -> None:
    with sqlite3.connect(path) as base:
        base.execute("PRAGMA user_version = 99")
    base.close()


def spoilt_answer(path: Path) -> None:
    with sqlite3.connect(path) as base:
        base.execute("UPDATE answers SET body = x'789c0102' WHERE key = 'Q7'")
    base.close()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (cut, "damaged"),
        (overwritten, "damaged"),
        (no_database, "damaged"),
        (other_program, "no response store"),
        (other_version, "version 99"),
        (spoilt_answer, "damaged"),
    ],
)
def test_what_is_no_right_store_is_named_and_kept(spoil, said: str, filled: Path) -> None:
    spoil(filled)
    before = filled.read_bytes()
    with pytest.raises(InputError, match=said) as caught, ResponseStore(filled) as store:
        list(store.get("wikidatawiki", ENTITY, ["Q7"]))
    assert str(filled) in str(caught.value)
    assert filled.read_bytes() == before


@pytest.mark.parametrize("text", ["90", "d", "-1d", "90 days", "1.5d", ""])
def test_an_age_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="refresh-older-than"):
        read_age(text)
