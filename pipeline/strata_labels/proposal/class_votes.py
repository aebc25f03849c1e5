"""What labelled items say of a class of the knowledge base: which node its items are under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import scipy

from strata_labels.evidence import Evidence

# A class speaks for a node that this share of its labelled items is under, one item more counted.
LEAST_SHARE = 0.5


class ClassVotes:
    """Labelled items by class and finest node.

    Args:
        chains: see `Signals.chains`, `[n, C]`.
        qids: the C classes.
        names: of classes.
        node: finest node of each labelled item, -1 for the others, `[n]`.
        num_nodes: K.
    """

    def __init__(
        self,
        chains: scipy.sparse.csr_matrix,
        qids: Sequence[str],
        names: Mapping[str, str],
        node: np.ndarray,
        num_nodes: int,
    ) -> None:
        self._chains, self._qids, self._names, self._node = chains, qids, names, node
        rows = np.flatnonzero(node >= 0)
        place = (np.arange(len(rows)), node[rows])
        of_node = scipy.sparse.csr_matrix((np.ones(len(rows)), place), shape=(len(rows), num_nodes))
        above = chains[rows].astype(bool).astype(np.float64)
        self._votes = (above.T @ of_node).tocsr()
        self._total = np.asarray(above.sum(axis=0)).ravel()

    def evidence(self, item: int, node: int, node_id: str) -> list[Evidence]:
        """The nearest class of an item that speaks for a node, its own label left out; or none."""
        row = self._chains[item]
        own = self._node[item] >= 0
        votes = self._votes[row.indices, node].toarray().ravel() - (self._node[item] == node)
        share = np.round(votes / (self._total[row.indices] - own + 1.0), 6)
        speaks = np.flatnonzero(share >= LEAST_SHARE)
        if not len(speaks):
            return []
        # Of equally near ones the surest, then the first by id.
        order = np.lexsort((row.indices[speaks], -share[speaks], -row.data[speaks]))
        qid = self._qids[row.indices[speaks[order[0]]]]
        return [Evidence("class_chain", node_id, text=self._names.get(qid, ""), ids=(qid,))]
