"""Reads README and docs: their pages, the commands in them, and the files that they have saved."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README, START = ROOT / "README.md", ROOT / "docs" / "index.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]

#: What a command line begins with. Other indented blocks show files or settings of other programs.
PROGRAMS = ("strata", "make", "pip", "python", "prefect", "torchrun", "source")
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    """The command lines of a page's indented blocks, in order, without comments."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    lines = [
        line.strip().split("  #")[0].strip() for line in text.splitlines() if line[:4] == "    "
    ]
    return [line for line in lines if line.split(maxsplit=1)[:1] and line.split()[0] in PROGRAMS]


def files(page: Path) -> dict[str, str]:
    """The files that a page tells its reader to save, by name."""
    return dict(_FILE.findall(page.read_text(encoding="utf-8")))
