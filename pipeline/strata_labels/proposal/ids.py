"""Lasting ids of nodes, and fingerprints of the evidence a person saw."""

from __future__ import annotations

import hashlib
import re

import numpy as np

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


def evidence_hash(*parts: object) -> str:
    """Fingerprint of a subject's own direct evidence, first 16 hex digits of SHA-256.

    Model output stays out of it: a decision goes stale when what was seen of the subject changes,
    not when other decisions are learnt.
    """
    text = "\x1f".join(
        "\x1e".join(map(str, part)) if isinstance(part, (list, tuple, np.ndarray)) else str(part)
        for part in parts
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]
