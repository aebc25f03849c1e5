"""Strata's library: label trees for image retrieval, from sources to export.

Imports run downwards only; nothing here imports Prefect. `tests/test_architecture.py`
lists which room may use which.
"""
