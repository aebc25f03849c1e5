"""Category pages of Commons: the request for their items and redirects, and its answer.

One request returns, for 50 titles, the item (`pageprops`), whether the page is a redirect made with
a template (`templates`), and the text that names its target (`revisions`). The text adds a few
hundred bytes a page and saves a second request for every 50 pages without an item.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import unquote

from strata_labels.knowledge.raw_entity import is_item_id
from strata_labels.knowledge.titles import is_askable, page_title
from strata_labels.knowledge.wikimedia.client import ApiResponse
from strata_labels.knowledge.wikimedia.response_store import Answer

_TEMPLATE = "Template:Category redirect"
# The names under which Commons has it, its own redirects and variants for taxa included, without
# spaces and hyphens.
_SOFT_REDIRECTS = {
    "categoryredirect",
    "synonymtaxoncategoryredirect",
    "invalidtaxoncategoryredirect",
    "monotypictaxoncategoryredirect",
    "redirectcategory",
    "seecategory",
    "seecat",
    "catredirect",
    "catredir",
    "catred",
}
# No two parts of a pattern may match the same text, nor may a search for an end that is missing
# begin again: pages are written by anybody. A comment without an end is one to the page's end.
_CALL = re.compile(r"\{\{([^{}|]+)\|((?:[^{}]+|\{\{[^{}]*\}\})*+)\}\}")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)|<nowiki>.*?(?:</nowiki>|\Z)", re.DOTALL)


def page_request(titles: Sequence[str]) -> dict[str, str]:
    """The parameters of a request about at most 50 full titles."""
    return {
        "action": "query",
        "prop": "pageprops|templates|revisions",
        "ppprop": "wikibase_item",
        "tltemplates": _TEMPLATE,
        "tllimit": "max",
        "rvprop": "ids|content",
        "rvslots": "main",
        "redirects": "1",
        "titles": "|".join(titles),
    }


def read_answer(parts: Iterable[ApiResponse], titles: Sequence[str]) -> dict[str, Answer]:
    """The content of an answer by title; titles without an answer are left out.

    Returns:
        By title the body to store: `page` (the title where normalisation and hard redirects led),
        `redirected` (a hard redirect did), and `item`, `soft` (the target of a soft redirect; ""
        where it cannot be read), `missing`, `invalid` or `circular` where they hold.
    """
    normalized: dict[str, str] = {}
    redirects: dict[str, str] = {}
    pages: dict[str, dict[str, Any]] = {}
    for part in parts:
        query = part.get("query") or {}
        for entry in query.get("normalized") or []:
            coded = entry.get("fromencoded")
            normalized[unquote(entry["from"]) if coded else entry["from"]] = entry["to"]
        redirects |= {entry["from"]: entry["to"] for entry in query.get("redirects") or []}
        for page in query.get("pages") or []:
            # Continued answers have each page again, with further properties.
            pages.setdefault(page["title"], {}).update(page)
    answers = {}
    for title in titles:
        end, seen = normalized.get(title, title), set()
        while end in redirects and end not in seen:
            seen.add(end)
            end = normalized.get(redirects[end], redirects[end])
        if end in redirects:
            answers[title] = Answer({"page": end, "circular": True}, None)
        elif end in pages:
            answers[title] = _answer(pages[end], bool(seen))
    return answers


def _answer(page: dict[str, Any], redirected: bool) -> Answer:
    body: dict[str, Any] = {"page": page["title"]}
    if redirected:
        body["redirected"] = True
    if "invalid" in page:
        return Answer({**body, "invalid": True}, None)
    if "missing" in page:
        return Answer({**body, "missing": True}, None)
    revision = (page.get("revisions") or [{}])[0]
    item = (page.get("pageprops") or {}).get("wikibase_item")
    if is_item_id(item):
        body["item"] = item
    else:
        slots = revision.get("slots") or {}
        text = (slots.get("main") or revision).get("content") or ""
        target = soft_target(text)
        if target is None and any(t.get("title") == _TEMPLATE for t in page.get("templates") or []):
            target = ""
        if target is not None:
            body["soft"] = target
    return Answer(body, revision.get("revid"))


def soft_target(text: str) -> str | None:
    """The full title that a category's text redirects to with a template; None if it does not.

    Example:
        >>> soft_target("{{Category redirect|1=:Category:Villa Arson|reason=one house}}")
        'Category:Villa Arson'
    """
    for match in _CALL.finditer(_COMMENT.sub("", text)):
        name = match[1].strip().removeprefix("Template:").removeprefix("template:")
        if re.sub(r"[\s_-]", "", name).casefold() not in _SOFT_REDIRECTS:
            continue
        for argument in match[2].split("|"):
            key, equals, value = argument.partition("=")
            if equals and key.strip() != "1":
                continue
            value = (value if equals else key).strip(" \n\t[]:")
            target = page_title(value)
            return target if is_askable(target) else ""
        return ""
    return None
