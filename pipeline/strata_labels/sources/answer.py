"""What a server's answer says of a file: version, length and checksum."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import requests

from strata_labels.files import write_json

_MD5 = re.compile('"([0-9a-fA-F]{32})"')


@dataclass(frozen=True)
class Version:
    """The version of a remote file that a download is of.

    Attributes:
        url: its address.
        condition: a strong ETag or the Last-Modified date, for `If-Range`; blank where the server
            gives neither, and the download cannot be resumed.
        length: bytes, if known.
        md5: hex, if published (`Content-MD5`, or an ETag of the form S3 gives single uploads).
    """

    url: str
    condition: str
    length: int | None
    md5: str

    @classmethod
    def of(cls, url: str, response: requests.Response) -> Version:
        """Reads the headers of a full answer (status 200)."""
        headers = response.headers
        if headers.get("Content-Encoding", "identity") != "identity":
            # Compressed on the way: its length and checksum are not the file's.
            return cls(url, "", None, "")
        etag = headers.get("ETag", "")
        length = headers.get("Content-Length", "")
        return cls(
            url,
            etag if etag.startswith('"') else headers.get("Last-Modified", ""),
            int(length) if length.isdecimal() and len(length) <= 18 else None,
            _md5(etag, headers.get("Content-MD5", ""), headers),
        )

    @classmethod
    def load(cls, path: Path) -> Version | None:
        """Reads what `save` wrote; None if it is not there or damaged."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def save(self, path: Path) -> None:
        """Writes it as JSON."""
        write_json(path, asdict(self))


def _md5(etag: str, content_md5: str, headers: requests.structures.CaseInsensitiveDict[str]) -> str:
    try:
        digest = base64.b64decode(content_md5, validate=True).hex()
    except (binascii.Error, ValueError):
        digest = ""
    if len(digest) == 32:
        return digest
    # S3's ETags of objects under a managed key look like an MD5 and are none.
    managed = headers.get("x-amz-server-side-encryption", "").startswith("aws:")
    match = _MD5.fullmatch(etag)
    return match[1].lower() if match and not managed else ""


def content_range(response: requests.Response) -> tuple[int | None, int | None]:
    """First byte and whole length from `Content-Range` (`bytes 5-9/10`, `bytes */10`)."""
    match = re.fullmatch(
        r"bytes (?:(\d{1,18})-\d+|\*)/(\d{1,18}|\*)", response.headers.get("Content-Range", "")
    )
    if match is None:
        return None, None
    start, total = match.groups()
    return int(start) if start else None, int(total) if total != "*" else None
