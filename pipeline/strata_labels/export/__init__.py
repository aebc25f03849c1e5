"""Exports: the tree in the files that the field's loaders open, one module per format.

A name is imported when it is used first: the names of the formats need no exporter.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from strata_labels.export.format_names import FORMAT_NAMES

if TYPE_CHECKING:
    from strata_labels.export.corrections import (
        Corrections,
        find_corrections,
        write_corrections,
    )
    from strata_labels.export.export_input import About
    from strata_labels.export.export_result import ExportResult
    from strata_labels.export.formats import PUBLICATIONS, check_formats, export

_HOME = {
    "About": "export_input",
    "Corrections": "corrections",
    "ExportResult": "export_result",
    "PUBLICATIONS": "formats",
    "check_formats": "formats",
    "export": "formats",
    "find_corrections": "corrections",
    "write_corrections": "corrections",
}

__all__ = [
    "FORMAT_NAMES",
    "PUBLICATIONS",
    "About",
    "Corrections",
    "ExportResult",
    "check_formats",
    "export",
    "find_corrections",
    "write_corrections",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
