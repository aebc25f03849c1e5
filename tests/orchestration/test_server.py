"""The temporary Prefect server: it dies with its parent, and answers no foreign page."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
from building import ROOT, strata_environment

PARENT = """
import sys
from pathlib import Path
from strata_labels.orchestration.server import temporary_server
with temporary_server(Path(sys.argv[1])) as address:
    print(address, flush=True)
    input()
"""


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has started a server and says its address."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "home")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=strata_environment(tmp_path),
    )
    yield process
    process.kill()
    process.wait()


@pytest.mark.flow
def test_it_answers_no_foreign_page_and_dies_with_its_parent(
    parent: subprocess.Popen[str], tmp_path: Path
) -> None:
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
    assert (tmp_path / "home" / "prefect.db").is_file()
    parent.kill()  # as `kill -9` does
    gone, alive = psutil.wait_procs([server], timeout=60)
    assert gone and not alive


@pytest.mark.flow
def test_it_ends_with_the_block(parent: subprocess.Popen[str]) -> None:
    assert parent.stdout and parent.stdin
    parent.stdout.readline()
    (server,) = psutil.Process(parent.pid).children()
    parent.stdin.write("\n")
    parent.stdin.flush()
    assert parent.wait(timeout=60) == 0
    deadline = time.monotonic() + 60
    while server.is_running() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not server.is_running()


def test_the_room_imports_prefect_for_a_flow_and_torch_for_a_training_alone() -> None:
    code = "import sys, strata_labels.orchestration as room; assert 'prefect' not in sys.modules\n"
    code += "room.build; assert 'prefect' in sys.modules and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
