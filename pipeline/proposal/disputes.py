"""What is in dispute about each proposal: one score, why, and what else it could be."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.proposal.evidence import hit_weights
from pipeline.proposal.ids import node_id
from pipeline.proposal.score import Scorer, Scores
from pipeline.tables import SCHEMAS

NUM_ALTERNATIVES = 3
NEAREST = ("nearest", "second nearest", "third nearest")
# A node less likely than this is no alternative worth reading.
LEAST_LIKELY = 0.01
# By how much each kind of objection lowers a score; set by hand.
OBJECTIONS = {"splits_differ": 0.5, "class_tie": 0.9, "several_classes": 0.9}


def disputes(
    items: pd.DataFrame, scorer: Scorer, scores: Scores, proposals: pd.DataFrame
) -> pd.DataFrame:
    """A row for each item whose proposal is not accepted.

    The score is the calibrated confidence, lowered by what speaks against it and the confidence
    does not know of: the same place named otherwise in the other split, several classes, a tie.

    Args:
        items: `item_id, title, split`; rows as in `scorer`.
        scorer: holds the evidence.
        scores: its answer.
        proposals: from `propose` on the same.

    Returns:
        Rows under `SCHEMAS["disputes"]`, sorted by id.
    """
    rows = proposals[proposals["level"] == 1].set_index("subject").reindex(items["item_id"])
    differ = _splits_differ(items, scores.node)
    open_rows = np.flatnonzero(~rows["accepted"].to_numpy(dtype=bool))
    hits = _hits_by_row(scorer, open_rows)
    ranked = np.argsort(-scores.probabilities[open_rows], axis=1, kind="stable")
    result = []
    for n, best in zip(open_rows.tolist(), ranked.tolist(), strict=True):
        row, chosen = rows.iloc[n], int(scores.node[n])
        reasons = ["splits_differ"] if differ[n] else []
        score = float(row["confidence"])
        for reason in [*reasons, *row["reasons"].split("|")]:
            score *= OBJECTIONS.get(reason, 1.0)
        found = hits.get(n, {})
        others = []
        if row["parent"]:
            share = scores.probabilities[n].astype(float)
            left = (1.0 - float(row["confidence"])) / max(1.0 - share[chosen], 1e-9)
            for k in [k for k in best[: NUM_ALTERNATIVES + 1] if k != chosen][:NUM_ALTERNATIVES]:
                if (likely := left * share[k]) >= LEAST_LIKELY:
                    said = _said(scorer, n, k, found.get(k))
                    node = node_id(2, scorer.nodes[k])
                    others.append({"node": node, "confidence": likely, "evidence": said})
        result.append((row["row_id"], score, reasons, others))
    table = pd.DataFrame(result, columns=SCHEMAS["disputes"].names)
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


def _said(scorer: Scorer, row: int, node: int, hit: tuple[str, str] | None) -> str:
    """What speaks for a node, in plain words."""
    said = [f'the word "{hit[0]}" ({hit[1]}) means it'] if hit else []
    words_of = {"text": "the name's meaning", "image_to_text": "the pictures", "class": "its class"}
    for source, phrase in words_of.items():
        matrix = scorer.columns.scores.get(source)
        if matrix is None or not matrix[row].any():
            continue
        place = int((matrix[row] > matrix[row, node]).sum())
        if source == "class":
            said += ["its class may lead there"] if matrix[row, node] > 0 else []
        elif place < NUM_ALTERNATIVES:
            said.append(
                f"{phrase} is {('nearest', 'second nearest', 'third nearest')[place]} to it"
            )
    return "; ".join(said) or "landmarks with similar names are often that"
