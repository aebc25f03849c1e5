"""Loads an open_clip model, with errors that name a remedy, and runs its two towers."""

from __future__ import annotations

import difflib
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from strata_labels.embedding.encoder import Floats
from strata_labels.embedding.encoder_spec import FORMS, EncoderSpec
from strata_labels.embedding.image_tower import ImageTower
from strata_labels.embedding.weights import check_hub, check_weights, or_explained
from strata_labels.errors import InputError, Problem

if TYPE_CHECKING:
    import torch

_TEXT_BATCH = {"cpu": 32, "cuda": 256}
_SHORTEST = 8  # tokens


class Towers(ImageTower):
    """Both towers of a model.

    Raises:
        InputError: no such model or tag, a broken folder or checkpoint, a missing package.
        RetryError: the weights are neither on this machine nor to be had from the hub.
    """

    def __init__(self, spec: EncoderSpec) -> None:
        import open_clip
        from torchvision.transforms import InterpolationMode, Resize

        quick_gelu = _check_names(spec)
        model, _, preprocess = or_explained(
            spec,
            lambda: open_clip.create_model_and_transforms(
                spec.model,
                pretrained=spec.pretrained,
                force_custom_text=True,  # one shape of text tower for all models
                force_quick_gelu=quick_gelu,
            ),
        )
        fix = "The file is damaged: fetch or save it again, or use another encoder."
        check_weights(model, "--encoder", fix, spec.text)
        self.tokenizer = or_explained(spec, lambda: open_clip.get_tokenizer(spec.model))
        if spec.resize is not None:
            preprocess.transforms[0] = Resize(spec.resize, InterpolationMode.BICUBIC)
        super().__init__(model, preprocess)
        self.visual = model.visual
        self.text_batch = _TEXT_BATCH[self.device]
        text = self.model.text
        # Text after the last token changes nothing where a mask hides it, and costs most of the
        # time: names have 5 to 20 tokens, the context is 77 or more.
        self._pad = text.config.pad_token_id if hasattr(text, "config") else None
        self._causal = None
        if getattr(text, "pool_type", "") == "argmax" and text.cls_emb is None:
            self._causal = text.attn_mask

    def padded_lengths(self, tokens: torch.Tensor) -> NDArray[np.int64]:
        """Length each row of tokens `[n, context]` is encoded at: a power of two, or all of it."""
        context = tokens.shape[1]
        if self._pad is not None:
            used = (tokens != self._pad).numpy() * np.arange(1, context + 1)
            lengths = used.max(axis=1)
        elif self._causal is not None:
            lengths = tokens.argmax(dim=1).numpy() + 1
        else:
            return np.full(len(tokens), context)
        powers = 2 ** np.ceil(np.log2(np.maximum(lengths, _SHORTEST))).astype(np.int64)
        return np.minimum(powers, context)

    def text_vectors(self, tokens: torch.Tensor) -> Floats:
        """Vectors of at most `text_batch` rows of tokens of one length."""
        if self._causal is not None:
            length = tokens.shape[1]
            self.model.text.attn_mask = self._causal[:length, :length]
        encode = partial(self.model.encode_text, normalize=True)
        vectors = self._vectors(encode, self._filled(tokens, self.text_batch))
        return vectors[: len(tokens)].cpu().numpy()

    def _encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.encode_image(pixels, normalize=True)


def _check_names(spec: EncoderSpec) -> bool:
    """Checks model and tag against open_clip's lists; says whether the tag wants QuickGELU."""
    import open_clip

    if spec.kind not in ("tag", "checkpoint"):
        return False
    models = open_clip.list_models()
    if spec.model not in models:
        close = difflib.get_close_matches(spec.model, models)
        fix = f"Close names: {', '.join(close)}." if close else FORMS
        raise InputError(Problem("--encoder", "open_clip has no model", fix, value=spec.model))
    if spec.kind == "checkpoint":
        return False
    tag = open_clip.get_pretrained_cfg(spec.model, spec.pretrained)
    if not tag:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(spec.model)) or "none"
        what = f"neither a tag of {spec.model} nor a file:"
        fix = f"Its tags: {tags}."
        raise InputError(Problem("--encoder", what, fix, value=spec.pretrained))
    check_hub(spec, tag.get("hf_hub", "").rpartition("/")[0])
    return bool(tag.get("quick_gelu"))
