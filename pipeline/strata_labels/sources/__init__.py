"""Data sets: fetching their metadata, and reading it as items and published labels."""

from strata_labels.sources import gldv2, inat2018, sop, table
from strata_labels.sources.contract import Metadata, Source, shared_images
from strata_labels.sources.drawn import draw_products
from strata_labels.sources.label_text import is_placeholder, spelled_alike
from strata_labels.sources.published_tree import label_node, published_tree

# By the `source` of a tree's hierarchy.toml.
SOURCES: dict[str, Source] = {
    "gldv2": gldv2,
    "inat2018": inat2018,
    "sop": sop,
    "table": table,
}

__all__ = [
    "SOURCES",
    "Metadata",
    "Source",
    "draw_products",
    "is_placeholder",
    "label_node",
    "published_tree",
    "shared_images",
    "spelled_alike",
]
