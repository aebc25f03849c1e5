"""The stage that turns names, nodes and pictures into vectors."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from strata_labels.build.assets import descriptions, found_names
from strata_labels.build.given_vectors import given_vectors
from strata_labels.build.image_archives import ImageIndex, wanted_images
from strata_labels.build.settings import BuildSettings
from strata_labels.build.stage import Counts, Stage
from strata_labels.build.workspace import Workspace
from strata_labels.embedding import (
    Encoder,
    ItemImages,
    VectorStore,
    encoder_files,
    image_files,
    image_vectors,
    load_encoder,
    prompt_vectors,
)
from strata_labels.files import sha256_of, whole, write_json
from strata_labels.people_csv import write_list
from strata_labels.pictures import why_no_picture
from strata_labels.proposal import read_vocabulary, with_descriptions
from strata_labels.tables import load, own_ids

NAMES, PHRASES, NODES, IMAGES = "names.npy", "phrases.npy", "nodes.npy", "images.npy"
#: The node of each phrase, as an index of the vocabulary's nodes.
PHRASE_NODES = "phrase_nodes.npy"
#: Image vectors to compare with `nodes.npy`, where `images.npy` is of another encoder.
IMAGES_FOR_NAMES = "images_for_names.npy"
ABOUT = "about.json"
_FILES = (NAMES, PHRASES, PHRASE_NODES, NODES, IMAGES, IMAGES_FOR_NAMES)
# What `--vectors` gives.
VECTORS, VECTOR_ITEMS = "vectors.npy", "items.parquet"
_IN_NONE = "in no archive that was read"

# Prompts for the nodes of a tree that names none.
CLASS_TEMPLATES = ("A picture of a {}",)


def _embed(workspace: Workspace, settings: BuildSettings) -> Counts:
    hierarchy = settings.hierarchy
    about: dict[str, Any] = {"encoder": "none", "aligned": False, "logit_scale": None}
    counts: Counts = {}
    for name in _FILES:
        (workspace.vectors / name).unlink(missing_ok=True)
    workspace.unread_images.unlink(missing_ok=True)
    index = ImageIndex(workspace.archive_indexes)
    with_images = not settings.vectors and bool(settings.image_root or index.keys)
    store = VectorStore(workspace.vector_store)
    encoder = None
    if settings.encoder and (settings.needs_encoder or with_images):
        encoder = load_encoder(settings.encoder)
        about |= {"encoder": encoder.id, "aligned": encoder.aligned}
        if settings.embeds_given_names and encoder.has_text:
            counts |= _embed_given_names(workspace, settings, store, encoder)
        if not hierarchy.published:
            counts |= _embed_names(workspace, settings, store, encoder)
        elif encoder.aligned:
            names = _names_of_nodes(workspace, settings)
            if names:
                templates = hierarchy.class_templates or CLASS_TEMPLATES
                _save(workspace.vectors / NODES, prompt_vectors(store, encoder, names, templates))
    if with_images:
        other = load_encoder(settings.image_encoder) if settings.image_encoder else None
        if other is not None:
            about["image_encoder"] = other.id
        if encoder is not None and encoder.aligned:
            about["logit_scale"] = encoder.logit_scale
            file = IMAGES_FOR_NAMES if other else IMAGES
            counts |= _embed_images(workspace, settings, store, encoder, index, file)
        if images := other or (None if encoder is None or encoder.aligned else encoder):
            counts |= _embed_images(workspace, settings, store, images, index, IMAGES)
    if settings.vectors:
        # Of a space of their own: they cannot be compared with texts.
        about |= {"aligned": False, "vectors": sha256_of(settings.vectors / VECTORS)[:16]}
        found, own = given_vectors(settings.vectors, load(workspace.folder, "items"))
        _save(workspace.vectors / IMAGES, found)
        counts |= own
    write_json(workspace.vectors / ABOUT, about)
    return counts


def _embed_given_names(
    workspace: Workspace, settings: BuildSettings, store: VectorStore, encoder: Encoder
) -> Counts:
    """Vectors of names that are not mere ids, rows of zeros for the others; and of the labels."""
    items = load(workspace.folder, "items")
    named = items["name"].to_numpy() != np.array(own_ids(items), dtype=object)
    if not named.any():
        return {}
    templates = settings.hierarchy.name_templates or ("{}",)
    found = prompt_vectors(store, encoder, items["name"][named].tolist(), templates)
    vectors = np.zeros((len(items), found.shape[1]), dtype=found.dtype)
    vectors[named] = found
    _save(workspace.vectors / NAMES, vectors)
    if labels := label_names(load(workspace.folder, "labels")):
        _save(workspace.vectors / PHRASES, prompt_vectors(store, encoder, labels, templates))
    return {"names": int(named.sum())}


def label_names(labels: pd.DataFrame) -> list[str]:
    """The names that the table `labels` has, in the order of `nodes.npy` and `phrases.npy`."""
    return sorted(labels["node"].unique())


def _names_of_nodes(workspace: Workspace, settings: BuildSettings) -> list[str]:
    """What nodes of a tree that labels make are called, or those of a found level may be."""
    if settings.hierarchy.found:
        file = settings.hierarchy.names
        return found_names(settings)["name"].tolist() if file.is_file() else []
    return label_names(load(workspace.folder, "labels"))


def _embed_names(
    workspace: Workspace, settings: BuildSettings, store: VectorStore, encoder: Encoder
) -> Counts:
    hierarchy = settings.hierarchy
    names = load(workspace.folder, "items")["name"].tolist()
    _save(
        workspace.vectors / NAMES, prompt_vectors(store, encoder, names, hierarchy.name_templates)
    )
    vocabulary = read_vocabulary(settings.vocabulary_file, settings.hierarchy.levels)
    vocabulary = with_descriptions(vocabulary, descriptions(settings))
    phrases = prompt_vectors(store, encoder, vocabulary.phrases, hierarchy.name_templates)
    _save(workspace.vectors / PHRASES, phrases)
    _save(workspace.vectors / PHRASE_NODES, vocabulary.phrase_nodes)
    nodes = prompt_vectors(store, encoder, vocabulary.nodes, hierarchy.class_templates)
    _save(workspace.vectors / NODES, nodes)
    return {"names": len(names), "phrases": len(vocabulary.phrases)}


def _embed_images(
    workspace: Workspace,
    settings: BuildSettings,
    store: VectorStore,
    encoder: Encoder,
    index: ImageIndex,
    file: str,
) -> Counts:
    """Image vectors of the items as the file `file`, and the list of unread images."""
    items = load(workspace.folder, "items")
    root, at_most = settings.image_root, settings.images_per_landmark
    images = ItemImages(store, encoder, items["image_ids"], root, at_most, index.keys)
    found = image_vectors(images)
    missing = found.missing
    if index.keys:  # the images after an item's first ones were not looked for in archives
        wanted = wanted_images(items, at_most)
        missing = [image for image in missing if image in wanted]
    _save(workspace.vectors / file, found.vectors)
    reasons = [
        (image, index.problems.get(image) or (why_no_picture(root, image) if root else _IN_NONE))
        for image in missing
    ]
    reasons += [(str(path), why) for path, why in found.damaged.items()]
    unread = pd.DataFrame(sorted(reasons), columns=["image", "reason"])
    write_list(workspace.unread_images, unread)
    return {
        "items_with_images": int((found.num_images > 0).sum()),
        "images": int(found.num_images.sum()) + found.left_out,
        "images_left_out_as_outliers": found.left_out,
        "images_missing": len(missing),
        "images_damaged": len(found.damaged),
    }


def _save(path: Path, vectors: np.ndarray) -> None:
    with whole(path) as beside, beside.open("wb") as file:
        np.save(file, vectors)


def load_vectors(path: Path) -> np.ndarray:
    """Vectors of items `[n, d]`, float32; rows of zeros where there are none."""
    vectors: np.ndarray = np.load(path).astype(np.float32, copy=False)
    return np.nan_to_num(vectors, copy=False)


def image_name_vectors(workspace: Workspace) -> Path:
    """The image vectors that may be compared with `nodes.npy`, if the encoder is aligned."""
    other = workspace.vectors / IMAGES_FOR_NAMES
    return other if other.is_file() else workspace.vectors / IMAGES


def item_images(workspace: Workspace, settings: BuildSettings, items: pd.DataFrame) -> ItemImages:
    """The images whose vectors are in `images.npy`."""
    return ItemImages(
        VectorStore(workspace.vector_store),
        load_encoder(settings.encoder_of_images),
        items["image_ids"],
        settings.image_root,
        settings.images_per_landmark,
        ImageIndex(workspace.archive_indexes).keys,
    )


def images_there(workspace: Workspace, settings: BuildSettings) -> str:
    """Sizes and times of the items' image files: millions of images are not hashed again.

    Of images from archives, the indexes.
    """
    root, index = settings.image_root, ImageIndex(workspace.archive_indexes)
    if settings.vectors or (not root and not index.keys):
        return ""
    mark = hashlib.sha256()
    for path in index.files:
        mark.update(sha256_of(path).encode())
    for ids in load(workspace.folder, "items")["image_ids"]:
        at_most = settings.images_per_landmark
        for file in image_files(root, ids, at_most, encoded=index.keys).values():
            if isinstance(file, Path):
                state = file.stat()
                mark.update(f"{file.name} {state.st_size} {state.st_mtime_ns}\n".encode())
    return mark.hexdigest()


def _looked_at(workspace: Workspace, settings: BuildSettings) -> str:
    """The images that are there, and what people wrote of the nodes."""
    texts = {} if settings.hierarchy.published else descriptions(settings)
    there = images_there(workspace, settings)
    return f"{there} {json.dumps(texts, sort_keys=True)}" if texts else there


EMBED = Stage(
    name="embed",
    does="Encoding names and pictures",
    version=6,
    reads=lambda workspace, settings: [
        workspace.table("items"),
        workspace.table("labels"),
        settings.vocabulary_file,
        settings.hierarchy.names,
        *encoder_files(settings.encoder),
        *encoder_files(settings.image_encoder or ""),
        *(
            (settings.vectors / name for name in (VECTORS, VECTOR_ITEMS))
            if settings.vectors
            else ()
        ),
    ],
    writes=lambda workspace, _: [
        *(workspace.vectors / name for name in _FILES),
        workspace.vectors / ABOUT,
        workspace.unread_images,
    ],
    settings=("encoder", "image_encoder", "images", "images_per_landmark"),
    run=_embed,
    looks_at=_looked_at,
)
