"""Writes and loads the model of a finished training."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from strata_labels.errors import InputError, Problem
from strata_labels.files import whole
from strata_labels.training.checkpoint import DAMAGED
from strata_labels.training.head import Head
from strata_labels.training.image_loading import plain_transform
from strata_labels.training.model import build_model
from strata_labels.training.recipe import Mode, Recipe


@dataclass(frozen=True)
class TrainedModel:
    """A trained model.

    Attributes:
        model: in evaluation mode; in mode `head` vectors `[n, d]` of the encoder to unit vectors
            `[n, e]`, in mode `full` pictures `[n, 3, h, w]` to the same.
        transform: of mode `full`: a picture as `model` takes it.
        recipe, mode: what it was trained by.
        features: the encoder (its `id`) or backbone.
    """

    model: nn.Module
    transform: Callable[[Image.Image], Tensor] | None
    recipe: Recipe
    mode: Mode
    features: str


def save_model(path: Path, model: nn.Module, about: dict[str, Any]) -> None:
    """Writes weights and what they are of, whole or not at all."""
    content = io.BytesIO()
    torch.save({"about": about, "model": model.state_dict()}, content)
    with whole(path) as beside:
        beside.write_bytes(content.getbuffer())


def load_model(path: Path) -> TrainedModel:
    """Loads the `model.pt` of a finished training, on the CPU.

    A timm backbone needs nothing but the file; one of open_clip is built by its encoder, whose own
    weights must be available.

    Raises:
        InputError: no such file, damaged, or not of a training.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        about, weights = content["about"], content["model"]
        recipe = Recipe.model_validate(about["recipe"])
        mode, features = about["mode"], about["features"]
        if mode == "full":
            own = build_model(recipe, weights_follow=True)
            model: nn.Module = own
            transform = plain_transform(recipe, own.mean, own.std)
        else:
            dim_out, dim_in = weights["linear.weight"].shape
            model, transform = Head(dim_in, dim_out, recipe.layer_norm), None
        model.load_state_dict(weights)
    except DAMAGED as error:
        reason = " ".join(str(error).split())[:150]
        fix = "Give the model.pt of a finished `strata train`."
        raise InputError(Problem(path, f"not a trained model ({reason})", fix)) from error
    return TrainedModel(model.eval(), transform, recipe, mode, features)
