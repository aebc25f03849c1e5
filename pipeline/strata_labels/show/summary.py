"""The last lines of a build: what it made, in words."""

from __future__ import annotations

from typing import Any


def summary_lines(title: str, numbers: dict[str, Any], agreed: dict[str, Any] | None) -> list[str]:
    """A run's result for the terminal.

    Args:
        title: the tree's name.
        numbers: see `numbers_of`.
        agreed: see `published_agreement`, or None.
    """
    total = sum(numbers["items"].values())
    splits = ", ".join(f"{count:,} {split}" for split, count in numbers["items"].items())
    labelled, accepted = numbers["labelled"], numbers["accepted"]
    # Builds of version 0.1.0 did not count these apart.
    people = numbers.get("decided_by_people")
    lines = [
        f"{title}: {total:,} items ({splits})",
        f"  labelled   {labelled:,} ({share_text(labelled, total)}){_stops(numbers)}",
    ]
    if people is None:
        lines.append(f"  accepted   {accepted:,} ({share_text(accepted, total)})")
    else:
        automatic = numbers["accepted_automatically"]
        lines.append(f"  accepted   {automatic:,} automatically ({share_text(automatic, total)})")
        if people:
            lines.append(f"  decided    {people:,} by people ({share_text(people, total)})")
    if numbers["set_aside"]:
        aside = ", ".join(
            f"{count:,} {status.replace('_', ' ')}"
            for status, count in numbers["set_aside"].items()
        )
        lines.append(f"  no label   {aside}")
    for row in reversed(numbers["levels"][1:]):
        largest = ", ".join(f"{name} {count:,}" for name, count in row["largest"])
        more = ", ..." if row["nodes"] > len(row["largest"]) else ""
        examples = f": {largest}{more}" if largest else ""
        lines.append(f"  level {row['level']}    {row['nodes']:,} {row['name']}{examples}")
    if agreed and agreed["compared"]:
        lines.append(
            f"  published  {share_text(agreed['agreed'], agreed['compared'])} of "
            f"{agreed['compared']:,} published labels agree"
        )
    issues = numbers.get("label_issues")  # a build of an earlier version has none
    if issues and issues["opened"]:
        lines.append(
            f"  questioned {issues['opened']:,} given labels; by estimate "
            f"{issues['expected_wrong']:,.1f} of them are wrong"
        )
    # A build of an earlier version did not count these.
    idle = {key: n for key, n in numbers.get("decisions", {}).items() if n and key != "effective"}
    if idle:
        parts = ", ".join(f"{count:,} {key}" for key, count in idle.items())
        lines.append(f"  unapplied  {sum(idle.values()):,} decisions: {parts}")
    if unread := numbers.get("unread_images"):
        parts = ", ".join(f"{count:,} {reason}" for reason, count in unread.items())
        lines.append(f"  images     {sum(unread.values()):,} not read: {parts}")
    if shared := numbers.get("shared_images"):
        lines.append(f"  images     {shared:,} belong to several items")
    found = numbers.get("image_issues")
    if found and found["images"]:
        lines.append(
            f"  images     {found['images']:,} of {found['items']:,} items do not look like their "
            f"item, {found['like_other_node']:,} of them more like another node"
        )
    if lost := numbers.get("lost_nodes"):
        lines.append(f"  lost       {lost:,} nodes that decisions name; a review row asks for each")
    if numbers["open_rows"]:
        lines.append(f"  review     {numbers['open_rows']:,} rows are open")
    return lines


def _stops(numbers: dict[str, Any]) -> str:
    """Where labels stop early: `, of these 3 only as far as kind`."""
    stopped = numbers.get("stopped", {})
    if not stopped:
        return ""
    names = {str(row["level"]): row["name"] for row in numbers["levels"]}
    parts = [f"{count:,} only as far as {names[level]}" for level, count in stopped.items()]
    return f", of these {', '.join(parts)}"


def share_text(part: int, whole: int) -> str:
    """A part of a whole in per cent, for people."""
    return f"{100 * part / whole:.1f} %" if whole else "none"
