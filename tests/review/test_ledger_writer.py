"""The writer: concurrent processes, stale windows, undo, full disks, ledgers put in its place."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import VOCABULARY, decisions, item, proposals
from strata_labels.errors import InputError, RetryError
from strata_labels.review import (
    LedgerWriter,
    cut_decisions,
    read_ledger,
    replay,
    withdraw_reviewer,
    withdraw_sheet,
)
from strata_labels.review.decisions import active_decisions, read_decisions
from strata_labels.review.ledger_writer import LedgerChanged
from subprocesses import run_checked

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = ["subject", "level", "decision", "target", "reviewer"]


def one(subject: str, decision: str, target: str = "", reviewer: str = "ann") -> pd.DataFrame:
    return pd.DataFrame([(subject, "1", decision, target, reviewer)], columns=COLUMNS)


def effective(path: Path) -> list[tuple[str, str]]:
    found = replay(read_ledger(path).decisions, proposals(), VOCABULARY).effective
    return list(zip(found.subject, found.target, strict=True))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "decisions.csv"


def test_a_decision_gets_its_row_id_and_a_later_time_each(path):
    writer = LedgerWriter(path)
    first = writer.record(one(item(4), "move", "2/church"))
    second = writer.record(one(item(4), "move", "2/lake"))
    assert first.row_id.tolist() == [f"1:{item(4)}"]
    assert first.decided_at.item() < second.decided_at.item()
    assert effective(path) == [(item(4), "2/lake")]


def test_a_window_that_has_not_seen_the_last_decision_is_refused(path):
    one_window, other = LedgerWriter(path), LedgerWriter(path)
    seen = one_window.state
    assert other.state == seen
    other.record(one(item(4), "move", "2/church", "ben"), expected=seen)
    before = path.read_bytes()
    for refused in (lambda: one_window.record(one(item(4), "exclude"), expected=seen),
                    lambda: one_window.undo("ann", expected=seen)):  # fmt: skip
        with pytest.raises(LedgerChanged):
            refused()
    assert path.read_bytes() == before
    # After another look it may; and what the other wrote is known without a new opening.
    assert len(one_window.record(one(item(4), "exclude"), expected=one_window.look())) == 1
    assert one_window.record(one(item(4), "move", "2/church", "ben")).empty


def test_two_processes_write_at_once(path):
    script = (
        "import sys; sys.path.insert(0, '.')\n"
        "from pathlib import Path\n"
        "import pandas as pd\n"
        "from strata_labels.review import LedgerWriter\n"
        "writer = LedgerWriter(Path(sys.argv[1]))\n"
        "for n in range(40):\n"
        "    rows = [(f'{sys.argv[2]}/{n}', '1', 'keep', k * 'x', sys.argv[2]) for k in (1, 2)]\n"
        f"    writer.record(pd.DataFrame(rows, columns={COLUMNS}))\n"
    )
    names = ("ann", "ben", "cem")
    running = [
        subprocess.Popen([sys.executable, "-c", script, str(path), name], cwd=ROOT)
        for name in names
    ]
    assert [process.wait() for process in running] == [0, 0, 0]
    found = read_ledger(path).decisions
    for name in names:
        mine = found[found.reviewer == name]
        assert mine.subject.tolist() == [f"{name}/{n}" for n in range(40) for _ in (1, 2)]
    # A call's decisions stand together.
    assert (found.subject.to_numpy()[::2] == found.subject.to_numpy()[1::2]).all()


def test_undo_takes_back_act_by_act_and_brings_back_what_was_said(path):
    writer = LedgerWriter(path)
    writer.record(one(item(4), "move", "2/church"))
    writer.record(pd.concat([one(item(4), "move", "2/castle"), one(item(3), "exclude")]))
    writer.record(one(item(2), "keep", reviewer="ben"))
    lines = path.read_bytes()
    writer = LedgerWriter(path)  # a killed server starts again and knows what can be taken back
    assert len(writer.undo("ann")) == 1  # one line for both
    assert effective(path) == [(item(2), "1/Q2977"), (item(4), "2/church")]
    assert writer.undo("ann").subject.tolist() == [item(4)]
    assert effective(path) == [(item(2), "1/Q2977")]
    assert writer.undo("ann").empty
    assert path.read_bytes().startswith(lines)  # only ever longer
    # What was taken back can be decided again.
    assert len(writer.record(one(item(4), "move", "2/church"))) == 1
    assert (item(4), "2/church") in effective(path)


def test_what_a_crash_left_is_mended_on_opening(path):
    writer = LedgerWriter(path)
    writer.record(one(item(4), "move", "2/church"))
    whole = path.read_bytes()
    path.write_bytes(whole + b'"1:gldv2/train/3","gl')
    LedgerWriter(path)
    assert [problem.row for problem in cut_decisions(path)] == [3]
    assert path.read_bytes() == whole
    # Also when another process tore it while this one had it open.
    path.write_bytes(whole + b'"1:gldv2/train/3","gldv2')
    writer.record(one(item(3), "exclude"))
    assert len(read_ledger(path).decisions) == 2
    assert path.with_name("decisions.csv.cut").read_bytes().count(b"\n") == 2


def test_a_ledger_that_git_or_an_editor_replaced_is_written_where_it_is_now(path, tmp_path):
    writer = LedgerWriter(path)
    writer.record(one(item(4), "move", "2/church"))
    copy = tmp_path / "other.csv"
    LedgerWriter(copy).record(one(item(2), "keep", reviewer="ben"))
    copy.replace(path)
    writer.record(one(item(4), "move", "2/church"))
    assert read_ledger(path).decisions.reviewer.tolist() == ["ben", "ann"]
    path.write_bytes(b"")
    writer.record(one(item(3), "exclude"))
    path.unlink()
    writer.record(one(item(3), "exclude"))
    assert read_ledger(path).decisions.subject.tolist() == [item(3)]


def test_a_formula_is_kept_harmless(path):
    rows = one(item(4), "exclude").assign(note='=HYPERLINK("x")')
    LedgerWriter(path).record(rows)
    assert b"\"'=HYPERLINK" in path.read_bytes()
    assert read_ledger(path).decisions.note.tolist() == ['=HYPERLINK("x")']
    assert LedgerWriter(path).record(rows).empty


def test_a_cell_the_ledger_has_no_column_for_is_refused(path):
    path.write_text("subject,level,decision,target,reviewer,decided_at\n")
    before = path.read_bytes()
    with pytest.raises(InputError, match="no column: 'note'"):
        LedgerWriter(path).record(one(item(4), "exclude").assign(note="why"))
    assert path.read_bytes() == before
    assert len(LedgerWriter(path).record(one(item(4), "exclude"))) == 1


@pytest.mark.parametrize(
    "take_back",
    [
        lambda path: withdraw_reviewer(path, "ann"),
        lambda path: withdraw_sheet(path, "2026-01-01T00:00:00Z"),
        lambda path: len(LedgerWriter(path).undo("ann")),
    ],
)
def test_several_are_taken_back_in_a_ledger_without_hashes(path, take_back):
    lines = ["subject,level,decision,target,reviewer,decided_at"]
    lines += [f"{name},1,exclude,,ann,2026-01-01T00:00:00Z" for name in "ab"]
    path.write_text("\n".join(lines) + "\n")
    assert take_back(path) == 2
    assert not active_decisions(read_decisions(read_ledger(path).decisions)[0])[0]


def test_a_full_disk_leaves_the_ledger_as_it_was(path):
    writer = LedgerWriter(path)
    writer.record(one(item(4), "exclude"))
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 40, limits[1]))
        with pytest.raises(RetryError, match="cannot be written"):
            writer.record(one(item(3), "exclude"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    assert len(writer.record(one(item(3), "exclude"))) == 1


ROW = st.tuples(
    st.sampled_from([item(2), item(4), item(5)]),
    st.sampled_from(["keep", "exclude", "unsure"]),
    st.sampled_from(["ann", "ben"]),
    st.integers(0, 5),
)


@settings(max_examples=15, deadline=None)
@given(
    base=st.lists(ROW, max_size=3), ours=st.lists(ROW, max_size=4), theirs=st.lists(ROW, max_size=4)
)
def test_merged_ledgers_mean_the_same_whichever_way_they_are_merged(base, ours, theirs):
    def table(rows: list[tuple]) -> pd.DataFrame:
        return decisions(
            *((s, 1, word, "", who, f"2026-01-0{day + 1}T00:00:00Z") for s, word, who, day in rows)
        )

    def outcome(*parts: list[tuple]) -> list[str]:
        frame = pd.concat([table(part) for part in parts], ignore_index=True)
        found = replay(frame, proposals(), VOCABULARY)
        tables = (found.effective, found.disputed, found.stale)
        place = ["file", "row"]
        told = [table.drop(columns=place).to_csv() for table in tables]
        return [*told, found.rows.drop(columns="evidence").to_csv()]

    merged = outcome(base, ours, theirs)
    assert merged == outcome(base, theirs, ours) == outcome(theirs, base, ours, base)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_merges_two_curators_ledgers(tmp_path):
    def git(*words: str) -> None:
        env = os.environ | {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER")
                            for what in ("NAME", "EMAIL")}  # fmt: skip
        run_checked(["git", *words], cwd=tmp_path, env=env)

    path = tmp_path / "decisions.csv"
    git("init", "-q", "-b", "main")
    (tmp_path / ".gitattributes").write_text((ROOT / ".gitattributes").read_text())
    LedgerWriter(path).record(one(item(5), "keep"))
    git("add", ".")
    git("commit", "-qm", "base")
    git("checkout", "-qb", "ben")
    writer = LedgerWriter(path)
    writer.record(one(item(4), "exclude", reviewer="ben"))
    writer.record(one(item(2), "keep", reviewer="ben"))
    git("commit", "-qam", "ben")
    git("checkout", "-q", "main")
    LedgerWriter(path).record(one(item(4), "move", "2/church"))
    git("commit", "-qam", "ann")
    git("merge", "-q", "ben")
    found = replay(read_ledger(path).decisions, proposals(), VOCABULARY)
    assert sorted(found.effective.subject) == [item(2), item(5)]
    assert sorted(found.disputed.reviewer) == ["ann", "ben"]
