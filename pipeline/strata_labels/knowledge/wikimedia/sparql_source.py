"""A SPARQL endpoint of the user as a source: items that name a Commons category in P373.

It answers nothing else; subclasses (`P279*`) would overload it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from strata_labels.knowledge.raw_entity import is_item_id
from strata_labels.knowledge.titles import PREFIX, clean_title
from strata_labels.knowledge.wikimedia.client import BATCH, Client
from strata_labels.knowledge.wikimedia.response_store import NAMED, Answer

_QUERY = """SELECT ?category ?item WHERE {{
  VALUES ?category {{ {titles} }}
  ?item <http://www.wikidata.org/prop/direct/P373> ?category .
}}"""


class SparqlSource:
    """Queries the endpoint through the client, a batch of titles at a time.

    Args:
        client: sends the queries.
        address: of the endpoint, such as `http://localhost:9999/sparql`.
    """

    kinds = frozenset({NAMED})

    def __init__(self, client: Client, address: str) -> None:
        self._client, self._address = client, address

    def answers(self, kind: str, keys: Sequence[str]) -> Iterator[dict[str, dict[str, Answer]]]:
        """By full title the items that name the category, also where there is none."""
        for at in range(0, len(keys), BATCH):
            batch = keys[at : at + BATCH]
            by_name = {title.removeprefix(PREFIX): title for title in batch}
            # JSON's escapes are SPARQL's; its strings have no quotation mark or line end bare.
            titles = " ".join(json.dumps(name, ensure_ascii=False) for name in by_name)
            found: dict[str, set[str]] = {title: set() for title in batch}
            for row in self._client.select(self._address, _QUERY.format(titles=titles)):
                title = by_name.get(clean_title(row.get("category", "")))
                qid = row.get("item", "").rpartition("/")[2]
                if title is not None and is_item_id(qid):
                    found[title].add(qid)
            yield {
                NAMED: {
                    title: Answer({"items": sorted(qids, key=lambda q: int(q[1:]))}, None)
                    for title, qids in found.items()
                }
            }
