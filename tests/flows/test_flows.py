"""The Prefect side of a build that needs no server to be looked at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from building import ROOT, strata_environment


def test_each_tree_s_flow_is_the_build_flow_under_its_own_name(home: Path) -> None:
    code = (
        "from flows.gldv2 import gldv2_h\n"
        "from flows.inat import inat_h\n"
        "from flows.sop import sop_h\n"
        "from strata_labels.orchestration.flow import build, run_task\n"
        "flows = (gldv2_h, inat_h, sop_h)\n"
        "print(*(flow.name for flow in flows), all(flow.fn is build.fn for flow in flows))\n"
        "print(run_task.retries, run_task.persist_result)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=strata_environment(home),
        capture_output=True,
        text=True,
    )
    assert run.stdout.split() == ["gldv2-h", "inat-h", "sop-h", "True", "2", "True"], run.stderr
