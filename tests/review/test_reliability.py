"""Reviewers' accuracies, estimated from what several have answered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from small_world import VOCABULARY, decisions, item, proposals
from strata_labels.review import replay
from strata_labels.review.decisions import Decision
from strata_labels.review.reliability import (
    ENOUGH,
    Answers,
    answers_on_item,
    estimate,
    first_answers,
    label_probabilities,
)
from strata_labels.tree import LabelTree

from benchmarks.curators import ACCURACY, simulated


def right(labels: Sequence[str], truth: Sequence[str]) -> float:
    return float(np.mean([a == b for a, b in zip(labels, truth, strict=True)]))


def majority(said: dict[str, str], rng: np.random.Generator) -> str:
    """The most frequent label; one of them at random where several are."""
    labels = list(said.values())
    most = max(map(labels.count, labels))
    return str(rng.choice(sorted({label for label in labels if labels.count(label) == most})))


def test_a_careless_and_a_malicious_curator_are_estimated_right() -> None:
    answers, truth = simulated(seed=0, double=800)
    found = estimate(answers)
    assert found.accuracy == pytest.approx(ACCURACY, abs=0.04)
    assert min(found.double.values()) >= 800
    likely = [label_probabilities(one, found.accuracy) for one in answers]
    best = [max(one, key=lambda label: one[label]) for one in likely]
    rng = np.random.default_rng(0)
    votes = [majority(one.labels, rng) for one in answers]
    assert right(best, truth) > right(votes, truth)
    # Of labels of a stated probability, that share is right.
    stated = np.array([one[label] for one, label in zip(likely, best, strict=True)])
    assert stated.mean() == pytest.approx(right(best, truth), abs=0.02)


def test_few_answers_say_little_and_none_nothing() -> None:
    assert estimate([]).accuracy == {}
    found = estimate([Answers({"ann": "x", "ben": "y"}, 5)])
    assert found.known("ann") is None and found.known("zoe") is None
    assert (
        found.confidence(Answers({"ann": "x"}, 5), "x") == 1.0
    )  # as before there were double ones
    found = estimate([Answers({"ann": "x", "ben": "x"}, 5)] * ENOUGH)
    assert found.agreement == {"ann": 1.0, "ben": 1.0}
    assert found.known("ann") == pytest.approx(found.confidence(Answers({"ann": "x"}, 5), "x"))


def test_several_who_agree_are_surer_than_one_and_who_is_mostly_wrong_speaks_against() -> None:
    accuracy = {"ann": 0.8, "ben": 0.8, "eve": 0.05}
    alone = label_probabilities(Answers({"ann": "x"}, 10), accuracy)["x"]
    both = label_probabilities(Answers({"ann": "x", "ben": "x"}, 10), accuracy)["x"]
    against = label_probabilities(Answers({"ann": "x", "eve": "x"}, 10), accuracy)["x"]
    assert against < alone < both and alone == pytest.approx(0.8)


TREE = LabelTree.from_nodes(VOCABULARY)


def decided(who: str, word: str, target: str, minute: int = 0) -> Decision:
    return Decision(
        subject="a", level=1, decision=word, target=target, reviewer=who, note="", decided_at="",
        evidence_hash="", seen="", written=target, file="", row=None,
        when=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute),
    )  # fmt: skip


def test_answers_are_compared_at_the_finest_level_that_all_name() -> None:
    finer, coarser = decided("ann", "keep", "1/Q16970"), decided("ben", "move", "2/church")
    said = answers_on_item({"ann": finer, "ben": coarser}, TREE)
    assert said.labels == {"ann": "2/church", "ben": "2/church"}
    assert said.options == sum(level == 2 for level in TREE.level.values())
    said = answers_on_item({"ann": finer, "ben": decided("ben", "move", "1/Q2977")}, TREE)
    assert said.labels == {"ann": "1/Q16970", "ben": "1/Q2977"}
    said = answers_on_item({"ann": finer, "ben": decided("ben", "exclude", "")}, TREE)
    assert said.labels["ben"] == ""


def test_the_first_answer_counts_unless_it_was_taken_back() -> None:
    ann = [decided("ann", "move", "2/lake"), decided("ann", "move", "2/church", 5)]
    ben = [
        decided("ben", "move", "2/lake"),
        decided("ben", "withdraw", "", 1),
        decided("ben", "unsure", "", 2),
        decided("ben", "move", "2/church", 3),
    ]
    found = first_answers([*ann, *ben])
    assert {who: d.target for who, d in found["a"].items()} == {"ann": "2/lake", "ben": "2/church"}
    assert first_answers(ann) == {}  # nobody else has answered
    assert set(first_answers(ann, {"a"})["a"]) == {"ann"}


def test_a_decided_label_is_as_sure_as_who_decided_it() -> None:
    """Ann and ben agree throughout; eve, who differs from them, decides one item alone."""
    subjects = [f"i{n}" for n in range(ENOUGH + 1)]
    rows = proposals()
    one = rows[rows.subject == item(2)]
    many = [one.assign(subject=subject, row_id=f"1:{subject}") for subject in subjects]
    rows = pd.concat([*many, rows], ignore_index=True)

    def said(subjects: list[str]) -> pd.DataFrame:
        lines = []
        for n, subject in enumerate(subjects):
            time = f"2026-01-01T{n:02}:00:00Z"
            lines += [(subject, 1, "move", "2/church", who, time) for who in ("ann", "ben")]
            lines.append((subject, 1, "move", "2/lake", "eve", time))
            # Asked again, she gives in.
            lines.append((subject, 1, "move", "2/church", "eve", "2026-01-02T00:00:00Z"))
        lines.append(("i20", 1, "move", "2/mountain", "eve"))
        return decisions(*lines)

    found = replay(said(subjects[:-1]), rows, VOCABULARY).rows.set_index("subject")
    assert (found.state[subjects] == "settled").all()
    assert found.confidence["i20"] < 0.3 and found.confidence["i0"] > 0.9
    # With fewer double answers, all count as right.
    found = replay(said(subjects[:-2]), rows, VOCABULARY).rows.set_index("subject")
    assert found.confidence["i20"] == found.confidence["i0"] == 1.0
