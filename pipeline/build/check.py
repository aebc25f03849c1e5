"""Every input of a build looked at before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.build.assets import ledgers, vocabulary_in_force
from pipeline.build.propose import curated_nodes
from pipeline.build.settings import BuildSettings
from pipeline.embedding import load_encoder
from pipeline.errors import InputError, Problem
from pipeline.export import FORMATS
from pipeline.proposal import Vocabulary
from pipeline.review import read_ledger, replay
from pipeline.sources import SOURCES
from pipeline.tables import SCHEMAS


def _check_decisions(
    decisions: pd.DataFrame, items: pd.DataFrame, vocabulary: Vocabulary, settings: BuildSettings
) -> None:
    """Replays the ledger on items and nodes alone, as far as they are known before a build."""
    nodes = curated_nodes(settings, vocabulary)
    named = pd.concat([decisions["subject"], decisions["target"]])
    # Classes that only the snapshot knows are checked once it has been read.
    later = sorted(set(named[named.str.fullmatch(r"1/Q[0-9]+")]) - set(nodes["node_id"]))
    nodes = pd.concat([nodes, pd.DataFrame({"node_id": later, "level": 1, "name": later})])
    rows = pd.DataFrame(
        {
            "subject": [*items["item_id"], *nodes["node_id"]],
            "level": [*([1] * len(items)), *(nodes["level"] + 1)],
            "parent": [*([""] * len(items)), *nodes["parent_id"].fillna("")],
        }
    )
    rows = rows[rows["level"] < len(settings.hierarchy.levels)]
    rows["row_id"] = rows["level"].astype(str) + ":" + rows["subject"]
    blank = dict.fromkeys(("origin", "evidence", "reasons", "suggestion", "alternatives"), "")
    rows = rows.assign(**blank, status="proposed", confidence=0.0, margin=0.0, accepted=False)
    hashes = decisions.drop_duplicates("row_id").set_index("row_id")["evidence_hash"]
    rows["evidence_hash"] = rows["row_id"].map(hashes).fillna("")
    replay(decisions, rows[SCHEMAS["proposals"].names].reset_index(drop=True), nodes)


def check_inputs(settings: BuildSettings) -> None:
    """Reads what a person gave a build and collects all that is wrong with it.

    The metadata's people-sized files are read whole; the large tables of images are left to the
    first stage, which writes nothing if one is damaged.

    Raises:
        InputError: every problem of every input.
    """
    problems: list[Problem] = []

    def attempt(look: Callable[[], Any]) -> Any:
        try:
            return look()
        except InputError as error:
            problems.extend(error.problems)
            return None

    hierarchy = settings.hierarchy
    source = SOURCES[hierarchy.source]
    metadata = attempt(lambda: source.read(Path(settings.metadata)))
    if metadata is not None and settings.known_labels:
        attempt(lambda: source.read_labels(Path(settings.known_labels or ""), metadata.items))
    vocabulary = attempt(lambda: vocabulary_in_force(settings))
    ledger = attempt(lambda: read_ledger(*ledgers(settings)))
    attempt(lambda: load_encoder(settings.encoder))
    if not problems and len(ledger.decisions) and not settings.clusters:
        attempt(lambda: _check_decisions(ledger.decisions, metadata.items, vocabulary, settings))
    for option, path in (("--entities", settings.entities), ("--images", settings.images)):
        if path and not Path(path).exists():
            problems.append(Problem(option, "not found:", "Check the path.", value=path))
    problems += [
        Problem(hierarchy.tree, "unknown export format:", f"Known: {', '.join(FORMATS)}.", value=f)
        for f in hierarchy.formats
        if f not in FORMATS
    ]
    if problems:
        raise InputError(problems)
