"""Splits of labelled images whose sides share no class and no picture."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from strata_labels.errors import InputError, Problem, refuse

TRAIN, TEST, QUERY, GALLERY = "train", "test", "query", "gallery"
_FOLD = "fold"
_LEFT_OUT = ["class_id", "item_id", "image", "reason"]


@dataclass(frozen=True)
class SplitPlan:
    """What a split is to be.

    Attributes:
        shares: share of the classes by split, such as `{"train": 0.5, "test": 0.5}`; sum 1.
        query: share of each test class's images that are queries, the others being the gallery; 0
            keeps the test together.
        min_images: classes with fewer are left out.
        seed: of the random order of classes and images.

    Raises:
        ValueError: shares that are not above 0, or do not add up to 1.
    """

    shares: Mapping[str, float]
    query: float = 0.0
    min_images: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        _check_shares(self.shares)


def fold_shares(folds: int) -> dict[str, float]:
    """Equal shares of `fold1`, `fold2`, ..."""
    return {f"{_FOLD}{n}": 1 / folds for n in range(1, folds + 1)}


def as_train_and_test(split: pd.Series, fold: int = 1) -> pd.Series:
    """Splits with one fold as the test and all other folds as the train; other splits as given."""
    is_fold = split.str.fullmatch(rf"{_FOLD}\d+").eq(True)
    test = split == f"{_FOLD}{fold}"
    return split.mask(is_fold & ~test, TRAIN).mask(is_fold & test, TEST)


@dataclass(frozen=True)
class ImageSplit:
    """A split.

    Attributes:
        table: `item_id, image, class_id, split`, by these; the image is None where an item has
            none.
        tied: images that several classes have, or nearly have, `tie, class_id, item_id, image`.
            The classes of a tie are on one side.
        left_out: `class_id, item_id, image, reason`.
        without_query: test classes all of whose images are nearly the same, or are tied to others'
            images, so that none could be a query.
    """

    table: pd.DataFrame
    tied: pd.DataFrame
    left_out: pd.DataFrame
    without_query: list[str]


def split_images(images: pd.DataFrame, plan: SplitPlan) -> ImageSplit:
    """Splits images by their classes, and the test's by image into queries and gallery.

    Classes with the same or nearly the same image are tied: they go to one side. Where so many are
    tied that they would fill a side, the images that tie most classes are left out.

    Args:
        images: `item_id, image, class_id, stratum, group`. Images of one group are the same or
            nearly so. The classes of each stratum are divided alike.
        plan: what is asked.

    Raises:
        InputError: no class has enough images, or there are too few classes for the splits.
    """
    rows = images.sort_values(["class_id", "item_id", "image"], ignore_index=True)
    rows, classes, left_out = _usable(rows, plan)
    if len(plan.shares) > 1:
        side = divide(classes, plan.shares, plan.seed)
        _check_sides(side, plan)
    else:
        side = pd.Series(next(iter(plan.shares)), classes.class_id)
    rows["split"] = rows.class_id.map(side).astype(object)
    without_query: list[str] = []
    if plan.query:
        asked = rows[rows.split == TEST]
        rows.loc[asked.index, "split"] = _queries(asked, plan.query, plan.seed)
        queried = set(rows.class_id[rows.split == QUERY])
        without_query = sorted(set(asked.class_id) - queried)
        if not queried:
            what = "no class has two images that are not nearly the same"
            raise InputError(Problem("--query", what, "Make a split of classes: --test."))
    if count := leaks(rows):
        raise ValueError(f"{count} images are on two sides of the split")
    across = rows.groupby("group").class_id.transform("nunique") > 1
    tie = rows.class_id.map(classes.set_index("class_id").tie)
    tied = rows.assign(tie=tie)[across]
    number = {tie: n for n, tie in enumerate(dict.fromkeys(tied.tie), start=1)}
    tied = tied.assign(tie=tied.tie.map(number)).sort_values(["tie", "group"], kind="stable")
    return ImageSplit(
        rows[["item_id", "image", "class_id", "split"]],
        tied[["tie", "class_id", "item_id", "image"]].reset_index(drop=True),
        left_out,
        without_query,
    )


def leaks(rows: pd.DataFrame) -> int:
    """Number of pictures (groups of images that are nearly the same) on several sides."""
    return int((rows.groupby("group").split.nunique() > 1).sum())


def divide(classes: pd.DataFrame, shares: Mapping[str, float], seed: int = 0) -> pd.Series:
    """Divides classes among splits, each stratum as near to the shares as possible.

    Classes that are tied go to one split, those of large ties first. In random order within its
    stratum, each other class goes to the split that is furthest behind; what rounding leaves is
    carried over to the next stratum, so that it does not add up.

    Args:
        classes: `class_id` (unique), `stratum`, `tie` (one value for the classes of a tie).
        shares: share of the classes by split.
        seed: of the order.

    Returns:
        The split of every class, by id; the same for the same classes in any order.

    Raises:
        ValueError: shares that are not above 0, or do not add up to 1.
    """
    _check_shares(shares)
    names, wanted = list(shares), np.array(list(shares.values()))
    ordered = classes.sort_values("class_id", ignore_index=True)
    shuffled = ordered.iloc[np.random.default_rng(seed).permutation(len(ordered))]
    stratum, strata = pd.factorize(shuffled.stratum, sort=True)
    members = shuffled.reset_index(drop=True).groupby("tie", sort=False).indices
    given = np.zeros((len(strata), len(names)))
    size = np.bincount(stratum, minlength=len(strata))
    at = np.full(len(shuffled), -1)
    number = 0
    for group in sorted((own for own in members.values() if len(own) > 1), key=len, reverse=True):
        number += len(group)
        within = (size[:, None] * wanted - given)[stratum[group]].sum(axis=0)
        overall = number * wanted - given.sum(axis=0)
        at[group] = int(np.argmax(within + overall))
        np.add.at(given, (stratum[group], at[group]), 1)
    due = np.zeros(len(names))
    for of_stratum in range(len(strata)):
        own = np.flatnonzero((stratum == of_stratum) & (at < 0))
        if not len(own):
            continue
        room = np.maximum(size[of_stratum] * wanted - given[of_stratum], 0)
        for one in own:
            due += room / room.sum()
            at[one] = int(np.argmax(due))
            due[at[one]] -= 1
    split = pd.Series([names[n] for n in at], shuffled.class_id.to_numpy(), dtype=object)
    return split.sort_index().rename("split")


def _usable(rows: pd.DataFrame, plan: SplitPlan) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The images that can be split, their classes with ties, and the images left out."""
    left_out: list[pd.DataFrame] = []

    def without(kept: pd.DataFrame, mask: pd.Series, reason: str) -> pd.DataFrame:
        left_out.append(kept[mask].assign(reason=reason)[_LEFT_OUT])
        return kept[~mask]

    few = f"the class has fewer than {plan.min_images} images"
    while True:
        counts = rows.groupby("class_id").image.transform("count")
        rows = without(rows, counts < plan.min_images, few)
        classes = rows[["class_id", "stratum"]].drop_duplicates("class_id")
        if rows.empty:
            fix = "Lower it, or name another level as the classes: --class-level."
            what = "no class has so many images:"
            raise InputError(Problem("--min-images", what, fix, value=plan.min_images))
        if len(plan.shares) == 1:
            classes = classes.assign(tie=range(len(classes)))
            break
        _check_number(len(classes), plan)
        classes = classes.assign(tie=_ties(rows, classes.class_id))
        most = math.ceil(min(plan.shares.values()) * len(classes))
        sizes = classes.groupby("tie").class_id.size()
        large = rows.class_id.isin(classes.class_id[classes.tie.map(sizes) > most])
        if not large.any():
            break
        span = rows.groupby("group").class_id.transform("nunique")
        tie = rows.class_id.map(classes.set_index("class_id").tie)
        widest = span.groupby(tie).transform("max")
        rows = without(
            rows, large & (span > 1) & (span == widest), "the image ties too many classes"
        )
    columns = pd.DataFrame(columns=_LEFT_OUT, dtype=object)
    found = [part for part in left_out if len(part)]
    gone = pd.concat(found, ignore_index=True) if found else columns
    gone = gone.sort_values(["class_id", "item_id", "image"], ignore_index=True)
    return rows.reset_index(drop=True), classes.reset_index(drop=True), gone


