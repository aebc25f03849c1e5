"""A data set's official metadata files: what would be fetched, and fetching them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import requests

from strata_labels.errors import InputError, Problem
from strata_labels.sources.contract import Source
from strata_labels.sources.download import Fetched, download_all, read_manifest, remote_size


@dataclass(frozen=True)
class PlannedFile:
    """A metadata file, as a fetch would find it.

    Attributes:
        name: in the folder.
        address: where it would come from.
        size: bytes there, 0 where the server does not say; None where there is no such file.
        is_there: it has been fetched; a fetch checks its sum.
        have: bytes of an interrupted download.
    """

    name: str
    address: str
    size: int | None
    is_there: bool
    have: int


def fetch_metadata(source: Source, folder: Path, base_url: str = "") -> list[Fetched]:
    """Downloads the official metadata files; those already there and right are kept.

    Args:
        source: the data set.
        folder: where they go, with a manifest `checksums.sha256`.
        base_url: a mirror of the official address.

    Raises:
        InputError: a base that is no address, files that the server does not have.
        RetryError: a server out of reach or broken; another run continues the download.
    """
    return download_all(folder, _addresses(source, base_url))


def plan_fetch(source: Source, folder: Path, base_url: str = "") -> list[PlannedFile]:
    """Asks for the sizes of the files that `fetch_metadata` would download; writes nothing.

    Raises:
        InputError: a base that is no address.
        RetryError: a server out of reach.
    """
    manifest = read_manifest(folder)
    planned = []
    with requests.Session() as session:
        for name, addresses in _addresses(source, base_url).items():
            path = folder / name
            part = path.with_name(f".{name}.part")
            is_there = name in manifest and path.is_file()
            address, size = addresses[0], path.stat().st_size if is_there else None
            for one in [] if is_there else addresses:
                if (found := remote_size(session, one)) is not None:
                    address, size = one, found
                    break
            have = part.stat().st_size if part.is_file() else 0
            planned.append(PlannedFile(name, address, size, is_there, have))
    return planned


def _addresses(source: Source, base_url: str) -> dict[str, list[str]]:
    base = base_url or source.BASE_URL
    if not source.DOWNLOADS:
        fix = "Give --items FILE."
        raise InputError(Problem("fetch", "a table of your own is not fetched", fix))
    if not base.startswith(("http://", "https://")):
        fix = "Give an address that begins with http:// or https://."
        raise InputError(Problem("--base-url", "not an address:", fix, value=base))
    base = base.rstrip("/")
    return {name: [f"{base}/{p}" for p in paths] for name, paths in source.DOWNLOADS.items()}
