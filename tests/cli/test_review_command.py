"""`strata review` to its end: Ctrl-C, the audit, and what card and status say of the reviewers."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
from building import strata_environment
from strata_labels.build import Workspace
from strata_labels.cli.review import learning
from strata_labels.review import append
from strata_labels.tables import load


@pytest.fixture
def workspace(sample_build: tuple[Path, subprocess.CompletedProcess], tmp_path: Path) -> Path:
    """A copy of a finished build; its ledger is its own."""
    return Path(shutil.copytree(sample_build[0], tmp_path / "ws"))


def say(workspace: Path, reviewer: str, rows: dict[str, str]) -> None:
    given = [
        {"subject": item, "level": "1", "decision": "move", "target": target, "reviewer": reviewer}
        for item, target in rows.items()
    ]
    append(workspace / "decisions.csv", pd.DataFrame(given))


def test_ctrl_c_ends_the_page_and_writes_tree_and_sheet(workspace: Path, home: Path) -> None:
    rows = pd.read_csv(workspace / "review.csv", encoding="utf-8-sig", dtype=str)
    item = rows.row_id[rows.row_id.str.startswith("1:")].iloc[0].removeprefix("1:")
    process = subprocess.Popen(
        [sys.executable, "-m", "strata_labels.cli", "review", str(workspace), "--no-browser"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=home,
        env=strata_environment(home),
    )  # fmt: skip
    assert process.stdout is not None
    address = ""
    while "http://" not in address:
        address = process.stdout.readline()
    page = address.split()[-1]
    asked = json.loads(_get(f"{page}row?row=1:{item}"))
    assert asked["row"]["subject"] == item
    answer = _post(f"{page}decide", {"state": asked["state"], "row_id": f"1:{item}",
                                     "decision": "exclude"})  # fmt: skip
    assert "Excluded" in json.loads(answer)["message"]
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert "1 lines added" in said and process.returncode in (0, 3), said
    after = pd.read_csv(workspace / "review.csv", encoding="utf-8-sig", dtype=str)
    assert f"1:{item}" not in set(after.row_id) and len(after) < len(rows)
    status = load(workspace, "assignments").set_index("item_id").status
    assert status[item] == "excluded"


def test_learning_proposes_anew_until_the_page_is_closed(workspace: Path) -> None:
    before = load(workspace, "proposals").set_index("row_id")
    has_others = before.alternatives.str.len() > 0
    row = before[(before.level == 1) & ~before.accepted & has_others].iloc[0]
    say(workspace, "ann", {row.subject: row.alternatives[0].node})
    table = workspace / "tables" / "proposals.parquet"
    with learning(Workspace(workspace)) as learn:
        assert not load(workspace, "proposals").set_index("row_id").accepted[row.name]
        learn()
        after = load(workspace, "proposals").set_index("row_id")
        assert after.accepted[row.name] and after.status[row.name] == "known"
    written = table.stat().st_mtime_ns
    say(workspace, "ben", {row.subject: row.alternatives[0].node})
    learn()
    assert table.stat().st_mtime_ns == written


def test_audit_and_two_reviewers_are_in_card_and_status(
    workspace: Path, strata, tmp_path: Path
) -> None:
    assert "Agreement of the reviewers" not in (workspace / "card.md").read_text(encoding="utf-8")
    done = strata("review", workspace, "--sheet", "--audit", 2)
    assert done.returncode == 3 and "2 accepted rows drawn" in done.stdout, done.stdout
    sheet = pd.read_csv(workspace / "review.csv", encoding="utf-8-sig", dtype=str)
    assert sheet.reasons[:2].str.startswith("It was accepted without review").all()
    drawn = load(workspace, "audit")
    items = drawn.row_id.str.removeprefix("1:").tolist()
    say(workspace, "ann", {items[0]: drawn.parent[0], items[1]: drawn.parent[1]})
    say(workspace, "ben", {items[0]: drawn.parent[0]})
    strata("review", workspace, "--sheet")
    strata("status", workspace, "--json", tmp_path / "status.json")
    found = json.loads((tmp_path / "status.json").read_text())["reviewers"]
    assert found["audit"]["checked"] == 2 and found["audit"]["errors"] == 0
    assert found["audit"]["low"] == 0 and 0.8 < found["audit"]["high"] < 0.9
    assert [level["rows"] for level in found["levels"]] == [1, 1, 1]
    card = (workspace / "card.md").read_text(encoding="utf-8")
    assert "## Agreement of the reviewers" in card and "Of 2 audited rows" in card
    wrong = strata("review", workspace, "--double", "ten", "--sheet")
    assert wrong.returncode == 2 and "--double" in wrong.stderr


def test_a_workbook_is_written_filled_in_and_applied(
    workspace: Path, strata, tmp_path: Path
) -> None:
    sheet = tmp_path / "for anna.xlsx"
    done = strata("review", workspace, "--sheet", sheet)
    assert done.returncode == 3 and f"open rows written to {sheet}" in done.stdout, done.stdout
    book = openpyxl.load_workbook(sheet)
    header = [cell.value for cell in book["Tree"][1]]
    word, target, name = (header.index(column) for column in ("decision", "target", "name"))
    row = book["Tree"][2]
    row[word].value, row[target].value = "rename", "all of them"
    before = row[name].value
    book.save(sheet)
    # Work that was not applied is not overwritten.
    again = strata("review", workspace, "--sheet", sheet)
    kept = tmp_path / "for anna.filled-in-1.xlsx"
    assert str(kept) in again.stderr
    tried = strata("apply", workspace, kept, "--reviewer", "anna", "--dry-run")
    assert "would be called all of them" in tried.stdout and tried.returncode == 0
    applied = strata("apply", workspace, kept, "--reviewer", "anna")
    assert "1 decision added" in applied.stdout, applied.stderr
    names = set(load(workspace, "nodes").name)
    assert "all of them" in names and before not in names
    assert "0 decisions added" in strata("apply", workspace, kept, "--reviewer", "anna").stdout
    for wrong in (tmp_path / "a.ods", tmp_path / "a"):
        refused = strata("review", workspace, "--sheet", wrong)
        assert refused.returncode == 2 and ".csv or .xlsx" in refused.stderr
    assert strata("review", workspace, sheet).returncode == 2


def test_what_is_written_of_a_node_is_embedded_and_can_be_taken_back(
    workspace: Path, strata, tmp_path: Path
) -> None:
    def vectors() -> list[bytes]:
        names = ("phrases.npy", "phrase_nodes.npy")
        return [(workspace / "vectors" / name).read_bytes() for name in names]

    before, phrases = vectors(), np.load(workspace / "vectors" / "phrases.npy")
    proposals = (workspace / "tables" / "proposals.parquet").read_bytes()
    sheet = tmp_path / "sheet.csv"
    sheet.write_text('row_id,decision,target\n3:2/bridge,describe,"viaduct, rope over a gorge"\n')
    done = strata("apply", workspace, sheet, "--reviewer", "anna")
    assert "1 decision added" in done.stdout, done.stderr
    nodes = np.load(workspace / "vectors" / "phrase_nodes.npy")
    assert len(phrases) < len(np.load(workspace / "vectors" / "phrases.npy")) == len(nodes)
    assert (workspace / "tables" / "proposals.parquet").read_bytes() != proposals
    strata("status", workspace, "--undo-reviewer", "anna")
    strata("review", workspace, "--sheet")
    assert vectors() == before
    assert (workspace / "tables" / "proposals.parquet").read_bytes() == proposals


def _get(address: str) -> str:
    return _ask(address, None)


def _post(address: str, given: dict[str, str]) -> str:
    return _ask(address, json.dumps(given).encode())


def _ask(address: str, body: bytes | None) -> str:
    from urllib.parse import urlsplit
    from urllib.request import Request, urlopen

    place = urlsplit(address)
    headers = {"content-type": "application/json", "origin": f"http://{place.netloc}"}
    with urlopen(Request(address, body, headers if body else {})) as answer:
        return str(answer.read().decode())
