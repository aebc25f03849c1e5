"""Writes docs/recipes.md: our settings beside the published ones."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strata_labels.files import write_text
from strata_labels.training import Recipe, load_recipe

DOCS = Path(__file__).resolve().parents[1] / "docs"
FACTS, TABLE = DOCS / "published_settings.toml", DOCS / "recipes.md"

#: Settings that no published configuration has: words, and what only heads or our trainer need.
NOT_PUBLISHED = {
    *("title", "data_set", "follows", "otherwise", "checkpoint_every"),
    *("level", "proxies", "identity", "whitening"),
}


@dataclass(frozen=True)
class PublishedRun:
    """A published configuration and the recipe that follows it.

    Attributes:
        recipe: its name.
        repository, file: where the loss is configured.
        settings: published values by our names.
    """

    recipe: str
    repository: str
    file: str
    settings: dict[str, Any]

    def differences(self) -> dict[str, tuple[Any, Any]]:
        """Ours and the published value of every setting in which the recipe differs."""
        ours = effective(load_recipe(self.recipe, "full"))
        return {
            key: (ours[key], value) for key, value in self.settings.items() if ours[key] != value
        }


def published_runs() -> list[PublishedRun]:
    """The published configurations, from docs/published_settings.toml."""
    facts = tomllib.loads(FACTS.read_text(encoding="utf-8"))
    runs = []
    for run in facts["runs"]:
        settings: dict[str, Any] = {}
        for part in reversed(run["parts"]):
            settings |= facts["parts"][part]
        about = {key: run.pop(key) for key in ("recipe", "repository", "file")}
        del run["parts"]
        runs.append(PublishedRun(**about, settings=settings | run))
    return runs


def effective(recipe: Recipe) -> dict[str, Any]:
    """A recipe's values; the end of the proxies' rate as it comes out."""
    values = recipe.as_dict()
    if values["proxy_lr_end"] < 0:
        values["proxy_lr_end"] = values["lr_end"]
    return values


def table() -> str:
    """The page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Recipes beside the published settings"
    yield ""
    yield "`python -m benchmarks.recipes` writes this page from the recipe files and from"
    yield "[published_settings.toml](published_settings.toml). A cell has our value; where the"
    yield "published one differs, it follows in brackets. `strata train --recipe NAME --explain`"
    yield "prints every setting and the file that it comes from. Recipes without a data set in"
    yield "their name are not published; they share their settings, but for loss and sampler."
    of: dict[str, list[PublishedRun]] = {}
    for run in published_runs():
        of.setdefault(load_recipe(run.recipe, "full").data_set, []).append(run)
    for data_set, runs in of.items():
        yield f"\n## {data_set}\n"
        cells = [_cells(run) for run in runs]
        keys = [key for key in Recipe.model_fields if any(key in one for one in cells)]
        common = [key for key in keys if len({one.get(key) for one in cells}) == 1]
        yield "In all of them: " + ", ".join(f"{key} {cells[0][key]}" for key in common) + "."
        yield ""
        own = [key for key in keys if key not in common]
        yield "| recipe | published in | " + " | ".join(own) + " |"
        yield "|---|---|" + "---|" * len(own)
        for run, one in zip(runs, cells, strict=True):
            row = " | ".join(one.get(key, "–") for key in own)
            yield f"| {run.recipe} | {run.repository}, {run.file} | {row} |"
    yield "\n## What differs on purpose\n"
    reasons: dict[tuple[str, str], list[str]] = {}
    for run in published_runs():
        recipe = load_recipe(run.recipe, "full")
        for key in run.differences():
            names = reasons.setdefault((key, recipe.otherwise[key]), [])
            names += [run.recipe] * (run.recipe not in names)
    every = {run.recipe for run in published_runs()}
    for (key, why), names in reasons.items():
        who = "all recipes" if every == set(names) else ", ".join(names)
        yield f"- `{key}` ({who}): {why}."


def _cells(run: PublishedRun) -> dict[str, str]:
    """Ours, and the published value where it is another, by setting."""
    ours = effective(load_recipe(run.recipe, "full"))
    return {
        key: _shown(ours[key]) + (f" (published: {_shown(value)})" if ours[key] != value else "")
        for key, value in run.settings.items()
    }


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_shown, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    write_text(TABLE, table())
