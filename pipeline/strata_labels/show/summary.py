"""The last lines of a build: what came out, in words, and where it lies."""

from __future__ import annotations

from typing import Any


def summary_lines(title: str, numbers: dict[str, Any], agreed: dict[str, Any] | None) -> list[str]:
    """A run's result for the terminal.

    Args:
        title: the tree's name.
        numbers: see `numbers_of`.
        agreed: see `agreement`, or None.
    """
    total = sum(numbers["items"].values())
    splits = ", ".join(f"{count:,} {split}" for split, count in numbers["items"].items())
    labelled, accepted = numbers["labelled"], numbers["accepted"]
    lines = [
        f"{title}: {total:,} items ({splits})",
        f"  labelled   {labelled:,} ({_share(labelled, total)})",
        f"  accepted   {accepted:,} without asking ({_share(accepted, total)})",
    ]
    if numbers["set_aside"]:
        aside = ", ".join(
            f"{count:,} {status.replace('_', ' ')}"
            for status, count in numbers["set_aside"].items()
        )
        lines.append(f"  set aside  {aside}")
    for row in reversed(numbers["levels"][1:]):
        largest = ", ".join(f"{name} {count:,}" for name, count in row["largest"])
        lines.append(f"  level {row['level']}    {row['nodes']:,} {row['name']}: {largest}, ...")
    if agreed and agreed["compared"]:
        lines.append(
            f"  published  {_share(agreed['agreed'], agreed['compared'])} of "
            f"{agreed['compared']:,} published labels met"
        )
    if numbers["open_rows"]:
        lines.append(f"  review     {numbers['open_rows']:,} rows wait for a decision")
    return lines


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"
