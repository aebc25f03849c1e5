"""The order of the open rows: pages of look-alikes, most doubt first; nodes before items."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import VOCABULARY, decisions, item, items, proposals
from strata_labels.evidence import Reason
from strata_labels.review import pages, replay
from strata_labels.review.ranking import queue


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1)), max_size=60), st.integers(1, 10)
)
@settings(deadline=None, max_examples=60)
def test_pages_hold_every_row_once_and_fall_in_doubt(rows, most):
    parent = np.array([name for name, _ in rows], dtype=object)
    score = np.array([value for _, value in rows], dtype=float)
    found = list(pages(parent, score, most))
    assert sorted(np.concatenate(found).tolist() if found else []) == list(range(len(rows)))
    doubts = [(1 - score[page]).sum() for page in found]
    assert all(a >= b - 1e-9 for a, b in pairwise(doubts))
    for page in found:
        assert len(page) <= most and len(set(parent[page])) == 1
        assert (np.diff(score[page]) >= 0).all()


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
