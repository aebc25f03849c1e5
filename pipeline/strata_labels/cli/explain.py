"""`strata explain`: why an item is where it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strata_labels.cli.result import open_workspace

if TYPE_CHECKING:
    from strata_labels.build import Explanation

_WHY = {
    "reached": "the nearest node",
    "tie": "several nodes are as near: a person decides",
    "outside": "proved to have no place in the vocabulary",
    "unknown": "the chain ends without reaching a node",
}
_CUTS = {
    "loop": "both are in one loop, which counts as one class",
    "depth": "beyond the depth cap of",
    "stop": "the class is on the stop-list:",
    "rank": "the statement's rank:",
    "missing": "nothing is known of the class",
}


def explain(
    item: Annotated[str, typer.Argument(help="The item's id, such as gldv2/train/123.")],
    folder: Annotated[
        Path, typer.Argument(metavar="WORKSPACE", help="A folder that `strata build` has filled.")
    ] = Path(),
) -> None:
    """Explain an item's label: entity, classes, path, alternatives, statements not followed."""
    from strata_labels.build import explain as look_up

    for line in _lines(look_up(open_workspace(folder), item)):
        print(line)


def _lines(found: Explanation) -> list[str]:
    from strata_labels.evidence import evidence_text, reason_text

    item, entity, verdict = found.item, found.entity, found.verdict
    lines = [f"{item['item_id']}  {item['name']}", f"  category   {item['title'] or '-'}"]
    what = f"{entity['label'] or '?'} ({entity['qid']})" if entity["qid"] else "none"
    way = f", by its {entity['linked_by']}" if entity["linked_by"] else ""
    lines.append(f"  entity     {what}, {entity['status']}{way}")
    if len(entity["other_qids"]):
        lines.append(f"             also claimed by {', '.join(entity['other_qids'])}")
    if entity["lat"] == entity["lat"]:  # not NaN
        country = f", country {entity['country']}" if entity["country"] else ""
        lines.append(f"  place      {entity['lat']:.4f}, {entity['lon']:.4f}{country}")
    names = [f"{found.labels.get(q, '?')} ({q})" for q in entity["class_qids"]]
    lines.append(f"  classes    {', '.join(names) or 'none'}")
    lines.append(f"  class says {verdict.node or 'nothing'}: {_WHY[verdict.reason]}")
    chosen = verdict.ties or ((verdict,) if verdict.path else ())
    lines += [f"  path       {found.path(way)} → {way.node or '-'}" for way in chosen]
    lines += [
        f"  otherwise  {found.path(way)} → {way.node or way.reason}" for way in verdict.others
    ]
    for cut in found.cuts:
        detail = f" {cut.detail}" if cut.detail else ""
        ends = [f"{found.labels.get(q, '?')} ({q})" for q in (cut.from_qid, cut.to_qid) if q]
        lines.append(f"  cut        {' > '.join(ends)}: {_CUTS[cut.reason]}{detail}")
    row, assigned = found.proposal, found.assignment
    path = [assigned[c] for c in assigned.index if c.startswith("level") and c.endswith("_name")]
    shown = " › ".join(str(name) for name in path if isinstance(name, str) and name)
    asked = "accepted" if assigned["accepted"] else "review asked"
    origin = f" by {assigned['origin']}" if assigned["origin"] else ""
    lines.append(
        f"  label      {shown or 'none'} ({assigned['status']}{origin}, "
        f"confidence {assigned['confidence']:.2f}, {asked})"
    )
    lines += [f"  evidence   {text}" for text in evidence_text(row["evidence"], found.nodes)]
    lines += [f"  reason     {text}" for text in reason_text(row["reasons"], found.nodes)]
    return lines
