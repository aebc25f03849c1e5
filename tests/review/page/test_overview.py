"""Looking over a review: filters and their counts, progress by node, jumps, what was decided."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from page_world import ALIKE, SINGLES, SURE
from small_world import item
from strata_labels.evidence import Reason
from strata_labels.review import append, read_ledger
from strata_labels.review.page import Desk
from strata_labels.review.page.answers import Refused
from strata_labels.review.page.facets import Facets
from strata_labels.review.page.review import Stale
from strata_labels.tables import load, save

OPEN = SINGLES + ALIKE


def asked(desk: Desk, **chosen: Any) -> list[str]:
    """All rows that come up under a filter, in their order."""
    facets, rows, row = Facets(**chosen), list[str](), ""
    while True:
        found = desk.ask(after=row, single=True, facets=facets)
        if not found or found[0] in rows:
            return rows
        row = found[0]
        rows.append(row)


def change(workspace: Path, **columns: Callable[[pd.DataFrame], Any]) -> None:
    """Writes columns of the proposals anew."""
    table = load(workspace, "proposals")
    save(workspace, "proposals", table.assign(**{k: make(table) for k, make in columns.items()}))


def test_each_filter_asks_for_its_rows_alone(desk: Callable[..., Desk], workspace: Path) -> None:
    items = load(workspace, "items")
    items["split"] = np.where(np.arange(len(items)) < 5, "index", "train")
    save(workspace, "items", items)
    doubted = (Reason("label_issue", "1/Q16970"),)
    change(
        workspace,
        reasons=lambda t: [
            doubted if subject in (item(3), item(4)) else reasons
            for subject, reasons in zip(t.subject, t.reasons, strict=True)
        ],
    )
    append(
        workspace / "decisions.csv",
        pd.DataFrame(
            [{"subject": item(n), "level": "1", "decision": "unsure", "reviewer": "ben",
              "target": ""} for n in (6, 7)]
        ),
    )  # fmt: skip
    ann = desk()
    everything = asked(ann)
    assert len(everything) == OPEN + 1
    table = load(workspace, "proposals").set_index("row_id")
    lakes = {row for row in everything if table.parent[row] in ("1/Q8502", "2/mountain")}
    assert set(asked(ann, node="2/mountain")) == lakes and lakes
    assert asked(ann, level=1) == ["2:1/Q2977"] and len(asked(ann, level=0)) == OPEN
    assert set(asked(ann, reason="label_issue")) == {f"1:{item(n)}" for n in (3, 4)}
    assert set(asked(ann, reviewer="ben")) == {f"1:{item(n)}" for n in (6, 7)}
    assert set(asked(ann, split="index")) == {f"1:{item(n)}" for n in range(5)}
    low = [row for row in everything if round(float(table.confidence[row]), 5) <= 0.4]
    assert set(asked(ann, high=0.4)) == set(low)
    both = asked(ann, high=0.4, split="index")
    assert set(both) == {f"1:{item(n)}" for n in range(5)} & set(low)
    # What the filters count is what they ask for; a facet does not narrow itself.
    found = ann.facets(Facets(split="index"))
    assert found["shown"] == 5
    assert {one["value"]: one["count"] for one in found["splits"]} == {
        "index": 5, "train": OPEN - 5
    }  # fmt: skip
    assert {one["value"]: one["count"] for one in found["reasons"]}["label_issue"] == 2
    assert found["reviewers"] == [] and sum(bin["count"] for bin in found["confidence"]) == 5
    # A group has rows of the filter alone.
    grid = ann.show(facets=Facets(split="index", level=0))
    assert grid["left"] == 5 and len(ann.ask(facets=Facets(split="index"))) < 5


def test_rows_that_were_filtered_are_gone_once_others_are_loaded(desk: Callable[..., Desk]) -> None:
    ann = desk()
    before = weakref.ref(ann.review.table)
    ann.show(facets=Facets(level=0))
    assert ann.facets(Facets(level=0))["shown"] and ann.find(item(3))["found"]
    ann.review.reload()
    ann.show()
    assert before() is None  # at once: the collector does not look at rows


def test_progress_by_node_counts_what_is_below(desk: Callable[..., Desk]) -> None:
    ann = desk()
    top = ann.facets(Facets())["nodes"]
    assert top["path"] == [] and sum(one["items"] for one in top["below"]) == OPEN + SURE
    natural = next(one for one in top["below"] if one["node"] == "3/natural")
    row = asked(ann, node="3/natural")[0]
    ann.decide(ann.state, row, "keep")
    found = ann.facets(Facets(node="3/natural"))["nodes"]
    assert [one["node"] for one in found["path"]] == ["3/natural"]
    assert found["path"][0]["decided"] == natural["decided"] + 1
    assert found["path"][0]["open"] == natural["open"] - 1
    assert 0 < found["path"][0]["expected"] < 1
    assert [one["name"] for one in found["below"]] == ["mountain"]


def test_an_address_with_nonsense_filters_nothing() -> None:
    given = {"level": "x" * 50, "from": "nan", "to": "7", "node": "2/lake", "other": "y"}
    assert Facets.read(given) == Facets(node="2/lake")
    assert Facets.read({"level": "1", "from": "0.2", "to": "1"}) == Facets(
        level=1, low=0.2, high=1.0
    )


def test_any_item_or_node_is_found_by_name_or_id_and_can_be_decided(
    desk: Callable[..., Desk], ledger: Callable[[], list]
) -> None:
    ann = desk()

    def found(text: str) -> list[str]:
        return [hit["row_id"] for hit in ann.find(text)["found"]]

    sure = f"1:{item(OPEN)}"
    assert found("sure 0") == [sure] == found(item(OPEN))
    assert found("cathedral") == ["2:1/Q2977"]
    assert found("") == found("nothing of this name") == []
    assert ann.find("sure 0")["found"][0]["state"] == "accepted"
    # It was accepted: it is shown and decided only where it is asked for by name.
    assert ann.ask(sure) != [sure] and ann.ask(sure, reopen=True) == [sure]
    with pytest.raises(Stale):
        ann.decide(ann.state, sure, "move", "2/lake")
    ann.decide(ann.state, sure, "move", "2/lake", reopen=True)
    assert ledger() == [(sure, "move", "2/lake")]
    assert ann.find("sure 0")["found"][0]["state"] == "decided"
    shown = ann.show(sure, reopen=True)["row"]
    assert shown["state"] == "decided" and not shown["grid"]
    assert ann.show()["progress"]["decided"] == 1


def test_any_answer_is_listed_changed_and_withdrawn(
    desk: Callable[..., Desk], workspace: Path
) -> None:
    ann = desk()
    first = ann.ask(f"1:{item(2)}")
    ann.decide(ann.state, first, "move", "2/church", note="all of them")
    for n in (1, 5):
        ann.decide(ann.state, f"1:{item(n)}", "exclude")
    line = {"subject": item(9), "level": "1", "decision": "unsure", "reviewer": "ben", "target": ""}
    append(workspace / "decisions.csv", pd.DataFrame([line]))
    found = ann.answers()
    assert found["total"] == 4
    assert found["reviewers"] == [{"name": "ann", "count": 3}, {"name": "ben", "count": 1}]
    assert {one["reviewer"] for one in ann.answers(only="ben")["answers"]} == {"ben"}
    assert [one["names"] for one in ann.answers(text="place 5")["answers"]] == [["Place 5"]]
    assert ann.answers(start=3)["answers"] == found["answers"][3:]
    group = next(one for one in found["answers"] if one["size"] > 1)
    assert (group["size"], group["target"], group["note"]) == (len(first), "church", "all of them")
    # The first answer is taken back, past two later ones.
    open_before = ann.show()["progress"]["open"]
    of_group = (group["time"], group["decision"], group["target_id"])
    ann.withdraw(ann.state, *of_group)
    assert ann.show()["progress"]["open"] == open_before + len(first)
    assert next(o for o in ann.answers()["answers"] if o["size"] > 1)["fate"] == "taken back"
    with pytest.raises(Refused):
        ann.withdraw(ann.state, *of_group)
    # Another's answer is not mine to take back.
    other = ann.answers(only="ben")["answers"][0]
    assert not other["mine"]
    with pytest.raises(Refused):
        ann.withdraw(ann.state, other["time"], other["decision"], other["target_id"])
    # A change is a later answer; undo brings the first one back.
    ann.decide(ann.state, f"1:{item(5)}", "move", "2/lake", reopen=True)
    fates = {one["decision"]: one["fate"] for one in ann.answers(text="place 5")["answers"]}
    assert fates == {"exclude": "changed later", "move": ""}
    ann.undo(ann.state)
    fates = {one["decision"]: one["fate"] for one in ann.answers(text="place 5")["answers"]}
    assert fates == {"exclude": "", "move": "taken back"}
    assert desk().show()["progress"] == ann.show()["progress"]
    assert read_ledger(workspace / "decisions.csv").decisions.reviewer.nunique() == 2


def test_a_blind_reviewer_sees_only_their_own_answers_and_no_likelihoods(
    desk: Callable[..., Desk],
) -> None:
    ann = desk()
    ann.decide(ann.state, f"1:{item(1)}", "exclude")
    ben = desk("ben", blind=True)
    assert ben.answers(only="ann")["total"] == 0
    found = ben.facets(Facets())
    assert found["confidence"] == [] and found["reasons"] == []
    assert all(hit["place"] == "" for hit in ben.find("place")["found"])


def test_what_more_answers_gain_is_told(desk: Callable[..., Desk]) -> None:
    ann = desk()
    progress = ann.show()["progress"]
    assert progress["ahead"] == ()  # fewer than 50 answers are left
    n = progress["decisions"]
    for _ in range(3):
        ann.decide(ann.state, ann.ask(), "keep")
    assert ann.show()["progress"]["now"] > progress["now"] and n > 3
