"""Reviewers against each other, and the audit of what nobody reviewed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta
from small_world import LEVELS, TIME, VOCABULARY, decisions, item, proposals
from strata_labels.review import agreement_lines, compare_reviewers, replay
from strata_labels.review.agreement import audit_sample, double_sample, error_rate


def test_the_double_sample_is_its_rows_own_and_grows_with_the_share():
    rows = [f"1:{number}" for number in range(5_000)]
    some = double_sample(rows, 0.1)
    assert 420 < len(some) < 580
    assert set(some) <= set(double_sample(rows, 0.2))
    assert double_sample(rows[::-1], 0.1) == some[::-1]
    assert double_sample(rows[:100], 0.1) == [row for row in some if row in set(rows[:100])]
    with pytest.raises(ValueError, match="share"):
        double_sample(rows, 10)


def test_the_audit_draws_accepted_rows_only():
    rows = replay(decisions(), proposals(), VOCABULARY).rows
    drawn = audit_sample(rows, 3)
    assert len(drawn) == 3 and drawn == audit_sample(rows.iloc[::-1], 3)
    assert set(rows.set_index("row_id").state[drawn]) == {"accepted"}


@pytest.mark.parametrize(("errors", "checked"), [(0, 50), (3, 120), (40, 40)])
def test_the_bound_is_the_beta_distributions(errors, checked):
    found = error_rate(errors, checked, 0.9)
    low = beta.ppf(0.05, errors, checked - errors + 1) if errors else 0.0
    high = beta.ppf(0.95, errors + 1, checked - errors) if errors < checked else 1.0
    assert (found.low, found.high) == pytest.approx((low, high))
    assert error_rate(0, 0).high == 1.0


def plain_kappa(pairs: list[tuple[str, str]]) -> float:
    n = len(pairs)
    observed = sum(a == b for a, b in pairs) / n
    names = {name for pair in pairs for name in pair}
    chance = sum(
        sum(a == name for a, _ in pairs) / n * sum(b == name for _, b in pairs) / n
        for name in names
    )
    return (observed - chance) / (1 - chance)


def test_kappa_and_confusions_per_level():
    ann = [(2, "2/church"), (3, "2/church"), (4, "2/castle"), (7, "2/lake"), (5, "2/lake")]
    bob = [(2, "2/church"), (3, "2/castle"), (4, "2/castle"), (7, "2/mountain"), (1, "2/church")]
    rows = [(item(n), 1, "move", to) for n, to in ann]
    rows += [(item(n), 1, "move", to, "bob", TIME) for n, to in bob]
    found = compare_reviewers(decisions(*rows), proposals(), VOCABULARY)
    levels = found.levels.set_index("level")
    assert levels.rows.tolist() == [4, 4, 4]
    assert levels.agree[2] == 0.5 and levels.agree[3] == 1.0
    pairs = [("c", "c"), ("c", "k"), ("k", "k"), ("l", "m")]
    assert levels.kappa[2] == pytest.approx(plain_kappa(pairs))
    assert levels.kappa[3] == 1.0
    second = found.confusions[found.confusions.level == 2]
    assert second[["one", "other", "rows"]].values.tolist() == [
        ["castle / fort", "church", 1],
        ["lake", "mountain", 1],
    ]
    text = "\n".join(agreement_lines(found, LEVELS))
    assert "hierarchical_label | 4 | 50.0% |" in text and "castle / fort / church (1)" in text


def test_unsure_is_no_decision_and_one_answer_throughout_has_no_kappa():
    rows = [
        (item(2), 1, "move", "2/church"),
        (item(3), 1, "unsure", ""),
        (item(2), 1, "move", "2/church", "bob", TIME),
        (item(3), 1, "move", "2/church", "bob", TIME),
    ]
    found = compare_reviewers(decisions(*rows), proposals(), VOCABULARY)
    assert found.levels.rows.tolist() == [1, 1, 1]
    assert found.levels.kappa.isna().all()
    assert "not defined" in "\n".join(agreement_lines(found, LEVELS))


def test_audited_rows_that_were_decided_otherwise_are_errors():
    ledger = decisions(
        (item(1), 1, "move", "2/church"),  # as accepted
        (item(5), 1, "move", "2/lake"),  # accepted as a mountain
        (item(4), 1, "move", "2/lake"),  # not audited
    )
    parents = proposals().set_index("row_id").parent
    audited = {f"1:{item(n)}": parents[f"1:{item(n)}"] for n in (1, 5, 6)}
    found = compare_reviewers(ledger, proposals(), VOCABULARY, audited).audit
    assert (found.errors, found.checked) == (1, 2)
    empty = compare_reviewers(decisions(), proposals(), VOCABULARY, audited)
    assert empty.audit.checked == 0 and np.isnan(empty.levels.kappa).all()
    assert found and not empty
    assert agreement_lines(empty, LEVELS) == ["No item has been decided by two reviewers."]
    assert isinstance(empty.confusions, pd.DataFrame) and empty.confusions.empty
