"""Packs a tree, all its items and pictures of examples into texts that the tree page unpacks.

The data are sections, each a length (4 bytes, little endian) and its bytes, compressed together as
a raw deflate stream (`as_text` writes it as text):

1. JSON: columns of the nodes, and what is said of the whole.
2. States of the items, a byte each.
3. Ids: JSON `[prefix, ...]`, then, in sections of their own, the prefix of each item (a byte) and
   its number behind the prefix (four planes of a byte); or three blank ones and front-coded text.
4. Names, front-coded: a line starts with the sign of code 32 + n, and n is the number of signs that
   it shares with the line before it.
5. Addresses, a line an item: blank, the whole address, `+` and what follows the common start, or
   `=` and what follows the common start and the name.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from strata_labels.show.page_layout import DOUBTED, OPEN, PageLayout

_LONGEST_SHARED = 90  # signs, so that the first one of a line is printable ASCII
_NONE = np.arange(0)
_TAIL = re.compile(r"[1-9][0-9]{0,8}$|(?<![0-9])0$")


@dataclass(frozen=True)
class PackedPage:
    """What fits into the page.

    Attributes:
        text: the data, see `as_text`.
        items: rows of the layout's items that are in it.
        left_out: what is not, in words for people.
    """

    text: str
    items: np.ndarray
    left_out: tuple[str, ...]


def fit_nodes(layout: PageLayout, most: int) -> tuple[PageLayout, int]:
    """Leaves out the finest nodes of a tree that has too many; their items go to the nodes above.

    Args:
        layout: the tree.
        most: characters that the nodes may have without items.

    Returns:
        The layout, and how many levels were left out.
    """
    levels = 0
    while layout.nodes["depth"].max() > 1 and len(_packed(layout, {}, _NONE, False, False)) > most:
        kept = (layout.nodes["depth"] < layout.nodes["depth"].max()).to_numpy()
        # Before the nodes of the finest level comes the one above them.
        node = (np.cumsum(kept) - 1)[layout.items["node"].to_numpy(dtype=int)]
        nodes = layout.nodes[kept].reset_index(drop=True)
        nodes["direct"] = np.bincount(node, minlength=len(nodes))
        layout, levels = PageLayout(nodes, layout.items.assign(node=node)), levels + 1
    return layout, levels


def pack(layout: PageLayout, about: dict[str, Any], most: int) -> PackedPage:
    """Packs nodes and items into at most `most` characters, if the nodes alone fit (`fit_nodes`).

    What does not fit is left out in this order: addresses that do not follow from the name, ids,
    and items that are neither open nor doubted, those first that are surest.
    """
    count = len(layout.items)
    every = np.arange(count)
    left: list[str] = []
    text = ""
    for full, ids, note in (
        (True, True, ""),
        (False, True, "addresses of some items"),
        (False, False, "ids of items"),
    ):
        left += [note] if note else []
        text = _packed(layout, about, every, full, ids)
        if len(text) <= most:
            return PackedPage(text, every, tuple(left))
    flags = layout.items["state"].to_numpy()
    sure = layout.items["confidence"].to_numpy(dtype=float) + ((flags & (OPEN | DOUBTED)) == 0)
    order = np.argsort(np.nan_to_num(sure), kind="stable")
    alone = len(_packed(layout, about, _NONE, False, False))
    kept = count
    while kept and len(text) > most:
        share = max(most - alone, 0) / max(len(text) - alone, 1)
        kept = min(kept - 1, int(kept * share * 0.98))
        some = np.sort(order[:kept])
        text = _packed(layout, about, some, False, False)
    left.append(f"{count - kept:,} of {count:,} items")
    return PackedPage(text, np.sort(order[:kept]), tuple(left))


def _packed(
    layout: PageLayout, about: dict[str, Any], rows: np.ndarray, full: bool, ids: bool
) -> str:
    items, nodes = layout.items.iloc[rows], layout.nodes
    listed = np.bincount(items["node"].to_numpy(dtype=int), minlength=len(nodes))
    start, lines = _addresses(items["name"].tolist(), items["address"].tolist(), full)
    doubted = np.flatnonzero((items["given"] != "").to_numpy())
    header = {
        **about,
        "nodes": {name: nodes[name].tolist() for name in nodes},
        "listed": listed.tolist(),
        "start": start,
        "given": [[int(n), items["given"].iloc[n]] for n in doubted],
    }
    sections = [
        json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode(),
        items["state"].to_numpy(dtype=np.uint8).tobytes(),
        *(_ids(items["item_id"].tolist()) if ids else [b""] * 4),
        _lines(_front_coded(items["name"].tolist())),
        _lines(lines),
    ]
    whole = b"".join(len(part).to_bytes(4, "little") + part for part in sections)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    return as_text(deflate.compress(whole) + deflate.flush())


def as_text(content: bytes) -> str:
    """Bytes as text for a script element: base 85 of their number (4 bytes) and the bytes.

    It is a sixteenth smaller than base64. A comma stands for `<`, so that no tag can begin.
    """
    padded = len(content).to_bytes(4, "big") + content + bytes(-len(content) % 4)
    return base64.b85encode(padded).decode().replace("<", ",")


def _lines(texts: Sequence[str]) -> bytes:
    return "\n".join(texts).encode()


def _front_coded(texts: Sequence[str]) -> list[str]:
    """Each text without the start it shares with the one before it.

    Signs that JavaScript counts twice are not shared.
    """
    coded, before = [], ""
    for text in texts:
        most = min(len(text), len(before), _LONGEST_SHARED)
        shared = 0
        while shared < most and text[shared] == before[shared] and text[shared] < "\U00010000":
            shared += 1
        coded.append(chr(32 + shared) + text[shared:])
        before = text
    return coded


def _ids(ids: Sequence[str]) -> list[bytes]:
    """Sections of the ids: a common start and a number, or front-coded text."""
    starts, numbers = [], np.zeros(len(ids), np.uint32)
    for row, text in enumerate(ids):
        tail = _TAIL.search(text)
        starts.append(text[: tail.start()] if tail else text + "\n")
        numbers[row] = int(tail[0]) if tail else 0
    known = sorted(set(starts))
    if len(known) > 256:
        plain = [" ".join(text.split("\n")) for text in ids]
        return [b"", b"", b"", _lines(_front_coded(plain))]
    place = {start: n for n, start in enumerate(known)}
    planes = b"".join(((numbers >> shift) & 255).astype(np.uint8).tobytes() for shift in _SHIFTS)
    which = bytes(place[start] for start in starts)
    return [json.dumps(known, ensure_ascii=False).encode(), which, planes, b""]


_SHIFTS = (0, 8, 16, 24)


def _addresses(names: Sequence[str], addresses: Sequence[str], full: bool) -> tuple[str, list[str]]:
    """The most frequent start of an address before the item's name, and a line for each item."""
    under = [name.replace(" ", "_") for name in names]
    found = Counter(
        address[: address.rindex(name)]
        for name, address in zip(under, addresses, strict=True)
        if name and name in address
    )
    start = min(found, key=lambda text: (-found[text], text)) if found else "\n"
    lines = []
    for name, address in zip(under, addresses, strict=True):
        rest = address.removeprefix(start)
        if rest == address:
            lines.append(" ".join(address.split()) if full else "")
        elif rest.startswith(name):
            tail = rest.removeprefix(name)
            lines.append(f"={tail}" if full or not tail else "")
        else:
            lines.append(f"+{rest}" if full else "")
    return start, lines
