"""Recordings of the published code: `STRATA_REFERENCE`, or the folder in the shared data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_SHARED = Path(os.environ.get("STRATA_SHARED", Path(__file__).resolve().parents[2] / "shared"))
_FOLDER = Path(os.environ.get("STRATA_REFERENCE", _SHARED / "data" / "reference"))


def for_each_recording(kind: str) -> pytest.MarkDecorator:
    """Calls a test with `path` for each recording `KIND_*.npz`; skips it where there is none."""
    paths: list = sorted(_FOLDER.glob(f"{kind}_*.npz"))
    none = pytest.param(None, marks=pytest.mark.skip(reason=f"no {kind}_*.npz in {_FOLDER}"))
    return pytest.mark.parametrize("path", paths or [none], ids=lambda path: path and path.stem)
