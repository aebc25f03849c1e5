"""The README's Prefect commands against a real server: deploy, start a run, work on it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from building import ROOT, PrefectServer

PREFECT = Path(sys.executable).parent / "prefect"


@pytest.mark.flow
def test_a_deployed_flow_is_run_by_a_worker(prefect_server: PrefectServer, tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("id,name,kind\n1,Tea,drink\n2,Salt,\n")
    environment = prefect_server.environment | {"PREFECT_HOME": str(tmp_path / "client")}
    environment |= {"PWD": str(ROOT), "DO_NOT_TRACK": "1"}

    def prefect(words: str) -> str:
        run = subprocess.run(
            [PREFECT, *words.split()],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert run.returncode == 0, run.stdout
        return run.stdout

    prefect("work-pool create strata --type process")
    output = prefect("deploy --all --no-prompt")
    for name in ("gldv2-h", "sop-h", "inat-h", "table", "validate"):
        assert f"'{name}/strata' successfully created" in output
    workspace, items = tmp_path / "ws", tmp_path / "items.csv"
    run = "deployment run table/strata"
    prefect(f"{run} --param workspace={workspace} --param items={items}")
    worked = prefect("worker start --pool strata --run-once")
    assert "Finished in state Completed()" in worked
    assert (workspace / "tree.html").is_file()
