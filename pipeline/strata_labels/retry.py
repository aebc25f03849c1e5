"""The one retry loop for requests to servers: how often, how long to wait, and after what."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import requests

from strata_labels.errors import RetryError
from strata_labels.messages import warn

#: HTTP statuses after which the same request may succeed later.
TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class RetryPolicy:
    """How often a request is tried, and how long a server may keep it waiting.

    Attributes:
        attempts: attempts in a row without progress before the work is given up.
        first_wait: seconds before the second attempt; doubled for each further one.
        longest_wait: seconds between two attempts, at most.
        longest_retry_after: seconds a server may ask to wait (`Retry-After`), at most.
        timeout: seconds to connect, and between two pieces of an answer.
    """

    attempts: int = 6
    first_wait: float = 1.0
    longest_wait: float = 60.0
    longest_retry_after: float = 900.0
    timeout: tuple[float, float] = (10.0, 60.0)


class TransientError(Exception):
    """An attempt failed, but another may succeed.

    Args:
        reason: what happened.
        retry_after: seconds the server asks to wait, if it does.
        progressed: the attempt brought something that the next one need not bring again, so it
            does not count as a failed one.
    """

    def __init__(
        self, reason: str, retry_after: float | None = None, progressed: bool = False
    ) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.progressed = progressed


def with_retries(attempt: Callable[[], _Result], policy: RetryPolicy, where: str) -> _Result:
    """Calls `attempt` until it succeeds, with exponential backoff and jitter between the calls.

    Every wait is reported in a line on standard error.

    Args:
        attempt: one try. It raises `TransientError` if another may succeed; every other exception
            ends the work at once.
        policy: how often, and how long to wait.
        where: the address, for messages.

    Raises:
        RetryError: `policy` is exhausted.
    """
    failures = 0
    while True:
        try:
            return attempt()
        except TransientError as error:
            failure = error
        failures = 0 if failure.progressed else failures + 1
        asked = failure.retry_after or 0.0
        if asked > policy.longest_retry_after:
            text = f"the server asks to come back in {asked:.0f} s"
            raise RetryError(f"{where}: {failure}; {text}. Try again later.")
        if failures >= policy.attempts:
            text = f"given up after {failures} attempts"
            raise RetryError(f"{where}: {failure}; {text}. Try again later.")
        # From half of the wait to the whole, so that many clients do not come back together.
        wait = min(policy.longest_wait, policy.first_wait * 2 ** max(failures - 1, 0))
        wait = max(wait * random.uniform(0.5, 1.0), asked)
        warn(f"{where}: {failure}; next attempt in {wait:.1f} s")
        time.sleep(wait)


def retry_after(response: requests.Response) -> float | None:
    """Seconds the server asks to wait (`Retry-After`, a number or a date), if it does."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal() and len(text) <= 18:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
