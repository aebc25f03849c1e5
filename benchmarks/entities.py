"""Lists the node of GLDv2-H that the classes of each recorded Wikidata landmark lead to.

    python -m benchmarks.entities --shared DIR

`entities.txt` beside this file is its output; DIR is the folder of the real data. Landmarks are the
recorded items with a Commons category (P373) and coordinates (P625), then the rows of
`gldv2_matches.csv` with their published label.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import pandas as pd
from strata_labels.knowledge import (
    ClassGraph,
    ClassVerdict,
    Snapshot,
    link,
    read_class_assets,
    read_snapshot,
)
from strata_labels.knowledge.raw_entity import best_point, best_texts
from strata_labels.knowledge.wikidata_file import WikidataFile

TREE = Path(__file__).resolve().parents[1] / "hierarchies" / "gldv2-h"


def judge(snapshot: Snapshot, items: pd.DataFrame) -> list[tuple[pd.Series, ClassVerdict]]:
    """Links the items and sends their classes up the graph.

    An item that is not in the snapshot is judged by `class_qids` of `items`, where given.
    """
    assets = read_class_assets(TREE / "vocabulary.csv", TREE / "classes.csv", TREE / "outside.csv")
    entities, classes = link(items, snapshot)
    if "class_qids" in items:
        missing = (entities["status"] == "missing").tolist()
        given = items["class_qids"].tolist()
        known = entities["class_qids"].tolist()
        entities["class_qids"] = [
            g if m else k for m, g, k in zip(missing, given, known, strict=True)
        ]
    graph = ClassGraph(classes, assets.placed, assets.stops)
    return [(row, graph.reach(row["class_qids"])) for _, row in entities.iterrows()]


def report(shared: Path) -> dict[str, int]:
    """Prints both lists and the counts; returns the counts."""
    recorded = shared / "wikidata" / "entities.jsonl.gz"
    file = WikidataFile(recorded)
    named = {
        entity["id"]: best_texts(entity, "P373")[0]
        for entity in map(file.parse, file.records())
        if entity and best_texts(entity, "P373") and best_point(entity, "P625")
    }
    titles = list(named.values())
    items = pd.DataFrame({"item_id": list(named), "title": titles})
    matches = pd.read_csv(shared / "wikidata" / "gldv2_matches.csv", dtype=str)
    snapshot = read_snapshot(recorded, [*titles, *matches["commons_category"]])
    labels = read_class_assets(
        TREE / "vocabulary.csv", TREE / "classes.csv", TREE / "outside.csv"
    ).labels | {qid: e.label for qid, e in snapshot.classes.items()}

    def shown(path: tuple[str, ...]) -> str:
        return " > ".join(f"{labels.get(qid, '?')} ({qid})" for qid in path)

    counts: Counter[str] = Counter()
    for row, verdict in judge(snapshot, items):
        counts[verdict.reason] += 1
        counts[f"link {row['status']}"] += 1
        ties = ", ".join(str(way.node) for way in verdict.ties)
        print(
            f"{verdict.reason:8} {verdict.node or '-':24} {row['item_id']:10} {row['label']}"
            f" | {shown(verdict.path)}{' | tie: ' + ties if ties else ''}"
        )
    print()
    wanted = pd.DataFrame(
        {
            "item_id": matches["qid"],
            "title": matches["commons_category"],
            "class_qids": matches["P31"].str.split("|"),
        }
    )
    for (row, verdict), published in zip(
        judge(snapshot, wanted), matches["hierarchical_label"], strict=True
    ):
        right = verdict.node == published
        kind = "flagged" if verdict.reason != "reached" else "right" if right else "wrong"
        counts[f"match {kind}"] += 1
        ties = ", ".join(str(way.node) for way in verdict.ties)
        link_way = f" by {row['linked_by']}" if row["status"] == "resolved" else ""
        print(
            f"{kind:8} {verdict.node or '-':24} {row['item_id']:10} {row['label'] or ''}"
            f" | published {published} | {verdict.reason} {shown(verdict.path)}"
            f"{' | tie: ' + ties if ties else ''} | {row['status']}{link_way}"
        )
    print("\n" + "\n".join(f"{name}: {number}" for name, number in sorted(counts.items())))
    return dict(counts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True)
    report(parser.parse_args().shared)
