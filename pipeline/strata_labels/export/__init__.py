"""Exports: the tree in the files that the field's loaders open, one module per format."""

from strata_labels.export.formats import FORMATS, check, check_formats, export
from strata_labels.export.material import About
from strata_labels.export.report import Export

__all__ = ["FORMATS", "About", "Export", "check", "check_formats", "export"]
