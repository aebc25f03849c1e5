"""The data card: a run's numbers in Markdown, with the front matter data set hubs read."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from strata_labels.files import write_text
from strata_labels.show.summary import share_text


def render_card(path: Path, facts: dict[str, Any]) -> None:
    """Writes the card.

    Args:
        path: Markdown file to write, whole or not at all.
        facts: `title`, `total` (items), `numbers` (see `numbers_of`), `agreement` (or None, else
            with `level`), `reviewers` (lines on their agreement, if any), `validation` (what a
            training has measured, or None), `picture` (its file name beside the card), `encoders`,
            `options` and `versions` (name to value), `published` (whether the tree is the
            published one), `licence` and `tags` of the front matter, `inputs` (`name, given_as,
            sha256`), `sources` (`name, licence, origin`), `citations`, `limits` (sentences in
            Markdown).
    """
    write_text(path, _template().render(**facts))


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("strata_labels.show", "."),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["share"] = share_text
    environment.filters["percent"] = lambda v: "–" if v is None else f"{100 * v:.2f}"
    environment.filters["signed"] = lambda v: "–" if v is None else f"{100 * v:+.2f}"
    environment.filters["words"] = lambda text: escape_markdown(str(text).replace("_", " "))
    environment.filters["plain"] = escape_markdown
    environment.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.get_template("card.md.j2")


def escape_markdown(text: object) -> str:
    """A name as one line of Markdown, also in a table, that shows it as it is.

    Example:
        >>> print(escape_markdown("a|b <i> `c`\\nd"))
        a\\|b &lt;i> \\`c\\` d
    """
    line = " ".join(str(text).split())
    return re.sub(r"[\\`*\[\]|]|(?<!\w)_|_(?!\w)", r"\\\g<0>", line).replace("<", "&lt;")
