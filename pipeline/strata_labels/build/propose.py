"""The stage that combines all evidence and proposes a parent for every item, class and cluster."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy

from strata_labels.build.assets import ledgers, vocabulary_in_force
from strata_labels.build.embed import (
    ABOUT,
    IMAGES,
    IMAGES_FOR_NAMES,
    NAMES,
    NODES,
    PHRASE_NODES,
    PHRASES,
    image_name_vectors,
    images_there,
    load_vectors,
)
from strata_labels.build.engine_tables import (
    Completed,
    less_sure,
    nothing_questioned,
    path_table,
)
from strata_labels.build.found_nodes import into_found_nodes
from strata_labels.build.given_labels import question_labels
from strata_labels.build.label_questions import names_in_use
from strata_labels.build.published import propose_published
from strata_labels.build.reconcile import (
    assets_in_force,
    decided_classes,
    put_filled_in_aside,
    reconcile,
    with_classes,
    write_reconciliation,
)
from strata_labels.build.same_category import categories, one_label_a_category
from strata_labels.build.settings import BuildSettings
from strata_labels.build.stage import Counts, Stage
from strata_labels.build.wikimedia import titles_of
from strata_labels.build.workspace import Workspace
from strata_labels.evidence import NAME_REASONS, has_reason
from strata_labels.knowledge import ClassGraph
from strata_labels.people_csv import read_people_csv
from strata_labels.proposal import (
    CentredVectors,
    Ladder,
    Lexicon,
    Prompts,
    Proposer,
    Scorer,
    Signals,
    Vocabulary,
    decided_new_nodes,
    mark_outside,
    new_node_rows,
    node_id,
    outside_all_nodes,
    propose_new_nodes,
    vocabulary_nodes,
)
from strata_labels.review import Ledger, read_ledger, replay
from strata_labels.tables import labels_at, load, save

_LEXICON = ["node", "qid", "language", "term", "strength"]


def _propose(workspace: Workspace, settings: BuildSettings) -> Counts:
    items = load(workspace.folder, "items")
    if settings.hierarchy.published and not settings.clusters:
        done, nodes = propose_published(workspace, settings, items)
    else:
        put_filled_in_aside(workspace.to_map, "node", workspace.applied)
        into = into_found_nodes if settings.clusters else _into_vocabulary
        done, nodes = into(workspace, settings, items)
    proposals = done.proposals
    save(workspace.folder, "proposals", proposals)
    save(workspace.folder, "path_confidence", done.path_confidence)
    save(workspace.folder, "label_issues", done.issues)
    save(workspace.folder, "vocabulary", nodes)
    of_items = proposals[proposals["level"] == 1]
    asked = proposals[~proposals["accepted"]]
    statuses = of_items["status"].value_counts().sort_index()
    return {
        "items": len(items),
        **{str(key): int(count) for key, count in statuses.items()},
        "accepted": int(of_items["accepted"].sum()),
        "names_in_question": int(has_reason(asked["reasons"], *NAME_REASONS).sum()),
        "label_issues": int(done.issues.loc[done.issues["opened"], "item_id"].nunique()),
        "label_issues_expected_wrong": round(done.expected_wrong, 1),
    }


def _into_vocabulary(
    workspace: Workspace, settings: BuildSettings, items: pd.DataFrame
) -> tuple[Completed, pd.DataFrame]:
    ledger = read_ledger(*ledgers(settings))
    knowledge = _read_knowledge(workspace, settings, ledger)
    write_reconciliation(
        workspace, *reconcile(items, knowledge.entities, knowledge.graph, knowledge.labels)
    )
    vocabulary, classes = knowledge.vocabulary, knowledge.classes
    scorer = _scorer(workspace, settings, items, knowledge)
    known = _known(workspace, settings, items, vocabulary)
    met = _met(knowledge.lexicon, classes)
    nodes = curated_nodes(settings, vocabulary, ledger, met, knowledge.labels)
    scores = scorer.fit(known)
    proposer = Proposer(items, scorer, vocabulary.frame, classes)
    learnt, line = np.full(len(items), -1), np.full(len(items), -1)
    by_class = np.zeros(len(items), dtype=bool)
    if len(ledger.decisions):
        learnt, line = decided(proposer.places(scores), nodes, ledger.decisions, items, vocabulary)
        # A decision on a class holds for all that lead to it, but for those decided themselves.
        of_class = vocabulary.index(classes["node"].where(classes["decided"], ""))
        by_class = (learnt < 0) & (of_class >= 0)
        learnt = np.where(by_class, of_class, learnt)
        both = known.copy()
        both[learnt >= 0] = -1
        both[:, 0] = np.where(learnt >= 0, learnt, known[:, 0])
        del scores  # before others take memory
        scores = scorer.fit(both, line, known)
    proposals = proposer.propose(scores)
    proposals.loc[proposals["subject"].isin(items["item_id"][by_class]), "origin"] = "human"
    category = categories(items, titles_of(workspace))
    proposals = one_label_a_category(items, proposals, category, learnt >= 0)
    tops = sorted(set(vocabulary.tops))
    outside = outside_all_nodes(scorer, scores, known[:, 0] >= 0)
    outside &= _of_items(proposals, items, "status") == "proposed"
    parents = [node_id(3, tops[top]) for top in scores.path[:, 1]]
    names, taken = items["name"].tolist(), names_in_use(nodes, ledger.decisions, 2)
    found = propose_new_nodes(names, outside, scorer, scores, 2, parents, taken)
    proposals = mark_outside(proposals, items, outside, found)
    nodes = pd.concat([nodes, new_node_rows(found)]).drop_duplicates("node_id", ignore_index=True)
    done = nothing_questioned(proposals)
    if (known >= 0).any():
        ids = [[node_id(2, n) for n in vocabulary.nodes], [node_id(3, n) for n in tops]]
        ladder = Ladder(2, ids, scorer.levels.above)
        asked = scorer.has_evidence & (learnt < 0) & (line < 0)
        done = question_labels(workspace, settings, items, ladder, scorer, scores, asked, proposals)
    path = path_table(items, np.arange(len(items)), 2, scores)
    return replace(done, path_confidence=less_sure(path, done.issues)), nodes


def _of_items(proposals: pd.DataFrame, items: pd.DataFrame, column: str) -> np.ndarray:
    """A column of the items' rows, in the order of the items."""
    rows = proposals[proposals["level"] == 1].set_index("subject")
    return rows[column].reindex(items["item_id"]).to_numpy()


