"""Ten simulated curators over HTTP while the server is killed and started again, for seconds.

`python -m benchmarks.curators load` does the same for five minutes on 200,000 rows.
"""

from __future__ import annotations

from benchmarks.curators import load, on_two_screens


def test_every_confirmed_answer_is_in_the_ledger_once_though_the_server_is_killed() -> None:
    found = load(rows=400, seconds=10, stops=2, rate=20)
    assert found["errors"] == [] and found["confirmed"] > 20
    assert len(found["start_s"]) == 3 and found["sent_again"] > 0  # it was away
    for fault in ("lost", "written_twice", "settled_by_two"):
        assert found[fault] == 0, found
    assert found["on_two_screens"] == []


def test_a_row_on_two_screens_would_be_noticed() -> None:
    one, two = ("1:a", "ann", 1, 0.0, 2.0), ("1:a", "ben", 1, 1.0, 3.0)
    assert on_two_screens([two, one]) == ["1:a: ann, ben"]
    for free in (
        ("1:a", "ben", 1, 2.5, 3.0),
        ("1:a", "ben", 2, 1.0, 3.0),
        ("1:b", "ben", 1, 1.0, 3.0),
    ):
        assert on_two_screens([one, free]) == []
