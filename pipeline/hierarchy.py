"""A tree's definition, `hierarchies/<tree>/hierarchy.toml`: what differs between trees is here."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pipeline.errors import InputError, Problem

_KEYS: dict[str, dict[str, type]] = {
    "": {"tree": str, "title": str, "source": str, "levels": list},
    "assets": {
        "vocabulary": str,
        "classes": str,
        "outside": str,
        "lexicon": str,
        "decisions": str,
    },
    "embedding": {
        "encoder": str,
        "class_templates": list,
        "name_templates": list,
        "images_per_landmark": int,
    },
    "acceptance": {"target": float},
    "card": {"compared_level": int, "sources": list, "limits": list},
    "export": {"formats": list},
}


@dataclass(frozen=True)
class Hierarchy:
    """One tree's settings.

    Attributes:
        tree: its short name on the command line, e.g. `gldv2-h`.
        title: its name for people.
        source: the name of the source in `pipeline.sources` that reads its items.
        levels: names of the levels, level 0 (the item) first.
        vocabulary, classes, outside, lexicon, decisions: asset files (all exist, `decisions` may
            hold a header alone).
        encoder: default encoder, `registry`, `MODEL/TAG` or `local-dir:DIR`.
        class_templates: prompts for a class, `{}` stands for its name.
        name_templates: prompts for an item's name.
        images_per_landmark: images averaged into an item's image vector, at most.
        target: accuracy asked of the proposals that are accepted without review.
        formats: exports written by a build.
        compared_level: the level at which agreement with published labels is counted.
        sources: for the card, `name, licence, origin` of each source.
        limits: for the card, known limits, a sentence each.
    """

    tree: str
    title: str
    source: str
    levels: tuple[str, ...]
    vocabulary: Path
    classes: Path
    outside: Path
    lexicon: Path
    decisions: Path
    encoder: str
    class_templates: tuple[str, ...]
    name_templates: tuple[str, ...]
    images_per_landmark: int
    target: float
    formats: tuple[str, ...]
    compared_level: int
    sources: tuple[dict[str, str], ...]
    limits: tuple[str, ...]


def known_trees() -> list[str]:
    """Names of the trees that ship with the package."""
    return sorted(path.parent.name for path in _root().glob("*/hierarchy.toml"))


def load_hierarchy(tree: str) -> Hierarchy:
    """Reads the definition of a shipped tree, or of a folder that holds a `hierarchy.toml`.

    Raises:
        InputError: no such tree, a missing or unknown key, a wrong type, a missing asset (all
            listed).
    """
    folder = _root() / tree if tree in known_trees() else Path(tree)
    path = folder / "hierarchy.toml"
    if not path.is_file():
        fix = f"Take one of {', '.join(known_trees())}, or a folder with a hierarchy.toml."
        raise InputError(Problem("TREE", "no such tree:", fix, value=tree))
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(Problem(path, f"not TOML ({error})", "Mend the line.")) from None
    problems = _problems(path, data)
    if problems:
        raise InputError(problems)
    assets = {key: folder / data["assets"][key] for key in _KEYS["assets"]}
    problems = [
        Problem(path, "asset not found:", "Add the file.", column=f"assets.{key}", value=str(asset))
        for key, asset in assets.items()
        if not asset.is_file()
    ]
    if problems:
        raise InputError(problems)
    embedding = data["embedding"]
    return Hierarchy(
        tree=data["tree"],
        title=data["title"],
        source=data["source"],
        levels=tuple(data["levels"]),
        **assets,
        encoder=embedding["encoder"],
        class_templates=tuple(embedding["class_templates"]),
        name_templates=tuple(embedding["name_templates"]),
        images_per_landmark=embedding["images_per_landmark"],
        target=data["acceptance"]["target"],
        formats=tuple(data["export"]["formats"]),
        compared_level=data["card"]["compared_level"],
        sources=tuple(data["card"]["sources"]),
        limits=tuple(data["card"]["limits"]),
    )


def _root() -> Path:
    return Path(str(resources.files("hierarchies")))


def _problems(path: Path, data: dict[str, Any]) -> list[Problem]:
    problems = []
    for section, keys in _KEYS.items():
        given = data.get(section, {}) if section else data
        known = set(keys) | (set() if section else set(_KEYS))
        prefix = f"{section}." if section else ""
        for key, kind in keys.items():
            if key not in given:
                problems.append(Problem(path, "key missing:", "Add it.", column=prefix + key))
            elif not isinstance(given[key], kind):
                problems.append(
                    Problem(
                        path,
                        f"not a {kind.__name__}:",
                        "Mend the value.",
                        column=prefix + key,
                        value=given[key],
                    )
                )
        problems += [
            Problem(path, "unknown key:", f"Known: {', '.join(sorted(keys))}.", column=prefix + key)
            for key in given
            if key not in known
        ]
    return problems
