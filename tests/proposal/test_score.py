import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from strata_labels.proposal import (
    CentredVectors,
    Prompts,
    Scorer,
    Scores,
    Signals,
    calibration_error,
    learners,
    learning,
)
from strata_labels.proposal.acceptance import trusted_class
from strata_labels.proposal.calibration import (
    acceptance_threshold,
    doubt_features,
    fit_calibration,
    worth_of,
)
from strata_labels.proposal.landmarks import (
    LandmarkRidge,
    LandmarkSums,
    parts_of,
    spread_over_nodes,
)
from strata_labels.proposal.learners import PARTS, ExactRidge, Targets, answers_of, kernel
from strata_labels.proposal.model import Chunk
from strata_labels.proposal.signals import Features, NodeScores, features

from tests.proposal.conftest import NODES, named

K = len(NODES)


def _blobs(rng: np.random.Generator, size: int, dims: int = 16) -> tuple[np.ndarray, np.ndarray]:
    truth = rng.integers(0, K, size)
    vectors = np.eye(dims, dtype=np.float32)[truth] + 0.3 * rng.standard_normal((size, dims))
    vectors = vectors.astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), truth


def test_words_alone_name_the_node(lexicon):
    scores = Scorer(named("Pont Neuf", "Lago di Como", "Old Church"), NODES, lexicon).fit()
    assert [NODES[n] for n in scores.node] == ["bridge", "lake", "church"]
    assert np.allclose(scores.top_probability.sum(axis=1), 1, atol=1e-5)
    assert ((scores.confidence >= 0) & (scores.confidence <= 1)).all()


def test_class_evidence_outweighs_a_name_word(lexicon):
    classes = np.array([NODES.index("castle / fort"), -1])
    evidence = named("Tower of London", "Tower of London", class_node=classes)
    scores = Scorer(evidence, NODES, lexicon).fit()
    assert [NODES[n] for n in scores.node] == ["castle / fort", "tower"]


def test_class_chain_is_accepted_unless_the_name_says_otherwise(lexicon):
    church = NODES.index("church")
    evidence = named("Saint Anne", "Christ Castle", class_node=np.array([church, church]))
    scores = Scorer(evidence, NODES, lexicon).fit()
    assert scores.accepted.tolist() == [True, False]
    assert scores.node.tolist() == [church, church]


def test_a_few_answers_of_one_node_do_not_speak_against_class_chains(lexicon):
    """Most of them are of the lake, which is no reason to doubt that others are castles."""
    names = ["Aa", "Bo", "Cy", "Du", "Ex", *("Mont" + end for end in ("or", "ul", "ek", "ist"))]
    castle = NODES.index("castle / fort")
    classes = np.array([-1] * 5 + [castle] * 4)
    scorer = Scorer(named(*names, class_node=classes), NODES, lexicon)
    known = np.full(9, -1)
    assert scorer.fit(known).accepted.tolist() == [False] * 5 + [True] * 4
    known[:5] = NODES.index("lake")
    scores = scorer.fit(known)
    assert scores.trusted[5:].all() and scores.accepted[5:].all()
    assert (scores.neighbours[5:] == -1).all()  # nothing labelled is like them


def test_look_alikes_speak_against_a_class_chain_for_a_node_with_most_labels():
    chain = np.array([[0.0, 1.0]], dtype=np.float32)
    for say, trusted in ((0.99, False), (0.85, True)):
        learnt = [np.array([[say, 1.0 - say]], dtype=np.float32)]
        shares = np.array([0.8, 0.2], dtype=np.float32)
        chunk = Chunk(np.arange(1), {"class": chain}, learnt, [], chain, None, shares)
        assert trusted_class(chunk, np.array([1])).tolist() == [trusted]


def test_tied_classes_share_their_say():
    tied = sp.csr_matrix(np.array([[1, 0, 1, 0, 0]], dtype=bool))
    scores = Scorer(named("X", class_tied=tied), NODES).fit()
    assert sorted(scores.top[0, :2]) == [0, 2]
    assert scores.top_probability[0, 0] == pytest.approx(scores.top_probability[0, 1])
    assert scores.top_probability[0, 1] > scores.top_probability[0, 2]


