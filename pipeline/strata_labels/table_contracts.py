"""What the tables of a workspace hold: each column's type and meaning, as in docs/tables.md."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

from strata_labels.evidence import ALTERNATIVE_LIST, EVIDENCE_LIST, REASON_LIST

_TEXT, _TEXTS = pa.string(), pa.list_(pa.string())
_LEVEL, _COUNT = pa.int8(), pa.int32()
_SHARE, _FLAG = pa.float32(), pa.bool_()


class Column(NamedTuple):
    """A column: its name, its Arrow type, and what a cell of it says."""

    name: str
    type: pa.DataType
    meaning: str


class Table(NamedTuple):
    """A table: what one row of it is, and its columns in their order."""

    row: str
    columns: tuple[Column, ...]

    @property
    def schema(self) -> pa.Schema:
        """The columns' names and types."""
        return pa.schema([(column.name, column.type) for column in self.columns])


_NODE_COLUMNS = (
    Column("node_id", _TEXT, "id of the node: `level/name`, or the item's id at level 0"),
    Column("level", _LEVEL, "0 for an item, then finest first"),
    Column("name", _TEXT, "name of the node"),
    Column("parent_id", _TEXT, "the node above; null at the top"),
    Column("qid", _TEXT, "Wikidata id, if the node has one"),
)

