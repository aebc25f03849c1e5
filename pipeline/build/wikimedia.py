"""What the response store and, where somebody says who asks, Wikimedia know of the categories."""

from __future__ import annotations

_SHOWN = 10
