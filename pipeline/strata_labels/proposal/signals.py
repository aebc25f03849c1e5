"""What is known of items before any label: scores of nodes by source, and features to learn on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import scipy

from strata_labels.proposal.lexicon import Lexicon, fold, words

# How much a lexicon hit says by its place in the name (head, head part, behind a function word,
# qualifier), for a whole word and for a part of a word. Set by hand in round numbers, with the hit
# rates of the real sample in view; not fitted.
PLACE_WEIGHTS = np.array([[1.0, 0.6], [0.5, 0.3], [0.25, 0.1], [0.2, 0.05]], dtype=np.float32)
WEAK = 0.5
# Sharpness of the mean over a node's prompts: its best phrases count most.
PROMPT_SHARPNESS = 10.0
_CHUNK = 4_096


class CentredVectors:
    """Vectors of items less what all have in common, their mean; only these are kept.

    Args:
        vectors: `[n, d]`, rows of zeros where an item has none.

    Attributes:
        origin: the mean, `[d]`.
        items: unit vectors, float32 `[n, d]`; rows of zeros stay so.
    """

    def __init__(self, vectors: np.ndarray) -> None:
        there: np.ndarray = np.asarray(vectors.any(axis=1))
        self.origin = np.zeros(vectors.shape[1], dtype=vectors.dtype)
        if there.any():
            self.origin = (vectors if there.all() else vectors[there]).mean(axis=0)
        self.items = self.centred(vectors)

    def centred(self, vectors: np.ndarray) -> np.ndarray:
        """Other vectors `[..., d]` of the same space, as `items`."""
        there: np.ndarray = np.asarray(vectors.any(axis=-1))
        found = np.empty(vectors.shape, dtype=np.float32)
        for start in range(0, len(vectors), _CHUNK):
            some = slice(start, start + _CHUNK)
            moved = (vectors[some] - self.origin).astype(np.float32)
            length = np.linalg.norm(moved, axis=-1, keepdims=True)
            found[some] = np.where(there[some, ..., None], moved / np.maximum(length, 1e-9), 0.0)
        return found


@dataclass(frozen=True)
class Signals:
    """What is known of n items before any label, row by row.

    Attributes:
        names: clean names, `[n]`.
        qualifiers: what stood behind each name, "" for none, `[n]`.
        text: unit text vectors of the names `[n, d]`, or None.
        image: image vectors of n items, or None.
        image_for_names: unit image vectors in the space of `node_vectors` `[n, d'']`, rows of zeros
            where an item has no image, or None; of the encoder of `image`, or of another one.
        node_vectors: unit text vectors of the nodes `[K, d'']`, or None. Give them only where the
            encoder's towers are aligned.
        logit_scale: the encoder's inverse temperature for these.
        class_node: node index that the class chain reaches without a tie, -1 for none, `[n]`.
        class_tied: boolean `[n, K]` sparse matrix of nodes that tie for an item's class, or None.
        chains: how near each of C classes of the knowledge base is above an item, 0 to 1, `[n, C]`
            (see `knowledge.class_chains`), or None. Labels say what they mean.
    """

    names: Sequence[str]
    qualifiers: Sequence[str]
    text: np.ndarray | None = None
    image: CentredVectors | None = None
    image_for_names: np.ndarray | None = None
    node_vectors: np.ndarray | None = None
    logit_scale: float = 1.0
    class_node: np.ndarray | None = None
    class_tied: scipy.sparse.csr_matrix | None = None
    chains: scipy.sparse.csr_matrix | None = None

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


class SparseScores:
    """Scores of nodes that speak for few of them: a sparse matrix `[n, K]`.

    Attributes:
        speaks: whether the source says anything of each item, boolean `[n]`.
    """

    def __init__(self, matrix: scipy.sparse.csr_matrix) -> None:
        self.matrix = matrix
        self.speaks: np.ndarray = np.diff(matrix.indptr) > 0

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Scores of some items, float32 `[len(rows), K]`."""
        return self.matrix[rows].toarray()


