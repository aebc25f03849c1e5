"""Verified downloads: resumed, retried, checksummed, whole or not at all.

A download grows in `.NAME.part`, with the version it is of beside it in `.NAME.part.json`, and is
renamed to `NAME` when length and checksums are right. `checksums.sha256` in the folder records
what came, in the format of `sha256sum --check`.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from strata_labels.errors import Problem, RetryError, refuse
from strata_labels.files import move_into_place, sha256_of, write_text
from strata_labels.messages import say, warn
from strata_labels.progress import Tracker, track
from strata_labels.retry import (
    TRANSIENT_STATUS,
    RetryPolicy,
    TransientError,
    retry_after,
    with_retries,
)
from strata_labels.sources.answer import Version, content_range

MANIFEST = "checksums.sha256"
# What is in flight of a block is lost when the connection breaks, so blocks are small.
_BLOCK = 1 << 14
_DAMAGED_AT_MOST = 3


@dataclass(frozen=True)
class Fetched:
    """A file that is there and right.

    Attributes:
        path: where.
        sha256: hex.
        size: bytes.
        kept: it was there before, and no request was made.
    """

    path: Path
    sha256: str
    size: int
    kept: bool


class _RefusedError(Exception):
    """The server will not give the file, however often it is asked."""


def download_all(
    folder: Path,
    addresses: Mapping[str, Sequence[str]],
    policy: RetryPolicy | None = None,
    md5_sums: Mapping[str, str] | None = None,
) -> list[Fetched]:
    """Downloads files into a folder; those that are there and match its manifest are kept.

    Progress is shown on standard error.

    Args:
        folder: where the files go; made if need be.
        addresses: for each file's name the addresses to try, in order (the next one is tried where
            a server says that there is no such file).
        policy: how long to try.
        md5_sums: published MD5 sums by file name, where there are some.

    Returns:
        The files, in the order of `addresses`.

    Raises:
        InputError: files that no address has (all listed; the others are there).
        RetryError: a server out of reach or broken; what came so far is kept for the next run.
    """
    policy = policy or RetryPolicy()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    fetched, problems = [], []
    with _locked(folder), requests.Session() as session:
        session.headers["User-Agent"] = f"strata-labels python-requests/{requests.__version__}"
        # Lengths and ranges must be the file's own.
        session.headers["Accept-Encoding"] = "identity"
        for name, urls in addresses.items():
            path = folder / name
            recorded = read_manifest(folder).get(name)
            kept = recorded and path.is_file() and sha256_of(path) == recorded
            if kept and (wrong := wrong_content(path, name)):
                warn(f"{name}: {wrong} by an earlier fetch; fetched again")
                kept = False
            if recorded and kept:
                path.with_name(f".{name}.part.json").unlink(missing_ok=True)  # of a killed run
                say(f"{name}: already there, checksum right")
                fetched.append(Fetched(path, recorded, path.stat().st_size, kept=True))
                continue
            try:
                fetched.append(_download(session, urls, path, policy, (md5_sums or {}).get(name)))
            except _RefusedError as error:
                fix = "Check the address (--base-url), or put the file there yourself."
                problems.append(Problem(urls[0], str(error), fix))
    refuse(problems)
    return fetched


def remote_size(session: requests.Session, address: str) -> int | None:
    """Bytes at an address, 0 if the server does not say; None if nothing is there."""
    try:
        headers = {"Accept-Encoding": "identity"}
        with session.get(address, headers=headers, stream=True, timeout=(10, 60)) as response:
            length = response.headers.get("Content-Length", "")
            return (int(length) if length.isdigit() else 0) if response.ok else None
    except requests.RequestException as error:
        raise RetryError(f"{address}: out of reach ({type(error).__name__}).") from None


def read_manifest(folder: Path) -> dict[str, str]:
    """Hex SHA-256 by file name, as the folder's manifest records them."""
    path = folder / MANIFEST
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return {name: digest for digest, name in re.findall(r"(?m)^([0-9a-f]{64}) [ *](.+)$", text)}


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Refuses a second fetch into the folder while this one runs."""
    with (folder / ".fetch.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RetryError(f"{folder}: another fetch is running; wait for it to end") from None
        yield


def _download(
    session: requests.Session,
    urls: Sequence[str],
    path: Path,
    policy: RetryPolicy,
    published_md5: str | None,
) -> Fetched:
    for url in urls[:-1]:
        try:
            return _download_from(session, url, path, policy, published_md5)
        except _RefusedError:
            continue
    return _download_from(session, urls[-1], path, policy, published_md5)


def _download_from(
    session: requests.Session, url: str, path: Path, policy: RetryPolicy, published_md5: str | None
) -> Fetched:
    """Downloads from one address, with retries; an attempt that brought new bytes is progress."""
    part = path.with_name(f".{path.name}.part")
    state = path.with_name(f".{path.name}.part.json")
    largest, damaged = _size(part), 0

    def attempt() -> str:
        nonlocal largest, damaged
        try:
            version = _attempt(session, url, part, state, tracker, policy)
        except TransientError as error:
            error.progressed = _size(part) > largest
            largest = max(largest, _size(part))
            raise
        sha256, md5 = _digests(part)
        reason = wrong_content(part, path.name)
        expected = published_md5 or version.md5
        if expected and expected != md5:
            reason = f"damaged on the way (MD5 {md5}, published {expected})"
        if not reason:
            return sha256
        part.unlink()
        damaged += 1
        if damaged == _DAMAGED_AT_MOST:
            raise RetryError(f"{url}: {reason}; given up after {damaged} damaged copies.")
        raise TransientError(reason)

    with track(None, path.name, "bytes") as tracker:
        sha256 = with_retries(attempt, policy, url)
    size = part.stat().st_size
    # Recorded before it appears: a run killed in between finds a finished part and asks again.
    lines = {**read_manifest(path.parent), path.name: sha256}
    write_text(
        path.parent / MANIFEST, "".join(f"{lines[name]}  {name}\n" for name in sorted(lines))
    )
    move_into_place(part, path)
    state.unlink(missing_ok=True)
    return Fetched(path, sha256, size, kept=False)


def wrong_content(path: Path, name: str) -> str:
    """Why a file cannot be what its name says; "" if it may be.

    Empty files, web pages (a sign-in page sent as text), and packed files that end early.
    """
    with path.open("rb") as file:
        start = file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        return "an empty file came"
    if start.startswith((b"<!doctype html", b"<html", b"<?xml")) and not name.endswith("ml"):
        return "a web page came"
    try:
        if name.endswith((".gz", ".tgz")):
            with gzip.open(path) as packed:
                while packed.read(1 << 20):
                    pass
        elif name.endswith(".zip"):
            with zipfile.ZipFile(path) as packed_files:
                if bad := packed_files.testzip():
                    return f"a damaged file came ({bad})"
    except (EOFError, OSError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        return f"a damaged file came ({error})"
    return ""


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _attempt(
    session: requests.Session,
    url: str,
    part: Path,
    state: Path,
    tracker: Tracker,
    policy: RetryPolicy,
) -> Version:
    """Asks for what is missing of `part` and writes it; returns once it has its full length."""
    version = Version.load(state)
    have = _size(part)
    if version is None or version.url != url or not version.condition:
        version, have = None, 0
    headers = {}
    if version and have:
        headers = {"Range": f"bytes={have}-", "If-Range": version.condition}
    try:
        with session.get(url, headers=headers, stream=True, timeout=policy.timeout) as response:
            if version and have and response.status_code in (206, 416):
                if not _continues(response, version, have):
                    state.unlink()
                    raise TransientError("the server does not continue where the part ends")
                if response.status_code == 416:
                    return version
            else:
                _check_status(response, part.name)
                # Truncated before its version is noted: the two never disagree after a kill.
                part.write_bytes(b"")
                version, have = Version.of(url, response), 0
                version.save(state)
            _check_space(part, have, version)
            tracker.restart(have, version.length)
            with part.open("ab") as file:
                for block in response.iter_content(_BLOCK):
                    file.write(block)
                    tracker.advance(len(block))
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
        raise _RefusedError(f"no address to download from ({error})") from None
    except requests.exceptions.MissingSchema:
        raise _RefusedError("no address to download from (http:// or https:// missing)") from None
    except requests.RequestException as error:
        raise TransientError(f"connection broken ({_reason(error)})") from error
    size = part.stat().st_size
    if version.length is not None and size != version.length:
        if size > version.length:
            part.unlink()
        raise TransientError(f"{size} of {version.length} bytes came")
    return version


def _check_status(response: requests.Response, name: str) -> None:
    status = response.status_code
    if status in TRANSIENT_STATUS:
        why = f"the server answers {status} {response.reason}"
        raise TransientError(why, retry_after(response))
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