def test_planted_image_to_text_alignment_reaches_the_label(lexicon):
    nodes = np.eye(K, dtype=np.float32)
    silent = np.zeros((2, K), dtype=np.float32)
    planted = silent.copy()
    planted[0, NODES.index("lake")] = 1.0
    aligned = {"node_vectors": nodes, "logit_scale": 20.0}
    quiet = named("Xyzzy", "Xyzzy", image=CentredVectors(silent), image_for_names=silent, **aligned)
    before = Scorer(quiet, NODES, lexicon).fit()
    # Images compared with images are of another encoder.
    says = named(
        "Xyzzy", "Xyzzy", image=CentredVectors(np.ones((2, 3))), image_for_names=planted, **aligned
    )
    after = Scorer(says, NODES, lexicon).fit()
    assert NODES[after.node[0]] == "lake"
    assert after.confidence[0] > before.confidence[0]
    assert after.confidence[1] == pytest.approx(before.confidence[1])


def test_prompts_are_compared_with_names():
    vectors = np.eye(8, dtype=np.float32)
    prompts = Prompts(vectors[:6], np.array([0, 1, 2, 3, 4, 4]))  # the last node has two phrases
    scores = Scorer(named("a", "b", text=vectors[[5, 2]]), NODES, prompts=prompts).fit()
    assert scores.node.tolist() == [4, 2]


@pytest.mark.parametrize("part", ["text", "image"])
def test_known_labels_teach_the_rest_and_stay_as_they_are(part):
    vectors, truth = _blobs(np.random.default_rng(0), 300)
    evidence = {"text": vectors} if part == "text" else {"image": CentredVectors(vectors)}
    known = np.where(np.arange(300) < 150, truth, -1)
    known[0] = (truth[0] + 1) % K  # a human may disagree with everything
    scores = Scorer(named(*[""] * 300, **evidence), NODES).fit(known)
    assert scores.node[0] == known[0]
    assert scores.confidence[0] == 1.0
    assert (scores.node == truth)[150:].mean() > 0.9
    assert scores.accepted[:150].all()


@pytest.mark.parametrize("labels", [0, 1, 2, 5])
def test_few_labels_change_little(lexicon, labels):
    evidence = named("Pont A", "Lake B", "Church C", "Tower D", "Castle E", "Lago F")
    truth = np.array([NODES.index(n) for n in ["bridge", "lake", "church", "tower"]] + [1, 3])
    known = np.where(np.arange(6) < labels, truth, -1)
    assert (Scorer(evidence, NODES, lexicon).fit(known).node == truth).all()


@pytest.mark.parametrize("labels", [3, 8, 30])
@pytest.mark.parametrize("node", ["bridge", "church"])
def test_labels_of_one_node_do_not_draw_everything_to_it(node, labels):
    # Texts are all somewhat alike, as texts are; prompts tell the nodes apart.
    rng = np.random.default_rng(2)
    truth = np.repeat(np.arange(K), 60)
    own = np.eye(16, dtype=np.float32)[:K]
    common = np.full(16, 0.35, np.float32)
    noisy = common + 0.5 * own[truth] + 0.08 * rng.standard_normal((len(truth), 16))
    vectors = (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)
    phrases = common + 0.5 * own
    phrases /= np.linalg.norm(phrases, axis=1, keepdims=True)
    known = np.full(len(truth), -1)
    known[np.flatnonzero(truth == NODES.index(node))[:labels]] = NODES.index(node)
    evidence = named(*[""] * len(truth), text=vectors)
    scorer = Scorer(evidence, NODES, prompts=Prompts(phrases, np.arange(K)))
    assert (scorer.fit(None).node == truth).mean() > 0.95
    assert (scorer.fit(known).node == truth).mean() > 0.95


def test_same_input_same_answer():
    vectors, truth = _blobs(np.random.default_rng(1), 120)
    known = np.where(np.arange(120) % 2, truth, -1)
    evidence = named(*[f"n{n}" for n in range(120)], text=vectors)
    first, second = (Scorer(evidence, NODES).fit(known) for _ in range(2))
    assert np.array_equal(first.top_probability, second.top_probability)
    assert np.array_equal(first.confidence, second.confidence)


def ridge_of(
    kind: str, parts: Features, targets: Targets, landmarks: np.ndarray | None = None
) -> ExactRidge | LandmarkRidge:
    if kind == "exact":
        return ExactRidge(parts, targets, 0.15)
    landmarks = targets.rows if landmarks is None else landmarks
    return LandmarkRidge(LandmarkSums(parts, targets, landmarks, 0.15))


