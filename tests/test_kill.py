"""Short runs of what kills commands: `python -m tests.kill` and `tests.kill_archives` are the long
ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kill import Copies, Harness, Run, commands
from kill_archives import Trial, trial


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("killed")


@pytest.fixture(scope="module")
def known(scratch: Path) -> Iterator[dict[str, Run]]:
    with commands(scratch) as known:
        yield known


@pytest.fixture(scope="module")
def copies(scratch: Path) -> Iterator[Copies]:
    with Copies(scratch) as copies:
        yield copies


@pytest.mark.parametrize(("name", "signals"), [("apply", ["KILL", "HUP"]), ("review", ["TERM"])])
def test_a_stopped_command_run_again_ends_as_if_it_had_not_been(
    name: str, signals: list[str], known: dict[str, Run], scratch: Path, copies: Copies
) -> None:
    harness = Harness(name, known[name], scratch, copies)
    harness.test(3, signals)
    assert not harness.faults, "\n".join(harness.faults)
    assert sum(harness.tried.values()) == 3 * len(signals)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    with trial(8, tmp_path_factory.mktemp("archives")) as one:
        yield one


@pytest.mark.parametrize("who", ["workers", "client"])
def test_reading_archives_survives_killed_processes(who: str, one: Trial) -> None:
    (one.kill_workers if who == "workers" else one.kill_client)(2)
    assert not one.faults, "\n".join(one.faults)
    assert len(one.kills) == 2
