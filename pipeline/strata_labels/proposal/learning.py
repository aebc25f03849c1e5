"""What known labels teach the scorer: ridges at each level, votes, and the blend's weights."""

from __future__ import annotations

import numpy as np

from strata_labels.proposal.blend import Blend, fit_blend
from strata_labels.proposal.landmarks import (
    MOST_CHANGED,
    MOST_EXACT,
    RANK,
    LandmarkRidge,
    LandmarkSums,
    spread_over_nodes,
)
from strata_labels.proposal.learners import ExactRidge, Ridge, Targets, answers_of
from strata_labels.proposal.levels import NodeLevels
from strata_labels.proposal.model import Model, Votes, learnt_at_levels, learnt_columns
from strata_labels.proposal.name_votes import NameVotes
from strata_labels.proposal.neighbour_votes import NeighbourVotes
from strata_labels.proposal.signals import Features, NodeScores

# Weights of the evidence columns before any label is known, and how far labels may move them.
# `name` and `text` were fitted once, with the map in calibration.py, on two thirds of the
# published labels of the real sample (see benchmarks/README.md); the others are set by hand.
PRIOR_WEIGHTS = {"text": 0.6, "name": 4.8, "class": 6.0, "image_to_text": 0.5}
WEIGHT_SPREAD = {
    "text": 1.0,
    "name": 5.0,
    "class": 3.0,
    "image_to_text": 1.0,
    "known": 10.0,
    "log_known": 2.0,
    "votes": 3.0,
    "neighbours": 30.0,
}
# Labelled rows below which the prior of the blend counts more than twice, where labels are all
# there is to learn from. Set by hand.
FEW_ROWS = 50
MIN_LABELS = 2