@pytest.mark.parametrize("kind", ["exact", "landmarks"])
@pytest.mark.parametrize("block", [[4], [2, 4, 19]])
def test_left_out_scores_are_those_of_a_fit_without_the_rows_of_the_answer(block, kind):
    vectors, truth = _blobs(np.random.default_rng(2), 40)
    evidence = Signals([f"name {n % 7}" for n in range(40)], [""] * 40, text=vectors)
    parts = features(evidence, NodeScores(pd.DataFrame()), K)
    rows = np.arange(30)
    together = np.full(30, -1)
    together[block], together[[7, 8]] = 5, 0
    targets = Targets(rows, truth[:30], K, answers_of(together))
    scores = ridge_of(kind, parts, targets).scores(np.arange(40))
    # The closed form leaves rows out of the fit, but not out of the mean that is taken off.
    target = np.eye(K)[truth[:30]]
    mean = target.mean(axis=0)
    rest = np.delete(rows, block)
    gram = kernel(parts, rest, rest).astype(float) + 0.15 * np.eye(len(rest))
    dual = np.linalg.solve(gram, target[rest] - mean)
    expected = kernel(parts, np.array(block), rest) @ dual + mean
    assert np.allclose(scores[block], expected, atol=1e-3)
    assert np.allclose(np.diag(kernel(parts, rows, rows)), 1, atol=1e-5)


@pytest.mark.parametrize("kind", ["exact", "landmarks"])
@pytest.mark.parametrize("evidence", ["names", "vectors", "both"])
@pytest.mark.parametrize("most_weights", [learners.MOST_WEIGHTS, 0])
def test_open_items_have_the_scores_of_the_whole_kernel(kind, evidence, most_weights, monkeypatch):
    monkeypatch.setattr(learners, "MOST_WEIGHTS", most_weights)
    vectors, truth = _blobs(np.random.default_rng(8), 40)
    names = [f"name {n % 7}" if evidence != "vectors" else "" for n in range(40)]
    signals = Signals(names, [""] * 40, text=None if evidence == "names" else vectors)
    parts = features(signals, NodeScores(pd.DataFrame()), K)
    rows, some = np.arange(0, 40, 2), np.array([1, 4, 33])  # the second has a label
    targets = Targets(rows, truth[rows], K, answers_of(np.full(20, -1)))
    scores = ridge_of(kind, parts, targets).scores(some)
    target = np.eye(K)[truth[rows]]
    mean = target.mean(axis=0)
    gram = kernel(parts, rows, rows).astype(float) + 0.15 * np.eye(20)
    dual = np.linalg.solve(gram, target - mean)
    expected = kernel(parts, some, rows) @ dual + mean
    assert np.allclose(scores[[0, 2]], expected[[0, 2]], atol=1e-3)
    assert not np.allclose(scores[1], expected[1], atol=0.05)


@pytest.mark.parametrize("kind", ["exact", "landmarks"])
def test_an_image_is_scored_without_the_label_of_its_item(kind):
    vectors, truth = _blobs(np.random.default_rng(3), 60)
    evidence = Signals(
        [f"name {n % 7}" for n in range(60)], [""] * 60, image=CentredVectors(vectors[:60])
    )
    parts = features(evidence, NodeScores(pd.DataFrame()), K)
    rows, some = np.arange(30), np.array([4, 17, 35])  # the last has no label
    targets = Targets(rows, truth[:30], K, answers_of(np.full(30, -1)))
    images = parts.dense[-1][0][[50, 51, 52]]
    scores = ridge_of(kind, parts, targets).scores_of_images(some, images)
    mean = np.eye(K)[truth[:30]].mean(axis=0)
    for n, row in enumerate(some):
        rest = rows[rows != row]
        gram = kernel(parts, rest, rest).astype(float) + 0.15 * np.eye(len(rest))
        dual = np.linalg.solve(gram, np.eye(K)[truth[rest]] - mean)
        seen = kernel(parts, some[[n]], rest, images[[n]])
        assert np.allclose(scores[n], seen @ dual + mean, atol=1e-3)
        assert not np.allclose(seen, kernel(parts, some[[n]], rest), atol=0.05)


