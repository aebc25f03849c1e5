"""Agreement between reviewers, and the error rate of labels that were accepted without review."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from strata_labels.review.apply import Resolution, replay
from strata_labels.review.decisions import MAKES_NODE, SAME
from strata_labels.tree import LabelTree

#: The node of a row that a reviewer excludes, or stops above the level in question.
NO_NODE = ""


def double_sample(row_ids: Iterable[str], share: float) -> list[str]:
    """The rows that a second reviewer decides too: about `share` of them, in their order.

    Whether a row is in depends on its id alone, so the choice stays when rows come and go, and a
    larger share contains the smaller one.

    Raises:
        ValueError: `share` is not between 0 and 1.

    Example:
        >>> double_sample(["1:a", "1:b", "1:c"], 1.0), double_sample(["1:a", "1:b"], 0.0)
        (['1:a', '1:b', '1:c'], [])
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie between 0 and 1, got {share}")
    return [row for row in row_ids if _draw("double", row) < share]


def for_second_look(resolution: Resolution, reviewer: str, share: float) -> list[str]:
    """The item rows that others have decided and this reviewer decides too, see `double_sample`.

    Args:
        resolution: from `replay` on all decisions.
        reviewer: the second one; their own decisions do not count.
        share: of the rows, 0 to 1.
    """
    decided = pd.concat([resolution.effective, resolution.disputed])
    others = decided[(decided.reviewer != reviewer) & (decided.decision != "unsure")]
    return double_sample(sorted(set(others.row_id[others.level.astype(int) == 1])), share)


def decided_alone(decisions: pd.DataFrame, reviewer: str) -> pd.DataFrame:
    """A reviewer's own decisions, and all on names and ids of nodes, which they may name."""
    named = decisions["decision"].str.casefold().isin(["rename", "describe", *MAKES_NODE, SAME])
    return decisions[named | (decisions["reviewer"] == reviewer)]


def audit_sample(rows: pd.DataFrame, size: int) -> list[str]:
    """Rows accepted without review, drawn for a person to check; all there are, if fewer."""
    accepted = rows.loc[rows.state == "accepted", "row_id"]
    return sorted(sorted(accepted, key=lambda row: (_draw("audit", row), row))[:size])


def _draw(purpose: str, row_id: str) -> float:
    """A number from 0 to 1 that depends on the row id alone, evenly spread over rows."""
    digest = hashlib.sha256(f"{purpose}\n{row_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


@dataclass(frozen=True)
class ErrorRate:
    """An estimated error rate with its exact confidence interval."""

    errors: int
    checked: int
    low: float
    high: float


def error_rate(errors: int, checked: int, level: float = 0.95) -> ErrorRate:
    """The error rate of a sample, with the interval of Clopper and Pearson (1934).

    Args:
        errors: how many of the checked rows were wrong.
        checked: how many rows were checked; the interval of none is 0 to 1.
        level: confidence of the interval, two-sided.

    Example:
        >>> round(error_rate(0, 100).high, 4)
        0.0362
    """
    if checked == 0:
        return ErrorRate(0, 0, 0.0, 1.0)
    # Imported here: it takes seconds, and most uses of the ledger do not need it.
    from scipy.stats import binomtest

    interval = binomtest(errors, checked).proportion_ci(level, method="exact")
    return ErrorRate(errors, checked, float(interval.low), float(interval.high))


@dataclass(frozen=True)
class Agreement:
    """Two reviewers on the same items.

    Attributes:
        levels: `level, rows, agree` (share), `kappa` (Cohen 1960; NaN if both reviewers gave one
            and the same node throughout, so that chance alone explains it).
        confusions: `level, one, other, rows`: different nodes given to an item, names in
            alphabetical order, most frequent first.
        audit: of the audited rows, how many were accepted wrongly.
    """

    levels: pd.DataFrame
    confusions: pd.DataFrame
    audit: ErrorRate

    def __bool__(self) -> bool:
        """Whether anything was decided twice or audited."""
        return bool(self.audit.checked) or bool(self.levels["rows"].any())

    def as_json(self) -> dict[str, Any]:
        """Plain numbers; `kappa` is None if it is not defined."""
        levels = self.levels.astype(object).where(self.levels.notna(), None)
        return {
            "levels": levels.to_dict("records"),
            "confusions": self.confusions.to_dict("records"),
            "audit": asdict(self.audit),
        }


def compare_reviewers(
    decisions: pd.DataFrame,
    proposals: pd.DataFrame,
    vocabulary: pd.DataFrame,
    audited: Mapping[str, str] | None = None,
) -> Agreement:
    """Compares what each reviewer's decisions alone make of the items that two or more decided.

    An item that three reviewers decided counts as three pairs. `unsure` is no decision.

    Args:
        decisions: `Ledger.decisions`.
        proposals: the table `proposals`.
        vocabulary: all known nodes.
        audited: by row id of an audit (see `draw_audit`) the parent it had been accepted with;
            those that somebody has decided since are counted.
    """
    reviewers = sorted(set(decisions["reviewer"]))
    paths = [_paths(decisions, who, proposals, vocabulary) for who in reviewers]
    pairs = [
        (one[item], other[item])
        for one, other in combinations(paths, 2)
        for item in sorted(one.keys() & other.keys())
    ]
    top = max((int(level) for level in vocabulary["level"]), default=0)
    name = dict(zip(vocabulary["node_id"], vocabulary["name"], strict=True))
    levels, confusions = [], []
    for level in range(1, top + 1):
        first = [one.get(level, NO_NODE) for one, _ in pairs]
        second = [other.get(level, NO_NODE) for _, other in pairs]
        same = np.array(first, dtype=object) == np.array(second, dtype=object)
        share = float(same.mean()) if pairs else float("nan")
        levels.append((level, len(pairs), share, _kappa(first, second)))
        met = Counter(
            tuple(sorted((name.get(a, a or "none"), name.get(b, b or "none"))))
            for a, b in zip(first, second, strict=True)
            if a != b
        )
        ranked = sorted(met.items(), key=lambda pair: (-pair[1], pair[0]))
        confusions += [(level, one, other, count) for (one, other), count in ranked]
    return Agreement(
        pd.DataFrame(levels, columns=["level", "rows", "agree", "kappa"]),
        pd.DataFrame(confusions, columns=["level", "one", "other", "rows"]),
        _audit(decisions, proposals, vocabulary, paths, audited or {}),
    )


def _kappa(first: list[str], second: list[str]) -> float:
    if len({*first, *second}) < 2:
        return float("nan")
    # Imported here: it takes seconds, and most uses of the ledger do not need it.
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(first, second))


