"""iNaturalist's categories: ranks by name and by the data set's own codes, and their names."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pandas as pd

from strata_labels.errors import InputError, Problem, refuse
from strata_labels.people_csv import clean_cell
from strata_labels.sources.packed import Packed, find

#: Ranks above the species, finest first.
RANKS = ("genus", "family", "order", "class", "phylum", "kingdom")

INCERTAE = "incertae sedis"

_NAMED = ("categories.json", "categories_named.json")
_CODED = ("train2018.json", "val2018.json")
_TREE, _INDEX, _ROOT = "hierarchy_inat.txt", "inat_class_index.json", "__NULL__"

#: Files that name categories or say how they hang together.
CATEGORIES = (*_NAMED, _TREE, _INDEX)


def read_json(file: Packed) -> Any:
    """A JSON file's value.

    Raises:
        InputError: not JSON.
    """
    try:
        return json.loads(file.text())
    except (ValueError, RecursionError) as error:
        fix = "Get the file again."
        raise InputError(Problem(str(file), f"not JSON ({error})", fix)) from None


def find_json(folder: Path, name: str) -> Packed | None:
    """`name`, open or in the archive it is published in."""
    return find(folder, name, [f"{name}.tar.gz"])


def read_categories(folder: Path, annotated: dict[str, Any]) -> pd.DataFrame:
    """Reads the categories of a folder and gives every rank of each a name.

    The names come from `categories.json` (or `categories_named.json`), else from the annotations.
    Which categories share a node comes from the set's own tree where there is one: the field
    `obfuscated`, the `categories` of `train2018.json` beside a file of names, or
    `hierarchy_inat.txt`. Names have moved on since the tree was made, so a coded node is called
    what most of its species say.

    Args:
        folder: holds the files.
        annotated: the values of `train2018.json` and `val2018.json` by name, where they are there.

    Returns:
        `id, name, supercategory` and a column for each of `RANKS`, by id. Ranks are all blank in a
        file that has super-categories only.

    Raises:
        InputError: no file of categories; an id that is none or appears twice, a category without a
            name, without a genus where others have one, or that is not in the coded tree.
    """
    named = next((found for name in _NAMED if (found := find_json(folder, name))), None)
    coded = None
    for name in _CODED:
        value = annotated.get(name)
        if isinstance(value, dict) and value.get("categories"):
            coded = name, value["categories"]
            break
    tree = find(folder, _TREE)
    problems: list[Problem] = []
    if named is not None:
        frame = _frame(str(named), read_json(named), problems)
        other = _frame(coded[0], coded[1], problems) if coded else None
    elif coded is not None:
        frame, other = _frame(coded[0], coded[1], problems), None
    elif tree is not None:
        frame, other = _indexed(folder), None
    else:
        fix = f"Add {', '.join(_NAMED)}, {_CODED[0]}, or {_TREE} with {_INDEX}."
        raise InputError(Problem(folder, "holds no categories", fix))
    refuse(problems)
    codes = pd.DataFrame({rank: frame[f"code_{rank}"] for rank in RANKS}, frame.index)
    if other is not None:
        what, where = "category in only one of the files of categories:", coded[0] if coded else ""
        fix = "Take both files from one version of the set."
        alone = sorted(set(frame.id) ^ set(other.id))
        problems += [Problem(where, what, fix, None, "id", number) for number in alone]
        codes = other.set_index("id")[list(RANKS)].reindex(frame.id).set_axis(frame.index)
    elif tree is not None and not (codes != "").any(axis=None):
        codes = _lineages(tree, frame, problems)
    refuse(problems)
    names = frame[list(RANKS)]
    if not (names != "").any(axis=None):
        names = codes
    if (names != "").any(axis=None) or (codes != "").any(axis=None):
        frame[list(RANKS)] = name_ranks(names, codes.where(codes != "", names))
    return frame[["id", "name", "supercategory", *RANKS]]


def name_ranks(names: pd.DataFrame, codes: pd.DataFrame) -> pd.DataFrame:
    """A name for each rank of each category, equal where and only where the node is.

    A node is a lineage of codes. It takes the name most of its species have (the first in order
    among equals), `incertae sedis in PARENT` where none has one; of nodes of one name under one
    parent the largest keeps it, the others have their code behind it.

    Args:
        names: a column for each of `RANKS`, blank where unknown.
        codes: the same of codes.

    Returns:
        The same columns, none blank.
    """
    out = pd.DataFrame(index=names.index, columns=list(RANKS), dtype=object)
    key = pd.Series(0, names.index)
    known = pd.Series("", names.index, dtype=object)
    for rank in reversed(RANKS):
        pairs = pd.DataFrame({"parent": key, "code": codes[rank], "name": names[rank]})
        key = pairs.groupby(["parent", "code"], sort=True).ngroup()
        pairs["key"], pairs["known"] = key, known
        nodes = pairs.drop_duplicates("key").set_index("key")
        nodes["size"] = pairs.key.value_counts()
        votes = pairs[pairs.name != ""].groupby(["key", "name"]).size().rename("votes")
        order = votes.reset_index().sort_values(
            ["key", "votes", "name"], ascending=[True, False, True]
        )
        best = order.drop_duplicates("key").set_index("key")["name"]
        stand_in = nodes.known.map(lambda above: f"{INCERTAE} in {above}" if above else INCERTAE)
        nodes["called"] = best.reindex(nodes.index)
        voted = nodes.called.notna()
        nodes["called"] = nodes.called.where(voted, stand_in)
        nodes = nodes.sort_values(
            ["parent", "called", "size", "code"], ascending=[True, True, False, True]
        )
        second = nodes.duplicated(["parent", "called"]) & (nodes.code != "")
        nodes.loc[second, "called"] += " (" + nodes.code[second] + ")"
        out[rank] = key.map(nodes.called)
        known = out[rank].where(key.map(voted), known)
    return out


def _frame(where: str, value: Any, problems: list[Problem]) -> pd.DataFrame:
    """`id, name, supercategory`, names and codes (`code_<rank>`) of a list of categories."""
    if isinstance(value, dict):
        value = value.get("categories")
    columns = ["id", "name", "supercategory", *RANKS, *(f"code_{rank}" for rank in RANKS)]
    if not isinstance(value, list) or not value or not all(isinstance(c, dict) for c in value):
        fix = "It should hold a list of objects with id, name, supercategory and ranks."
        problems.append(Problem(where, "no list of categories", fix))
        return pd.DataFrame(columns=columns)
    ranked = any(category.get(rank) for category in value for rank in RANKS)
    rows, first = [], dict[int, int]()
    for number, category in enumerate(value):

        def wrong(column: str, what: str, fix: str, at: int = number, shown: Any = None) -> None:
            problems.append(Problem(where, what, fix, None, f"categories[{at}].{column}", shown))

        found = category.get("id")
        if not isinstance(found, int) or isinstance(found, bool) or found < 0:
            wrong("id", "not an id:", "Write a whole number from 0 up.", shown=found)
            continue
        if found in first:
            what = f"id appears twice (first in categories[{first[found]}]):"
            wrong("id", what, "Keep one.", shown=found)
            continue
        first[found] = number
        given = {key: category.get(key) for key in ("name", "supercategory", *RANKS)}
        nested = [key for key, cell in given.items() if isinstance(cell, dict | list)]
        for key in nested:
            wrong(key, "no single text:", "Write one, or leave it out.", shown=given[key])
        if nested:
            continue
        cells = {key: _text(cell) for key, cell in given.items()}
        codes = category.get("obfuscated")
        codes = codes if isinstance(codes, dict) else {}
        if not cells["name"]:
            wrong("name", f"category {found} has no name", "Name the species.")
        if ranked and not cells["genus"]:
            what = f"category {found} has no genus:"
            wrong(
                "genus",
                what,
                "Write the genus; only higher ranks may be blank.",
                shown=cells["name"],
            )
        rows.append((found, *cells.values(), *(_text(codes.get(rank)) for rank in RANKS)))
    return pd.DataFrame(rows, columns=columns).sort_values("id", ignore_index=True)


def _text(value: Any) -> str:
    return clean_cell(str(value)) if value is not None else ""


def _indexed(folder: Path) -> pd.DataFrame:
    """Ids and species' names of the coded tree."""
    index = find(folder, _INDEX)
    if index is None:
        fix = f"Add {_INDEX}, or a file of categories."
        raise InputError(Problem(folder, f"holds {_TREE} without {_INDEX}", fix))
    value = read_json(index)
    rows, problems = [], []
    for key, entry in value.items() if isinstance(value, dict) else ():
        named = isinstance(entry, list) and len(entry) == 2 and _text(entry[1])
        if not key.isdecimal() or len(key) > 18 or not named:
            fix = 'Write "id": ["id", "name"].'
            problems.append(Problem(str(index), "no id and name:", fix, None, key, entry))
            continue
        rows.append((int(key), _text(entry[1]), ""))
    if problems or not rows:
        raise InputError(problems or Problem(str(index), "holds no categories", "Get it again."))
    frame = pd.DataFrame(rows, columns=["id", "name", "supercategory"])
    ranks = [*RANKS, *(f"code_{rank}" for rank in RANKS)]
    return frame.assign(**dict.fromkeys(ranks, "")).sort_values("id", ignore_index=True)


