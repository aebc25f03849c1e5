"""Categories without an item are resolved by a SPARQL endpoint of the user."""

from __future__ import annotations

import pytest
from mediawiki import MediaWiki, World, item
from strata_labels.errors import InputError
from strata_labels.knowledge import Client, ResponseStore, SparqlSource, check_endpoint
from wikimedia_helpers import CONTACT, ask, client_of, is_complete


def world_of_named(number: int) -> World:
    world = World()
    for n in range(1, number + 1):
        world.pages[f'Category:Place "{n}" é'] = {}
        world.entities[f"Q{n}"] = item(f"Q{n}", P373=[f'Place "{n}" é'], P31=["Q9000"])
    world.entities["Q9000"] = item("Q9000", "thing")
    return world


def resolve(
    wiki: MediaWiki, store: ResponseStore, titles: list[str]
) -> dict[str, tuple[str, str | None]]:
    with client_of(wiki) as client:
        resolved = ask(wiki, store, titles, sources=[SparqlSource(client, wiki.sparql)])
    assert is_complete(resolved)
    frame = resolved.frame.astype(object).where(resolved.frame.notna(), None)
    return {row.title: (row.status, row.qid) for row in frame.itertuples()}


def test_categories_without_an_item_are_found_by_name_in_batches_once(store: ResponseStore) -> None:
    world = world_of_named(120)
    world.pages["Category:Nobody names it"] = {}
    world.pages["Category:Moved"] = {"text": '{{Category redirect|Place "1" é}}'}
    world.entities["Q200"] = item("Q200", P373=['Place "2" é'])
    world.entities["Q3"]["claims"]["P31"] = item("Q3", P31=["Q4167836"])["claims"]["P31"]
    titles = [f'Place "{n}" é' for n in range(1, 121)] + ["Nobody names it", "Moved", "Gone"]
    with MediaWiki(world).running() as wiki:
        found = resolve(wiki, store, titles)
        assert [len(batch) for batch in wiki.batches("sparql")] == [50, 50, 22]
        asked = len(wiki.asked)
        assert resolve(wiki, store, titles) == found
        assert is_complete(ask(wiki, store, titles))  # and without the endpoint
        assert len(wiki.asked) == asked
        assert wiki.violations == []
    assert found['Place "1" é'] == ("resolved", "Q1")
    assert found['Place "2" é'] == ("ambiguous", "Q2")
    assert found['Place "3" é'] == ("no_item", None)  # a category's own item is no landmark's
    assert found["Moved"] == ("redirected", "Q1")
    assert found["Nobody names it"] == ("no_item", None)
    assert found["Gone"] == ("missing", None)


def test_an_item_of_the_page_needs_no_question(small_world: World, store: ResponseStore) -> None:
    with MediaWiki(small_world).running() as wiki:
        resolve(wiki, store, ["Canal", "Église"])
        assert wiki.batches("sparql") == []


def test_faults_of_the_endpoint_are_waited_out(store: ResponseStore) -> None:
    titles = [f'Place "{n}" é' for n in range(1, 201)]
    faults = ["429 seconds", "429", "503", "reset", "cut", "html"]
    with MediaWiki(world_of_named(200), faults, rate=0.4, seed=3, most=8).running() as wiki:
        found = resolve(wiki, store, titles)
        assert wiki.violations == [] and wiki.injected
    assert set(found.values()) == {("resolved", f"Q{n}") for n in range(1, 201)}


def test_an_address_without_an_endpoint_is_named(small_world: World, store: ResponseStore) -> None:
    class Other(MediaWiki):
        def select(self, query: str) -> dict[str, object]:
            return {"hello": "world"}

    with Other(small_world).running() as wiki, pytest.raises(InputError, match="--sparql"):
        resolve(wiki, store, ["No item"])


@pytest.mark.parametrize("address", ["", "localhost:9999", "ftp://x/sparql", "http://x/s?query="])
def test_an_endpoint_that_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="--sparql"):
        check_endpoint(address)


def test_requests_to_the_endpoint_carry_the_contact(small_world: World) -> None:
    with MediaWiki(small_world).running() as wiki, Client(CONTACT) as client:
        assert client.select(wiki.sparql, 'VALUES ?category { "Canal" }\n') == []
        assert wiki.violations == []
