"""The `proposals` table: a parent for every item, class and cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from strata_labels.proposal.evidence import hit_weights
from strata_labels.proposal.ids import evidence_hash, node_id
from strata_labels.proposal.score import Scorer, Scores

COLUMNS = [
    "row_id", "subject", "level", "status", "parent", "origin", "confidence", "margin", "accepted",
    "evidence", "reasons", "suggestion", "alternatives", "evidence_hash",
]  # fmt: skip
NUM_ALTERNATIVES = 3
# The second node is an alternative, and the two are hard to tell apart, below this margin.
SMALL_MARGIN = 0.1
_SOURCE_WORDS = {"name": "name", "text": "text", "class": "class", "image_to_text": "image"}


def propose(
    items: pd.DataFrame,
    scorer: Scorer,
    scores: Scores,
    vocabulary: pd.DataFrame,
    classes: pd.DataFrame | None = None,
    known_origin: str = "published",
) -> pd.DataFrame:
    """One row per item, class and cluster, sorted by level (coarse first) and subject.

    Args:
        items: `item_id, name`, and where there are any `qualifier, image_ids`; rows as in `scorer`.
        scorer: holds the evidence.
        scores: its answer.
        vocabulary: `node, parent, class_qids` (`|`-joined, main class first); nodes without a
            parent are the top level.
        classes: class evidence, a row an item in the same order: `status` (`reached, tie, outside,
            unknown`), `node` and `class_qid` (what the chain reached, and from which class),
            `class_label`, `qid`, `class_qids`, and perhaps `ways` (under a tie, all of them, for
            people); None where no knowledge base was asked.
        known_origin: origin of the rows whose node was given.

    Returns:
        Columns `COLUMNS`. `status` is `known`, `proposed`, `no_place` (its class has none in the
        vocabulary) or `no_evidence`; the last two have no parent. `reasons` is `|`-joined:
        `low_confidence, small_margin, evidence_disagrees, class_tie, several_classes,
        no_name_word, no_place, no_evidence`.
    """
    leaves = vocabulary[vocabulary["parent"].fillna("") != ""]
    qids = leaves["class_qids"].fillna("").astype(str)
    mains = {
        str(node): [qid for qid in joined.split("|") if qid]
        for node, joined in zip(leaves["node"], qids, strict=True)
    }
    verdicts = _verdicts(classes, len(items))
    hits = _best_hits(scorer)
    cluster_of = _cluster_of_class(scorer.nodes, mains, hits, verdicts)
    item_rows, class_names = _item_rows(
        items, scorer, scores, verdicts, hits, mains, cluster_of, known_origin
    )
    used = {row["parent"] for row in item_rows if row["parent"]}
    rows = item_rows + _class_rows(used, cluster_of, mains, class_names) + _cluster_rows(leaves)
    table = pd.DataFrame(rows, columns=COLUMNS).astype(
        {"level": np.int8, "confidence": np.float32, "margin": np.float32, "accepted": bool}
    )
    order = table.assign(_level=-table["level"]).sort_values(["_level", "subject"], kind="stable")
    return table.loc[order.index].reset_index(drop=True)


class Verdict(NamedTuple):
    """What the class chain says of one item (see `propose`)."""

    status: str = "unknown"
    node: str = ""
    class_qid: str = ""
    class_label: str = ""
    qid: str = ""
    ways: str = ""
    class_qids: Sequence[str] = ()


def _verdicts(classes: pd.DataFrame | None, num_items: int) -> list[Verdict]:
    if classes is None:
        return [Verdict()] * num_items
    given = classes if "ways" in classes else classes.assign(ways="")
    texts = [given[c].fillna("").astype(str).tolist() for c in Verdict._fields[:6]]
    lists = [[str(q) for q in qids] for qids in classes["class_qids"]]
    return [Verdict(*row) for row in zip(*texts, lists, strict=True)]


def _best_hits(scorer: Scorer) -> dict[int, list[tuple[int, float, str, str, str]]]:
    """Per item its hits, strongest first, one a node: (node, weight, term, language, qid)."""
    hits = scorer.columns.hits.copy()
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


def _cluster_of_class(
    nodes: list[str],
    mains: Mapping[str, list[str]],
    hits: Mapping[int, list[tuple[int, float, str, str, str]]],
    verdicts: Sequence[Verdict],
) -> dict[str, str]:
    """Class id to its one cluster: the vocabulary first, then chains, then the lexicon."""
    cluster_of = {qid: node for node, qids in mains.items() for qid in qids}
    chains = {(v.class_qid, v.node) for v in verdicts if v.status == "reached" and v.class_qid}
    for qid, node in sorted(chains):
        cluster_of.setdefault(qid, node)
    pairs = {(hit[4], nodes[hit[0]]) for found in hits.values() for hit in found if hit[4]}
    for qid, node in sorted(pairs):
        cluster_of.setdefault(qid, node)
    return cluster_of


def _item_rows(
    items: pd.DataFrame,
    scorer: Scorer,
    scores: Scores,
    verdicts: Sequence[Verdict],
    hits: Mapping[int, list[tuple[int, float, str, str, str]]],
    mains: Mapping[str, list[str]],
    cluster_of: Mapping[str, str],
    known_origin: str,
) -> tuple[list[dict[str, object]], dict[str, str]]:
    nodes, accepted = scorer.nodes, scores.accepted
    sources = scorer.columns.scores
    tops = {name: _top(matrix) for name, matrix in sources.items() if name != "class"}
    speaks = {name: np.asarray(matrix.any(axis=1)) for name, matrix in sources.items()}
    silent = ~np.asarray(sum(speaks.values()), dtype=bool) if sources else None
    ids = [node_id(2, node) for node in nodes]
    ranked = np.argsort(-scores.probabilities, axis=1, kind="stable")[:, : NUM_ALTERNATIVES + 1]
    qualifiers = items.get("qualifier", pd.Series([""] * len(items))).fillna("").tolist()
    images = items.get("image_ids", pd.Series([[]] * len(items))).tolist()
    class_names: dict[str, str] = {}
    rows = []
    for n, (item_id, name, verdict) in enumerate(
        zip(items["item_id"].tolist(), items["name"].tolist(), verdicts, strict=True)
    ):
        chosen = int(scores.node[n])
        node = nodes[chosen]
        found = hits.get(n, [])
        said: list[str] = [
            f'word "{term}" ({language}) → {nodes[k]}' for k, _, term, language, _ in found[:3]
        ]
        reasons: list[str] = []
        opinions: dict[str, int] = {"name": found[0][0]} if found else {}
        for source, (best, second, share) in tops.items():
            if source != "name" and speaks[source][n]:
                opinions[source] = int(best[n])
                said.append(
                    f"{_SOURCE_WORDS[source]} vector: {nodes[best[n]]} {share[n, 0]:.2f}, "
                    f"{nodes[second[n]]} {share[n, 1]:.2f}"
                )
        if verdict.status == "reached":
            opinions["class"] = nodes.index(verdict.node)
            label = f" {verdict.class_label}" if verdict.class_label else ""
            said.append(f"class {verdict.class_qid}{label} → {verdict.node}")
        elif verdict.status == "tie":
            reasons.append("class_tie")
            if verdict.ways:
                said.append(f"classes as near: {verdict.ways}")
            elif verdict.node:
                said.append(f"class {verdict.class_qid} → {verdict.node}, among others")
        if len(verdict.class_qids) > 1:
            reasons.append("several_classes")
        if not found:
            reasons.append("no_name_word")
        status, parent, origin = "proposed", None, _origin(opinions, chosen)
        if scores.known[n]:
            status, origin = "known", known_origin
        elif verdict.status == "outside":
            status = "no_place"
        elif silent is None or (silent[n] and not said):
            status = "no_evidence"
        confidence, margin = float(scores.confidence[n]), float(scores.margin[n])
        if status in ("no_place", "no_evidence"):
            row_reasons, suggestion, others, confidence, margin = [status], "", "", 0.0, 0.0
            is_accepted, origin = status == "no_place", ""
        else:
            class_qid = _class_of(node, verdict, found, chosen, mains, cluster_of)
            parent = node_id(1, class_qid or node)
            if class_qid and verdict.class_qid == class_qid and verdict.class_label:
                class_names[class_qid] = verdict.class_label
            if not accepted[n]:
                reasons.insert(0, "low_confidence")
            if margin < SMALL_MARGIN and status != "known":
                reasons.append("small_margin")
            if len(set(opinions.values()) | {chosen}) > 1:
                reasons.append("evidence_disagrees")
            row_reasons, is_accepted = reasons, bool(accepted[n])
            suggestion = parent
            rest = [ids[k] for k in ranked[n] if k != chosen]
            others = "|".join(rest[:NUM_ALTERNATIVES])
        fingerprint = evidence_hash(
            name, qualifiers[n], verdict.qid, sorted(verdict.class_qids), sorted(images[n])
        )
        rows.append(
            _row(item_id, 1, status, parent, origin, confidence, margin, is_accepted,
                 "; ".join(said), row_reasons, suggestion, others, fingerprint)
        )  # fmt: skip
    return rows, class_names


def _row(
    subject: str, level: int, status: str, parent: str | None, origin: str, confidence: float,
    margin: float, accepted: bool, evidence: str, reasons: list[str], suggestion: str,
    alternatives: str, fingerprint: str,
) -> dict[str, object]:  # fmt: skip
    values = (
        f"{level}:{subject}", subject, level, status, parent, origin, confidence, margin, accepted,
        evidence, "|".join(reasons), suggestion, alternatives, fingerprint,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _top(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Best and second column of each row, and their values `[n, 2]`."""
    best = matrix.argmax(axis=1)
    index = np.arange(len(matrix))
    rest = matrix.copy()
    rest[index, best] = -np.inf
    second = rest.argmax(axis=1)
    return best, second, np.column_stack([matrix[index, best], matrix[index, second]])