@dataclass(frozen=True)
class _Knowledge:
    """What the knowledge base, the curated files and people's decisions on classes say.

    Attributes:
        vocabulary: the nodes of the upper levels.
        entities: the table `entities`, a row an item.
        graph: the classes, with those that have a place.
        labels: names of classes.
        classes: where each item's classes lead, see `_class_evidence`.
        lexicon: words that speak for a node.
    """

    vocabulary: Vocabulary
    entities: pd.DataFrame
    graph: ClassGraph
    labels: dict[str, str]
    classes: pd.DataFrame
    lexicon: pd.DataFrame


def _read_knowledge(workspace: Workspace, settings: BuildSettings, ledger: Ledger) -> _Knowledge:
    vocabulary = vocabulary_in_force(settings)
    assets = assets_in_force(settings, vocabulary, ledger)
    decided_on = decided_classes(ledger, vocabulary)
    entities, classes = load(workspace.folder, "entities"), load(workspace.folder, "classes")
    named = zip(classes["qid"], classes["label"], strict=True)
    labels = {**assets.labels, **{qid: label for qid, label in named if label}}
    graph = ClassGraph(classes, assets.placed, assets.stops)
    evidence = _class_evidence(entities, graph, labels, decided_on)
    lexicon = _lexicon(workspace, settings, vocabulary)
    return _Knowledge(vocabulary, entities, graph, labels, evidence, lexicon)


def _scorer(
    workspace: Workspace, settings: BuildSettings, items: pd.DataFrame, knowledge: _Knowledge
) -> Scorer:
    vocabulary = knowledge.vocabulary
    return Scorer(
        _signals(workspace, items, vocabulary, knowledge.classes),
        vocabulary.nodes,
        Lexicon(knowledge.lexicon, vocabulary.nodes),
        _prompts(workspace),
        settings.hierarchy.target,
        [np.unique(vocabulary.tops, return_inverse=True)[1]],
    )


def _prompts(workspace: Workspace) -> Prompts | None:
    """Vectors of the nodes' phrases; None without an encoder."""
    phrases, nodes = (workspace.vectors / name for name in (PHRASES, PHRASE_NODES))
    return Prompts(np.load(phrases), np.load(nodes)) if phrases.is_file() else None


