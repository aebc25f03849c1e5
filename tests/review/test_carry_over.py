"""Decisions over data whose ids have changed: nodes, levels, items, published labels."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from strata_labels.errors import InputError
from strata_labels.evidence import Alternative, Seen, write_seen
from strata_labels.review import not_applied, replay
from strata_labels.review.apply import Resolution
from strata_labels.sources import published_tree

PATHS = {
    "train/1": ("robin", "bird"),
    "train/2": ("robin", "bird"),
    "train/3": ("wren", "bird"),
    "train/4": ("perch", "fish"),
    "train/5": ("", ""),
    "test/1": ("perch", "fish"),
}


class World:
    """A data set of published labels and the decisions that people made on it.

    Args:
        paths: each item's labels, finest first.
        dataset: what item ids begin with.
    """

    def __init__(
        self, paths: dict[str, tuple[str, ...]] | None = None, dataset: str = "zoo-1"
    ) -> None:
        paths = PATHS if paths is None else paths
        self.dataset, levels = dataset, len(next(iter(paths.values())))
        items = pd.DataFrame({"item_id": [f"{dataset}/{own}" for own in paths]})
        labels = [
            (f"{dataset}/{own}", level, name, "published")
            for own, path in paths.items()
            for level, name in enumerate(path, start=1)
            if name
        ]
        columns = ["item_id", "level", "node", "origin"]
        table = pd.DataFrame(labels, columns=columns)
        self.proposals, self.nodes = published_tree(items, table, levels + 1)

    def decide(
        self, subject: str, decision: str, target: str = "", who: str = "ann"
    ) -> dict[str, Any]:
        """A line of the ledger, as page and sheet write it."""
        if subject[0].isdecimal():
            level = int(subject.partition("/")[0]) + 1
        else:
            subject, level = f"{self.dataset}/{subject}", 1
        row = self.proposals.set_index("row_id").loc[f"{level}:{subject}"]
        return line(subject, level, decision, target, who) | {
            "evidence_hash": row.evidence_hash,
            "seen": write_seen(Seen(row.parent or "", row.evidence)),
        }

    def replay(self, *lines: dict[str, Any]) -> Resolution:
        ledger = pd.DataFrame(lines).assign(file="decisions.csv")
        ledger["row"] = range(2, len(ledger) + 2)
        ledger["decided_at"] = [f"2026-01-01T00:00:{n:02}Z" for n in range(len(ledger))]
        return replay(ledger.astype(str).astype({"row": int}), self.proposals, self.nodes)


def line(subject: str, level: int, decision: str, target: str, who: str = "ann") -> dict[str, Any]:
    row = {"row_id": f"{level}:{subject}", "subject": subject, "level": level, "target": target}
    more = {"reviewer": who, "note": "", "evidence_hash": "", "seen": ""}
    return row | {"decision": decision} | more


def states(found: Resolution) -> dict[str, str]:
    return dict(zip(found.rows.row_id, found.rows.state, strict=True))


def changed(**paths: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The labels with those of some items replaced; None leaves one out."""
    return PATHS | {f"train/{own[1:]}": path for own, path in paths.items()}


def test_data_that_has_not_changed_loses_nothing() -> None:
    old = World()
    found = old.replay(old.decide("train/5", "move", "1/fish/perch"))
    assert (found.lost, found.renamed, len(found.effective)) == ({}, {}, 1)


