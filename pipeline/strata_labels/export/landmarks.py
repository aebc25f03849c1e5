"""`landmarks.csv`: every item with name, labels, country, coordinates, confidences and origin."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from strata_labels.export.export_input import ExportInput
from strata_labels.export.export_result import (
    ExportResult,
    compare_people_csv,
)
from strata_labels.people_csv import write_people_csv

#: How to open it, in Markdown.
USAGE = (
    'One row for each item: `pandas.read_csv("landmarks.csv")`, or a spreadsheet. A cell that a '
    "spreadsheet would run as a formula begins with an apostrophe."
)

NAME = "landmarks.csv"
PLACE = {"qid": "wikidata", "country": "country", "lat": "latitude", "lon": "longitude"}
SURE = ["origin", "accepted_level"]


def _frame(given: ExportInput) -> pd.DataFrame:
    columns = given.level_columns(["id", "split", "name", *PLACE.values(), *SURE])
    known = given.entities
    if known is None:
        known = pd.DataFrame(columns=["item_id", *PLACE])
    known = known[["item_id", *PLACE]].drop_duplicates("item_id").rename(columns=PLACE)
    frame = given.rows.merge(known, on="item_id", how="left", validate="one_to_one")
    # Renamed last: a level may be called anything, also `item_id`.
    labels = [key for key in columns if key.endswith("_name")]
    sure = [key for key in columns if key not in labels]
    order = ["id", "split", "name", *labels, *PLACE.values(), *SURE, *sure]
    frame = frame[order].rename(columns=columns)
    return frame.assign(
        **{name: frame[name].astype("float64") for name in ("latitude", "longitude")}
    )


def write(folder: Path, given: ExportInput) -> ExportResult:
    """A row for every item; blank where a label or a place is unknown."""
    frame = _frame(given)
    # People open it in spreadsheet programs; a build of a table reads the cells as they were.
    write_people_csv(folder / NAME, frame)
    return ExportResult([folder / NAME], {NAME: len(frame)}, len(frame))


def check(folder: Path, given: ExportInput) -> None:
    """Reads the file back as text and compares every cell."""
    compare_people_csv(folder / NAME, _frame(given))