@pytest.mark.parametrize("kind", ["exact", "landmarks"])
def test_resampled_scores_are_those_of_fits_without_a_part(kind):
    vectors, truth = _blobs(np.random.default_rng(4), 40)
    parts = features(named(*[""] * 40, text=vectors), NodeScores(pd.DataFrame()), K)
    rows, some = np.arange(30), np.array([3, 33, 39])
    together = np.full(30, -1)
    together[:6] = 1  # one answer is left out as a whole
    answers = answers_of(together)
    targets = Targets(rows, truth[:30], K, answers)
    found, part = ridge_of(kind, parts, targets), parts_of(targets, PARTS)
    target = np.eye(K)[truth[:30]]
    mean = target.mean(axis=0)
    left = []
    for start, scores in enumerate(found.resampled(some)):
        by_place, by_hash = np.concatenate(answers[start::PARTS]), np.flatnonzero(part == start)
        left.append(by_place if kind == "exact" else by_hash)
        assert sorted(found.parts[start]) == sorted(left[-1])  # votes leave out the same
        rest = np.setdiff1d(rows, left[-1])
        gram = kernel(parts, rest, rest).astype(float) + 0.15 * np.eye(len(rest))
        expected = np.linalg.solve(gram, target[rest] - mean)
        # A labelled row is scored as an open one here.
        assert np.allclose(scores, kernel(parts, some, rest) @ expected + mean, atol=2e-3)
    assert sorted(np.concatenate(left)) == rows.tolist()
    assert any(set(range(6)) <= set(part) for part in left)


def test_landmarks_stand_for_all_labels():
    vectors, truth = _blobs(np.random.default_rng(6), 400)
    parts = features(named(*[""] * 400, text=vectors), NodeScores(pd.DataFrame()), K)
    rows, rest = np.arange(300), np.arange(300, 400)
    targets = Targets(rows, truth[:300], K, answers_of(np.full(300, -1)))
    third = Targets(rows[::3], truth[:300:3], K, answers_of(np.full(100, -1)))
    exact, few = ridge_of("exact", parts, targets), ridge_of("exact", parts, third)
    some = ridge_of("landmarks", parts, targets, rows[::3])
    errors = [np.abs(model.scores(rest) - exact.scores(rest)).mean() for model in (some, few)]
    assert errors[0] < 0.75 * errors[1]


def test_labels_that_change_give_the_scores_of_a_fit_on_all_of_them() -> None:
    vectors, truth = _blobs(np.random.default_rng(7), 400)
    parts = features(named(*[""] * 400, text=vectors), NodeScores(pd.DataFrame()), K)
    landmarks, every = np.arange(0, 300, 4), np.arange(400)

    def targets(labels: np.ndarray, together: np.ndarray) -> Targets:
        rows = np.flatnonzero(labels >= 0)
        return Targets(rows, labels[rows], K, answers_of(together[rows]))

    together = np.full(400, -1)
    before = np.where(every < 300, truth, -1)
    sums = LandmarkSums(parts, targets(before, together), landmarks, 0.15)
    LandmarkRidge(sums).scores(every[:200])  # leverages that are kept
    after = before.copy()
    after[300:320] = truth[300:320]  # a grid of ten and ten rows
    together[300:310], together[310:320] = 0, np.arange(1, 11)
    after[5], together[5] = (truth[5] + 1) % K, 20  # another label
    after[12] = -1  # one taken back
    now = targets(after, together)
    taken_over = LandmarkRidge(sums, now)
    fresh = LandmarkRidge(LandmarkSums(parts, now, landmarks, 0.15))
    assert np.abs(fresh.scores(every) - LandmarkRidge(sums).scores(every)).max() > 0.05
    assert np.allclose(taken_over.scores(every), fresh.scores(every), atol=2e-5)
    for one, other in zip(taken_over.resampled(every), fresh.resampled(every), strict=True):
        assert np.allclose(one, other, atol=2e-5)


def test_a_second_fit_of_a_scorer_is_that_of_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "MOST_EXACT", 100)
    monkeypatch.setattr(learning, "RANK", 60)
    monkeypatch.setattr(learning, "MOST_CHANGED", 30)
    vectors, truth = _blobs(np.random.default_rng(8), 500)
    given = np.where(np.arange(500) < 200, truth, -1)
    evidence, above = named(*[""] * 500, text=vectors), [np.arange(K) % 2]
    used = Scorer(evidence, NODES, above=above)
    used.fit(given)
    for answers in (20, 100):  # fewer and more than what is taken over
        known, together = given.copy(), np.full(500, -1)
        known[200 : 200 + answers] = truth[200 : 200 + answers]
        together[200 : 200 + answers] = np.arange(answers) // 10
        scores = used.fit(known, together, given)
        new = Scorer(evidence, NODES, above=above).fit(known, together, given)
        # Sums in another order: a unit of the last decimal where a value is rounded otherwise.
        np.testing.assert_allclose(scores.level_confidence, new.level_confidence, 0, 1.1e-5)
        np.testing.assert_allclose(scores.left_out, new.left_out, 0, 1e-6)
        np.testing.assert_allclose(scores.instability, new.instability, 0, 1e-6)
        assert (scores.node == truth).mean() > 0.95


