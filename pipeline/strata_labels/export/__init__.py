"""Exports: the tree in the files that the field's loaders open, one module per format."""

from strata_labels.export.corrections import (
    Corrections,
    find_corrections,
    write_corrections,
)
from strata_labels.export.export_input import About
from strata_labels.export.export_result import ExportResult
from strata_labels.export.formats import FORMATS, PUBLICATIONS, check_formats, export

__all__ = [
    "FORMATS",
    "PUBLICATIONS",
    "About",
    "Corrections",
    "ExportResult",
    "check_formats",
    "export",
    "find_corrections",
    "write_corrections",
]
