"""How often each reviewer is right, estimated from the items that several have answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from strata_labels.evidence import read_seen
from strata_labels.review.decisions import WITHDRAW, Decision, overridden
from strata_labels.tree import LabelTree

#: A reviewer's accuracy counts from so many double answers on; before that they count as right.
ENOUGH = 20

# The accuracy before any answer is seen, worth so many answers.
_PRIOR, _WORTH = 0.8, 5.0
_TOLERANCE, _ROUNDS = 1e-6, 500


class Answers(NamedTuple):
    """What reviewers said of one item.

    Attributes:
        labels: by reviewer, at one level.
        options: how many labels that level has, at least 2.
    """

    labels: dict[str, str]
    options: int


@dataclass(frozen=True)
class Reliability:
    """How far each reviewer can be relied on.

    Attributes:
        accuracy: estimated share of right answers, by reviewer.
        double: items that the reviewer and others answered.
        agreement: of the pairs with others on one item, the share that is equal.
    """

    accuracy: dict[str, float]
    double: dict[str, int]
    agreement: dict[str, float]

    def known(self, reviewer: str) -> float | None:
        """The reviewer's accuracy if there are enough answers, else None."""
        return self.accuracy[reviewer] if self.double.get(reviewer, 0) >= ENOUGH else None

    def confidence(self, answers: Answers, label: str) -> float:
        """The probability that a label is right, given who said it and who did not.

        A reviewer without enough double answers counts as right.
        """
        said = [who for who, own in answers.labels.items() if own == label]
        if any(self.known(who) is None for who in said):
            return 1.0
        likely = label_probabilities(answers, {who: self.accuracy[who] for who in self.accuracy})
        return likely.get(label, 0.0)


def first_answers(
    decisions: Iterable[Decision], subjects: set[str] | None = None
) -> dict[str, dict[str, Decision]]:
    """Each reviewer's first answer to each item: later ones know of the others'.

    What was taken back counts as never made, and `unsure` is no answer.

    Args:
        decisions: all that were read, also those that are not active.
        subjects: items to look at; None: those that two or more have decided.

    Returns:
        By item and reviewer.
    """
    found: dict[str, dict[str, list[Decision]]] = {}
    for decision in decisions:
        if decision.level == 1 and (subjects is None or decision.subject in subjects):
            found.setdefault(decision.subject, {}).setdefault(decision.reviewer, []).append(
                decision
            )
    answers: dict[str, dict[str, Decision]] = {}
    for subject, by_reviewer in found.items():
        if subjects is None and len(by_reviewer) < 2:
            continue
        for reviewer, own in by_reviewer.items():
            if first := _first(own):
                answers.setdefault(subject, {})[reviewer] = first
    return answers


def _first(decisions: list[Decision]) -> Decision | None:
    kept = [
        decision
        for decision, by in zip(decisions, overridden(decisions), strict=True)
        if decision.decision not in (WITHDRAW, "unsure") and (by is None or by.decision != WITHDRAW)
    ]
    return min(kept, key=lambda decision: decision.when, default=None)


def answers_on_item(decisions: Mapping[str, Decision], tree: LabelTree) -> Answers:
    """What reviewers said of an item, at the finest level that all of them name.

    Who keeps "village church" and who moves it to "church", which is above it, agree.

    Args:
        decisions: by reviewer.
        tree: all nodes.
    """
    targets = {who: _place(decision) for who, decision in decisions.items()}
    level = max((tree.level.get(node, 0) for node in targets.values()), default=0)
    labels = {
        who: next((step for step in tree.path(node) if tree.level[step] == level), node)
        for who, node in targets.items()
    }
    return Answers(labels, max(2, Counter(tree.level.values())[level]))


def _place(decision: Decision) -> str:
    """Where a decision puts its item, "" for nowhere."""
    if decision.target or decision.decision == "exclude":
        return decision.target
    saw = read_seen(decision.seen)  # without a target: the place that the reviewer saw
    return saw.place if saw else ""


def double_answers(decisions: Iterable[Decision], tree: LabelTree) -> list[Answers]:
    """What the reviewers first said of each item that two or more have answered."""
    found = first_answers(decisions)
    return [answers_on_item(found[item], tree) for item in sorted(found) if len(found[item]) > 1]