def test_a_row_between_two_kinds_is_unstable_and_its_look_alikes_are_named():
    vectors, truth = _blobs(np.random.default_rng(5), 300)
    between = vectors[truth == 0][0] + vectors[truth == 1][0]
    vectors[-1] = between / np.linalg.norm(between)
    known = np.where(np.arange(300) < 40, truth, -1)
    scores = Scorer(named(*[""] * 300, text=vectors), NODES, target=0.999).fit(known)
    assert scores.instability[-1] > scores.instability[40:-1].mean()
    assert (scores.instability[scores.accepted] == 0).all()
    spoken = scores.neighbours[40:-1]
    assert (spoken[spoken >= 0] == truth[40:-1][spoken >= 0]).mean() > 0.95 and (spoken >= 0).any()


def test_too_many_labels_are_thinned_without_losing_rare_nodes():
    labels = np.array([0] * 900 + [1] * 90 + [2] * 10)
    kept = spread_over_nodes(labels, 200)
    assert len(kept) <= 200
    assert (labels[kept] == 2).sum() == 10


def test_acceptance_takes_the_largest_set_that_is_good_enough():
    confidence = np.array([0.99, 0.98, 0.97, 0.90, 0.5])
    assert acceptance_threshold(confidence, 0.95) == pytest.approx(0.90)
    assert acceptance_threshold(confidence, 0.955) == pytest.approx(0.97)  # of the margin
    wrong_first = np.array([False, True, True, True, True])
    assert acceptance_threshold(confidence, 0.95, confidence, wrong_first) > 1


def test_a_few_right_answers_are_not_enough_to_accept_the_rest():
    sure, right = np.full(1000, 0.99), np.ones(400, dtype=bool)
    known = np.full(400, 0.99)
    assert acceptance_threshold(sure, 0.95, known, right) == pytest.approx(0.99)
    assert acceptance_threshold(sure, 0.95, known[:20], right[:20]) > 1
    pages = np.repeat(np.arange(40), 10)  # forty answers for ten rows each
    assert acceptance_threshold(sure, 0.95, known, right, pages) == pytest.approx(0.99)
    assert acceptance_threshold(sure, 0.95, known, right, pages // 2) > 1


def test_a_hundred_decided_rows_say_less_of_confidence_than_a_hundred_given_ones():
    """People decide what is in doubt first: that it was all right proves little of the rest."""
    random = np.random.default_rng(0)

    def moved(number: int, decided: bool) -> float:
        features, node = random.standard_normal((number, 6)), random.integers(0, K, number)
        worth = worth_of(np.full(number, decided))
        fitted = fit_calibration(features, node, K, np.ones(number, dtype=bool), worth)
        open_rows = random.standard_normal((500, 6))
        before = 1 / (1 + np.exp(-open_rows[:, 0]))
        return float((fitted.confidence(open_rows, np.zeros(500, dtype=int)) - before).mean())

    assert moved(100, False) > 0.05 > 0.005 > moved(100, True)
    assert moved(3_000, True) > 0.2


def test_confidence_starts_from_the_evidence_without_labels():
    zero_shot = np.array([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1]])
    learnt = np.array([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05]])
    best, speaks = learnt.argmax(axis=1), np.zeros(2, dtype=bool)
    sure = doubt_features(best, learnt, zero_shot, speaks, [])[:, 0]
    assert sure[0] > 0 > sure[1]  # the second proposal is one that the evidence hardly has
    silent = doubt_features(best, learnt, np.full((2, 3), 1 / 3), ~speaks, [])[:, 0]
    assert silent[0] == silent[1] > sure[0]
    alone = doubt_features(best, learnt, None, ~speaks, [])[:, 0]
    assert alone == pytest.approx(np.log(9))


@pytest.mark.parametrize("chains", [True, False])
def test_after_a_few_decisions_rows_without_own_evidence_are_as_sure_as_they_are_right(chains):
    """Images tell the node; a class chain, where there is one, is of few rows."""
    vectors, truth = _blobs(np.random.default_rng(11), 1_500)
    classes = np.where(np.arange(1_500) < 100, truth, -1)
    evidence = named(
        *[""] * 1_500, image=CentredVectors(vectors), **({"class_node": classes} if chains else {})
    )
    known = np.full(1_500, -1)
    known[200:300] = truth[200:300]
    scores = Scorer(evidence, NODES).fit(known, given=np.full(1_500, -1))
    rest = np.arange(300, 1_500)
    right = (scores.node == truth)[rest]
    assert right.mean() > 0.8
    assert abs(scores.confidence[rest].mean() - right.mean()) < 0.15


