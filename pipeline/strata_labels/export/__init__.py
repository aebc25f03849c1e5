"""Exports: the tree in the files that the field's loaders open, one module per format.

A name is imported when it is used first: the names of the formats need no exporter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from strata_labels.late_imports import late_imports

if TYPE_CHECKING:
    from strata_labels.export.corrections import (
        Corrections,
        find_corrections,
        write_corrections,
    )
    from strata_labels.export.export_input import About, ExportInput
    from strata_labels.export.export_result import ExportResult
    from strata_labels.export.formats import PUBLICATIONS, check_formats, write_format

_HOME = {
    "About": "export_input",
    "Corrections": "corrections",
    "ExportInput": "export_input",
    "ExportResult": "export_result",
    "PUBLICATIONS": "formats",
    "check_formats": "formats",
    "find_corrections": "corrections",
    "write_corrections": "corrections",
    "write_format": "formats",
}

__all__ = [
    "FORMAT_NAMES",
    "PUBLICATIONS",
    "About",
    "Corrections",
    "ExportInput",
    "ExportResult",
    "check_formats",
    "find_corrections",
    "write_corrections",
    "write_format",
]


__getattr__ = late_imports(__name__, _HOME)

#: What opens each format, in a few words.
FORMAT_NAMES = {
    "croissant": "Croissant readers, such as mlcroissant",
    "gldv2": "readers of the released GLDv2-H; trees of four levels",
    "huggingface": "datasets.load_dataset",
    "imagefolder": "torchvision's ImageFolder: images by split and class",
    "inat2018": "loaders of iNaturalist 2018; trees of two or seven levels",
    "json": "web pages and D3: the tree as one nested document",
    "landmarks": "pandas and spreadsheets",
    "newick": "tree viewers",
    "oml": "open-metric-learning",
    "skos": "thesaurus tools and triple stores",
    "sop": "loaders of Stanford Online Products; trees of two levels",
    "suprank": "SupRank's loader of GLDv2; trees of four levels",
}
