"""HTTP client for the action APIs of Commons and Wikidata, and for SPARQL endpoints.

It follows Wikimedia's rules (API:Etiquette, User-Agent policy): a contact address, one request at a
time, batches, gzip, `maxlag`, `Retry-After`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import requests

from strata_labels.errors import InputError, Problem, RetryError
from strata_labels.knowledge.wikimedia.addresses import (
    COMMONS_API,
    WIKIDATA_API,
    Apis,
    check_contact,
    user_agent,
)
from strata_labels.retry import (
    TRANSIENT_STATUS,
    RetryPolicy,
    TransientError,
    retry_after,
    with_retries,
)

BATCH = 50  # titles or ids in one request: the APIs' limit for callers without special rights

# Codes of transient errors; the API sends them with status 200.
_TRANSIENT_CODE = re.compile(
    "maxlag|ratelimited|readonly|internal_api_error_.*|timeout|actionthrottledtext"
)
_RATE_LIMIT_CODES = frozenset({"ratelimited", "actionthrottledtext"})
# Proxies refuse longer addresses; 50 titles in Cyrillic have 10,000 bytes. Longer ones are posted.
_LONGEST_QUERY = 6000
_MOST_CONTINUATIONS = 100
_MOST_FOREIGN_ANSWERS = 6

ApiResponse = dict[str, Any]


# A run of hours outlives a server that is down for a while.
_POLICY = RetryPolicy(attempts=14, longest_wait=300.0, longest_retry_after=3600.0)
_SECONDS_PER_ANSWER = 300.0  # for a whole answer
_SLOWEST_PACE = 60.0  # seconds between the starts of two requests, at most


class Pace:
    """Seconds between the starts of two requests: doubled at a rate limit, then reduced slowly.

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


class _NotAnApiError(RetryError):
    """The answers do not come from an API."""


class _ForeignAnswerError(TransientError):
    """An answer that is not JSON: an error page of a proxy, or a server that is no API."""


