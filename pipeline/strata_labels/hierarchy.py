"""A tree's definition, `hierarchies/<tree>/hierarchy.toml`: what differs between trees is here.

A section of the file is a class, a key is a field. `Hierarchy` has the fields of all sections, with
one choice of levels made; the library works with it.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from strata_labels.errors import InputError, Problem
from strata_labels.settings import List, problems_of

# TOML has text for paths.
_Name = Annotated[Path, Field(strict=False)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Top(_Section):
    """The keys above all sections."""

    tree: str
    """Its short name on the command line, e.g. `gldv2-h`."""

    title: str
    """Its name for people."""

    source: str
    """Name of the source in `strata_labels.sources` that reads its items."""

    levels: List[str] = ()
    """Names of the levels, level 0 (the item) first; empty where they are the table's columns."""


class _Published(_Section):
    """`[published]`: the labels that come with the metadata are the tree."""

    blank: str = ""
    """The word for a missing label between published ones."""

    ranks_may_be_blank: bool = False
    """A blank above a label says that there is no such rank; else the label there is missing."""

    homonyms: List[str] = ()
    """Levels at which nodes below different top nodes may have one name."""

    taxa: bool = False
    """Published ranks are compared with the taxa of a Wikidata snapshot."""


class _Assets(_Section):
    """`[assets]`: files beside the definition."""

    vocabulary: _Name = Path("vocabulary.csv")
    """The nodes of the upper levels, where nothing is published."""

    classes: _Name = Path("classes.csv")
    """Which class of the knowledge base belongs to which node."""

    outside: _Name = Path("outside.csv")
    """Classes that have no place in the tree, where chains of classes stop."""

    lexicon: _Name = Path("lexicon.csv")
    """Words that speak for a node."""

    decisions: _Name = Path("decisions.csv")
    """The curated decisions (a header alone is none)."""

    names: _Name = Path("names.csv")
    """Names that a found node may take, by the node above it."""


class _Embedding(_Section):
    """`[embedding]`: all keys are needed where the section is."""

    encoder: str = ""
    """The default encoder: `registry`, `MODEL/TAG` or `local-dir:DIR`; "" for none."""

    class_templates: List[str] = ()
    """Prompts for a class; `{}` stands for its name."""

    name_templates: List[str] = ()
    """Prompts for an item's name."""

    images_per_landmark: int = Field(default=8, ge=1)
    """Images averaged into an item's image vector, at most."""


class _Acceptance(_Section):
    """`[acceptance]`"""

    target: float = Field(default=0.95, gt=0, le=1)
    """Accuracy asked of the proposals that are accepted without review, from 0 to 1."""

    level: int = Field(default=1, ge=1)
    """The level at which, and above which, a label must be sure to need no review."""


class CardSource(_Section):
    """`[[card.sources]]`: a source of the data, for card and exports."""

    name: str
    licence: str
    origin: str


class _Card(_Section):
    """`[card]`: for the data card and the exports."""

    compared_level: int = Field(default=1, ge=1)
    """The level at which agreement with published labels is counted."""

    licence: str = ""
    """The labels' licence as data set hubs name it; "" where it is not known."""

    citations: List[str] = ()
    """What to cite, a publication each."""

    tags: List[str] = ()
    """Tags of the card."""

    sources: List[CardSource] = ()
    """Where the data come from."""

    limits: List[str] = ()
    """Known limits, a sentence of Markdown each."""


class _Export(_Section):
    """`[export]`"""

    formats: List[str] = ()
    """The exports that a build writes."""


class _Variant(_Section):
    """`[variants.NAME]`: a choice of levels. It wins over the same keys elsewhere."""

    levels: List[str] | None = None
    found: str = ""
    formats: List[str] | None = None


class _File(_Top):
    """A whole `hierarchy.toml`."""

    published: _Published | None = None
    assets: _Assets = _Assets()
    embedding: _Embedding = _Embedding()
    acceptance: _Acceptance = _Acceptance()
    card: _Card = _Card()
    export: _Export = _Export()
    variants: dict[str, _Variant] = {}


class Hierarchy(_Top, _Published, _Assets, _Embedding, _Acceptance, _Card, _Export):
    """One tree's settings, with one choice of levels; the fields of the sections, and these."""

    file: Path
    """The `hierarchy.toml`."""

    variants: tuple[str, ...]
    """Names of the choices of levels, the default first; empty where there is one choice."""

    published: bool
    """The labels that come with the metadata are the tree."""

    found: str
    """The level right above the items that is found among image vectors; "" for none."""


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
    variant = read.variants.get(chosen, _Variant())
    sections = (read.published or _Published(), read.embedding, read.acceptance, read.card)
    return Hierarchy(
        **{key: value for section in sections for key, value in section},
        **{key: folder / name for key, name in read.assets},
        file=path,
        tree=read.tree,
        title=read.title,
        source=read.source,
        levels=read.levels if variant.levels is None else variant.levels,
        formats=read.export.formats if variant.formats is None else variant.formats,
        variants=variants,
        published=read.published is not None,
        found=variant.found,
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
    if not sorting:
        needed.append(("published", "blank"))
    if sorting or found or "embedding" in data:
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
