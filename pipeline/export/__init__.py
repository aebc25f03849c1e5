"""Exports: the tree in the files that the field's loaders open, one module per format."""

from pipeline.export.formats import FORMATS, Export, check, export

__all__ = ["FORMATS", "Export", "check", "export"]
