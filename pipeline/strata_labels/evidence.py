"""Evidence as data: its types, its fixed kinds, its columns, and its hash.

Every room writes and compares lists of `Evidence`; `evidence_text` makes sentences of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

#: Every kind of evidence, and what its fields hold; `node` is a node id, "" for none.
KINDS = {
    "name_word": "a word of the name means `node`: `text` the term as in the lexicon (a hyphen "
    "stands for the rest of the word), `language` its code",
    "text": "the name's text vector is near to that of `node`: `value` in standard deviations",
    "image_to_text": "the images are near to the text vector of `node`: `value` log-probability",
    "image_name": "the images of a found node fit the name `text`: `value` probability",
    "image": "the images are grouped with those of `node`: `value` share of resamplings",
    "class_chain": "a class of the knowledge base leads to `node`: `text` its label, `ids` its id",
    "class_tie": "like `class_chain`, but other nodes are as near: `ids` the class and those above "
    "it on the way to `node`",
    "neighbours": "the most similar items are under `node`: `value` their share, if counted; or "
    "one labelled item is: `ids` that item, `value` its similarity, 0 to 1",
    "label_count": "`value` items came with the label `node`: `ids` the nodes from it to the top, "
    "`text` one of the items",
    "published": "the label that came with the data: `node`, `ids` the nodes from it to the top",
    "vocabulary": "the vocabulary places the class under `node`: `text` its label, `ids` its id",
    "taxonomy": "a taxon above it in the knowledge base: `text` its name, `value` its level",
    "members": "what stands before it holds for several items: `value` their number, `text` the "
    "name of one, `ids` some of them",
    "category": "an item of the same category (`ids`) is under `node`",
    "cluster": "a node found among similar items: `value` their number, `text` the name of the "
    "most typical one, `ids` one of its images",
    "purity": "a found node: `value` estimated share of its items with the given label `text`",
    "retrieval": "the images most similar to its own are under `node`: `value` their share, `ids` "
    "images of the subject (its own parent) or the nearest ones (another)",
    "hap_gain": "H-AP of its images would rise if it moved to `node`: `value` in points",
    "decision": "a reviewer (`text`) decided: `node` the target if it is one, `ids` the decision, "
    "its time, and the target as written",
    "stale_decision": "like `decision`, made on evidence that has changed since",
    "lost_node": "decisions name the subject, a node that is not in the tree any more: `value` "
    "their number",
}

#: Reasons that question the name of a node, and say nothing of the items below it.
NAME_REASONS = ("two_parents", "spelled_alike", "placeholder")

#: Why a row is open for review, by kind, as a sentence.
REASONS = {
    "audit": "It was accepted without review; this checks whether that was right.",
    "retrieval": "Its images look like those of another place.",
    "label_issue": "The evidence says that the label it came with is wrong.",
    "two_parents": "The same label came under another parent too (merge the two, or keep both).",
    "spelled_alike": "Another label is spelled almost alike (merge the two, or keep both).",
    "placeholder": "It looks like a word for a missing label, and is read as one (keep it if it is "
    "a class, else exclude it).",
    "no_parent": "The label between it and what is known above it is missing.",
    "outside": "It is unlike every node of the tree.",
    "low_confidence": "The evidence is too weak to place it automatically.",
    "small_margin": "Two places are about equally likely.",
    "evidence_disagrees": "Name, class and similar items point to different places.",
    "class_tie": "Its Wikidata classes lead to several places.",
    "several_classes": "Wikidata gives it several classes.",
    "no_name_word": "No word of its name says what it is.",
    "no_evidence": "Nothing is known about it but its name.",
    "no_place": "Its Wikidata class has no place in this tree.",
    "only_coarse": "It came with a coarse label alone, and nothing known of it says a finer one.",
    "no_label": "It came without a label.",
    "no_image": "It has no image.",
    "neighbours_elsewhere": "The items most similar to it are in another place.",
    "unstable": "Without some of the known labels it would be placed elsewhere.",
    "name_it": "This group was found among the images and has no name yet.",
    "found_by_clustering": "This group was found among similar items and has no name yet.",
    "same_category_differs": "Items of the same Commons category are placed differently.",
    "splits_differ": "An item with the same title is placed elsewhere in another split.",
    "taxonomy_differs": "Wikidata's taxonomy places it elsewhere.",
    "lost_node": "Decisions name this node, which is not in the tree any more.",
    "stale_decision": "It was decided before, but the evidence has changed since.",
    "unsure": "A reviewer was unsure about it.",
    "disputed": "Two reviewers disagree about it.",
}


class Evidence(NamedTuple):
    """One thing that is known of a subject; `KINDS` says what the fields of each kind hold."""

    kind: str
    node: str = ""
    value: float | None = None
    text: str = ""
    language: str = ""
    ids: tuple[str, ...] = ()


class Reason(NamedTuple):
    """Why a row is open: a kind of `REASONS`, and the node it is about, if there is one."""

    kind: str
    node: str = ""


class Alternative(NamedTuple):
    """Another place for a subject: its probability (None if unknown) and what speaks for it."""

    node: str
    confidence: float | None = None
    evidence: tuple[Evidence, ...] = ()


# --- columns -----------------------------------------------------------------------------

_EVIDENCE = pa.struct(
    [
        ("kind", pa.string()),
        ("node", pa.string()),
        ("value", pa.float64()),
        ("text", pa.string()),
        ("language", pa.string()),
        ("ids", pa.list_(pa.string())),
    ]
)
EVIDENCE_LIST = pa.list_(_EVIDENCE)
REASON_LIST = pa.list_(pa.struct([("kind", pa.string()), ("node", pa.string())]))
ALTERNATIVE_LIST = pa.list_(
    pa.struct([("node", pa.string()), ("confidence", pa.float64()), ("evidence", EVIDENCE_LIST)])
)

_Rows = Iterable[Sequence[Any] | None]


def encode(rows: _Rows, kind: pa.ListType) -> pa.ListArray:
    """An Arrow column of lists of `Evidence`, `Reason` or `Alternative`, made field by field.

    Args:
        rows: a list for each row; None counts as an empty one.
        kind: `EVIDENCE_LIST`, `REASON_LIST` or `ALTERNATIVE_LIST`.

    Raises:
        ValueError: a kind that `KINDS` or `REASONS` does not know.
    """
    ends, flat = _flat(rows)
    struct = kind.value_type
    columns = list(zip(*flat, strict=True)) if flat else [()] * struct.num_fields
    if struct.field(0).name == "kind":
        unknown = set(columns[0]) - (KINDS if kind == EVIDENCE_LIST else REASONS).keys()
        if unknown:
            raise ValueError(f"unknown kinds: {', '.join(sorted(map(str, unknown)))}")
    fields = [_encoded(*pair) for pair in zip(columns, struct, strict=True)]
    return pa.ListArray.from_arrays(ends, pa.StructArray.from_arrays(fields, fields=list(struct)))


def _encoded(values: Sequence[Any], field: pa.Field) -> pa.Array:
    if field.type == EVIDENCE_LIST:
        return encode(values, field.type)
    if pa.types.is_list(field.type):
        ends, flat = _flat(values)
        return pa.ListArray.from_arrays(ends, pa.array(flat, field.type.value_type))
    return pa.array(values, field.type)


def _flat(rows: _Rows) -> tuple[np.ndarray, list[Any]]:
    """Where each list begins and ends in all of them joined, and these."""
    lists = [() if row is None else row for row in rows]
    ends = np.zeros(len(lists) + 1, dtype=np.int32)
    np.cumsum([len(row) for row in lists], out=ends[1:])
    return ends, list(chain.from_iterable(lists))


def decode(column: pa.ListArray | pa.ChunkedArray) -> list[tuple[Any, ...]]:
    """The lists of an Arrow column that `encode` made, as tuples of named tuples."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    # Types read from a file are equal to these, but have another hash.
    types = ((EVIDENCE_LIST, Evidence), (REASON_LIST, Reason), (ALTERNATIVE_LIST, Alternative))
    make: Any = next(found for kind, found in types if kind == column.type)
    flat = column.flatten()
    values = [_decoded(flat.field(n)) for n in range(flat.type.num_fields)]
    return _cut(list(map(make._make, zip(*values, strict=True))), column)


