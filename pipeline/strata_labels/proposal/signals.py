"""What is known of items before any label: scores of nodes by source, and features to learn on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import scipy.sparse as sp

from strata_labels.proposal.lexicon import Lexicon, fold, words

# How much a lexicon hit says by its place in the name (head, head part, behind a function word,
# qualifier), for a whole word and for a part of a word. Set by hand in round numbers, with the hit
# rates of the real sample in view; not fitted.
PLACE_WEIGHTS = np.array([[1.0, 0.6], [0.5, 0.3], [0.25, 0.1], [0.2, 0.05]], dtype=np.float32)
WEAK = 0.5
# Sharpness of the mean over a node's prompts: its best phrases count most.
PROMPT_SHARPNESS = 10.0
_CHUNK = 16_384


@dataclass(frozen=True)
class Signals:
    """What is known of n items before any label, row by row.

    Attributes:
        names: clean names, `[n]`.
        qualifiers: what stood behind each name, "" for none, `[n]`.
        text: unit text vectors of the names `[n, d]`, or None.
        image: unit image vectors `[n, d']`, rows of zeros where an item has no image, or None.
        image_to_text: similarity of each image vector to each node's prompt vectors times the
            model's logit scale, `[n, K]`, zeros where an item has no image, or None. Give it only
            where the encoder's towers are aligned.
        class_node: node index that the class chain reaches without a tie, -1 for none, `[n]`.
        class_tied: boolean `[n, K]` sparse matrix of nodes that tie for an item's class, or None.
    """

    names: Sequence[str]
    qualifiers: Sequence[str]
    text: np.ndarray | None = None
    image: np.ndarray | None = None
    image_to_text: np.ndarray | None = None
    class_node: np.ndarray | None = None
    class_tied: sp.csr_matrix | None = None

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Prompts:
    """Vectors that stand for the nodes.

    Attributes:
        vectors: unit text vectors of phrases, `[P, d]`.
        node: node index of each phrase, `[P]`; every node has at least one.
    """

    vectors: np.ndarray
    node: np.ndarray


@dataclass
class NodeScores:
    """How far each source speaks for each node: matrices `[n, K]` float32.

    Attributes:
        hits: the lexicon's hits (see `Lexicon.match`), on which `name` rests.
        by_source: `name` 0 to 1, `text` in standard deviations, `class` 0 to 1,
            `image_to_text` log-probabilities.
    """

    hits: pd.DataFrame
    by_source: dict[str, np.ndarray] = field(default_factory=dict)


def node_scores(
    signals: Signals, num_nodes: int, lexicon: Lexicon | None, prompts: Prompts | None
) -> NodeScores:
    """The matrices of all sources that are there."""
    hits = (lexicon or Lexicon(pd.DataFrame(columns=["node", "term"]), [])).match(
        signals.names, signals.qualifiers
    )
    result = NodeScores(hits)
    if len(hits):
        result.by_source["name"] = _name_scores(hits, len(signals), num_nodes)
    if signals.text is not None and prompts is not None:
        result.by_source["text"] = text_scores(signals.text, prompts, num_nodes)
    if signals.image_to_text is not None:
        result.by_source["image_to_text"] = _log_softmax(signals.image_to_text)
    reached = _class_scores(signals, num_nodes)
    if reached is not None:
        result.by_source["class"] = reached
    return result


def hit_weights(hits: pd.DataFrame) -> np.ndarray:
    """What each hit says for its node, 0 to 1, `[num_hits]`."""
    part = hits["kind"].isin(["suffix", "prefix"]).to_numpy().astype(int)
    weight = PLACE_WEIGHTS[hits["place"].to_numpy(), part]
    strength = np.where(hits["strong"].to_numpy(), 1.0, WEAK).astype(np.float32)
    return weight * strength * hits["share"].to_numpy(dtype=np.float32)


def _name_scores(hits: pd.DataFrame, num_items: int, num_nodes: int) -> np.ndarray:
    scores = np.zeros((num_items, num_nodes), dtype=np.float32)
    np.maximum.at(scores, (hits["row"].to_numpy(), hits["node"].to_numpy()), hit_weights(hits))
    return scores


def text_scores(text: np.ndarray, prompts: Prompts, num_nodes: int) -> np.ndarray:
    """Zero-shot similarity of names to nodes, `[n, K]`.

    A node's similarity is the log-mean-exp over its phrases, so that one close phrase ("war
    cemetery") is enough. Rows are centred and the whole is scaled to unit deviation, which makes
    encoders with different ranges of cosine comparable.
    """
    scores = np.empty((len(text), num_nodes), dtype=np.float32)
    order = np.argsort(prompts.node, kind="stable")
    vectors = prompts.vectors[order].T.astype(np.float32)
    starts = np.searchsorted(prompts.node[order], np.arange(num_nodes))
    counts = np.diff(np.append(starts, len(order))).astype(np.float32)
    for start in range(0, len(text), _CHUNK):
        similarity = np.exp(PROMPT_SHARPNESS * (text[start : start + _CHUNK] @ vectors))
        mean = np.add.reduceat(similarity, starts, axis=1) / counts
        scores[start : start + _CHUNK] = np.log(mean)
    scores -= scores.mean(axis=1, keepdims=True)
    deviation = float(np.sqrt(np.mean(np.square(scores), dtype=np.float64)))
    scores /= deviation or 1.0
    return scores


def _class_scores(signals: Signals, num_nodes: int) -> np.ndarray | None:
    if signals.class_node is None and signals.class_tied is None:
        return None
    scores = np.zeros((len(signals), num_nodes), dtype=np.float32)
    if signals.class_tied is not None:
        tied = signals.class_tied.tocoo()
        many = np.maximum(np.bincount(tied.row, minlength=len(signals)), 2)
        scores[tied.row, tied.col] = 1.0 / many[tied.row]
    if signals.class_node is not None:
        reached = np.flatnonzero(signals.class_node >= 0)
        scores[reached, signals.class_node[reached]] = 1.0
    return scores


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return (shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))).astype(np.float32)


@dataclass(frozen=True)
class Features:
    """What labels are learnt on: a kernel, a weighted sum of parts that are 1 on the diagonal.

    Attributes:
        sparse: linear part `[n, D]`, rows scaled by the root of the part's weight.
        dense: Gaussian parts, `(unit vectors [n, d], weight, gamma)`; rows of zeros (no vector)
            resemble nothing.
    """

    sparse: sp.csr_matrix
    dense: list[tuple[np.ndarray, float, float]]


CHARACTERS, LEXICON, TEXT, IMAGE = 1.0, 0.5, 1.0, 1.0
TEXT_GAMMA, IMAGE_GAMMA = 1.0, 2.0


def features(signals: Signals, scores: NodeScores, num_nodes: int) -> Features:
    """Kernel parts of the signals that are there; their weights sum to one.

    Character n-grams are counted over all names, labelled or not.
    """
    parts: list[tuple[float, sp.csr_matrix]] = []
    characters = _character_features(signals.names)
    if characters is not None:
        parts.append((CHARACTERS, characters))
    if len(scores.hits):
        parts.append((LEXICON, _hit_features(scores.hits, len(signals), num_nodes)))
    dense = []
    if signals.text is not None:
        dense.append((signals.text.astype(np.float32), TEXT, TEXT_GAMMA))
    if signals.image is not None:
        dense.append((signals.image.astype(np.float32), IMAGE, IMAGE_GAMMA))
    total = sum(weight for weight, _ in parts) + sum(weight for _, weight, _ in dense) or 1.0
    stacked = [matrix * np.float32(np.sqrt(weight / total)) for weight, matrix in parts]
    sparse = sp.hstack(stacked, format="csr") if stacked else sp.csr_matrix((len(signals), 0))
    return Features(sparse, [(v, weight / total, gamma) for v, weight, gamma in dense])


def _character_features(names: Sequence[str]) -> sp.csr_matrix | None:
    """Unit rows over character n-grams of words, or None where names share none.

    An n-gram never spans words, so each word is cut up once, however many names have it.
    """
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

    tokens = [" ".join(fold(word) for word in words(name)).split() for name in names]
    codes, unique = pd.factorize(np.array([word for found in tokens for word in found], object))
    if not len(unique):
        return None
    ends = np.cumsum([0, *map(len, tokens)])
    has = sp.csr_matrix((np.ones(len(codes), np.float32), codes, ends), (len(names), len(unique)))
    cut = CountVectorizer(analyzer="char_wb", ngram_range=(2, 5), dtype=np.float32)
    counts = has @ cut.fit_transform(unique)
    # A rare n-gram of a large table costs memory and says little.
    rare = min(2 + len(names) // 20_000, len(names))
    common = np.bincount(counts.indices, minlength=counts.shape[1]) >= rare
    if not common.any():
        return None
    counts = counts[:, np.flatnonzero(common)]
    counts.sort_indices()
    return TfidfTransformer(sublinear_tf=True).fit_transform(counts)


def _hit_features(hits: pd.DataFrame, num_items: int, num_nodes: int) -> sp.csr_matrix:
    """Unit rows over (place and kind, node): what the name's words mean, in any language."""
    part = hits["kind"].isin(["suffix", "prefix"]).to_numpy().astype(int)
    column = (hits["place"].to_numpy() * 2 + part) * num_nodes + hits["node"].to_numpy()
    strength = np.sqrt(hit_weights(hits))
    frame = pd.DataFrame({"row": hits["row"], "column": column, "value": strength})
    frame = frame.groupby(["row", "column"], sort=True)["value"].max().reset_index()
    index = (frame["row"].to_numpy(), frame["column"].to_numpy())
    shape = (num_items, 8 * num_nodes)
    from sklearn.preprocessing import normalize

    return normalize(sp.csr_matrix((frame["value"].to_numpy(), index), shape=shape))
