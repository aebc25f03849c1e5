"""Exports: the tree in the files that the field's loaders open, one module per format."""

from pipeline.export.formats import FORMATS, check, check_formats, export
from pipeline.export.material import About
from pipeline.export.report import Export

__all__ = ["FORMATS", "About", "Export", "check", "check_formats", "export"]
