"""A workspace as version 0.1.0 left it, with decisions of every kind."""

from __future__ import annotations

import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def unpack(folder: Path) -> Path:
    """Unpacks `metadata`, `entities.jsonl` and `workspace` into a folder; returns the workspace."""
    with zipfile.ZipFile(ROOT / "tests/recorded/version-0.1.0.zip") as recorded:
        recorded.extractall(folder)
    record = folder / "workspace/run.json"
    text = record.read_text(encoding="utf-8")
    text = text.replace("/recorded/", f"{folder}/").replace("/installed/", f"{ROOT}/")
    record.write_text(text, encoding="utf-8")
    return folder / "workspace"
