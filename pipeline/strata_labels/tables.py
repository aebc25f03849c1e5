"""Writes and reads the tables of a workspace, under their contracts.

A workspace holds `tables/<name>.parquet` under the contract of each in
`strata_labels.table_contracts`. Files that people make are read by `strata_labels.people_csv`.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from strata_labels.errors import InputError, Problem, refuse
from strata_labels.evidence import ALTERNATIVE_LIST, EVIDENCE_LIST, REASON_LIST, decode, encode
from strata_labels.files import write_table
from strata_labels.table_contracts import TABLES, assignments_table

# Types of the columns that hold lists of `Evidence`, `Reason`, `Alternative`.
_TYPED = (EVIDENCE_LIST, REASON_LIST, ALTERNATIVE_LIST)

#: The columns' types of every table but `assignments`; `TABLES` says what they mean.
SCHEMAS: dict[str, pa.Schema] = {name: table.schema for name, table in TABLES.items()}

DECISION_COLUMNS = [
    "row_id",
    "subject",
    "level",
    "decision",
    "target",
    "reviewer",
    "note",
    "decided_at",
    "evidence_hash",
    "seen",
]


#: Version of the tables' contracts, which every table of a workspace has in its metadata. Version
#: 0.1.0 wrote none, which counts as 1: its tables are read as `load` says, and written anew by the
#: next command that rebuilds.
SCHEMA_VERSION = 2
_VERSION_KEY = b"strata_schema_version"
_ABOUT_KEY = b"strata_about"
# Tables that version 0.1.0 did not write: until the next build they count as empty.
_SINCE_0_1_0 = ("path_confidence", "label_issues", "image_issues")

#: Decimals of confidences and scores in a table.
SHARE_DECIMALS = 4

#: Status of an item that has a label; other statuses are reasons for having none.
LABELLED = "labelled"

#: Status of an item that is unlike every node: its path is a guess, and no label.
OUTSIDE = "outside"


def assignments_schema(num_levels: int) -> pa.Schema:
    """An item's path: per level above 0 a node id, a name and a confidence (`level1_id, ...`).

    `accepted_level` is the finest level that needs no review, with all above it; null for none. The
    path has the best guess below it too. `confidence` is that of the item's row.

    Args:
        num_levels: number of levels, the item's own level 0 included.
    """
    return assignments_table(num_levels).schema


def table_path(folder: Path, name: str) -> Path:
    """The file of a workspace's table."""
    return folder / "tables" / f"{name}.parquet"


def save(
    folder: Path,
    name: str,
    frame: pd.DataFrame,
    schema: pa.Schema | None = None,
    about: str = "",
) -> Path:
    """Writes `frame` as `folder/tables/<name>.parquet` under its contract; returns the path.

    `about` is kept in the file's metadata, see `read_about`.

    Raises:
        InputError: a contract column is missing (all missing ones listed).
    """
    schema = schema or SCHEMAS[name]
    if name == "items" and "qid" not in frame:  # few sources give Wikidata ids
        frame = frame.assign(qid=None)
    missing = [field.name for field in schema if field.name not in frame.columns]
    where = f"table {name}"
    refuse(Problem(where, "column missing:", "Add it.", column=column) for column in missing)
    shares = [field.name for field in schema if field.type == pa.float32()]
    if shares:  # other kernels of linear algebra differ in later places
        rounded = frame[shares].astype("float64").round(SHARE_DECIMALS)
        frame = frame.assign(**{share: rounded[share] for share in shares})
    path = table_path(folder, name)
    typed = [field for field in schema if field.type in _TYPED]
    plain = pa.schema([field for field in schema if field.type not in _TYPED])
    table = pa.Table.from_pandas(frame[plain.names], plain, preserve_index=False)
    for field in typed:
        table = table.append_column(field, encode(frame[field.name], field.type))
    metadata = {_VERSION_KEY.decode(): str(SCHEMA_VERSION)}
    if about:
        metadata[_ABOUT_KEY.decode()] = about
    write_table(path, table.select(schema.names), metadata=metadata)
    return path


def schema_version(path: Path) -> int:
    """The version of the contracts that a table was written under.

    Raises:
        InputError: it is not a Parquet file, or is of a later version than this program's.
    """
    with _damage_named(path):
        schema = pq.read_schema(path)
    return _version_in(path, schema)


def check_schema_version(path: Path) -> None:
    """Checks that no later version has written a table; a damaged one passes.

    Raises:
        InputError: a later version has.
    """
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError):
        return
    _version_in(path, schema)


