"""Trains a head or a whole network on the labels of a tree, by a recipe.

A name is imported when it is used first: reading recipes needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from strata_labels.late_imports import late_imports

if TYPE_CHECKING:
    from strata_labels.training.head import Head, train_head
    from strata_labels.training.item_vectors import embed_items
    from strata_labels.training.labelled_images import (
        read_labels_csv,
        read_workspace,
    )
    from strata_labels.training.recipe import Recipe
    from strata_labels.training.recipe_files import explain_recipe, load_recipe, recipe_names
    from strata_labels.training.saved_model import TrainedModel, load_model
    from strata_labels.training.training_run import RESULT, train

_HOME = {
    "RESULT": "training_run",
    "Head": "head",
    "Recipe": "recipe",
    "TrainedModel": "saved_model",
    "embed_items": "item_vectors",
    "explain_recipe": "recipe_files",
    "load_model": "saved_model",
    "load_recipe": "recipe_files",
    "read_labels_csv": "labelled_images",
    "read_workspace": "labelled_images",
    "recipe_names": "recipe_files",
    "train": "training_run",
    "train_head": "head",
}

__all__ = [
    "RESULT",
    "Head",
    "Recipe",
    "TrainedModel",
    "embed_items",
    "explain_recipe",
    "load_model",
    "load_recipe",
    "read_labels_csv",
    "read_workspace",
    "recipe_names",
    "train",
    "train_head",
]


__getattr__ = late_imports(__name__, _HOME)