class Learner:
    """Fits models on the known labels of a fixed set of items.

    With many labels it keeps what those that came with the data have taught: a fit that adds
    answers to them learns the difference.

    Args:
        features: what labels are learnt on.
        node_scores: the evidence without labels.
        levels: the nodes.
    """

    def __init__(self, features: Features, node_scores: NodeScores, levels: NodeLevels) -> None:
        self._features, self._node_scores, self._levels = features, node_scores, levels
        # By level: labels, and the sums over the rows that have them.
        self._sums: dict[int, tuple[np.ndarray, np.ndarray, LandmarkSums]] = {}

    def learn(
        self,
        known: np.ndarray,
        rows: np.ndarray,
        sample: np.ndarray,
        together: np.ndarray,
        given: np.ndarray,
    ) -> Model:
        """Fits ridges, votes and the blend.

        Args:
            known: node index of each item at each level, `[n, S]`, -1 where unknown.
            rows: positions of the items with a label at any level.
            sample: of these, which the blend is fitted on.
            together: see `Scorer.fit`.
            given: the labels that came with the data, as `known`.
        """
        names = list(self._node_scores.by_source)
        prior = [PRIOR_WEIGHTS[name] for name in names]
        spread = [WEIGHT_SPREAD[name] for name in names]
        no_bias = np.zeros(self._levels.sizes[0])
        zero_shot = Blend(np.array(prior), no_bias) if names else None
        parts = self._features
        learnable = bool(parts.dense) or parts.sparse.shape[1] > 0
        if len(sample) < MIN_LABELS or not learnable:
            untaught = zero_shot or Blend(np.zeros(1), no_bias)
            return Model(self._levels, self._node_scores, {}, [], untaught, zero_shot)
        ridges: dict[int, Ridge] = {}
        num_rows = 0
        for level in range(len(self._levels)):
            some = rows[known[rows, level] >= 0]
            if len(some) > num_rows:
                ridges[level] = self._ridge(level, known[:, level], together, given[:, level])
            num_rows = len(some)
        # Where labels are all there is, the only row of a node says nothing without its own label,
        # and before anything is learnt the scores of the finest nodes are taken as they are.
        alone = zero_shot is None
        pairs = sample[_have_company(known[sample, 0], together[sample])] if alone else sample
        # Other evidence speaks of nodes without a label too. Labels compare labelled nodes alone: a
        # few labels of one node would else be taken as a proof that everything belongs to it.
        labelled = None
        if not alone:
            labelled = np.isin(np.arange(self._levels.sizes[0]), known[rows, 0])
        of_finest = self._targets(0, known[:, 0], together)
        votes: list[Votes] = [NameVotes(part, of_finest) for part in parts.of_names]
        spread_of_votes = [WEIGHT_SPREAD["votes"]] * len(votes)
        if isinstance(ridges[0], LandmarkRidge) and (of_finest.mean > 0).sum() > RANK:
            votes.append(NeighbourVotes(parts, of_finest))
            spread_of_votes.append(WEIGHT_SPREAD["neighbours"])
        learnt = learnt_columns(
            self._levels,
            learnt_at_levels(self._levels, {n: r.scores(pairs) for n, r in ridges.items()}),
            [some.scores(pairs) for some in votes],
            labelled,
        )
        for level in range((len(learnt) - len(votes)) // 2):
            prior += [0.0, 1.0 if alone and level == 0 else 0.0]
            spread += [WEIGHT_SPREAD["known"], WEIGHT_SPREAD["log_known"]]
        prior += [0.0] * len(votes)
        spread += spread_of_votes
        # A vote never speaks against its node. Where each place has one item of each kind, its name
        # would: without the row's own label, the kind that no other item has is the right one.
        least = np.full(len(prior), -np.inf)
        least[len(prior) - len(votes) :] = 0.0
        columns = [source.rows(pairs) for source in self._node_scores.by_source.values()]
        columns += learnt
        few = FEW_ROWS if alone else 0
        blend = fit_blend(
            columns, known[pairs, 0], np.array(prior), np.array(spread), labelled, few, least
        )
        answers = len(answers_of(together[sample]))
        surest = (answers + 1) / (answers + 2) if alone else 1.0
        return Model(
            self._levels, self._node_scores, ridges, votes, blend, zero_shot, labelled, surest
        )

    def _ridge(
        self, level: int, known: np.ndarray, together: np.ndarray, given: np.ndarray
    ) -> Ridge:
        """Kernel ridge on the rows that are labelled at one level."""
        targets = self._targets(level, known, together)
        if len(targets.rows) <= MOST_EXACT:
            return ExactRidge(self._features, targets)
        few = (given >= 0).sum() <= MOST_EXACT
        changed = given != known
        for block in targets.blocks():  # in the base each label was given alone
            changed[targets.rows[block]] = True
        base, answers = given, np.full(len(given), -1)
        if few or changed.sum() > MOST_CHANGED:
            base, answers = known, np.where(known >= 0, together, -1)
        held = self._sums.get(level)
        if held is None or not (np.array_equal(held[0], base) and np.array_equal(held[1], answers)):
            del held
            self._sums.pop(level, None)  # before new ones take memory
            of_base = self._targets(level, base, answers)
            landmarks = of_base.rows[spread_over_nodes(of_base.labels, RANK)]
            sums = LandmarkSums(self._features, of_base, landmarks)
            self._sums[level] = base.copy(), answers.copy(), sums
        return LandmarkRidge(self._sums[level][2], targets)

    def _targets(self, level: int, labels: np.ndarray, together: np.ndarray) -> Targets:
        rows = np.flatnonzero(labels >= 0)
        answers = answers_of(together[rows])
        return Targets(rows, labels[rows], self._levels.sizes[level], answers)


def _have_company(node: np.ndarray, together: np.ndarray) -> np.ndarray:
    """Which rows have a node that another answer names too, boolean `[m]`."""
    answer = np.where(together < 0, together.max(initial=0) + 1 + np.arange(len(node)), together)
    pairs = np.unique(np.column_stack([node, answer]), axis=0)
    answers = np.bincount(pairs[:, 0], minlength=node.max(initial=-1) + 1)
    return np.asarray(answers[node] > 1)
