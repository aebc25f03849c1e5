"""The file that names the curators of a served review, and the secrets of their links."""

from __future__ import annotations

import hashlib
import json
import secrets
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strata_labels.errors import InputError, Problem, refuse
from strata_labels.files import write_json
from strata_labels.people_csv import clean_cell

#: In the workspace: a digest of the secret of each curator's link.
LINKS = "curator-links.json"

_EXAMPLE = 'Name each curator in a table of its own, such as [ann] or ["Ben Li"].'


@dataclass(frozen=True)
class Curator:
    """One who may answer.

    Attributes:
        name: as in the ledger.
        owner: whether the page of all curators is shown to them.
    """

    name: str
    owner: bool = False


class Curators:
    """Who may answer. The file is read again when it has changed, so changes need no restart.

    It has a table for each curator: `[ann]`, with `owner = true` for who may see what all do, and
    `revoked = true` for who may not answer any more. Each one without a link is given one when the
    file is read. Of its secret, 192 bits at random, a digest alone is kept, so the link is told
    once. Who is revoked or not named loses it; named again, they get a new one.

    Args:
        path: the TOML file.
        folder: the workspace; has the digests in its file `LINKS`.
        tell: is given a curator's name and the secret of a new link.
        warn: is given what is wrong with a changed file; who may answer stays as it was.

    Raises:
        InputError: the file cannot be read, or names nobody.
    """

    def __init__(
        self,
        path: Path,
        folder: Path,
        tell: Callable[[str, str], None],
        warn: Callable[[str], None],
    ) -> None:
        self.path, self._links = path, folder / LINKS
        self._tell, self._warn = tell, warn
        self._written = _written(path)
        self._digests: dict[str, str] = {}
        self.all: dict[str, Curator] = {}
        self._take(read_curators(path))

    def refresh(self) -> None:
        """Reads the file again if it has changed."""
        written = _written(self.path)
        if written == self._written:
            return
        self._written = written
        try:
            self._take(read_curators(self.path))
        except (InputError, OSError) as error:
            self._warn(f"{error}\nWho may answer stays as it was.")

    def find(self, secret: str) -> Curator | None:
        """The curator with the link of this secret, in a time that does not depend on it."""
        digest, found = _digest(secret), None
        for name, other in self._digests.items():
            if secrets.compare_digest(digest, other):
                found = self.all[name]
        return found

    def _take(self, curators: dict[str, Curator]) -> None:
        kept = self._kept()
        digests = {name: kept[name] for name in curators if name in kept}
        new = {name: secrets.token_urlsafe(24) for name in curators if name not in kept}
        digests |= {name: _digest(secret) for name, secret in new.items()}
        if digests != kept:
            write_json(self._links, digests)
        self.all, self._digests = curators, digests
        for name, secret in new.items():
            self._tell(name, secret)

    def _kept(self) -> dict[str, str]:
        if not self._links.is_file():
            return {}
        try:
            kept = json.loads(self._links.read_text(encoding="utf-8"))
            return {str(name): str(digest) for name, digest in kept.items()}
        except (ValueError, AttributeError):
            fix = "Delete it: all curators get new links."
            raise InputError(Problem(self._links, "no digests of links", fix)) from None


def read_curators(path: Path) -> dict[str, Curator]:
    """Those who may answer, by name.

    Raises:
        InputError: everything that is wrong with the file.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(Problem(path, "there is no such file", _EXAMPLE)) from None
    except OSError as error:
        raise InputError(Problem(path, f"cannot be read ({error.strerror})", "Check it.")) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(Problem(path, f"no TOML: {error}", _EXAMPLE)) from None
    problems = [problem for name, value in data.items() for problem in _problems(path, name, value)]
    if not data:
        problems.append(Problem(path, "no curator", _EXAMPLE))
    refuse(problems)
    return {
        name: Curator(name, value.get("owner", False))
        for name, value in sorted(data.items())
        if not value.get("revoked", False)
    }


def _problems(path: Path, name: str, value: Any) -> list[Problem]:
    if not isinstance(value, dict):
        return [Problem(path, "no table of a curator:", _EXAMPLE, column=name, value=value)]
    found = []
    if not name or clean_cell(name) != name or not name.isprintable():
        what, fix = "no name for the ledger:", "Use letters without blanks around them."
        found.append(Problem(path, what, fix, value=name))
    for key, given in value.items():
        if key not in ("owner", "revoked"):
            fix = "Write owner or revoked, or nothing."
            found.append(Problem(path, f"[{name}] has an unknown key:", fix, value=key))
        elif not isinstance(given, bool):
            fix = "Write true or false."
            found.append(Problem(path, f"[{name}] {key} is neither:", fix, value=given))
    return found


def _digest(secret: str) -> str:
    # A fast digest does: nobody finds 192 random bits by trying.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _written(path: Path) -> tuple[int, int, int]:
    try:
        state = path.stat()
    except OSError:
        return 0, 0, 0
    return state.st_mtime_ns, state.st_size, state.st_ino
