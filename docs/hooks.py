"""Adds pages that lie outside of docs/ to the site, and points links between them there."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
#: Where a file of the repository is in the site.
OUTSIDE = {
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    **{
        f"{folder}/{path.name}": f"{place}{path.name}"
        for folder, place, pattern in (
            ("benchmarks", "", "*.png"),
            ("benchmarks", "", "*.csv"),
            ("benchmarks", "", "*.txt"),
            ("data_cards", "cards/", "*"),
        )
        for path in sorted((ROOT / folder).glob(pattern))
    },
}
_INSIDE = {place: source for source, place in OUTSIDE.items()}
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files of `OUTSIDE`."""
    for source, place in OUTSIDE.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links of the repository become links of the site."""
    place = page.file.src_uri
    here = posixpath.dirname(_INSIDE.get(place, f"docs/{place}"))

    def moved(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(here, link[1]))
        inside = OUTSIDE.get(target, target.removeprefix("docs/"))
        return posixpath.relpath(inside, posixpath.dirname(place) or ".")

    return _LINK.sub(moved, markdown)
