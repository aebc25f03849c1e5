"""What is in dispute about each proposal: one score, why, and what else it could be."""

from __future__ import annotations

import numpy as np
import pandas as pd

from strata_labels.proposal.evidence import hit_weights
from strata_labels.proposal.ids import node_id
from strata_labels.proposal.score import Scorer, Scores
from strata_labels.tables import SCHEMAS

NUM_ALTERNATIVES = 3
PLACES = ("", "second ", "third ")
# What a source says for a node, by how many nodes it puts before it; of others it says nothing.
MEANING = {
    "text": tuple(f"the name's meaning is {place}nearest to it" for place in PLACES),
    "image_to_text": tuple(f"the pictures are {place}nearest to it" for place in PLACES),
    "class": ("its class may lead there",),
}
UNSAID = "landmarks with similar names are often that"
# A node less likely than this is no alternative worth reading.
LEAST_LIKELY = 0.01
SPOKEN = "landmarks with similar names mostly are that"
# By how much each kind of objection lowers a score; set by hand. What known look-alikes say lowers
# the confidence already.
OBJECTIONS = {"splits_differ": 0.5, "class_tie": 0.9, "several_classes": 0.9}
# Of a score that every resample of the known rows contradicts this much is taken off.
UNSTABLE = 0.5


def disputes(
    items: pd.DataFrame, scorer: Scorer, scores: Scores, proposals: pd.DataFrame
) -> pd.DataFrame:
    """A row for each item whose proposal is not accepted.

    The score is the calibrated confidence, lowered by what speaks against it and the confidence
    does not know of: the same place named otherwise in the other split, several classes, a tie, a
    proposal that changes when a part of the decisions is left out.

    Args:
        items: `item_id, title, split`; rows as in `scorer`.
        scorer: holds the evidence.
        scores: its answer.
        proposals: from `propose` on the same.

    Returns:
        Rows under `SCHEMAS["disputes"]`, sorted by id.
    """
    rows = proposals[proposals["level"] == 1].set_index("subject").reindex(items["item_id"])
    opened = np.flatnonzero(~rows["accepted"].to_numpy(dtype=bool))
    rows = rows.iloc[opened]
    differ = _splits_differ(items, scores.node)[opened]
    confidence = rows["confidence"].to_numpy(dtype=float)
    score, chosen = confidence.copy(), scores.node[opened]
    for number, text in enumerate(rows["reasons"]):
        for reason in text.split("|"):
            score[number] *= OBJECTIONS.get(reason, 1.0)
    score[differ] *= OBJECTIONS["splits_differ"]
    unstable = scores.instability[opened]
    score *= 1 - UNSTABLE * unstable
    spoken = scores.neighbours[opened]
    more = {
        "splits_differ": differ,
        "neighbours_elsewhere": (spoken >= 0) & (spoken != chosen),
        "unstable": unstable > 0,
    }
    # What the chosen node does not have of the likelihood, the others share out.
    share = scores.probabilities[opened].astype(float)
    index = np.arange(len(opened))
    left = (1.0 - confidence) / np.maximum(1.0 - share[index, chosen], 1e-9)
    share[index, chosen] = -1.0
    best = np.argsort(-share, axis=1, kind="stable")[:, :NUM_ALTERNATIVES]
    likely = left[:, None] * np.take_along_axis(share, best, axis=1)
    likely[(rows["parent"].fillna("") == "").to_numpy()] = 0.0
    said = _said(scorer, opened, best, spoken)
    ids = [node_id(2, node) for node in scorer.nodes]
    others = [
        [
            {"node": ids[k], "confidence": sure, "evidence": evidence}
            for k, sure, evidence in zip(*found, strict=True)
            if sure >= LEAST_LIKELY
        ]
        for found in zip(best.tolist(), likely.tolist(), said, strict=True)
    ]
    columns = [
        rows["row_id"].to_numpy(dtype=object),
        score,
        # Lists, even if there is no row to tell by.
        pd.Series(
            [
                [word for word, on in zip(more, flags, strict=True) if on]
                for flags in zip(*more.values(), strict=True)
            ],
            dtype=object,
        ),
        pd.Series(others, dtype=object),
    ]
    table = pd.DataFrame(dict(zip(SCHEMAS["disputes"].names, columns, strict=True)))
    return table.sort_values("row_id", ignore_index=True)


def _hits_by_row(scorer: Scorer, rows: np.ndarray) -> dict[int, dict[int, tuple[str, str]]]:
    """Per row and node the strongest name word: `(term, language)`."""
    hits = scorer.columns.hits
    hits = hits[hits["row"].isin(rows)]
    hits = hits.assign(weight=hit_weights(hits), english=hits["language"] != "en")
    hits = hits.sort_values(
        ["row", "node", "weight", "english", "language", "term"],
        ascending=[True, True, False, True, True, True],
    ).drop_duplicates(["row", "node"])
    result: dict[int, dict[int, tuple[str, str]]] = {}
    for row, node, term, language in hits[["row", "node", "term", "language"]].itertuples(
        index=False
    ):
        result.setdefault(row, {})[node] = (term, language)
    return result


def _splits_differ(items: pd.DataFrame, node: np.ndarray) -> np.ndarray:
    """Whether an item of another split with the same title is proposed elsewhere, `[n]`."""
    told = pd.DataFrame({"title": items["title"].fillna(""), "node": node})
    many = told.groupby("title")["node"].transform("nunique") > 1
    across = items["split"].groupby(told["title"]).transform("nunique") > 1
    return (many & across.to_numpy() & (told["title"] != "")).to_numpy()


def _said(
    scorer: Scorer, rows: np.ndarray, nodes: np.ndarray, spoken: np.ndarray
) -> list[list[str]]:
    """What speaks for each row's nodes `[m, A]`, in plain words."""
    hits = _hits_by_row(scorer, rows)
    places: list[tuple[str, np.ndarray]] = []
    for source, words in MEANING.items():
        matrix = scorer.columns.scores.get(source)
        if matrix is None:
            continue
        own = matrix[rows]
        value = np.take_along_axis(own, nodes, axis=1)
        if source == "class":
            place = np.where(value > 0, 0, len(words))
        else:
            place = np.column_stack([(own > v[:, None]).sum(axis=1) for v in value.T])
            place[~own.any(axis=1)] = len(words)
        places.append((source, np.minimum(place, len(words))))
    result = []
    for number, (row, chosen) in enumerate(zip(rows.tolist(), nodes.tolist(), strict=True)):
        found, texts = hits.get(row, {}), []
        for column, k in enumerate(chosen):
            said = ['the word "{}" ({}) means it'.format(*found[k])] if k in found else []
            said += [(*MEANING[source], "")[place[number, column]] for source, place in places]
            said += [SPOKEN] if k == spoken[number] else []
            texts.append("; ".join(filter(None, said)) or UNSAID)
        result.append(texts)
    return result
