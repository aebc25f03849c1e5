"""Verified downloads: resumed, retried, checksummed, whole or not at all.

A download grows in `.NAME.part`, with the version it is of beside it in `.NAME.part.json`, and is
renamed to `NAME` when length and checksums are right. `checksums.sha256` in the folder records
what came, in the format of `sha256sum --check`.
"""

from __future__ import annotations

import fcntl
import hashlib
import random
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from rich.console import Console

from strata_labels.errors import InputError, Problem, RetryError
from strata_labels.files import appear, sha256_of, write_text
from strata_labels.progress import ByteProgress
from strata_labels.sources.answer import Version, content_range
from strata_labels.waiting import retry_after

MANIFEST = "checksums.sha256"
# What is in flight of a block is lost when the connection breaks, so blocks are small.
_BLOCK = 1 << 14
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_DAMAGED_AT_MOST = 3


@dataclass(frozen=True)
class Patience:
    """How long a download is tried.

    Attributes:
        attempts: attempts in a row that bring nothing new before it is given up.
        first_wait: seconds before the second attempt; doubled for each further one.
        longest_wait: seconds a server may ask to wait (`Retry-After`), longest.
        timeout: seconds to connect, and between two pieces of an answer.
    """

    attempts: int = 6
    first_wait: float = 1.0
    longest_wait: float = 900.0
    timeout: tuple[float, float] = (10.0, 60.0)


@dataclass(frozen=True)
class Fetched:
    """A file that is there and right.

    Attributes:
        path: where.
        sha256: hex.
        size: bytes.
        kept: it was there before, and nothing was asked of the server.
    """

    path: Path
    sha256: str
    size: int
    kept: bool


