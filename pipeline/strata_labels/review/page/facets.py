"""Which of the rows a reviewer wants to see: filters, their counts, progress by node, jumps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from strata_labels.evidence import REASONS
from strata_labels.review.page.naming import describe, level_name, name_of
from strata_labels.review.page.review_rows import ReviewRows
from strata_labels.review.page.search import FOUND, search_key

#: Reason of a row whose published label is doubted.
DOUBTED = "label_issue"
#: Bounds of the shares in which rows are counted by confidence.
BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
# Sums of confidences are added up as whole numbers of these parts.
_PARTS = 1_000_000
# Decimals of a confidence that is compared.
_DECIMALS = 5
# Filters whose rows are kept.
_KEPT = 32


class Facets(NamedTuple):
    """A filter of rows; blank fields and None let all through.

    Attributes:
        node: rows that are, or are suggested to be, below this node, and the rows of these nodes.
        level: number of the level of what is decided on, 0 for items.
        reason: a kind of `REASONS`.
        reviewer: rows on which this reviewer has decided, who is not the only one to decide.
        split: of the items.
        low, high: confidence, from and up to.
    """

    node: str = ""
    level: int | None = None
    reason: str = ""
    reviewer: str = ""
    split: str = ""
    low: float | None = None
    high: float | None = None

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Facets:
        """Facets from the texts of an address; what cannot be read is left out."""
        level, low, high = (given.get(name, "") for name in ("level", "from", "to"))
        return cls(
            node=given.get("node", ""),
            level=int(level) if level.isdecimal() and len(level) < 4 else None,
            reason=given.get("reason", ""),
            reviewer=given.get("reviewer", ""),
            split=given.get("split", ""),
            low=_share(low),
            high=_share(high),
        )


def _share(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


#: No filter.
ALL = Facets()


class FacetIndex:
    """Finds rows by facets; what it needs of a table is made once."""

    def __init__(self, table: ReviewRows) -> None:
        self._table = table
        self._masks: dict[Facets, NDArray[np.bool_]] = {}

    def mask(self, facets: Facets) -> NDArray[np.bool_]:
        """Rows that a filter lets through, `[num_rows]`."""
        if facets not in self._masks:
            if len(self._masks) >= _KEPT:
                self._masks.clear()
            self._masks[facets] = self._mask(facets)
        return self._masks[facets]

    def counts(
        self, facets: Facets, is_open: NDArray[np.bool_], decided: NDArray[np.bool_]
    ) -> dict[str, Any]:
        """Open rows for each value of each facet, under the other facets that are chosen.

        Args:
            facets: what is chosen.
            is_open: rows to be asked, `[num_rows]`.
            decided: rows that people have decided, `[num_rows]`.
        """
        table = self._table

        def under(*left_out: str) -> NDArray[np.bool_]:
            free = {name: Facets._field_defaults[name] for name in left_out}
            return is_open & self.mask(facets._replace(**free))

        levels = Counter(self._level[under("level")].tolist())
        reasons: Counter[str] = Counter()
        for n in np.flatnonzero(under("reason")):
            reasons.update({reason.kind for reason in table.reasons[n]})
        reviewers: Counter[str] = Counter()
        for n in np.flatnonzero(under("reviewer")):
            reviewers.update(self._reviewers.get(int(n), ()))
        splits = Counter(self._split[under("split")].tolist())
        splits.pop("", None)
        bins = np.histogram(table.confidence[under("low", "high")], BINS)[0]
        return {
            "shown": int((is_open & self.mask(facets)).sum()),
            "levels": [
                {"value": str(level), "name": level_name(table, level), "count": count}
                for level, count in sorted(levels.items())
            ],
            "reasons": [
                {"value": kind, "name": REASONS[kind], "count": count}
                for kind, count in sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
            ],
            "reviewers": _plain_counts(reviewers),
            "splits": _plain_counts(splits),
            "confidence": [
                {"from": low, "to": high, "count": int(count)}
                for low, high, count in zip(BINS[:-1], BINS[1:], bins, strict=True)
            ],
            "nodes": self.nodes(facets.node, is_open, decided),
        }

    def nodes(
        self, node: str, is_open: NDArray[np.bool_], decided: NDArray[np.bool_]
    ) -> dict[str, Any]:
        """Progress below a node: of the node, of the nodes above it, and of those right below.

        Args:
            node: a node id, "" for the whole tree.
            is_open: rows to be asked, `[num_rows]`.
            decided: rows that people have decided, `[num_rows]`.
        """
        table, known = self._table, self._table.known
        node = node if node in known.level else ""
        items = self._table.is_item
        counted = {
            name: known.items_below(Counter(self._own[items & rows].tolist()))
            for name, rows in (("open", is_open), ("decided", decided), ("items", items))
        }
        sure = pd.Series(table.confidence[items]).groupby(self._own[items]).sum().to_dict()
        parts = known.items_below({str(key): round(_PARTS * value) for key, value in sure.items()})

        def progress(one: str) -> dict[str, Any]:
            number = counted["items"].get(one, 0)
            right = parts.get(one, 0) / _PARTS / number if number else None
            own = {name: found.get(one, 0) for name, found in counted.items()}
            expected = None if right is None else round(right, 4)
            return {**describe(table, one), **own, "expected": expected}

        below = sorted(
            known.children(node), key=lambda one: (-counted["open"].get(one, 0), known.name[one])
        )
        return {
            "path": [progress(one) for one in reversed(known.path(node))] if node else [],
            "below": [progress(one) for one in below if counted["items"].get(one)],
        }

    def find(self, text: str) -> list[dict[str, Any]]:
        """Items and nodes by the beginnings of words of their names, or by their ids."""
        table, wanted = self._table, search_key(text).split()
        if not wanted:
            return []
        hits = []
        for n, words in self._words:
            if all(f" {part}" in words for part in wanted):
                whole = f" {' '.join(wanted)} "
                hits.append((whole not in words, table.is_item[n], n))
        hits.sort()
        return [
            {
                "row_id": table.row_id[n],
                "name": name_of(table, n),
                "subject": table.subject[n],
                "kind": level_name(table, table.level[n] - 1),
                "is_item": bool(table.is_item[n]),
                "place": table.known.name.get(table.own[n], ""),
            }
            for *_, n in hits[: 2 * FOUND]
        ]

    # --- the rows by facet ---------------------------------------------------------------

    def _mask(self, facets: Facets) -> NDArray[np.bool_]:
        table = self._table
        found = np.ones(len(table.row_id), bool)
        if facets.node:
            found &= self._below(facets.node)
        if facets.level is not None:
            found &= self._level == facets.level
        if facets.reason:
            kinds = ({reason.kind for reason in reasons} for reasons in table.reasons)
            found &= np.array([facets.reason in some for some in kinds], bool)
        if facets.reviewer:
            decided = np.zeros(len(found), bool)
            decided[[n for n, names in self._reviewers.items() if facets.reviewer in names]] = True
            found &= decided
        if facets.split:
            found &= self._split == facets.split
        sure = np.round(table.confidence, _DECIMALS)
        if facets.low is not None:
            found &= sure >= facets.low
        if facets.high is not None:
            found &= sure <= facets.high
        return found

    def _below(self, node: str) -> NDArray[np.bool_]:
        known, inside, nodes = self._table.known, set[str](), [node]
        while nodes:
            inside.add(one := nodes.pop())
            nodes += known.children(one) if one in known.level else []
        rows = self._own_series.isin(inside) | pd.Series(self._table.subject).isin(inside)
        found: NDArray[np.bool_] = rows.to_numpy(copy=True)
        for n, suggestion in self._table.suggestion.items():
            found[n] |= suggestion in inside
        return found

    @cached_property
    def _own(self) -> NDArray[np.object_]:
        return np.array(self._table.own, dtype=object)

    @cached_property
    def _own_series(self) -> pd.Series:
        return pd.Series(self._table.own, dtype=object)

    @cached_property
    def _level(self) -> NDArray[np.int64]:
        return np.array(self._table.level, dtype=np.int64) - 1

    @cached_property
    def _split(self) -> NDArray[np.object_]:
        splits = dict(zip(self._table.items.item_id, self._table.items.split, strict=True))
        return np.array([splits.get(one, "") for one in self._table.subject], dtype=object)

    @cached_property
    def _reviewers(self) -> dict[int, set[str]]:
        """Who has decided on a row, by its number."""
        found: dict[int, set[str]] = {}
        for decision in self._table.resolution.read:
            if (n := self._table.at.get(decision.row_id)) is not None:
                found.setdefault(n, set()).add(decision.reviewer)
        return found

    @cached_property
    def _words(self) -> list[tuple[int, str]]:
        table = self._table
        return [
            (n, f" {search_key(name_of(table, n))} {subject.casefold()} {subject.split('/')[-1]} ")
            for n, subject in enumerate(table.subject)
        ]


def _plain_counts(counts: Counter[str]) -> list[dict[str, Any]]:
    return [{"value": one, "name": one, "count": count} for one, count in sorted(counts.items())]
