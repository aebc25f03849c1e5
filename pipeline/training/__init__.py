"""Training and validation. `pipeline.training.losses` needs only torch, so that it can be lifted
out: this file imports nothing until a name of it is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.training.head import Head, train_head
    from pipeline.training.recipe import Recipe, load_recipe, recipe_names

_HOME = {
    "Head": "head",
    "Recipe": "recipe",
    "load_recipe": "recipe",
    "recipe_names": "recipe",
    "train_head": "head",
}

__all__ = ["Head", "Recipe", "load_recipe", "recipe_names", "train_head"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
