"""Normalises titles of Commons categories as MediaWiki does."""

from __future__ import annotations

import re
import unicodedata

PREFIX = "Category:"
_ILLEGAL = re.compile("[#<>\\[\\]|{}\\x00-\\x1f\\x7f\ufffd]|~{3}|%[0-9A-Fa-f]{2}")
_LONGEST_TITLE = 255  # bytes of UTF-8, without the prefix


def page_title(title: str) -> str:
    """A category's full title as the wiki writes it, from one with or without prefix.

    Example:
        >>> page_title("notre-Dame_de_Paris ")
        'Category:Notre-Dame de Paris'
    """
    text = " ".join(unicodedata.normalize("NFC", title).replace("_", " ").split())
    if text[: len(PREFIX)].casefold() == PREFIX.casefold():
        text = text[len(PREFIX) :].strip()
    # Where a capital is two letters (ß), MediaWiki leaves the letter as it is.
    first = text[:1].upper() if len(text[:1].upper()) == 1 else text[:1]
    return PREFIX + first + text[1:]


def is_askable(title: str) -> bool:
    """Whether a full title can be one; another could spoil the whole batch it is asked in."""
    name = title.removeprefix(PREFIX)
    return bool(name) and not _ILLEGAL.search(name) and len(name.encode()) <= _LONGEST_TITLE


def clean_title(title: str) -> str:
    """A category's title without its prefix.

    Example:
        >>> clean_title("Category:notre-Dame_de_Paris ")
        'Notre-Dame de Paris'
    """
    return page_title(title).removeprefix(PREFIX)
