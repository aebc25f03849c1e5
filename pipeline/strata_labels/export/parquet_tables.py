"""The tree as two Parquet tables, which a build can read again and two formats describe."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa

from strata_labels.export.export_input import ExportInput
from strata_labels.tables import read_parquet

_TEXT = pa.string()

#: Columns of `items` beside the levels' names.
ITEMS = {
    "id": _TEXT,
    "split": _TEXT,
    "name": _TEXT,
    "status": _TEXT,
    "node_id": _TEXT,
    "origin": _TEXT,
    "confidence": pa.float32(),
    "accepted_level": pa.int8(),
    "accepted": pa.bool_(),
    "url": _TEXT,
    "image": pa.list_(_TEXT),
}
#: Where the confidences are, in Markdown.
IN_ITEMS = (
    "`items` has each item's label and confidence at each level, its origin, and `accepted_level`, "
    "the finest level that needs no review."
)

NODES = pa.schema(
    [
        ("node_id", _TEXT),
        ("level", pa.int8()),
        ("name", _TEXT),
        ("parent_id", _TEXT),
        ("description", _TEXT),
    ]
)


def items_table(
    given: ExportInput, rows: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, pa.Schema]:
    """Every item with the name of each level; `node_id` is where it hangs.

    Args:
        given: what is exported.
        rows: those of `ExportInput.split_rows`, in place of its `rows`.
    """
    columns = given.level_columns(ITEMS)
    kinds = {
        name: pa.float32() if key.endswith("confidence") else _TEXT for key, name in columns.items()
    }
    before, after = ("id", "split", "name"), ("url", "image")
    rest = {name: kind for name, kind in ITEMS.items() if name not in (*before, *after)}
    last = {name: ITEMS[name] for name in after}
    schema = pa.schema({**{name: ITEMS[name] for name in before}, **kinds, **rest, **last})
    names = {column: name for name, column in columns.items()}
    names |= {"url": "source_url", "image": "image_ids"}
    rows = given.rows if rows is None else rows
    rows = rows.assign(node_id=given.parents(rows))
    # Renamed last: a level may be called anything, also `item_id`.
    rows = rows[[names.get(name, name) for name in schema.names]]
    return rows.set_axis(schema.names, axis=1).astype({"confidence": "float32"}), schema


def compare_table(path: Path, frame: pd.DataFrame, schema: pa.Schema) -> None:
    """Raises ValueError unless the Parquet file holds exactly this table."""
    expected = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
    found = read_parquet(path)
    if not found.equals(expected.replace_schema_metadata(None)):
        raise ValueError(f"{path}: another table than was written")
