"""Finding a node of the tree by the beginnings of words."""

from __future__ import annotations

import unicodedata
from collections.abc import Container
from typing import TYPE_CHECKING, Any

from strata_labels.review.page.naming import describe

if TYPE_CHECKING:
    from strata_labels.review.page.review_rows import ReviewRows

FOUND = 8


class Search:
    """The nodes of a tree, as they are searched."""

    def __init__(self, table: ReviewRows) -> None:
        self._table, known = table, table.known
        self._nodes = [
            (node, level, search_key(known.name[node]),
             f" {search_key(known.path_name(node))} {node.partition('/')[2].casefold()}")
            for node, level in known.level.items()
        ]  # fmt: skip

    def find(self, text: str, n: int, word: str) -> dict[str, Any]:
        """Nodes that row `n` can be moved to, merged into, stopped at or the same as, best first.

        Args:
            text: beginnings of words of the node's name, path or id; accents do not count.
            n: the row's number.
            word: `move`, `merge`, `stop` or `same`.

        Returns:
            `found`, at most `FOUND` nodes, and `total`.
        """
        table = self._table
        own, top = table.level[n] - 1, table.known.top
        levels = range(own, own + 1) if word == "merge" else range(own + 1, top + 1)
        if word == "same":
            levels = range(1, top + 1)
        if word == "stop" and own == 0:
            levels = range(2, top + 1)
        hits = self.nodes(text, levels, table.subject[n])
        return {"found": [describe(table, node) for node in hits[:FOUND]], "total": len(hits)}

    def nodes(self, text: str, levels: Container[int], but: str = "") -> list[str]:
        """Nodes of some levels, all but one, best first.

        Args:
            text: as for `find`.
            levels: numbers of levels.
            but: the node that is left out.
        """
        wanted, table = search_key(text).split(), self._table
        hits = []
        for node, level, name, all_words in self._nodes:
            if level not in levels or node == but:
                continue
            if wanted and all(f" {part}" in all_words for part in wanted):
                whole = " ".join(wanted)
                best = (name != whole, not name.startswith(whole), f" {whole}" not in name)
                hits.append((best, -table.sizes.get(node, 0), -level, node))
        return [node for *_, node in sorted(hits)]


def search_key(text: str) -> str:
    """Text as it is searched: without case and accents."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
