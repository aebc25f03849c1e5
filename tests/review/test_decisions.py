"""The one rule of withdrawal and supersession, and that order does not matter to it."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from small_world import decisions, item
from strata_labels.review.decisions import Decision, active_decisions, overridden, read_decisions


def day(number: int) -> str:
    return f"2026-01-{number:02}T00:00:00Z"


def active(*rows: tuple) -> list[tuple[str, str]]:
    """Word and target of the active ones among rows of decision, target, day and reviewer."""
    table = decisions(
        *(
            (item(2), 1, word, target, *(who or ("ann",)), day(when))
            for word, target, when, *who in rows
        )
    )
    return [(d.decision, d.target) for d in active_decisions(read_decisions(table)[0])[0]]


def test_the_latest_is_active():
    assert active(("move", "a", 2), ("move", "b", 1)) == [("move", "a")]


def test_a_withdrawal_brings_back_what_was_decided_before():
    rows = [("move", "a", 1), ("move", "b", 2)]
    assert active(*rows, ("withdraw", day(2), 3)) == [("move", "a")]
    assert active(*rows, ("withdraw", "", 3)) == []
    assert active(*rows, ("withdraw", "", 2)) == [("move", "b")]  # only what is before it
    assert active(*rows, ("withdraw", "", 3), ("move", "c", 4)) == [("move", "c")]


def test_other_reviewers_and_aspects_are_not_touched():
    assert active(("move", "a", 1), ("withdraw", "", 2, "ben"), ("move", "b", 1, "ben")) == [
        ("move", "a")
    ]
    assert sorted(active(("move", "a", 1), ("rename", "x", 2), ("split", "y|z", 3))) == [
        ("move", "a"),
        ("rename", "x"),
        ("split", "y|z"),
    ]


def test_two_of_one_moment_are_both_active_and_a_doubled_line_counts_once():
    assert active(("move", "a", 1), ("move", "b", 1), ("move", "b", 1)) == [
        ("move", "a"),
        ("move", "b"),
    ]


def test_a_withdrawal_of_nothing_is_a_problem():
    table = decisions((item(2), 1, "withdraw", day(3), "ann", day(4)))
    (problem,) = active_decisions(read_decisions(table)[0])[1]
    assert "nothing of ann's to take back" in problem.what


def test_what_overrides_is_the_next_later_one():
    table = decisions(
        *((item(2), 1, "move", name, "ann", day(n)) for n, name in enumerate("abc", 1))
    )
    read = read_decisions(table)[0]
    assert [by and by.target for by in overridden(read)] == ["b", "c", None]


MADE = st.tuples(
    st.sampled_from(["move", "rename", "withdraw"]), st.integers(1, 4), st.integers(1, 4)
)


@given(st.lists(MADE, max_size=7), st.randoms())
def test_the_rule_agrees_with_its_definition(rows, random):
    read = [
        Decision(
            "x", 1, word, day(target) if word == "withdraw" and target < 4 else
            "" if word == "withdraw" else str(target), "ann", "", day(when), "", "", "",
            datetime(2026, 1, when, tzinfo=UTC), "f", n,
        )
        for n, (word, when, target) in enumerate(rows)
    ]  # fmt: skip
    back = {
        d.row for d in read for w in read
        if w.decision == "withdraw" and d.decision != "withdraw" and w.takes_back(d)
    }  # fmt: skip
    left = [d for d in read if d.decision != "withdraw" and d.row not in back]
    latest = {d.row for d in left if d.when == max(o.when for o in left if o.aspect == d.aspect)}
    random.shuffle(read)
    assert {d.row for d, by in zip(read, overridden(read), strict=True) if by is None} == latest
