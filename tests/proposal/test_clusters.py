import numpy as np
import pytest
from strata_labels.proposal import clusters
from strata_labels.proposal.clusters import find_nodes


def _items(size: int = 90) -> tuple[list[str], list[str], np.ndarray]:
    rng = np.random.default_rng(0)
    kind = np.arange(size) % 3
    vectors = np.eye(8)[kind] + 0.05 * rng.standard_normal((size, 8))
    word = np.array(["church", "lake", "tower"])[kind]
    return (
        [f"gldv2/train/{n}" for n in range(size)],
        [f"{w} {n}" for n, w in enumerate(word)],
        vectors,
    )


def test_levels_nest_and_nodes_are_named_from_their_members():
    ids, names, vectors = _items()
    nodes, membership = find_nodes(ids, names, vectors, [9, 3])
    assert nodes.groupby("level").size().to_dict() == {1: 9, 2: 3}
    assert nodes.loc[nodes["level"] == 2, "size"].tolist() == [30, 30, 30]
    top = nodes[nodes["level"] == 2].set_index("node_id")["name"]
    assert top[membership[1, 1]].startswith("lake")
    parent = nodes.set_index("node_id")["parent_id"]
    assert all(parent[low] == high for low, high in membership)


def test_ids_come_from_members_not_from_the_order_of_rows():
    ids, names, vectors = _items()
    _, membership = find_nodes(ids, names, vectors, [5, 2])
    order = np.random.default_rng(1).permutation(len(ids))
    _, shuffled = find_nodes(
        [ids[n] for n in order], [names[n] for n in order], vectors[order], [5, 2]
    )
    assert (shuffled == membership[order]).all()


def test_many_rows_are_gathered_first(monkeypatch):
    monkeypatch.setattr(clusters, "MOST_POINTS", 40)
    ids, names, vectors = _items(300)
    nodes, membership = find_nodes(ids, names, vectors, [3])
    assert sorted(nodes["size"]) == [100, 100, 100]
    assert len(set(membership[::3, 0])) == 1


@pytest.mark.parametrize("sizes", [[], [2, 5], [0], [500]])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(ValueError):
        find_nodes(*_items(), sizes)