def _paths(
    decisions: pd.DataFrame, reviewer: str, proposals: pd.DataFrame, vocabulary: pd.DataFrame
) -> dict[str, dict[int, str]]:
    """For each item that a reviewer decided, the node at each level, by their decisions alone."""
    found = replay(decided_alone(decisions, reviewer), proposals, vocabulary)
    own = found.effective[found.effective["decision"] != "unsure"]
    own = own[own["reviewer"] == reviewer]
    rows = found.rows[(found.rows["level"] == 1) & found.rows["row_id"].isin(own["row_id"])]
    return {
        item: _by_level(found.tree, parent)
        for item, parent in zip(rows["subject"], rows["parent"], strict=True)
    }


def _by_level(tree: LabelTree, node: str) -> dict[int, str]:
    return {tree.level[step]: step for step in tree.path(node)}


def _audit(
    decisions: pd.DataFrame,
    proposals: pd.DataFrame,
    vocabulary: pd.DataFrame,
    paths: list[dict[str, dict[int, str]]],
    audited: Mapping[str, str],
) -> ErrorRate:
    tree = replay(decisions.iloc[:0], proposals, vocabulary).tree
    # The class of an item only leads to its label, which is the level above.
    label = min(2, tree.top)
    checked, wrong = 0, 0
    for row_id, parent in audited.items():
        item = row_id.split(":", 1)[1]
        decided = [path[item] for path in paths if item in path]
        if decided:
            accepted = _by_level(tree, parent)
            checked += 1
            wrong += any(path.get(label) != accepted.get(label) for path in decided)
    return error_rate(wrong, checked)


def agreement_lines(found: Agreement, levels: Sequence[str]) -> list[str]:
    """The card's section on agreement, Markdown.

    Args:
        found: from `agreement`.
        levels: names of the levels, level 0 first.
    """
    audit = found.audit
    lines = []
    if not len(found.levels) or not found.levels["rows"].iloc[0]:
        lines.append("No item has been decided by two reviewers.")
    else:
        lines += ["| level | decided twice | agree | Cohen's kappa |", "|---|---|---|---|"]
        for level, rows, agree, kappa in found.levels.itertuples(index=False):
            shown = "not defined" if np.isnan(kappa) else f"{kappa:.2f}"
            lines.append(f"| {levels[level]} | {rows:,} | {agree:.1%} | {shown} |")
        often = found.confusions.sort_values("rows", ascending=False, kind="stable").head(5)
        if len(often):
            pairs = [f"{row.one} / {row.other} ({row.rows})" for row in often.itertuples()]
            lines += ["", "Most often confused: " + ", ".join(pairs) + "."]
    if audit.checked:
        lines += [
            "",
            f"Of {audit.checked:,} audited rows that were accepted without review, "
            f"{audit.errors:,} were wrong: {audit.errors / audit.checked:.1%} "
            f"(95 % interval {audit.low:.1%} to {audit.high:.1%}).",
        ]
    return lines
