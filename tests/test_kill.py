"""A short run of the harness that stops commands: `python -m tests.kill` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest
from kill import Harness, commands


@pytest.mark.parametrize(("name", "signals"), [("apply", ["KILL", "HUP"]), ("review", ["TERM"])])
def test_a_stopped_command_run_again_ends_as_if_it_had_not_been(
    name: str, signals: list[str], tmp_path: Path
) -> None:
    with commands(tmp_path) as known:
        harness = Harness(name, known[name], tmp_path)
        harness.test(3, signals)
    assert not harness.faults, "\n".join(harness.faults)
    assert sum(harness.tried.values()) == 3 * len(signals)