def scorer_of(
    workspace: Workspace, settings: BuildSettings
) -> tuple[pd.DataFrame, Vocabulary, Scorer]:
    """Items, vocabulary and scorer of a workspace whose vectors are there."""
    items = load(workspace.folder, "items")
    knowledge = _read_knowledge(workspace, settings, read_ledger(*ledgers(settings)))
    return items, knowledge.vocabulary, _scorer(workspace, settings, items, knowledge)


def curated_nodes(
    settings: BuildSettings,
    vocabulary: Vocabulary,
    ledger: Ledger,
    met: pd.DataFrame | None = None,
    labels: dict[str, str] | None = None,
) -> pd.DataFrame:
    """All nodes a proposal or a decision can name.

    Args:
        settings: names the curated classes.
        vocabulary: the nodes of the upper levels.
        ledger: people may have given classes a place.
        met: `qid, node` of the classes that this run has met besides.
        labels: names of classes besides the curated ones.
    """
    assets = assets_in_force(settings, vocabulary, ledger)
    placed = pd.DataFrame(sorted(assets.placed.items()), columns=["qid", "node"])
    known = placed if met is None else pd.concat([met, placed])
    labels = {**assets.labels, **(labels or {})}
    excluded = [qid for qid, node in decided_classes(ledger, vocabulary).items() if not node]
    nodes = vocabulary_nodes(vocabulary, known, labels)
    decided = decided_new_nodes(ledger.decisions["target"], nodes)
    nodes = pd.concat([nodes, decided], ignore_index=True) if len(decided) else nodes
    return with_classes(nodes, {qid: labels.get(qid, "") for qid in excluded})


def _met(lexicon: pd.DataFrame, classes: pd.DataFrame) -> pd.DataFrame:
    """Classes that items' chains and words of the lexicon lead through, chains first."""
    reached = classes.loc[classes["status"] == "reached", ["class_qid", "node"]]
    reached = reached.set_axis(["qid", "node"], axis=1)
    ways = [
        frame.drop_duplicates().sort_values(["qid", "node"])
        for frame in (reached, lexicon[["qid", "node"]])
    ]
    return pd.concat(ways)


def _class_evidence(
    entities: pd.DataFrame,
    graph: ClassGraph,
    labels: Mapping[str, str],
    decided_on: Container[str],
) -> pd.DataFrame:
    """Where each item's classes lead.

    Args:
        entities: the table `entities`.
        graph: the classes, with those that have a place.
        labels: names of classes.
        decided_on: classes that people placed.

    Returns:
        `status, node, class_qid, class_label, qid, class_qids`; `ties`, `(node, path, label)` of
        each way that ties (the class and those above it, and the label of the first); `decided`,
        whether people placed the class that it leads to.
    """
    rows = []
    for qid, class_qids in zip(entities["qid"], entities["class_qids"], strict=True):
        verdict = graph.reach(class_qids)
        own = verdict.path[0] if verdict.path else ""
        rows.append(
            (verdict.reason, verdict.node or "", own, labels.get(own, ""), qid or "",
             list(class_qids),
             [(way.node, way.path, labels.get(way.path[0], "")) for way in verdict.ties],
             bool(verdict.node) and not verdict.ties and verdict.path[-1] in decided_on)
        )  # fmt: skip
    columns = ["status", "node", "class_qid", "class_label", "qid", "class_qids", "ties"]
    return pd.DataFrame(rows, columns=[*columns, "decided"])


def _lexicon(workspace: Workspace, settings: BuildSettings, vocabulary: Vocabulary) -> pd.DataFrame:
    curated = read_people_csv(settings.hierarchy.lexicon, _LEXICON)
    words = pd.concat([curated, load(workspace.folder, "lexicon")], ignore_index=True)
    words = words.drop_duplicates(["node", "qid", "language", "term"])
    return words[words["node"].isin(vocabulary.nodes)].reset_index(drop=True)


