"""Asking the action APIs of Commons and Wikidata, politely and for as long as it takes.

The etiquette is Wikimedia's (API:Etiquette, User-Agent policy): an operator who can be reached, one
request at a time, batches, gzip, `maxlag`, `Retry-After`.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import requests

from strata_labels.errors import InputError, Problem, RetryError
from strata_labels.knowledge.wikimedia.address import (
    COMMONS_API,
    WIKIDATA_API,
    Apis,
    check_contact,
    user_agent,
)
from strata_labels.waiting import retry_after

BATCH = 50  # titles or ids in one request: the APIs' limit for callers without special rights

# Codes of errors that pass; the API sends them with status 200.
_PASSING = re.compile(
    "maxlag|ratelimited|readonly|internal_api_error_.*|timeout|actionthrottledtext"
)
_LIMITED = frozenset({"ratelimited", "actionthrottledtext"})
_PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
# Proxies refuse longer addresses; 50 titles in Cyrillic have 10,000 bytes. Longer ones are posted.
_LONGEST_QUERY = 6000
_MOST_CONTINUATIONS = 100
_FOREIGN_AT_MOST = 6

Answer = dict[str, Any]


@dataclass(frozen=True)
class Patience:
    """How long a request is tried.

    Attributes:
        attempts: attempts in a row that fail before the run is given up.
        first_wait: seconds before the second attempt; doubled for each further one.
        longest_wait: seconds between two attempts, at most.
        longest_retry_after: seconds a server may ask to wait (`Retry-After`), at most.
        timeout: seconds to connect, and between two pieces of an answer.
        deadline: seconds for a whole answer.
        slowest: seconds between the starts of two requests, at most, when the server limits the
            rate.
    """

    attempts: int = 14
    first_wait: float = 1.0
    longest_wait: float = 300.0
    longest_retry_after: float = 3600.0
    timeout: tuple[float, float] = (10.0, 60.0)
    deadline: float = 300.0
    slowest: float = 60.0


class Pace:
    """Seconds between the starts of two requests: doubled when told to slow down, eased slowly.

    Args:
        fastest: seconds, at least.
        slowest: seconds, at most.
    """

    EASE = 0.98

    def __init__(self, fastest: float, slowest: float) -> None:
        self.fastest = self.interval = fastest
        self.slowest = slowest
        self._last = 0.0

    def wait(self) -> None:
        """Sleeps until the next request may start."""
        time.sleep(max(0.0, self._last + self.interval - time.monotonic()))
        self._last = time.monotonic()

    def slow_down(self) -> None:
        """The server limited the rate."""
        self.interval = min(self.slowest, max(0.25, 2 * self.interval))

    def speed_up(self) -> None:
        """The server answered."""
        eased = self.interval * self.EASE
        self.interval = eased if eased > max(self.fastest, 0.02) else self.fastest


class ApiError(RetryError):
    """The API refused a request (`error.code`), and would refuse it again."""

    def __init__(self, address: str, error: Mapping[str, Any]) -> None:
        self.code = str(error.get("code", ""))
        self.error = error
        super().__init__(f"{address}: the API refuses: {self.code}: {error.get('info', '')}")


class _ForeignError(RetryError):
    """What answers is no API."""


class _AgainError(Exception):
    """An attempt failed in a way that another may not."""

    def __init__(self, why: str, wait: float | None = None, foreign: bool = False) -> None:
        super().__init__(why)
        self.wait = wait
        self.foreign = foreign


class Client:
    """One caller of the two APIs; asks them one request at a time.

    Args:
        contact: the operator's address.
        apis: whom to ask.
        patience: how long to try.
        say: told of every wait for a server.

    Raises:
        InputError: an address that is none.

    Attributes:
        requests: HTTP requests sent so far.
    """

    def __init__(
        self,
        contact: str | None,
        apis: Apis | None = None,
        patience: Patience | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.apis = apis or Apis()
        self.requests = 0
        self._patience = patience or Patience()
        self._say = say
        # About 200 requests a minute is what Wikimedia allows an operator it can reach; a mirror
        # says for itself when it is too much.
        theirs = {COMMONS_API, WIKIDATA_API} & {self.apis.commons, self.apis.wikidata}
        self.pace = Pace(0.3 if theirs else 0.0, self._patience.slowest)
        self._session = requests.Session()
        self._session.headers.update(
            {
                "User-Agent": user_agent(check_contact(contact)),
                "Accept-Encoding": "gzip",
                "Accept": "application/json, application/sparql-results+json",
            }
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self._session.close()

    def identify(self, option: str, address: str) -> str:
        """The lasting name of the wiki behind an address (`commonswiki`, `wikidatawiki`).

        Raises:
            InputError: there is no API at this address.
        """
        fix = "Give the address of the wiki's api.php."
        params = {"action": "query", "meta": "siteinfo", "siprop": "general"}
        try:
            for _ in range(_FOREIGN_AT_MOST):
                answer = self._persist(address, params, _FOREIGN_AT_MOST)
                general = (answer.get("query") or {}).get("general") or {}
                if isinstance(wiki := general.get("wikiid"), str):
                    return wiki
        except (_ForeignError, ApiError) as error:
            raise InputError(Problem(option, f"no API there ({error})", fix)) from None
        what = "no API of MediaWiki; it does not say which wiki it is:"
        raise InputError(Problem(option, what, fix, value=address))

    def query(self, address: str, params: Mapping[str, str]) -> Iterator[Answer]:
        """Asks until the answer is complete; yields its parts (`continue`)."""
        more: dict[str, str] = {}
        for _ in range(_MOST_CONTINUATIONS):
            answer = self.ask(address, {**params, **more})
            yield answer
            if not answer.get("continue"):
                return
            more = {key: str(value) for key, value in answer["continue"].items()}
        raise RetryError(f"{address}: an answer that is continued without end")

    def ask(self, address: str, params: Mapping[str, str]) -> Answer:
        """One answer of an API, waiting and trying again as need be.

        Raises:
            ApiError: the API refuses the request.
            RetryError: the server is out of reach or broken for longer than patience lasts.
            InputError: the server refuses this caller (a status such as 403).
        """
        return self._persist(address, params)

    def select(self, address: str, query: str) -> list[dict[str, str]]:
        """The rows of a SPARQL query, values as text, under the same manners.

        Raises:
            InputError: no SPARQL endpoint is at this address.
            RetryError: as `ask`.
        """
        fix = "Give the address of a SPARQL endpoint that answers in JSON."
        what = "no SPARQL endpoint there"
        try:
            answer = self._persist(address, {"query": query, "format": "json"}, _FOREIGN_AT_MOST)
        except _ForeignError as error:
            raise InputError(Problem("--sparql", f"{what} ({error})", fix)) from None
        results = answer.get("results")
        rows = results.get("bindings") if isinstance(results, dict) else None
        if not isinstance(rows, list):
            raise InputError(Problem("--sparql", f"{what}:", fix, value=address))
        return [
            {name: str(cell.get("value", "")) for name, cell in row.items()}
            for row in rows
            if isinstance(row, dict)
        ]

    def _persist(
        self, address: str, params: Mapping[str, str], foreign_at_most: int | None = None
    ) -> Answer:
        """Tries until patience is at its end, or too many answers in a row are no API's."""
        patience = self._patience
        attempts, foreign = patience.attempts, 0
        for attempt in range(attempts):
            self.pace.wait()
            try:
                answer = self._attempt(address, params)
                self.pace.speed_up()
                return answer
            except _AgainError as error:
                failure = error
            foreign += failure.foreign
            if foreign == foreign_at_most:
                raise _ForeignError(f"{address}: {failure}")
            # Half to the whole of the doubled wait, so that many clients do not return at once.
            wait = min(patience.longest_wait, patience.first_wait * 2**attempt)
            wait *= random.uniform(0.5, 1.0)
            if failure.wait is not None:
                if failure.wait > patience.longest_retry_after:
                    text = f"the server asks to come back in {failure.wait:.0f} s"
                    raise RetryError(f"{address}: {failure}; {text}")
                # The clocks of two machines differ by more than a part of a second.
                wait = max(wait, failure.wait) if failure.wait else wait
            if attempt + 1 < attempts:
                self._say(f"{address}: {failure}; again in {wait:.1f} s")
                time.sleep(wait)
        raise RetryError(f"{address}: {failure}; given up after {attempts} attempts")

    def _attempt(self, address: str, params: Mapping[str, str]) -> Answer:
        if "action" in params:
            params = {**params, "format": "json", "formatversion": "2", "maxlag": "5"}
        self.requests += 1
        try:
            with self._send(address, params) as response:
                status, wait = response.status_code, retry_after(response)
                if status == 429:
                    self.pace.slow_down()
                if status in _PASSING_STATUS:
                    raise _AgainError(f"status {status} {response.reason}", wait)
                if status != 200:
                    what = f"the server refuses with status {status} {response.reason}"
                    fix = "Check address and contact; 403 means that the operator is not let in."
                    raise InputError(Problem(address, what, fix))
                body = self._body(response)
        except requests.RequestException as error:
            raise _AgainError(f"connection broken ({type(error).__name__})") from error
        try:
            answer = json.loads(body)
        except ValueError:
            raise _AgainError("no JSON came", wait, foreign=True) from None
        if not isinstance(answer, dict):
            raise _AgainError("no object came", wait, foreign=True)
        refusal = answer.get("error")
        if isinstance(refusal, dict):
            code = str(refusal.get("code", ""))
            if code in _LIMITED:
                self.pace.slow_down()
            if _PASSING.fullmatch(code):
                raise _AgainError(f"{code}: {refusal.get('info', '')}", wait)
            raise ApiError(address, refusal)
        return answer

    def _send(self, address: str, params: Mapping[str, str]) -> requests.Response:
        timeout = self._patience.timeout
        if len(urlencode(params)) <= _LONGEST_QUERY:
            return self._session.get(address, params=params, timeout=timeout, stream=True)
        # Wikimedia routes a POST that says so as the reading it is.
        headers = {"Promise-Non-Write-API-Action": "true"} if "action" in params else {}
        return self._session.post(
            address, data=params, headers=headers, timeout=timeout, stream=True
        )

    def _body(self, response: requests.Response) -> bytes:
        """The whole body; a server that drips one byte a minute does not hold the run up."""
        late = time.monotonic() + self._patience.deadline
        blocks = []
        for block in response.iter_content(1 << 16):
            blocks.append(block)
            if time.monotonic() > late:
                raise _AgainError(f"no whole answer in {self._patience.deadline:.0f} s")
        return b"".join(blocks)
