"""Loads an image model of timm, such as DINOv2, with its weights from a file or the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from strata_labels.embedding.encoder_spec import EncoderSpec
from strata_labels.embedding.image_tower import ImageTower
from strata_labels.embedding.timm_network import timm_network
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

        file = spec.pretrained
        network = timm_network(spec.model, "published" if file is None else Path(file))
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
