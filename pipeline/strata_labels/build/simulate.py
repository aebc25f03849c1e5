"""Simulated review: the real scorer, the page's own desk and ledger, answered from known labels.

A curator answers what the review page asks: a row, or a grid of at most ten look-alikes. What most
of a grid is, is one answer for those rows. Two or more exceptions of one place are marked and get
it by one answer (`p` on the page); a single exception comes up by itself and is answered by itself.
One answer is one decision, however many rows it is for; no row is decided unseen. Rows looked at
and a person's time are counted beside the decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from strata_labels.build.assets import ledgers
from strata_labels.build.check import check_inputs
from strata_labels.build.propose import decided, scorer_of
from strata_labels.build.runner import run_stages
from strata_labels.build.settings import BuildSettings
from strata_labels.build.stages import PROPOSE, SETTLE, STAGES
from strata_labels.build.workspace import Workspace
from strata_labels.errors import InputError, Problem, refuse
from strata_labels.evidence import Alternative
from strata_labels.hierarchy import Hierarchy
from strata_labels.proposal import Scores, calibration_error, node_id, read_vocabulary
from strata_labels.review import GROUP_SIZE, read_ledger
from strata_labels.sources import Metadata
from strata_labels.tables import labels_at, load, save

if TYPE_CHECKING:
    from strata_labels.review.page import Desk

REVIEWER = "simulated curator"
# Simulated answers are a second apart, from here on: the same input gives the same ledger.
FIRST_ANSWER = datetime(2000, 1, 1, tzinfo=UTC)
# Seconds that a person takes for a row, or to give marked rows a place, and for a grid of ten.
ROW_SECONDS, GRID_SECONDS = 4.0, 8.0
# While no more decisions than this share of the items are made, every third row asked for is drawn
# from all, sure ones too, and shown with its look-alikes: a scorer that has only ever seen its
# doubts cannot judge how sure it should be.
EVENLY, EVERY = 0.15, 3
# Decisions after which the calibration of the open rows is measured.
MEASURE_AFTER = 1_000


@dataclass
class Work:
    """What a curator has done.

    Attributes:
        decisions: answers given; each is one line of the ledger.
        rows: rows looked at: all of a grid, and its exceptions once more.
        seconds: time this takes a person.
    """

    decisions: int = 0
    rows: int = 0
    seconds: float = 0.0

    def looked_at(self, rows: int) -> None:
        """Counts a row, or a grid of several."""
        self.rows += rows
        self.seconds += ROW_SECONDS if rows == 1 else rows * GRID_SECONDS / GROUP_SIZE

    def per_1000(self, num_items: int) -> dict[str, float]:
        """Decisions, rows and minutes per 1,000 items."""
        found = {"decisions": self.decisions, "rows": self.rows, "minutes": self.seconds / 60}
        return {
            f"{name}_per_1000": round(1000 * count / num_items, 1) for name, count in found.items()
        }


class SimulatedCurator:
    """Answers what a desk asks from known labels, as a person does on the page.

    What most of a grid is, is one answer for those rows, and so is what several exceptions are. A
    single exception comes up by itself and is answered by itself.

    Args:
        desk: the page's.
        truth: the true node of each row, by its id; rows that it does not name, such as those of
            nodes, are kept as they are.
        work: counts what is done.

    Attributes:
        answered: ids of the rows that were decided.
    """

    def __init__(self, desk: Desk, truth: Mapping[str, str], work: Work) -> None:
        self._desk, self._truth, self._work = desk, truth, work
        self.answered: set[str] = set()

    def answer(self, rows: list[str]) -> None:
        """Answers a row or a grid."""
        self._work.looked_at(len(rows))
        by_node: dict[str | None, list[str]] = {}
        for row in rows:
            by_node.setdefault(self._truth.get(row), []).append(row)
        most, *others = sorted(by_node.values(), key=len, reverse=True)  # of equal ones the first
        at_once = [most] if len(most) > 1 or len(rows) == 1 else []
        marked = [same for same in others if len(same) > 1 and self._truth.get(same[0])]
        self._work.seconds += ROW_SECONDS * len(marked)
        at_once += marked
        for same in at_once:
            self._decide(same)
        for row in [row for row in rows if not any(row in same for same in at_once)]:
            self._work.looked_at(1)
            self._decide(self._desk.ask(row, single=True))

    def _decide(self, rows: list[str]) -> None:
        note = f"one answer for {len(rows)} items" if len(rows) > 1 else ""
        node = self._truth.get(rows[0])
        self._desk.decide(self._desk.state, rows, "move" if node else "keep", node or "", note)
        self._work.decisions += 1
        self.answered.update(rows)


def simulate_review(
    truth: Path,
    out: Path,
    tree: str,
    encoder: str,
    targets: Sequence[float],
    page_size: int = GROUP_SIZE,
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
        say: called with a line of text at each refit.

    Returns:
        `num_items`, `ignored`; by target `decisions_per_1000`, `decisions`, `rows_per_1000` (rows
        looked at, a grid's exceptions twice), `minutes_per_1000` (a person's time at `ROW_SECONDS`
        and `GRID_SECONDS`) and `minutes_row_by_row_per_1000` (of labelling that share of the items
        without proposals); `curve`, a point at each refit (`decisions`, `decisions_per_1000`,
        `rows_per_1000`, `minutes_per_1000`, `agreement`, `rows_decided`);
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
    refuse(problems)
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
    with TemporaryDirectory() as shown:
        review = _Review(workspace, settings, wanted, page_size, Path(shown), say)
        review.until(max(targets))
    run_stages([*before_review, SETTLE], workspace, settings)
    level = settings.hierarchy.compared_level
    left = load(workspace.folder, "assignments").set_index("item_id")[f"level{level}_name"]
    reached = {target: _reached(review.curve, target) for target in targets}
    by_target = {
        name: {str(target): point and point[name] for target, point in reached.items()}
        for name in ("decisions_per_1000", "decisions", "rows_per_1000", "minutes_per_1000")
    }
    return {
        "num_items": len(wanted),
        "ignored": {"no label": ignored},
        **by_target,
        "minutes_row_by_row_per_1000": {
            str(target): round(1000 * target * ROW_SECONDS / 60, 1) for target in targets
        },
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
    what, fix = "no node of the vocabulary:", "Correct it, or leave its rows out."
    column = hierarchy.levels[level]
    refuse(Problem(truth, what, fix, column=column, value=label) for label in unknown)
    save(workspace.folder, "items", read.items[labelled])
    save(workspace.folder, "labels", read.labels[:0])
    labels = found[labelled].set_axis(read.items["item_id"][labelled])
    return labels, int((~labelled).sum())


def _reached(curve: list[dict[str, Any]], target: float) -> dict[str, Any] | None:
    """The first point of a curve that has the target; None where none has."""
    return next((point for point in curve if point["agreement"] >= target), None)


class _Review:
    """One simulated review: a curator at the review page's own desk.

    Args:
        workspace: with tables `items, proposals, vocabulary` and vectors.
        settings: of the build.
        wanted: label of each item, by item id, in the order of `items`.
        group_size: rows in a grid, at most.
        folder: a folder for the tables that the desk shows.
        say: called with a line of text at each refit.
    """

    def __init__(
        self,
        workspace: Workspace,
        settings: BuildSettings,
        wanted: pd.Series,
        group_size: int,
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        self.items, self.vocabulary, self.scorer = scorer_of(workspace, settings)
        self.settings, self.folder, self.say = settings, folder, say
        self.level = settings.hierarchy.compared_level
        self.proposals = load(workspace.folder, "proposals")
        self.nodes = load(workspace.folder, "vocabulary")
        self.truth = self.vocabulary.index(wanted)
        self.place = {f"1:{item}": n for n, item in enumerate(self.items["item_id"])}
        self.answers = {row: self._node(self.truth[n]) for row, n in self.place.items()}
        self.work = Work()
        self.curve: list[dict[str, Any]] = []
        self.calibration: dict[str, float] | None = None
        save(folder, "items", self.items)
        save(folder, "vocabulary", self.nodes)
        # Here, since the page brings a web server along that no other command needs.
        from strata_labels.review.page import ReviewSetup

        self.setup = ReviewSetup(
            folder=folder,
            ledgers=[workspace.ledger],
            levels=settings.hierarchy.levels,
            title="simulated",
            target=1.0,
            vectors=[workspace.vectors / "names.npy"],
            group_size=group_size,
            clock=self._time,
        )

    def until(self, target: float) -> None:
        """Refits and answers in turn until the target is reached."""
        from strata_labels.review.page import Desk

        num_items, desk = len(self.items), None
        while True:
            known, line = self._known()
            scores = self.scorer.fit(known, line, np.full(num_items, -1))
            right = scores.node == self.truth
            still_open = np.flatnonzero(known < 0)
            point = self.work.per_1000(num_items)
            point |= {"decisions": self.work.decisions, "agreement": float(right.mean())}
            self.curve.append(point | {"rows_decided": num_items - len(still_open)})
            self.say(f"{self.work.decisions:,} decisions: {right.mean():.1%} agree")
            if self.work.decisions >= MEASURE_AFTER and self.calibration is None:
                error = calibration_error(scores.confidence[still_open], right[still_open])
                self.calibration = {"decisions": self.work.decisions, "error": error}
            if right.mean() >= target or not len(still_open):
                return
            self._propose(scores)
            if desk is None:
                desk = Desk(self.setup, REVIEWER)
            desk.ask()
            desk.settle()  # the rows that were just scored
            self._answer_batch(desk, still_open)

    def _known(self) -> tuple[np.ndarray, np.ndarray]:
        ledger = read_ledger(*ledgers(self.settings)).decisions
        if not len(ledger):
            none = np.full(len(self.items), -1)
            return none, none
        return decided(self.proposals, self.nodes, ledger, self.items, self.vocabulary)

    def _propose(self, scores: Scores) -> None:
        """Writes what the desk shows: each item where it is scored now, none of them accepted."""
        at = np.array([self.place.get(row_id, -1) for row_id in self.proposals["row_id"]])
        table = self.proposals.assign(accepted=at < 0)
        rows, ids = at >= 0, np.array([self._node(k) for k in range(len(self.scorer.nodes))])
        item = at[rows]
        others = [
            tuple(
                Alternative(ids[k], round(float(share), 4))
                for k, share in zip(top, shares, strict=True)
                if k != node
            )
            for node, top, shares in zip(
                scores.node[item], scores.top[item], scores.top_probability[item], strict=True
            )
        ]
        blank = pd.Series([()] * len(item), dtype=object).to_numpy()
        for column, values in {
            "parent": ids[scores.node[item]],
            "suggestion": ids[scores.node[item]],
            "confidence": scores.confidence[item],
            "score": scores.confidence[item],
            "alternatives": pd.Series(others, dtype=object).to_numpy(),
            "evidence": blank,
            "reasons": blank,
        }.items():
            cells = table[column].to_numpy(dtype=object, copy=True)
            cells[rows] = values
            table[column] = cells
        save(self.folder, "proposals", table)

    def _node(self, number: int) -> str:
        return node_id(self.level, self.scorer.nodes[number])

    def _answer_batch(self, desk: Desk, still_open: np.ndarray) -> None:
        """Answers what the page asks, in its order, until it would have the rows scored anew."""
        from strata_labels.review.page import BATCH

        curator = SimulatedCurator(desk, self.answers, self.work)
        ids = [f"1:{item}" for item in self.items["item_id"].iloc[still_open]]
        drawn = iter(np.random.default_rng(0).permutation(ids).tolist())
        evenly = self.work.decisions < EVENLY * len(self.items)
        answered = number = 0
        while answered < BATCH:
            number += 1
            by_chance = evenly and number % EVERY == 0
            rows = desk.ask(next(drawn) if by_chance else "")
            if not rows:
                return
            answered += len(rows)
            curator.answer(rows)

    def _time(self) -> str:
        when = FIRST_ANSWER + timedelta(seconds=self.work.decisions)
        return when.strftime("%Y-%m-%dT%H:%M:%SZ")
