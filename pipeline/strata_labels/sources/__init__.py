"""Data sets: fetching their metadata, and reading it as items and published labels."""

from strata_labels.sources import gldv2, inat2018, sop, table
from strata_labels.sources.commons_thumbnails import THUMBNAIL_SERVER, thumbnail_addresses
from strata_labels.sources.contract import Metadata, Source, shared_images
from strata_labels.sources.drawn import draw_products
from strata_labels.sources.fetch import fetch_metadata, plan_fetch
from strata_labels.sources.image_archives import (
    AbsentArchiveError,
    DamagedArchiveError,
    ImageArchive,
    archive_sizes,
    fetch_archive,
    find_archives,
    read_members,
    reference_of,
)
from strata_labels.sources.image_folder import picture_paths
from strata_labels.sources.known_labels import known_levels
from strata_labels.sources.label_text import is_placeholder, spelled_alike
from strata_labels.sources.published_tree import label_node, published_tree
from strata_labels.sources.table import is_image_folder

# By the `source` of a tree's hierarchy.toml.
SOURCES: dict[str, Source] = {
    "gldv2": gldv2,
    "inat2018": inat2018,
    "sop": sop,
    "table": table,
}

__all__ = [
    "SOURCES",
    "THUMBNAIL_SERVER",
    "AbsentArchiveError",
    "DamagedArchiveError",
    "ImageArchive",
    "Metadata",
    "Source",
    "archive_sizes",
    "draw_products",
    "fetch_archive",
    "fetch_metadata",
    "find_archives",
    "is_image_folder",
    "is_placeholder",
    "known_levels",
    "label_node",
    "picture_paths",
    "plan_fetch",
    "published_tree",
    "read_members",
    "reference_of",
    "shared_images",
    "spelled_alike",
    "thumbnail_addresses",
]
