"""What a decision without a target means, and the check of a ledger before a build."""

from __future__ import annotations

import pytest
from small_world import TIME, VOCABULARY, decisions, evidence_hash, item, items, proposals
from strata_labels.errors import InputError
from strata_labels.evidence import Seen, write_seen
from strata_labels.review import check_before_build, replay, undisputed
from strata_labels.review.apply import Resolution
from strata_labels.tree import LabelTree

LATER = "2026-02-01T00:00:00Z"


def keep(place: str, word: str = "keep", level: int = 1, subject: str = item(5)) -> Resolution:
    """One decision without a target, of somebody who saw a place."""
    row = (subject, level, word, "", "ann", TIME, evidence_hash(subject))
    table = decisions(row).assign(seen=write_seen(Seen(place)))
    return replay(table, proposals(), VOCABULARY)


def test_a_blank_target_means_the_place_that_was_seen():
    # The row is proposed under a mountain now; its evidence is the same.
    assert keep("1/Q23413").effective.target.tolist() == ["1/Q23413"]
    assert keep("1/Q23413", "stop").effective.target.tolist() == ["2/castle"]
    assert keep("2/castle", "keep", 2, "1/Q2977").effective.target.tolist() == ["2/castle"]
    assert keep("").effective.target.tolist() == ["1/Q8502"]  # nothing was proposed then


def test_a_place_that_is_gone_makes_a_blank_target_stale():
    resolution = keep("1/Q999")
    assert len(resolution.stale) == 1 and not len(resolution.effective)
    assert resolution.stale.changed.item().startswith("it was proposed under 1/Q999 then")


def before_build(*rows: tuple, complete: bool = True) -> list[str]:
    """Problems of a ledger before a build."""
    tree = LabelTree.from_nodes(VOCABULARY)
    try:
        check_before_build(decisions(*rows), items().item_id, tree, complete)
    except InputError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_what_only_a_build_can_tell_is_no_problem_before_it():
    seen = (item(5), 1, "keep", "", "ann", TIME, "e2:0123456789abcdef")
    assert before_build(seen, (item(7), 1, "stop", "")) == []
    assert before_build((item(2), 1, "move", "pagoda"), complete=False) == []


@pytest.mark.parametrize(
    ("row", "part"),
    [
        ((item(2), 1, "move", "pagoda"), "unknown node: 'pagoda'"),
        ((item(99), 1, "keep", ""), "unknown subject"),
        ((item(2), 2, "keep", ""), "wrong level"),
        (("2/church", 3, "rename", "lake"), "has this name"),
    ],
)
def test_what_no_build_can_mend_is_refused_before_it(row, part):
    (problem,) = before_build(row)
    assert part in problem


def test_undisputed_leaves_out_what_was_taken_back_or_contradicted():
    rows = [("1/Q2977", 2, "move", "church"), ("1/Q16970", 2, "move", "lake")]
    back = ("1/Q2977", 2, "withdraw", "", "ann", LATER)
    differs = ("1/Q16970", 2, "exclude", "", "ben", LATER)
    assert [d.target for d in undisputed(decisions(*rows))] == ["lake", "church"]
    assert [d.target for d in undisputed(decisions(*rows, back))] == ["lake"]
    assert undisputed(decisions(*rows, back, differs)) == []