class TextScores:
    """Zero-shot similarity of names to nodes.

    A node's similarity is the log-mean-exp over its phrases, so that one close phrase ("war
    cemetery") is enough. Rows are centred and the whole is scaled to unit deviation, which makes
    encoders with different ranges of cosine comparable.
    """

    def __init__(self, text: np.ndarray, prompts: Prompts, num_nodes: int) -> None:
        order = np.argsort(prompts.node, kind="stable")
        self._text, self._vectors = text, prompts.vectors[order].T.astype(np.float32)
        self._starts = np.searchsorted(prompts.node[order], np.arange(num_nodes))
        self._counts = np.diff(np.append(self._starts, len(order))).astype(np.float32)
        self.speaks: np.ndarray = np.asarray(text.any(axis=1))
        self._deviation = 1.0
        total = 0.0
        for start in range(0, len(text), _CHUNK):
            part = self.rows(np.arange(start, min(start + _CHUNK, len(text))))
            total += float(np.square(part, dtype=np.float64).sum())
        self._deviation = np.sqrt(total / max(text.shape[0] * num_nodes, 1)) or 1.0

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Scores of some items in standard deviations, float32 `[len(rows), K]`."""
        similarity = np.exp(PROMPT_SHARPNESS * (self._text[rows] @ self._vectors))
        scores = np.log(np.add.reduceat(similarity, self._starts, axis=1) / self._counts)
        scores -= scores.mean(axis=1, keepdims=True)
        scores *= self.speaks[rows, None]
        return (scores / np.float32(self._deviation)).astype(np.float32)


class ImageTextScores:
    """Log-probabilities of nodes from images, by an encoder whose towers are aligned."""

    def __init__(self, image: np.ndarray, nodes: np.ndarray, logit_scale: float) -> None:
        self._image, self._nodes = image, (logit_scale * nodes.T).astype(np.float32)
        self.speaks: np.ndarray = np.asarray(image.any(axis=1))

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Scores of some items, float32 `[len(rows), K]`; zeros where an item has no image."""
        logits = self._image[rows] @ self._nodes
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return (logits * self.speaks[rows, None]).astype(np.float32)


NodeSource = SparseScores | TextScores | ImageTextScores


@dataclass
class NodeScores:
    """How far each source speaks for each of K nodes, before any label is learnt from.

    Attributes:
        hits: the lexicon's hits (see `Lexicon.match`), on which `name` rests.
        by_source: `name` 0 to 1, `text` in standard deviations, `class` 0 to 1,
            `image_to_text` log-probabilities.
    """

    hits: pd.DataFrame
    by_source: dict[str, NodeSource] = field(default_factory=dict)


def node_scores(
    signals: Signals, num_nodes: int, lexicon: Lexicon | None, prompts: Prompts | None
) -> NodeScores:
    """The sources that are there."""
    hits = (lexicon or Lexicon(pd.DataFrame(columns=["node", "term"]), [])).match(
        signals.names, signals.qualifiers
    )
    result = NodeScores(hits)
    if len(hits):
        result.by_source["name"] = SparseScores(_name_scores(hits, len(signals), num_nodes))
    if signals.text is not None and prompts is not None:
        result.by_source["text"] = TextScores(signals.text, prompts, num_nodes)
    if signals.image_for_names is not None and signals.node_vectors is not None:
        result.by_source["image_to_text"] = ImageTextScores(
            signals.image_for_names, signals.node_vectors, signals.logit_scale
        )
    reached = _class_scores(signals, num_nodes)
    if reached is not None:
        result.by_source["class"] = SparseScores(reached)
    return result


def hit_weights(hits: pd.DataFrame) -> np.ndarray:
    """What each hit says for its node, 0 to 1, `[num_hits]`."""
    part = hits["kind"].isin(["suffix", "prefix"]).to_numpy().astype(int)
    weight = PLACE_WEIGHTS[hits["place"].to_numpy(), part]
    strength = np.where(hits["strong"].to_numpy(), 1.0, WEAK).astype(np.float32)
    return weight * strength * hits["share"].to_numpy(dtype=np.float32)


