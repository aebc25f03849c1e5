"""A small workspace with open rows, for the tests of the review page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from small_world import VOCABULARY, evidence_hash, item
from strata_labels.build import BuildSettings, Workspace
from strata_labels.evidence import Alternative, Evidence, Reason
from strata_labels.tables import load, save

SINGLES, ALIKE, SURE = 36, 4, 10
CLASSES = ("1/Q16970", "1/Q2977", "1/Q23413", "1/Q8502")
EVIDENCE = (
    Evidence("name_word", "2/castle", text="burg", language="de"),
    Evidence("text", "2/church", 1.77),
    Evidence("text", "2/lake", 1.4),
)
OTHERS = tuple(
    Alternative(f"2/{kind}", 0.1, (Evidence("neighbours", f"2/{kind}"),))
    for kind in ("lake", "mountain", "church")
)
#: An image of the first item, in the layout of the data set.
IMAGE = "abc0123456789def"


def make_workspace(folder: Path) -> Path:
    """Open: an uncertain class, `ALIKE` castles that look alike, `SINGLES` items; `SURE` are not.

    Tables are what a build leaves, under their contracts; the ledger does not exist yet.
    """
    place = Workspace(folder)
    total = SINGLES + ALIKE + SURE
    names = [f"Place {n}" for n in range(SINGLES)]
    names += [f"Burg {n}" for n in range(ALIKE)] + [f"Sure {n}" for n in range(SURE)]
    items = pd.DataFrame(
        {
            "item_id": [item(n) for n in range(total)],
            "dataset": "gldv2",
            "split": "train",
            "source_id": range(total),
            "title": names,
            "name": names,
            "qualifier": None,
            "source_url": [f"http://commons.wikimedia.org/wiki/Category:{n}" for n in range(total)],
            "image_ids": [[IMAGE] if n == 0 else [] for n in range(total)],
        }
    )
    rows = [_row(item(n), 1, CLASSES[n % 4], 0.3 + n / 100, False) for n in range(SINGLES)]
    rows += [_row(item(SINGLES + n), 1, "1/Q23413", 0.5, False) for n in range(ALIKE)]
    rows += [_row(item(SINGLES + ALIKE + n), 1, CLASSES[n % 4], 0.97, True) for n in range(SURE)]
    for node in VOCABULARY.itertuples():
        if node.level < 3 and isinstance(node.parent_id, str):
            sure = node.node_id != "1/Q2977"
            rows.append(_row(node.node_id, node.level + 1, node.parent_id, 0.5 + sure / 2, sure))
    proposals = pd.DataFrame(rows)
    for name, frame in (("items", items), ("proposals", proposals)):
        save(folder, name, frame)
    issue = {"item_id": item(0), "image": IMAGE, "problem": "like_other_node", "other": "2/lake"}
    issue |= {"similarity": 0.1, "other_similarity": 0.5, "num_images": 3}
    save(folder, "image_issues", pd.DataFrame([issue]))
    save(folder, "vocabulary", VOCABULARY)
    place.vectors.mkdir()
    vectors = np.random.default_rng(0).normal(size=(total, 8)).astype(np.float32)
    np.save(place.vectors / "names.npy", vectors)
    picture = folder / "images" / "a" / "b" / "c" / f"{IMAGE}.jpg"
    picture.parent.mkdir(parents=True)
    Image.new("RGB", (60, 40), "teal").save(picture)
    Image.new("RGB", (60, 40), "red").save(folder / "secret.jpg")
    settings = BuildSettings(
        tree="gldv2-h",
        metadata=str(folder),
        decisions=str(place.ledger),
        encoder="registry",
        images=str(folder / "images"),
    )
    place.record.write_text(json.dumps({"parameters": settings.model_dump(mode="json")}))
    return folder


def _row(
    subject: str, level: int, parent: str, confidence: float, accepted: bool
) -> dict[str, object]:
    return {
        "row_id": f"{level}:{subject}",
        "subject": subject,
        "level": level,
        "status": "proposed",
        "parent": parent,
        "origin": "name",
        "confidence": confidence,
        "margin": 0.1,
        "accepted": accepted,
        "score": confidence,
        "evidence": EVIDENCE,
        "reasons": () if accepted else (Reason("low_confidence"),),
        "suggestion": parent,
        "alternatives": () if accepted or level > 1 else OTHERS,
        "evidence_hash": evidence_hash(subject),
    }


def with_pictures(workspace: Path) -> None:
    """Gives each item two pictures of a colour of its own."""
    items = load(workspace, "items")
    items["image_ids"] = [[f"p{n}a.png", f"p{n}b.png"] for n in range(len(items))]
    for n in range(len(items)):
        for m, letter in enumerate("ab"):
            colour = (40 + 4 * n, 200 - 3 * n, 60 + 90 * m)
            Image.new("RGB", (900, 600), colour).save(workspace / f"images/p{n}{letter}.png")
    save(workspace, "items", items)
