"""Checking every input of a build before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from strata_labels.build.assets import ledgers, vocabulary_in_force
from strata_labels.build.found_nodes import check_clusters
from strata_labels.build.given_vectors import given_vectors
from strata_labels.build.items import read_metadata
from strata_labels.build.propose import curated_nodes
from strata_labels.build.published import published_part
from strata_labels.build.settings import BuildSettings
from strata_labels.embedding import image_files, load_encoder
from strata_labels.errors import InputError, Problem
from strata_labels.export import check_formats
from strata_labels.review import check_before_build, read_ledger
from strata_labels.sources import Metadata
from strata_labels.tree import LabelTree


def _check_decisions(
    decisions: pd.DataFrame, items: pd.DataFrame, nodes: pd.DataFrame, settings: BuildSettings
) -> None:
    """Checks the ledger against items and nodes, as far as they are known before a build."""
    hierarchy = settings.hierarchy
    if hierarchy.found or not hierarchy.published:
        # What only the images or the snapshot can tell is checked once they have been read.
        named = pd.concat([decisions["subject"], decisions["target"]])
        later = sorted(set(named[named.str.fullmatch(r"1/.+")]) - set(nodes["node_id"]))
        rows = {"node_id": later, "level": 1, "name": later, "parent_id": None, "qid": None}
        nodes = pd.concat([nodes, pd.DataFrame(rows)], ignore_index=True)
    complete = not (hierarchy.found or settings.entities or settings.contact)
    check_before_build(decisions, items["item_id"], LabelTree.from_nodes(nodes), complete)


def check_inputs(settings: BuildSettings, metadata: Metadata | None = None) -> Metadata:
    """Reads what a person gave a build and collects all that is wrong with it.

    Args:
        settings: the build.
        metadata: the items and labels, where they are known; else they are read.

    Returns:
        The items and labels that were read.

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
    if metadata is None:
        metadata = attempt(lambda: read_metadata(settings))
    ledger = attempt(lambda: read_ledger(*ledgers(settings)))
    nodes = None
    problems += check_clusters(settings)
    if hierarchy.published:
        problems += _unused(settings)
        if metadata is not None and ledger is not None:
            items, labels = metadata.items, metadata.labels
            part = attempt(lambda: published_part(settings, items, labels, ledger.decisions))
            nodes = part[1] if part else None
            problems += _no_image(settings, metadata.items)
    else:
        vocabulary = attempt(lambda: vocabulary_in_force(settings))
        nodes = (
            attempt(lambda: curated_nodes(settings, vocabulary, ledger))
            if vocabulary and ledger
            else None
        )
    if settings.encoder and settings.needs_encoder:
        encoder = attempt(lambda: load_encoder(settings.encoder))
        if encoder is not None and not encoder.has_text:
            problems += _no_names(settings, metadata)
    if settings.image_encoder:
        attempt(lambda: load_encoder(str(settings.image_encoder)))
        if settings.vectors:
            what, fix = "not used where --vectors is given:", "Give one of the two."
            problems.append(Problem("--image-encoder", what, fix, value=settings.image_encoder))
    if (vectors := settings.vectors) and metadata is not None:
        attempt(lambda: given_vectors(vectors, metadata.items))
    if not (nodes is None or metadata is None or settings.clusters):
        items = metadata.items
        if len(ledger.decisions):
            attempt(lambda: _check_decisions(ledger.decisions, items, nodes, settings))
    for option, path in (("--entities", settings.entities), ("--images", settings.images)):
        if path and not path.exists():
            problems.append(Problem(option, "not found:", "Check the path.", value=path))
    attempt(lambda: check_formats(dict.fromkeys(hierarchy.formats), len(hierarchy.levels)))
    if problems or metadata is None:
        raise InputError(problems)
    return metadata


def _unused(settings: BuildSettings) -> list[Problem]:
    """Options that do not apply to a tree of published labels."""
    given = {
        "--vocabulary": settings.vocabulary,
    }
    what, fix = f"the labels of {settings.hierarchy.title} are published:", "Leave it out."
    return [Problem(opt, what, fix, value=value) for opt, value in given.items() if value]


def _no_names(settings: BuildSettings, metadata: Metadata | None) -> list[Problem]:
    """An encoder of images alone is of use only where names need none, and there are images."""
    what, option = "encodes images alone, no names:", f"--image-encoder {settings.encoder}"
    if not settings.hierarchy.published:
        fix = f"The names of {settings.hierarchy.title} need another --encoder; give {option}."
    elif metadata is not None and not metadata.items["image_ids"].map(len).any():
        fix = "No item has an image: take another encoder."
    else:
        return []
    return [Problem("--encoder", what, fix, value=settings.encoder)]


def _no_image(settings: BuildSettings, items: pd.DataFrame) -> list[Problem]:
    """A level can be found among images only where there are some, and an encoder for them."""
    root = settings.image_root
    if not settings.hierarchy.found or settings.vectors or root is None:
        return []
    if not settings.encoder_of_images:
        what = f"the level {settings.hierarchy.found!r} is found among vectors of images"
        return [Problem("--encoder", what, "Give an encoder, or choose other --levels.")]
    if any(image_files(root, images, 1) for images in items["image_ids"]):
        return []
    what = f"no image file for the level {settings.hierarchy.found!r} below"
    fix = "Unpack the images there, give --images, or choose other --levels."
    return [Problem("--images", what, fix, value=str(root))]
