"""Exports: the tree in the files that the field's loaders open, one module per format.

A name is imported when it is used first: the names of the formats need no exporter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from strata_labels.export.format_names import FORMAT_NAMES
from strata_labels.late_imports import late_imports

if TYPE_CHECKING:
    from strata_labels.export.corrections import (
        Corrections,
        find_corrections,
        write_corrections,
    )
    from strata_labels.export.export_input import About, ExportInput
    from strata_labels.export.export_result import ExportResult
    from strata_labels.export.formats import PUBLICATIONS, check_formats, export, write_format

_HOME = {
    "About": "export_input",
    "Corrections": "corrections",
    "ExportInput": "export_input",
    "ExportResult": "export_result",
    "PUBLICATIONS": "formats",
    "check_formats": "formats",
    "export": "formats",
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
    "export",
    "find_corrections",
    "write_corrections",
    "write_format",
]


__getattr__ = late_imports(__name__, _HOME)
