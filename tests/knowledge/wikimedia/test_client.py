"""The HTTP client: the contact it requires, the addresses it accepts, and how it waits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from mediawiki import MediaWiki, World
from strata_labels.errors import InputError, RetryError
from strata_labels.knowledge import Apis, Client, ResponseStore, check_contact
from strata_labels.knowledge.raw_entity import best_items, reduce
from strata_labels.knowledge.wikimedia.client import Pace
from strata_labels.retry import RetryPolicy
from wikimedia_helpers import CONTACT, ask, client_of


@pytest.fixture
def wiki() -> Iterator[MediaWiki]:
    with MediaWiki(World()).running() as running:
        yield running


@pytest.mark.parametrize(
    "contact",
    [None, "", "  ", "me", "me@", "@x.org", "me@host", "a b@x.org", "ftp://x.org", "http://",
     "https://x.org/\r\nX: y", "me@x.org\nX: y", "http://x.org/(a)", "mailto:me@x.org"],
)  # fmt: skip
def test_a_contact_that_is_no_address_is_refused(contact: str | None) -> None:
    with pytest.raises(InputError, match="--contact"):
        Client(contact)


@pytest.mark.parametrize("contact", ["a.b+c@x.museum", "https://x.org/~me", "http://x.org:8080/"])
def test_addresses_are_taken(contact: str) -> None:
    assert check_contact(f" {contact} ") == contact


@pytest.mark.parametrize(
    "address", ["", "commons", "commons.wikimedia.org/w/api.php", "ftp://x.org/api.php",
                "http://x.org:port/api.php", "http://x.org/api.php?a=b", "http:///api.php"],
)  # fmt: skip
def test_an_api_that_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InputError) as caught:
        Apis(address, address)
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b"{}", b'{"query": {}}'])
def test_an_address_without_an_api_is_named(body: bytes, tmp_path: Path) -> None:
    class NoApi(MediaWiki):
        def query(self, params: dict[str, str], path: str) -> object:  # type: ignore[override]
            return json.loads(body) if body[:1] != b"<" else {}

    faults = ["html"] if body[:1] == b"<" else []
    with (
        NoApi(World(), faults, rate=1.0).running() as wiki,
        ResponseStore(tmp_path / "store.sqlite") as store,
        pytest.raises(InputError, match="--commons-api"),
    ):
        ask(wiki, store, ["Canal"])


def test_an_unreachable_server_is_a_failure_to_retry(wiki: MediaWiki) -> None:
    policy = RetryPolicy(attempts=2, first_wait=0.001, timeout=(0.5, 0.5))
    client = Client(CONTACT, Apis("http://127.0.0.1:9/api.php", wiki.wikidata), policy)
    with client, pytest.raises(RetryError, match="after 2 attempts"):
        client.get(client.apis.commons, {"action": "query"})


def test_a_server_that_wants_an_hour_more_than_patience_ends_the_run() -> None:
    policy = RetryPolicy(attempts=5, first_wait=0.001, longest_retry_after=0.5)
    with (
        MediaWiki(World(), ["429 seconds"], rate=1.0).running() as wiki,
        client_of(wiki, policy) as client,
        pytest.raises(RetryError, match="come back in 1 s"),
    ):
        client.get(wiki.commons, {"action": "query", "titles": "Category:A"})
    assert client.requests == 1


def test_fifty_long_titles_go_in_one_post(wiki: MediaWiki, tmp_path: Path) -> None:
    titles = [f"Храм {n} {'в' * 90}" for n in range(50)]
    with ResponseStore(tmp_path / "store.sqlite") as store:
        resolved = ask(wiki, store, titles)
    assert resolved.counts() == {"missing": 50}
    assert len(wiki.batches("query")) == 1
    assert wiki.violations == []


def test_the_rate_falls_at_once_and_recovers_slowly() -> None:
    pace = Pace(0.3, slowest=60.0)
    pace.slow_down()
    pace.slow_down()
    assert pace.interval == pytest.approx(1.2)
    pace.speed_up()
    assert 1.1 < pace.interval < 1.2
    for _ in range(200):
        pace.speed_up()
    assert pace.interval == 0.3
    for _ in range(20):
        pace.slow_down()
    assert pace.interval == 60.0
    free = Pace(0.0, slowest=60.0)
    free.slow_down()
    assert free.interval == 0.25


def test_recorded_errors_of_the_api(shared: Path, tmp_path: Path) -> None:
    recorded = shared / "wikidata" / "api_errors"

    names = ["error-maxlag.json", "error-maxlag-full.json", "warnings.json"]
    answers = [json.loads((recorded / name).read_text("utf-8")) for name in names]

    class Recorded(MediaWiki):
        def query(self, params: dict[str, str], path: str) -> dict[str, object]:
            return answers.pop(0) if answers else super().query(params, path)

    with Recorded(World()).running() as wiki, ResponseStore(tmp_path / "store.sqlite") as store:
        store.note_wiki(wiki.commons, "commonswiki")
        store.note_wiki(wiki.wikidata, "wikidatawiki")
        assert ask(wiki, store, ["Canal"]).counts() == {"missing": 1}
        # Two lags and an answer that leaves everything out.
        assert len(wiki.batches("query")) == 4


@pytest.mark.parametrize(
    "raw",
    [
        {"id": "Q1"},
        {"id": "Q1", "claims": [], "labels": [], "aliases": [], "sitelinks": []},
        {"id": "Q1", "claims": None, "labels": {"en": "bare"}, "sitelinks": {"commonswiki": "x"}},
        {"id": "Q1", "claims": {"P31": None, "P279": [None, {}, {"mainsnak": None}]}},
        {"id": "Q1", "claims": {"P31": [{"mainsnak": {"snaktype": "novalue"}}]}},
        {"id": "Q1", "claims": {"P31": [{"mainsnak": {"datavalue": {"value": {"id": "L1-F1"}}}}]}},
        {"id": "Q1", "claims": {"P31": [{"mainsnak": {"datavalue": {"value": "Q5"}}}]}},
    ],
)
def test_entities_with_holes_are_read_as_far_as_they_go(raw: dict[str, object]) -> None:
    entity = reduce(raw)
    assert entity["id"] == "Q1"
    assert best_items(entity, "P31") == []
    assert reduce(entity) == entity
