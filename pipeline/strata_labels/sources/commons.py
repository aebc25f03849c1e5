"""Addresses of Wikimedia Commons categories, read into titles, names and qualifiers."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from html import unescape
from urllib.parse import parse_qs, quote, unquote_to_bytes, urlsplit

_HOSTS = frozenset({"commons.wikimedia.org", "commons.m.wikimedia.org", "m.commons.wikimedia.org"})
_PREFIX = re.compile(r"\s*category\s*:\s*(.*)", re.IGNORECASE | re.DOTALL)
# What a program that writes HTML has made of a title's marks.
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|amp|quot|apos|lt|gt);")
_QUERY = re.compile(r"[A-Za-z_]+=")
_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
# The form GLDv2 publishes, read without taking it apart: there are 300,000 of them.
_USUAL = re.compile("https?://commons\\.wikimedia\\.org/wiki/([^?#]*)")
# Bytes of a title, at most, and letters of one whose escapes are written twice.
_LONGEST, _LONGEST_PAGE = 255, 255 * 9
# What MediaWiki allows in no title (manual, $wgLegalTitleChars), and what it takes out of all.
_ILLEGAL = re.compile("[#<>\\[\\]|{}\\x00-\\x1f\\x7f\ufffd]")
_MARKS = dict.fromkeys([*range(0x200E, 0x2010), *range(0x202A, 0x202F)])

_CLOSED_BY = {")": "(", "）": "（"}
# A tail behind a comma that belongs to the name: a house number, an abbreviation (Jr., D.C.).
_NUMBER = re.compile(r"\d")
_ABBREVIATION = re.compile(r"(\w{1,2}\.)+")
_LONG_TAIL = 5


@dataclass(frozen=True)
class CommonsName:
    """A Commons category.

    Attributes:
        title: the page's title without `Category:`, with spaces, NFC.
        name: the title without its trailing qualifier; never blank.
        qualifier: what stood behind the name, without brackets or comma ("Nice", "ship, 1627");
            may be blank.
    """

    title: str
    name: str
    qualifier: str


def parse_address(address: str) -> CommonsName:
    """Reads the address of a Commons category, as browsers, spreadsheets and data sets write it.

    Accepts http, https, no scheme, the mobile host, `/wiki/Category:...`,
    `index.php?title=Category:...` and a bare `Category:...`; queries and fragments are left out.

    Returns:
        The category.

    Raises:
        ValueError: not a Commons category; the message says why.

    Example:
        >>> parse_address("http://commons.wikimedia.org/wiki/Category:Villa_Mass%C3%A9na_(Nice)")
        CommonsName(title='Villa Masséna (Nice)', name='Villa Masséna', qualifier='Nice')
    """
    if "&" in address:
        address = _ENTITY.sub(lambda found: unescape(found[0]), address)
    title = _title(_page(address.strip()))
    name, qualifier = split_title(title)
    return CommonsName(title, name, qualifier)


def split_title(title: str) -> tuple[str, str]:
    """Splits a category's title into name and trailing qualifier.

    Brackets at the end and what follows a comma are qualifiers; a comma is left alone where the
    rest is a part of the name: an enumeration with `&`, a house number, an abbreviation, a tail
    behind brackets, a tail much longer than its head, a title whose brackets already name the
    place in full. Of 544 titles with a comma in a sample of GLDv2, 6 are still cut where a
    reader would not ("Gelida, Ca la Sara"); nothing is lost, since the qualifier is kept.

    Returns:
        `(name, qualifier)`; the parts of a qualifier are joined by commas in their order.

    Example:
        >>> split_title("Plaza Mayor, Trinidad, Cuba")
        ('Plaza Mayor', 'Trinidad, Cuba')
        >>> split_title("Our Lady, Queen of Heaven Church (Oreana, Idaho)")
        ('Our Lady, Queen of Heaven Church', 'Oreana, Idaho')
    """
    name = title.strip()
    if len(name) > _LONGEST:
        return name, ""
    qualifiers: list[str] = []
    while (opened := _last_bracket(name)) is not None and name[:opened].strip(" ,"):
        qualifiers.insert(0, name[opened + 1 : -1].strip())
        name = name[:opened].strip()
    if not any("," in qualifier for qualifier in qualifiers):
        head, comma, tail = name.partition(", ")
        if comma and not _belongs(head.strip(), tail.strip()):
            name = head.strip()
            qualifiers.insert(0, tail.strip())
    return name, ", ".join(qualifier for qualifier in qualifiers if qualifier)


def _last_bracket(text: str) -> int | None:
    """Where the bracket opens that `text` ends with, if it is balanced."""
    if not text or text[-1] not in _CLOSED_BY:
        return None
    closing, opening = text[-1], _CLOSED_BY[text[-1]]
    depth = 0
    for at in range(len(text) - 1, -1, -1):
        depth += (text[at] == closing) - (text[at] == opening)
        if depth == 0:
            return at
    return None


def _belongs(head: str, tail: str) -> bool:
    """Whether what follows a comma is a part of the name."""
    words = len(tail.split())
    return (
        not head
        or not tail
        or head[-1] in _CLOSED_BY
        or "&" in tail
        or _NUMBER.match(tail) is not None
        or _ABBREVIATION.fullmatch(tail) is not None
        or (words >= _LONG_TAIL and words > len(head.split()))
    )


def _page(address: str) -> str:
    """The page's title in an address, still with its prefix and escapes."""
    if usual := _USUAL.fullmatch(address):
        return usual[1]
    if _PREFIX.match(address):
        # Bare titles have no query, but `#` is in no title.
        return address.partition("#")[0]
    try:
        parts = urlsplit(address if "//" in address else f"//{address}")
    except ValueError as error:
        raise ValueError(f"not an address ({error})") from None
    if parts.scheme not in ("", "http", "https") or parts.hostname not in _HOSTS:
        raise ValueError("not an address on commons.wikimedia.org")
    if parts.path.endswith("/index.php"):
        titles = parse_qs(parts.query).get("title", [""])
        return quote(titles[0])
    folder, _, page = parts.path.removeprefix("/").partition("/")
    # A question mark of the title may stand in the address as it is.
    query = address.partition("#")[0].partition("?")[1:]
    if query[0] and not _QUERY.match(query[1]):
        page += "".join(query)
    if folder != "wiki":
        raise ValueError("not the address of a page (/wiki/...)")
    return page


def _title(page: str) -> str:
    text = page
    if len(page) > _LONGEST_PAGE:
        raise ValueError(f"no title is longer than {_LONGEST} bytes")
    # A title holds no escape (MediaWiki refuses them), so one that is left was written twice.
    while _ESCAPE.search(text):
        try:
            text = unquote_to_bytes(text).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"its percent escapes are not UTF-8 ({error.reason})") from None
    prefix = _PREFIX.fullmatch(text.replace("_", " "))
    if prefix is None:
        raise ValueError("the page is no category")
    title = prefix[1]
    if not title.isascii():
        title = unicodedata.normalize("NFC", title.translate(_MARKS))
    title = " ".join(title.split())
    if not title:
        raise ValueError("the category has no name")
    if len(title.encode()) > _LONGEST:
        raise ValueError(f"no title is longer than {_LONGEST} bytes")
    if illegal := _ILLEGAL.search(title):
        raise ValueError(f"no title may hold {illegal[0]!r}")
    # MediaWiki writes first letters in title case, where that is one letter.
    first = title[0].title()
    return (first if len(first) == 1 else title[0]) + title[1:]
