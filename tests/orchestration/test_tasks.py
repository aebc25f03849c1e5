"""The stages of a build as Prefect tasks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from building import ROOT, PrefectServer

BUILD = """
import sys
from pathlib import Path
from strata_labels.build import BuildSettings, Workspace
from strata_labels.orchestration import build_with_prefect
from strata_labels.sources import SOURCES
real = SOURCES["table"].read
SOURCES["table"].read = lambda *given: (sys.stdout.write("metadata read\\n"), real(*given))[1]
place = Workspace(Path(sys.argv[1]))
settings = BuildSettings(
    tree="table", metadata=Path(sys.argv[2]), decisions=place.ledger, encoder=""
)
build_with_prefect(place, settings)
"""


@pytest.mark.flow
def test_the_metadata_is_read_once(prefect_server: PrefectServer, tmp_path: Path) -> None:
    items = tmp_path / "items.csv"
    items.write_text("id,name,kind\n1,Tea,drink\n2,Salt,\n")
    run = subprocess.run(
        [sys.executable, "-c", BUILD, tmp_path / "ws", items],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=prefect_server.environment,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("metadata read") == 1
    assert (tmp_path / "ws" / "tables" / "items.parquet").is_file()
