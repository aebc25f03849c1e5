"""Gives texts of 300,000 characters to every regular expression and to all that reads names.

    python -m tests.long_texts

Run by a test under a time limit: where two parts of an expression match the same text, the time
grows with the square of the length, and this does not end.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import strata_labels
from strata_labels.errors import InputError

SIZE = 300_000
PIECES = [
    "a", " ", "\t", "0", "Q1", "_", "'", '"', "(", "()", ")(", "{", "{{a|", "{{ ", "}", "<", "<!--",
    "<nowiki>", "<http://a/entity/Q1", "<a> <b> ", "[", "%25", "%", "\\", "&#39;", "&", ".", "..",
    ".general", ",", "a ", "a.", "a-", "- ", "1 ", "1,", "x (y) ", "category:", ": ", "=", "|", "/",
    "é", "中", "|", "''",
]  # fmt: skip
# A text that fails at its end only shows what trying again costs.
ENDS = ["", ")!x"]


def texts() -> Iterator[str]:
    for piece in PIECES:
        for end in ENDS:
            yield piece * (SIZE // len(piece)) + end


def patterns() -> dict[str, re.Pattern[Any]]:
    """Every expression that a module of the library keeps."""
    found: dict[str, re.Pattern[Any]] = {}
    for module in pkgutil.walk_packages(strata_labels.__path__, "strata_labels."):
        if not module.name.endswith("__main__"):
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, re.Pattern):
                    found.setdefault(value.pattern, value)
    return found


def readers() -> dict[str, Callable[[str], Any]]:
    """What reads names, titles, cells and wikitext."""
    from strata_labels.export.export_input import safe_name
    from strata_labels.knowledge.titles import is_askable, page_title
    from strata_labels.knowledge.wikimedia.category_pages import soft_target
    from strata_labels.people_csv import clean_cell, neutralise, read_header, read_integer, restore
    from strata_labels.proposal.ids import slug
    from strata_labels.proposal.lexicon import words
    from strata_labels.review.carry_over import _name, _parent, _readable
    from strata_labels.review.decisions import _slug
    from strata_labels.show.card import escape_markdown
    from strata_labels.sources.commons import parse_address, split_title
    from strata_labels.sources.label_text import is_placeholder, spelled_alike
    from strata_labels.tree import name_key

    folder = Path(tempfile.mkdtemp())

    def header(text: str) -> None:
        (folder / "t.csv").write_text(text, encoding="utf-8")
        read_header(folder / "t.csv")

    known = (
        clean_cell, escape_markdown, name_key, header, is_askable, is_placeholder, neutralise,
        page_title, read_integer, restore, safe_name, slug, soft_target, split_title, words,
        _name, _parent, _readable, _slug,
    )  # fmt: skip
    return {
        **{read.__name__: read for read in known},
        "spelled_alike": lambda text: spelled_alike([text, text + " "]),
        "parse_address": lambda text: parse_address(f"Category:{text}"),
    }


def said(what: str) -> None:
    """Prints what is tried where it takes long, for whoever waits."""
    global _LAST
    now = time.monotonic()
    if now - _LAST[0] > 2:
        print(f"{now - _LAST[0]:.0f} s: {_LAST[1]}", file=sys.stderr, flush=True)
    _LAST = (now, what)


_LAST: tuple[float, str] = (time.monotonic(), "imports")


def main() -> None:
    """Prints what was tried."""
    found, known = patterns(), readers()
    for text in texts():
        raw = text.encode()
        for pattern in found.values():
            given = raw if isinstance(pattern.pattern, bytes) else text
            said(f"{pattern.pattern!r} on {text[:20]!r}")
            pattern.match(given)
            pattern.fullmatch(given)
        for name, read in known.items():
            said(f"{name} on {text[:20]!r}")
            with suppress(ValueError, InputError):  # refused
                read(text)
    print(f"{len(found)} expressions, {len(known)} readers, {len(PIECES) * len(ENDS)} texts")


if __name__ == "__main__":
    sys.exit(main())
