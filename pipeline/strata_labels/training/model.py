"""A whole network to train: backbone, pooling, head."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from strata_labels.embedding import load_encoder, timm_network
from strata_labels.errors import InputError, Problem
from strata_labels.pictures import normalised
from strata_labels.training.head import Head
from strata_labels.training.recipe import Recipe


class GeM(nn.Module):
    """Generalised mean over positions: `[n, c, h, w]` to `[n, c]` (Radenovic et al., 2019).

    Args:
        exponent: where it starts.
        channels_last: features are `[n, h, w, c]`, as windowed transformers give them.

    Attributes:
        exponent: `[1]`, learnt; 1 is the average, infinity the maximum.
    """

    def __init__(self, exponent: float = 3.0, channels_last: bool = False) -> None:
        super().__init__()
        self.exponent = nn.Parameter(torch.full((1,), exponent))
        self._positions = (1, 2) if channels_last else (2, 3)

    def forward(self, features: Tensor) -> Tensor:
        """Pooled features."""
        powers = features.clamp(min=1e-6) ** self.exponent
        return powers.mean(dim=self._positions) ** (1 / self.exponent)


class RetrievalModel(nn.Module):
    """Backbone, pooling and `Head`: pictures `[n, 3, h, w]` to unit vectors `[n, e]`.

    Pictures are pixels of 8 bits, which it normalises, or floats that are normalised already.

    Args:
        backbone: pictures to features, pooled `[n, d]` unless `pooling` does it.
        head: pooled features to embeddings.
        freeze_batch_norm: batch norm keeps its pretrained statistics (it stays in evaluation
            mode); its scale and shift learn, as published (HAPPIER, SupRank), or, if `all`, keep
            their values too.
        mean, std: what pixels are normalised by.
        pooling: features to pooled features; None: the backbone pools.
    """

    backbone: nn.Module
    head: nn.Module
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        head: Head,
        freeze_batch_norm: bool | Literal["all"],
        mean: Sequence[float] | Tensor,
        std: Sequence[float] | Tensor,
        pooling: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.pooling = pooling or nn.Identity()
        self.dim = head.dim
        # No weights: they follow from the recipe.
        self.register_buffer("mean", torch.as_tensor(mean), persistent=False)
        self.register_buffer("std", torch.as_tensor(std), persistent=False)
        self._still = [
            module
            for module in backbone.modules()
            if freeze_batch_norm and isinstance(module, nn.modules.batchnorm._BatchNorm)
        ]
        if freeze_batch_norm == "all":
            for module in self._still:
                module.requires_grad_(False)

    def features(self, pixels: Tensor) -> Tensor:
        """Pooled features `[n, d]`, what the head is given."""
        if pixels.dtype == torch.uint8:
            pixels = normalised(pixels, self.mean, self.std)
        return self.pooling(self.backbone(pixels))  # type: ignore[no-any-return]

    def forward(self, pixels: Tensor) -> Tensor:
        """Embeddings of unit length."""
        return self.head(self.features(pixels))  # type: ignore[no-any-return]

    def train(self, mode: bool = True) -> RetrievalModel:
        """Sets the mode; batch norm with frozen statistics stays in evaluation."""
        super().train(mode)
        for module in self._still:
            module.eval()
        return self


def build_model(recipe: Recipe, weights_follow: bool = False) -> RetrievalModel:
    """The network a recipe describes, its head untrained.

    Args:
        recipe: the recipe.
        weights_follow: all weights are about to be loaded, so none are fetched.

    Raises:
        InputError: no such backbone, weights that do not fit it, random weights with frozen batch
            norm.
        RetryError: its pretrained weights cannot be fetched.
    """
    name = recipe.backbone
    mean: Sequence[float] | Tensor
    std: Sequence[float] | Tensor
    encoder = name == "registry" or "/" in name or name.startswith("local-dir:")
    if weights_follow:
        recipe = recipe.model_copy(update={"pretrained": "yes" if encoder else "no"})
    if encoder:
        _check_encoder(recipe)
        backbone, mean, std = load_encoder(name).image_tower()
    else:
        backbone, mean, std = _timm(recipe)
    random = recipe.pretrained == "no" and not (encoder or weights_follow)
    norms = (isinstance(one, nn.modules.batchnorm._BatchNorm) for one in backbone.modules())
    if random and recipe.freeze_batch_norm and any(norms):
        what = "random weights whose batch norm keeps its untrained statistics:"
        fix = "Set freeze_batch_norm=false, or give weights: pretrained=yes, or a file."
        raise InputError(Problem("pretrained", what, fix, value="no"))
    device = next((each.device for each in backbone.parameters()), torch.device("cpu"))
    blank = torch.zeros(1, 3, recipe.crop, recipe.crop, device=device)
    try:
        with torch.no_grad():
            features = backbone.eval()(blank)
    except (AssertionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        what = f"{name} takes no pictures of this size ({reason}):"
        fix = "Set crop to the size that the backbone was made for."
        raise InputError(Problem("crop", what, fix, value=recipe.crop)) from error
    pooling = None
    if recipe.pooling == "gem":
        if features.ndim != 4:
            what, fix = "this backbone gives no map of features:", "Take pooling=avg."
            raise InputError(Problem("pooling", what, fix, value=recipe.pooling))
        pooling = GeM(channels_last=getattr(backbone, "output_fmt", "NCHW") == "NHWC")
        with torch.no_grad():
            features = pooling(features)
    if features.ndim != 2:
        fix = "Take a backbone that gives one vector a picture."
        shape = tuple(features.shape)
        raise InputError(Problem("backbone", f"gives features of shape {shape}:", fix, value=name))
    dim = features.shape[1]
    head = Head(dim, recipe.dim or dim, recipe.layer_norm)
    return RetrievalModel(backbone, head, recipe.freeze_batch_norm, mean, std, pooling)


def _check_encoder(recipe: Recipe) -> None:
    """Refuses settings that an encoder as a backbone does not have."""
    problems = []
    if recipe.pooling != "avg":
        fix = "Take pooling=avg, or a timm backbone."
        what = "this backbone pools by itself:"
        problems.append(Problem("pooling", what, fix, value=recipe.pooling))
    if recipe.pretrained != "yes":
        fix = "Leave it out, or take a timm backbone."
        what = "this backbone brings its own weights:"
        problems.append(Problem("pretrained", what, fix, value=recipe.pretrained))
    if problems:
        raise InputError(problems)


def _timm(recipe: Recipe) -> tuple[nn.Module, Sequence[float], Sequence[float]]:
    from timm.data import resolve_model_data_config

    weights: Path | Literal["published", "random"] = "published"
    if recipe.pretrained == "no":
        weights = "random"
    elif recipe.pretrained != "yes":
        weights = Path(recipe.pretrained)
        if not weights.is_file():
            fix = 'Give a file of weights, "yes" or "no".'
            raise InputError(Problem("pretrained", "no such file:", fix, value=recipe.pretrained))
    # `avg` is left to the network: a transformer's weights may be made for its class token.
    pooling = {"avg": None, "gem": ""}.get(recipe.pooling, recipe.pooling)
    model = timm_network(recipe.backbone, weights, "backbone", pooling)
    config = resolve_model_data_config(model)
    return model, config["mean"], config["std"]