def _lineages(tree: Packed, frame: pd.DataFrame, problems: list[Problem]) -> pd.DataFrame:
    """Codes of every rank from a file of `parent child` lines; leaves are category ids."""
    parents: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for row, line in enumerate(tree.text().splitlines(), start=1):
        cells = line.split()
        if len(cells) == 2:
            parents[cells[1]].append((cells[0], row))
        elif cells:
            fix = "Write `parent child`."
            problems.append(Problem(str(tree), "not a pair:", fix, row, value=line))
    for child, found in sorted(parents.items()):
        if len({parent for parent, _ in found}) > 1:
            what = f"a second parent (first in row {found[0][1]}):"
            problems.append(Problem(str(tree), what, "Keep one.", found[-1][1], value=child))
    rows = []
    for number in frame.id:
        path, node = list[str](), str(number)
        while (above := parents.get(node)) and len(path) <= len(RANKS):
            node = above[0][0]
            path.append(node)
        path = path[:-1] if path and path[-1] == _ROOT else path
        if len(path) != len(RANKS):
            what = f"category with {len(path)} ranks above it where {len(RANKS)} are needed:"
            fix = "Complete its lineage."
            problems.append(Problem(str(tree), what, fix, value=int(number)))
            path = [""] * len(RANKS)
        rows.append(path)
    return pd.DataFrame(rows, columns=list(RANKS), index=frame.index)
