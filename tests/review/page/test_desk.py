"""What is asked, what is recorded, what is taken back: the review without its page."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from page_world import ALIKE, SINGLES, SURE
from small_world import item
from strata_labels.evidence import REASONS, Reason, read_seen
from strata_labels.review import (
    append,
    audited,
    compare_reviewers,
    draw_audit,
    read_ledger,
    replay,
    reviewed,
)
from strata_labels.review.page import Desk
from strata_labels.review.page.answers import Refused
from strata_labels.review.page.review import Stale
from strata_labels.review.page.review_rows import ReviewRows
from strata_labels.tables import load, save

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
    seen = read_seen(written.seen[0])
    assert seen is not None and seen.place == proposals.parent[row]
    assert seen.evidence == proposals.evidence[row]


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


def test_a_whole_group_is_one_line_and_one_undo(
    desk: Callable[..., Desk], workspace: Path, ledger: Callable[[], list]
) -> None:
    ann = desk()
    castle = f"1:{item(SINGLES + 2)}"
    shown = ann.show(castle)["row"]
    rows, size = [tile["row_id"] for tile in shown["grid"]], shown["alike"]
    assert 2 < size == len(rows) <= 10 and rows[0] == castle
    assert shown["grid"][0]["name"] == "Burg 2" and not ann.show(castle, single=True)["row"]["grid"]
    told = ann.decide(ann.state, rows, "move", "2/church")
    assert told == f"Moved Burg 2 to church, and {size - 1} more"
    found = read_ledger(workspace / "decisions.csv").decisions
    assert len(ledger()) == ann.recorded == 1 and len(set(found.row_id)) == size
    proposals = load(workspace, "proposals").set_index("row_id")
    assert found.evidence_hash.tolist() == proposals.evidence_hash[found.row_id].tolist()
    assert ann.show(castle)["row"]["row_id"] not in set(found.row_id)
    assert f"{size - 1} more" in ann.undo(ann.state)[0]
    assert ann.show(castle)["row"]["row_id"] == castle
    assert [word for _, word, _ in ledger()] == ["move", "withdraw"]


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
        ben.setup.ledgers[-1],
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
    assert not shown["enter"] and not shown["why"] and not shown["stops"]
    assert not shown["facts"]
    names = [option["name"] for option in shown["places"]]
    assert names == sorted(names) and len(names) == 3
    assert "church" in names  # what is proposed is one of them
    assert {option["level"] for option in shown["places"]} == {"hierarchical label"}
    assert all(not o["evidence"] and o["likely"] is None for o in shown["places"])
    with pytest.raises(Refused):
        ben.decide(ben.state, row, "keep")


def test_a_blind_reviewer_who_agrees_agrees(desk: Callable[..., Desk]) -> None:
    ann, row = desk("ann"), f"1:{item(0)}"
    ann.decide(ann.state, row, "keep")
    append(
        ann.setup.ledgers[-1],
        pd.DataFrame([{"subject": item(0), "level": "1", "decision": "withdraw",
                       "reviewer": "ann", "target": ""}]),
    )  # fmt: skip
    ben = desk("ben", blind=True)
    ben.decide(ben.state, row, "move", "2/church")
    written = read_ledger(ann.setup.ledgers[-1]).decisions
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


def test_a_batch_of_answers_has_the_rest_scored_anew_without_anybody_waiting(
    desk: Callable[..., Desk], workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strata_labels.review.page.review.BATCH", 3)
    ledger, calls = workspace / "decisions.csv", list[int]()
    started, go = threading.Event(), threading.Event()

    def learn() -> None:
        """As the real step: reads the ledger, then writes the rows; one more is sure now."""
        calls.append(len(read_ledger(ledger).decisions))
        started.set()
        assert go.wait(10)
        proposals = load(workspace, "proposals")
        proposals.loc[proposals.row_id == f"1:{item(SINGLES - 2)}", "accepted"] = True
        save(workspace, "proposals", proposals)

    ann = Desk(replace(desk().setup, learn=learn), "ann")
    answer(ann)  # the class
    start = ann.show()["progress"]["open"]
    answer(ann, "exclude")
    assert not calls
    answer(ann, "exclude")
    assert started.wait(10)
    for _ in range(2):  # while it runs
        answer(ann, "exclude")
    assert ann.show()["progress"]["open"] == start - 4
    go.set()
    ann.settle()
    assert ann.show()["row"]  # what is shown stands until the new rows are loaded
    ann.settle()
    progress = ann.show()["progress"]
    assert calls == [3] and progress["open"] == start - 5
    assert progress["decided"] == 5 == len(read_ledger(ledger).decisions)
    assert ann.undo(ann.state)[0].startswith("Taken back")
    assert ann.show()["progress"]["open"] == start - 4


def test_answers_given_while_rows_are_loaded_are_not_asked_again(
    desk: Callable[..., Desk], workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = desk()
    answer(ann)
    before, loaded, go = ann.show()["progress"], threading.Event(), threading.Event()

    class Slow(ReviewRows):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            loaded.set()
            assert go.wait(10)

    monkeypatch.setattr("strata_labels.review.page.review.ReviewRows", Slow)
    save(workspace, "proposals", load(workspace, "proposals"))
    ann.show()
    assert loaded.wait(10)
    done = {answer(ann, word) for word in ("exclude", "unsure", "keep")}
    go.set()
    ann.settle()
    after = ann.show()["progress"]
    assert (after["decided"], after["unsure"]) == (before["decided"] + 3, before["unsure"] + 1)
    assert after["open"] == before["open"] - 3
    assert not done & {ann.show(row)["row"]["row_id"] for row in done}


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
    items = load(ann.setup.folder, "proposals").query("level == 1")
    assert before["now"] == pytest.approx(items.confidence.mean(), abs=1e-6)
    assert 0 < before["decisions"] < OPEN
    for left in range(before["decisions"], 0, -1):
        progress = ann.show()["progress"]
        assert progress["now"] < before["target"] and progress["decisions"] == left
        ann.decide(ann.state, ann.ask(), "keep")
    after = ann.show()["progress"]
    assert after["now"] >= before["target"] - 1e-9 and after["decisions"] == 0


def test_a_second_reviewer_is_asked_blind_what_another_has_decided(
    desk: Callable[..., Desk], workspace: Path
) -> None:
    ann = desk()
    answer(ann)  # the class
    asked = [answer(ann, "move", "2/lake") for _ in range(8)]
    answer(ann, "unsure")
    ben = desk("ben", double=0.999)
    assert ben.blind and ben.show()["progress"]["open"] == 8
    shown = ben.show(asked[0])["row"]
    assert shown["row_id"] == asked[0] and not shown["enter"] and not shown["grid"]
    again = [answer(ben, "move", "2/lake" if n else "2/church") for n in range(8)]
    assert sorted(again) == sorted(asked) and ben.show()["row"] is None
    assert ben.show()["progress"]["decided"] == 8 and ben.show()["progress"]["now"] is None
    assert desk("ben", double=0.999).show()["row"] is None
    assert desk("ann", double=0.999).show()["row"] is None  # their own first answers
    some = desk("cleo", double=0.4)
    assert 0 < some.show()["progress"]["open"] < 8
    decisions = read_ledger(workspace / "decisions.csv").decisions
    found = compare_reviewers(decisions, reviewed(workspace), load(workspace, "vocabulary"))
    assert found.levels.rows.tolist() == [8] * 3 and found.levels.agree[1] == 7 / 8
    # What they differ on is asked of the first one again, with the other's choice by its name.
    row = desk("ann").show(again[0])["row"]
    assert row["row_id"] == again[0] and "Two reviewers disagree about it." in row["why"]
    said = " ".join([*row["facts"], *(text for at in row["places"] for text in at["evidence"])])
    assert "ben moved it to church" in said and "ann moved it to lake" in said


def test_an_audit_asks_for_accepted_rows_first_one_by_one(
    desk: Callable[..., Desk], workspace: Path
) -> None:
    ledgers = desk().setup.ledgers
    assert draw_audit(workspace, 4, list(ledgers)) == 4
    assert draw_audit(workspace, 4, list(ledgers)) == 0  # they stay
    ann = desk()
    for n in range(4):
        row = ann.show()["row"]
        assert row["why"] == [REASONS["audit"]] and not row["grid"]
        assert row["row_id"] in audited(workspace)
        answer(ann, *(("move", "2/lake") if n == 0 else ("keep",)))
    assert not ann.show()["row"]["is_item"]
    decisions = read_ledger(*ledgers).decisions
    found = compare_reviewers(decisions, reviewed(workspace), load(workspace, "vocabulary"),
                      audited(workspace))  # fmt: skip
    assert (found.audit.errors, found.audit.checked) == (1, 4)
    # A larger one adds to it; what is decided counts on.
    assert draw_audit(workspace, SURE, list(ledgers)) == SURE - 4
    assert ann.show()["row"]["why"] == [REASONS["audit"]]


def test_what_retrieval_doubts_is_asked_before_the_classes(
    desk: Callable[..., Desk], workspace: Path
) -> None:
    sure = f"1:{item(SINGLES + ALIKE)}"
    doubt = {"row_id": sure, "subject": sure[2:], "level": 1, "current": "1/Q16970",
             "suggestion": "1/Q8502", "alternatives": [], "gain": 0.1, "total": 0.1,
             "expected": 0.075, "here": 0.25, "there": 0.75, "num_images": 4, "images": [],
             "nearest": []}  # fmt: skip
    save(workspace, "doubts", pd.DataFrame([doubt]))
    row = desk().show()["row"]
    assert row["row_id"] == sure and not row["grid"]
    assert row["why"][0].startswith(REASONS["retrieval"].rstrip("."))
    # What retrieval suggests stands before the present place, which is less likely.
    assert [at["node"] for at in row["places"][:2]] == ["1/Q8502", "1/Q16970"]
    assert [at["likely"] for at in row["places"][:2]] == [None, 0.25]
    assert any("nearest images" in text for text in row["places"][0]["evidence"])
    assert not any("H-AP" in text for text in row["places"][1]["evidence"])


def test_the_end_is_told(desk: Callable[..., Desk]) -> None:
    ann = desk()
    while ann.show()["row"]:
        answer(ann, "exclude")
    assert ann.show()["progress"]["open"] == 0
    assert desk().show()["row"] is None
    assert desk("ben").show()["row"] is None  # what one has settled, another is not asked


def test_several_reviewers_share_one_review(desk: Callable[..., Desk]) -> None:
    review = desk("ann").review
    ann, ben = Desk(review, "ann"), Desk(review, "ben")
    shared = answer(ann)  # the class; ben is not asked what it settled
    assert ben.show(shared)["row"]["row_id"] != shared
    assert ben.show()["progress"]["open"] == ann.show()["progress"]["open"] == OPEN - 1 - 9
    assert (ann.show()["progress"]["decided"], ben.show()["progress"]["decided"]) == (1, 0)
    left = answer(ann, "unsure")  # stays open for ben alone
    assert ann.show(left)["row"]["row_id"] != left and ben.show(left)["row"]["row_id"] == left
    ben.decide(ben.state, left, "exclude")
    assert ann.undo(ann.state)[1] == left  # ann's unsure, not ben's answer
    assert ann.show(left)["row"]["row_id"] != left  # which stands
    assert ben.undo(ben.state)[1] == left
    assert {one.show(left)["row"]["row_id"] for one in (ann, ben)} == {left}
    # What is read anew is what was kept up to date.
    counts = ("decided", "open", "unsure")
    kept = [[one.show()["progress"][key] for key in counts] for one in (ann, ben)]
    review.reload()
    assert [[one.show()["progress"][key] for key in counts] for one in (ann, ben)] == kept


def test_places_stand_on_one_scale_and_each_with_its_own_evidence(
    desk: Callable[..., Desk], workspace: Path
) -> None:
    table = load(workspace, "proposals")
    first = table.row_id == f"1:{item(0)}"
    table.loc[first, "confidence"] = table.loc[first, "score"] = 0.02
    save(workspace, "proposals", table)
    places = desk().show(f"1:{item(0)}", single=True)["row"]["places"]
    likely = [at["likely"] for at in places]
    # Enter takes the first one, which is not the proposal, since that is the least likely.
    assert likely == sorted(likely, reverse=True) and likely[-1] == 0.02
    assert [at["answer"] for at in places] == ["move"] * 3 + ["keep"]
    for at in places:
        names = {step["name"] for step in at["path"]}
        assert at["evidence"] and not any(text.startswith("But") for text in at["evidence"])
        assert all(any(name in text for name in names) for text in at["evidence"])


def test_what_speaks_for_no_place_is_told_apart(desk: Callable[..., Desk]) -> None:
    row = desk().show(f"1:{item(0)}", single=True)["row"]
    assert row["facts"] == ["“burg” (German) means castle / fort."]


def test_a_label_that_came_with_the_item_has_no_share_beside_it(
    desk: Callable[..., Desk], workspace: Path
) -> None:
    table = load(workspace, "proposals")
    row = f"1:{item(0)}"
    at = table.index[table.row_id == row][0]
    table.at[at, "reasons"] = (Reason("label_issue", "1/Q16970"),)
    table.loc[at, ["confidence", "score", "suggestion"]] = [0.003, 0.003, "2/lake"]
    save(workspace, "proposals", table)
    places = desk().show(row, single=True)["row"]["places"]
    given = [one for one in places if one["given"]]
    assert [(one["node"], one["likely"]) for one in given] == [("1/Q16970", None)]
    assert places[0]["node"] == "2/lake" and places[0]["likely"] == 0.1


def test_no_two_places_show_the_same_neighbours(desk: Callable[..., Desk]) -> None:
    ann = desk()
    for n in range(SINGLES):
        shown = ann.show(f"1:{item(n)}", single=True)["row"]["places"]
        names = [other["name"] for at in shown for other in at["siblings"]]
        assert names and len(names) == len(set(names))


def test_a_group_answer_is_proposed_only_where_it_is_likely_for_most(
    desk: Callable[..., Desk], workspace: Path
) -> None:
    castles = f"1:{item(2)}"
    shown = desk().show(castles)["row"]
    assert shown["grid"] and shown["places"][0]["likely"] < 0.5 and not shown["enter"]
    table = load(workspace, "proposals")
    likely = (table.parent == "1/Q23413") & ~table.accepted
    table.loc[likely, ["confidence", "score"]] = 0.6
    save(workspace, "proposals", table)
    shown = desk().show(castles)["row"]
    assert shown["grid"] and shown["places"][0]["likely"] == 0.6 and shown["enter"]
    assert desk().show(castles, single=True)["row"]["enter"]
