"""Strata's library: label trees for image retrieval, from sources to export.

Imports run downwards only; nothing here imports Prefect. `tests/test_architecture.py`
lists which room may use which.
"""

#: The one place of the version: package metadata, `strata --version` and CITATION.cff follow it.
__version__ = "0.2.0.dev0"