def _version_in(path: Path, schema: pa.Schema) -> int:
    text = (schema.metadata or {}).get(_VERSION_KEY, b"1").decode("utf-8", "replace")
    if text.isascii() and text.isdecimal() and len(text) < 9 and int(text) <= SCHEMA_VERSION:
        return int(text)
    what = f"the table is of schema version {text}; this Strata reads up to {SCHEMA_VERSION}"
    raise InputError(Problem(path, what, "Use the Strata that wrote it, or a later one."))


def read_about(path: Path) -> str:
    """What `save` kept in the metadata of a table, "" for nothing.

    Raises:
        InputError: it is not a Parquet file.
    """
    with _damage_named(path):
        metadata = pq.read_schema(path).metadata or {}
    return metadata.get(_ABOUT_KEY, b"").decode("utf-8", "replace")


def load(folder: Path, name: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Reads `folder/tables/<name>.parquet`.

    Args:
        folder: the workspace.
        name: of the table.
        columns: read these only. Lists of evidence are slow to read in a large table.

    Raises:
        InputError: the table is not there or is not a Parquet file, has not these columns, or is of
            a later schema version.
    """
    path = table_path(folder, name)
    if not path.exists():
        if name in _SINCE_0_1_0:
            return pd.DataFrame(columns=list(columns or SCHEMAS[name].names))
        raise InputError(
            Problem(path, "table not found", "Run `strata build` on this workspace first.")
        )
    if schema_version(path) > 1 or name != "proposals":
        return load_file(path, columns)
    with _damage_named(path):
        old = "score" not in pq.read_schema(path).names
    if not old:  # written between version 0.1.0 and the first schema version
        return load_file(path, columns)
    frame = _upgraded(load_file(path))
    return frame[list(columns)] if columns else frame


def _upgraded(proposals: pd.DataFrame) -> pd.DataFrame:
    """Proposals of version 0.1.0, whose evidence is text: left out until the next build."""
    blank = pd.Series([()] * len(proposals), proposals.index, dtype=object)
    typed = {field.name: blank for field in SCHEMAS["proposals"] if field.type in _TYPED}
    upgraded = proposals.assign(**typed, score=proposals["confidence"])
    return upgraded[SCHEMAS["proposals"].names]


def load_file(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Reads a table of a workspace; columns of evidence come as tuples of named tuples.

    Raises:
        InputError: it is not there, is not a Parquet file, or has not these columns.
    """
    table = read_parquet(path, columns)
    missing = [name for name in columns or () if name not in table.column_names]
    fix = "Run the build again."
    refuse(Problem(path, "column missing:", fix, column=name) for name in missing)
    typed = [field.name for field in table.schema if field.type in _TYPED]
    frame = table.drop_columns(typed).to_pandas()
    with without_cycle_search():
        for name in typed:
            frame[name] = pd.Series(decode(table[name]), frame.index, dtype=object)
    return frame[list(columns or table.column_names)]


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Reads a Parquet file of any contents, or a folder of them; `columns` it lacks are left out.

    Raises:
        InputError: it is not there, or is not a Parquet file.
    """
    names = None if columns is None else list(columns)
    with _damage_named(path):
        if path.is_dir():
            return pq.read_table(path, columns=names)
        with pq.ParquetFile(path) as file:  # in half of the time for a small table
            own = file.schema_arrow.names
            if twice := sorted({name for name in own if own.count(name) > 1}):
                fix = "Rename or remove one of the columns."
                raise InputError(
                    Problem(path, "column appears twice:", fix, value=name) for name in twice
                )
            return file.read(columns=names)


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turns what Arrow raises on a file that it cannot read into an input error."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(Problem(path, "not found", "Check the path.")) from None
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        raise InputError(
            Problem(path, f"damaged table ({error})", "Write it again: a workspace's, by a build.")
        ) from None


@contextmanager
def without_cycle_search() -> Iterator[None]:
    """Keeps Python from looking for reference cycles while rows become objects that have none.

    It would walk all of them again and again as they grow: a fifth of the time of proposing for
    200,000 items, two fifths of reading as many decisions.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def labels_at(labels: pd.DataFrame, items: pd.Series, level: int, origin: str) -> pd.Series:
    """Each item's label at a level, from the table `labels`.

    Args:
        labels: the table `labels`.
        items: item ids.
        level: the level, above 0.
        origin: `published` or `known`.

    Returns:
        Names with the index of `items`, "" where an item has no such label.
    """
    own = labels[(labels["level"] == level) & (labels["origin"] == origin)]
    return items.map(own.set_index("item_id")["node"]).fillna("").astype(object)


def own_ids(items: pd.DataFrame) -> list[str]:
    """Each item's id in its data set: `item_id` without the data set's name and the split."""
    columns = (items[name] for name in ("item_id", "dataset", "split"))
    return [
        item.removeprefix(f"{dataset}/").removeprefix(f"{split}/")
        for item, dataset, split in zip(*columns, strict=True)
    ]
