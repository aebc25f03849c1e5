"""Doubts: planted errors are found, and gains equal an evaluation of the moved tree."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
import validation_data as data
from strata_labels.evidence import Evidence
from strata_labels.retrieval import evaluate_embeddings
from strata_labels.review import replay, write_sheet
from strata_labels.review.reviewed import with_doubts
from strata_labels.validation import doubts_table
from strata_labels.validation.retrieval_doubts import rank_doubts


def labels_of(frame: pd.DataFrame) -> torch.Tensor:
    columns = [np.unique(frame[f"level{n}"], return_inverse=True)[1] for n in range(3)]
    return torch.from_numpy(np.stack(columns, axis=1))


def misplaced() -> tuple[pd.DataFrame, torch.Tensor]:
    """One item of kind k00 put under kind k12, of the other top."""
    frame = data.table()
    vectors = data.vectors(frame)
    wrong = frame.level0 == "i000"
    frame.loc[wrong, ["level1", "level2"]] = ["k12", "t1"]
    return frame, vectors


def test_a_misplaced_item_comes_first_with_its_own_parent_as_suggestion() -> None:
    frame, vectors = misplaced()
    found = doubts_table(vectors, frame)
    first = found.iloc[0]
    assert (first.row_id, first.level) == ("1:i000", 1)
    assert (first.current, first.suggestion) == ("k12", "k00")
    assert first.there > first.here
    assert all(picture.startswith("0/0/0/") for picture in first.images)
    assert all(picture.startswith("0/0/") for picture in first.nearest)
    assert not set(first.images) & set(first.nearest)


def test_a_misplaced_node_comes_first() -> None:
    frame = data.table()
    vectors = data.vectors(frame)
    frame.loc[frame.level1 == "k01", "level2"] = "t1"
    first = doubts_table(vectors, frame).iloc[0]
    assert (first.row_id, first.current, first.suggestion) == ("2:k01", "t1", "t0")


def test_a_gain_is_what_evaluating_the_moved_tree_gives() -> None:
    frame, vectors = misplaced()
    labels = labels_of(frame)
    row = rank_doubts(vectors, labels).iloc[0]
    own = labels[:, row.column] == row.subject
    moved = labels.clone()
    target = labels[(labels[:, row.column + 1] == row.suggestion).nonzero()[0, 0]]
    moved[own, row.column + 1 :] = target[row.column + 1 :]
    before, after = (
        evaluate_embeddings(vectors, which).per_query["hap"][own] for which in (labels, moved)
    )
    assert np.isclose(row.gain, float((after - before).mean()), atol=1e-9)
    assert np.isclose(row.total, float((after - before).sum()) / len(labels), atol=1e-9)


def test_a_class_alone_under_its_parent_comes_behind_one_with_siblings() -> None:
    frame, vectors = misplaced()
    frame.loc[frame.level0 == "i001", "level1"] = "alone"
    found = doubts_table(vectors, frame).set_index("subject")
    alone, other = found.loc["i001"], found.loc["i000"]
    for row, weight in ((other, 1.0), (alone, 0.25)):
        assert np.isclose(row.expected, weight * row.gain * row.there / (row.there + row.here))
    assert found.expected.is_monotonic_decreasing


def test_order_of_the_images_does_not_matter() -> None:
    frame, vectors = misplaced()
    order = np.random.default_rng(3).permutation(len(frame))
    one = doubts_table(vectors, frame)
    other = doubts_table(vectors[order], frame.iloc[order].reset_index(drop=True))
    assert one.row_id.tolist() == other.row_id.tolist()
    assert np.allclose(one.gain, other.gain)


def proposals() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    frame, vectors = misplaced()
    doubts = doubts_table(vectors, frame)
    places = frame.drop_duplicates("level0")
    rows = [("1:" + i, i, 1, k) for i, k in zip(places.level0, places.level1, strict=True)]
    kinds = places.drop_duplicates("level1")
    rows += [("2:" + k, k, 2, t) for k, t in zip(kinds.level1, kinds.level2, strict=True)]
    proposed = pd.DataFrame(rows, columns=["row_id", "subject", "level", "parent"])
    proposed = proposed.assign(
        status="proposed", origin="name", confidence=np.float32(0.99), margin=np.float32(1),
        accepted=True, suggestion=proposed.parent, score=np.float32(0.99), evidence_hash="0" * 16,
        evidence=[(Evidence("name_word", place, text="a word"),) for place in proposed.parent],
        reasons=[() for _ in rows], alternatives=[() for _ in rows],
    )  # fmt: skip
    nodes = [(k, 1, k, t) for k, t in zip(kinds.level1, kinds.level2, strict=True)]
    nodes += [(t, 2, t, None) for t in ("t0", "t1")]
    vocabulary = pd.DataFrame(nodes, columns=["node_id", "level", "name", "parent_id"])
    items = pd.DataFrame({"item_id": places.level0, "name": places.level0, "source_url": ""})
    items["image_ids"] = [[] for _ in places.level0]
    return proposed, vocabulary.assign(qid=None), items, doubts


def decisions(*rows: tuple[str, str]) -> pd.DataFrame:
    columns = ["row_id", "subject", "level", "decision", "target", "reviewer", "note",
               "decided_at", "evidence_hash"]  # fmt: skip
    full = [
        ("1:" + subject, subject, 1, decision, "", "ann", "", "2026-01-31T12:00:00Z", "0" * 16)
        for subject, decision in rows
    ]
    return pd.DataFrame(full, columns=columns).astype(str)


def test_a_doubt_is_the_first_row_of_the_sheet(tmp_path) -> None:
    proposed, vocabulary, items, doubts = proposals()
    resolution = replay(decisions(), with_doubts(proposed, doubts), vocabulary)
    number = write_sheet(tmp_path / "review.csv", resolution, items, ["item", "kind", "top"])
    sheet = pd.read_csv(tmp_path / "review.csv", dtype=str)
    assert number == int((doubts.gain > 0).sum()) > 0
    first = sheet.iloc[0]
    assert (first.row_id, first.suggestion_id) == ("1:i000", "k00")
    assert "images look like those of another place" in first.reasons
    assert "0/0/0/0.jpg" in first.evidence and "a word" in first.evidence
    assert first.confidence == "0%"


def test_a_decision_on_a_doubted_row_settles_it() -> None:
    proposed, vocabulary, _, doubts = proposals()
    rows = replay(decisions(("i000", "keep")), with_doubts(proposed, doubts), vocabulary).rows
    row = rows.set_index("row_id").loc["1:i000"]
    assert (row.state, row.parent) == ("settled", "k12")


def test_a_doubt_about_a_former_parent_is_ignored() -> None:
    proposed, _, _, doubts = proposals()
    proposed.loc[proposed.subject == "i000", ["parent", "suggestion"]] = "k00"
    row = with_doubts(proposed, doubts).set_index("row_id").loc["1:i000"]
    assert row.accepted and row.gain == 0 and row.suggestion == "k00"
