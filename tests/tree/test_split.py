"""A train and test split whose sides share no item."""

from __future__ import annotations

import pandas as pd
import pytest
from strata_labels.tree import LabelTree, split_items


def tree(order: int = 1) -> LabelTree:
    """400 items under 20 nodes under 5, the rows in another order for another number."""
    rows = [(f"i{n}", 0, "item", f"1/c{n % 20}") for n in range(400)]
    rows += [(f"1/c{n}", 1, "node", f"2/t{n % 5}") for n in range(20)]
    rows += [(f"2/t{n}", 2, "top", None) for n in range(5)]
    table = pd.DataFrame(rows, columns=["node_id", "level", "name", "parent_id"])
    return LabelTree.checked(table.sample(frac=1, random_state=order))


def test_every_node_is_divided_alike():
    split = split_items(tree(), {"train": 0.5, "val": 0.2, "test": 0.3})
    assert split.value_counts().to_dict() == {"train": 200, "val": 80, "test": 120}
    by_node = split.groupby(split.index.map(tree().parent)).value_counts()
    assert by_node.unstack().to_numpy().min() >= 3


def test_the_split_does_not_depend_on_the_order_of_the_rows():
    shares = {"train": 0.5, "test": 0.5}
    assert split_items(tree(1), shares).equals(split_items(tree(2), shares))


@pytest.mark.parametrize("wrong", [{"train": 0.5}, {"train": 1.5, "test": -0.5}, {}])
def test_fractions_have_to_be_shares_of_one(wrong):
    with pytest.raises(ValueError, match="shares of 1"):
        split_items(tree(), wrong)
