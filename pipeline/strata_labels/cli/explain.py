"""`strata explain`: why an item is where it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from strata_labels.cli.options import BuiltWorkspace, ResultFile, write_result
from strata_labels.cli.result import open_workspace

if TYPE_CHECKING:
    from strata_labels.build import ClassFacts, Explanation

_WHY = {
    "reached": "the nearest node",
    "tie": "several nodes are as near: a person decides",
    "outside": "proved to have no place in the vocabulary",
    "unknown": "the chain ends without reaching a node",
}
_KINDS = {
    "published": "its given label",
    "name_word": "the words of its name",
    "text": "the text vector of its name",
    "image_to_text": "its images compared with the names of nodes",
    "image": "the grouping of its images",
    "class_chain": "its Wikidata class",
    "category": "items of the same category",
    "neighbours": "the most similar items",
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
    folder: BuiltWorkspace = Path(),
    json: ResultFile = None,
) -> None:
    """Explain an item's label, and how sure it is.

    What was given, how sure each level is, evidence, alternatives.
    """
    from strata_labels.build import explain as look_up

    found = look_up(open_workspace(folder), item)
    print("\n".join(_lines(found)))
    write_result(json, _record(found))


def _record(found: Explanation) -> dict[str, Any]:
    """An explanation as plain data: rows of tables by column, null for what is not there."""
    classes = found.classes
    record = {
        "item": found.item.to_dict(),
        "given": found.given.to_dict("records"),
        "label_issues": found.issues.to_dict("records"),
        "proposal": found.proposal.to_dict(),
        "assignment": found.assignment.to_dict(),
        "nodes": dict(found.nodes),
        "decisions": found.decisions.to_dict("records"),
        "what_if": found.what_if,
        "levels": found.levels,
        "given_levels": found.given_levels,
        "classes": classes
        and {
            "entity": classes.entity.to_dict(),
            "verdict": classes.verdict,
            "cuts": classes.cuts,
            "labels": _labels_met(classes),
        },
    }
    return cast(dict[str, Any], _plain(record))


def _plain(value: Any) -> Any:
    """A value as JSON has it; NaN is null."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    elif hasattr(value, "_asdict"):  # of a named tuple
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if hasattr(value, "tolist"):  # of NumPy
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if value != value else value


def _labels_met(classes: ClassFacts) -> dict[str, str]:
    """Labels of the classes of an item and of those on the ways up from them."""
    verdict = classes.verdict
    met = {*classes.entity["class_qids"], *verdict.path}
    met |= {qid for way in (*verdict.ties, *verdict.others) for qid in way.path}
    met |= {qid for cut in classes.cuts for qid in (cut.from_qid, cut.to_qid)}
    return {qid: classes.labels[qid] for qid in sorted(met) if qid in classes.labels}


def _lines(found: Explanation) -> list[str]:
    from strata_labels.evidence_text import evidence_text, reason_text

    item, row = found.item, found.proposal
    lines = [f"{item['item_id']}  {item['name']}"]
    if found.classes:
        lines += [f"  category   {item['title'] or '-'}", *_class_lines(found.classes)]
    lines += [
        f"  given      {found.given_levels[level]}: {node} ({origin})"
        for level, node, origin in zip(
            found.given["level"], found.given["node"], found.given["origin"], strict=True
        )
    ]
    lines += _issue_lines(found)
    lines += _label_lines(found)
    lines += [
        f"  {'decided' if row['state'] == 'effective' else row['state']:<10} {row['reviewer']}: "
        f"{row['decision']} {found.nodes.get(row['target'], row['target'])}".rstrip()
        for row in found.decisions.to_dict("records")
    ]
    lines += [f"  evidence   {text}" for text in evidence_text(row["evidence"], found.nodes)]
    for other in row["alternatives"]:
        sure = "" if other.confidence is None else f" ({other.confidence:.2f})"
        why = " ".join(evidence_text(other.evidence, found.nodes))
        lines.append(f"  or else    {found.nodes.get(other.node, other.node)}{sure} {why}".rstrip())
    lines += [f"  reason     {text}" for text in reason_text(row["reasons"], found.nodes)]
    return lines + _change_lines(found)


def _change_lines(found: Explanation) -> list[str]:
    """What each kind of evidence says alone, and what would change the proposed place."""
    known, names = found.what_if, found.nodes

    def named(node: str) -> str:
        return names.get(node, node)

    lines = [f"  alone      {_KINDS[kind]}: {named(node)}" for kind, node in known.alone.items()]
    for kind, others in known.without.items():
        rest = " or ".join(map(named, others)) or "no other evidence"
        lines.append(f"  changes    without {_KINDS[kind]}: {rest}")
    if known.similar:
        count, other = known.similar
        shown = f"the {count} similar items" if count > 1 else "the similar item"
        rest = named(other) if other else "no other similar item"
        lines.append(f"  changes    without {shown} of its place: {rest}")
    if found.assignment["origin"] == "human":
        place = found.proposal["parent"]
        proposed = named(place) if isinstance(place, str) and place else "no place"
        lines.append(f"  changes    without the decision of a person: {proposed}")
    return lines


def _issue_lines(found: Explanation) -> list[str]:
    """How far each given label is to be trusted, and what it should be if it is wrong."""
    lines = []
    for issue in found.issues.to_dict("records"):
        level = found.levels[issue["level"]]
        other = found.nodes.get(issue["suggestion"], "none")
        opened = "; opened for review" if issue["opened"] else ""
        lines.append(
            f"  checked    {level}: score {issue['score']:.2f} (1 is clean), "
            f"wrong with probability {issue['wrong']:.2f}, then {other}{opened}"
        )
    return lines


def _label_lines(found: Explanation) -> list[str]:
    """The path and how sure each of its levels is."""
    import pandas as pd

    assigned = found.assignment
    shown, lines = [], []
    for level in range(1, len(found.levels)):
        name = assigned[f"level{level}_name"]
        if isinstance(name, str) and name:
            shown.append(name)
            sure = assigned[f"level{level}_confidence"]
            lines.append(f"  level {level}    {found.levels[level]}: {name} ({sure:.2f})")
    asked = "accepted" if assigned["accepted"] else "review asked"
    origin = f" by {assigned['origin']}" if pd.notna(assigned["origin"]) else ""
    label = (
        f"  label      {' › '.join(shown) or 'none'} ({assigned['status']}{origin}, "
        f"confidence {assigned['confidence']:.2f}, {asked})"
    )
    finest = assigned["accepted_level"]
    if shown:
        until = "at no level" if pd.isna(finest) else f"from {found.levels[int(finest)]} up"
        lines.append(f"  sure       {until}")
    return [label, *lines]


def _class_lines(found: ClassFacts) -> list[str]:
    """The entity, its classes, and the paths they lead to."""
    entity, verdict = found.entity, found.verdict
    what = f"{entity['label'] or '?'} ({entity['qid']})" if entity["qid"] else "none"
    way = f", by its {entity['linked_by']}" if entity["linked_by"] else ""
    lines = [f"  entity     {what}, {entity['status']}{way}"]
    if len(entity["other_qids"]):
        lines.append(f"             also claimed by {', '.join(entity['other_qids'])}")
    if entity["lat"] == entity["lat"]:  # not NaN
        known = isinstance(entity["country"], str) and entity["country"] != ""
        country = f", country {entity['country']}" if known else ""
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
    return lines
