"""A workspace of version 0.1.0 opens: each decision keeps its meaning, none is applied twice."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from building import strata_output
from recorded_workspace import unpack
from strata_labels.build import Workspace, ledgers
from strata_labels.evidence import has_reason
from strata_labels.review import read_ledger, replay, reviewed
from strata_labels.review.apply import Resolution
from strata_labels.tables import SCHEMA_VERSION, SCHEMAS, load, schema_version

SHEET = "sheet-of-0.1.0.csv"
strata = partial(strata_output, code=3)  # done, and rows are open


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recorded workspace after `status`, `apply` of its sheet, and `apply` of it again."""
    folder = tmp_path_factory.mktemp("recorded")
    workspace = unpack(folder)
    assert "12 rows are open" in strata("status", workspace)
    (folder / SHEET).write_bytes((workspace / "review.csv").read_bytes())
    assert "1 decision added" in strata("apply", workspace)
    assert "0 decisions added" in strata("apply", workspace, folder / SHEET)
    return folder


@pytest.fixture(scope="module")
def resolution(folder: Path) -> Resolution:
    place = Workspace(folder / "workspace")
    decisions = read_ledger(*ledgers(place.last_settings())).decisions
    return replay(decisions, reviewed(place.folder), load(place.folder, "vocabulary"))


def decided(table: pd.DataFrame) -> set[tuple[str, str, str, str]]:
    return set(zip(table.subject, table.decision, table.target, table.reviewer, strict=True))


def test_every_decision_keeps_its_meaning(resolution):
    assert decided(resolution.effective) == {
        ("gldv2/index/2", "exclude", "", "ann"),
        ("gldv2/index/9", "unsure", "", "ann"),
        ("gldv2/train/46", "move", "2/mountain", "ann"),
        ("gldv2/train/178", "keep", "1/Q845945", "ann"),
        ("gldv2/index/12", "stop", "2/square", "ben"),
        ("gldv2/index/10", "keep", "1/Q3947", "ben"),
        ("1/Q13390680", "move", "2/mountain", "ann"),  # of the sheet of classes
        ("gldv2/train/73", "keep", "1/Q845945", "cleo"),  # one answer for three
        ("gldv2/index/11", "keep", "1/Q845945", "cleo"),
        ("gldv2/train/181", "keep", "1/Q845945", "cleo"),
        ("gldv2/train/187", "move", "2/buddhist-temple", "cleo"),
        ("gldv2/index/5", "move", "2/museum", "cleo"),
        ("1/Q2581649", "split", "Women colleges|gldv2/train/121|gldv2/train/127", "dan"),
        ("1/Q484170", "merge", "1/Q747074", "dan"),
        ("2/settlement", "rename", "settlement or district", "dan"),
        ("1/Q5119", "stop", "2/city", "dan"),
        ("gldv2/train/115", "move", "1/Q515", "eva"),  # filled in with "city", applied now
    }  # and not what cleo (gldv2/train/124) and dan (1/Q15127012) took back
    assert resolution.merged == {"1/Q484170": "1/Q747074"}
    assert resolution.tree.name["2/settlement"] == "settlement or district"


def test_reviewers_who_differ_still_do(resolution):
    # ben's keep has no target: it means the place that he saw.
    assert decided(resolution.disputed) == {
        ("gldv2/train/124", "move", "2/road", "ann"),
        ("gldv2/train/124", "keep", "1/Q12284", "ben"),
    }


def test_only_the_stale_one_is_stale_because_of_the_place(resolution):
    assert decided(resolution.stale) == {("gldv2/index/8", "keep", "1/Q1311958", "ben")}
    assert resolution.stale.changed.item() == (
        "it was proposed under railway tunnel then and under canal now"
    )
    rows = resolution.rows
    stale = rows.row_id[has_reason(rows.reasons, "stale_decision")]
    assert stale.tolist() == ["1:gldv2/index/8"]
    assert decided(resolution.gone) == {("gldv2/index/999", "keep", "", "ben")}


def test_decided_items_are_where_the_recorded_tables_have_them(folder, resolution):
    recorded = unpack(folder / "again")
    paths = ["status", *(f"level{level}_{what}" for level in (1, 2, 3) for what in ("id", "name"))]
    before, after = (
        load(place, "assignments").set_index("item_id")[paths].astype(object)
        for place in (recorded, folder / "workspace")
    )
    own = resolution.effective
    items = own.subject[(own.level == 1) & ~own.decision.isin(["unsure"]) & (own.reviewer != "eva")]
    items = [*items, "gldv2/train/121", "gldv2/train/127"]  # which the split took
    assert len(items) == 12
    pd.testing.assert_frame_equal(before.loc[items], after.loc[items])
    assert after.level2_id["gldv2/train/115"] == "2/city"


def test_a_build_changes_nothing_any_more(folder, resolution):
    workspace = folder / "workspace"
    given = ["--metadata", folder / "metadata", "--entities", folder / "entities.jsonl"]
    files = [*sorted((workspace / "tables").glob("*.parquet")), workspace / "decisions.csv"]
    strata("build", "gldv2-h", workspace, *given, "--encoder", "registry")
    # All its tables are of the present schema version now.
    written = [path for path in files[:-1] if path.stem in {*SCHEMAS, "assignments"}]
    assert {schema_version(path) for path in written} == {SCHEMA_VERSION}
    before = [path.read_bytes() for path in files]
    strata("build", "gldv2-h", workspace, *given, "--encoder", "registry")
    assert [path.read_bytes() for path in files] == before
