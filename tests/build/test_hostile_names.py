"""Names with the marks of every list and sentence in them: from metadata to page, sheet, ledger."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from strata_labels.build import (
    STAGES,
    BuildSettings,
    Workspace,
    apply_sheet,
    run_stages,
)
from strata_labels.cli.review import review_setup
from strata_labels.evidence import read_seen
from strata_labels.people_csv import clean_cell, restore
from strata_labels.review import read_ledger, replay
from strata_labels.review.page import Desk
from strata_labels.tables import load

ADDRESS = "http://commons.wikimedia.org/wiki/Category:"
MARKS = ["; ", " | ", " → ", "“", "”", " - ", "~", ", ", "'", '"', "proposed 2/x; ", "{}", " 0.5"]


def names_with(*marks: str) -> st.SearchStrategy[str]:
    parts = st.lists(st.sampled_from([*marks, "Burg", "Kapelle", "Old", "Q12"]), max_size=5)
    return parts.map(lambda some: clean_cell("Place " + "".join(some) + " End"))


NAMES = names_with(*MARKS)
# Wikimedia forbids these characters in titles.
TITLES = names_with(*(mark for mark in MARKS if not set("|{}") & set(mark)))
CASTLE, PALACE = "Q23413", "Q16560"


def workspace(folder: Path, names: list[str], label: str, node: str) -> Workspace:
    """A built workspace: items of these names, a class of that label, a vocabulary of that node."""
    metadata = folder / "metadata"
    metadata.mkdir(parents=True)
    with (metadata / "train_label_to_category.csv").open("w", newline="") as file:
        rows = [(n, ADDRESS + quote(name.replace(" ", "_"))) for n, name in enumerate(names)]
        csv.writer(file).writerows([("landmark_id", "category"), *rows])
    with (folder / "vocabulary.csv").open("w", newline="") as file:
        nodes = [
            ("human-made", "", ""),
            (node, "human-made", CASTLE),
            ("palace", "human-made", PALACE),
        ]
        csv.writer(file).writerows([("node", "parent", "class_qids"), *nodes])
    entities = [
        {"id": CASTLE, "labels": {"en": {"value": "castle"}}, "claims": {}},
        {"id": PALACE, "labels": {"en": {"value": "palace"}}, "claims": {}},
        {"id": "Q9", "labels": {"en": {"value": label}}, "claims": claims(P279=[CASTLE, PALACE])},
        {"id": "Q1", "labels": {"en": {"value": names[0]}}, "claims": claims(P31=["Q9"]),
         "sitelinks": {"commonswiki": {"title": f"Category:{names[0]}"}}},
    ]  # fmt: skip
    (folder / "entities.jsonl").write_text("".join(json.dumps(one) + "\n" for one in entities))
    place = Workspace(folder / "ws")
    given = BuildSettings(
        tree="gldv2-h",
        metadata=str(metadata),
        decisions=str(place.ledger),
        encoder="none",
        vocabulary=str(folder / "vocabulary.csv"),
        entities=str(folder / "entities.jsonl"),
    )
    stages = {stage.name: stage for stage in STAGES}
    run_stages([stages["items"], stages["resolve"]], place, given)
    random = np.random.default_rng(0)
    place.vectors.mkdir()
    for name, size in (("names", len(names)), ("phrases", 2), ("nodes", 2)):
        np.save(place.vectors / f"{name}.npy", random.normal(size=(size, 4)).astype(np.float32))
    np.save(place.vectors / "phrase_nodes.npy", np.arange(2))
    (place.vectors / "about.json").write_text('{"aligned": false, "encoder": "none"}')
    run_stages([stages["propose"], stages["settle"]], place, given)
    return place


def claims(**values: list[str]) -> dict[str, object]:
    return {
        name: [
            {"mainsnak": {"datavalue": {"value": {"id": qid}}}, "rank": "normal"} for qid in qids
        ]
        for name, qids in values.items()
    }


@settings(max_examples=8, deadline=None, phases=[Phase.generate])
@given(names=st.lists(TITLES, min_size=3, max_size=5, unique=True), label=NAMES, node=NAMES)
def test_names_pass_through_page_sheet_and_ledger(
    tmp_path_factory, names: list[str], label: str, node: str
) -> None:
    place = workspace(tmp_path_factory.mktemp("hostile"), names, label, node)
    items = load(place.folder, "items").set_index("item_id")
    proposals = load(place.folder, "proposals").set_index("subject")
    ties = [piece for piece in proposals.evidence["gldv2/train/0"] if piece.kind == "class_tie"]
    assert len(ties) == 2 and {piece.text for piece in ties} == {label}

    # The page shows the names as they are, and writes what it showed.
    desk = Desk(review_setup(place), "ann")
    card = desk.show("1:gldv2/train/0", single=True)["row"]
    assert card["name"] == items.name["gldv2/train/0"]
    told = " ".join([*card["facts"], *(text for at in card["places"] for text in at["evidence"])])
    assert f"ne of its Wikidata classes, {label} (Q9), belongs to {node}." in told
    desk.decide(desk.state, card["row_id"], "move", "2/palace")

    # So does the sheet.
    sheet = pd.read_csv(place.sheet, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    row = sheet.row_id == "1:gldv2/train/1"
    assert restore(sheet.name[row].item()) == items.name["gldv2/train/1"]
    assert label in sheet.evidence[sheet.row_id == "1:gldv2/train/0"].item()
    sheet.loc[row, ["decision", "target"]] = ["move", "palace"]
    sheet.to_csv(place.sheet, index=False)
    assert apply_sheet(place, place.sheet, "ben").added == 1

    decisions = read_ledger(place.ledger).decisions
    for subject, cell in zip(decisions.subject, decisions.seen, strict=True):
        seen = read_seen(cell)
        assert seen is not None and seen.evidence == proposals.evidence[subject]
        assert seen.place == (proposals.parent[subject] or "")
    found = replay(decisions, proposals.reset_index(), load(place.folder, "vocabulary"))
    assert found.stale.empty and set(found.effective.subject) == set(decisions.subject)
    assert set(found.tree.name.values()) >= {node, "palace", "human-made"}
