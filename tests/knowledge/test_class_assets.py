"""The curated assets of GLDv2-H, the sample, and the recorded landmarks."""

from __future__ import annotations

import csv
import sys
import unicodedata
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from strata_labels.errors import InputError
from strata_labels.knowledge import (
    ClassGraph,
    link,
    read_class_assets,
    read_snapshot,
    snapshot_lexicon,
)

ROOT = Path(__file__).resolve().parents[2]
TREE = ROOT / "hierarchies" / "gldv2-h"
SAMPLE = ROOT / "hierarchies" / "sample"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def assets() -> tuple[dict[str, str], dict[str, str]]:
    read = read_class_assets(TREE / "vocabulary.csv", TREE / "classes.csv", TREE / "outside.csv")
    return read.placed, read.stops


def test_every_node_has_a_parent_a_class_a_gloss_and_words() -> None:
    nodes = [row for row in rows(TREE / "vocabulary.csv") if row["parent"]]
    assert len(nodes) == 78
    assert {row["parent"] for row in nodes} == {"natural", "human-made"}
    assert all(row["class_qids"] and row["description"] for row in nodes)
    assert {row["node"] for row in rows(TREE / "lexicon.csv")} == {row["node"] for row in nodes}


def test_the_vocabulary_is_the_published_one(shared: Path) -> None:
    published = {
        row["hierarchical_label"].strip(): row["natural_or_human_made"]
        for row in rows(shared / "gldv2" / "hierarchical_labels_78.csv")
    }
    ours = {row["node"]: row["parent"] for row in rows(TREE / "vocabulary.csv") if row["parent"]}
    assert ours == published


def test_the_lexicon_is_sorted_normal_and_unique() -> None:
    lexicon = rows(TREE / "lexicon.csv")
    keys = [(row["node"], row["qid"], row["language"], row["term"]) for row in lexicon]
    assert keys == sorted(set(keys))
    placed, _ = assets()
    for row in lexicon:
        term = row["term"]
        assert term.strip("-") and term == " ".join(term.split()).lower()
        assert unicodedata.is_normalized("NFC", term)
        assert row["strength"] in ("strong", "weak")
        assert placed.get(row["qid"]) == row["node"], row


def test_labels_of_the_classes_are_wikidatas(shared: Path) -> None:
    labels = pd.read_csv(
        shared / "wikidata" / "labels.en.tsv.gz", sep="\t", quoting=csv.QUOTE_NONE, dtype=str
    ).set_index("node1")["node2"]
    checked = 0
    for name in ("classes.csv", "outside.csv"):
        for row in rows(TREE / name):
            if row["qid"] in labels.index:
                text = labels[row["qid"]].removesuffix("@en").strip("'").replace("\u200b", "")
                assert row["label"] == " ".join(text.replace("\\'", "'").split())
                checked += 1
    assert checked > 700


def test_a_class_with_two_nodes_and_a_bad_id_are_listed_together(tmp_path: Path) -> None:
    vocabulary = tmp_path / "v.csv"
    vocabulary.write_text("node,class_qids\nchurch,Q1|Q2\nmuseum,Q2\ncave,cave\n")
    outside = tmp_path / "o.csv"
    outside.write_text("qid,reason\nQ1,outside\nQ7,nonsense\n")
    with pytest.raises(InputError) as error:
        read_class_assets(vocabulary, outside=outside)
    assert [(p.row, p.value) for p in error.value.problems] == [
        (3, "Q2"),
        (4, "cave"),
        (2, "Q1"),
        (3, "nonsense"),
    ]


def test_the_sample_holds_what_it_promises() -> None:
    titles = [
        unquote(row["category"].split("Category:", 1)[1])
        for split in ("train", "index")
        for row in rows(SAMPLE / f"{split}_label_to_category.csv")
    ]
    items = pd.DataFrame({"item_id": [str(n) for n, _ in enumerate(titles)], "title": titles})
    entities, classes = link(items, read_snapshot(SAMPLE / "entities.jsonl", titles))
    graph = ClassGraph(classes, *assets())
    reasons = Counter(graph.reach(qids).reason for qids in entities["class_qids"])
    assert len(titles) > 190
    assert reasons["reached"] > 130
    assert reasons["outside"] >= 20
    statuses = Counter(entities["status"])
    assert statuses["missing"] == 16
    assert statuses["category_only"] == 1
    folder = sum(path.stat().st_size for path in SAMPLE.iterdir())
    assert folder < 400_000


def test_labels_and_aliases_of_classes_become_words(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_text(
        '{"id": "Q1", "claims": {"P373": [{"mainsnak": {"datavalue": {"value": "A"}}}],'
        ' "P31": [{"mainsnak": {"datavalue": {"value": {"id": "Q2"}}}}]}}\n'
        '{"id": "Q2", "labels": {"de": {"value": "Holzkirche"}}, "aliases":'
        ' {"de": [{"value": "Holzbau"}]}, "claims":'
        ' {"P279": [{"mainsnak": {"datavalue": {"value": {"id": "Q16970"}}}}]}}\n'
    )
    snapshot = read_snapshot(path, ["A"])
    _, classes = link(pd.DataFrame({"item_id": ["a"], "title": ["A"]}), snapshot)
    words = snapshot_lexicon(snapshot, ClassGraph(classes, *assets()))
    assert words.to_numpy().tolist() == [
        ["church", "Q2", "de", "holzbau", "weak"],
        ["church", "Q2", "de", "holzkirche", "strong"],
    ]


def test_recorded_landmarks_reach_a_node_or_are_set_aside(shared: Path) -> None:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from entities import report
    finally:
        sys.path.pop(0)
    counts = report(shared)
    assert counts["reached"] + counts["tie"] + counts["outside"] + counts["unknown"] == 208
    assert counts["reached"] >= 130
    assert "match wrong" not in counts
    assert counts["match flagged"] <= 3
    assert counts["match right"] + counts["match flagged"] == 11
