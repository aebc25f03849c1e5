"""Simulated review: what a curator sees, what a page comes to, and that anyone can count again."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from page_world import make_workspace
from small_world import item
from strata_labels.build import BuildSettings, Workspace, simulate_review
from strata_labels.build.propose import decided, scorer_of
from strata_labels.build.simulate import REVIEWER, SimulatedCurator, Work
from strata_labels.cli import app
from strata_labels.cli.review import review_setup
from strata_labels.errors import InputError
from strata_labels.review import read_ledger
from strata_labels.review.page import Desk
from strata_labels.tables import load
from tiny_clip import make_tiny_clip
from typer.testing import CliRunner

KINDS = {"church": "Kirche", "bridge": "Most", "lake": "Jezero", "castle / fort": "Grad"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    others = ["lake", "castle / fort"]
    return make_tiny_clip(tmp_path_factory.mktemp("tiny") / "model", others=others)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 landmarks; every fourth has a label that its name does not tell; three have none."""
    path = tmp_path_factory.mktemp("truth") / "train_label_to_hierarchical.csv"
    kinds, rows = sorted(KINDS), ["landmark_id,category,hierarchical_label"]
    for number in range(120):
        kind = kinds[number % 4]
        label = kinds[(number * 7 + 1) % 4] if number % 5 == 0 else kind
        label = "" if number >= 117 else label
        address = f"http://commons.wikimedia.org/wiki/Category:{KINDS[kind]}_Xq{number}"
        rows.append(f"{number},{address},{label}")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def done(truth: Path, tiny: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("out") / "ws"
    return out, simulate_review(truth, out, "gldv2-h", tiny, [0.9, 1.0])


@pytest.mark.parametrize(
    ("nodes", "answers", "rows", "seconds"),
    [
        ("ccccccccc", 1, 9, 7.2),  # Enter
        ("lccccclbl", 3, 10, 7.2 + 8),  # p for two or more of one place; the other comes up again
        ("clcbccfcc", 4, 12, 7.2 + 12),
        ("kkkckkcck", 2, 9, 7.2 + 4),  # to keep most is one answer
        ("cckcckcck", 4, 12, 7.2 + 12),  # marked ones are given a place, and cannot be kept
    ],
)
def test_a_grid_is_answered_as_on_the_page(tmp_path, nodes, answers, rows, seconds):
    workspace = Workspace(make_workspace(tmp_path / "ws"))
    desk, work = Desk(review_setup(workspace), "ann"), Work()
    grid = desk.ask(f"1:{item(0)}")
    places = {"l": "2/lake", "c": "2/church", "b": "1/Q2977", "f": "1/Q23413", "k": ""}
    truth = {row: places[n] for row, n in zip(grid, nodes, strict=True) if places[n]}
    curator = SimulatedCurator(desk, truth, work)
    curator.answer(grid)
    found = read_ledger(workspace.ledger).decisions
    assert found["row"].nunique() == work.decisions == answers
    assert (work.rows, work.seconds) == (rows, pytest.approx(seconds))
    said = dict(zip(found["row_id"], found["target"], strict=True))
    words = dict(zip(found["row_id"], found["decision"], strict=True))
    assert {row: said[row] for row in truth} == truth
    assert {row for row in grid if words[row] == "keep"} == set(grid) - set(truth)
    assert curator.answered == set(grid)


def test_looking_at_rows_takes_time_and_answers_do_not():
    work = Work()
    for rows in (10, 1, 1):  # a grid, and two exceptions of it
        work.looked_at(rows)
    work.decisions += 3
    assert (work.rows, work.seconds) == (12, 16.0)
    assert work.per_1000(24) == {
        "decisions_per_1000": 125.0, "rows_per_1000": 500.0, "minutes_per_1000": 11.1
    }  # fmt: skip


def test_the_ledger_has_a_line_per_decision_and_nothing_wrong(done, truth):
    out, result = done
    lines = len((out / "decisions.csv").read_text(encoding="utf-8").splitlines()) - 1
    assert lines == result["curve"][-1]["decisions"] == result["decisions"]["1.0"]
    found = read_ledger(out / "decisions.csv").decisions
    labels = pd.read_csv(truth).dropna().set_index("landmark_id").hierarchical_label
    said = found.target.map({"2/church": "church", "2/bridge": "bridge", "2/lake": "lake",
                             "2/castle-fort": "castle / fort"})  # fmt: skip
    assert said.tolist() == labels[found.subject.str.split("/").str[-1].astype(int)].tolist()
    assert found.subject.is_unique and set(found.reviewer) == {REVIEWER}
    assert found.groupby("row").size().max() <= 10


def test_rows_of_one_line_are_known_by_one_answer(done, truth, tiny):
    out, _ = done
    place, ledger = Workspace(out), read_ledger(out / "decisions.csv").decisions
    settings = BuildSettings(
        tree="gldv2-h", metadata=str(out / "metadata"), decisions=str(place.ledger), encoder=tiny
    )
    items, vocabulary, _ = scorer_of(place, settings)
    tables = load(out, "proposals"), load(out, "vocabulary")
    node, line = decided(*tables, ledger, items, vocabulary)
    assert (node >= 0).sum() == (line >= 0).sum() == len(ledger)
    found = pd.Series(line, items["item_id"]).reindex(ledger["subject"])
    found = found.groupby(ledger["row"].to_numpy())
    assert (found.nunique() == 1).all() and found.first().is_unique


def test_agreement_counted_again_from_the_assignments(done, truth):
    out, result = done
    left = load(out, "assignments").set_index("item_id").level2_name
    labels = pd.read_csv(truth).dropna().set_index("landmark_id").hierarchical_label
    labels.index = "gldv2/train/" + labels.index.astype(str)
    assert sorted(left.index) == sorted(labels.index)
    agree = (left.reindex(labels.index) == labels).mean()
    assert agree == result["agreement"] == result["curve"][-1]["agreement"] == 1.0
    assert result["num_items"] == 117 and result["ignored"] == {"no label": 3}


def test_the_curve_is_monotone_in_decisions_and_targets_are_read_off_it(done):
    _, result = done
    curve = result["curve"]
    counts = [point["decisions"] for point in curve]
    assert counts == sorted(set(counts)) and counts[0] == 0
    first = next(p["decisions"] for p in curve if p["agreement"] >= 0.9)
    assert result["decisions"]["0.9"] == first
    assert result["decisions_per_1000"]["0.9"] == round(1000 * first / 117, 1)


def test_pages_save_decisions_and_the_same_input_gives_the_same_ledger(done, truth, tiny, tmp_path):
    out, result = done
    again = simulate_review(truth, tmp_path / "again", "gldv2-h", tiny, [0.9, 1.0])
    assert again == result
    assert (tmp_path / "again" / "decisions.csv").read_bytes() == (
        out / "decisions.csv"
    ).read_bytes()
    single = simulate_review(truth, tmp_path / "single", "gldv2-h", tiny, [1.0], page_size=1)
    assert single["decisions"]["1.0"] > result["decisions"]["1.0"]
    assert single["decisions"]["1.0"] == single["curve"][-1]["rows_decided"]
    # Row by row, each row is looked at once; in grids the exceptions are looked at twice.
    assert single["rows_per_1000"]["1.0"] == single["decisions_per_1000"]["1.0"]
    last = result["curve"][-1]
    assert last["rows_per_1000"] > 1000 * last["rows_decided"] / 117
    minutes = single["minutes_per_1000"]["1.0"]
    assert minutes == pytest.approx(single["decisions_per_1000"]["1.0"] / 15, abs=0.1)
    assert minutes <= single["minutes_row_by_row_per_1000"]["1.0"] == 66.7


def test_the_command_writes_its_numbers(truth, tiny, tmp_path):
    target = ["--target", "0.9", "--json", str(tmp_path / "out.json")]
    asked = ["simulate-review", "--truth", str(truth), "--encoder", tiny, *target]
    ran = CliRunner().invoke(app, asked)
    assert ran.exit_code == 0, ran.output
    result = json.loads((tmp_path / "out.json").read_text())
    assert {"num_items", "decisions_per_1000", "curve"} <= set(result)
    assert list(result["decisions_per_1000"]) == ["0.9"]
    assert "decisions per 1,000 items" in ran.output


def test_what_is_wrong_is_said_before_anything_is_written(done, truth, tiny, tmp_path):
    out, _ = done
    before = (out / "decisions.csv").read_bytes()
    with pytest.raises(InputError) as caught:
        simulate_review(truth, out, "gldv2-h", tiny, [0.0, 95])
    assert len(caught.value.problems) == 3  # both targets, and the ledger that is there
    assert (out / "decisions.csv").read_bytes() == before
    odd = tmp_path / "train_label.csv"
    odd.write_text(truth.read_text().replace(",bridge\n", ",brigde\n"))
    with pytest.raises(InputError, match="brigde"):
        simulate_review(odd, tmp_path / "odd", "gldv2-h", tiny, [0.9])
    with pytest.raises(InputError, match="no label"):
        bare = tmp_path / "train_bare.csv"
        bare.write_text("landmark_id,category,hierarchical_label\n1,Category:A,\n")
        simulate_review(bare, tmp_path / "bare", "gldv2-h", tiny, [0.9])