class _AgainError(Exception):
    """An attempt failed in a way that another may not."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait


class _RefusedError(Exception):
    """The server will not give the file, however often it is asked."""


def download_all(
    folder: Path,
    addresses: Mapping[str, Sequence[str]],
    console: Console | None = None,
    patience: Patience | None = None,
) -> list[Fetched]:
    """Downloads files into a folder; those that are there and match its manifest are kept.

    Args:
        folder: where the files go; made if need be.
        addresses: for each file's name the addresses to try, in order (the next one is tried where
            a server says that there is no such file).
        console: where progress is reported; None for nowhere.
        patience: how long to try.

    Returns:
        The files, in the order of `addresses`.

    Raises:
        InputError: files that no address has (all listed; the others are there).
        RetryError: a server out of reach or broken; what came so far is kept for the next run.
    """
    patience = patience or Patience()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    fetched, problems = [], []
    with _alone(folder), requests.Session() as session:
        session.headers["User-Agent"] = f"strata-labels python-requests/{requests.__version__}"
        # Lengths and ranges must be the file's own.
        session.headers["Accept-Encoding"] = "identity"
        for name, urls in addresses.items():
            path = folder / name
            recorded = read_manifest(folder).get(name)
            with ByteProgress(console, name) as progress:
                if recorded and path.is_file() and sha256_of(path) == recorded:
                    progress.say(f"{name}: there already, checksum right")
                    fetched.append(Fetched(path, recorded, path.stat().st_size, kept=True))
                    continue
                try:
                    fetched.append(_download(session, urls, path, progress, patience))
                except _RefusedError as error:
                    fix = "Check the address (--base-url), or put the file there yourself."
                    problems.append(Problem(urls[0], str(error), fix))
                    progress.say(f"{name}: {error}")
                    continue
                progress.say(f"{name}: done, {fetched[-1].size} bytes")
    if problems:
        raise InputError(problems)
    return fetched


def download_named(
    folder: Path,
    base_url: str,
    names: Sequence[str],
    known: Sequence[str],
    console: Console | None = None,
) -> list[Fetched]:
    """Downloads files that lie side by side (see `download_all`).

    Args:
        folder: where they go.
        base_url: the folder they are in.
        names: the files wanted.
        known: the files there are.
        console: where progress is reported.

    Raises:
        InputError: an unknown name; as `download_all`.
        RetryError: as `download_all`.
    """
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(
            Problem("names", "no such file:", f"Known: {', '.join(known)}.", value=name)
            for name in unknown
        )
    return download_all(
        folder, {name: [f"{base_url.rstrip('/')}/{name}"] for name in names}, console
    )


def read_manifest(folder: Path) -> dict[str, str]:
    """Hex SHA-256 by file name, as the folder's manifest records them."""
    path = folder / MANIFEST
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return {name: digest for digest, name in re.findall(r"(?m)^([0-9a-f]{64}) [ *](.+)$", text)}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps a second fetch out of the folder while this one runs."""
    with (folder / ".fetch.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RetryError(f"{folder}: another fetch is at work here; wait for it") from None
        yield


def _download(
    session: requests.Session,
    urls: Sequence[str],
    path: Path,
    progress: ByteProgress,
    patience: Patience,
) -> Fetched:
    for url in urls[:-1]:
        try:
            return _persist(session, url, path, progress, patience)
        except _RefusedError:
            continue
    return _persist(session, urls[-1], path, progress, patience)


def _persist(
    session: requests.Session, url: str, path: Path, progress: ByteProgress, patience: Patience
) -> Fetched:
    """Attempts one address until the file is whole or patience is at its end."""
    part = path.with_name(f".{path.name}.part")
    state = path.with_name(f".{path.name}.part.json")
    failures = damaged = 0
    most = part.stat().st_size if part.exists() else 0
    while True:
        try:
            version = _attempt(session, url, part, state, progress, patience)
            sha256, md5 = _digests(part)
            if not version.md5 or version.md5 == md5:
                break
            part.unlink()
            damaged += 1
            why, wait = f"damaged on the way (MD5 {md5}, published {version.md5})", None
        except _AgainError as error:
            why, wait = str(error), error.wait
        size = part.stat().st_size if part.exists() else 0
        failures = 0 if size > most else failures + 1
        most = max(most, size)
        if failures >= patience.attempts or damaged >= _DAMAGED_AT_MOST:
            raise RetryError(f"{url}: {why}. Given up after {failures} vain attempts; try later.")
        if wait is not None and wait > patience.longest_wait:
            raise RetryError(f"{url}: {why}. The server asks to come back in {wait:.0f} s.")
        if wait is None:
            # Half to the whole of the doubled wait, so that many clients do not return at once.
            wait = min(60.0, patience.first_wait * 2**failures) * random.uniform(0.5, 1.0)
        progress.say(f"{path.name}: {why}; again in {wait:.1f} s, from byte {size}")
        time.sleep(wait)
    size = part.stat().st_size
    # Recorded before it appears: a run killed in between finds a finished part and asks again.
    lines = {**read_manifest(path.parent), path.name: sha256}
    write_text(
        path.parent / MANIFEST, "".join(f"{lines[name]}  {name}\n" for name in sorted(lines))
    )
    appear(part, path)
    state.unlink(missing_ok=True)
    return Fetched(path, sha256, size, kept=False)


def _attempt(
    session: requests.Session,
    url: str,
    part: Path,
    state: Path,
    progress: ByteProgress,
    patience: Patience,
) -> Version:
    """Asks for what is missing of `part` and writes it; returns once it has its full length."""
    version = Version.load(state)
    have = part.stat().st_size if part.exists() else 0
    if version is None or version.url != url or not version.condition:
        version, have = None, 0
    headers = {}
    if version and have:
        headers = {"Range": f"bytes={have}-", "If-Range": version.condition}
    try:
        with session.get(url, headers=headers, stream=True, timeout=patience.timeout) as response:
            if version and have and response.status_code in (206, 416):
                if not _continues(response, version, have):
                    state.unlink()
                    raise _AgainError("the server does not continue where the part ends", 0.0)
                if response.status_code == 416:
                    return version
            else:
                _check_status(response, part.name)
                # Truncated before its version is noted: the two never disagree after a kill.
                part.write_bytes(b"")
                version, have = Version.of(url, response), 0
                version.save(state)
            _check_space(part, have, version)
            progress.begin(have, version.length)
            with part.open("ab") as file:
                for block in response.iter_content(_BLOCK):
                    file.write(block)
                    progress.advance(len(block))
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
        raise _RefusedError(f"no address to download from ({error})") from None
    except requests.exceptions.MissingSchema:
        raise _RefusedError("no address to download from (http:// or https:// missing)") from None
    except requests.RequestException as error:
        raise _AgainError(f"connection broken ({_reason(error)})") from error
    size = part.stat().st_size
    if version.length is not None and size != version.length:
        if size > version.length:
            part.unlink()
        raise _AgainError(f"{size} of {version.length} bytes came")
    return version


def _check_status(response: requests.Response, name: str) -> None:
    status = response.status_code
    if status in _TRANSIENT:
        why = f"the server answers {status} {response.reason}"
        raise _AgainError(why, retry_after(response))
    if status != 200:
        raise _RefusedError(f"the server answers {status} {response.reason}")
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise _RefusedError(f"a web page came instead of {name[1:-5]}")


def _continues(response: requests.Response, version: Version, have: int) -> bool:
    """Whether a partial answer (206, or 416 past the end) is of the same file, from byte `have`."""
    start, total = content_range(response)
    if response.status_code == 416:
        return have == (total if total is not None else version.length)
    etag = response.headers.get("ETag", version.condition)
    same = etag == version.condition or not version.condition.startswith('"')
    return start == have and same and (None in (version.length, total) or version.length == total)


def _check_space(part: Path, have: int, version: Version) -> None:
    free = shutil.disk_usage(part.parent).free
    if version.length is not None and version.length - have > free:
        raise RetryError(
            f"{part.parent}: the disk has {free} bytes left, {version.url} needs "
            f"{version.length - have}. Make room and run this again."
        )


def _digests(path: Path) -> tuple[str, str]:
    """Hex SHA-256 and MD5 of a file, in one pass."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            sha256.update(block)
            md5.update(block)
    return sha256.hexdigest(), md5.hexdigest()


def _reason(error: Exception) -> str:
    """The innermost cause: libraries wrap it several times."""
    text = str(error)
    found = re.findall(r"(?:\[Errno -?\d+\] |IncompleteRead|Read timed out)[^'\")]*", text)
    return (found[-1] if found else text)[:200]
