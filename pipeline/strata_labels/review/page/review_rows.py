"""The rows of the page: the workspace's proposals with the ledger's decisions applied."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from strata_labels.evidence import Alternative, Evidence, Reason, has_reason
from strata_labels.files import sha256_of
from strata_labels.review.agreement import decided_alone, for_second_look
from strata_labels.review.apply import replay
from strata_labels.review.decisions import Decision, active_decisions, read_decisions
from strata_labels.review.ledger import read_ledger
from strata_labels.review.look_alikes import GROUP_SIZE
from strata_labels.review.ranking import queue
from strata_labels.review.reliability import first_answers
from strata_labels.review.reviewed import reviewed
from strata_labels.review.validate import Checker
from strata_labels.tables import load, table_path


class Stamp(NamedTuple):
    """What the tables are that a review was loaded from.

    Attributes:
        fixed: digest of the nodes, what retrieval doubts, what is audited, and the other reviewers'
            ledgers; where these change, nothing that is shown can be decided on.
        scored: when the table was written that scoring the rows anew writes.
    """

    fixed: tuple[object, ...]
    scored: tuple[object, ...]


@dataclass(frozen=True)
class ReviewSetup:
    """What is reviewed: the workspace and what the page has to know of it.

    Attributes:
        folder: the workspace.
        ledgers: read in this order; decisions are added to the last.
        levels: names of the levels, the item's first.
        title: what is reviewed.
        target: share of right labels to reach.
        vectors: `.npy` files `[num_items, d]`, rows as in the table `items`, for nearest siblings.
        find_image: the file of an image id, None where there is none.
        online_server: the server that pictures without a file may come from, "" for none.
        online_images: addresses on that server, by image id.
        group_size: look-alikes that are shown in a grid, at most; 1: rows are asked one by one.
        learn: scores the open rows anew from the decisions so far and writes their tables; None
            where the rows stay as they are.
        clock: gives the time of a decision as the ledger has it; None: it is when it is written.
    """

    folder: Path
    ledgers: Sequence[Path]
    levels: Sequence[str]
    title: str
    target: float
    vectors: Sequence[Path] = ()
    find_image: Callable[[str], Path | None] | None = None
    online_server: str = ""
    online_images: Mapping[str, str] = field(default_factory=dict)
    group_size: int = GROUP_SIZE
    learn: Callable[[], None] | None = None
    clock: Callable[[], str] | None = None

    def online_image(self, image: str) -> str:
        """The address of an image that has no file here, "" for none."""
        address = self.online_images.get(image, "")
        there = self.find_image is not None and self.find_image(image) is not None
        return "" if there or not address.startswith(f"{self.online_server}/") else address


class Watch:
    """Notices when a table that a review shows is written again."""

    def __init__(self, setup: ReviewSetup) -> None:
        self._setup = setup
        self._nodes = (0, 0)
        self._digest = ""

    def stamp(self) -> Stamp:
        """The state of the tables and of the other ledgers."""
        names = ("vocabulary", "proposals", "doubts", "audit")
        nodes, scored, *others = (table_path(self._setup.folder, name) for name in names)
        # Scoring anew writes the nodes too, mostly the same ones: read once for each time.
        if (written := _written(nodes)) != self._nodes:
            self._digest, self._nodes = sha256_of(nodes) if written[1] else "", written
        files = [*others, *self._setup.ledgers[:-1]]
        return Stamp((self._digest, *map(_written, files)), _written(scored))


def _written(path: Path) -> tuple[int, int]:
    """When a file was written and how long it is; zeros where there is none."""
    try:
        state = path.stat()
    except FileNotFoundError:
        return 0, 0
    return state.st_mtime_ns, state.st_size


class ReviewRows:
    """All rows after the ledger's decisions, and the open ones in the order to ask them.

    Attributes:
        at: a row's number by `row_id`; every list and array below goes by these numbers.
        order: numbers of the rows to ask, first first.
        rank: a row's place in `order`, -1 for others.
        group: the look-alikes a row is asked with, "" for none.
        own: the row's parent, as proposed or decided.
        suggestion: the place to ask about, by row number of the open rows.
        answer: the first row that is answered together with a row, mostly itself.
        hard: rows to ask twice, `[num_rows]`.
        first: of these, each reviewer's first answer, by row number.
        said: of these, each reviewer's answer now.
        cover: the row whose answer would settle an item's too, that of its class; -1 for none.

    Args:
        setup: what is reviewed.
        second: a reviewer and a share: ask only this share of the item rows that others have
            decided, as if only this reviewer had decided anything; None: ask the open rows.
        twice: share of the item rows that were not accepted, the most doubtful ones, of which two
            reviewers are asked; one who is asked what another has decided does not see that.
    """

    def __init__(
        self, setup: ReviewSetup, second: tuple[str, float] | None = None, twice: float = 0.0
    ) -> None:
        self.setup = setup
        self.items = load(setup.folder, "items")
        proposals, vocabulary = reviewed(setup.folder), load(setup.folder, "vocabulary")
        decisions = read_ledger(*setup.ledgers).decisions
        resolution = replay(decisions, proposals, vocabulary)
        looked_at: set[str] = set()
        if second:
            looked_at = set(for_second_look(resolution, *second))
            # Open, whatever has been made of the other's decision since.
            proposals["accepted"] &= ~proposals.row_id.isin(looked_at)
            resolution = replay(decided_alone(decisions, second[0]), proposals, vocabulary)
        self.resolution, rows = resolution, resolution.rows
        self._find_hard(proposals, twice)
        asked = queue(resolution, self.items, self.vectors, setup.group_size)
        self.known = resolution.tree
        rows_by_id = rows.set_index("row_id", drop=False)
        before = rows_by_id.assign(evidence=rows_by_id.known_before)
        self.checker = Checker(self.known, before, lost=resolution.lost)
        self.row_id: list[str] = rows.row_id.tolist()
        self.at = {row_id: n for n, row_id in enumerate(self.row_id)}
        self.subject: list[str] = rows.subject.tolist()
        self.level: list[int] = rows.level.astype(int).tolist()
        self.own: list[str] = rows.own.fillna("").tolist()
        self.proposed: list[str] = rows.proposed.tolist()
        self.evidence: list[tuple[Evidence, ...]] = rows.evidence.tolist()
        self.known_before: list[tuple[Evidence, ...]] = rows.known_before.tolist()
        self.reasons: list[tuple[Reason, ...]] = rows.reasons.tolist()
        self.alternatives: list[tuple[Alternative, ...]] = rows.alternatives.tolist()
        self.hash: list[str] = rows.evidence_hash.fillna("").tolist()
        self.unsure = rows.unsure.to_numpy(dtype=bool)
        self.confidence = rows.confidence.fillna(0).to_numpy(dtype=float)
        self.settled = (rows.state == "settled").to_numpy()
        self.is_item = (rows.level == 1).to_numpy()
        # Labels that count for the forecast: what has a place, or still waits for one.
        self.counts = self.is_item & ((rows.own != "") | (rows.state != "accepted")).to_numpy()
        self._may_ask = np.ones(len(rows), bool)
        if second:
            asked = asked[asked.row_id.isin(looked_at)].assign(group="")
            self._may_ask = rows.row_id.isin(looked_at).to_numpy()
        numbers = [self.at[row_id] for row_id in asked.row_id]
        self.order = np.array(numbers, dtype=np.int64)
        self.rank = np.full(len(rows), -1, dtype=np.int64)
        self.rank[self.order] = np.arange(len(self.order))
        self.group = [""] * len(rows)
        self.groups: dict[str, list[int]] = {}
        self.suggestion: dict[int, str] = {}
        for n, group, suggestion in zip(numbers, asked.group, asked.suggestion, strict=True):
            self.group[n] = group
            self.suggestion[n] = suggestion
            if group:
                self.groups.setdefault(group, []).append(n)
        self.answer = np.arange(len(rows))
        for alike in self.groups.values():
            self.answer[alike] = alike[0]
        classes = {self.subject[n]: n for n in self.order.tolist() if self.level[n] == 2}
        own_word = self.unsure | has_reason(rows.reasons, "stale_decision", "disputed")
        by_class = rows.own.map(classes).fillna(-1).to_numpy(dtype=np.int64)
        self.cover = np.where(self.is_item & ~own_word, by_class, -1)

    def _find_hard(self, proposals: pd.DataFrame, share: float) -> None:
        """Finds the rows to ask twice, and opens those that one reviewer has decided."""
        rows = self.resolution.rows
        self.hard = np.zeros(len(rows), bool)
        waits = np.flatnonzero((proposals.level == 1) & ~proposals.accepted.astype(bool))
        score = proposals.score.fillna(0).to_numpy(dtype=float)[waits]
        self.hard[waits[np.argsort(score, kind="stable")[: round(share * len(waits))]]] = True
        subjects = dict(zip(rows.subject[self.hard], np.flatnonzero(self.hard), strict=True))
        read = [d for d in self.resolution.read if d.subject in subjects]
        first = first_answers(read, set(subjects))
        self.first = {int(subjects[subject]): said for subject, said in first.items()}
        self.said: dict[int, dict[str, Decision]] = {}
        for decision in active_decisions(read)[0]:
            if decision.aspect == "place" and decision.decision != "unsure":
                said = self.said.setdefault(int(subjects[decision.subject]), {})
                said[decision.reviewer] = decision
        settled = (rows.state == "settled").to_numpy()
        again = [n for n, said in self.said.items() if len(said) == 1 and settled[n]]
        rows.loc[again, "state"] = "open"
        rows.loc[again, ["own", "parent"]] = rows.loc[again, ["proposed", "proposed"]].to_numpy()
        rows.loc[again, "confidence"] = proposals.confidence.iloc[again].to_numpy()

    @cached_property
    def members(self) -> dict[str, list[int]]:
        """Rows of the items below each level-1 node, the most confident first."""
        found: dict[str, list[int]] = {}
        for n in np.argsort(-self.confidence, kind="stable").tolist():
            if self.is_item[n] and self.own[n]:
                found.setdefault(self.own[n], []).append(n)
        return found

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Items below each node, at any depth."""
        return self.known.items_below({node: len(rows) for node, rows in self.members.items()})

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Names of nodes and items, by id."""
        return {**self._item_names, **self.known.name}

    @cached_property
    def distinct_names(self) -> Mapping[str, str]:
        """As `names`; names that two nodes share tell them apart."""
        return {**self._item_names, **self.known.distinct_names}

    @cached_property
    def _item_names(self) -> dict[str, str]:
        return dict(zip(self.items.item_id, self.items.name, strict=True))

    @cached_property
    def item_at(self) -> dict[str, int]:
        """Place of an item in the table `items` and in the vectors."""
        return {item: n for n, item in enumerate(self.items.item_id)}

    @cached_property
    def item_cells(self) -> dict[str, list[str]]:
        """Columns of the table `items` that the page shows, as text; "" where there is none."""
        return {
            name: self.items[name].fillna("").astype(str).tolist()
            if name in self.items
            else [""] * len(self.items)
            for name in ("name", "qualifier", "source_url")
        }

    @cached_property
    def vectors(self) -> list[np.ndarray]:
        """Memory-mapped, as far as they belong to these items."""
        found = [np.load(path, mmap_mode="r") for path in self.setup.vectors if path.exists()]
        return [array for array in found if len(array) == len(self.items)]

    def decided_by(self, reviewer: str) -> np.ndarray:
        """Rows on whose place the reviewer has an active decision, on the evidence of now.

        A row on which reviewers differ is asked again of everyone but whoever decided last.
        """
        found = np.zeros(len(self.at), bool)
        for decision in active_decisions(self._read_of.get(reviewer, []))[0]:
            n = self.at.get(decision.row_id)
            aspect = "node" if decision.subject in self.resolution.lost else "place"
            again = self._last_word.get(decision.subject, reviewer) != reviewer
            if n is not None and decision.aspect == aspect and not again:
                found[n] = not self.checker.is_stale(decision)
        return found & self._may_ask

    def times_of(self, reviewer: str) -> list[float]:
        """When a reviewer answered, in seconds since 1970: once for all rows of an answer."""
        return sorted({d.when.timestamp() for d in self._read_of.get(reviewer, [])})

    @cached_property
    def _last_word(self) -> dict[str, str]:
        """Who decided last on each subject on which reviewers differ."""
        disputes = sorted(read_decisions(self.resolution.disputed)[0], key=lambda d: d.when)
        return {decision.subject: decision.reviewer for decision in disputes}

    @cached_property
    def _read_of(self) -> dict[str, list[Decision]]:
        """All decisions by reviewer."""
        found: dict[str, list[Decision]] = {}
        for decision in self.resolution.read:
            found.setdefault(decision.reviewer, []).append(decision)
        return found

    def images_of(self, item: str) -> list[str]:
        """An item's image ids; none where the review has no images at all."""
        at = self.item_at.get(item)
        if at is None:
            return []
        images = list(self.items.image_ids.iloc[at])
        if self.setup.find_image is None:
            return [image for image in images if self.setup.online_image(image)]
        return images

    @cached_property
    def image_issues(self) -> dict[tuple[str, str], str]:
        """By item and image of the table `image_issues`: the other node it is like, or ""."""
        issues = load(self.setup.folder, "image_issues")
        other = issues.other.where(issues.problem == "like_other_node", "").fillna("")
        return dict(zip(zip(issues.item_id, issues.image, strict=True), other, strict=True))
