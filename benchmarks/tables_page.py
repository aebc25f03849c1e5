"""Writes docs/tables.md: every table of a workspace, with the meaning of every column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
from strata_labels.evidence import KINDS, REASONS
from strata_labels.table_contracts import TABLES, Table, assignments_table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tables.md"


def page() -> str:
    """The page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Tables of a workspace"
    yield ""
    yield "`make cards` writes this page from `strata_labels.table_contracts` and"
    yield "`strata_labels.evidence`. A table is `WS/tables/NAME.parquet`; every Parquet reader"
    yield "opens it, and `strata_labels.tables.load` reads it with typed evidence. A table that a"
    yield "tree has no use for is empty or missing."
    tables = {**TABLES, "assignments": assignments_table(2)}
    for name, table in tables.items():
        yield f"\n## {name}\n"
        yield f"One row is {table.row}."
        if name == "assignments":
            yield "`level1_...` is repeated for every level above 0 (`level2_...`)."
        yield ""
        yield from _columns(table)
    yield "\n## Kinds of evidence\n"
    yield "An evidence has `kind, node, value, text, language, ids`."
    yield ""
    yield from _table(("kind", "what it says, and where"), KINDS.items())
    yield "\n## Reasons of an open row\n"
    yield from _table(("reason", "as a person reads it"), REASONS.items())


def _columns(table: Table) -> Iterator[str]:
    rows = ((column.name, _type(column.type), column.meaning) for column in table.columns)
    yield from _table(("column", "type", "meaning"), rows)


def _type(kind: pa.DataType) -> str:
    if not pa.types.is_list(kind):
        return str(kind)
    if not pa.types.is_struct(kind.value_type):
        return f"list of {kind.value_type}"
    fields = ", ".join(field.name for field in kind.value_type)
    return f"list of ({fields})"


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(header) + " |"
    yield "|---" * len(header) + "|"
    for first, *others in rows:
        yield "| " + " | ".join([f"`{first}`", *others]) + " |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
