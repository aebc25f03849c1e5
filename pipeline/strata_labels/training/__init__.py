"""Training and validation. `strata_labels.losses` needs only torch, so that it can be lifted
out: this file imports nothing until a name of it is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from strata_labels.training.data import LabelledImages, read_labels_csv, read_workspace
    from strata_labels.training.head import Head, train_head
    from strata_labels.training.recipe import Recipe, load_recipe, recipe_names
    from strata_labels.training.run import RESULT, train
    from strata_labels.training.saved import Saved, load_model

_HOME = {
    "RESULT": "run",
    "Head": "head",
    "LabelledImages": "data",
    "Recipe": "recipe",
    "Saved": "saved",
    "load_model": "saved",
    "load_recipe": "recipe",
    "read_labels_csv": "data",
    "read_workspace": "data",
    "recipe_names": "recipe",
    "train": "run",
    "train_head": "head",
}

__all__ = [
    "RESULT",
    "Head",
    "LabelledImages",
    "Recipe",
    "Saved",
    "load_model",
    "load_recipe",
    "read_labels_csv",
    "read_workspace",
    "recipe_names",
    "train",
    "train_head",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
