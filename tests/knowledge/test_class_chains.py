"""Class chains as evidence of a table's items: the matrix, and what a build learns from it."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
from dumps import DIRECT, WD
from strata_labels.build import BuildSettings, Workspace, build_tree
from strata_labels.knowledge.class_chains import DECAY, class_chains
from strata_labels.tables import load

# item class -> classes above it; 30 and 31 are in a loop, 40 is above everything.
ABOVE = {10: [30], 11: [30], 12: [31], 20: [32], 21: [32], 30: [31], 31: [30, 40], 32: [40]}
OF_KIND = {"church": (10, 11, 12), "lake": (20, 21)}


def test_each_class_counts_by_the_levels_climbed() -> None:
    rows = [(f"Q{qid}", [f"Q{above}" for above in over]) for qid, over in ABOVE.items()]
    classes = pd.DataFrame(rows, columns=["qid", "parent_qids"])
    chains, qids = class_chains([["Q10"], [], ["Q20", "Q12"]], classes)
    assert qids == ["Q10", "Q12", "Q20", "Q30", "Q31", "Q32", "Q40"]
    expected = np.zeros((3, 7))
    expected[0, [0, 3, 4, 6]] = 1, DECAY, DECAY**2, DECAY**3
    # Q40 is two levels above either class of its own.
    expected[2, [1, 2, 3, 4, 5, 6]] = 1, 1, DECAY**2, DECAY, DECAY, DECAY**2
    np.testing.assert_allclose(chains.toarray(), expected, rtol=1e-6)


def table_with_classes(folder: Path) -> Workspace:
    """A table of ids and Wikidata ids; the last item of each class lacks its label."""
    lines, rows, number = [], [], 1000
    for below, above in sorted(ABOVE.items()):
        lines += [f"<{WD}Q{below}> <{DIRECT}P279> <{WD}Q{parent}> .\n" for parent in above]
    for kind, own in OF_KIND.items():
        for qid in own:
            for n in range(6):
                number += 1
                lines.append(f"<{WD}Q{number}> <{DIRECT}P31> <{WD}Q{qid}> .\n")
                rows.append((number, f"Q{number}", kind if n < 5 else ""))
    with gzip.open(folder / "entities.nt.gz", "wt") as file:
        file.writelines(lines)
    pd.DataFrame(rows, columns=["id", "qid", "kind"]).to_csv(folder / "items.csv", index=False)
    place = Workspace(folder / "ws")
    given = {"decisions": place.ledger, "encoder": "", "metadata": folder / "items.csv"}
    build_tree(place, BuildSettings(tree="table", entities=folder / "entities.nt.gz", **given))
    return place


def test_labelled_items_teach_what_a_class_means(tmp_path: Path) -> None:
    place = table_with_classes(tmp_path)
    found = load(place.folder, "assignments")
    missing = found["origin"] == "class"
    truth = [kind for kind, own in OF_KIND.items() for _ in own]
    assert found.loc[missing, "level1_name"].tolist() == truth
    proposals = load(place.folder, "proposals").set_index("subject")
    pieces = proposals.loc[found.loc[missing, "item_id"], "evidence"]
    classes = [[p for p in evidence if p.kind == "class_chain"] for evidence in pieces]
    # The item's own class speaks for its kind, before those above it.
    assert [piece[0].node for piece in classes] == [f"1/{kind}" for kind in truth]
    assert [piece[0].ids for piece in classes] == [
        (f"Q{qid}",) for own in OF_KIND.values() for qid in own
    ]
