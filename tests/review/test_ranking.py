"""The order of the open rows: groups of look-alikes, most doubt first; nodes before items."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import VOCABULARY, decisions, item, items, proposals
from strata_labels.evidence import Alternative, Reason
from strata_labels.review import replay
from strata_labels.review.look_alikes import look_alikes, row_features
from strata_labels.review.ranking import queue


def alike(rows, most, vectors):
    """`look_alikes` of `(place, score)` rows that have these vectors."""
    place = np.array([name for name, _ in rows], dtype=object)
    score = np.array([value for _, value in rows], dtype=float)
    return list(look_alikes(place, score, lambda some: vectors[some], most))


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1)), max_size=60), st.integers(1, 10)
)
@settings(deadline=None, max_examples=60)
def test_groups_hold_every_row_once_and_one_place(rows, most):
    found = alike(rows, most, np.random.default_rng(0).normal(size=(len(rows), 4)))
    assert sorted(np.concatenate(found).tolist() if found else []) == list(range(len(rows)))
    for group in found:
        assert len(group) <= most and len({rows[n][0] for n in group}) == 1
        assert (np.diff([rows[n][1] for n in group]) >= 0).all()


def test_a_group_is_of_the_nearest_among_the_next_most_doubtful():
    rows = [("a", 0.3 + n / 100) for n in range(12)]
    near = np.eye(2)[[0, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1]]
    assert [group.tolist() for group in alike(rows, 4, near)] == [
        [0, 3, 6, 9], [1, 2, 4, 5], [7, 8, 10, 11]
    ]  # fmt: skip
    # Too far down the order, a row is not taken, however near.
    far = [("a", 0.3 + n / 100) for n in range(30)]
    assert 29 not in alike(far, 2, np.eye(2)[[0, *[1] * 28, 0]])[0]


def test_rows_are_near_in_vectors_and_in_evidence():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=float)
    others = [[Alternative(f"2/{node}", 0.4)] for node in ("lake", "lake", "castle", "lake")]
    place, sure = np.array(["2/church"] * 4), np.full(4, 0.5)
    rows = np.arange(4)
    by_both = row_features([vectors], rows, place, sure, others)(rows)
    like = by_both @ by_both.T
    assert like[0, 1] > like[0, 3] > like[0, 2]


def test_open_nodes_come_first_and_say_what_they_settle():
    rows = queue(replay(decisions(), proposals(), VOCABULARY), items())
    assert rows.row_id[0] == "2:1/Q2977" and rows.settles[0] == 2
    assert set(rows.row_id[1:]) == {f"1:{item(n)}" for n in (2, 3, 4, 7)} | {
        f"1:{item(1, 'index')}"
    }
    pair = rows[rows.subject.isin([item(2), item(3)])]
    assert pair.group.nunique() == 1 and pair.group.iloc[0] and pair.settles.tolist() == [2, 2]
    assert np.diff(pair.index) == 1  # a group stands together
    assert rows[~rows.subject.isin(pair.subject)].group.eq("").all()


def test_decided_rows_leave_the_queue_and_unsure_ones_go_to_its_end():
    ledger = decisions((item(2), 1, "move", "2/church"), (item(4), 1, "unsure", ""))
    rows = queue(replay(ledger, proposals(), VOCABULARY), items())
    assert f"1:{item(2)}" not in set(rows.row_id)
    assert rows.row_id.iloc[-1] == f"1:{item(4)}"
    assert Reason("unsure") in rows.reasons.iloc[-1]


def test_the_score_orders_rows_not_the_confidence():
    table = proposals()
    before = queue(replay(decisions(), table, VOCABULARY), items()).row_id.tolist()
    clean = table.row_id == f"1:{item(7)}"  # without a place: asked by its score all the same
    table.loc[clean, "score"] = 0.99
    after = queue(replay(decisions(), table, VOCABULARY), items()).row_id.tolist()
    assert before.index(f"1:{item(7)}") < before.index(f"1:{item(4)}")
    assert after.index(f"1:{item(7)}") > after.index(f"1:{item(4)}")


def test_the_order_of_the_tables_has_no_say():
    given = proposals()
    turned = given.iloc[::-1].reset_index(drop=True)
    one = queue(replay(decisions(), given, VOCABULARY), items())
    two = queue(replay(decisions(), turned, VOCABULARY), items().iloc[::-1])
    assert one.row_id.tolist() == two.row_id.tolist()


def test_nothing_open_is_an_empty_queue():
    given = proposals().assign(accepted=True)
    assert queue(replay(decisions(), given, VOCABULARY), items()).empty
