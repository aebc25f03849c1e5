"""A tree's definition, `hierarchies/<tree>/hierarchy.toml`: what differs between trees is here.

The models of this file are its format: a section is a class, a key is a field. `Hierarchy` is what
the library works with, one choice of levels made.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from strata_labels.errors import InputError, Problem
from strata_labels.settings import problems_of

_ASSETS = ("vocabulary", "classes", "outside", "lexicon", "decisions", "names")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Published(_Section):
    blank: str
    taxa: bool = False


class _Assets(_Section):
    vocabulary: str = "vocabulary.csv"
    classes: str = "classes.csv"
    outside: str = "outside.csv"
    lexicon: str = "lexicon.csv"
    decisions: str = "decisions.csv"
    names: str = "names.csv"


class _Embedding(_Section):
    encoder: str
    class_templates: list[str]
    name_templates: list[str]
    images_per_landmark: int = Field(ge=1)


class _Acceptance(_Section):
    target: float = Field(default=0.95, gt=0, le=1)


class _SourceOfCard(_Section):
    name: str
    licence: str
    origin: str


class _Card(_Section):
    compared_level: int = Field(default=1, ge=1)
    licence: str = "other"
    tags: list[str] = []
    sources: list[_SourceOfCard] = []
    limits: list[str] = []


class _Export(_Section):
    formats: list[str] = []


class _Variant(_Section):
    levels: list[str] | None = None
    found: str = ""
    formats: list[str] | None = None


class _File(_Section):
    """A whole `hierarchy.toml`."""

    tree: str
    title: str
    source: str
    levels: list[str] = []
    published: _Published | None = None
    assets: _Assets = _Assets()
    embedding: _Embedding | None = None
    acceptance: _Acceptance = _Acceptance()
    card: _Card = _Card()
    export: _Export = _Export()
    variants: dict[str, _Variant] = {}


@dataclass(frozen=True)
class Hierarchy:
    """One tree's settings, with one choice of levels."""

    file: Path
    """The `hierarchy.toml`."""

    tree: str
    """Its short name on the command line, e.g. `gldv2-h`."""

    title: str
    """Its name for people."""

    source: str
    """Name of the source in `strata_labels.sources` that reads its items."""

    levels: tuple[str, ...]
    """Names of the levels, level 0 (the item) first; empty where they are the table's columns."""

    variants: tuple[str, ...]
    """Names of the choices of levels, the default first; empty where there is one choice."""

    published: bool
    """The labels that come with the metadata are the tree."""

    blank: str
    """The word for a missing label between published ones."""

    taxa: bool
    """Published ranks are compared with the taxa of a Wikidata snapshot."""

    found: str
    """The level right above the items that is found among image vectors; "" for none."""

    vocabulary: Path
    """The nodes of the upper levels, where nothing is published."""

    classes: Path
    """Which class of the knowledge base belongs to which node."""

    outside: Path
    """Classes that have no place in the tree, where chains of classes stop."""

    lexicon: Path
    """Words that speak for a node."""

    decisions: Path
    """The curated decisions (a header alone is none)."""

    names: Path
    """Names that a found node may take, by the node above it."""

    encoder: str
    """The default encoder: `registry`, `MODEL/TAG` or `local-dir:DIR`; "" for none."""

    class_templates: tuple[str, ...]
    """Prompts for a class; `{}` stands for its name."""

    name_templates: tuple[str, ...]
    """Prompts for an item's name."""

    images_per_landmark: int
    """Images averaged into an item's image vector, at most."""

    target: float
    """Accuracy asked of the proposals that are accepted without review, from 0 to 1."""

    formats: tuple[str, ...]
    """The exports that a build writes."""

    compared_level: int
    """The level at which agreement with published labels is counted."""

    licence: str
    """The labels' licence as data set hubs name it, for card and exports."""

    tags: tuple[str, ...]
    """Tags of the card."""

    sources: tuple[dict[str, str], ...]
    """`name`, `licence` and `origin` of each source, for card and exports."""

    limits: tuple[str, ...]
    """Known limits for the card, a sentence of Markdown each."""


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


def tree_with_vocabulary() -> str:
    """The first shipped tree whose items are sorted into a vocabulary."""
    return next(tree for tree in known_trees() if not load_hierarchy(tree).published)


