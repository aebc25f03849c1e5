"""Recipes against the published facts: no undeclared difference; the page in docs is current."""

from __future__ import annotations

import pytest
from strata_labels.training import Recipe, load_recipe, recipe_names

from benchmarks.recipes import NOT_PUBLISHED, TABLE, PublishedRun, published_runs, table

RUNS = published_runs()


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.recipe}, {run.repository}")
def test_every_difference_is_declared(run: PublishedRun) -> None:
    recipe = load_recipe(run.recipe, "full")
    assert set(run.differences()) == set(recipe.otherwise)
    assert run.repository in recipe.follows and run.file in recipe.follows


def test_every_published_recipe_and_setting_is_compared() -> None:
    of_data_sets = {name for name in recipe_names() if load_recipe(name, "full").data_set}
    assert of_data_sets == {run.recipe for run in RUNS}
    compared = {key for run in RUNS for key in run.settings}
    assert compared | NOT_PUBLISHED == set(Recipe.model_fields)
    assert not compared & NOT_PUBLISHED


def test_page_is_current() -> None:
    assert TABLE.read_text(encoding="utf-8") == table(), "run `make cards`"
