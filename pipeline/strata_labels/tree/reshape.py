"""Trees made smaller: chains without a choice, nodes without enough images or items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import networkx as nx
import pandas as pd

from strata_labels.tree.label_tree import LabelTree


def prune_chains(tree: LabelTree) -> nx.DiGraph:
    """The tree without its inner nodes of a single child, each child under the next node kept.

    Top nodes and items stay. What is left has no regular levels any more, so that it is a graph,
    whose nodes carry `level`, `name`, `qid` as in `LabelTree.graph`.
    """
    graph = tree.graph.copy()
    for node in tree.nodes.node_id[tree.nodes.level > 0]:
        children, parents = list(graph.successors(node)), list(graph.predecessors(node))
        if len(children) == 1 and parents:
            graph.add_edge(parents[0], children[0])
            graph.remove_node(node)
    return graph


def keep_nodes_with_images(
    tree: LabelTree, images: Mapping[str, int], minimum: int
) -> tuple[LabelTree, pd.DataFrame]:
    """The tree of the nodes, items included, that have at least `minimum` images.

    A node that has fewer goes with all below it, so its images do not count above it any more; so
    does a node that has lost all its children.

    Args:
        tree: the tree.
        images: number of images by item; items that are not in it have none.
        minimum: images asked of every node.

    Returns:
        The tree, and what was set aside: `node_id, level, images` of every node that had too few
        (not of what went with it).
    """
    count = dict.fromkeys(tree.graph, 0)
    gone: set[str] = set()
    rows = []
    for node, level, parent in zip(
        tree.nodes.node_id, tree.nodes.level, tree.nodes.parent_id, strict=True
    ):
        # Rows come level by level, so all that is below a node was counted before.
        own = images.get(node, 0) if level == 0 else count[node]
        if own < minimum:
            rows.append((node, int(level), own))
            gone |= {node} | nx.descendants(tree.graph, node)
        elif isinstance(parent, str) and parent:
            count[parent] += own
    kept = tree.nodes[~tree.nodes.node_id.isin(gone)]
    aside = pd.DataFrame(rows, columns=["node_id", "level", "images"])
    return LabelTree(kept, "the tree of nodes with images"), aside


def merge_small(
    tree: LabelTree, minimum: int, levels: Iterable[int] | None = None
) -> tuple[LabelTree, dict[str, str]]:
    """Merges nodes of fewer than `minimum` items into one node `other PARENT` under their parent.

    From the top down; what is below merged nodes hangs below the new one. A small node without a
    small sibling stays, since merging it alone would only take its name away.

    Args:
        tree: the tree.
        minimum: items asked of a node.
        levels: levels whose nodes may be merged; all above the items if None.

    Returns:
        The tree, and the new node of each merged one.
    """
    chosen = set(tree.levels) - {0} if levels is None else set(levels)
    below = tree.items_below()
    ids: list[str] = tree.nodes.node_id.tolist()
    above_of = tree.nodes.parent_id.tolist()
    parent: dict[str, str | None] = {
        node: above if isinstance(above, str) and above else None
        for node, above in zip(ids, above_of, strict=True)
    }
    level: dict[str, int] = dict(zip(ids, tree.nodes.level.tolist(), strict=True))
    name: dict[str, str] = dict(zip(ids, tree.nodes["name"].tolist(), strict=True))
    qid: dict[str, str | None] = dict(zip(ids, tree.nodes.qid.tolist(), strict=True))
    # The node that `other ...` is named after: never one of these nodes themselves.
    named: dict[str | None, str] = {None: ""}
    merged: dict[str, str] = {}
    made = []
    for current in sorted(chosen, reverse=True):
        small: dict[str | None, list[str]] = {}
        for node, own in level.items():
            if own == current and node not in merged and below[node] < minimum:
                small.setdefault(parent[node], []).append(node)
        for above, group in sorted(small.items(), key=lambda pair: pair[0] or ""):
            if len(group) < 2:
                continue
            origin = named[above] if above in named else name[above or ""]
            tail = above.split("/", 1)[-1] + "/" if above else ""
            other = f"{current}/{tail}other"
            while other in level:
                other += "_"
            made.append((other, current, f"other {origin}".strip(), above))
            named[other] = origin
            merged |= dict.fromkeys(group, other)
        for other, own, told, above in made:
            if own == current:
                level[other], name[other], parent[other] = own, told, above
                below[other] = sum(below[node] for node, new in merged.items() if new == other)
        for node, above in parent.items():
            if above in merged:
                parent[node] = merged[above]
    rows = [
        (node, own, name[node], parent[node], qid.get(node))
        for node, own in level.items()
        if node not in merged
    ]
    table = pd.DataFrame(rows, columns=["node_id", "level", "name", "parent_id", "qid"])
    return LabelTree(table.astype({"parent_id": object}), "the merged tree"), merged
