"""Label issues: a score for every given label, how likely it is wrong, and what it should be.

A score is between 0 and 1, and 1 is clean. It needs two arrays: probabilities that were computed
without the label they judge (out of sample), and the given labels. What it adds to the probability
of the given label:

- which nodes people confuse: where the evidence says z, how often is the given label y? (the
  confident joint of Northcutt, Jiang and Chuang, "Confident learning", JAIR 2021, here with soft
  counts and without the row's own label);
- two kinds of error: a *slip* hits any other node alike, a *confusion* hits a plausible one. A slip
  shows where the given node is unlikely, a confusion where another node is nearly certain.

`wrong` fits the shares of both kinds to the data by expectation maximisation; rows with `wrong`
above one half are worth opening, and the sum over them is an estimate of how many are wrong.
`score` ranks: it takes the share of wrong labels as fixed, and confusions as rarer than the fit
says, since items that fit two nodes look like confusions in every data set.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy

# Constants were chosen on draws 100 to 104 of benchmarks/label_issues.py, the power on draws 300 to
# 302 of names: 2, 3, 4, 5, 6, 8 and 12 were tried.
# For `score`: share of wrong labels; of these the share of confusions is the fitted one to this
# power, and at least this.
WRONG_SHARE, CONFUSED_POWER, LEAST_CONFUSED = 0.05, 4, 0.02
# Rows of mere prior that the table of confusions starts from, at each node.
PRIOR_ROWS = 2.0
WEIGHT_SPREAD = 0.3
ROUNDS = 6
_FLOOR = 1e-9
_CHUNK_CELLS, _FIT_CELLS = 4_000_000, 1_000_000
# With more nodes than these, confusions are counted between each row's likeliest nodes and the
# labels alone: all of them would cost nodes times nodes for each row. Set by hand.
MOST_COUNTED, NUM_COUNTED = 2_048, 64


@dataclass(frozen=True)
class LabelIssues:
    """What n items' given labels are worth at one level or at L levels.

    Attributes:
        score: `[n]` or `[n, L]`, 0 to 1, 1 is clean; NaN where no label is given.
        wrong: probability that the given label is wrong, NaN where none is given.
        suggestion: the most likely node other than the given one, -1 where none is given or there
            is no other node.
    """

    score: np.ndarray
    wrong: np.ndarray
    suggestion: np.ndarray

    @property
    def opened(self) -> np.ndarray:
        """Labels that are more likely wrong than right."""
        return np.nan_to_num(self.wrong) > 0.5

    @property
    def expected_wrong(self) -> float:
        """How many of the opened rows are expected to be wrong at one level at least."""
        worst = np.where(self.opened, self.wrong, 0.0)
        return float(worst.max(axis=1).sum() if worst.ndim > 1 else worst.sum())


def score_labels(
    probabilities: np.ndarray,
    given: np.ndarray,
    ancestors: np.ndarray,
    judged: np.ndarray | None = None,
) -> LabelIssues:
    """Scores the given labels of every level, each from the sums over its descendants.

    Args:
        probabilities: of the K finest nodes, out of sample, `[n, K]`.
        given: node index of each item at each level, -1 for none, `[n, L]`.
        ancestors: node index at each level of each finest node, `[K, L]`.
        judged: see `issues_at_level`, `[n, L]`.
    """
    levels = []
    for level in range(ancestors.shape[1]):
        above = ancestors[:, level]
        if np.array_equal(above, np.arange(len(above))):
            of_level = probabilities
        else:
            size = max(above.max(initial=0), given[:, level].max(initial=0)) + 1
            sums = scipy.sparse.csr_matrix(
                (np.ones(len(above), np.float32), (np.arange(len(above)), above)),
                shape=(len(above), size),
            )
            of_level = np.empty((len(given), size), probabilities.dtype)
            step = max(1, _CHUNK_CELLS // len(above))
            for start in range(0, len(given), step):
                of_level[start : start + step] = probabilities[start : start + step] @ sums
        worth = None if judged is None else judged[:, level]
        levels.append(issues_at_level(of_level, given[:, level], worth))
    return LabelIssues(
        np.column_stack([level.score for level in levels]),
        np.column_stack([level.wrong for level in levels]),
        np.column_stack([level.suggestion for level in levels]),
    )


def issues_at_level(
    probabilities: np.ndarray,
    given: np.ndarray,
    judged: np.ndarray | None = None,
) -> LabelIssues:
    """Scores the given labels of one level. Deterministic; rows are worked on in chunks.

    Args:
        probabilities: `[n, K]`, each row computed without its own label. A row that nothing is
            known about is not worth scoring: give it no label.
        given: node index of each item, -1 for none, `[n]`.
        judged: which labels the probabilities can say anything of, boolean `[n]`; None: all. The
            others get the usual share of wrong labels.

    Example:
        >>> sure = np.repeat(np.eye(2) * 0.98 + 0.01, 50, axis=0)
        >>> given = np.repeat([0, 1], 50)
        >>> given[0] = 1
        >>> issues = issues_at_level(sure, given)
        >>> int(issues.score.argmin()), int(issues.suggestion[0]), int(issues.opened.sum())
        (0, 0, 1)
    """
    num_items, num_nodes = probabilities.shape
    score = np.full(num_items, np.nan)
    wrong = np.full(num_items, np.nan)
    suggestion = np.full(num_items, -1)
    labelled = given >= 0
    judged = None if num_nodes == 1 else judged
    rows = np.flatnonzero(labelled if judged is None else labelled & judged)
    if judged is not None and num_nodes > 1:
        rest = np.flatnonzero(labelled & ~judged)
        score[rest], wrong[rest] = 1.0 - WRONG_SHARE, WRONG_SHARE
        others = probabilities[rest].copy()
        others[np.arange(len(rest)), given[rest]] = -1.0
        suggestion[rest] = others.argmax(axis=1)
    if len(rows) and num_nodes > 1:
        confusions = _Confusions.count(probabilities, given, rows)
        first, last = _fit(*confusions.sample())
        confused = max(LEAST_CONFUSED, last.confused_share**CONFUSED_POWER)
        for part, columns in confusions.chunks():
            labels = given[part]
            plain = first.probabilities(columns)
            score[part] = 1.0 - _wrong(plain, labels, WRONG_SHARE, confused)
            robust = last.probabilities(columns)
            wrong[part] = _wrong(robust, labels, last.wrong_share, last.confused_share)
            robust[np.arange(len(part)), labels] = -1.0
            suggestion[part] = robust.argmax(axis=1)
    elif len(rows):
        score[rows], wrong[rows] = 1.0, 0.0
    return LabelIssues(np.round(score, 6), np.round(wrong, 6), suggestion)


def is_shared(given: np.ndarray) -> np.ndarray:
    """Which labels another item has too, boolean, of the shape of `given`.

    What is learnt from labels alone speaks against every label that no other item has.

    Args:
        given: node index of each item at each level, -1 for none, `[n, L]`.
    """
    found = np.zeros(given.shape, dtype=bool)
    for level, labels in enumerate(given.T):
        counts = np.bincount(labels[labels >= 0], minlength=1)
        found[:, level] = (labels >= 0) & (counts[labels] > 1)
    return found


def most_harmful_first(issues: LabelIssues, images: np.ndarray | None = None) -> np.ndarray:
    """Opened rows in the order in which correcting them helps most.

    The harm of a row is the sum over its levels of the probability that the label there is wrong,
    times the images of the item: an error that reaches the coarse levels spoils more pairs.

    Args:
        issues: of all levels, `[n, L]`.
        images: images of each item, `[n]`; None: one each.

    Returns:
        Positions of the rows with an opened label, worst first; ties by position.
    """
    harm = np.nan_to_num(issues.wrong).sum(axis=1)
    if images is not None:
        harm = harm * images
    rows = np.flatnonzero(issues.opened.any(axis=1))
    return rows[np.argsort(-np.round(harm[rows], 6), kind="stable")]


@dataclass(frozen=True)
class _Confusions:
    """Soft counts of given labels by what the evidence says.

    Attributes:
        probabilities: `[n, K]`.
        given: `[n]`.
        rows: rows with a label, `[m]`.
        joint: sum of the probabilities of z over the rows labelled y, `[K(z), K(y)]`; sparse where
            not all are counted.
        total: its row sums, `[K]`.
        counts: rows labelled y, `[K]`.
    """

    probabilities: np.ndarray
    given: np.ndarray
    rows: np.ndarray
    joint: np.ndarray | scipy.sparse.csr_matrix
    total: np.ndarray
    counts: np.ndarray

    @classmethod
    def count(cls, probabilities: np.ndarray, given: np.ndarray, rows: np.ndarray) -> _Confusions:
        size = probabilities.shape[1]
        joint = (
            np.zeros((size, size))
            if size <= MOST_COUNTED
            else scipy.sparse.csr_matrix((size, size))
        )
        step = max(1, _CHUNK_CELLS // size)
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            of_label = scipy.sparse.csr_matrix(
                (np.ones(len(part)), (given[part], np.arange(len(part)))), shape=(size, len(part))
            )
            joint += (of_label @ _counted(probabilities[part])).T
        total = np.asarray(joint.sum(axis=1)).ravel()
        return cls(
            probabilities, given, rows, joint, total, np.bincount(given[rows], minlength=size)
        )

    def chunks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows and their columns, chunk by chunk."""
        step = max(1, _CHUNK_CELLS // len(self.total))
        for start in range(0, len(self.rows), step):
            part = self.rows[start : start + step]
            yield part, self.columns(part)

    def sample(self) -> tuple[np.ndarray, np.ndarray]:
        """Columns and labels of evenly spread rows, as many as a fit can hold."""
        wanted = max(1, _FIT_CELLS // len(self.total))
        rows = self.rows[:: -(-len(self.rows) // wanted)]
        return self.columns(rows), self.given[rows]

    def columns(self, rows: np.ndarray) -> np.ndarray:
        """Log-probability and log-confusion of some rows, `[2, r, K]`."""
        labels = self.given[rows]
        found = self.probabilities[rows]
        values, counted = found.astype(np.float64), _counted(found)
        if isinstance(counted, scipy.sparse.csr_matrix):
            says = counted.astype(np.float64)
            says.data /= self.total[says.indices] - says.data + PRIOR_ROWS
            confusion = (says @ self.joint).toarray()
            own = np.asarray(says.multiply(counted).sum(axis=1)).ravel()
        else:
            says = values / (self.total - values + PRIOR_ROWS)
            confusion = says @ self.joint
            own = (says * values).sum(axis=1)
        prior = np.asarray(says.sum(axis=1)).ravel()
        prior *= PRIOR_ROWS / (len(self.rows) - 1 + len(self.total))
        confusion += prior[:, None] * (self.counts + 1)
        # Takes out what the row's own label put in.
        confusion[np.arange(len(rows)), labels] -= own + prior
        return np.log(np.stack([values, np.maximum(confusion, 0.0)]) + _FLOOR)


def _counted(probabilities: np.ndarray) -> np.ndarray | scipy.sparse.csr_matrix:
    """What confusions are counted from, of rows `[r, K]`; see `MOST_COUNTED`."""
    num_rows, size = probabilities.shape
    if size <= MOST_COUNTED:
        return probabilities
    nodes = np.argpartition(probabilities, size - NUM_COUNTED, axis=1)[:, size - NUM_COUNTED :]
    values = np.take_along_axis(probabilities, nodes, axis=1)
    ends = np.arange(num_rows + 1) * NUM_COUNTED
    return scipy.sparse.csr_matrix((values.ravel(), nodes.ravel(), ends), shape=probabilities.shape)


@dataclass(frozen=True)
class _Model:
    """A conditional logit over the two columns, and the shares of the errors."""

    weights: np.ndarray
    bias: np.ndarray
    wrong_share: float
    confused_share: float

    def probabilities(self, columns: np.ndarray) -> np.ndarray:
        """What the label would be without any error, `[r, K]`."""
        logits = np.tensordot(self.weights, columns, axes=1) + self.bias
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        return logits / logits.sum(axis=1, keepdims=True)


def _fit(columns: np.ndarray, labels: np.ndarray) -> tuple[_Model, _Model]:
    """The model of all labels, and the one in which rows count as far as they are clean."""
    num_rows, num_nodes = columns.shape[1:]
    theta = np.zeros(2 + num_nodes)
    theta[0] = 1.0
    clean = np.ones(num_rows)
    wrong, confused = WRONG_SHARE, 0.25
    models = []
    for _ in range(ROUNDS):
        theta = _logit(columns, labels, clean, theta)
        model = _Model(theta[:2], theta[2:], wrong, confused)
        likelihoods = _likelihoods(model.probabilities(columns), labels)
        for _ in range(20):
            shares = np.array([1 - wrong, wrong * (1 - confused), wrong * confused])
            parts = shares[:, None] * likelihoods
            parts /= parts.sum(axis=0)
            clean = parts[0]
            # Drawn towards 5 % wrong by 40 rows, and towards a quarter of confusions by 4 errors.
            wrong = ((1 - clean).sum() + 1.0) / (num_rows + 38.0)
            confused = (parts[2].sum() + 1.0) / ((1 - clean).sum() + 4.0)
        models.append(_Model(theta[:2], theta[2:], wrong, confused))
    return models[0], models[-1]


def _logit(
    columns: np.ndarray, labels: np.ndarray, clean: np.ndarray, start: np.ndarray
) -> np.ndarray:
    """Weights and biases of a weighted conditional logit; their prior is the first column alone."""
    prior = np.zeros(len(start))
    prior[0] = 1.0
    spread = np.ones(len(start))
    spread[:2] = WEIGHT_SPREAD
    index = np.arange(len(labels))

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        logits = np.tensordot(theta[:2], columns, axes=1) + theta[2:]
        logits -= logits.max(axis=1, keepdims=True)
        chosen = logits[index, labels]
        odds = np.exp(logits)
        total = odds.sum(axis=1)
        pull = (theta - prior) / spread
        loss = clean @ (np.log(total) - chosen) + 0.5 * pull @ pull
        odds *= (clean / total)[:, None]
        odds[index, labels] -= clean
        gradient = np.concatenate([np.einsum("jmk,mk->j", columns, odds), odds.sum(axis=0)])
        return float(loss), gradient + pull / spread

    options = {"maxiter": 100}
    return scipy.optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options=options).x


def _likelihoods(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Probability of the given label if it is right, a slip or a confusion, `[3, r]`.

    A slip replaces the true node z by any other alike; a confusion by y with the probability
    p(y) / (1 - p(z)): as plausible as y is once z is ruled out.
    """
    index = np.arange(len(labels))
    given = np.clip(probabilities[index, labels], _FLOOR, 1 - _FLOOR)
    odds = probabilities / np.maximum(1.0 - probabilities, 1e-4)
    others = odds.sum(axis=1) - odds[index, labels]
    slip = (1.0 - given) / (probabilities.shape[1] - 1)
    return np.stack([given, slip, given * others])


def _wrong(
    probabilities: np.ndarray, labels: np.ndarray, wrong_share: float, confused_share: float
) -> np.ndarray:
    """Probability that each given label is wrong, `[r]`."""
    right, slip, confusion = _likelihoods(probabilities, labels)
    error = wrong_share * ((1 - confused_share) * slip + confused_share * confusion)
    return error / (error + (1 - wrong_share) * right)