def load_hierarchy(tree: str, levels: str | None = None) -> Hierarchy:
    """Reads the definition of a shipped tree, or of a folder that holds a `hierarchy.toml`.

    Args:
        tree: its name, or the folder.
        levels: the variant of its levels; its first if None.

    Raises:
        InputError: no such tree or variant; every missing, unknown or wrong key, and every asset
            that is named and not there.
    """
    folder = shipped() / tree if tree in known_trees() else Path(tree)
    path = folder / "hierarchy.toml"
    if not path.is_file():
        fix = f"Take one of {', '.join(known_trees())}, or a folder with a hierarchy.toml."
        raise InputError(Problem("TREE", "no such tree:", fix, value=tree))
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(Problem(path, f"not TOML ({error})", "Correct the line.")) from None
    read = _checked(path, data)
    variants = tuple(read.variants)
    chosen = levels or next(iter(variants), "")
    if levels and levels not in variants:
        fix = f"It has {', '.join(variants)}." if variants else "It has one choice: leave it out."
        raise InputError(Problem("--levels", f"no such levels of {tree}:", fix, value=levels))
    # A variant's own word counts before the tree's.
    variant = read.variants.get(chosen, _Variant())
    embedding = read.embedding
    return Hierarchy(
        file=path,
        tree=read.tree,
        title=read.title,
        source=read.source,
        levels=tuple(read.levels if variant.levels is None else variant.levels),
        variants=variants,
        published=read.published is not None,
        blank=read.published.blank if read.published else "",
        taxa=read.published is not None and read.published.taxa,
        found=variant.found,
        **{key: folder / getattr(read.assets, key) for key in _ASSETS},
        encoder=embedding.encoder if embedding else "",
        class_templates=tuple(embedding.class_templates) if embedding else (),
        name_templates=tuple(embedding.name_templates) if embedding else (),
        images_per_landmark=embedding.images_per_landmark if embedding else 8,
        target=read.acceptance.target,
        formats=tuple(read.export.formats if variant.formats is None else variant.formats),
        compared_level=read.card.compared_level,
        licence=read.card.licence,
        tags=tuple(read.card.tags),
        sources=tuple(source.model_dump() for source in read.card.sources),
        limits=tuple(read.card.limits),
    )


def _checked(path: Path, data: dict[str, Any]) -> _File:
    """The file's content.

    Raises:
        InputError: everything wrong with it.
    """
    problems = _missing_parts(path, data)
    read = None
    try:
        read = _File.model_validate(data)
    except ValidationError as error:
        problems = [*problems_of(error, path, _File), *problems]
    if read and not problems:
        problems = [
            Problem(path, "asset not found:", "Add the file.", column=f"assets.{key}", value=name)
            for key, name in data.get("assets", {}).items()
            if not (path.parent / name).is_file()
        ]
    if read is None or problems:
        raise InputError(problems)
    return read


def _missing_parts(path: Path, data: dict[str, Any]) -> list[Problem]:
    """What a definition needs because of its other parts: sections, levels, formats, assets."""

    def section(name: str, among: dict[str, Any] = data) -> dict[str, Any]:
        return among[name] if isinstance(among.get(name), dict) else {}

    variants = section("variants")
    sorting = "published" not in data
    found = any("found" in section(name, variants) for name in variants)
    needed: list[tuple[str, str]] = []
    if sorting:
        needed += [("assets", key) for key in ("vocabulary", "classes", "outside", "lexicon")]
    if (sorting or found) and "embedding" not in data:
        needed += [("embedding", key) for key in _Embedding.model_fields]
    if any("formats" not in section(name, variants) for name in variants or [""]):
        needed.append(("export", "formats"))
    problems = [
        Problem(path, "key missing:", "Add it.", column=f"{part}.{key}")
        for part, key in needed
        if key not in section(part)
    ]
    if sorting and not variants and "levels" not in data:
        problems.append(Problem(path, "key missing:", "Add it.", column="levels"))
    for name in variants:
        variant = section(name, variants)
        levels, own = variant.get("levels", data.get("levels", [])), variant.get("found")
        if own and isinstance(levels, list) and levels[1:2] != [own]:
            fix, column = "A level is found right above the items.", f"variants.{name}.found"
            problems.append(Problem(path, "not the second level:", fix, column=column, value=own))
    return problems
