"""The examples of docs/own-code.md run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "own-code.md"
EXAMPLES = re.findall(r"^## (.+?)$.*?```python\n(.*?)```", PAGE.read_text(), re.M | re.S)


@pytest.mark.parametrize(("title", "code"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
def test_example(title: str, code: str) -> None:
    if title == "Lightning":
        why = "not a dependency; test_other_libraries.py installs it"
        pytest.importorskip("pytorch_lightning", reason=why)
    exec(compile(code, f"{PAGE.name}: {title}", "exec"), {})


def test_every_section_has_an_example() -> None:
    assert [title for title, _ in EXAMPLES] == re.findall(r"^## (.+)$", PAGE.read_text(), re.M)