def _name_scores(hits: pd.DataFrame, num_items: int, num_nodes: int) -> scipy.sparse.csr_matrix:
    strongest = (
        pd.DataFrame({"row": hits["row"], "node": hits["node"], "weight": hit_weights(hits)})
        .groupby(["row", "node"], sort=True)["weight"]
        .max()
        .reset_index()
    )
    place = (strongest["row"].to_numpy(), strongest["node"].to_numpy())
    weights = strongest["weight"].to_numpy(dtype=np.float32)
    scores = scipy.sparse.csr_matrix((weights, place), shape=(num_items, num_nodes))
    scores.eliminate_zeros()
    return scores


def _class_scores(signals: Signals, num_nodes: int) -> scipy.sparse.csr_matrix | None:
    if signals.class_node is None and signals.class_tied is None:
        return None
    shape = (len(signals), num_nodes)
    scores = scipy.sparse.csr_matrix(shape, dtype=np.float32)
    if signals.class_tied is not None:
        many = np.maximum(np.asarray(signals.class_tied.sum(axis=1)).ravel(), 2)
        shares = scipy.sparse.diags(1.0 / many).astype(np.float32)
        scores = shares @ signals.class_tied.astype(np.float32)
    if signals.class_node is not None:
        reached = np.flatnonzero(signals.class_node >= 0)
        ones = np.ones(len(reached), dtype=np.float32)
        chain = scipy.sparse.csr_matrix((ones, (reached, signals.class_node[reached])), shape=shape)
        scores = scores.maximum(chain)
    return scores.tocsr()


@dataclass(frozen=True)
class Features:
    """What labels are learnt on: a kernel, a weighted sum of parts that are 1 on the diagonal.

    Attributes:
        sparse: linear part, float32 `[n, D]`, rows scaled by the root of the part's weight.
        dense: Gaussian parts, `(unit vectors [n, d], weight, gamma)`; rows of zeros (no vector)
            resemble nothing.
        of_names: n-grams of the names, a part of the kernel too, and their words with pairs of
            neighbouring words, which are none: unit rows, float32 `[n, D']` each; empty where names
            share nothing.
    """

    sparse: scipy.sparse.csr_matrix
    dense: list[tuple[np.ndarray, float, float]]
    of_names: list[scipy.sparse.csr_matrix]


CHARACTERS, LEXICON, TEXT, IMAGE, CLASSES = 1.0, 0.5, 1.0, 1.0, 1.0
TEXT_GAMMA, IMAGE_GAMMA = 1.0, 0.5


def features(signals: Signals, scores: NodeScores, num_nodes: int) -> Features:
    """Kernel parts of the signals that are there; their weights sum to one.

    N-grams and words are counted over all names, labelled or not.
    """
    parts: list[tuple[float, scipy.sparse.csr_matrix]] = []
    of_names = _name_features(signals.names)
    if of_names:
        parts.append((CHARACTERS, of_names[0]))
    if len(scores.hits):
        parts.append((LEXICON, _hit_features(scores.hits, len(signals), num_nodes)))
    if signals.chains is not None and signals.chains.nnz:
        parts.append((CLASSES, _chain_features(signals.chains)))
    dense = []
    if signals.text is not None:
        dense.append((signals.text.astype(np.float32, copy=False), TEXT, TEXT_GAMMA))
    if signals.image is not None:
        dense.append((signals.image.items, IMAGE, IMAGE_GAMMA))
    total = sum(weight for weight, _ in parts) + sum(weight for _, weight, _ in dense) or 1.0
    stacked = [matrix * np.float32(np.sqrt(weight / total)) for weight, matrix in parts]
    empty = scipy.sparse.csr_matrix((len(signals), 0))
    sparse = scipy.sparse.hstack(stacked, format="csr") if stacked else empty
    return Features(
        sparse.astype(np.float32, copy=False),
        [(v, weight / total, gamma) for v, weight, gamma in dense],
        of_names,
    )


