"""The last stage: page, picture, card and the numbers the summary prints."""

from __future__ import annotations

import json
import platform
from importlib import metadata as packages
from pathlib import Path
from typing import Any

import pandas as pd

from strata_labels.build.reviewers import reviewers_agreement
from strata_labels.build.settings import BuildSettings
from strata_labels.build.stage import Counts, Stage
from strata_labels.build.validated import validation
from strata_labels.build.workspace import Workspace
from strata_labels.files import sha256_of, write_json
from strata_labels.review import agreement_lines
from strata_labels.show import agreement, draw_tree, numbers_of, render_card, render_page
from strata_labels.tables import load

_PACKAGES = ("numpy", "open_clip_torch", "pandas", "prefect", "pyarrow", "scikit-learn", "torch")


def versions() -> dict[str, str]:
    """Versions of Strata, Python and the packages a result depends on."""
    found = {name: packages.version(name) for name in _PACKAGES}
    return {
        "strata": packages.version("strata-labels"),
        "python": platform.python_version(),
        **found,
    }


def user_files(settings: BuildSettings) -> list[Path]:
    """The files a build was given, assets of the tree included."""
    hierarchy = settings.hierarchy
    given = [settings.entities, settings.known_labels, settings.vocabulary, settings.decisions]
    assets = [hierarchy.file, hierarchy.vocabulary, hierarchy.classes, hierarchy.outside]
    assets += [hierarchy.lexicon, hierarchy.names, hierarchy.decisions]
    metadata = settings.source.files(Path(settings.metadata))
    files = [*metadata, *(Path(path) for path in given if path), *assets]
    return [path for path in files if path.is_file()]


def _show(place: Workspace, settings: BuildSettings) -> Counts:
    hierarchy = settings.hierarchy
    items, nodes = load(place.folder, "items"), load(place.folder, "nodes")
    assignments = load(place.folder, "assignments")
    title = hierarchy.title
    open_rows = json.loads(place.settled.read_text(encoding="utf-8"))["rows_to_review"]
    numbers = numbers_of(items, nodes, assignments, hierarchy.levels, open_rows)
    agreed = _agreement(place, settings, assignments)
    both = reviewers_agreement(place, settings)
    shown = {"numbers": numbers, "agreement": agreed, "title": title}
    write_json(place.numbers, {**shown, "reviewers": both.as_json() if both else None})
    render_page(place.page, items, nodes, assignments, hierarchy.levels, title)
    draw_tree(place.picture, assignments, hierarchy.levels, title)
    render_card(
        place.card,
        {
            "title": title,
            "total": len(items),
            "numbers": numbers,
            "agreement": agreed,
            "reviewers": agreement_lines(both, hierarchy.levels) if both else [],
            "picture": place.picture.name,
            "encoder": json.loads((place.vectors / "about.json").read_text())["encoder"],
            "versions": versions(),
            "inputs": {path.name: sha256_of(path) for path in user_files(settings)},
            "sources": hierarchy.sources,
            "limits": hierarchy.limits,
            "licence": hierarchy.licence,
            "tags": hierarchy.tags,
            "published": hierarchy.published,
            "validation": validation(place, assignments),
            "options": _options(place, settings),
        },
    )
    return {"open_rows": open_rows}


def _agreement(
    place: Workspace, settings: BuildSettings, assignments: pd.DataFrame
) -> dict[str, Any] | None:
    """How far the tree agrees with the published labels, where they are not the tree itself."""
    hierarchy = settings.hierarchy
    labels = load(place.folder, "labels")
    if hierarchy.published or not (labels["origin"] == "published").any():
        return None
    level = hierarchy.compared_level
    found = agreement(assignments, labels, level)
    return {"level": hierarchy.levels[level], **found}


def _options(place: Workspace, settings: BuildSettings) -> dict[str, Any]:
    hierarchy = settings.hierarchy
    if hierarchy.published:
        return {
            "levels": settings.levels or next(iter(hierarchy.variants), "as labelled"),
            "level found among image vectors": hierarchy.found or "none",
            "ranks compared with a Wikidata snapshot": hierarchy.taxa
            and settings.entities is not None,
        }
    return {
        "evidence from a Wikidata snapshot": settings.entities is not None
        or place.table("titles").is_file(),
        "known labels as evidence": settings.known_labels is not None,
        "image evidence": settings.images is not None,
        "own vocabulary": settings.vocabulary is not None,
        "vocabulary-free, level-2 nodes": settings.clusters or "no",
    }


SHOW = Stage(
    name="show",
    version=3,
    reads=lambda place, settings: [
        *(place.table(name) for name in ("items", "labels", "nodes", "assignments")),
        *(place.table(name) for name in ("proposals", "vocabulary", "doubts", "audit")),
        place.settled,
        place.validation,
        place.vectors / "about.json",
        *user_files(settings),
    ],
    writes=lambda place, _: [place.page, place.picture, place.card, place.numbers],
    settings=("images", "clusters"),
    run=_show,
)