def test_a_renamed_node_is_asked_for_once_and_brings_all_back() -> None:
    old = World()
    made = [
        old.decide("train/5", "move", "1/bird/robin"),
        old.decide("train/1", "keep", "1/bird/robin"),
        old.decide("1/bird/robin", "rename", "robins"),
        old.decide("1/bird/wren", "merge", "1/bird/robin"),
    ]
    new = World(changed(_1=("redbreast", "bird"), _2=("redbreast", "bird")))
    found = new.replay(*made)
    assert list(found.lost) == ["1/bird/robin"] and found.lost["1/bird/robin"].decisions == 4
    assert states(found)["2:1/bird/robin"] == "open"
    assert states(found)["1:zoo-1/train/5"] == "open"
    assert found.effective.empty
    why = not_applied(found).set_index("row_id").why
    assert why["1:zoo-1/train/5"].endswith("1/bird/robin, which is not in the tree any more")
    assert why["2:1/bird/robin"] == "gone"

    found = new.replay(*made, line("1/bird/robin", 2, "same", "redbreast", "ben"))
    assert set(zip(found.effective.subject, found.effective.decision, strict=True)) == {
        ("zoo-1/train/5", "move"),
        ("zoo-1/train/1", "keep"),
        ("1/bird/redbreast", "rename"),
        ("1/bird/wren", "merge"),
        ("1/bird/robin", "same"),
    }
    assert not_applied(found).empty and states(found)["2:1/bird/robin"] == "settled"
    assert found.tree.name["1/bird/redbreast"] == "robins"
    assert found.merged == {"1/bird/wren": "1/bird/redbreast"}


def test_a_node_that_was_removed_can_stay_lost() -> None:
    old = World()
    made = [old.decide("train/5", "move", "1/fish/perch")]
    new = World({own: path for own, path in PATHS.items() if path[0] != "perch"})
    assert states(new.replay(*made))["2:1/fish/perch"] == "open"
    found = new.replay(*made, line("1/fish/perch", 2, "exclude", ""))
    assert states(found)["2:1/fish/perch"] == "settled"
    assert states(found)["1:zoo-1/train/5"] == "open" and len(found.stale) == 1


def test_reviewers_who_differ_on_a_lost_node_are_a_dispute() -> None:
    old = World()
    made = [old.decide("train/5", "move", "1/bird/robin")]
    new = World(changed(_1=("redbreast", "bird"), _2=("robin red", "bird")))
    both = [
        line("1/bird/robin", 2, "same", "redbreast"),
        line("1/bird/robin", 2, "same", "robin red", "ben"),
    ]
    found = new.replay(*made, *both)
    assert len(found.disputed) == 2 and states(found)["2:1/bird/robin"] == "open"
    found = new.replay(*made, *both, line("1/bird/robin", 2, "same", "robin red"))
    assert found.renamed == {"1/bird/robin": "1/bird/robin_red"}


def test_a_level_between_two_others_needs_nobody() -> None:
    old = World()
    made = [
        old.decide("train/5", "stop", "2/bird"),
        old.decide("train/3", "move", "1/bird/robin"),
        old.decide("1/bird/wren", "rename", "wrens"),
    ]
    wider = {
        own: (path[0], path[0] and f"{path[0]}s of old", path[1]) for own, path in PATHS.items()
    }
    found = World(wider).replay(*made)
    assert found.renamed == {
        "2/bird": "3/bird",
        "1/bird/robin": "1/bird/robins_of_old/robin",
        "1/bird/wren": "1/bird/wrens_of_old/wren",
    }
    assert found.lost == {} and found.stale.empty and len(found.effective) == 3
    assert found.tree.name["1/bird/wrens_of_old/wren"] == "wrens"
    assert "3/bird" in set(found.effective.target)


def test_a_parent_that_is_renamed_is_asked_for_alone() -> None:
    old = World()
    made = [old.decide("train/1", "keep", "1/bird/robin"), old.decide("train/3", "keep")]
    renamed = {own: (path[0], path[1].replace("bird", "birds")) for own, path in PATHS.items()}
    new = World(renamed)
    found = new.replay(*made)
    assert list(found.lost) == ["2/bird"] and len(found.stale) == 2
    found = new.replay(*made, line("2/bird", 3, "same", "birds"))
    assert found.stale.empty and len(found.effective) == 3
    assert set(found.effective.target) == {"1/birds/robin", "1/birds/wren", "2/birds"}


