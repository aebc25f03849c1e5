"""`strata list`: the names that other commands take."""

from __future__ import annotations

from typing import Annotated, Literal

import typer


def list_(
    what: Annotated[
        Literal["trees", "formats", "recipes", "encoders"] | None,
        typer.Argument(help="What to list; else all but the encoders, which are many."),
    ] = None,
) -> None:
    """List trees, export formats, recipes or encoders.

    Of a recipe: its name, data set, losses with weights, and the published file that it follows.
    """
    if what:
        print("\n".join(_LISTS[what]()))
        return
    for name, lines in _LISTS.items():
        print(f"{name}:")
        print("\n".join(f"  {line}" for line in (lines() if name != "encoders" else [_MORE])))


def _trees() -> list[str]:
    from strata_labels.hierarchy import known_trees, load_hierarchy

    return [f"{name:<12}{load_hierarchy(name).title}" for name in known_trees()]


def _formats() -> list[str]:
    from strata_labels.export import FORMAT_NAMES

    return [f"{name:<14}{opens}" for name, opens in FORMAT_NAMES.items()]


def _recipes() -> list[str]:
    from strata_labels.training import load_recipe, recipe_names

    lines = []
    for name in recipe_names():
        recipe = load_recipe(name, "full")
        terms = zip(recipe.weights, recipe.losses, strict=True)
        losses = " + ".join(f"{weight:g} {loss}" for weight, loss in terms)
        lines.append(f"{name:<31}{recipe.data_set:<11}{losses:<31}{recipe.follows}".rstrip())
    return lines


def _encoders() -> list[str]:
    from strata_labels.embedding import encoder_names

    return encoder_names()


_MORE = "see `strata list encoders`"
_LISTS = {"trees": _trees, "formats": _formats, "recipes": _recipes, "encoders": _encoders}