def _signals(
    workspace: Workspace, items: pd.DataFrame, vocabulary: Vocabulary, classes: pd.DataFrame
) -> Signals:
    centred, for_names, nodes, scale = None, None, None, 1.0
    names = workspace.vectors / NAMES  # not there without an encoder
    about = json.loads((workspace.vectors / ABOUT).read_text(encoding="utf-8"))
    if (workspace.vectors / IMAGES).is_file():
        image = load_vectors(workspace.vectors / IMAGES)
        centred = CentredVectors(image)
        if about["aligned"]:
            nodes, scale = np.load(workspace.vectors / NODES), about["logit_scale"]
            file = image_name_vectors(workspace)
            for_names = image if file.name == IMAGES else load_vectors(file)
    return Signals(
        names=items["name"].tolist(),
        qualifiers=items["qualifier"].fillna("").tolist(),
        text=np.load(names) if names.is_file() else None,
        image=centred,
        image_for_names=for_names,
        node_vectors=nodes,
        logit_scale=scale,
        class_node=vocabulary.index(classes["node"].where(classes["status"] == "reached", "")),
        class_tied=_tied(vocabulary, classes["ties"]),
    )


def _tied(vocabulary: Vocabulary, ties: pd.Series) -> scipy.sparse.csr_matrix:
    """Nodes that tie for an item's class, boolean `[n, K]`."""
    pairs = [(row, node) for row, ways in enumerate(ties) for node, _, _ in ways]
    rows, nodes = zip(*pairs, strict=True) if pairs else ((), ())
    places = (np.array(rows, dtype=int), vocabulary.index(pd.Series(nodes, dtype=object)))
    shape = (len(ties), len(vocabulary.nodes))
    return scipy.sparse.csr_matrix((np.ones(len(pairs), dtype=bool), places), shape=shape)


def _known(
    workspace: Workspace, settings: BuildSettings, items: pd.DataFrame, vocabulary: Vocabulary
) -> np.ndarray:
    """Node index of each item at the scored levels by `--known-labels`, else -1, `[n, 2]`."""
    level = settings.hierarchy.compared_level
    labels = load(workspace.folder, "labels")
    finest = vocabulary.index(labels_at(labels, items["item_id"], level, "known"))
    tops = pd.Index(sorted(set(vocabulary.tops)))
    coarse = tops.get_indexer(pd.Index(labels_at(labels, items["item_id"], level + 1, "known")))
    return np.column_stack([finest, coarse])


def decided(
    proposals: pd.DataFrame,
    nodes: pd.DataFrame,
    decisions: pd.DataFrame,
    items: pd.DataFrame,
    vocabulary: Vocabulary,
) -> tuple[np.ndarray, np.ndarray]:
    """What people have decided of each item.

    Returns:
        Node index of each item that is placed, else -1; and a number for the line of the ledger
        that decides it, else -1. Both `[n]`.
    """
    resolution = replay(decisions, proposals, nodes)
    tree = resolution.tree
    rows = resolution.rows
    rows = rows[(rows["level"] == 1) & (rows["state"] == "settled")].set_index("subject")
    parents = rows["parent"].reindex(items["item_id"])
    lines = resolution.effective.drop_duplicates("subject").set_index("subject")
    line = lines.groupby(["file", "row"], sort=False).ngroup().reindex(items["item_id"])
    labels = {node: tree.name.get(above, "") for node, above in tree.parent.items()}
    node = vocabulary.index(parents.map(labels).fillna(""))
    return node, line.fillna(-1).to_numpy(dtype=np.int64)


PROPOSE = Stage(
    name="propose",
    does="Proposing labels",
    version=17,
    reads=lambda workspace, settings: [
        *(workspace.table(name) for name in ("items", "labels", "entities", "classes", "lexicon")),
        *(workspace.table(name) for name in ("titles", "taxa")),
        *(workspace.vectors / name for name in (NAMES, PHRASES, PHRASE_NODES, NODES, ABOUT)),
        *(workspace.vectors / name for name in (IMAGES, IMAGES_FOR_NAMES)),
        *settings.class_files,
        settings.hierarchy.lexicon,
        settings.hierarchy.names,
        *ledgers(settings),
    ],
    writes=lambda workspace, settings: [
        workspace.table("proposals"),
        *(workspace.table(name) for name in ("vocabulary", "path_confidence", "label_issues")),
        *([] if settings.hierarchy.published else [workspace.reconciliation]),
    ],
    settings=(
        *("clusters", "label_issues"),
        *("image_encoder", "encoder", "images", "images_per_landmark"),
    ),
    run=_propose,
    looks_at=images_there,  # given labels are questioned by single pictures
)
