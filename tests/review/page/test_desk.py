"""What is asked, what is recorded, what is taken back: the review without its page."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from page_world import ALIKE, SINGLES, SURE
from small_world import item

from pipeline.review import append, read_ledger, replay
from pipeline.review.page import Desk, Refused, Stale
from pipeline.tables import load

OPEN = SINGLES + ALIKE + 1  # and the uncertain class


def answer(desk: Desk, word: str = "keep", target: str = "", **more: object) -> str:
    """Decides the row that is shown; returns it."""
    shown = desk.show()
    desk.decide(shown["state"], shown["row"]["row_id"], word, target, **more)
    return shown["row"]["row_id"]


def test_a_decision_is_in_the_ledger_with_all_that_was_seen(
    desk: Callable[..., Desk], workspace: Path
) -> None:
    ann = desk("  ann ")
    row = answer(ann, "move", "2/lake", note="boats")
    written = read_ledger(workspace / "decisions.csv").decisions
    assert written[["row_id", "decision", "target", "reviewer", "note"]].values.tolist() == [
        [row, "move", "2/lake", "ann", "boats"]
    ]
    proposals = load(workspace, "proposals").set_index("row_id")
    assert written.evidence_hash[0] == proposals.evidence_hash[row]
    assert "castle / fort" in written.seen[0]


def test_the_class_comes_first_and_settles_its_items(desk: Callable[..., Desk]) -> None:
    ann = desk()
    shown = ann.show()
    assert shown["row"]["row_id"] == "2:1/Q2977"
    assert shown["row"]["members"]["size"] == SINGLES // 4 + SURE // 4 + 1
    answer(ann)
    assert ann.show()["progress"]["open"] == OPEN - 1 - SINGLES // 4
    ann.undo(ann.state)
    assert ann.show()["progress"] == shown["progress"]


@pytest.mark.parametrize("again", [False, True])
def test_what_is_asked_follows_from_the_ledger_alone(
    desk: Callable[..., Desk], again: bool
) -> None:
    ann = desk()
    asked = []
    for n in range(12):
        word, target = [("keep", ""), ("unsure", ""), ("move", "2/lake"), ("exclude", "")][n % 4]
        asked.append(answer(ann, word, target))
        if n % 5 == 4:
            ann.undo(ann.state)
            asked.pop()
        if again:
            before = ann.show()
            ann = desk()  # as after a crash
            now = ann.show()
            # What is left is ranked anew, as after a rebuild.
            counts = ("decided", "open", "unsure", "now", "best")
            assert {key: now["progress"][key] for key in counts} == pytest.approx(
                {key: before["progress"][key] for key in counts}
            )
    assert len(asked) == len(set(asked)) == 10


def test_a_whole_group_is_one_answer_and_one_undo(
    desk: Callable[..., Desk], ledger: Callable[[], list]
) -> None:
    ann = desk()
    state, group = ann.state, [f"1:{item(SINGLES + n)}" for n in range(ALIKE)]
    shown = ann.show(group[2])["row"]
    assert shown["group"]["size"] == ALIKE and shown["group"]["examples"][0] == "Burg 2"
    told = ann.decide(state, group[2], "move", "2/church", whole_group=True)
    assert told == "Moved Burg 2 to church, and 3 look-alikes"
    assert sorted(row for row, *_ in ledger()) == group
    assert ann.show(group[0])["row"]["row_id"] not in group
    assert "3 more" in ann.undo(ann.state)[0]
    assert ann.show(group[0])["row"]["row_id"] == group[0]
    assert [word for _, word, _ in ledger()] == ["move"] * ALIKE + ["withdraw"] * ALIKE


def test_undo_goes_back_act_by_act_also_past_a_restart(
    desk: Callable[..., Desk], workspace: Path
) -> None:
    ann = desk()
    first, second = answer(ann), answer(ann, "unsure")
    ann = desk()
    assert ann.undo(ann.state)[1] == second
    assert ann.undo(ann.state)[1] == first
    assert ann.undo(ann.state) == ("", "")
    assert ann.show() == {**desk().show(), "state": ann.state}
    decisions = read_ledger(workspace / "decisions.csv").decisions
    tables = load(workspace, "proposals"), load(workspace, "vocabulary")
    assert replay(decisions, *tables).effective.empty


def test_two_windows_cannot_overwrite_each_other(
    desk: Callable[..., Desk], ledger: Callable[[], list]
) -> None:
    ann = desk()
    window = other = ann.show()
    row = window["row"]["row_id"]
    ann.decide(window["state"], row, "unsure")
    for given in (row, ann.show()["row"]["row_id"]):
        with pytest.raises(Stale):
            ann.decide(other["state"], given, "exclude")
    with pytest.raises(Stale):
        ann.undo(other["state"])
    with pytest.raises(Stale):
        ann.decide(ann.state, row, "exclude")  # the row is not open any more
    assert ledger() == [(row, "unsure", "")]


def test_what_another_program_writes_is_seen_before_the_next_decision(
    desk: Callable[..., Desk], workspace: Path
) -> None:
    ann = desk()
    shown = ann.show()
    row = pd.DataFrame([{"subject": item(5), "level": "1", "decision": "exclude",
                         "reviewer": "ben", "target": ""}])  # fmt: skip
    append(workspace / "decisions.csv", row)
    with pytest.raises(Stale):
        ann.decide(shown["state"], shown["row"]["row_id"], "unsure")
    assert ann.show()["progress"]["open"] == OPEN - 1
    assert ann.show(f"1:{item(5)}")["row"]["row_id"] != f"1:{item(5)}"


def test_reviewers_who_differ_are_asked_again_in_turn(desk: Callable[..., Desk]) -> None:
    ann, ben = desk("ann"), desk("ben")
    row = f"1:{item(4)}"
    ann.decide(ann.state, row, "move", "2/lake")
    append(
        ben.material.ledgers[-1],
        pd.DataFrame([{"subject": item(4), "level": "1", "decision": "move",
                       "reviewer": "ben", "target": "2/mountain"}]),
    )  # fmt: skip
    assert ann.show(row)["row"]["row_id"] == row  # ben spoke last
    assert ben.show(row)["row"]["row_id"] != row
    ann.decide(ann.state, row, "move", "2/mountain")
    assert ben.show(row)["row"]["row_id"] != row  # settled
    assert desk("ann").show(row)["row"]["row_id"] != row


def test_blind_tells_nothing_of_what_is_proposed(desk: Callable[..., Desk]) -> None:
    ben = desk("ben", blind=True)
    row = f"1:{item(0)}"
    shown = ben.show(row)["row"]
    assert shown["current"] is None and not shown["why"] and not shown["stops"]
    assert not shown["facts"]
    names = [option["name"] for option in shown["options"]]
    assert names == sorted(names) and len(names) == 3
    assert "church" in names  # what is proposed is one of them
    assert {option["level"] for option in shown["options"]} == {"hierarchical label"}
    assert all(not o["evidence"] and o["likely"] is None for o in shown["options"])
    with pytest.raises(Refused):
        ben.decide(ben.state, row, "keep")


def test_a_blind_reviewer_who_agrees_agrees(desk: Callable[..., Desk]) -> None:
    ann, row = desk("ann"), f"1:{item(0)}"
    ann.decide(ann.state, row, "keep")
    append(
        ann.material.ledgers[-1],
        pd.DataFrame([{"subject": item(0), "level": "1", "decision": "withdraw",
                       "reviewer": "ann", "target": ""}]),
    )  # fmt: skip
    ben = desk("ben", blind=True)
    ben.decide(ben.state, row, "move", "2/church")
    written = read_ledger(ann.material.ledgers[-1]).decisions
    assert written.target.iloc[-1] == "1/Q16970"  # what ann kept


def test_a_merge_brings_the_paths_up_to_date(desk: Callable[..., Desk]) -> None:
    ann = desk()
    answer(ann, "merge", "1/Q16970")
    ann.settle()
    for _ in range(100):
        found = ann.search("cathedral", f"1:{item(0)}", "move")["found"]
        if not found:
            break
        time.sleep(0.05)
    assert not found
    ann.undo(ann.state)
    assert [hit["node"] for hit in ann.search("cathedral", f"1:{item(0)}", "move")["found"]] == [
        "1/Q2977"
    ]


@pytest.mark.parametrize(
    ("row", "word", "target", "told"),
    [
        (f"1:{item(0)}", "merge", "2/lake", "only nodes"),
        (f"1:{item(0)}", "move", "2/nowhere", "unknown node"),
        (f"1:{item(0)}", "move", "", "needs a target"),
        (f"1:{item(0)}", "stop", "1/Q2977", "level"),
        (f"1:{item(0)}", "rename", "x", "cannot decide"),
        (f"1:{item(0)}", "withdraw", "", "cannot decide"),
        ("2:1/Q2977", "merge", "1/Q2977", "itself"),
        ("2:1/Q2977", "move", "1/Q16970", "level"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    desk: Callable[..., Desk], ledger: Callable[[], list], row: str, word: str, target: str,
    told: str,
) -> None:  # fmt: skip
    ann = desk()
    with pytest.raises(Refused, match=f"(?i){told}"):
        ann.decide(ann.state, row, word, target)
    assert ledger() == [] and ann.show(row)["row"]["row_id"] == row


def test_search_finds_by_name_path_accent_and_id(desk: Callable[..., Desk]) -> None:
    ann, row = desk(), f"1:{item(0)}"

    def found(text: str, word: str = "move", row: str = row) -> list[str]:
        return [hit["node"] for hit in ann.search(text, row, word)["found"]]

    assert found("lake") == ["2/lake"]
    assert found("LÁKE nat") == ["2/lake"]
    assert found("church")[0] == "2/church"  # the whole name before a longer one
    assert found("q8502") == ["1/Q8502"]
    assert set(found("natural")) == {"3/natural", "2/lake", "2/mountain", "1/Q8502"}
    assert "1/Q8502" not in found("natural", "stop")
    assert found("c", "merge", "2:1/Q2977") == ["1/Q23413", "1/Q16970"]  # the larger first
    assert found("zzz") == found("") == []


def test_the_forecast_counts_down_and_comes_true(desk: Callable[..., Desk]) -> None:
    ann = desk()
    before = ann.show()["progress"]
    items = load(ann.material.folder, "proposals").query("level == 1")
    assert before["now"] == pytest.approx(items.confidence.mean(), abs=1e-6)
    assert 0 < before["decisions"] < OPEN
    for left in range(before["decisions"], 0, -1):
        progress = ann.show()["progress"]
        assert progress["now"] < before["target"] and progress["decisions"] == left
        answer(ann, whole_group=True)
    after = ann.show()["progress"]
    assert after["now"] >= before["target"] - 1e-9 and after["decisions"] == 0


def test_the_end_is_told(desk: Callable[..., Desk]) -> None:
    ann = desk()
    while ann.show()["row"]:
        answer(ann, "exclude")
    assert ann.show()["progress"]["open"] == 0
    assert desk().show()["row"] is None
    assert desk("ben").show()["row"] is None  # what one has settled, another is not asked
