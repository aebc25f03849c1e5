"""Gives long texts to every regular expression and to all that reads names.

    python -m tests.long_texts

Where two parts of an expression match the same text, the time grows with the square of the length,
and one text takes minutes.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import strata_labels
from strata_labels.errors import InputError

SIZE = 300_000
#: Processor seconds for one text; none takes a tenth of them.
LIMIT = 2.0
PIECES = [
    "a", " ", "\t", "0", "Q1", "_", "'", '"', "(", "()", ")(", "{", "{{a|", "{{ ", "}", "<", "<!--",
    "<nowiki>", "<http://a/entity/Q1", "<a> <b> ", "[", "%25", "%", "\\", "&#39;", "&", ".", "..",
    ".general", ",", "a ", "a.", "a-", "- ", "1 ", "1,", "x (y) ", "category:", ": ", "=", "|", "/",
    "é", "中", "|", "''",
]  # fmt: skip
# A text that fails at its end only shows what trying again costs.
ENDS = ["", ")!x"]


def texts(size: int) -> Iterator[str]:
    for piece in PIECES:
        for end in ENDS:
            yield piece * (size // len(piece)) + end


def patterns() -> dict[str, re.Pattern[Any]]:
    """Every expression that a module of the library keeps."""
    found: dict[str, re.Pattern[Any]] = {}
    for module in pkgutil.walk_packages(strata_labels.__path__, "strata_labels."):
        if not module.name.endswith("__main__"):
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, re.Pattern):
                    found.setdefault(value.pattern, value)
    return found


def readers(folder: Path) -> dict[str, Callable[[str], Any]]:
    """What reads names, titles, cells and wikitext; a table is written to the folder first."""
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


def try_all(size: int, folder: Path) -> str:
    """Gives texts of so many characters to all of them; says what was tried.

    Raises:
        AssertionError: one took longer than LIMIT.
    """
    found, known = patterns(), readers(folder)
    for text in texts(size):
        raw = text.encode()
        for pattern in found.values():
            given = raw if isinstance(pattern.pattern, bytes) else text
            with _limited(f"{pattern.pattern!r} on {text[:20]!r}"):
                pattern.match(given)
                pattern.fullmatch(given)
        for name, read in known.items():
            with _limited(f"{name} on {text[:20]!r}"), suppress(ValueError, InputError):  # refused
                read(text)
    return f"{len(found)} expressions, {len(known)} readers, {len(PIECES) * len(ENDS)} texts"


@contextmanager
def _limited(what: str) -> Iterator[None]:
    start = time.thread_time()  # other threads of a test's process may work
    yield
    took = time.thread_time() - start
    assert took < LIMIT, f"{what} took {took:.1f} s"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        print(try_all(SIZE, Path(place)))
