"""`landmarks.csv`: every item with its name, its path of labels, country and coordinates."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from strata_labels.export.export_input import ExportInput
from strata_labels.export.export_result import ExportResult, compare, write_csv
from strata_labels.people_csv import neutralise

NAME = "landmarks.csv"
PLACE = {"qid": "wikidata", "country": "country", "lat": "latitude", "lon": "longitude"}


def _frame(given: ExportInput) -> pd.DataFrame:
    columns = given.level_columns(["id", "split", "name", *PLACE.values()])
    known = given.entities
    if known is None:
        known = pd.DataFrame(columns=["item_id", *PLACE])
    known = known[["item_id", *PLACE]].drop_duplicates("item_id").rename(columns=PLACE)
    frame = given.rows.merge(known, on="item_id", how="left", validate="one_to_one")
    # Renamed last: a level may be called anything, also `item_id`.
    frame = frame[["id", "split", "name", *columns, *PLACE.values()]].rename(columns=columns)
    # Shortest text that reads back as the same number.
    for column in ("latitude", "longitude"):
        frame[column] = [
            "" if pd.isna(value) else repr(float(value)) for value in frame[column].tolist()
        ]
    texts = frame.columns.difference(["latitude", "longitude"])
    frame = frame.astype(object).where(frame.notna(), "")
    # People open it in spreadsheet programs; a build of a table reads the cells as they were.
    frame[texts] = frame[texts].map(neutralise)
    return frame


def write(folder: Path, given: ExportInput) -> ExportResult:
    """A row for every item; blank where a label or a place is unknown."""
    frame = _frame(given)
    write_csv(folder / NAME, frame)
    return ExportResult([folder / NAME], {NAME: len(frame)}, len(frame))


def check(folder: Path, given: ExportInput) -> None:
    """Reads the file back as text and compares every cell."""
    path = folder / NAME
    compare(path, pd.read_csv(path, dtype=str, keep_default_na=False), _frame(given))