def _decoded(field: pa.Array) -> list[Any]:
    if field.type == EVIDENCE_LIST:
        return decode(field)
    if pa.types.is_list(field.type):
        return _cut(field.flatten().to_pylist(), field)
    return field.to_pylist()


def _cut(values: list[Any], column: pa.ListArray) -> list[tuple[Any, ...]]:
    ends = np.cumsum(column.value_lengths().to_numpy(zero_copy_only=False)).tolist()
    return [tuple(values[start:end]) for start, end in pairwise([0, *ends])]


def has_reason(rows: Iterable[Sequence[Reason]], *kinds: str) -> np.ndarray:
    """Whether each row has a reason of one of the kinds, boolean `[n]`."""
    return np.array([any(r.kind in kinds for r in reasons) for reasons in rows], dtype=bool)


# --- fingerprint and record -----------------------------------------------------------------

_MARK = "e2:"
# Made once: a large table has hundreds of thousands of rows.
_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def evidence_hash(**known: str | Sequence[Any]) -> str:
    """Fingerprint of what is known of a subject, `e2:` and 16 hex digits of a SHA-256.

    Give it only what lasts: names, ids, labels, and evidence made of these. Scores stay out: a
    decision is stale when what was known of the subject has changed, not when a model has learnt
    from other decisions.

    Of texts and lists of texts it makes the 16 digits that version 0.1.0 made of them, so that
    decisions of that version keep their meaning (see `same_hash`).

    Args:
        known: texts, and lists of them or of evidence, by name; their order counts.

    Example:
        >>> evidence_hash(name="Pont Neuf", classes=["Q12280"])
        'e2:ce3d3acad927fb18'
    """
    parts = (
        part
        if isinstance(part, str)
        else "\x1e".join(one if isinstance(one, str) else json.dumps(one) for one in part)
        for part in known.values()
    )
    return _MARK + hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


