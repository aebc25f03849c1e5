"""What speaks for the nodes of one item, as pieces of evidence: words, vectors, classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from strata_labels.evidence import Alternative, Evidence
from strata_labels.proposal.ids import node_id
from strata_labels.proposal.learners import CHUNK
from strata_labels.proposal.rows import DECIMALS, LEAST_LIKELY, NUM_ALTERNATIVES
from strata_labels.proposal.score import Scorer, Scores
from strata_labels.proposal.signals import NodeSource, hit_weights

# Sources of vectors, named as the kinds of evidence they make.
VECTORS = ("text", "image_to_text")


class Verdict(NamedTuple):
    """What the class chain says of one item (see `propose`)."""

    status: str = "unknown"
    node: str = ""
    class_qid: str = ""
    class_label: str = ""
    qid: str = ""
    class_qids: Sequence[str] = ()
    ties: Sequence[tuple[str, Sequence[str], str]] = ()


def verdicts_of(classes: pd.DataFrame | None, num_items: int) -> list[Verdict]:
    if classes is None:
        return [Verdict()] * num_items
    texts = [classes[c].fillna("").astype(str).tolist() for c in Verdict._fields[:5]]
    qids = [[str(q) for q in qids] for qids in classes["class_qids"]]
    ties = classes["ties"].tolist() if "ties" in classes else [()] * num_items
    return [Verdict(*row) for row in zip(*texts, qids, ties, strict=True)]


def best_hits(scorer: Scorer) -> dict[int, list[tuple[int, float, str, str, str]]]:
    """Per item its hits, strongest first, one a node: (node, weight, term, language, qid)."""
    hits = scorer.node_scores.hits.copy()
    if not len(hits):
        return {}
    hits["weight"] = hit_weights(hits)
    hits["english"] = hits["language"] != "en"
    hits = hits[hits["weight"] > 0].sort_values(
        ["row", "weight", "node", "english", "language", "term", "qid"],
        ascending=[True, False, True, True, True, True, True],
    )
    hits = hits.drop_duplicates(["row", "node"])
    result: dict[int, list[tuple[int, float, str, str, str]]] = {}
    for row, *hit in zip(
        hits["row"], hits["node"], hits["weight"], hits["term"], hits["language"], hits["qid"],
        strict=True,
    ):  # fmt: skip
        result.setdefault(int(row), []).append((int(hit[0]), float(hit[1]), *hit[2:]))
    return result


def class_evidence(verdict: Verdict) -> list[Evidence]:
    """What the class chain says: one place, or each of those that tie."""
    own = (verdict.node, (verdict.class_qid,), verdict.class_label)
    ways: Sequence[tuple[str, Sequence[str], str]]
    if verdict.status == "reached":
        kind, ways = "class_chain", [own]
    elif verdict.status == "tie":
        kind, ways = "class_tie", verdict.ties or ([own] if verdict.node else [])
    else:
        return []
    return [
        Evidence(kind, node_id(2, node), text=label, ids=tuple(path)) for node, path, label in ways
    ]


def alternatives_of(
    scorer: Scorer,
    scores: Scores,
    hits: Mapping[int, list[tuple[int, float, str, str, str]]],
    of_classes: Sequence[list[Evidence]],
    ids: Sequence[str],
) -> list[list[Alternative]]:
    """The next likely nodes of each item, best first; with evidence where a row is open."""
    # What the chosen node does not have of the likelihood, the others share out.
    confidence = scores.confidence.astype(np.float32).astype(float)
    chosen = scores.top == scores.node[:, None]
    share = scores.top_probability.astype(float)
    own = (share * chosen).sum(axis=1)
    left = (1.0 - confidence) / np.maximum(1.0 - own, 1e-9)
    order = np.argsort(chosen, axis=1, kind="stable")[:, : min(NUM_ALTERNATIVES, len(ids) - 1)]
    best = np.take_along_axis(scores.top, order, axis=1)
    likely = np.clip(left[:, None] * np.take_along_axis(share, order, axis=1), 0.0, 1.0)
    opened = np.flatnonzero(~scores.accepted)
    places: dict[str, list[list[int]]] = {}
    values: dict[str, list[list[float]]] = {}
    for name in VECTORS:
        if name not in scorer.node_scores.by_source:
            continue
        source = scorer.node_scores.by_source[name]
        rank, value = np.empty_like(best[opened]), np.empty(best[opened].shape)
        for start in range(0, len(opened), CHUNK):
            part = slice(start, start + CHUNK)
            matrix = source.rows(opened[part])
            value[part] = np.take_along_axis(matrix, best[opened[part]], axis=1)
            rank[part] = np.column_stack(
                [(matrix > v[:, None]).sum(axis=1) for v in value[part].T.astype(np.float32)]
            )
        rank[~source.speaks[opened]] = len(ids)
        places[name] = rank.tolist()
        values[name] = np.round(value, DECIMALS).tolist()
    number = dict(zip(opened.tolist(), range(len(opened)), strict=True))
    found: list[list[Alternative]] = []
    for n, (row, sure) in enumerate(zip(best.tolist(), likely.round(4).tolist(), strict=True)):
        m = number.get(n)
        if m is None:
            found.append([Alternative(ids[k], p) for k, p in zip(row, sure, strict=True)])
            continue
        words = {hit[0]: hit for hit in reversed(hits.get(n, []))}
        mine = []
        for column, (k, probability) in enumerate(zip(row, sure, strict=True)):
            if probability < LEAST_LIKELY:
                break
            node, evidence = ids[k], []
            if k in words:
                _, _, term, language, _ = words[k]
                evidence.append(Evidence("name_word", node, text=term, language=language))
            for kind, place in places.items():
                if place[m][column] < NUM_ALTERNATIVES:
                    evidence.append(Evidence(kind, node, values[kind][m][column]))
            evidence += [piece for piece in of_classes[n] if piece.node == node]
            if k == scores.neighbours[n]:
                evidence.append(Evidence("neighbours", node))
            mine.append(Alternative(node, probability, tuple(evidence)))
        found.append(mine)
    return found


def two_nearest(source: NodeSource) -> list[list[tuple[int, float]]]:
    """The two best nodes of each item with their values, best first; none where nothing speaks."""
    found: list[list[tuple[int, float]]] = []
    for start in range(0, len(source.speaks), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(source.speaks)))
        matrix = source.rows(rows)
        best = np.argsort(-matrix, axis=1, kind="stable")[:, :2]
        values = np.take_along_axis(matrix, best, axis=1).astype(float).round(DECIMALS)
        found += [
            list(zip(row, value, strict=True)) if on else []
            for row, value, on in zip(
                best.tolist(), values.tolist(), source.speaks[rows].tolist(), strict=True
            )
        ]
    return found
