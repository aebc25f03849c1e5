"""Links items to taxa in Wikidata by taxon name, and finds the ranked taxa above them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from strata_labels.knowledge.linking import ENTITY_COLUMNS
from strata_labels.knowledge.raw_entity import best_items, best_texts
from strata_labels.knowledge.wikidata_file import WikidataFile
from strata_labels.people_csv import clean_cell

#: Ranks (P105) by the name that published ranks have; a division is botany's phylum.
RANKS = {
    "Q7432": "species",
    "Q34740": "genus",
    "Q35409": "family",
    "Q36602": "order",
    "Q37517": "class",
    "Q38348": "phylum",
    "Q334460": "phylum",
    "Q36732": "kingdom",
}


class Taxon(NamedTuple):
    """A taxon: its name (P225), rank by name ("" for one between), parents (P171)."""

    qid: str
    name: str
    rank: str
    parents: tuple[str, ...]


def link_taxa(items: pd.DataFrame, path: Path | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Finds each item's taxon by name (P225), and the ranked taxa above it (P171, P105).

    The file is read twice: names and all parents (16 bytes each), then the taxa in question.

    Args:
        items: `item_id, name`.
        path: a snapshot (see `read_snapshot`); None for none.

    Returns:
        `entities`, a row per item in the items' order, `status` in {resolved, ambiguous (several
        taxa of the name: the lowest number is named, and nothing above it), missing}, `linked_by`
        `taxon name`; and `taxa` (`item_id, rank, name, qid`), sorted.

    Raises:
        InputError: see `read_snapshot`.
    """
    names = [clean_cell(name) for name in items["name"]]
    wanted, found = set(names), dict[str, list[str]]()
    edges = array("q")
    for taxon in _taxa(path) if path else ():
        for parent in taxon.parents:
            edges.extend((int(taxon.qid[1:]), int(parent[1:])))
        if taxon.name in wanted:
            found.setdefault(taxon.name, []).append(taxon.qid)
    found = {name: sorted(qids, key=lambda qid: int(qid[1:])) for name, qids in found.items()}
    needed = _upwards(edges, {qids[0] for qids in found.values()})
    kept: dict[str, Taxon] = {}
    if path and needed:
        kept = {t.qid: t for t in _taxa(path) if t.qid in needed}
    entities = pd.DataFrame(
        [
            _row(item, found.get(name, []))
            for item, name in zip(items["item_id"], names, strict=True)
        ],
        columns=ENTITY_COLUMNS,
    ).astype({"lat": "float64", "lon": "float64", "revision": "Int64"})
    above = {qids[0]: _ranked(qids[0], kept) for qids in found.values()}
    # A name that several taxa have gives no ancestors.
    rows = [
        (item, taxon.rank, taxon.name, taxon.qid)
        for item, name in zip(items["item_id"], names, strict=True)
        if len(found.get(name, ())) == 1
        for taxon in above[found[name][0]]
    ]
    taxa = pd.DataFrame(rows, columns=["item_id", "rank", "name", "qid"])
    return entities, taxa.sort_values(["item_id", "rank", "name", "qid"], ignore_index=True)


def _taxa(path: Path) -> Iterator[Taxon]:
    file = WikidataFile(path)
    (named,) = file.marks("P225")
    for record in file.records():
        if named not in record.text:
            continue
        entity = file.parse(record, ("P105", "P171", "P225"))
        if entity is not None and (names := best_texts(entity, "P225")):
            rank = next((RANKS[q] for q in best_items(entity, "P105") if q in RANKS), "")
            parents = tuple(best_items(entity, "P171"))
            yield Taxon(entity["id"], clean_cell(names[0]), rank, parents)


def _upwards(edges: Sequence[int], start: set[str]) -> set[str]:
    """The given taxa and all above them; circles end by themselves."""
    pairs = np.asarray(edges, dtype=np.int64).reshape(-1, 2)
    reached = frontier = np.array(sorted(int(qid[1:]) for qid in start), dtype=np.int64)
    while len(frontier):
        above = np.unique(pairs[np.isin(pairs[:, 0], frontier), 1])
        frontier = np.setdiff1d(above, reached)
        reached = np.union1d(reached, frontier)
    return {f"Q{number}" for number in reached}


def _ranked(qid: str, kept: dict[str, Taxon]) -> list[Taxon]:
    """The taxa above one that have a rank, by any way up."""
    reached, frontier = {qid}, [qid]
    while frontier:
        above = {p for q in frontier if q in kept for p in kept[q].parents} - reached
        reached |= above
        frontier = sorted(above)
    found = (kept[q] for q in reached - {qid} if q in kept)
    return [taxon for taxon in found if taxon.rank]


def _row(item: str, qids: list[str]) -> tuple[object, ...]:
    status = "missing" if not qids else "resolved" if len(qids) == 1 else "ambiguous"
    known = dict.fromkeys(ENTITY_COLUMNS) | {
        "item_id": item,
        "status": status,
        "qid": qids[0] if qids else None,
        "label": None,
        "class_qids": [],
        "linked_by": "taxon name" if qids else None,
        "other_qids": qids[1:],
    }
    return tuple(known[column] for column in ENTITY_COLUMNS)
