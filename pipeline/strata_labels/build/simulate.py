"""Simulated review: the real scorer and the real ledger, answered from known labels.

A curator answers pages of at most ten look-alikes: rows with the same proposal, about equally sure.
What most of a page is, is one answer for the page; each row that is something else is answered by
itself first. One answer is one decision, however many rows it is for; no row is decided unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from strata_labels.build.check import check_inputs
from strata_labels.build.propose import decided, ledgers, scorer_of
from strata_labels.build.runner import run_stages
from strata_labels.build.settings import BuildSettings
from strata_labels.build.stages import PROPOSE, SETTLE, STAGES
from strata_labels.build.workspace import Workspace
from strata_labels.errors import InputError, Problem
from strata_labels.hierarchy import Hierarchy
from strata_labels.proposal import calibration_error, node_id, read_vocabulary
from strata_labels.review import PAGE, append, batch_decisions, pages, read_ledger
from strata_labels.sources import Metadata
from strata_labels.tables import labels_at, load, save

REVIEWER = "simulated curator"
# Simulated answers are a second apart, from here on: the same input gives the same ledger.
FIRST_ANSWER = datetime(2000, 1, 1, tzinfo=UTC)
# Share of the items that are answered between two refits.
BATCH = 0.015
# While no more decisions than this share of the items are made, every third page is drawn from all,
# sure rows too: a scorer that has only ever seen its doubts cannot tell how sure it should be.
EVENLY, EVERY = 0.15, 3
# Decisions after which the calibration of the open rows is measured.
MEASURE_AFTER = 1_000


@dataclass(frozen=True)
class Page:
    """What a page of rows came to.

    Attributes:
        single: rows answered one by one.
        together: rows that one answer was for, in the same act.
    """

    single: list[int]
    together: list[int]

    @property
    def decisions(self) -> int:
        """Answers given."""
        return len(self.single) + bool(self.together)


def answer_page(rows: np.ndarray, truth: np.ndarray) -> Page:
    """Answers a page: its commonest label for all that have it, each other row by itself.

    Args:
        rows: at most `PAGE` positions; the curator sees them all.
        truth: label of each position, `[n]`; only those of `rows` are looked at.
    """
    labels, first, counts = np.unique(truth[rows], return_index=True, return_counts=True)
    if len(rows) == 1 or counts.max() == 1:
        return Page(rows.tolist(), [])
    # Of labels that are equally common, the one that stands first on the page.
    common = labels[np.lexsort((first, -counts))[0]]
    return Page(rows[truth[rows] != common].tolist(), rows[truth[rows] == common].tolist())


def simulate_review(
    truth: Path,
    out: Path,
    tree: str,
    encoder: str,
    targets: Sequence[float],
    page_size: int = PAGE,
    say: Callable[[str], None] = lambda _line: None,
) -> dict[str, Any]:
    """Reviews items whose labels are known until the last target is reached.

    Args:
        truth: a file of labelled items that the tree's source reads; items without a label are
            ignored.
        out: workspace, new or empty: tables, ledger and assignments are left in it.
        tree: whose vocabulary and lexicon are used.
        encoder: see `strata_labels.embedding.load_encoder`.
        targets: shares of all items that have to agree with the truth, each over 0, at most 1.
        page_size: rows that the curator sees at a time; 1: one by one, a decision each.
        say: told a line now and then.

    Returns:
        `num_items`, `ignored`, `decisions_per_1000` and `decisions` by target; `curve`, a point
        at each refit (`decisions`, `decisions_per_1000`, `agreement`, `rows_decided`);
        `calibration` of the rows that are open after `MEASURE_AFTER` decisions, if it came to
        that; `agreement`, recounted from the assignments that were left. The ledger has a line for
        each decision.

    Raises:
        InputError: everything that is wrong with the file, the targets, the folder.
    """
    problems = [
        Problem("--target", "not a share:", "Give one above 0, at most 1.", value=target)
        for target in targets
        if not 0 < target <= 1
    ]
    workspace = Workspace(out)
    if workspace.ledger.exists():
        fix = "Give a new folder: the simulation writes a ledger of its own."
        problems.append(Problem(workspace.ledger, "holds decisions already", fix))
    if problems:
        raise InputError(problems)
    settings = BuildSettings(
        tree=tree,
        metadata=truth,
        decisions=workspace.ledger,
        encoder=encoder,
    )
    metadata = check_inputs(settings)
    labels, ignored = _labelled(truth, metadata, settings.hierarchy, workspace)
    before_review = STAGES[1 : STAGES.index(PROPOSE) + 1]
    run_stages(before_review, workspace, settings)
    wanted = labels.reindex(load(workspace.folder, "items")["item_id"])
    review = _Review(workspace, settings, wanted, page_size, say)
    review.until(max(targets))
    run_stages([*before_review, SETTLE], workspace, settings)
    level = settings.hierarchy.compared_level
    left = load(workspace.folder, "assignments").set_index("item_id")[f"level{level}_name"]
    reached = {target: _reached(review.curve, target) for target in targets}
    return {
        "num_items": len(wanted),
        "ignored": {"no label": ignored},
        "decisions_per_1000": {
            str(target): None if count is None else round(1000 * count / len(wanted), 1)
            for target, count in reached.items()
        },
        "decisions": {str(target): count for target, count in reached.items()},
        "curve": review.curve,
        "calibration": review.calibration,
        "agreement": float((left.reindex(wanted.index) == wanted).mean()),
    }


def _labelled(
    truth: Path, read: Metadata, hierarchy: Hierarchy, workspace: Workspace
) -> tuple[pd.Series, int]:
    """Label of each labelled item, and how many have none; the items are saved without labels."""
    level = hierarchy.compared_level
    found = labels_at(read.labels, read.items["item_id"], level, "published")
    labelled = found != ""
    if not labelled.any():
        raise InputError(Problem(truth, "has no label", "Give a file with known labels."))
    unknown = sorted(set(found[labelled]) - set(read_vocabulary(hierarchy.vocabulary).nodes))
    if unknown:
        fix, column = "Correct it, or leave its rows out.", hierarchy.levels[level]
        raise InputError(
            Problem(truth, "no node of the vocabulary:", fix, column=column, value=label)
            for label in unknown
        )
    save(workspace.folder, "items", read.items[labelled])
    save(workspace.folder, "labels", read.labels[:0])
    labels = found[labelled].set_axis(read.items["item_id"][labelled])
    return labels, int((~labelled).sum())


def _reached(curve: list[dict[str, Any]], target: float) -> int | None:
    """Decisions of the first point of a curve that has the target; None where none has."""
    return next((p["decisions"] for p in curve if p["agreement"] >= target), None)


def _mixed(pages_: list[np.ndarray]) -> list[np.ndarray]:
    """The pages in their order, but every third is drawn from all that are left."""
    ranked = dict.fromkeys(range(len(pages_)))
    drawn = np.random.default_rng(0).permutation(len(pages_)).tolist()
    order: list[int] = []
    for lot in drawn:
        while len(ranked) and (len(order) + 1) % EVERY:
            order.append(next(iter(ranked)))
            del ranked[order[-1]]
        if lot in ranked:
            order.append(lot)
            del ranked[lot]
    return [pages_[number] for number in [*order, *ranked]]


class _Review:
    """One simulated review.

    Args:
        workspace: with tables `items, proposals, vocabulary` and vectors.
        settings: of the build.
        wanted: label of each item, by item id, in the order of `items`.
        page_size: rows on a page.
        say: told a line at each refit.
    """

    def __init__(
        self,
        workspace: Workspace,
        settings: BuildSettings,
        wanted: pd.Series,
        page_size: int,
        say: Callable[[str], None],
    ) -> None:
        self.items, self.vocabulary, self.scorer = scorer_of(workspace, settings)
        self.workspace, self.settings, self.say = workspace, settings, say
        self.page_size = page_size
        self.proposals = load(workspace.folder, "proposals")
        self.nodes = load(workspace.folder, "vocabulary")
        self.truth = self.vocabulary.index(wanted)
        own = self.proposals[self.proposals["level"] == 1].set_index("subject")
        self.hashes = own["evidence_hash"].reindex(self.items["item_id"]).to_numpy(dtype=object)
        self.decisions = 0
        self._unwritten: list[pd.DataFrame] = []
        self.curve: list[dict[str, Any]] = []
        self.calibration: dict[str, float] | None = None

    def until(self, target: float) -> None:
        """Refits and answers in turn until the target is reached."""
        num_items = len(self.items)
        while True:
            known, together = self._known()
            scores = self.scorer.fit(known, together)
            right = scores.node == self.truth
            still_open = np.flatnonzero(known < 0)
            self.curve.append(
                {
                    "decisions": self.decisions,
                    "decisions_per_1000": round(1000 * self.decisions / num_items, 1),
                    "agreement": float(right.mean()),
                    "rows_decided": num_items - len(still_open),
                }
            )
            self.say(f"{self.decisions:,} decisions: {right.mean():.1%} agree")
            if self.decisions >= MEASURE_AFTER and self.calibration is None and len(still_open):
                error = calibration_error(scores.confidence[still_open], right[still_open])
                self.calibration = {"decisions": self.decisions, "error": error}
            if right.mean() >= target or not len(still_open):
                return
            budget = self.decisions + max(1, round(BATCH * num_items))
            names = np.array(self.scorer.nodes, dtype=object)[scores.node[still_open]]
            found = list(pages(names, scores.confidence[still_open], self.page_size))
            if self.decisions < EVENLY * num_items:
                found = _mixed(found)
            for rows in found:
                self._answer(answer_page(still_open[rows], self.truth))
                if self.decisions >= budget:
                    break
            self._write()

    def _known(self) -> tuple[np.ndarray, np.ndarray]:
        ledger = read_ledger(*ledgers(self.settings)).decisions
        if not len(ledger):
            none = np.full(len(self.items), -1)
            return none, none
        return decided(self.proposals, self.nodes, ledger, self.items, self.vocabulary)

    def _answer(self, page: Page) -> None:
        """Keeps the answers to a page for the next write: a line of the ledger each."""
        for rows in [[row] for row in page.single] + ([page.together] if page.together else []):
            when = FIRST_ANSWER + timedelta(seconds=self.decisions)
            subjects = self.items["item_id"].iloc[rows]
            answer = pd.DataFrame(
                {
                    "row_id": "1:" + subjects,
                    "subject": subjects,
                    "level": 1,
                    "decision": "move",
                    "target": node_id(2, self.scorer.nodes[self.truth[rows[0]]]),
                    "reviewer": REVIEWER,
                    "note": f"one answer for {len(rows)} items" if len(rows) > 1 else "",
                    "decided_at": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "evidence_hash": self.hashes[rows],
                }
            )
            self._unwritten.append(batch_decisions(answer))
            self.decisions += 1

    def _write(self) -> None:
        append(self.workspace.ledger, pd.concat(self._unwritten, ignore_index=True))
        self._unwritten.clear()
