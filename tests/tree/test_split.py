"""Splits share no class and no picture, are stratified, and depend on nothing but the images."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strata_labels.errors import InputError
from strata_labels.tree import SplitPlan, as_train_and_test, divide, fold_shares, split_images
from strata_labels.tree.split import leaks

HALVES = {"train": 0.5, "test": 0.5}


def classes(num: int, strata: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "class_id": [f"c{n}" for n in range(num)],
            "stratum": [f"s{n % strata}" for n in range(num)],
            "tie": range(num),
        }
    )


@st.composite
def images(draw: st.DrawFn) -> pd.DataFrame:
    """Images of up to 30 classes in a few strata; some are the same as images of other classes."""
    rows = []
    for number in range(draw(st.integers(2, 30))):
        stratum = f"s{draw(st.integers(0, 3))}"
        for item in range(draw(st.integers(1, 3))):
            for image in range(draw(st.integers(0, 3))):
                group = draw(st.integers(0, 4)) if draw(st.integers(0, 9)) == 0 else 5 + len(rows)
                name = f"c{number}/{item}/{image}.jpg"
                rows.append((f"c{number}/{item}", name, f"c{number}", stratum, group))
    return pd.DataFrame(rows, columns=["item_id", "image", "class_id", "stratum", "group"])


PLANS = st.builds(
    SplitPlan,
    st.sampled_from(
        [HALVES, {"train": 0.7, "test": 0.3}, {"test": 1.0}, fold_shares(2), fold_shares(5)]
    ),
    st.sampled_from([0.0, 0.2, 0.5]),
    st.integers(0, 3),
    st.integers(0, 3),
)


@settings(deadline=None)
@given(images(), PLANS, st.integers(0, 9))
def test_a_split_is_disjoint_free_of_leaks_and_the_same_in_any_order(table, plan, order):
    try:
        made = split_images(table, plan)
    except InputError as refused:
        with pytest.raises(InputError) as again:
            split_images(table.sample(frac=1, random_state=order), plan)
        assert str(again.value) == str(refused)
        return
    found = made.table.merge(table, on=["item_id", "image", "class_id"], validate="one_to_one")
    assert len(found) == len(made.table) and leaks(found) == 0
    kept = set(zip(made.table.item_id, made.table.image, strict=True))
    gone = set(zip(made.left_out.item_id, made.left_out.image, strict=True))
    assert not kept & gone and len(kept) + len(gone) == len(table)
    sides = found.replace({"split": {"query": "test", "gallery": "test"}})
    assert (sides.groupby("class_id").split.nunique() == 1).all()
    assert set(sides.split) == set(plan.shares)
    assert (found.class_id.value_counts() >= plan.min_images).all()
    if plan.query and "test" in plan.shares:
        queried = found.groupby("class_id").split.agg(set)
        assert all("gallery" in side or side == {"train"} for side in queried)
        alone = set(queried.index[queried.map(lambda side: side == {"gallery"})])
        assert alone == set(made.without_query)
    again = split_images(table.sample(frac=1, random_state=order), plan)
    for one, other in ((made.table, again.table), (made.tied, again.tied)):
        pd.testing.assert_frame_equal(one, other)
    pd.testing.assert_frame_equal(made.left_out, again.left_out)


@settings(deadline=None)
@given(
    st.integers(1, 120),
    st.integers(1, 12),
    st.sampled_from([HALVES, {"train": 0.7, "val": 0.1, "test": 0.2}, fold_shares(5)]),
    st.integers(0, 5),
)
def test_every_stratum_is_divided_to_rounding(num, strata, shares, seed):
    table = classes(num, strata)
    side = divide(table, shares, seed)
    of = table.set_index("class_id").stratum
    for part, share in shares.items():
        own = side.index[side == part]
        assert abs(len(own) - share * num) < 1.01
        count = of.loc[own].value_counts().reindex(of.unique(), fill_value=0)
        assert ((count - share * of.value_counts()).abs() < 2.01).all()


def test_ties_are_made_up_for_within_their_stratum():
    table = classes(40, 2)
    table.loc[table.class_id.isin([f"c{n}" for n in range(0, 16, 2)]), "tie"] = 99
    side = divide(table, HALVES)
    tied = side[[f"c{n}" for n in range(0, 16, 2)]]
    assert tied.nunique() == 1
    of = table.set_index("class_id").stratum
    assert side.groupby(of).value_counts().unstack().to_numpy().tolist() == [[10, 10], [10, 10]]


def test_seeds_differ():
    table = classes(40, 2)
    assert not divide(table, HALVES, 0).equals(divide(table, HALVES, 1))


def world(shared_by: int, num: int = 6) -> pd.DataFrame:
    """Classes of two images each; the first few have a third one in common."""
    rows = [(f"c{n}", f"{n}-{m}.jpg", f"c{n}", "", 2 * n + m) for n in range(num) for m in range(2)]
    rows += [(f"c{n}", f"{n}-all.jpg", f"c{n}", "", 999) for n in range(shared_by)]
    return pd.DataFrame(rows, columns=["item_id", "image", "class_id", "stratum", "group"])


def test_classes_with_an_image_in_common_are_on_one_side_and_named():
    made = split_images(world(3), SplitPlan(HALVES))
    sides = made.table.set_index("class_id").split
    assert sides[["c0", "c1", "c2"]].nunique() == 1 and made.left_out.empty
    assert made.tied.class_id.tolist() == ["c0", "c1", "c2"] and set(made.tied.tie) == {1}
    assert made.table.groupby("split").class_id.nunique().to_dict() == {"train": 3, "test": 3}


def test_an_image_that_all_have_is_left_out():
    made = split_images(world(6), SplitPlan(HALVES))
    assert made.left_out.image.tolist() == [f"{n}-all.jpg" for n in range(6)]
    assert set(made.left_out.reason) == {"the image ties too many classes"}
    assert made.table.groupby("split").class_id.nunique().to_dict() == {"train": 3, "test": 3}


def test_images_of_a_class_that_are_nearly_the_same_are_not_apart():
    table = world(0)
    table.loc[table.class_id == "c0", "group"] = 500
    made = split_images(table, SplitPlan({"test": 1.0}, query=0.5))
    assert made.without_query == ["c0"]
    assert set(made.table.split[made.table.class_id == "c0"]) == {"gallery"}
    rest = made.table[made.table.class_id != "c0"]
    assert rest.groupby("class_id").split.agg(set).map(len).tolist() == [2] * 5


@pytest.mark.parametrize(
    ("plan", "option"),
    [
        (SplitPlan(HALVES, min_images=5), "--min-images"),
        (SplitPlan(fold_shares(7)), "--folds"),
        (SplitPlan({"train": 0.99, "test": 0.01}), "--test"),
    ],
)
def test_what_cannot_be_split_is_refused(plan, option):
    with pytest.raises(InputError) as refused:
        split_images(world(0), plan)
    assert {problem.where for problem in refused.value.problems} == {option}


@pytest.mark.parametrize("wrong", [{"train": 0.5}, {"train": 1.5, "test": -0.5}, {}])
def test_shares_have_to_be_shares_of_one(wrong):
    with pytest.raises(ValueError, match="shares of 1"):
        divide(classes(4, 1), wrong)


def test_a_fold_is_the_test_of_the_others():
    split = pd.Series(["fold1", "fold2", "fold12", "gallery"])
    assert as_train_and_test(split, 2).tolist() == ["train", "test", "train", "gallery"]
