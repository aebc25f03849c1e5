"""The review sheet: a CSV or an Excel workbook in which people decide."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from strata_labels.evidence_text import evidence_text, label_issue_text, reason_text
from strata_labels.files import whole
from strata_labels.people_csv import clean_cell, neutralise
from strata_labels.people_xlsx import SUFFIX
from strata_labels.review.apply import Resolution
from strata_labels.review.ranking import queue
from strata_labels.review.workbook import write_workbook
from strata_labels.tree import LabelTree

#: Columns a reviewer writes in.
EDITABLE = ["decision", "target", "note", "reviewer"]

SHEET_COLUMNS = [
    "name",
    "link",
    "suggestion",
    *EDITABLE,
    "confidence",
    "current",
    "alternatives",
    "reasons",
    "evidence",
    "kind",
    "members",
    "examples",
    "row_id",
    "current_id",
    "suggestion_id",
    "evidence_hash",
]

#: Columns of the sheet of nodes, in a workbook.
TREE_COLUMNS = [
    "name",
    "link",
    "current",
    *EDITABLE,
    "kind",
    "members",
    "examples",
    "row_id",
    "current_id",
    "evidence_hash",
]

EXAMPLES = 5

#: Characters of a cell; Excel holds 32,767.
LONGEST = 32_000

#: In front of a hash: one of digits alone, or like 12e4..., would be read as a number and rounded.
HASH_MARK = "#"

_WIKIDATA = "https://www.wikidata.org/wiki/"


def write_sheet(
    path: Path, resolution: Resolution, items: pd.DataFrame, levels: Sequence[str]
) -> int:
    """Writes all open rows in the order of `queue`.

    A CSV is UTF-8 with byte-order mark, for Excel. A workbook (the path ends in .xlsx) has a second
    sheet with every node of the tree, to decide on them too.

    Args:
        path: the sheet; replaced as a whole.
        resolution: from `replay`.
        items: the table `items` (`item_id, name, source_url`, and `qid` where it has one).
        levels: names of the levels, level 0 first.

    Returns:
        Number of rows written.
    """
    members, examples = _members(resolution.rows, items, resolution.tree)
    rows = _rows(resolution, items, levels, members, examples)
    with whole(path) as beside:
        if path.suffix.casefold() == SUFFIX:
            tree = _tree(resolution, levels, members, examples)
            write_workbook(beside, {"Review": rows, "Tree": tree}, EDITABLE)
        else:
            # A spreadsheet reads 30% as a share in every language, and 0.300 as 300 in some.
            shares = rows.confidence.map("{:.0%}".format)
            rows.assign(confidence=shares).to_csv(
                beside, index=False, encoding="utf-8-sig", lineterminator="\n"
            )
    return len(rows)


def _rows(
    resolution: Resolution,
    items: pd.DataFrame,
    levels: Sequence[str],
    members: pd.Series,
    examples: Mapping[str, list[tuple[str, str]]],
) -> pd.DataFrame:
    """The open rows, `SHEET_COLUMNS`."""
    known = resolution.tree
    rows = queue(resolution, items)
    node_name = {**known.name, **{node: lost.name for node, lost in resolution.lost.items()}}
    is_item = rows.level == 1
    described = items.set_index("item_id")
    item_name = dict(zip(items.item_id, items.name, strict=True))
    names, distinct = {**item_name, **known.name}, {**item_name, **known.distinct_names}
    path_name = {node: known.path_name(node) for node in known.level}
    other = rows.parent.where(rows.parent != rows.suggestion, "")
    shown = rows.subject.where(~is_item, rows.suggestion)
    sheet = pd.DataFrame(
        {
            "name": rows.subject.map(described.name).where(is_item, rows.subject.map(node_name)),
            "link": rows.subject.map(_links(described, known)),
            "suggestion": rows.suggestion.map(path_name),
            "confidence": rows.confidence.fillna(0).astype(float).round(3),
            "current": other.map(path_name),
            "alternatives": [
                "; ".join(path_name[o.node] for o in others if o.node in path_name)
                for others in rows.alternatives
            ],
            "reasons": [
                " ".join(
                    label_issue_text(reasons, suggestion, others, distinct)
                    + reason_text(reasons, known.name)
                )
                for reasons, suggestion, others in zip(
                    rows.reasons, rows.suggestion, rows.alternatives, strict=True
                )
            ],
            "evidence": [
                " ".join(evidence_text(evidence, names, with_images=True))
                for evidence in rows.evidence
            ],
            "kind": rows.level.map(lambda level: levels[level - 1]),
            "members": _counts(rows.subject, members, ~is_item),
            "examples": [
                _named(examples.get(node, ()), subject)
                for node, subject in zip(shown, rows.subject, strict=True)
            ],
            "row_id": rows.row_id,
            "current_id": other,
            "suggestion_id": rows.suggestion,
            "evidence_hash": HASH_MARK + rows.evidence_hash.fillna(""),
        }
    )
    return _harmless(sheet.reindex(columns=SHEET_COLUMNS), ["confidence", "members"])


def _tree(
    resolution: Resolution,
    levels: Sequence[str],
    members: pd.Series,
    examples: Mapping[str, list[tuple[str, str]]],
) -> pd.DataFrame:
    """Every node, `TREE_COLUMNS`, from the top level down, by its path of names."""
    tree = resolution.tree
    hashes = resolution.rows.set_index("row_id").evidence_hash.fillna("")
    order = sorted(tree.level, key=lambda n: (-tree.level[n], tree.path_name(n).casefold(), n))
    nodes = pd.Series(order, dtype=object)
    row_ids = pd.Series([f"{tree.level[n] + 1}:{n}" for n in order], dtype=object)
    sheet = pd.DataFrame(
        {
            "name": nodes.map(tree.name),
            "link": nodes.map(_links(pd.DataFrame(), tree)),
            "current": [tree.path_name(tree.parent[node]) for node in order],
            "kind": [levels[tree.level[node]] for node in order],
            "members": _counts(nodes, members, pd.Series(True, nodes.index)),
            "examples": [_named(examples.get(node, ())) for node in order],
            "row_id": row_ids,
            "current_id": nodes.map(tree.parent),
            "evidence_hash": HASH_MARK + row_ids.map(hashes).fillna(""),
        }
    )
    return _harmless(sheet.reindex(columns=TREE_COLUMNS), ["members"])


def _links(described: pd.DataFrame, tree: LabelTree) -> dict[str, str]:
    """The address of a page on each item or node that has one."""
    nodes = {node: f"{_WIKIDATA}{qid}" for node, qid in tree.qid.items() if qid}
    if described.empty:
        return nodes
    address = described.source_url.fillna("")
    if "qid" in described:
        qid = described.qid.fillna("")
        address = address.where((address != "") | (qid == ""), _WIKIDATA + qid)
    found = zip(address.index, address, strict=True)
    return {**nodes, **{str(item): link for item, link in found if link}}


def _counts(subjects: pd.Series, members: pd.Series, wanted: pd.Series) -> pd.Series:
    """Items below each node, a whole number; missing for an item."""
    return subjects.map(members).fillna(0).where(wanted).astype("Int64")


def _named(some: Iterable[tuple[str, str]], but: str = "") -> str:
    return "; ".join([name for item, name in some if item != but][:EXAMPLES])


def _harmless(sheet: pd.DataFrame, numbers: Sequence[str]) -> pd.DataFrame:
    """The sheet; cells of text are clean, short enough, and no formulas."""
    columns = dict(sheet.items())
    for name in columns.keys() - set(numbers):
        cells = [cell if isinstance(cell, str) else "" for cell in sheet[name].tolist()]
        harmless = {cell: neutralise(sheet_cell(cell)) for cell in set(cells)}
        columns[name] = pd.Series([harmless[cell] for cell in cells], sheet.index, dtype=object)
    return pd.DataFrame(columns)


def _members(
    rows: pd.DataFrame, items: pd.DataFrame, tree: LabelTree
) -> tuple[pd.Series, dict[str, list[tuple[str, str]]]]:
    """Items below each node, and id and name of some of them, most confident first."""
    held = rows.loc[(rows.level == 1) & (rows.parent != ""), ["subject", "parent", "confidence"]]
    names = items.set_index("item_id").name
    held = held.assign(name=held.subject.map(names)).sort_values(
        ["confidence", "subject"], ascending=[False, True]
    )
    counts: dict[str, int] = dict(Counter(held.parent))
    some: dict[str, list[tuple[str, str]]] = defaultdict(list)
    most = EXAMPLES + 1  # one may be the row's own
    first = held[held.groupby("parent").cumcount() < most]
    for node, item, name in first[["parent", "subject", "name"]].values:
        some[node].append((item, name))
    examples: dict[str, list[tuple[str, str]]] = {}
    for node in sorted(counts, key=lambda n: (-counts[n], n)):
        for step in tree.path(node):
            shown = examples.setdefault(step, [])
            shown += some[node][: most - len(shown)]
    return pd.Series(tree.items_below(counts), dtype="int64"), examples


def sheet_cell(text: str) -> str:
    """A clean cell of at most what a spreadsheet holds; Excel puts the rest into the next row."""
    text = clean_cell(text)
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"