class Client:
    """Sends requests to the two APIs, one at a time.

    Args:
        contact: the operator's e-mail or web address.
        apis: the addresses of the APIs.
        policy: how long to try.

    Raises:
        InputError: `contact` is missing or not an address.

    Attributes:
        requests: HTTP requests sent so far.
    """

    def __init__(
        self, contact: str | None, apis: Apis | None = None, policy: RetryPolicy = _POLICY
    ) -> None:
        self.apis = apis or Apis()
        self.requests = 0
        self._policy = policy
        # About 200 requests a minute is what Wikimedia allows an operator it can reach; a mirror
        # states its own limit.
        official = {COMMONS_API, WIKIDATA_API} & {self.apis.commons, self.apis.wikidata}
        self.pace = Pace(0.3 if official else 0.0, min(_SLOWEST_PACE, policy.longest_wait))
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
        """The wiki's own name for itself (`commonswiki`, `wikidatawiki`), by the API's address.

        Raises:
            InputError: there is no API at this address.
        """
        fix = "Give the address of the wiki's api.php."
        params = {"action": "query", "meta": "siteinfo", "siprop": "general"}
        try:
            for _ in range(_MOST_FOREIGN_ANSWERS):
                answer = self._request(address, params, _MOST_FOREIGN_ANSWERS)
                general = (answer.get("query") or {}).get("general") or {}
                if isinstance(wiki := general.get("wikiid"), str):
                    return wiki
        except (_NotAnApiError, ApiError) as error:
            raise InputError(Problem(option, f"no API there ({error})", fix)) from None
        what = "not an API of MediaWiki; it does not name its wiki:"
        raise InputError(Problem(option, what, fix, value=address))

    def query(self, address: str, params: Mapping[str, str]) -> Iterator[ApiResponse]:
        """Sends requests until the answer is complete; yields its parts (`continue`)."""
        more: dict[str, str] = {}
        for _ in range(_MOST_CONTINUATIONS):
            answer = self.get(address, {**params, **more})
            yield answer
            if not answer.get("continue"):
                return
            more = {key: str(value) for key, value in answer["continue"].items()}
        raise RetryError(f"{address}: an answer that is continued without end")

    def get(self, address: str, params: Mapping[str, str]) -> ApiResponse:
        """One answer of an API, with retries.

        Raises:
            ApiError: the API refuses the request.
            RetryError: the server is unreachable or broken for longer than the policy allows.
            InputError: the server refuses this caller (a status such as 403).
        """
        return self._request(address, params)

    def select(self, address: str, query: str) -> list[dict[str, str]]:
        """The rows of a SPARQL query, values as text, under the same rules.

        Raises:
            InputError: no SPARQL endpoint is at this address.
            RetryError: as `get`.
        """
        fix = "Give the address of a SPARQL endpoint that answers in JSON."
        what = "no SPARQL endpoint there"
        try:
            answer = self._request(
                address, {"query": query, "format": "json"}, _MOST_FOREIGN_ANSWERS
            )
        except _NotAnApiError as error:
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

    def _request(
        self, address: str, params: Mapping[str, str], most_foreign: int | None = None
    ) -> ApiResponse:
        """Sends a request, with retries; stops after `most_foreign` answers that are no API's."""
        foreign = 0

        def attempt() -> ApiResponse:
            nonlocal foreign
            self.pace.wait()
            try:
                answer = self._attempt(address, params)
            except _ForeignAnswerError as error:
                foreign += 1
                if foreign == most_foreign:
                    raise _NotAnApiError(f"{address}: {error}") from None
                raise
            self.pace.speed_up()
            return answer

        return with_retries(attempt, self._policy, address)

    def _attempt(self, address: str, params: Mapping[str, str]) -> ApiResponse:
        if "action" in params:
            params = {**params, "format": "json", "formatversion": "2", "maxlag": "5"}
        self.requests += 1
        try:
            with self._send(address, params) as response:
                status, wait = response.status_code, retry_after(response)
                if status == 429:
                    self.pace.slow_down()
                if status in TRANSIENT_STATUS:
                    raise TransientError(f"status {status} {response.reason}", wait)
                if status != 200:
                    what = f"the server refuses with status {status} {response.reason}"
                    fix = "Check address and contact; 403 means that the contact is refused."
                    raise InputError(Problem(address, what, fix))
                body = self._body(response)
        except requests.RequestException as error:
            raise TransientError(f"connection broken ({type(error).__name__})") from error
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            raise _ForeignAnswerError("no JSON came", wait) from None
        if not isinstance(answer, dict):
            raise _ForeignAnswerError("no object came", wait)
        refusal = answer.get("error")
        if isinstance(refusal, dict):
            code = str(refusal.get("code", ""))
            if code in _RATE_LIMIT_CODES:
                self.pace.slow_down()
            if _TRANSIENT_CODE.fullmatch(code):
                raise TransientError(f"{code}: {refusal.get('info', '')}", wait)
            raise ApiError(address, refusal)
        return answer

    def _send(self, address: str, params: Mapping[str, str]) -> requests.Response:
        timeout = self._policy.timeout
        if len(urlencode(params)) <= _LONGEST_QUERY:
            return self._session.get(address, params=params, timeout=timeout, stream=True)
        # With this header Wikimedia routes a POST like a read request.
        headers = {"Promise-Non-Write-API-Action": "true"} if "action" in params else {}
        return self._session.post(
            address, data=params, headers=headers, timeout=timeout, stream=True
        )

    def _body(self, response: requests.Response) -> bytes:
        """The whole body; a server that drips one byte a minute does not hold the run up."""
        late = time.monotonic() + _SECONDS_PER_ANSWER
        blocks = []
        for block in response.iter_content(1 << 16):
            blocks.append(block)
            if time.monotonic() > late:
                raise TransientError(f"no whole answer in {_SECONDS_PER_ANSWER:.0f} s")
        return b"".join(blocks)
