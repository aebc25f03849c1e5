"""Items of one category: one label, or a dispute that says so."""

from __future__ import annotations

import numpy as np
import pandas as pd
from small_world import item, items, proposals
from strata_labels.build.same_category import DIFFERS, categories, one_label_a_category
from strata_labels.evidence import Evidence, Reason, has_reason

SHARED = [item(2), item(4), item(7)]  # a church, a castle, and one that nothing speaks for


def met(decided: list[str]) -> pd.DataFrame:
    things = items()
    category = things["item_id"].where(~things["item_id"].isin(SHARED), "Shared")
    people = things["item_id"].isin(decided).to_numpy(dtype=bool)
    table = one_label_a_category(things, proposals().fillna(""), category, np.asarray(people))
    return table.set_index("subject")


def test_items_that_differ_are_open_with_the_reason_and_have_one_label() -> None:
    table = met([])
    rows = table.loc[SHARED]
    assert set(rows.parent) == {"1/Q2977"}  # the more confident
    assert not rows.accepted.any()
    assert all(reasons[0] == Reason(DIFFERS) for reasons in rows.reasons)
    assert Evidence("category", "2/castle", ids=(item(4),)) in rows.evidence[item(2)]
    assert rows.alternatives[item(2)][0].node == "2/castle"
    assert "1/Q23413" not in table.index  # no item has this class any more


def test_what_people_decided_on_one_holds_for_the_others() -> None:
    table = met([item(4)])
    assert set(table.loc[SHARED].parent) == {"1/Q23413"}
    assert not has_reason(table.loc[SHARED].reasons, DIFFERS).any()


def test_people_who_decided_apart_are_a_dispute() -> None:
    table = met([item(2), item(4)])
    assert has_reason(table.loc[SHARED].reasons, DIFFERS).all()


def test_other_items_stay_as_they_were() -> None:
    before = proposals().fillna("").set_index("subject")
    table = met([])
    for item_id in (item(1), item(3), item(5), item(1, "index")):
        assert table.loc[item_id].to_dict() == before.loc[item_id].to_dict()


def test_a_redirected_title_is_its_target() -> None:
    titles = pd.DataFrame({"title": ["Landmark 1"], "redirect_target": ["Landmark 5"]})
    things = items()
    found = categories(things, titles)
    assert found[0] == "Landmark 5" and found[1] == "Landmark 2"
    assert categories(things, None).tolist() == things["title"].tolist()
