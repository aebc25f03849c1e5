"""A tree's definition, `hierarchies/<tree>/hierarchy.toml`: what differs between trees is here."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strata_labels.errors import InputError, Problem

# Keys by section with their types. A tree of published labels may leave out whole sections.
_TOP: dict[str, type] = {"tree": str, "title": str, "source": str, "levels": list}
_KEYS: dict[str, dict[str, type]] = {
    "published": {"blank": str, "taxa": bool},
    "assets": {
        "vocabulary": str,
        "classes": str,
        "outside": str,
        "lexicon": str,
        "decisions": str,
        "names": str,
    },
    "embedding": {
        "encoder": str,
        "class_templates": list,
        "name_templates": list,
        "images_per_landmark": int,
    },
    "acceptance": {"target": float},
    "card": {
        "compared_level": int,
        "licence": str,
        "tags": list,
        "sources": list,
        "limits": list,
    },
    "export": {"formats": list},
}
_VARIANT: dict[str, type] = {"levels": list, "found": str, "formats": list}
_OPTIONAL = {
    "formats",
    "taxa",
    "names",
    "decisions",
    "target",
    "compared_level",
    "licence",
    "tags",
    "sources",
    "limits",
}
# What only a tree needs that sorts items into a vocabulary.
_SORTING = ("vocabulary", "classes", "outside", "lexicon")


@dataclass(frozen=True)
class Hierarchy:
    """One tree's settings.

    Attributes:
        file: the `hierarchy.toml`.
        tree: its short name on the command line, e.g. `gldv2-h`.
        title: its name for people.
        source: the name of the source in `strata_labels.sources` that reads its items.
        levels: names of the levels, level 0 (the item) first; empty where they are those of the
            items' own table.
        variants: names of the choices of levels, the default first; empty where there is none.
        published: the labels that come with the metadata are the tree.
        blank: the word for a missing label between published ones.
        taxa: published ranks are held against the snapshot's taxa.
        found: the level, the first above the item, that is found among image vectors; "" for none.
        vocabulary, classes, outside, lexicon: what items are sorted with, where nothing is
            published.
        decisions: the curated decisions (a header alone is none).
        names: names a found node may take, by the node above it.
        encoder: default encoder, `registry`, `MODEL/TAG` or `local-dir:DIR`; "" for none.
        class_templates: prompts for a class, `{}` stands for its name.
        name_templates: prompts for an item's name.
        images_per_landmark: images averaged into an item's image vector, at most.
        target: accuracy asked of the proposals that are accepted without review.
        formats: exports written by a build.
        compared_level: the level at which agreement with published labels is counted.
        licence: for the card, the labels' licence as hubs name it.
        tags: for the card.
        sources: for the card, `name, licence, origin` of each source.
        limits: for the card, known limits, a sentence each.
    """

    file: Path
    tree: str
    title: str
    source: str
    levels: tuple[str, ...]
    variants: tuple[str, ...]
    published: bool
    blank: str
    taxa: bool
    found: str
    vocabulary: Path
    classes: Path
    outside: Path
    lexicon: Path
    decisions: Path
    names: Path
    encoder: str
    class_templates: tuple[str, ...]
    name_templates: tuple[str, ...]
    images_per_landmark: int
    target: float
    formats: tuple[str, ...]
    compared_level: int
    licence: str
    tags: tuple[str, ...]
    sources: tuple[dict[str, str], ...]
    limits: tuple[str, ...]


def shipped() -> Path:
    """The folder of the shipped trees.

    An installed package has it inside itself; in an editable install it is the repository's
    `hierarchies/`, two folders above the package.
    """
    package = Path(__file__).resolve().parent
    inside = package / "hierarchies"
    return inside if inside.is_dir() else package.parents[1] / "hierarchies"


def known_trees() -> list[str]:
    """Names of the trees that ship with the package."""
    return sorted(path.parent.name for path in shipped().glob("*/hierarchy.toml"))


def load_hierarchy(tree: str, levels: str | None = None) -> Hierarchy:
    """Reads the definition of a shipped tree, or of a folder that holds a `hierarchy.toml`.

    Args:
        tree: its name, or the folder.
        levels: the variant of its levels; its first if None.

    Raises:
        InputError: no such tree or variant, a missing or unknown key, a wrong type, a missing
            asset (all listed).
    """
    folder = shipped() / tree if tree in known_trees() else Path(tree)
    path = folder / "hierarchy.toml"
    if not path.is_file():
        fix = f"Take one of {', '.join(known_trees())}, or a folder with a hierarchy.toml."
        raise InputError(Problem("TREE", "no such tree:", fix, value=tree))
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(Problem(path, f"not TOML ({error})", "Mend the line.")) from None
    variants = tuple(data.get("variants", {}))
    chosen = levels or next(iter(variants), "")
    if levels and levels not in variants:
        fix = f"It has {', '.join(variants)}." if variants else "It has one choice: leave it out."
        raise InputError(Problem("--levels", f"no such levels of {tree}:", fix, value=levels))
    problems = _problems(path, data)
    if problems:
        raise InputError(problems)
    # A variant's own word counts before the tree's.
    variant = data["variants"][chosen] if chosen else {}
    given = {"levels": data.get("levels", []), **data.get("export", {}), **variant}
    published, card = data.get("published"), data.get("card", {})
    assets = {key: folder / f"{key}.csv" for key in _KEYS["assets"]}
    assets |= {key: folder / name for key, name in data.get("assets", {}).items()}
    embedding = data.get("embedding", {})
    return Hierarchy(
        file=path,
        tree=data["tree"],
        title=data["title"],
        source=data["source"],
        levels=tuple(given["levels"]),
        variants=variants,
        published=published is not None,
        blank=(published or {}).get("blank", ""),
        taxa=(published or {}).get("taxa", False),
        found=given.get("found", ""),
        **assets,
        encoder=embedding.get("encoder", ""),
        class_templates=tuple(embedding.get("class_templates", ())),
        name_templates=tuple(embedding.get("name_templates", ())),
        images_per_landmark=embedding.get("images_per_landmark", 8),
        target=data.get("acceptance", {}).get("target", 0.95),
        formats=tuple(given["formats"]),
        compared_level=card.get("compared_level", 1),
        licence=card.get("licence", "other"),
        tags=tuple(card.get("tags", ())),
        sources=tuple(card.get("sources", ())),
        limits=tuple(card.get("limits", ())),
    )


def _problems(path: Path, data: dict[str, Any]) -> list[Problem]:
    """Everything wrong with a definition; sections and keys that it does not need may be absent."""
    sorting = "published" not in data
    variants: dict[str, Any] = data.get("variants", {})
    found = any("found" in variant for variant in variants.values())
    problems = _wrong(path, "", _TOP, data, {"levels"} if not sorting or variants else set())
    for section, keys in _KEYS.items():
        needed = found and section == "embedding"
        needed |= sorting and section != "published"
        if section in data or needed:
            optional = set() if sorting else {*_SORTING}
            problems += _wrong(path, section, keys, data.get(section, {}), optional | _OPTIONAL)
    for name, variant in variants.items():
        problems += _wrong(path, f"variants.{name}", _VARIANT, variant, {*_VARIANT})
        levels, own = variant.get("levels", data.get("levels", [])), variant.get("found")
        if own and list(levels[1:2]) != [own]:
            fix = "A level is found right above the items."
            column = f"variants.{name}.found"
            problems.append(Problem(path, "not the second level:", fix, column=column, value=own))
    for variant in variants.values() or [{}]:
        if "formats" not in data.get("export", {}) | variant:
            problems.append(Problem(path, "key missing:", "Add it.", column="export.formats"))
            break
    if not problems:
        problems += [
            Problem(path, "asset not found:", "Add the file.", column=f"assets.{key}", value=name)
            for key, name in data.get("assets", {}).items()
            if not (path.parent / name).is_file()
        ]
    return problems


def _wrong(
    path: Path, section: str, keys: dict[str, type], given: dict[str, Any], optional: set[str]
) -> list[Problem]:
    problems = []
    prefix = f"{section}." if section else ""
    for key, kind in keys.items():
        if key in given and not isinstance(given[key], kind):
            what, fix = f"not a {kind.__name__}:", "Mend the value."
            problems.append(Problem(path, what, fix, column=prefix + key, value=given[key]))
        elif key not in given and key not in optional:
            problems.append(Problem(path, "key missing:", "Add it.", column=prefix + key))
    known = {*keys, *(() if section else (*_KEYS, "variants"))}
    fix = f"Known: {', '.join(sorted(known))}."
    return problems + [
        Problem(path, "unknown key:", fix, column=prefix + key) for key in given if key not in known
    ]
