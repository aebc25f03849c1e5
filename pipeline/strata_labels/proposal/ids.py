"""Lasting ids of nodes."""

from __future__ import annotations

import re

from strata_labels.proposal.lexicon import fold, words


def slug(name: str) -> str:
    """A name as part of a node id.

    Example:
        >>> slug("castle / fort")
        'castle-fort'
    """
    return "-".join(fold(word) for word in words(name)) or "node"


def node_id(level: int, name: str) -> str:
    """Id of a vocabulary node or, at level 1, of a class by its knowledge-base id.

    Example:
        >>> node_id(2, "castle / fort"), node_id(1, "Q16970")
        ('2/castle-fort', '1/Q16970')
    """
    return f"{level}/{name if re.fullmatch('Q[0-9]+', name) else slug(name)}"
