"""A whole network to train: backbone, pooling, head."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from strata_labels.embedding import load_encoder
from strata_labels.errors import InputError, Problem, RetryError
from strata_labels.training.head import Head
from strata_labels.training.recipe import Recipe


class RetrievalModel(nn.Module):
    """Backbone and `Head`: pictures `[n, 3, h, w]` to unit vectors `[n, e]`.

    Args:
        backbone: pictures to pooled features `[n, d]`.
        head: features to embeddings.
        freeze_batch_norm: batch norm keeps its pretrained statistics (it stays in evaluation
            mode); its scale and shift learn, as published (HAPPIER, SupRank).
        mean, std: what pixels are normalised by.
    """

    backbone: nn.Module

    def __init__(
        self,
        backbone: nn.Module,
        head: Head,
        freeze_batch_norm: bool,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.dim = head.dim
        self.mean, self.std = tuple(mean), tuple(std)
        self._still = [
            module
            for module in backbone.modules()
            if freeze_batch_norm and isinstance(module, nn.modules.batchnorm._BatchNorm)
        ]

    def forward(self, pixels: Tensor) -> Tensor:
        """Embeddings of unit length."""
        return self.head(self.backbone(pixels))  # type: ignore[no-any-return]

    def train(self, mode: bool = True) -> RetrievalModel:
        """Sets the mode; batch norm with frozen statistics stays in evaluation."""
        super().train(mode)
        for module in self._still:
            module.eval()
        return self


def build_model(recipe: Recipe) -> RetrievalModel:
    """The network a recipe describes, its head untrained.

    Raises:
        InputError: no such backbone, weights that do not fit it.
        RetryError: its pretrained weights cannot be fetched.
    """
    name = recipe.backbone
    mean: Sequence[float]
    std: Sequence[float]
    if name == "registry" or "/" in name or name.startswith("local-dir:"):
        backbone, mean, std = load_encoder(name).image_tower()
    else:
        backbone, mean, std = _timm(recipe)
    with torch.inference_mode():
        features = backbone.eval()(torch.zeros(1, 3, recipe.crop, recipe.crop))
    if features.ndim != 2:
        fix = "Take a backbone that gives one vector a picture."
        shape = tuple(features.shape)
        raise InputError(Problem("backbone", f"gives features of shape {shape}:", fix, value=name))
    dim = features.shape[1]
    head = Head(dim, recipe.dim or dim, recipe.layer_norm)
    return RetrievalModel(backbone, head, recipe.freeze_batch_norm, mean, std)


def _timm(recipe: Recipe) -> tuple[nn.Module, Sequence[float], Sequence[float]]:
    import timm

    name = recipe.backbone
    if not timm.is_model(name):
        fix = "Take a timm model, an open_clip MODEL/TAG, local-dir:FOLDER or registry."
        raise InputError(Problem("backbone", "no such model:", fix, value=name))
    published = recipe.pretrained == "yes"
    file = None if recipe.pretrained in ("yes", "no") else Path(recipe.pretrained)
    if file is not None and not file.is_file():
        fix = 'Give a file of weights, "yes" or "no".'
        raise InputError(Problem("pretrained", "no such file:", fix, value=recipe.pretrained))
    try:
        model = timm.create_model(
            name, pretrained=published, num_classes=0, global_pool=recipe.pooling
        )
    except Exception as error:  # the hub's client raises many kinds
        reason = " ".join(str(error).split())[:200]
        if not published:
            fix = "Take another pooling or backbone."
            raise InputError(
                Problem("backbone", f"cannot be built ({reason}):", fix, value=name)
            ) from error
        raise RetryError(
            f"The weights of {name} could not be fetched ({reason}). Try again with a network; or "
            "give a file of weights, --set pretrained=FILE; or take --set backbone=registry."
        ) from error
    if file is not None:
        _load(model, file)
    config = timm.data.resolve_model_data_config(model)
    return model, config["mean"], config["std"]


def _load(model: nn.Module, file: Path) -> None:
    """Loads weights from a file; those of a classifier are left out."""
    from timm.models import load_state_dict

    try:
        weights = load_state_dict(str(file), weights_only=True)
        left_out = model.load_state_dict(weights, strict=False)
    except Exception as error:  # torch, safetensors and pickle each raise their own
        reason = " ".join(str(error).split())[:200]
        what = f"not weights of this backbone ({reason})"
        raise InputError(Problem(file, what, "Give another file.")) from error
    if left_out.missing_keys:
        what = f"{len(left_out.missing_keys)} weights of the backbone are not in the file, as"
        fix = "Give the weights of this backbone."
        raise InputError(Problem(file, what, fix, value=left_out.missing_keys[0]))
