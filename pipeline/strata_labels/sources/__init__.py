"""Data sets: fetching and reading their metadata as items, images and published labels."""

from strata_labels.sources import gldv2, inat2018, sop, table
from strata_labels.sources.contract import Labels, Metadata, Source
from strata_labels.sources.download import Fetched, download_all
from strata_labels.sources.drawn import draw_products
from strata_labels.sources.landmarks import item_id, read_landmarks
from strata_labels.sources.names import CommonsName, address_of, parse_address, split_title
from strata_labels.sources.published import Published, published_tree

# By the `source` of a tree's hierarchy.toml.
SOURCES: dict[str, Source] = {
    "gldv2": gldv2,
    "inat2018": inat2018,
    "sop": sop,
    "table": table,
}

__all__ = [
    "SOURCES",
    "CommonsName",
    "Fetched",
    "Labels",
    "Metadata",
    "Published",
    "Source",
    "address_of",
    "download_all",
    "draw_products",
    "item_id",
    "parse_address",
    "published_tree",
    "read_landmarks",
    "split_title",
]
