"""Samplers: what a batch and an epoch hold, and how they resume."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strata_labels.errors import InputError
from strata_labels.training.samplers import HierarchicalSampler, MPerClassSampler

SIZES = st.lists(st.integers(2, 11), min_size=2, max_size=12)


def classes_of(sizes: list[int]) -> np.ndarray:
    """Class numbers with gaps, images of a class apart."""
    classes = np.repeat(np.arange(len(sizes)) * 3, sizes)
    return np.random.default_rng(0).permutation(classes)


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(2, 4), st.integers(2, 6), st.integers(0, 3))
def test_every_image_is_seen_in_groups_of_m(
    sizes: list[int], m: int, groups: int, seed: int
) -> None:
    classes = classes_of(sizes)
    sampler = MPerClassSampler(classes, groups * m, m, seed=seed)
    batches = list(sampler)
    for batch in batches:
        assert len(batch) <= groups * m
        counts = Counter(classes[batch].tolist())
        assert set(counts.values()) == {m}
        assert len(counts) > 1  # a class alone has no negatives
    assert set(np.concatenate(batches).tolist()) == set(range(len(classes)))
    assert sampler.epoch == 1


@settings(max_examples=40, deadline=None)
@given(SIZES, st.integers(2, 4), st.integers(0, 3), st.data())
def test_resumes_in_mid_epoch(sizes: list[int], m: int, seed: int, data: st.DataObject) -> None:
    classes = classes_of(sizes)
    supers = classes // 9

    def make(seed: int) -> MPerClassSampler:
        if seed % 2:
            return HierarchicalSampler(classes, supers, 4 * m, m, seed=seed)
        return MPerClassSampler(classes, 4 * m, m, seed=seed)

    def endless(sampler: MPerClassSampler):
        while True:
            yield from sampler

    whole = list(itertools.islice(endless(make(seed)), 12))
    stop = data.draw(st.integers(0, 11))
    first = make(seed)
    for _ in zip(range(stop), endless(first), strict=False):
        pass
    state = first.state_dict()
    second = make(seed)
    second.load_state_dict(state)
    rest = list(itertools.islice(endless(second), 4))
    at = sum(len(make(seed).plan(epoch)) for epoch in range(state["epoch"])) + state["done"]
    for one, other in zip(rest, whole[at:], strict=False):
        assert (one == other).all()


def test_small_classes_are_filled_without_repeats_while_possible() -> None:
    classes = np.repeat([0, 1, 2], [2, 5, 8])
    sampler = MPerClassSampler(classes, 12, 4)
    for batch in sampler:
        for number, size in ((0, 2), (1, 5), (2, 8)):
            own = batch[classes[batch] == number]
            assert len(set(own.tolist())) == min(size, 4) or len(own) == 0


def test_at_most_some_images_of_a_class() -> None:
    sampler = MPerClassSampler(np.repeat([0, 1, 2], 50), 12, 4, max_per_class=8)
    assert len(sampler) == 2
    seen = [set(np.concatenate(sampler.plan(epoch)).tolist()) for epoch in range(20)]
    assert all(len(one) == 24 for one in seen)
    assert len(set.union(*seen)) > 130
    # The last group of each class, of two images, is filled up without further ones.
    sampler = MPerClassSampler(np.repeat([0, 1, 2], 50), 12, 4, max_per_class=6)
    assert len(sampler) == 2
    seen = [set(np.concatenate(sampler.plan(epoch)).tolist()) for epoch in range(20)]
    assert all(len(one) == 18 for one in seen)


def test_a_class_whose_images_outnumber_all_others_meets_each_of_them() -> None:
    classes = np.repeat([0, 1, 2, 3], [200, 4, 3, 2])
    plan = MPerClassSampler(classes, 16, 4).plan(0)
    assert len(plan) == 50 and {len(batch) for batch in plan[1:]} == {8}
    beside = Counter(classes[np.concatenate(plan[1:])].tolist())
    assert set(beside) == {0, 1, 2, 3} and min(beside.values()) >= 4 * 5


def test_a_super_class_of_one_class_has_negatives_from_another() -> None:
    classes = np.repeat(np.arange(4), 6)
    supers = np.minimum(classes, 1)
    plan = HierarchicalSampler(classes, supers, 16, 4, super_classes=1).plan(0)
    of_one = [batch for batch in plan if 0 in supers[batch]]
    assert len(of_one) == 5
    assert all(sorted(Counter(classes[batch].tolist()).values()) == [4, 4] for batch in of_one)


def test_negatives_of_a_class_alone_are_among_the_images_of_the_epoch() -> None:
    classes = np.repeat(np.arange(3), 50)
    plan = MPerClassSampler(classes, 8, 4, max_per_class=4).plan(0)
    assert [len(batch) for batch in plan] == [8, 8]  # the second has one class of its own
    assert len(np.unique(np.concatenate(plan))) == 3 * 4

    supers = np.minimum(classes, 1)
    sampler = HierarchicalSampler(classes, supers, 16, 4, 1, 20, max_per_class=6)
    seen, counts = np.unique(np.concatenate(sampler.plan(0)), return_counts=True)
    assert Counter(classes[seen].tolist()) == {0: 6, 1: 6, 2: 6}
    for number in range(3):  # its images take turns there too
        assert np.ptp(counts[classes[seen] == number]) <= 1


def test_classes_are_shuffled_from_epoch_to_epoch_and_by_seed() -> None:
    classes = np.repeat(np.arange(20), 4)
    sampler = MPerClassSampler(classes, 16, 4, seed=0)
    plans = [sampler.plan(0), sampler.plan(1), MPerClassSampler(classes, 16, 4, seed=1).plan(0)]
    orders = [tuple(np.concatenate(plan).tolist()) for plan in plans]
    assert len(set(orders)) == 3


def test_a_batch_has_two_super_classes_evenly() -> None:
    classes = np.repeat(np.arange(40), 6)
    supers = classes // 10
    sampler = HierarchicalSampler(classes, supers, 64, 4, super_classes=2, batches_per_group=5)
    batches = list(sampler)
    assert len(batches) == 6 * 5  # C(4, 2) pairs
    pairs = Counter()
    for batch in batches:
        counts = Counter(supers[batch].tolist())
        assert sorted(counts.values()) == [32, 32]
        assert set(Counter(classes[batch].tolist()).values()) == {4}
        assert len(set(batch.tolist())) == 64
        pairs[tuple(sorted(counts))] += 1
    assert set(pairs.values()) == {5} and len(pairs) == 6
    assert len(set(np.concatenate(batches).tolist())) == len(classes)


def test_a_small_super_class_leaves_room_for_the_other() -> None:
    classes = np.repeat(np.arange(12), 4)
    supers = (classes >= 2).astype(int)
    (batch, *_) = HierarchicalSampler(classes, supers, 32, 4)
    assert Counter(supers[batch].tolist()) == {0: 8, 1: 24}


@pytest.mark.parametrize("number", [1, 3])
def test_few_super_classes(number: int) -> None:
    classes = np.repeat(np.arange(6), 4)
    sampler = HierarchicalSampler(classes, classes % number, 16, 4, batches_per_group=0)
    assert len(sampler) == 2
    assert all(len(batch) == 16 for batch in sampler)


def test_published_order_takes_the_first_classes_and_leaves_small_ones_out() -> None:
    sizes = [3, 4, 9, 8, 5]
    classes = np.repeat(np.arange(5), sizes)
    sampler = MPerClassSampler(classes, 8, 4, seed=3, published=True)
    for epoch in range(5):
        plan = sampler.plan(epoch)
        assert [len(batch) for batch in plan] == [8] * len(plan)
        seen = np.concatenate(plan)
        assert len(set(seen)) == len(seen)
        # Classes 1 to 4 have six groups of four; a batch needs two classes with one left.
        assert len(plan) in (2, 3) and 0 not in classes[seen]
        assert all(len(set(classes[batch])) == 2 for batch in plan)


def test_published_hierarchy_draws_each_batch_anew() -> None:
    classes = np.repeat(np.arange(12), 3)
    sampler = HierarchicalSampler(classes, classes // 4, 16, 4, 2, 5, seed=1, published=True)
    plan = sampler.plan(0)
    assert len(plan) == 3 * 5
    for batch in plan:
        assert len(batch) == 16
        supers = [number // 4 for number in set(classes[batch])]
        assert sorted(supers.count(one) for one in set(supers)) == [2, 2]


def test_a_class_of_most_images_takes_no_longer() -> None:
    """Skipping the rest of a class for each batch took time in its square: 40 s here."""
    classes = np.repeat([0, 1, 2], [100_000, 2_000, 1_000])
    batches = MPerClassSampler(classes, 256, 4).plan(0)
    assert len(np.unique(np.concatenate(batches))) == len(classes)


def test_more_super_classes_than_classes_in_a_batch() -> None:
    """There is no published batch of them; ours takes what there is."""
    classes = np.repeat(np.arange(20), 4)
    supers = classes // 2
    plan = HierarchicalSampler(classes, supers, 16, 4, 8, 0).plan(0)
    assert {len(np.unique(classes[batch])) for batch in plan} == {4}
    with pytest.raises(InputError, match=r"no more than 4 classes.*order=every-image") as error:
        HierarchicalSampler(classes, supers, 16, 4, 8, 0, 0, 0, True)
    assert error.value.problems[0].value == 8
    few = HierarchicalSampler(classes, classes // 10, 16, 4, 100, 1, 0, 0, True)
    assert len(few.plan(0)) == 1


def test_many_super_classes() -> None:
    """There are 50 million pairs of them: no list of all is made."""
    classes = np.repeat(np.arange(20_000), 2)
    supers = classes // 2
    plan = HierarchicalSampler(classes, supers, 8, 2, 2, 0).plan(0)
    assert len(plan) == 5_000
    assert {len(np.unique(supers[batch])) for batch in plan} == {2}
    for of_every_set in ((5,), (0, 0, 0, True)):
        with pytest.raises(InputError, match="49,995,000 sets of super-classes"):
            HierarchicalSampler(classes, supers, 8, 2, 2, *of_every_set)