def test_a_node_of_the_same_name_elsewhere_is_only_suggested() -> None:
    both = PATHS | {"test/2": ("robin", "toy")}
    old = World(both)
    made = [old.decide("train/5", "move", "1/bird/robin")]
    new = World({own: path for own, path in both.items() if path != ("robin", "bird")})
    found = new.replay(*made)
    assert found.renamed == {} and found.lost["1/bird/robin"].candidates == ("1/toy/robin",)
    row = found.rows.set_index("row_id").loc["2:1/bird/robin"]
    assert (row.suggestion, row.state) == ("1/toy/robin", "open")
    # If it was merged, the node that it is part of is suggested.
    left = {own: path for own, path in both.items() if path != ("robin", "bird")}
    new = World(left | {"test/3": ("bear", "toy")})
    found = new.replay(*made, new.decide("1/toy/robin", "merge", "1/toy/bear"))
    row = found.rows.set_index("row_id").loc["2:1/bird/robin"]
    assert (row.suggestion, row.alternatives) == ("1/toy/bear", (Alternative("1/toy/bear"),))


def test_items_of_a_later_version_are_found_by_their_own_id() -> None:
    old = World()
    made = [
        old.decide("train/5", "move", "1/fish/perch"),
        old.decide("train/1", "keep"),
        old.decide("test/1", "exclude"),
    ]
    later = {own: path for own, path in PATHS.items() if own != "test/1"}
    later["train/1"] = ("wren", "bird")  # another thing has its number now
    found = World(later, "zoo-2").replay(*made)
    assert found.effective.subject.tolist() == ["zoo-2/train/5"]
    assert found.gone.subject.tolist() == ["zoo-1/test/1", "zoo-1/train/1"]


def test_published_labels_that_changed_make_their_decisions_stale() -> None:
    old = World()
    made = [old.decide("train/1", "keep"), old.decide("train/2", "keep")]
    found = World(changed(_1=("wren", "bird"))).replay(*made)
    assert found.stale.subject.tolist() == ["zoo-1/train/1"]
    assert found.stale.changed.item() == "it was proposed under robin then and under wren now"
    assert found.effective.subject.tolist() == ["zoo-1/train/2"]


def test_a_lost_node_of_a_lost_node() -> None:
    old = World()
    made = [
        old.decide("train/5", "move", "1/bird/robin"),
        line("1/bird/robin", 2, "same", "1/bird/redbreast"),
    ]
    third = World(changed(_1=("rotkehlchen", "bird"), _2=("rotkehlchen", "bird")))
    found = third.replay(*made)
    assert set(found.lost) == {"1/bird/robin", "1/bird/redbreast"} and len(found.stale) == 1
    found = third.replay(*made, line("1/bird/redbreast", 2, "same", "rotkehlchen"))
    by_subject = dict(zip(found.effective.subject, found.effective.target, strict=True))
    assert by_subject["zoo-1/train/5"] == "1/bird/rotkehlchen" and found.stale.empty
    # A circle leads nowhere.
    circle = [line("1/bird/redbreast", 2, "same", "1/bird/robin")]
    assert len(third.replay(*made, *circle).stale) == 1


@pytest.mark.parametrize("word", ["keep", "move", "rename", "same"])
def test_what_can_be_said_of_a_node_that_is_there_or_lost(word: str) -> None:
    old = World()
    new = World(changed(_1=("redbreast", "bird"), _2=("redbreast", "bird")))
    made = [old.decide("train/5", "move", "1/bird/robin")]
    if word == "same":  # it is back: what took its place takes it no more
        found = old.replay(*made, line("1/bird/robin", 2, "same", "1/bird/wren"))
        assert found.gone.decision.tolist() == ["same"] and found.renamed == {}
        return
    with pytest.raises(InputError, match=r"unknown subject|nothing is the same"):
        new.replay(line("1/bird/robin", 2, word, "redbreast"))
