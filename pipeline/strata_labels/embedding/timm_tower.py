"""Loads an image model of timm, such as DINOv2, with its weights from a file or the hub."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strata_labels.embedding.encoder_spec import FORMS, EncoderSpec
from strata_labels.embedding.image_tower import ImageTower
from strata_labels.embedding.timm_weights import load_timm_weights
from strata_labels.embedding.weights import check_hub, or_explained
from strata_labels.errors import InputError, Problem

if TYPE_CHECKING:
    import torch


class TimmTower(ImageTower):
    """An image model without its classifier; pictures are prepared as the model was trained.

    Raises:
        InputError: no such model, no pretrained weights, weights that do not fit, a model that
            gives an image no single vector.
        RetryError: the weights are neither on this machine nor to be had from the hub.
    """

    def __init__(self, spec: EncoderSpec) -> None:
        from timm.data import create_transform, resolve_data_config

        network = _network(spec)
        config = resolve_data_config({}, model=network)
        super().__init__(network, create_transform(**config))
        self.visual = self.model
        shape = tuple(self.start(self.blank_batch()).shape)
        if len(shape) != 2:
            what = f"gives an image features of shape {shape[1:]}, not one vector:"
            fix = "Take a model for classification or retrieval."
            raise InputError(Problem("--encoder", what, fix, value=spec.text))

    def _encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import normalize

        return normalize(self.model(pixels).float(), dim=-1)


def _network(spec: EncoderSpec) -> Any:
    """The network on the CPU, its weights loaded."""
    import timm

    name = spec.model
    tagged = timm.list_pretrained()
    published = {*tagged, *(each.partition(".")[0] for each in tagged)}
    if not timm.is_model(name) or ("." in name and name not in published):
        of_model = [each for each in tagged if each.partition(".")[0] == name.partition(".")[0]]
        close = of_model or difflib.get_close_matches(name, timm.list_models())
        fix = f"Close names: {', '.join(close)}." if close else FORMS
        raise InputError(Problem("--encoder", "timm has no model", fix, value=name))
    if spec.pretrained is not None:
        network = or_explained(spec, lambda: timm.create_model(name, num_classes=0))
        load_timm_weights(network, Path(spec.pretrained))
        return network
    if name not in published:
        fix = f"Give a file with weights: timm:{name}@FILE."
        raise InputError(Problem("--encoder", "timm has no weights of", fix, value=name))
    config = timm.get_pretrained_cfg(name)
    check_hub(spec, str(config.hf_hub_id or "") if config else "")
    return or_explained(spec, lambda: timm.create_model(name, pretrained=True, num_classes=0))
