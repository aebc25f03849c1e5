"""Puts a tree's nodes and items in the order of the tree page, with what the page says of each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from strata_labels.show.numbers import HUMAN, doubted_labels, finest_level
from strata_labels.tables import LABELLED
from strata_labels.tree import NOT_PROPOSED, LabelTree

#: States of an item; `DOUBTED` is added where a label that came with the data is in doubt.
ACCEPTED, DECIDED, OPEN, DOUBTED = 0, 1, 2, 4
#: Ids of the nodes that the page makes: all items, those without a label, and before a status.
ALL, ASIDE = "", "without-label"

# Some sources put a code behind a name that siblings share, e.g. `Tracheophyta (TIKSTQ)`.
_CODE = re.compile(r"(.+) (\([A-Z0-9]{5,}\))")


@dataclass(frozen=True)
class PageLayout:
    """A tree as the page shows it: below a node are the rows that follow it, until one as high.

    Attributes:
        nodes: `id, name, depth, qid, text` (what people wrote of it), `direct` (items right
            below); of the items below at any depth `total, decided, open, doubted` and `blank`
            (without a label, and not to be reviewed); `given` (items that came with a label of
            the node or of one below it that is in doubt). From the top down, the largest of
            siblings first. Row 0 stands for all items.
        items: `item_id, name, address, node` (row of `nodes`), `state, given` (name of the label in
            doubt, or ""), `confidence, image_ids`, by node, name and id.
    """

    nodes: pd.DataFrame
    items: pd.DataFrame


def lay_out(
    items: pd.DataFrame,
    nodes: pd.DataFrame,
    assignments: pd.DataFrame,
    num_levels: int,
    label_issues: pd.DataFrame | None = None,
) -> PageLayout:
    """Lays out a tree of `num_levels` levels, the item's own included.

    Items without a label are below a node of their own, by status.
    """
    rows = _item_rows(items, assignments, num_levels, label_issues)
    tree = _with_aside(LabelTree.from_nodes(nodes[nodes["level"] > 0]), rows)
    doubts = {} if label_issues is None else doubted_labels(label_issues)
    flags = rows["state"].to_numpy()
    counted = {
        "total": np.ones(len(rows), bool),
        "decided": (flags & DECIDED) > 0,
        "open": (flags & OPEN) > 0,
        "doubted": (flags & DOUBTED) > 0,
        "blank": rows["above"].str.startswith(f"{ASIDE}/").to_numpy(bool)
        & ((flags & (DECIDED | OPEN)) == 0),
    }
    direct = {name: _counts(rows["above"][mask]) for name, mask in counted.items()}
    below = {name: tree.items_below(counts) for name, counts in direct.items()}
    below["given"] = tree.items_below({node: n for node, n in doubts.items() if node in tree.level})
    order = _order(tree, below["total"])
    names = _shown_names(tree, below["total"], rows)
    table = pd.DataFrame({"id": [node for node, _ in order], "depth": [d for _, d in order]})
    table["name"] = [names.get(node, "All items") for node in table["id"]]
    table["qid"] = [tree.qid.get(node, "") for node in table["id"]]
    # A tree of an earlier version has none.
    text = nodes.get("description", pd.Series(None, nodes.index, dtype=object)).fillna("")
    told = dict(zip(nodes["node_id"], text, strict=True))
    table["text"] = [told.get(node, "") for node in table["id"]]
    for name, counts in below.items():
        table[name] = [counts.get(node, 0) for node in table["id"]]
        table.loc[0, name] = int(counted[name].sum()) if name in counted else sum(doubts.values())
    place = dict(zip(table["id"], table.index, strict=True))
    rows["node"] = [place.get(node, 0) for node in rows["above"]]
    rows["given"] = [names.get(node, node) for node in rows["given"]]
    table["direct"] = np.bincount(np.array(rows["node"], dtype=int), minlength=len(table))
    rows["key"] = [name.casefold() for name in rows["name"]]
    rows = rows.sort_values(["node", "key", "item_id"], ignore_index=True)
    return PageLayout(table, rows.drop(columns=["above", "key"]))


def _item_rows(
    items: pd.DataFrame,
    assignments: pd.DataFrame,
    num_levels: int,
    label_issues: pd.DataFrame | None,
) -> pd.DataFrame:
    """The items with the id of the node right above each (`above`); `given` is a node's id."""
    labelled = assignments["status"] == LABELLED
    finest = finest_level(assignments, num_levels)
    above = pd.Series(ALL, assignments.index, dtype=object)
    for level in range(1, num_levels):
        above = above.mask(finest == level, assignments[f"level{level}_id"])
    above = above.where(labelled, f"{ASIDE}/" + assignments["status"].astype(str))
    accepted = assignments["accepted"].astype(bool)
    state = np.where(accepted, ACCEPTED, OPEN)
    state[(accepted & (assignments["origin"] == HUMAN)).to_numpy()] = DECIDED
    # Nobody is asked about an item that has no row.
    state[(assignments["status"] == NOT_PROPOSED).to_numpy()] = ACCEPTED
    given = pd.Series("", assignments.index, dtype=object)
    if label_issues is not None and len(label_issues):
        opened = label_issues[label_issues["opened"].astype(bool)].sort_values(["item_id", "level"])
        first = opened.drop_duplicates("item_id").set_index("item_id")["given"]
        given = assignments["item_id"].map(first).fillna("").astype(object)
    state[(given != "").to_numpy()] += DOUBTED
    known = items.drop_duplicates("item_id").set_index("item_id").reindex(assignments["item_id"])
    address = known["source_url"].fillna("").astype(str).to_numpy()
    # A table of the user's own may hold any text; only web addresses become links.
    web = [text if text.startswith(("http://", "https://")) else "" for text in address]
    images = [[] if ids is None or isinstance(ids, float) else ids for ids in known["image_ids"]]
    item_id = assignments["item_id"].astype(str)
    name = [" ".join(text.split()) for text in assignments["name"].fillna("").astype(str)]
    return pd.DataFrame(
        {
            "item_id": item_id,
            "name": [text or own for text, own in zip(name, item_id, strict=True)],
            "address": web,
            "above": above,
            "state": state.astype("uint8"),
            "given": given,
            "confidence": assignments["confidence"].to_numpy(),
            "image_ids": pd.Series(images, assignments.index, dtype=object),
        }
    )


