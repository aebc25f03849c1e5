"""Wikidata entities in the API's JSON form: reducing them, and reading their statements."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

PROPERTIES = ("P17", "P31", "P279", "P301", "P373", "P625", "P910")
CATEGORY_ITEM = "Q4167836"  # P31 of an item that stands for a category page
_LARGEST_ID = 2**31 - 1  # the API refuses a whole batch for a larger one

RawEntity = dict[str, Any]
_Value = TypeVar("_Value")


def is_item_id(text: object) -> bool:
    """Whether a text is the id of an item (not of a property or lexeme).

    Example:
        >>> is_item_id("Q42"), is_item_id("P31"), is_item_id("Q0"), is_item_id("L1-F1")
        (True, False, False, False)
    """
    return (
        isinstance(text, str)
        and re.fullmatch(r"Q[1-9][0-9]{0,9}", text) is not None
        and int(text[1:]) <= _LARGEST_ID
    )


def item_number(raw: Any) -> int | None:
    """The number of an item; None for a property, a lexeme or a missing item.

    Raises:
        ValueError: not an entity.
    """
    if not isinstance(raw, dict) or not isinstance(qid := raw.get("id"), str):
        raise ValueError("no id")
    return int(qid[1:]) if is_item_id(qid) and "missing" not in raw else None


def reduce(raw: RawEntity, properties: Iterable[str] = PROPERTIES) -> RawEntity:
    """The part of an entity that a label tree is built from, still in the API's form.

    Labels and aliases in all languages, the Commons sitelink, and the statements of `properties`
    with value and rank; qualifiers, references and hashes are left out. Parts that are not there,
    or not of the API's form, are empty.
    """
    link = _mapping(_mapping(raw.get("sitelinks")).get("commonswiki"))
    claims = _mapping(raw.get("claims"))
    kept: RawEntity = {
        "type": "item",
        "id": raw["id"],
        "labels": {k: v for k, v in _mapping(raw.get("labels")).items() if _is_term(v)},
        "aliases": {
            k: [term for term in v if _is_term(term)]
            for k, v in _mapping(raw.get("aliases")).items()
            if isinstance(v, list)
        },
        "claims": {
            name: [_statement(s) for s in claims[name] if _is_statement(s)]
            for name in properties
            if isinstance(claims.get(name), list)
        },
        "sitelinks": {},
    }
    if isinstance(link.get("title"), str):
        kept["sitelinks"]["commonswiki"] = {"site": "commonswiki", "title": link["title"]}
    if isinstance(raw.get("lastrevid"), int):
        kept["lastrevid"] = raw["lastrevid"]
    return kept


def commons_page(entity: RawEntity) -> str:
    """The title of the linked page on Commons; "" if there is none."""
    title: str = entity["sitelinks"].get("commonswiki", {}).get("title", "")
    return title


def best_items(entity: RawEntity, name: str) -> list[str]:
    """Items that the best-ranked statements of a property name: preferred, else normal ones.

    `somevalue` and `novalue` name none.
    """
    return list(dict.fromkeys(_best(entity, name, _item_of)))


def outranked_items(entity: RawEntity, name: str) -> list[tuple[str, str]]:
    """Items that only statements of a lesser rank name, deprecated ones too, with the rank."""
    best = set(best_items(entity, name))
    found: dict[str, str] = {}
    for statement in entity.get("claims", {}).get(name, []):
        qid = _item_of(_value_of(statement))
        if qid and qid not in best:
            found.setdefault(qid, statement["rank"])
    return list(found.items())


def best_point(entity: RawEntity, name: str) -> tuple[float, float] | None:
    """Latitude and longitude, in degrees, of the best-ranked statement that has both."""
    return next(iter(_best(entity, name, _point_of)), None)


def best_texts(entity: RawEntity, name: str) -> list[str]:
    """Texts that the best-ranked statements of a property hold."""
    return _best(entity, name, lambda value: value if isinstance(value, str) else None)


def _best(entity: RawEntity, name: str, read: Callable[[Any], _Value | None]) -> list[_Value]:
    """The values of the best rank that has any; `read` gives None for what is none."""
    statements = entity.get("claims", {}).get(name, [])
    for rank in ("preferred", "normal"):
        values = (read(_value_of(s)) for s in statements if s["rank"] == rank)
        if found := [value for value in values if value is not None]:
            return found
    return []


def _value_of(statement: dict[str, Any]) -> Any:
    return statement["mainsnak"].get("datavalue", {}).get("value")


def _item_of(value: Any) -> str | None:
    if not isinstance(value, dict):
        return None
    # Old records have the number alone.
    qid = value.get("id") or f"Q{value.get('numeric-id')}"
    return qid if is_item_id(qid) else None


def _point_of(value: Any) -> tuple[float, float] | None:
    if not isinstance(value, dict):
        return None
    latitude, longitude = value.get("latitude"), value.get("longitude")
    if isinstance(latitude, int | float) and isinstance(longitude, int | float):
        return float(latitude), float(longitude)
    return None


def _mapping(value: object) -> dict[str, Any]:
    # PHP writes an empty object as an empty list.
    return value if isinstance(value, dict) else {}


def _is_term(term: object) -> bool:
    return isinstance(term, dict) and isinstance(term.get("value"), str)


def _is_statement(statement: object) -> bool:
    return isinstance(statement, dict) and isinstance(statement.get("mainsnak"), dict)


def _statement(statement: dict[str, Any]) -> dict[str, Any]:
    snak = statement["mainsnak"]
    kept = {key: snak[key] for key in ("snaktype", "property") if key in snak}
    if isinstance(snak.get("datavalue"), dict):
        kept["datavalue"] = snak["datavalue"]
    rank = statement.get("rank", "normal")
    return {"mainsnak": kept, "type": "statement", "rank": rank}
