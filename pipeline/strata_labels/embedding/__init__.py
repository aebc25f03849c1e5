"""Text and image vectors of open_clip and timm, with a store so that nothing is encoded twice.

Importing this room imports neither torch nor open_clip; `load_encoder` does not either, until
something has to be encoded.
"""

from strata_labels.embedding.encoder import Encoder, load_encoder
from strata_labels.embedding.encoder_spec import encoder_files, encoder_names
from strata_labels.embedding.picture_groups import PictureGroups, picture_groups
from strata_labels.embedding.timm_network import timm_network
from strata_labels.embedding.vector_store import VectorStore
from strata_labels.embedding.vectors import (
    LEAST_IMAGES,
    ItemImages,
    alike,
    embed_images,
    image_files,
    image_vectors,
    prompt_vectors,
)
from strata_labels.embedding.weights import UnreachableWeightsError, check_weights

__all__ = [
    "LEAST_IMAGES",
    "Encoder",
    "ItemImages",
    "PictureGroups",
    "UnreachableWeightsError",
    "VectorStore",
    "alike",
    "check_weights",
    "embed_images",
    "encoder_files",
    "encoder_names",
    "image_files",
    "image_vectors",
    "load_encoder",
    "picture_groups",
    "prompt_vectors",
    "timm_network",
]
