"""Several curators on one served review: who comes in, who does what."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import Scope

from strata_labels.review.page.audit import LOG, AuditLog
from strata_labels.review.page.curators import Curator, Curators
from strata_labels.review.page.desk import Desk
from strata_labels.review.page.guard import Headers, Visit, rejection, secret_of
from strata_labels.review.page.leases import Leases
from strata_labels.review.page.limits import Bucket
from strata_labels.review.page.review import Review
from strata_labels.review.reliability import Reliability

#: Answers of a curator, and their other requests: a second, and at once.
ANSWERS, OTHERS = (5.0, 50), (50.0, 500)
#: Wrong links from one address: a second, and at once.
GUESSES = (1 / 6, 10)
#: Refusals of strangers that the log notes: a second, and at once.
NOTES = (0.2, 100)
_ADDRESSES = 10_000  # that are remembered

_HOUR = 3600.0


class Team:
    """The curators of a review, as its entrance.

    Args:
        review: what they decide.
        file: names the curators, see `Curators`.
        url: where the page is reached, `http://HOST:PORT` or the address of a proxy.
        own: the address that the server is bound to, `HOST:PORT`.
        proxy: whose word on a request's address counts (`X-Forwarded-For`), "" for nobody's.
        blind: whether suggestions and evidence are hidden.
        tell: is given a curator's name and new link.
        warn: is given what is wrong with the changed file.
        leases: which rows are shown to whom.

    Raises:
        InputError: the file cannot be read, or names nobody.
    """

    def __init__(
        self,
        review: Review,
        file: Path,
        url: str,
        own: str,
        proxy: str,
        blind: bool,
        tell: Callable[[str, str], None],
        warn: Callable[[str], None],
        leases: Leases | None = None,
    ) -> None:
        self.review, self._blind, self._proxy = review, blind, proxy
        self.leases = leases or Leases()
        parts = urlsplit(url)
        self.hosts = frozenset({parts.netloc, own})
        self.origins = frozenset({f"{parts.scheme}://{parts.netloc}", f"http://{own}"})
        self.audit = AuditLog(review.setup.folder / LOG)

        def tell_link(name: str, secret: str) -> None:
            self.audit.write("link", who=name)
            tell(name, f"{url}/{secret}/")

        self._curators = Curators(file, review.setup.folder, tell_link, warn)
        review.batch *= len(self._curators.all)
        self._members: dict[str, _Member] = {}
        self._guesses: OrderedDict[str, Bucket] = OrderedDict()
        self._known: set[tuple[str, str]] = set()
        self._may_note = Bucket(*NOTES)
        self._estimate, self._estimate_at = Reliability({}, {}, {}), 0.0

    @property
    def recorded(self) -> int:
        """Lines that were added to the ledger."""
        return sum(member.desk.recorded for member in self._members.values())

    @property
    def names(self) -> list[str]:
        """Who may answer."""
        return list(self._curators.all)

    @property
    def has_owner(self) -> bool:
        """Whether somebody may see what all do."""
        return any(curator.owner for curator in self._curators.all.values())

    def visit(self, scope: Scope, headers: Headers) -> Visit | Response:
        """See `Entrance`."""
        self._refresh()
        address, secret = self._address(scope, headers), secret_of(scope)
        curator = self._curators.find(secret)
        wrong = self._guesses.get(address)
        # While an address is refused, it is not told of a guess that is right.
        if (
            wrong
            and wrong.is_empty()
            and (not curator or (address, curator.name) not in self._known)
        ):
            return rejection(429, "Too many wrong links from this address; wait some seconds.")
        if curator is None:
            self._count_guess(address)
            return rejection(403, "Open the whole link that you were given. It may be revoked.")
        self._known.add((address, curator.name))
        member = self._member(curator.name)
        if not (member.answers if scope["method"] == "POST" else member.others).allow():
            return rejection(429, "Too many requests; wait a second.")
        return Visit(member.desk, secret, curator.owner, address)

    def log(self, scope: Scope, headers: Headers, visit: Visit | None, status: int) -> None:
        """See `Entrance`. What is only looked at is not noted, the page itself apart."""
        address = visit.address if visit else self._address(scope, headers)
        path = scope["path"].split("/")
        what = path[2][:20] if visit and len(path) > 2 else ""
        if visit and scope["method"] == "POST" and status == 200:
            member = self._member(visit.desk.reviewer)
            member.times.append(time.time())
        elif visit and status < 400 and what in ("", "curators"):
            what = what or "page"
        elif status < 400 or (not visit and not self._may_note.allow()):
            return
        who = visit.desk.reviewer if visit else ""
        about = visit.about if visit else {}
        self.audit.write(what or "refused", who=who, address=address, status=status, **about)

    def report(self) -> dict[str, Any]:
        """What the owner's page shows: a row for each curator, and totals."""
        reliability = self._reliability()
        with self.review.lock:
            curators = sorted(self._curators.all.items())
            return {
                "curators": [self._row(curator, reliability) for _, curator in curators],
                "open": int(self.review.open.sum()),
                "disputes": self.review.disputes(),
                "lease_minutes": self.leases.seconds / 60,
            }

    def _reliability(self) -> Reliability:
        """The estimate of now, or an earlier one, so that it takes a twentieth of the time."""
        if time.monotonic() >= self._estimate_at:
            began = time.monotonic()
            self._estimate = self.review.reliability()
            self._estimate_at = time.monotonic() + 20 * (time.monotonic() - began)
        return self._estimate

    def _row(self, curator: Curator, reliability: Reliability) -> dict[str, Any]:
        member = self._member(curator.name)
        now, times = time.time(), member.times
        held = self.leases.rows(curator.name)
        return {
            "name": curator.name,
            "owner": curator.owner,
            "decided": member.desk.decided,
            "last": times[-1] if times else None,
            "per_hour": sum(now - when < _HOUR for when in times),
            "has": held[0] if held else "",
            "rows": len(held),
            "double": reliability.double.get(curator.name, 0),
            "agreement": reliability.agreement.get(curator.name),
            "accuracy": reliability.known(curator.name),
        }

    def _refresh(self) -> None:
        before = self._curators.all
        self._curators.refresh()
        for name in before.keys() - self._curators.all.keys():
            self.audit.write("revoked", who=name)
            self.leases.release(name)
            if member := self._members.pop(name, None):
                self.review.desks.remove(member.desk)

    def _member(self, name: str) -> _Member:
        if name not in self._members:
            desk = Desk(self.review, name, self._blind, leases=self.leases)
            self._members[name] = _Member(desk)
        return self._members[name]

    def _address(self, scope: Scope, headers: Headers) -> str:
        peer = scope["client"][0] if scope.get("client") else ""
        told = headers.get("x-forwarded-for", [])
        # The last entry is the proxy's own; those before it are the word of anybody.
        return told[-1].rpartition(",")[2].strip() if told and peer == self._proxy else peer

    def _count_guess(self, address: str) -> None:
        self._guesses.setdefault(address, Bucket(*GUESSES)).allow()
        self._guesses.move_to_end(address)
        if len(self._guesses) > _ADDRESSES:
            self._guesses.popitem(last=False)


class _Member:
    """A curator's desk, limits, and the times of their answers."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.answers, self.others = Bucket(*ANSWERS), Bucket(*OTHERS)
        self.times = deque[float](desk.review.table.times_of(desk.reviewer), maxlen=20_000)
