"""The temporary Prefect server: it dies with its parent, and answers no foreign page."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
from building import ROOT, PrefectServer
from strata_labels.errors import InputError, Problem, RetryError
from strata_labels.orchestration import server
from strata_labels.orchestration.server import _is_whole, temporary_server

PARENT = """
import sys
from pathlib import Path
from strata_labels.orchestration.server import temporary_server
with temporary_server(Path(sys.argv[1])) as address:
    print(address, flush=True)
    input()
"""


@pytest.fixture
def parent(prefect_server: PrefectServer, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that starts a server and says its address; not the first with this home."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "home")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=prefect_server.environment,
    )
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def kept(prefect_server: PrefectServer) -> Path:
    """The empty database that the first server with this home has kept."""
    (kept,) = Path(prefect_server.environment["HOME"]).glob(".cache/strata/prefect-*.db")
    return kept


@pytest.mark.flow
def test_it_answers_no_foreign_page_and_dies_with_its_parent(
    parent: subprocess.Popen[str], tmp_path: Path, kept: Path, prefect_server: PrefectServer
) -> None:
    """And it begins with a copy of the database that an earlier one has kept."""
    made = kept.stat().st_mtime_ns
    assert parent.stdout
    address = parent.stdout.readline().strip()
    assert address.startswith("http://127.0.0.1:")
    (server,) = psutil.Process(parent.pid).children()
    assert {place.laddr.ip for place in server.net_connections("inet")} == {"127.0.0.1"}
    own = address.removesuffix("/api")
    assert requests.get(f"{address}/health", headers={"Origin": own}, timeout=60).ok
    for headers in ({"Origin": "http://elsewhere.example"}, {"Host": "elsewhere.example"}):
        for ask in (requests.get, requests.options, requests.post):
            answer = ask(f"{address}/health", headers=headers, timeout=60)
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers
    assert kept.stat().st_mtime_ns == made
    first, second = contents(prefect_server.database), contents(tmp_path / "home" / "prefect.db")
    assert first == second and len(first[0]) > 50
    parent.kill()  # as `kill -9` does
    gone, alive = psutil.wait_procs([server], timeout=60)
    assert gone and not alive


def contents(file: Path) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """The definitions of a server's database, and the revision it is at."""
    with contextlib.closing(sqlite3.connect(file)) as database:
        found = (
            database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2"),
            database.execute("SELECT version_num FROM alembic_version"),
        )
        return found[0].fetchall(), found[1].fetchall()


@pytest.mark.flow
def test_a_damaged_copy_is_made_anew(kept: Path, tmp_path: Path) -> None:
    """It was no database when the first server with this home began."""
    assert _is_whole(kept)
    found = [path.name for path in kept.parent.iterdir() if "prefect" in path.name]
    assert found == [kept.name]
    whole = kept.read_bytes()
    for damaged in (b"no database", b"", whole[: len(whole) // 2]):
        (tmp_path / "damaged.db").write_bytes(damaged)
        assert not _is_whole(tmp_path / "damaged.db")


@pytest.mark.flow
def test_a_database_of_the_users_own_is_left_to_prefect_and_the_server_ends_with_the_block(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    own = tmp_path / "own.db"
    shutil.copyfile(kept, own)  # Prefect would make it by all its migrations
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", f"sqlite+aiosqlite:///{own}")
    before = set(psutil.Process().children())
    with temporary_server(tmp_path / "home") as address:
        assert requests.post(f"{address}/flows/", json={"name": "mine"}, timeout=60).ok
        (server,) = set(psutil.Process().children()) - before
    assert not server.is_running()
    with contextlib.closing(sqlite3.connect(own)) as database:
        assert database.execute("SELECT name FROM flow").fetchall() == [("mine",)]
    assert not (tmp_path / "home/prefect.db").exists() and not (tmp_path / "cache").exists()


def test_a_folder_whose_name_is_wrong_is_not_there_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def at_once(home: Path) -> Iterator[str]:
        home.mkdir(parents=True, exist_ok=True)
        yield "http://127.0.0.1:9/api"

    monkeypatch.setattr(server, "temporary_server", at_once)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    def fails(folder: Path, error: Exception, *names: str) -> bool:
        with pytest.raises(type(error)), server.prefect_server(folder):
            for name in names:
                (folder / name).write_text("x")
            raise error
        return folder.exists()

    wrong = InputError(Problem("ws", "no build in this folder.", "Run a build."))
    assert not fails(tmp_path / "mistyped", wrong)
    assert fails(tmp_path / "written", wrong, "items.csv")
    assert fails(tmp_path / "later", RetryError("full"))
    (tmp_path / "there").mkdir()
    assert fails(tmp_path / "there", wrong)


def test_the_room_imports_prefect_for_a_flow_and_torch_for_a_training_alone() -> None:
    code = "import sys, strata_labels.orchestration as room; assert 'prefect' not in sys.modules\n"
    code += "room.build; assert 'prefect' in sys.modules and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