def _name_features(names: Sequence[str]) -> list[scipy.sparse.csr_matrix]:
    """Unit rows over character n-grams of words, and over words and pairs of neighbouring words,
    start and end of the name included; nothing where names share none.

    An n-gram never spans words, so each word is cut up once, however many names have it.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    tokens = [" ".join(fold(word) for word in words(name)).split() for name in names]
    codes, unique = pd.factorize(np.array([word for found in tokens for word in found], object))
    if not len(unique):
        return []
    lengths = np.array(list(map(len, tokens)))
    ends = np.cumsum([0, *lengths])
    has_word = _counts(codes, ends)
    cut = CountVectorizer(analyzer="char_wb", ngram_range=(2, 5), dtype=np.float32)
    named = lengths > 0
    start, end = len(unique), len(unique) + 1
    before = np.insert(codes, ends[:-1][named], start).astype(np.int64)
    after = np.insert(codes, ends[1:][named], end)
    pairs, _ = pd.factorize(before * (end + 1) + after)
    has_pair = _counts(pairs, np.cumsum([0, *(lengths + named)]))
    of_words = scipy.sparse.hstack([has_word, has_pair], format="csr")
    counted = (has_word @ cut.fit_transform(unique), of_words)
    return [found for counts in counted if (found := _weighted(counts)) is not None]


def _counts(codes: np.ndarray, ends: np.ndarray) -> scipy.sparse.csr_matrix:
    """How often each code is between two ends, float32 `[len(ends) - 1, codes]`."""
    ones = np.ones(len(codes), dtype=np.float32)
    counts = scipy.sparse.csr_matrix((ones, codes, ends), (len(ends) - 1, int(codes.max()) + 1))
    counts.sum_duplicates()
    return counts


def _weighted(counts: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix | None:
    """Unit rows of counts weighted by rarity (tf-idf), or None where rows share nothing."""
    from sklearn.feature_extraction.text import TfidfTransformer

    # What is rare in a large table costs memory and says little.
    rare = min(2 + counts.shape[0] // 20_000, counts.shape[0])
    common = np.bincount(counts.indices, minlength=counts.shape[1]) >= rare
    if not common.any():
        return None
    counts = counts[:, np.flatnonzero(common)]
    counts.sort_indices()
    return TfidfTransformer(sublinear_tf=True).fit_transform(counts)


def _chain_features(chains: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix:
    """Unit rows over classes; one that is above every item says nothing."""
    from sklearn.preprocessing import normalize

    has_class = int((np.diff(chains.indptr) > 0).sum())
    above = np.bincount(chains.indices, minlength=chains.shape[1])
    rarity = np.log((1.0 + has_class) / (1.0 + above)).astype(np.float32)
    weighted = (chains @ scipy.sparse.diags(rarity)).tocsr()
    weighted.eliminate_zeros()
    return normalize(weighted)


def _hit_features(hits: pd.DataFrame, num_items: int, num_nodes: int) -> scipy.sparse.csr_matrix:
    """Unit rows over (place and kind, node): what the name's words mean, in any language."""
    part = hits["kind"].isin(["suffix", "prefix"]).to_numpy().astype(int)
    column = (hits["place"].to_numpy() * 2 + part) * num_nodes + hits["node"].to_numpy()
    strength = np.sqrt(hit_weights(hits))
    frame = pd.DataFrame({"row": hits["row"], "column": column, "value": strength})
    frame = frame.groupby(["row", "column"], sort=True)["value"].max().reset_index()
    index = (frame["row"].to_numpy(), frame["column"].to_numpy())
    shape = (num_items, 8 * num_nodes)
    from sklearn.preprocessing import normalize

    return normalize(scipy.sparse.csr_matrix((frame["value"].to_numpy(), index), shape=shape))