def _with_aside(tree: LabelTree, rows: pd.DataFrame) -> LabelTree:
    """The tree with the nodes for items without a label."""
    own = sorted({node for node in rows["above"] if node.startswith(f"{ASIDE}/")})
    if not own:
        return tree
    names = {node: node.removeprefix(f"{ASIDE}/").replace("_", " ") for node in own}
    return LabelTree(
        level={**tree.level, ASIDE: 0, **dict.fromkeys(own, 0)},
        name={**tree.name, ASIDE: "Without a label", **names},
        parent={**tree.parent, ASIDE: "", **dict.fromkeys(own, ASIDE)},
        qid={**tree.qid, ASIDE: "", **dict.fromkeys(own, "")},
    )


def _counts(nodes: pd.Series) -> dict[str, int]:
    return {str(node): int(n) for node, n in nodes[nodes != ALL].value_counts().items()}


def _order(tree: LabelTree, total: Mapping[str, int]) -> list[tuple[str, int]]:
    """All nodes from the top down with their depth; the largest first, those set aside last."""
    found, waiting = [], [(ALL, 0)]
    while waiting:
        node, depth = waiting.pop()
        found.append((node, depth))
        below = sorted(
            tree.children(node), key=lambda n: (n == ASIDE, -total.get(n, 0), tree.name[n], n)
        )
        waiting += [(child, depth + 1) for child in reversed(below)]
    return found


def _shown_names(tree: LabelTree, total: Mapping[str, int], rows: pd.DataFrame) -> dict[str, str]:
    """Names as one line.

    Where a code tells siblings apart, the largest node below does, or the first item.
    """
    shown = {node: " ".join(name.split()) or node for node, name in tree.name.items()}
    taken = {(tree.parent[node], name) for node, name in shown.items()}
    coded = {}
    for node, name in shown.items():
        found = _CODE.fullmatch(name)
        if found and (tree.parent[node], found[1]) in taken:
            coded[node] = found[2]
    if not coded:
        return shown
    first = rows.sort_values(["name", "item_id"]).drop_duplicates("above").set_index("above")
    for node in sorted(coded, key=lambda n: (-total.get(n, 0), n)):
        name, parent = shown[node].removesuffix(f" {coded[node]}"), tree.parent[node]
        telling, at = [], node
        while below := tree.children(at):
            at = min(below, key=lambda n: (-total.get(n, 0), shown[n]))
            telling += [] if at in coded or coded[node] in shown[at] else [shown[at]]
        telling += [first["name"].get(at, ""), coded[node].strip("()")]
        names = [f"{name} ({word})" for word in telling if word]
        shown[node] = next((one for one in names if (parent, one) not in taken), names[-1])
        taken.add((parent, shown[node]))
    # `incertae sedis in PARENT` has the parent's code.
    for node, name in shown.items():
        for above in tree.path(node)[1:]:
            if above in coded:
                name = name.replace(f" {coded[above]}", "")
        shown[node] = name
    return shown
