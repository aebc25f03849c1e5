"""Samplers that make batches of whole classes.

An epoch follows from seed and epoch number: it is the same in every process, and two numbers are
enough to continue in its middle.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from strata_labels.errors import InputError, Problem

Indices = NDArray[np.int64]

#: Sets of super-classes that are listed, at most.
MOST_SETS = 1 << 20


class EpochSampler:
    """Batches of positions, planned epoch by epoch; subclasses say how.

    Attributes:
        epoch, done: the current epoch, and its batches already taken.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.epoch = self.done = 0
        self._planned: tuple[int, list[Indices]] = (-1, [])

    def __len__(self) -> int:
        """Batches in the current epoch."""
        return len(self.plan(self.epoch))

    def __iter__(self) -> Iterator[Indices]:
        """The rest of the current epoch; then the next epoch is the current one."""
        for batch in self.plan(self.epoch)[self.done :]:
            self.advance()
            yield batch

    def advance(self) -> bool:
        """Counts a batch as taken; whether it was the last one of its epoch."""
        self.done += 1
        if self.done < len(self.plan(self.epoch)):
            return False
        self.epoch, self.done = self.epoch + 1, 0
        return True

    def plan(self, epoch: int) -> list[Indices]:
        """All batches of an epoch, `[b]` positions each."""
        if self._planned[0] != epoch:
            self._planned = (epoch, self._plan(epoch))
        return self._planned[1]

    def state_dict(self) -> dict[str, int]:
        """Epoch and batches done."""
        return {"epoch": self.epoch, "done": self.done, "seed": self.seed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continues from the state of another sampler of the same classes."""
        self.epoch, self.done, self.seed = state["epoch"], state["done"], state["seed"]
        self._planned = (-1, [])

    def _plan(self, epoch: int) -> list[Indices]:
        raise NotImplementedError


class MPerClassSampler(EpochSampler):
    """Each class's images in groups of m, each group once an epoch; no class twice in a batch.

    Every image is seen in every epoch, unless `max_per_class` leaves some for another; a class's
    last group is filled up with other images of its epoch (with its own again, if these are fewer
    than m), so that small classes are seen like any other. Batches become smaller where fewer
    classes have images left; one that would have a single class, and so no negatives, takes another
    class, whose images come again.

    Args:
        classes: `[n]` integers, the fine class of each image.
        batch_size: images in a batch; fewer where there are not enough classes.
        images_per_class: m.
        max_per_class: images of a class in an epoch, at most; 0: all.
        seed: of every random choice.
        published: batches are filled as in SupRank: always from the first of the shuffled classes
            that have m images left, until a batch stays incomplete, which is dropped. Classes with
            fewer than m images are never seen, and large classes mostly at an epoch's end.
    """

    def __init__(
        self,
        classes: Indices,
        batch_size: int,
        images_per_class: int,
        max_per_class: int = 0,
        seed: int = 0,
        published: bool = False,
    ) -> None:
        super().__init__(seed)
        self.m = images_per_class
        self.groups = max(1, batch_size // images_per_class)
        self.limit = max_per_class
        self.published = published
        self._members = _members(classes)

    def _plan(self, epoch: int) -> list[Indices]:
        rng = np.random.default_rng([self.seed, epoch])
        return self._published(rng) if self.published else self._every_image(rng)

    def _published(self, rng: np.random.Generator) -> list[Indices]:
        left = [rng.permutation(members)[: self.limit or None] for members in self._members]
        classes = rng.permutation(len(left))
        batches: list[Indices] = []
        while True:
            batch = []
            classes = classes[[len(left[number]) >= self.m for number in classes]]
            for number in classes[: self.groups]:
                batch.append(left[number][: self.m])
                left[number] = left[number][self.m :]
            if len(batch) < self.groups:
                return [batches[at] for at in rng.permutation(len(batches))]
            batches.append(np.concatenate(batch))

    def _every_image(self, rng: np.random.Generator) -> list[Indices]:
        rounds: dict[int, list[tuple[int, Indices]]] = {}
        of_epoch: list[Indices] = []
        for number, members in enumerate(self._members):
            images = rng.permutation(members)[: self.limit or None]
            of_epoch.append(images)
            in_order = np.sort(images)
            for turn, start in enumerate(range(0, len(images), self.m)):
                group = _filled(images[start : start + self.m], in_order, self.m, rng)
                rounds.setdefault(turn, []).append((number, group))
        # Each class's groups with their places in the order of all.
        waiting: dict[int, deque[tuple[int, Indices]]] = {}
        places = itertools.count()
        for turn in sorted(rounds):
            for at in rng.permutation(len(rounds[turn])):
                number, group = rounds[turn][at]
                waiting.setdefault(number, deque()).append((next(places), group))
        # A batch has the first of them, one a class.
        first = [(queue[0][0], number) for number, queue in waiting.items()]
        heapq.heapify(first)
        batches = []
        while first:
            taken = [heapq.heappop(first)[1] for _ in range(min(self.groups, len(first)))]
            groups = [waiting[number].popleft()[1] for number in taken]
            for other in self._negatives(taken, rng):
                images = of_epoch[other]
                groups.append(_filled(rng.permutation(images)[: self.m], images, self.m, rng))
            batches.append(np.concatenate(groups))
            for number in taken:
                if waiting[number]:
                    heapq.heappush(first, (waiting[number][0][0], number))
        return batches

    def _negatives(self, taken: Sequence[int], rng: np.random.Generator) -> list[int]:
        """Another class for a batch of one; none for other batches."""
        if len(taken) > 1 or len(self._members) == 1 or self.groups == 1:
            return []
        another = int(rng.integers(len(self._members) - 1))
        return [another + (another >= taken[0])]


class HierarchicalSampler(MPerClassSampler):
    """Batches of few super-classes, so that negatives are near (HAPPIER 2022, after Cakir et al.).

    An epoch takes every set of `super_classes` super-classes `batches_per_group` times, in random
    order: with S super-classes, C(S, super_classes) * batches_per_group batches. A batch has the
    same number of classes from each super-class; where one has too few, the others give more, and
    where there is one class in all, a class of another super-class comes with it.
    With `batches_per_group` 0 an epoch has as many batches as it takes to show n images where
    every batch is as large as `batch_size` and the number of classes allow; the sets take turns.

    Classes and images take turns, so that none comes a second time before all came once. With more
    than `MOST_SETS` sets, each batch draws its own.

    Args:
        classes: `[n]` integers, the fine class of each image.
        supers: `[n]` integers, its super-class.
        batch_size, images_per_class, max_per_class, seed: as `MPerClassSampler`.
        super_classes: in a batch; fewer where there are not so many.
        batches_per_group: for each set of super-classes in an epoch; 0: see above.
        published: classes and images of a batch are drawn anew for each batch, as in SupRank, and
            images of a class with fewer than m with repetition.

    Raises:
        InputError: more super-classes than classes in a batch, in the published order; an epoch
            that takes every set, of which there are more than `MOST_SETS`.
    """

    def __init__(
        self,
        classes: Indices,
        supers: Indices,
        batch_size: int,
        images_per_class: int,
        super_classes: int = 2,
        batches_per_group: int = 5,
        max_per_class: int = 0,
        seed: int = 0,
        published: bool = False,
    ) -> None:
        super().__init__(classes, batch_size, images_per_class, max_per_class, seed, published)
        self._super_of = [int(supers[members[0]]) for members in self._members]
        self._supers = sorted(set(self._super_of))
        self._together = min(super_classes, len(self._supers))
        if published and self._together > self.groups:
            what = f"a batch has no more than {self.groups} classes, and as many super-classes:"
            fix = "Set order=every-image, fewer super_classes or a larger batch_size."
            raise InputError(Problem("super_classes", what, fix, value=super_classes))
        self._each = batches_per_group
        self._sets = math.comb(len(self._supers), self._together)
        if self._sets > MOST_SETS and (batches_per_group or published):
            what = f"an epoch would take {self._sets:,} sets of super-classes:"
            fix = "Set batches_per_group=0 and order=every-image, or super_classes=1."
            raise InputError(Problem("batches_per_group", what, fix, value=batches_per_group))
        self._length = -(-len(classes) // (self.m * min(self.groups, len(self._members))))

    def _published(self, rng: np.random.Generator) -> list[Indices]:
        numbers = np.array(self._super_of)
        share = self.groups // self._together
        sets = [*itertools.combinations(self._supers, self._together)] * (self._each or 1)
        batches = []
        for at in rng.permutation(len(sets)):
            chosen = [
                number
                for one in sets[at]
                for number in rng.permutation(np.flatnonzero(numbers == one))[:share]
            ]
            groups = [self._members[number] for number in chosen]
            batches.append(
                np.concatenate(
                    [rng.choice(images, self.m, len(images) < self.m) for images in groups]
                )
            )
        return batches

    def _every_image(self, rng: np.random.Generator) -> list[Indices]:
        images = [_Turns(members, rng, self.limit) for members in self._members]
        numbers = np.arange(len(self._members))
        of = np.array(self._super_of)
        turns = {one: _Turns(numbers[of == one], rng) for one in self._supers}
        batches = []
        for chosen_supers in self._sets_of_epoch(rng):
            shares = _shares(self.groups, [turns[one].size for one in chosen_supers])
            chosen = [
                number
                for one, share in zip(chosen_supers, shares, strict=True)
                for number in turns[one].take(share)
            ]
            chosen += self._negatives(chosen, rng)
            batches.append(np.concatenate([images[number].take(self.m) for number in chosen]))
        return batches

    def _sets_of_epoch(self, rng: np.random.Generator) -> Iterator[Sequence[int]]:
        """The super-classes of each batch."""
        if self._sets > MOST_SETS:
            for _ in range(self._length):
                yield rng.choice(self._supers, self._together, replace=False).tolist()
            return
        sets = [*itertools.combinations(self._supers, self._together)]
        if self._each:
            order = rng.permutation(len(sets) * self._each) % len(sets)
        else:
            rounds = -(-self._length // len(sets))
            order = np.concatenate([rng.permutation(len(sets)) for _ in range(rounds)])
            order = order[: self._length]
        yield from (sets[at] for at in order)


class _Turns:
    """Gives the members of a set in random order, over and over, all before one comes again."""

    def __init__(self, members: Indices, rng: np.random.Generator, limit: int = 0) -> None:
        self._rng = rng
        self._members = rng.permutation(members)[: limit or None]
        self.size = len(self._members)
        self._waiting: list[int] = []

    def take(self, count: int) -> Indices:
        taken: list[int] = []
        while len(taken) < count:
            if not self._waiting:
                self._waiting = self._rng.permutation(self._members).tolist()
                # What was taken already comes last again, so that it is not twice in one batch.
                self._waiting.sort(key=lambda member: member not in taken)
            taken.append(self._waiting.pop())
        return np.array(taken, dtype=np.int64)


def _members(classes: Indices) -> list[Indices]:
    """Positions of each class's images, classes in ascending order."""
    order = np.argsort(classes, kind="stable")
    starts = np.flatnonzero(np.diff(classes[order])) + 1
    return np.split(order, starts)


def _filled(group: Indices, members: Indices, m: int, rng: np.random.Generator) -> Indices:
    """The group with further members of its class, up to m."""
    if len(group) == m:
        return group
    others = rng.permutation(np.setdiff1d(members, group))
    more = np.concatenate([others, np.resize(rng.permutation(members), m)])
    return np.concatenate([group, more[: m - len(group)]])


def _shares(total: int, sizes: list[int]) -> list[int]:
    """Divides `total` evenly, none above its size, what is over going to the others."""
    shares = [0] * len(sizes)
    left = min(total, sum(sizes))
    while left:
        for at, size in enumerate(sizes):
            if left and shares[at] < size:
                shares[at] += 1
                left -= 1
    return shares
