"""Compares two trees on the same embeddings: which fits better, and what each edge is worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from strata_labels.retrieval import (
    Comparison,
    Report,
    bootstrap_interval,
    evaluate_embeddings,
    macro_average,
    paired_test,
)
from strata_labels.validation.item_paths import ItemPaths
from strata_labels.validation.moves import moved_hap

#: Other parents that an edge is compared with, drawn at random.
RIVALS = 4
# Share of the items that heads are trained on.
_TRAIN_SHARE = 0.6
HEADLINES = ("hap", "asi", "ndcg")

#: Gives a head for vectors `[n, d]` and labels `[n, L]` of the train part, with a seed.
TrainHead = Callable[[Tensor, Tensor, int], Callable[[Tensor], Tensor]]


def shuffled(labels: Tensor, seed: int) -> Tensor:
    """A tree of the same shape with the items shuffled: labels `[n, L]` to `[n, L]`.

    Every node keeps its parent and its number of items.
    """
    items, first, inverse = np.unique(labels[:, 0].numpy(), return_index=True, return_inverse=True)
    paths = labels[torch.from_numpy(first), 1:]
    order = np.random.default_rng(seed).permutation(len(items))
    return torch.cat([labels[:, :1], paths[torch.from_numpy(order[inverse])]], dim=1)


def by_item(values: Tensor, labels: Tensor) -> Tensor:
    """Means over each item's queries, `[items]`.

    The queries of one item are not independent, so intervals resample items, not queries.
    """
    frame = pd.Series(values.numpy()).groupby(labels[:, 0].numpy()).mean()
    return torch.from_numpy(frame.to_numpy(copy=True))


def interval_of(values: Tensor, labels: Tensor) -> tuple[float, float]:
    """Bootstrap interval of the mean: over items, over queries where all are of one item."""
    items = by_item(values, labels)
    return bootstrap_interval(items if len(items) > 1 else values)


def difference(this: Tensor, other: Tensor, labels: Tensor) -> dict[str, Any]:
    """Paired per query, `other - this`; interval and test over items."""
    found: Comparison = paired_test(by_item(this, labels), by_item(other, labels))
    return {
        "difference": finite(found.difference),
        "interval": [finite(found.low), finite(found.high)],
        "p_value": finite(found.p_value),
        "items": found.num_queries,
    }


def against_shuffled(
    vectors: Tensor, labels: Tensor, report: Report, seeds: Sequence[int]
) -> tuple[dict[str, Any], Tensor]:
    """H-AP under the tree against a shuffled tree of the same shape, one a seed.

    Returns:
        `seeds`, a list with `seed, hap` (under the shuffled tree), `difference, interval, p_value,
        items` (tree - shuffled), `told_apart`: whether the interval of every seed is above 0, and
        `hap`, the mean under the shuffled trees; and the lift `[n]`: each query's H-AP less its
        mean under the shuffled trees.
    """
    real = report.per_query["hap"]
    rows, controls = [], []
    for seed in seeds:
        control = evaluate_embeddings(vectors, shuffled(labels, seed)).per_query["hap"]
        controls.append(control)
        row = difference(control, real, labels)
        rows.append({"seed": seed, "hap": finite(float(control.nanmean())), **row})
    control = torch.stack(controls).mean(dim=0)
    told_apart = all(_above(row) for row in rows)
    chance = finite(float(control.nanmean()))
    return {"seeds": rows, "told_apart": told_apart, "hap": chance}, real - control


def edges(vectors: Tensor, tree: ItemPaths, items: pd.Series) -> list[dict[str, Any]]:
    """The value of each edge: H-AP of the child's queries, less their mean under other parents.

    The other parents are of the same level, drawn at random.

    Returns:
        Per edge `level` (of the child), `child, parent`, their names, `queries, value, interval`
        and `verdict`: `earns` (interval above 0), `costs` (below 0), `unclear`, or `alone` (the
        parent has no other child among the items, so that the edge says nothing). By value, lowest
        first.
    """
    labels = tree.labels(items)
    columns = [items, *(items.map(tree.paths[name]) for name in tree.paths)]
    targets = [_rivals(labels, column) for column in range(labels.shape[1] - 1)]
    base, moved = moved_hap(vectors, labels, targets)
    rows = []
    for column, tried in enumerate(moved):
        worth = base - tried.nanmean(dim=1)
        children = labels[:, [column, column + 1]].unique(dim=0)[:, 1]
        parents, number = children.unique(return_counts=True)
        alone = set(parents[number == 1].tolist())
        for child, at in pd.Series(columns[column].to_numpy()).groupby(columns[column].to_numpy()):
            own = torch.tensor(at.index.to_list())
            values = worth[own]
            low, high = interval_of(values, labels[own])
            parent = str(columns[column + 1].iloc[int(own[0])])
            interval = [finite(low), finite(high)]
            verdict = "alone" if int(labels[own[0], column + 1]) in alone else _verdict(low, high)
            rows.append(
                {
                    "level": column,
                    "child": str(child),
                    "child_name": tree.name(str(child)),
                    "parent": parent,
                    "parent_name": tree.name(parent),
                    "queries": len(own),
                    "value": finite(float(values.nanmean())),
                    "interval": interval,
                    "verdict": verdict,
                }
            )
    return sorted(
        rows, key=lambda r: (r["value"] is None, r["value"] or 0.0, r["level"], r["child"])
    )


def compare_trees(
    vectors: Tensor,
    items: pd.Series,
    one: ItemPaths,
    other: ItemPaths,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
) -> dict[str, Any]:
    """Scores the same embeddings under two trees.

    H-AP depends on a tree's shape too: with fewer levels, or few large nodes, a list is nearer to
    perfect by chance. So each tree is also compared with shuffled trees of its own shape. The
    normalised score is (H-AP - shuffled) / (1 - shuffled): the part of the way from a shuffled tree
    (0) to a perfect list (1) that the embeddings go. It says which tree of two shapes fits better.

    Args:
        vectors: `[n, d]` of unit length; each ranks all the others.
        items: the vectors' items `[n]`, each in both trees.
        one, other: the trees.
        seeds: of the shuffled controls.

    Returns:
        `a` and `b` (means by metric, `intervals`, `shuffled`, `lift`, `normalised`, `edges`),
        `difference` (b - a, paired, of `hap, asi, ndcg`), `lift` and `normalised` (b - a, paired),
        `verdict` (in words, by the normalised score), `changed` (items and nodes
        under another parent: H-AP of their queries under b less that under a) and `warnings`.
    """
    trees = {"a": one, "b": other}
    labels = {key: tree.labels(items) for key, tree in trees.items()}
    result: dict[str, Any] = {"num_queries": len(vectors), "num_items": int(items.nunique())}
    reports: dict[str, Report] = {}
    lifts: dict[str, Tensor] = {}
    normalised: dict[str, Tensor] = {}
    warnings = []
    for key, tree in trees.items():
        report = reports[key] = evaluate_embeddings(vectors, labels[key])
        control, lifts[key] = against_shuffled(vectors, labels[key], report, seeds)
        # One denominator for all queries: of a query with few positives, chance may be near 1.
        room = 1 - (control["hap"] or 0.0)
        normalised[key] = lifts[key] / room if room > 1e-9 else torch.zeros_like(lifts[key])
        result[key] = {
            "tree": str(tree.source),
            **{name: finite(value) for name, value in report.means.items()},
            "intervals": {
                name: [finite(v) for v in interval_of(values, labels[key])]
                for name, values in report.per_query.items()
            },
            "macro_hap": finite(float(macro_average(report.per_query["hap"], labels[key][:, 1]))),
            "shuffled": control,
            "lift": finite(float(lifts[key].nanmean())),
            "normalised": finite(float(normalised[key].nanmean())),
            "edges": edges(vectors, tree, items),
        }
        if not control["told_apart"]:
            warnings.append(
                f"Tree {key} is not significantly better than a shuffled one; the values of its "
                "edges are no evidence."
            )
    result["difference"] = {
        name: difference(reports["a"].per_query[name], reports["b"].per_query[name], labels["a"])
        for name in HEADLINES
    }
    result["lift"] = difference(lifts["a"], lifts["b"], labels["a"])
    result["normalised"] = difference(normalised["a"], normalised["b"], labels["a"])
    result["verdict"] = _in_words(result)
    result["changed"] = _changed(trees, items, reports, labels)
    result["warnings"] = warnings
    return result


def _in_words(result: dict[str, Any]) -> str:
    """Which tree fits the embeddings better by the normalised score, and why not by H-AP."""
    low, high = result["normalised"]["interval"]
    better = None if low is None or low <= 0 <= high else "b" if low > 0 else "a"
    ways = [f"{100 * (result[key]['normalised'] or 0.0):.1f} %" for key in ("a", "b")]
    text = f"Of the way from a shuffled tree to a perfect list, a goes {ways[0]} and b {ways[1]}: "
    text += f"{better} fits better." if better else "neither fits clearly better."
    raw = "b" if (result["difference"]["hap"]["difference"] or 0.0) > 0 else "a"
    if better != raw:
        text += (
            f" H-AP alone is higher for {raw}, whose shape brings lists nearer to perfect by "
            f"chance (shuffled trees: a {100 * (result['a']['shuffled']['hap'] or 0.0):.1f} %, "
            f"b {100 * (result['b']['shuffled']['hap'] or 0.0):.1f} %)."
        )
    return text


def compare_heads(
    vectors: Tensor,
    items: pd.Series,
    trees: dict[str, ItemPaths],
    train: TrainHead,
    seeds: Sequence[int],
) -> dict[str, Any]:
    """Heads trained on each tree, and on a shuffled first tree, scored under each tree.

    In each seed 60 % of the items are trained on and the others tested on, the same for
    all trees, and all heads get the same recipe.

    Returns:
        `seeds`: per seed `trained_on`, for each tree and for `shuffled` the H-AP under each tree
        (`hap_a`, `hap_b`), and `against_shuffled` (paired, under the first tree);
        `told_apart`: whether every seed's interval is above 0; `difference`: mean and spread over
        seeds of b - a, for each scoring tree.
    """
    labels = {key: tree.labels(items) for key, tree in trees.items()}
    first = next(iter(trees))
    rows: list[dict[str, Any]] = []
    for seed in seeds:
        names = np.unique(items.to_numpy(dtype=str))
        drawn = np.random.default_rng(seed).permutation(names)[: round(_TRAIN_SHARE * len(names))]
        in_train = torch.tensor(items.isin(drawn).tolist())
        taught = {key: value[in_train] for key, value in labels.items()}
        taught["shuffled"] = shuffled(taught[first], seed)
        scores: dict[str, dict[str, Any]] = {}
        per_query: dict[str, Tensor] = {}
        for key, targets in taught.items():
            head = train(vectors[in_train], targets, seed)
            with torch.no_grad():
                embedded = head(vectors[~in_train])
            under = {
                f"hap_{name}": evaluate_embeddings(embedded, truth[~in_train]).per_query["hap"]
                for name, truth in labels.items()
            }
            per_query[key] = under[f"hap_{first}"]
            scores[key] = {name: finite(float(v.nanmean())) for name, v in under.items()}
        test = labels[first][~in_train]
        control = difference(per_query["shuffled"], per_query[first], test)
        rows.append({"seed": seed, "trained_on": scores, "against_shuffled": control})
    result: dict[str, Any] = {
        "seeds": rows,
        "told_apart": all(_above(row["against_shuffled"]) for row in rows),
        "difference": {},
    }
    if "b" in trees:
        for name in trees:
            gaps = [
                row["trained_on"]["b"][f"hap_{name}"] - row["trained_on"]["a"][f"hap_{name}"]
                for row in rows
            ]
            result["difference"][f"hap_{name}"] = {
                "mean": float(np.mean(gaps)),
                "spread": float(np.std(gaps, ddof=1)) if len(gaps) > 1 else None,
            }
    return result


def _rivals(labels: Tensor, column: int) -> Tensor:
    """For each query `[n, RIVALS]` rows below other parents of its node, the same for a node."""
    random = np.random.default_rng([0, column])
    parents, below = np.unique(labels[:, column + 1].numpy(), return_index=True)
    nodes, first, inverse = np.unique(
        labels[:, column].numpy(), return_index=True, return_inverse=True
    )
    drawn = np.full((len(nodes), RIVALS), -1, np.int64)
    for n, at in enumerate(first):
        others = below[parents != int(labels[at, column + 1])]
        chosen = random.permutation(others)[:RIVALS]
        drawn[n, : len(chosen)] = chosen
    return torch.from_numpy(drawn[inverse])


def _changed(
    trees: dict[str, ItemPaths],
    items: pd.Series,
    reports: dict[str, Report],
    labels: dict[str, Tensor],
) -> list[dict[str, Any]]:
    """Items and nodes of both trees under another parent in the second."""
    paths = {key: tree.paths.loc[items] for key, tree in trees.items()}
    depth = min(path.shape[1] for path in paths.values())
    for level in range(1, depth + 1):
        ids, column = _ids_in_a(trees, items, f"level{level}"), paths["b"][f"level{level}"]
        paths["b"][f"level{level}"] = column.mask(column.isin(list(ids)), column.map(ids))
    gap = reports["b"].per_query["hap"] - reports["a"].per_query["hap"]
    rows = []
    for level in range(depth):
        own = items.to_numpy() if level == 0 else paths["a"][f"level{level}"].to_numpy()
        same = np.ones(len(items), bool)
        if level:
            same = own == paths["b"][f"level{level}"].to_numpy()
        above = {key: path[f"level{level + 1}"].to_numpy() for key, path in paths.items()}
        moved = same & (above["a"] != above["b"])
        for child in np.unique(own[moved].astype(str)):
            at = np.flatnonzero(moved & (own == child))
            values = gap[torch.from_numpy(at)]
            low, high = interval_of(values, labels["a"][torch.from_numpy(at)])
            rows.append(
                {
                    "level": level,
                    "child": child,
                    "child_name": trees["a"].name(child),
                    "parent_a": trees["a"].name(str(above["a"][at[0]])),
                    "parent_b": trees["b"].name(str(above["b"][at[0]])),
                    "queries": len(at),
                    "difference": finite(float(values.nanmean())),
                    "interval": [finite(low), finite(high)],
                    "verdict": _verdict(low, high, "b", "a"),
                }
            )
    return sorted(rows, key=lambda r: (-(r["difference"] or 0.0), r["level"], r["child"]))


def _ids_in_a(trees: dict[str, ItemPaths], items: pd.Series, level: str) -> dict[str, str]:
    """The first tree's ids of nodes that have another id in the second: one name, the same items.

    Where an id is a path, as that of a table's node, it changes with the node's parent.
    """
    found = []
    for tree in trees.values():
        column = tree.paths.loc[items.unique(), level]
        members = column.groupby(column).groups
        found.append({(tree.name(node), frozenset(of)): node for node, of in members.items()})
    a, b = found
    return {b[each]: a[each] for each in a.keys() & b.keys() if a[each] != b[each]}


def _above(row: dict[str, Any]) -> bool:
    return row["interval"][0] is not None and row["interval"][0] > 0


def _verdict(low: float, high: float, above: str = "earns", below: str = "costs") -> str:
    return above if low > 0 else below if high < 0 else "unclear"


def finite(value: float) -> float | None:
    """A number as JSON has it: null where it is none."""
    return None if math.isnan(value) else value
