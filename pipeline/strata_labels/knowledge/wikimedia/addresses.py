"""The operator's contact address and the addresses of the APIs, checked before any request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests

from strata_labels import __version__
from strata_labels.errors import InputError, Problem, refuse

COMMONS_API = "https://commons.wikimedia.org/w/api.php"
WIKIDATA_API = "https://www.wikidata.org/w/api.php"
_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_HOST = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+|localhost")


def check_contact(contact: str | None) -> str:
    """The operator's e-mail or web address, checked.

    Raises:
        InputError: there is none, or it is not an address.

    Example:
        >>> check_contact(" someone@institute.example ")
        'someone@institute.example'
    """
    text = (contact or "").strip()
    fix = "Give your e-mail or http(s) address: --contact ADDRESS, or STRATA_CONTACT."
    if not text:
        what = "missing; Wikimedia blocks clients that do not name a contact"
        raise InputError(Problem("--contact", what, fix))
    if text.startswith(("http://", "https://")):
        right = _is_web_address(text) and text.isascii() and not re.search(r"[\s()<>]", text)
    else:
        right = _MAIL.fullmatch(text) is not None
    if not right:
        raise InputError(Problem("--contact", "no address:", fix, value=contact))
    return text


@dataclass(frozen=True)
class Apis:
    """The addresses of the two APIs: Wikimedia's own, mirrors of them, or another Wikibase.

    Raises:
        InputError: no http(s) addresses (both listed).
    """

    commons: str = COMMONS_API
    wikidata: str = WIKIDATA_API

    def __post_init__(self) -> None:
        fix = f"Give the address of the wiki's api.php, such as {WIKIDATA_API}."
        options = {"--commons-api": self.commons, "--wikidata-api": self.wikidata}
        problems = [
            Problem(option, "no API address:", fix, value=address)
            for option, address in options.items()
            if not _is_web_address(address) or re.search(r"[\s?#]", address)
        ]
        refuse(problems)


def check_endpoint(address: str) -> str:
    """The address of a SPARQL endpoint, checked.

    Raises:
        InputError: it is none.
    """
    if not _is_web_address(address) or re.search(r"[\s?#]", address):
        fix = "Give the endpoint's http(s) address, without a query."
        raise InputError(Problem("--sparql", "no address of an endpoint:", fix, value=address))
    return address


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises if it is no number
    except ValueError:
        return False
    host = parts.hostname or ""
    return parts.scheme in ("http", "https") and (_HOST.fullmatch(host) is not None or ":" in host)


def user_agent(contact: str) -> str:
    """`tool/version (contact) library/version`, as Wikimedia's policy requires."""
    return f"strata/{__version__} ({contact}) requests/{requests.__version__}"