def _origin(opinions: Mapping[str, int], chosen: int) -> str:
    """The strongest source that says so; what look-alike names taught counts as `name`."""
    for source, origin in (
        ("class", "class"), ("name", "name"), ("image_to_text", "image"), ("text", "text")
    ):  # fmt: skip
        if opinions.get(source) == chosen:
            return origin
    return "name"


def _class_of(
    node: str,
    verdict: Verdict,
    found: list[tuple[int, float, str, str, str]],
    chosen: int,
    mains: Mapping[str, list[str]],
    cluster_of: Mapping[str, str],
) -> str:
    """An item's class under its cluster: its own, else what its name says, else the main one."""
    own = [verdict.class_qid] if verdict.status == "reached" and verdict.node == node else []
    said = [qid for k, _, _, _, qid in found if k == chosen and qid]
    for qid in own + said:
        if cluster_of.get(qid) == node:
            return qid
    return mains.get(node, [""])[0] if mains.get(node) else ""


def _class_rows(
    used: set[object],
    cluster_of: Mapping[str, str],
    mains: Mapping[str, list[str]],
    class_names: Mapping[str, str],
) -> list[dict[str, object]]:
    by_id = {node_id(1, qid): (qid, node) for qid, node in cluster_of.items()}
    by_id |= {node_id(1, node): ("", node) for node, qids in mains.items() if not qids}
    rows = []
    for subject in sorted(map(str, used)):
        qid, node = by_id[subject]
        origin = "vocabulary" if qid in mains.get(node, []) or not qid else "class"
        label = f" {class_names[qid]}" if qid in class_names else ""
        said = f"class {qid}{label} → {node} ({origin})" if qid else f"{node} (vocabulary)"
        parent = node_id(2, node)
        rows.append(
            _row(subject, 2, "proposed", parent, origin, 1.0, 1.0, True, said, [], parent, "",
                 evidence_hash(qid or node))
        )  # fmt: skip
    return rows


def _cluster_rows(leaves: pd.DataFrame) -> list[dict[str, object]]:
    rows = []
    for node, top in zip(leaves["node"].astype(str), leaves["parent"].astype(str), strict=True):
        parent = node_id(3, top)
        rows.append(
            _row(node_id(2, node), 3, "proposed", parent, "vocabulary", 1.0, 1.0, True,
                 f"{node} → {top} (vocabulary)", [], parent, "", evidence_hash(node))
        )  # fmt: skip
    return rows
