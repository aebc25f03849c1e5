"""The last stage: page, picture, card and the numbers the summary prints."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from functools import cache
from importlib import metadata as packages
from pathlib import Path
from typing import Any

import pandas as pd

from strata_labels import __version__
from strata_labels.build.assets import picture_finder
from strata_labels.build.embed import ABOUT, IMAGES
from strata_labels.build.record import portable
from strata_labels.build.reviewers import reviewers_agreement
from strata_labels.build.settings import BuildSettings
from strata_labels.build.stage import Counts, Stage
from strata_labels.build.training_results import training_figures
from strata_labels.build.workspace import Workspace
from strata_labels.files import sha256_of, write_json
from strata_labels.people_csv import read_people_csv
from strata_labels.pictures import MISSING, OUTSIDE
from strata_labels.review import agreement_lines
from strata_labels.show import (
    draw_tree,
    image_issue_numbers,
    label_issue_numbers,
    numbers_of,
    published_agreement,
    render_card,
    render_page,
)
from strata_labels.tables import load

_PACKAGES = ("numpy", "open_clip_torch", "pandas", "prefect", "pyarrow", "scikit-learn", "torch")


def versions() -> dict[str, str]:
    """Versions of Strata, Python and the packages a result depends on."""
    return {
        "strata": __version__,
        "python": platform.python_version(),
        **_package_versions(),
    }


@cache
def _package_versions() -> dict[str, str]:
    return {name: packages.version(name) for name in _PACKAGES}


@dataclass(frozen=True)
class InputFile:
    """A file that a build was given.

    Attributes:
        given_as: the option it was given by, `ledger of this workspace`, or the tree it is part of.
        name: its name, relative to the folder that was given.
        path: where it lies.
    """

    given_as: str
    name: str
    path: Path


def input_files(settings: BuildSettings) -> list[InputFile]:
    """The files that a build was given and those of its tree, as far as they are there."""
    hierarchy, metadata = settings.hierarchy, settings.metadata
    root = metadata if metadata.is_dir() else metadata.parent
    files = [
        InputFile("metadata", path.relative_to(root).as_posix(), path)
        for path in settings.source.files(metadata)
    ]
    options = {
        "--entities": settings.entities,
        "--known-labels": settings.known_labels,
        "--vocabulary": settings.vocabulary,
        "ledger of this workspace": settings.decisions,
    }
    files += [InputFile(key, path.name, path) for key, path in options.items() if path]
    assets = [hierarchy.file, hierarchy.vocabulary, hierarchy.classes, hierarchy.outside]
    assets += [hierarchy.lexicon, hierarchy.names, hierarchy.decisions]
    files += [InputFile(f"tree {hierarchy.tree}", path.name, path) for path in assets]
    return [file for file in files if file.path.is_file()]


def _show(workspace: Workspace, settings: BuildSettings) -> Counts:
    hierarchy = settings.hierarchy
    items, nodes = load(workspace.folder, "items"), load(workspace.folder, "nodes")
    assignments = load(workspace.folder, "assignments")
    title = hierarchy.title
    settled = json.loads(workspace.settled.read_text(encoding="utf-8"))
    open_rows = settled["rows_to_review"]
    numbers = numbers_of(items, nodes, assignments, hierarchy.levels, open_rows)
    numbers["decisions"] = {
        key: settled["review"][f"decisions_{key}"]
        for key in ("effective", "stale", "gone", "disputed")
    }
    numbers["lost_nodes"] = settled["review"]["nodes_lost"]
    numbers["unread_images"] = _unread_images(workspace)
    numbers["shared_images"] = _shared_images(workspace)
    numbers["image_issues"] = image_issue_numbers(load(workspace.folder, "image_issues"))
    vocabulary = load(workspace.folder, "vocabulary")
    names = dict(zip(vocabulary["node_id"], vocabulary["name"], strict=True))
    label_issues = load(workspace.folder, "label_issues")
    numbers["label_issues"] = label_issue_numbers(label_issues, names)
    agreed = _agreement(workspace, settings, assignments)
    both = reviewers_agreement(workspace, settings)
    shown = {"numbers": numbers, "agreement": agreed, "title": title}
    write_json(workspace.numbers, {**shown, "reviewers": both.as_json() if both else None})
    root = settings.image_root or settings.source.image_root(settings.metadata)
    render_page(
        workspace.page,
        items,
        nodes,
        assignments,
        hierarchy.levels,
        title,
        label_issues=label_issues,
        find_image=picture_finder(workspace, root),
    )
    draw_tree(workspace.picture, assignments, hierarchy.levels, title)
    render_card(
        workspace.card,
        {
            "title": title,
            "total": len(items),
            "numbers": numbers,
            "agreement": agreed,
            "reviewers": agreement_lines(both, hierarchy.levels) if both else [],
            "picture": workspace.picture.name,
            "encoders": _encoders(workspace),
            "versions": versions(),
            "inputs": [
                {"name": file.name, "given_as": file.given_as, "sha256": sha256_of(file.path)}
                for file in input_files(settings)
            ],
            "sources": hierarchy.sources,
            "limits": hierarchy.limits,
            "licence": hierarchy.licence,
            "citations": hierarchy.citations,
            "tags": hierarchy.tags,
            "published": hierarchy.published and not settings.clusters,
            "validation": training_figures(workspace, assignments),
            "options": _options(workspace, settings),
        },
    )
    return {"open_rows": open_rows}


def _record(workspace: Workspace, settings: BuildSettings) -> dict[str, Any]:
    """The figures of a finished build, and the files it was given."""
    inputs = {
        portable(file.path, workspace.folder): sha256_of(file.path)
        for file in input_files(settings)
    }
    return {**json.loads(workspace.numbers.read_text(encoding="utf-8")), "inputs": inputs}


def _encoders(workspace: Workspace) -> list[str]:
    """The encoder, and after it that of images if it is another one."""
    about = json.loads((workspace.vectors / ABOUT).read_text(encoding="utf-8"))
    return [about[key] for key in ("encoder", "image_encoder") if key in about]


def _unread_images(workspace: Workspace) -> dict[str, int]:
    """Number of images that were not read, by reason; the list has more exact ones."""
    if not workspace.unread_images.is_file():
        return {}
    reasons = read_people_csv(workspace.unread_images, ["image", "reason"])["reason"]
    missing, outside = reasons == MISSING, reasons.str.startswith(OUTSIDE)
    counts = {MISSING: missing, OUTSIDE: outside, "damaged": ~(missing | outside)}
    return {reason: int(found.sum()) for reason, found in counts.items() if found.any()}


def _shared_images(workspace: Workspace) -> int:
    """Number of images that several items have."""
    if not workspace.shared_images.is_file():
        return 0
    return int(read_people_csv(workspace.shared_images, ["image"])["image"].nunique())


def _agreement(
    workspace: Workspace, settings: BuildSettings, assignments: pd.DataFrame
) -> dict[str, Any] | None:
    """How far the tree agrees with the published labels, where they are not the tree itself."""
    hierarchy = settings.hierarchy
    labels = load(workspace.folder, "labels")
    if hierarchy.published or settings.clusters or not (labels["origin"] == "published").any():
        return None
    level = hierarchy.compared_level
    found = published_agreement(assignments, labels, level)
    return {"level": hierarchy.levels[level], **found}


def _options(workspace: Workspace, settings: BuildSettings) -> dict[str, Any]:
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
        or workspace.table("titles").is_file(),
        "known labels as evidence": settings.known_labels is not None,
        "image evidence": settings.images is not None,
        "own vocabulary": settings.vocabulary is not None,
        "vocabulary-free, level-2 nodes": settings.clusters or "no",
    }


SHOW = Stage(
    name="show",
    does="Drawing page, picture and card",
    version=10,
    reads=lambda workspace, settings: [
        *(workspace.table(name) for name in ("items", "labels", "nodes", "assignments")),
        *(workspace.table(name) for name in ("proposals", "vocabulary", "doubts", "audit")),
        workspace.table("label_issues"),
        workspace.table("image_issues"),
        workspace.settled,
        workspace.unread_images,
        workspace.shared_images,
        workspace.validation,
        workspace.vectors / ABOUT,
        workspace.vectors / IMAGES,  # other images, other pictures of examples
        *(file.path for file in input_files(settings)),
    ],
    writes=lambda workspace, _: [
        workspace.page,
        workspace.picture,
        workspace.card,
        workspace.numbers,
    ],
    settings=("images", "clusters"),
    run=_show,
    records=_record,
)