def _ties(rows: pd.DataFrame, class_ids: pd.Series) -> NDArray[np.int64]:
    """A number for each class; that of the classes with which it shares pictures."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    at = pd.Index(class_ids).get_indexer(pd.Index(rows.class_id))
    group, groups = pd.factorize(rows.group)
    size = len(class_ids) + len(groups)
    edges = coo_array((np.ones(len(rows)), (at, len(class_ids) + group)), shape=(size, size))
    found: NDArray[np.int64] = connected_components(edges, directed=False)[1][: len(class_ids)]
    return found


def _queries(rows: pd.DataFrame, share: float, seed: int) -> list[str]:
    """`query` or `gallery` for each image; images of a group go together.

    A class has at least one query, if it has two pictures, and at least one image of the gallery.
    """
    of_class = rows.class_id.to_numpy()
    room = {
        name: min(max(1, math.floor(share * count + 0.5)), count - 1)
        for name, count in Counter(of_class).items()
    }
    groups = list(rows.reset_index(drop=True).groupby("group", sort=False).indices.values())
    side = np.full(len(rows), GALLERY, dtype=object)
    for n in np.random.default_rng(seed).permutation(len(groups)):
        wanted = Counter(of_class[groups[n]])
        if all(count <= room[name] for name, count in wanted.items()):
            side[groups[n]] = QUERY
            for name, count in wanted.items():
                room[name] -= count
    return list(side)


def _check_shares(shares: Mapping[str, float]) -> None:
    if min(shares.values(), default=0) <= 0 or not math.isclose(sum(shares.values()), 1):
        raise ValueError(f"{dict(shares)} are not shares of 1")


def _check_number(classes: int, plan: SplitPlan) -> None:
    if classes < len(plan.shares):
        option = "--test" if TEST in plan.shares else "--folds"
        what = f"{classes} class{'es' * (classes != 1)} for {len(plan.shares)} splits"
        fix = "Lower --min-images, or name a finer level as the classes: --class-level."
        raise InputError(Problem(option, what, fix))


def _check_sides(side: pd.Series, plan: SplitPlan) -> None:
    problems = [
        Problem(
            "--test" if TEST in plan.shares else "--folds",
            f"its share of the {len(side)} classes is none for the split",
            "Ask for another share or for fewer splits.",
            value=name,
        )
        for name in plan.shares
        if not (side == name).any()
    ]
    refuse(problems)