def test_a_given_coarse_label_counts_for_the_evidence_without_labels(lexicon):
    """The only node below it is right, whatever the name says, after a few decisions."""
    random = np.random.default_rng(3)
    vectors, truth = _blobs(random, 400)
    said = np.where(random.random(400) < 0.7, truth, random.integers(0, K, 400))
    words = ["Bridge", "Castle", "Church", "Lake", "Tower"]
    names = [f"{words[node]} {chr(97 + n % 26)}{n}" for n, node in enumerate(said)]
    above = np.array([0, 0, 0, 1, 0])
    known = np.column_stack([np.where(np.arange(400) < 60, truth, -1), above[truth]])
    given = known.copy()
    given[:60] = -1
    scorer = Scorer(named(*names, image=CentredVectors(vectors)), NODES, lexicon, above=[above])
    scores = scorer.fit(known, given=given)
    rest = np.arange(400) >= 60
    lakes = rest & (truth == 3)
    assert (scores.node[lakes] == 3).all() and (said[lakes] != 3).any()
    assert scores.confidence[lakes].min() > 0.9


def test_labels_of_one_node_alone_make_no_look_alikes():
    vectors, _ = _blobs(np.random.default_rng(12), 2_300)
    known = np.where(np.arange(2_300) < 2_000, 0, -1)
    scores = Scorer(named(*[""] * 2_300, text=vectors), NODES).fit(known)
    assert (scores.neighbours == -1).all()


def test_calibration_error_of_perfect_and_of_boastful_confidence():
    right = np.arange(1000) % 10 != 0
    assert calibration_error(np.full(1000, 0.9), right) == pytest.approx(0, abs=1e-9)
    assert calibration_error(np.full(1000, 1.0), right) == pytest.approx(0.1)


def few_labels(num_labels: int, noise: float) -> tuple[np.ndarray, Scores]:
    """Whether the open items of two clear kinds are right, and their scores."""
    node = np.arange(200) % 2
    vectors = np.eye(2, 32)[node] + np.random.default_rng(0).normal(size=(200, 32)) * noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    blank = [""] * 200
    known = np.where(np.arange(200) < num_labels, node, -1)
    scores = Scorer(Signals(blank, blank, image=CentredVectors(vectors)), ["a", "b"]).fit(known)
    return (scores.node == node)[num_labels:], scores


def test_one_label_for_each_node_is_not_read_the_wrong_way_round() -> None:
    right, _ = few_labels(2, 0.2)
    assert right.mean() > 0.9


@pytest.mark.parametrize("num_labels", [2, 4, 8, 20])
def test_few_labels_are_not_sure(num_labels: int) -> None:
    right, scores = few_labels(num_labels, 0.1)
    assert right.all()
    assert scores.confidence[num_labels:].max() <= (num_labels + 1) / (num_labels + 2) + 1e-5
    assert not scores.accepted[num_labels:].any()


def test_groups_of_answers_among_given_labels_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is added to kept sums stays small, also where no label but its group is another one."""
    monkeypatch.setattr(learning, "MOST_EXACT", 100)
    monkeypatch.setattr(learning, "RANK", 60)
    monkeypatch.setattr(learning, "MOST_CHANGED", 30)
    vectors, truth = _blobs(np.random.default_rng(8), 500)
    given = np.where(np.arange(500) < 400, truth, -1)
    evidence, above = named(*[""] * 500, text=vectors), [np.arange(K) % 2]
    used, rows = Scorer(evidence, NODES, above=above), np.arange(500)
    for size in (50, 20, 50):  # of a group; the labels stay the same
        together = np.where(rows < 400, rows // size, -1)
        alone = np.full(500, -1)
        for groups in (together, alone):
            ridge = used._learner._ridge(0, given, groups, given)
            assert isinstance(ridge, LandmarkRidge) and len(ridge._changes.rows) <= 60
            own = Scorer(evidence, NODES, above=above)._learner._ridge(0, given, groups, given)
            assert ridge.scores(rows).tobytes() == own.scores(rows).tobytes()
