"""The tables of a workspace: what a row of each is, and writing and reading them.

A workspace holds `tables/<name>.parquet`; `SCHEMAS` is the contract of each. Files that people make
are read by `strata_labels.people_csv`.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from strata_labels.errors import InputError, Problem
from strata_labels.evidence import ALTERNATIVE_LIST, EVIDENCE_LIST, REASON_LIST, decode, encode
from strata_labels.files import write_table

_TEXT, _TEXTS = pa.string(), pa.list_(pa.string())
# Types of the columns that hold lists of `Evidence`, `Reason`, `Alternative`.
_TYPED = (EVIDENCE_LIST, REASON_LIST, ALTERNATIVE_LIST)
_NODES = pa.schema(
    [
        ("node_id", _TEXT),
        ("level", pa.int8()),
        ("name", _TEXT),
        ("parent_id", _TEXT),
        ("qid", _TEXT),
    ]
)

SCHEMAS: dict[str, pa.Schema] = {
    # One row is a thing to be labelled. `title` is the knowledge base's page title (Commons
    # category without its prefix), `name` the clean name, `qualifier` what stood behind it.
    "items": pa.schema(
        [
            ("item_id", _TEXT),
            ("dataset", _TEXT),
            ("split", _TEXT),
            ("source_id", pa.int64()),
            ("title", _TEXT),
            ("name", _TEXT),
            ("qualifier", _TEXT),
            ("source_url", _TEXT),
            ("image_ids", _TEXTS),
            ("qid", _TEXT),
        ]
    ),
    # A label that came with the data: `node` is the name of the item's node at a level above 0.
    # `origin` is `published` for labels in the metadata, `known` for those of `--known-labels`.
    # Any level may be missing for any item.
    "labels": pa.schema(
        [("item_id", _TEXT), ("level", pa.int8()), ("node", _TEXT), ("origin", _TEXT)]
    ),
    # What the knowledge base answered for an item.
    "entities": pa.schema(
        [
            ("item_id", _TEXT),
            ("status", _TEXT),
            ("qid", _TEXT),
            ("label", _TEXT),
            ("class_qids", _TEXTS),
            ("lat", pa.float64()),
            ("lon", pa.float64()),
            ("country", _TEXT),
            ("revision", pa.int64()),
            ("linked_by", _TEXT),
            ("other_qids", _TEXTS),
        ]
    ),
    # A class of the knowledge base and its parents (P279).
    "classes": pa.schema([("qid", _TEXT), ("label", _TEXT), ("parent_qids", _TEXTS)]),
    # A subclass statement that was met on the way up and not climbed (see `knowledge.Cut`).
    "class_cuts": pa.schema([(name, _TEXT) for name in ("from_qid", "to_qid", "reason", "detail")]),
    # The knowledge base's taxa above an item that was matched by its taxon name: a row for each of
    # a rank; several of one rank where parents differ.
    "taxa": pa.schema([(name, _TEXT) for name in ("item_id", "rank", "name", "qid")]),
    # Words that speak for a node, from the classes of the knowledge base.
    "lexicon": pa.schema(
        [(name, _TEXT) for name in ("node", "qid", "language", "term", "strength")]
    ),
    # A proposed parent for a subject (item, class or node) at one level. `confidence` is the
    # calibrated probability that the parent is right; `accepted`: it needs no review. `score`,
    # 0 to 1 (1 is clean), is the confidence lowered by what speaks against the row. `evidence`,
    # `reasons` and `alternatives` (best first) are lists as `strata_labels.evidence` says.
    "proposals": pa.schema(
        [
            ("row_id", _TEXT),
            ("subject", _TEXT),
            ("level", pa.int8()),
            ("status", _TEXT),
            ("parent", _TEXT),
            ("origin", _TEXT),
            ("confidence", pa.float32()),
            ("margin", pa.float32()),
            ("accepted", pa.bool_()),
            ("score", pa.float32()),
            ("evidence", EVIDENCE_LIST),
            ("reasons", REASON_LIST),
            ("suggestion", _TEXT),
            ("alternatives", ALTERNATIVE_LIST),
            ("evidence_hash", _TEXT),
        ]
    ),
    # How sure an item's path is at a level above 0, where that was scored: `accepted` if this level
    # and all above it need no review.
    "path_confidence": pa.schema(
        [
            ("item_id", _TEXT),
            ("level", pa.int8()),
            ("confidence", pa.float32()),
            ("accepted", pa.bool_()),
        ]
    ),
    # A label that came with the data, and how far to trust it: `score` from 0 to 1 (1 is clean),
    # computed without the label; `wrong` the estimated probability that it is wrong; `suggestion`
    # the likeliest other node; `opened` if its row was opened for review.
    "label_issues": pa.schema(
        [
            ("item_id", _TEXT),
            ("level", pa.int8()),
            ("given", _TEXT),
            ("suggestion", _TEXT),
            ("score", pa.float32()),
            ("wrong", pa.float32()),
            ("opened", pa.bool_()),
        ]
    ),
    # An image that does not look like the other images of its item (`unlike_item`), or looks more
    # like another node (`like_other_node`). Of an item with at least three readable images.
    # `similarity`: cosine of centred vectors to the item's other images; `other_similarity`: to the
    # mean of the nearest other node, `other`. Null where the item has no accepted node.
    "image_issues": pa.schema(
        [
            ("item_id", _TEXT),
            ("image", _TEXT),
            ("problem", _TEXT),
            ("similarity", pa.float32()),
            ("other", _TEXT),
            ("other_similarity", pa.float32()),
            ("num_images", pa.int32()),
        ]
    ),
    # What retrieval says against a place (see the room `validation`): `gain` is what H-AP of the
    # subject's images would rise by under the suggestion (`total`: the mean over all images),
    # `expected` that times the chance of the move being right, `here` and `there` the shares of its
    # nearest images under either parent; `images` are of the subject, `nearest` of the suggestion.
    # By `expected`, highest first.
    "doubts": pa.schema(
        [
            ("row_id", _TEXT),
            ("subject", _TEXT),
            ("level", pa.int8()),
            ("current", _TEXT),
            ("suggestion", _TEXT),
            ("alternatives", _TEXTS),
            ("gain", pa.float64()),
            ("total", pa.float64()),
            ("expected", pa.float64()),
            ("here", pa.float64()),
            ("there", pa.float64()),
            ("num_images", pa.int32()),
            ("images", _TEXTS),
            ("nearest", _TEXTS),
        ]
    ),
    # An item row that was accepted without review and drawn for a person to check, and the parent
    # it had been accepted with.
    "audit": pa.schema([("row_id", _TEXT), ("parent", _TEXT)]),
    # The part of a split that an image of an item is in; `class_id` is the class that decides it.
    # The image is null where an item has none. What was asked for is in the file's metadata.
    "split": pa.schema([(name, _TEXT) for name in ("item_id", "image", "class_id", "split")]),
    # A node of the label tree; level 0 is the item.
    "nodes": _NODES,
    # Every node a decision may name, in use or not; none of level 0.
    "vocabulary": _NODES,
}

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
    cells = (("id", _TEXT), ("name", _TEXT), ("confidence", pa.float32()))
    path = [(f"level{n}_{what}", kind) for n in range(1, num_levels) for what, kind in cells]
    return pa.schema(
        [
            ("item_id", _TEXT),
            ("split", _TEXT),
            ("name", _TEXT),
            ("status", _TEXT),
            *path,
            ("accepted_level", pa.int8()),
            ("origin", _TEXT),
            ("confidence", pa.float32()),
            ("accepted", pa.bool_()),
        ]
    )


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
    if missing:
        raise InputError(
            Problem(f"table {name}", "column missing:", "Add it.", column=column)
            for column in missing
        )
    shares = [field.name for field in schema if field.type == pa.float32()]
    if shares:
        frame = frame.assign(**{share: _rounded(frame[share]) for share in shares})
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
        metadata = pq.read_schema(path).metadata or {}
    text = metadata.get(_VERSION_KEY, b"1").decode("utf-8", "replace")
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


def _rounded(column: pd.Series) -> pd.Series:
    """Confidences as they are written: other kernels of linear algebra differ in later places."""
    return column.astype("float64").round(SHARE_DECIMALS)


def is_parquet(path: Path) -> bool:
    """Whether a file has the header and the end of a Parquet file."""
    try:
        pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError):
        return False
    return True


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
    if missing:
        fix = "Run the build again."
        raise InputError(Problem(path, "column missing:", fix, column=name) for name in missing)
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
    with _damage_named(path):
        return pq.read_table(path, columns=None if columns is None else list(columns))


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
