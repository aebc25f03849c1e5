"""The ledger: appended whole, never repeated, and readable after any crash."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from small_world import LEVELS, VOCABULARY, decisions, item, items, proposals
from strata_labels.errors import InputError
from strata_labels.review import (
    append,
    cut_decisions,
    read_ledger,
    read_sheet,
    replay,
    time_after,
    write_sheet,
)
from strata_labels.tables import DECISION_COLUMNS

ROOT = Path(__file__).resolve().parents[2]
ONE = (item(2), 1, "move", "2/church")
TWO = (item(3), 1, "move", 'a "quoted", name')


def said(path: Path) -> list[tuple[str, str]]:
    return list(
        read_ledger(path).decisions[["subject", "target"]].itertuples(index=False, name=None)
    )


def test_a_ledger_is_created_with_its_header(tmp_path):
    path = tmp_path / "new" / "decisions.csv"
    assert append(path, decisions()) == 0
    assert path.read_text() == ",".join(DECISION_COLUMNS) + "\n"
    assert said(path) == []


def test_what_is_appended_is_read_back(tmp_path):
    path = tmp_path / "decisions.csv"
    assert append(path, decisions(ONE)) == 1
    first = path.read_bytes()
    assert append(path, decisions(TWO)) == 1
    assert path.read_bytes().startswith(first)
    ledger = read_ledger(path)
    assert said(path) == [(item(2), "2/church"), (item(3), 'a "quoted", name')]
    assert ledger.decisions.row.tolist() == [2, 3]
    assert cut_decisions(path) == []


def test_a_note_with_line_ends_stays_one_line(tmp_path):
    path = tmp_path / "decisions.csv"
    append(path, decisions(ONE).assign(note="first\nsecond\r\nthird"))
    assert read_ledger(path).decisions.note.tolist() == ["first second third"]
    assert path.read_bytes().count(b"\n") == 2


def test_a_decision_in_effect_is_not_repeated(tmp_path):
    path = tmp_path / "decisions.csv"
    append(path, decisions(ONE))
    before = path.read_bytes()
    assert append(path, decisions((*ONE, "ann", "2026-03-01T00:00:00Z"))) == 0
    assert path.read_bytes() == before
    # Another reviewer's, another target, and going back to a former target are all new.
    assert append(path, decisions((*ONE, "ben"))) == 1
    assert append(path, decisions((*ONE[:3], "2/lake", "ann", "2026-03-02T00:00:00Z"))) == 1
    assert append(path, decisions((*ONE, "ann", "2026-03-03T00:00:00Z"))) == 1


@pytest.mark.parametrize("row", [ONE, TWO])
def test_a_line_cut_anywhere_is_recognised(tmp_path, row):
    path = tmp_path / "decisions.csv"
    append(path, decisions((item(4), 1, "keep", "")))
    kept = path.read_bytes()
    append(path, decisions(row))
    full = path.read_bytes()
    for end in range(len(kept) + 1, len(full) - 1):
        path.write_bytes(full[:end])
        assert len(read_ledger(path).decisions) == 1, full[len(kept) : end]
        assert [problem.row for problem in cut_decisions(path)] == [3]
    path.write_bytes(full[:-1])  # only the line end is missing: the decision is whole
    assert len(read_ledger(path).decisions) == 2


def test_a_cut_line_is_told_until_it_is_decided_again(tmp_path):
    path = tmp_path / "decisions.csv"
    append(path, decisions(ONE))
    torn = f'"1:{item(3)}","gldv2'
    path.write_bytes(path.read_bytes() + torn.encode())
    (before,) = cut_decisions(path)
    assert (before.row, before.value) == (3, torn)
    assert "decisions.csv.cut" in before.fix
    # The next decision puts the characters aside; another row's does not make it good.
    append(path, decisions((item(4), 1, "keep", "")))
    assert len(said(path)) == 2 and torn not in path.read_text()
    (after,) = cut_decisions(path)
    assert (after.row, after.value) == (3, torn)
    append(path, decisions(TWO))
    assert cut_decisions(path) == []


def test_a_cut_line_is_told_until_its_file_is_removed(tmp_path):
    path = tmp_path / "decisions.csv"
    append(path, decisions(ONE, TWO))
    # Version 0.1.0 wrote the characters alone. This line is cut within its first cell.
    cut = path.with_name("decisions.csv.cut")
    cut.write_text('"1:gldv2/trai\n')
    assert [(problem.row, problem.value) for problem in cut_decisions(path)] == [
        (None, '"1:gldv2/trai')
    ]
    cut.unlink()
    assert cut_decisions(path) == []


def test_a_cut_line_on_several_items_is_decided_again_item_by_item(tmp_path):
    path = tmp_path / "decisions.csv"
    append(path, decisions(ONE))
    path.write_bytes(path.read_bytes() + f'"1:{item(3)}|{item(4)}","gldv2'.encode())
    append(path, decisions(TWO))
    assert len(cut_decisions(path)) == 1
    append(path, decisions((item(4), 1, "keep", "")))
    assert cut_decisions(path) == []


def test_a_cut_header_holds_no_decision(tmp_path):
    path = tmp_path / "decisions.csv"
    for raw in (b"", b"row_id,subj"):
        path.write_bytes(raw)
        assert said(path) == []
    append(path, decisions(ONE))
    assert len(said(path)) == 1


def test_a_line_of_a_person_without_line_end_is_whole(tmp_path):
    path = tmp_path / "decisions.csv"
    header = ",".join(DECISION_COLUMNS)
    line = f"1:{item(2)},{item(2)},1,move,church,ann,,2026-01-01T00:00:00Z,,"
    path.write_text(f"{header}\n{line}")
    assert len(said(path)) == 1
    append(path, decisions(TWO))
    assert len(said(path)) == 2


def test_a_ledger_saved_by_a_spreadsheet_goes_on_in_its_form(tmp_path):
    path = tmp_path / "decisions.csv"
    columns = [*reversed(DECISION_COLUMNS)]
    cells = decisions(ONE).iloc[0]
    text = ";".join(columns) + "\r\n" + ";".join(str(cells.get(c, "")) for c in columns) + "\r\n"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    append(path, decisions(TWO))
    assert said(path) == [(item(2), "2/church"), (item(3), 'a "quoted", name')]


def test_base_and_workspace_ledgers_are_one(tmp_path):
    base, own = tmp_path / "base.csv", tmp_path / "own.csv"
    append(base, decisions((item(4), 1, "move", "church")))
    append(own, decisions((item(4), 1, "move", "lake", "ann", "2026-05-01T00:00:00Z")))
    ledger = read_ledger(base, tmp_path / "absent.csv", own)
    assert ledger.decisions.file.tolist() == [str(base), str(own)]
    resolution = replay(ledger.decisions, proposals(), VOCABULARY)
    assert resolution.effective.target.tolist() == ["2/lake"]


def test_new_decisions_are_later_than_the_ledgers(tmp_path):
    path = tmp_path / "decisions.csv"
    now = datetime(2026, 1, 31, 12, 0, 0, 900000, tzinfo=UTC)
    assert time_after(read_ledger(path), now) == "2026-01-31T12:00:00.900Z"
    append(path, decisions(ONE, (*ONE, "ben", "2026-01-31T14:30:00+02:00")))
    assert time_after(read_ledger(path), now) == "2026-01-31T12:30:00.001Z"


def test_a_sheet_that_contradicts_the_ledger_is_a_dispute(tmp_path):
    ledger, sheet = tmp_path / "decisions.csv", tmp_path / "review.csv"
    resolution = replay(decisions(), proposals(), VOCABULARY)
    write_sheet(sheet, resolution, items(), LEVELS)
    append(ledger, decisions((item(4), 1, "move", "2/church")))
    frame = pd.read_csv(sheet, dtype=str, keep_default_na=False)
    frame.loc[frame.row_id == f"1:{item(4)}", ["decision", "target"]] = ["move", "lake"]
    frame.to_csv(sheet, index=False)
    found = read_sheet(sheet, resolution, reviewer="ben", decided_at="2026-03-01T00:00:00Z")
    both = pd.concat([read_ledger(ledger).decisions, found.decisions])
    disputed = replay(both, proposals(), VOCABULARY).disputed
    assert disputed.file.tolist() == [str(ledger), str(sheet)]
    line = frame.row_id.tolist().index(f"1:{item(4)}") + 2
    assert disputed.row.tolist() == [2, line]


def test_every_file_and_row_is_named(tmp_path):
    base, own = tmp_path / "base.csv", tmp_path / "own.csv"
    append(base, decisions((item(4), 1, "move", "pagoda")))
    append(own, decisions(ONE, (item(4), 1, "move", "heap", "ben")))
    with pytest.raises(InputError) as caught:
        replay(read_ledger(base, own).decisions, proposals(), VOCABULARY)
    assert f"{base}, row 2" in str(caught.value)
    assert f"{own}, row 3" in str(caught.value)


def test_what_is_no_ledger_is_refused(tmp_path):
    path = tmp_path / "decisions.csv"
    path.write_text("subject,decision\nx,keep\n")
    with pytest.raises(InputError, match="column 'target'"):
        read_ledger(path)
    with pytest.raises(InputError, match="column 'target'"):
        append(path, decisions(ONE))
    assert path.read_text() == "subject,decision\nx,keep\n"
    path.write_text("x", encoding="utf-16")
    with pytest.raises(InputError, match="UTF-16"):
        append(path, decisions(ONE))


def test_a_cut_row_inside_the_ledger_is_refused(tmp_path):
    path = tmp_path / "decisions.csv"
    append(path, decisions(ONE))
    path.write_bytes(path.read_bytes() + b"1:x,x\n")
    append_rows = b'"1:a","a","1","keep","","ann","","2026-01-01T00:00:00Z","",""\n'
    path.write_bytes(path.read_bytes() + append_rows)
    with pytest.raises(InputError, match="row 3: 2 cells where the header has 10"):
        read_ledger(path)


def test_killed_while_appending(tmp_path):
    """kill -9 at many moments: whole decisions only, in order, and the next append goes on."""
    path = tmp_path / "decisions.csv"
    script = (
        "import sys; sys.path[:0] = ['tests', '.']\n"
        "from pathlib import Path\n"
        "from small_world import decisions, item\n"
        "from strata_labels.review import append\n"
        "print('ready', flush=True)\n"
        "for n in range(10**6):\n"
        "    rows = [(item(3 * n + k), 1, 'move', 'x' * 3000) for k in range(3)]\n"
        "    append(Path(sys.argv[1]), decisions(*rows))\n"
    )
    for moment in (0.05, 0.2, 0.35):
        path.unlink(missing_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(path)], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(moment)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        ledger = read_ledger(path)
        numbers = [int(subject.rsplit("/", 1)[1]) for subject in ledger.decisions.subject]
        assert numbers == list(range(len(numbers)))
        assert set(ledger.decisions.target) <= {"x" * 3000}
        assert append(path, decisions(("end", 1, "keep", ""))) == 1
        assert len(read_ledger(path).decisions) == len(numbers) + 1


def test_applying_a_sheet_twice_leaves_one_decision(tmp_path):
    """The whole round: sheet, decision, ledger, replay; the decided row is not asked again."""
    sheet, ledger = tmp_path / "review.csv", tmp_path / "decisions.csv"
    resolution = replay(decisions(), proposals(), VOCABULARY)
    asked = write_sheet(sheet, resolution, items(), LEVELS)
    frame = pd.read_csv(sheet, dtype=str, keep_default_na=False)
    frame.loc[frame.row_id == f"1:{item(4)}", ["decision", "target"]] = ["move", "Church"]
    frame.to_csv(sheet, index=False)
    for when in ("2026-01-31T12:00:00Z", "2026-02-01T12:00:00Z"):
        found = read_sheet(sheet, resolution, reviewer="ann", decided_at=when)
        append(ledger, found.decisions)
        resolution = replay(read_ledger(ledger).decisions, proposals(), VOCABULARY)
    assert said(ledger) == [(item(4), "2/church")]
    assert write_sheet(sheet, resolution, items(), LEVELS) == asked - 1
