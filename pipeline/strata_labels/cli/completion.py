"""The names that the shell completes: trees, data sets, formats, recipes, encoders.

Each function gives the names that begin as what was typed; what it needs is imported when the
shell asks.
"""

from __future__ import annotations


def complete_trees(incomplete: str) -> list[str]:
    """Shipped trees."""
    from strata_labels.hierarchy import known_trees

    return [name for name in known_trees() if name.startswith(incomplete)]


def complete_sources(incomplete: str) -> list[str]:
    """Data sets that can be fetched."""
    from strata_labels.sources import SOURCES

    names = sorted(name for name, source in SOURCES.items() if source.DOWNLOADS)
    return [name for name in names if name.startswith(incomplete)]


def complete_formats(incomplete: str) -> list[str]:
    """Export formats."""
    from strata_labels.export import FORMAT_NAMES

    return [name for name in FORMAT_NAMES if name.startswith(incomplete)]


def complete_recipes(incomplete: str) -> list[str]:
    """Shipped recipes of training."""
    from strata_labels.training import recipe_names

    return [name for name in recipe_names() if name.startswith(incomplete)]