def label_probabilities(answers: Answers, accuracy: Mapping[str, float]) -> dict[str, float]:
    """How likely each given label is right; what is left to 1 is for all labels not given.

    Args:
        answers: of one item.
        accuracy: by reviewer, between 0 and 1; answers of others do not count.

    Example:
        >>> likely = label_probabilities(Answers({"a": "x"}, 10), {"a": 0.9})
        >>> round(likely["x"], 3)
        0.9
    """
    score = dict.fromkeys(answers.labels.values(), 0.0)
    for who, label in answers.labels.items():
        if who in accuracy:
            score[label] += _gain(np.array(accuracy[who]), np.array(answers.options)).item()
    values = np.array([*score.values(), np.log(max(answers.options - len(score), 1e-9))])
    shares = np.exp(values - values.max())
    shares /= shares.sum()
    return dict(zip(score, shares[:-1].tolist(), strict=True))


def estimate(answers: Iterable[Answers]) -> Reliability:
    """Estimates each reviewer's accuracy by expectation maximisation.

    The model is that of Dawid and Skene (1979, Applied Statistics 28, 20-28) with one number for
    each reviewer in place of a matrix: right with probability `accuracy`, else any other label of
    the level, all equally likely. A tree has too many labels for a matrix. The accuracy of 0.8
    that is assumed before any answer counts as much as five answers.

    Args:
        answers: of items that two or more have answered.
    """
    answers = [one for one in answers if len(one.labels) > 1]
    names = sorted({who for one in answers for who in one.labels})
    number = {who: n for n, who in enumerate(names)}
    row, worker, slot, slot_row = list[int](), list[int](), list[int](), list[int]()
    for n, one in enumerate(answers):
        slots: dict[str, int] = {}
        for who, label in sorted(one.labels.items()):
            if label not in slots:
                slots[label] = len(slot_row)
                slot_row.append(n)
            row.append(n)
            worker.append(number[who])
            slot.append(slots[label])
    options = np.array([one.options for one in answers], dtype=float)
    accuracy = _expectation_maximisation(
        np.array(row, dtype=np.int64),
        np.array(worker, dtype=np.int64),
        np.array(slot, dtype=np.int64),
        np.array(slot_row, dtype=np.int64),
        options,
        len(names),
    )
    pairs, equal = Counter[str](), Counter[str]()
    for one in answers:
        for (a, first), (b, second) in combinations(one.labels.items(), 2):
            pairs.update((a, b))
            equal.update((a, b) if first == second else ())
    double = np.bincount(np.array(worker, dtype=np.int64), minlength=len(names))
    return Reliability(
        {who: round(float(accuracy[n]), 6) for who, n in number.items()},
        {who: int(double[n]) for who, n in number.items()},
        {who: equal[who] / pairs[who] for who in names},
    )


def _expectation_maximisation(
    row: NDArray[np.int64],
    worker: NDArray[np.int64],
    slot: NDArray[np.int64],
    slot_row: NDArray[np.int64],
    options: NDArray[np.float64],
    workers: int,
) -> NDArray[np.float64]:
    """Accuracies `[workers]` from answers `[num_answers]` and given labels `[num_slots]`."""
    accuracy = np.full(workers, _PRIOR)
    given = np.bincount(slot_row, minlength=len(options))
    others = np.log(np.maximum(options - given, 1e-9))  # labels that nobody gave
    count = np.bincount(worker, minlength=workers)
    for _ in range(_ROUNDS):
        score = np.bincount(slot, _gain(accuracy[worker], options[row]), len(slot_row))
        top = others.copy()
        np.maximum.at(top, slot_row, score)
        share = np.exp(score - top[slot_row])
        total = np.bincount(slot_row, share, len(options)) + np.exp(others - top)
        right = np.bincount(worker, (share / total[slot_row])[slot], workers)
        before, accuracy = accuracy, (right + _PRIOR * _WORTH) / (count + _WORTH)
        if np.abs(accuracy - before).max(initial=0) < _TOLERANCE:
            break
    return accuracy


def _gain(accuracy: NDArray[np.float64], options: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how much an answer raises the log odds of its label against each other one."""
    sure = np.clip(accuracy, 1e-3, 1 - 1e-3)
    return np.asarray(np.log(sure) - np.log((1 - sure) / (options - 1)))