def is_old_hash(text: str) -> bool:
    """Whether a hash was made by version 0.1.0, which made some of sentences."""
    return not text.startswith(_MARK)


def same_hash(one: str, other: str) -> bool:
    """Whether two hashes are of the same facts, one of them perhaps made by version 0.1.0."""
    return one.removeprefix(_MARK) == other.removeprefix(_MARK)


class Seen(NamedTuple):
    """What a reviewer saw of a row: the place it was proposed for ("" for none), the evidence."""

    place: str
    evidence: tuple[Evidence, ...] = ()


def write_seen(seen: Seen) -> str:
    """`Seen` as compact JSON, for one cell of a ledger. Cleaning the cell does not change it."""
    evidence = [
        {name: value for name, value in piece._asdict().items() if value not in (None, "", ())}
        for piece in seen.evidence
    ]
    text = _JSON.encode({"place": seen.place, "evidence": evidence})
    return text.replace("  ", "\\u0020\\u0020")


def read_seen(text: str) -> Seen | None:
    """What `write_seen` wrote; None if the cell is blank or damaged.

    Version 0.1.0 wrote `proposed <node id>; <sentences>`, or sentences alone: of these the place is
    read. Evidence of a kind that this version does not know is left out.
    """
    if text.startswith("{"):
        try:
            found = json.loads(text)
            pieces = [{**piece, "ids": tuple(piece.get("ids", ()))} for piece in found["evidence"]]
            known = (Evidence(**piece) for piece in pieces if piece["kind"] in KINDS)
            return Seen(str(found["place"]), tuple(known))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None  # a person or a program has changed the cell
    if not text:
        return None
    start, _, rest = text.partition(" ")
    return Seen(rest.partition("; ")[0] if start == "proposed" else "")