TABLES: dict[str, Table] = {
    "items": Table(
        "a thing to be labelled",
        (
            Column("item_id", _TEXT, "`dataset/split/id`; ends in the source's own id"),
            Column("dataset", _TEXT, "name of the data set"),
            Column("split", _TEXT, "`train`, `test`, `index` or what the source says"),
            Column("source_id", pa.int64(), "the source's number, or the row of a table"),
            Column("title", _TEXT, "Commons category without its prefix; blank for none"),
            Column("name", _TEXT, "the clean name that words are read from"),
            Column("qualifier", _TEXT, "what stood behind the name, such as a place in brackets"),
            Column("source_url", _TEXT, "the address that the metadata gives"),
            Column("image_ids", _TEXTS, "ids or paths of the item's images"),
            Column("qid", _TEXT, "Wikidata id that came with the item"),
        ),
    ),
    "labels": Table(
        "a label that came with the data; any level may be missing for any item",
        (
            Column("item_id", _TEXT, "the item"),
            Column("level", _LEVEL, "level of the node, above 0"),
            Column("node", _TEXT, "name of the node"),
            Column("origin", _TEXT, "`published` (in the metadata) or `known` (`--known-labels`)"),
        ),
    ),
    "titles": Table(
        "a Commons category, and the Wikidata item that `strata resolve` found for it",
        (
            Column("title", _TEXT, "the category without its prefix"),
            Column(
                "status",
                _TEXT,
                "`resolved`, `redirected`, `ambiguous`, `category_only` (the category's own item, "
                "of no topic), `no_item`, `missing`, `deleted`, `circular`, `invalid` or "
                "`not_asked`",
            ),
            Column("qid", _TEXT, "Wikidata id of the item; the lowest of several"),
            Column("linked_by", _TEXT, "`sitelink`, `category item` or `commons category`"),
            Column("redirect_target", _TEXT, "the category it is redirected to"),
            Column("revision", pa.int64(), "revision of the item"),
            Column("other_qids", _TEXTS, "the other items it may mean, or the category's own"),
        ),
    ),
    "entities": Table(
        "what Wikidata answered for an item",
        (
            Column("item_id", _TEXT, "the item"),
            Column("status", _TEXT, "`resolved`, `redirected`, `ambiguous`, `missing` and others"),
            Column("qid", _TEXT, "the entity; null for none"),
            Column("label", _TEXT, "its label"),
            Column("class_qids", _TEXTS, "its classes (P31; P279 of a given id)"),
            Column("lat", pa.float64(), "latitude in degrees (P625)"),
            Column("lon", pa.float64(), "longitude in degrees (P625)"),
            Column("country", _TEXT, "Wikidata id of the country (P17)"),
            Column("revision", pa.int64(), "revision of the entity, where known"),
            Column("linked_by", _TEXT, "`sitelink`, `category item`, `commons category`, `given`"),
            Column("other_qids", _TEXTS, "other entities that claim the same category"),
        ),
    ),
    "classes": Table(
        "a class of Wikidata",
        (
            Column("qid", _TEXT, "the class"),
            Column("label", _TEXT, "its label"),
            Column("parent_qids", _TEXTS, "the classes that it is a subclass of (P279)"),
        ),
    ),
    "class_cuts": Table(
        "a subclass statement that was met on the way up and not followed",
        (
            Column("from_qid", _TEXT, "the class"),
            Column("to_qid", _TEXT, "the class above; blank if the class is unknown"),
            Column("reason", _TEXT, "`loop`, `depth`, `stop`, `rank` or `missing`"),
            Column("detail", _TEXT, "the depth, the rank, or why the class is not followed"),
        ),
    ),
    "taxa": Table(
        "a taxon above an item that was matched by its taxon name",
        (
            Column("item_id", _TEXT, "the item"),
            Column("rank", _TEXT, "rank of the taxon; several rows where parents differ"),
            Column("name", _TEXT, "name of the taxon"),
            Column("qid", _TEXT, "its Wikidata id"),
        ),
    ),
    "lexicon": Table(
        "a word that speaks for a node, from labels of Wikidata classes",
        (
            Column("node", _TEXT, "name of the node"),
            Column("qid", _TEXT, "the class that the word is a label of"),
            Column("language", _TEXT, "language code"),
            Column("term", _TEXT, "the word, in lower case"),
            Column("strength", _TEXT, "`strong` or `weak`"),
        ),
    ),
    "proposals": Table(
        "a proposed parent for an item, a class or a node at one level",
        (
            Column("row_id", _TEXT, "`level:subject`; the id of the row on page and sheet"),
            Column("subject", _TEXT, "id of what is placed"),
            Column("level", _LEVEL, "level of the parent"),
            Column("status", _TEXT, "`proposed`, `outside`, or why there is no parent"),
            Column("parent", _TEXT, "id of the proposed parent"),
            Column("origin", _TEXT, "kind of evidence that decided: `class`, `name`, `text` ..."),
            Column("confidence", _SHARE, "calibrated probability that the parent is right"),
            Column("margin", _SHARE, "probability of the best node less that of the second"),
            Column("accepted", _FLAG, "whether it needs no review"),
            Column("score", _SHARE, "0 to 1, 1 is clean: confidence less what speaks against it"),
            Column("evidence", EVIDENCE_LIST, "what is known of the subject, typed"),
            Column("reasons", REASON_LIST, "why the row is open"),
            Column("suggestion", _TEXT, "the place that a reviewer is offered"),
            Column("alternatives", ALTERNATIVE_LIST, "other places, the likeliest first"),
            Column("evidence_hash", _TEXT, "changes if the evidence changes"),
        ),
    ),
    "path_confidence": Table(
        "how sure an item's path is at a level, where that was scored",
        (
            Column("item_id", _TEXT, "the item"),
            Column("level", _LEVEL, "above 0"),
            Column("confidence", _SHARE, "probability that the path is right at this level"),
            Column("accepted", _FLAG, "whether this level and all above it need no review"),
        ),
    ),
    "label_issues": Table(
        "a label that came with the data, and how far to trust it",
        (
            Column("item_id", _TEXT, "the item"),
            Column("level", _LEVEL, "level of the label"),
            Column("given", _TEXT, "id of the given node"),
            Column("suggestion", _TEXT, "id of the likeliest other node"),
            Column("score", _SHARE, "0 to 1, 1 is clean; computed without the label itself"),
            Column("wrong", _SHARE, "estimated probability that the label is wrong"),
            Column("opened", _FLAG, "whether its row was opened for review"),
        ),
    ),
    "image_issues": Table(
        "an image unlike its item's other images; of items with three readable images or more",
        (
            Column("item_id", _TEXT, "the item"),
            Column("image", _TEXT, "id or path of the image"),
            Column("problem", _TEXT, "`unlike_item` or `like_other_node`"),
            Column("similarity", _SHARE, "cosine of centred vectors to the item's other images"),
            Column("other", _TEXT, "nearest other node; null if the item has no accepted node"),
            Column("other_similarity", _SHARE, "cosine to the mean of that node"),
            Column("num_images", _COUNT, "readable images of the item"),
        ),
    ),
    "doubts": Table(
        "a place that retrieval contradicts, from a training; highest `expected` first",
        (
            Column("row_id", _TEXT, "row on page and sheet"),
            Column("subject", _TEXT, "id of the item, class or node"),
            Column("level", _LEVEL, "level of the parent"),
            Column("current", _TEXT, "where it is"),
            Column("suggestion", _TEXT, "where its images are found"),
            Column("alternatives", _TEXTS, "further places"),
            Column("gain", pa.float64(), "rise of H-AP of its images under the suggestion"),
            Column("total", pa.float64(), "the same as a mean over all images"),
            Column("expected", pa.float64(), "`total` times the chance that the move is right"),
            Column("here", pa.float64(), "share of its nearest images under `current`"),
            Column("there", pa.float64(), "share of its nearest images under `suggestion`"),
            Column("num_images", _COUNT, "images of the subject"),
            Column("images", _TEXTS, "images of the subject"),
            Column("nearest", _TEXTS, "nearest images of the suggestion"),
        ),
    ),
    "audit": Table(
        "an item that was accepted without review and drawn for a person to check",
        (
            Column("row_id", _TEXT, "row on page and sheet"),
            Column("parent", _TEXT, "the parent it had been accepted with"),
        ),
    ),
    "split": Table(
        "the part of a split that an image of an item is in; its metadata says what was asked for",
        (
            Column("item_id", _TEXT, "the item"),
            Column("image", _TEXT, "id or path of the image; null if the item has none"),
            Column("class_id", _TEXT, "the class that decides the part"),
            Column("split", _TEXT, "`train`, `test`, `query`, `gallery` or `fold1` ..."),
        ),
    ),
    "nodes": Table(
        "a node of the label tree; labelled items are level 0",
        (
            *_NODE_COLUMNS,
            Column("description", _TEXT, "what belongs to the node, as a person wrote it"),
        ),
    ),
    "vocabulary": Table(
        "a node that a decision may name, in use or not; none of level 0", _NODE_COLUMNS
    ),
}


def assignments_table(num_levels: int) -> Table:
    """The table `assignments` of a tree: its path columns depend on the number of levels.

    Args:
        num_levels: number of levels, the item's own level 0 included.
    """
    path = tuple(
        Column(f"level{n}_{what}", kind, meaning)
        for n in range(1, num_levels)
        for what, kind, meaning in (
            ("id", _TEXT, f"id of the item's node at level {n}"),
            ("name", _TEXT, "name of that node"),
            ("confidence", _SHARE, "probability that the path is right at this level"),
        )
    )
    return Table(
        "an item and its path; every item has a row",
        (
            Column("item_id", _TEXT, "the item"),
            Column("split", _TEXT, "its split"),
            Column("name", _TEXT, "its name"),
            Column("status", _TEXT, "`labelled`, `outside`, or why it has no label"),
            *path,
            Column("accepted_level", _LEVEL, "finest level that needs no review; null for none"),
            Column("origin", _TEXT, "kind of evidence, `published`, or `human` if people decided"),
            Column("confidence", _SHARE, "confidence of the item's row"),
            Column("accepted", _FLAG, "whether no review is asked (`[acceptance] level`)"),
        ),
    )
