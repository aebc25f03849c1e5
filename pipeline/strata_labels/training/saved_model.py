"""Writes and loads the model of a finished training."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from strata_labels.embedding import check_weights
from strata_labels.errors import InputError, Problem
from strata_labels.files import whole
from strata_labels.training.checkpoint import DAMAGED
from strata_labels.training.head import Head
from strata_labels.training.image_loading import plain_transform
from strata_labels.training.model import build_model
from strata_labels.training.recipe import Mode, Recipe

#: The file, in the folder of a training.
MODEL = "model.safetensors"
_EARLIER = "model.pt"
# The one key of the file's header that is ours: JSON, since the format keeps no order of keys.
_ABOUT = "strata"


@dataclass(frozen=True)
class TrainedModel:
    """A trained model.

    Attributes:
        model: in evaluation mode; in mode `head` vectors `[n, d]` of the encoder to unit vectors
            `[n, e]`, in mode `full` pictures `[n, 3, h, w]` to the same (see `RetrievalModel`).
        transform: of mode `full`: a picture as `model` takes it, 8-bit pixels.
        recipe, mode: what it was trained by.
        features: the encoder (its `id`) or backbone.
        encoder: of mode `head`: what `load_encoder` was given then.
    """

    model: nn.Module
    transform: Callable[[Image.Image], Tensor] | None
    recipe: Recipe
    mode: Mode
    features: str
    encoder: str


def save_model(path: Path, model: nn.Module, about: dict[str, Any]) -> None:
    """Writes weights and what they are of, whole or not at all.

    Args:
        path: the file.
        model: a head or a whole network.
        about: `recipe`, `mode`, `features`, `encoder` (see `TrainedModel`).
    """
    # The format takes neither shared nor strided tensors.
    weights = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }
    content = safetensors.torch.save(weights, {_ABOUT: json.dumps(about, sort_keys=True)})
    with whole(path) as beside:
        beside.write_bytes(content)


def load_model(path: Path | str) -> TrainedModel:
    """Loads the model of a finished training, on the CPU.

    A timm backbone needs nothing but the file; one of open_clip is built by its encoder, whose own
    weights must be available.

    Args:
        path: the training's folder, or its `model.safetensors`.

    Raises:
        InputError: no such file, damaged (NaN or infinite weights too), of an earlier version, or
            not of a training.
    """
    path = Path(path)
    path = path / MODEL if path.is_dir() else path
    fix = "Give the folder of a finished `strata train`."
    old = path if path.suffix == ".pt" else path.with_name(_EARLIER)
    if not (path.is_file() and path.suffix != ".pt") and old.is_file():
        fix = f"Run the same `strata train` again: it goes on from its checkpoint to {MODEL}."
        raise InputError(Problem(old, "a model of an earlier version of Strata", fix))
    try:
        with safe_open(path, "pt") as file:
            about = json.loads(file.metadata()[_ABOUT])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        recipe = Recipe.model_validate(about["recipe"])
        mode, features, encoder = about["mode"], about["features"], about["encoder"]
        if mode == "full":
            model: nn.Module = build_model(recipe, weights_follow=True)
            transform = plain_transform(recipe)
        else:
            dim_out, dim_in = weights["linear.weight"].shape
            model, transform = Head(dim_in, dim_out, recipe.layer_norm), None
        model.load_state_dict(weights)
    except (*DAMAGED, SafetensorError) as error:
        reason = " ".join(str(error).split())[:150]
        raise InputError(Problem(path, f"not a trained model ({reason})", fix)) from error
    check_weights(model, path, "The file is damaged, or its training diverged: train again.")
    return TrainedModel(model.eval(), transform, recipe, mode, features, encoder)
