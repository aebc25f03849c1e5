"""Writes and loads checkpoints; only the same training may continue from one."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from strata_labels.embedding import check_weights
from strata_labels.errors import InputError, Problem, RetryError
from strata_labels.files import whole
from strata_labels.training.trainer import Trainer

# 3: other batches are planned than before.
_FORMAT = 3
# Settings of a recipe that no step of a training depends on.
_NO_STEP = ("title", "data_set", "follows", "otherwise", "report_recall_at", "checkpoint_every")

#: What reading a damaged or foreign file of tensors raises.
DAMAGED = (
    OSError,
    RuntimeError,
    EOFError,
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    pickle.UnpicklingError,
)


def save(path: Path, trainer: Trainer, about: dict[str, Any]) -> None:
    """Writes the trainer's state.

    Args:
        path: the file; the old one stays until the new one is on the disk.
        trainer: what to keep.
        about: what training it is; `load` compares it.

    Raises:
        RetryError: it cannot be written (disk full).
    """
    content = io.BytesIO()
    torch.save({"format": _FORMAT, "about": about, "state": trainer.state_dict()}, content)
    try:
        with whole(path) as beside:
            beside.write_bytes(content.getbuffer())
    except OSError as error:
        kept = "the one before is kept" if path.exists() else "there is none yet"
        raise RetryError(
            f"The checkpoint of step {trainer.step} ({content.tell() / 1e6:,.0f} MB) could not be "
            f"written to {path} ({error.strerror}); {kept}. Make room and run the same command."
        ) from error


def load(path: Path, trainer: Trainer, about: dict[str, Any]) -> None:
    """Continues a training from its checkpoint.

    What no step depends on may have changed: the recipe's title, what is reported, how often a
    checkpoint is written.

    Raises:
        InputError: damaged (NaN or infinite weights too), or of another training; every difference
            is listed.
    """
    other = "Give another --out, or remove the checkpoint to start from the beginning."
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        found = content["about"]
        known = content["format"] == _FORMAT
        found.items()
    except DAMAGED as error:
        reason = " ".join(str(error).split())[:150]
        raise InputError(Problem(path, f"damaged checkpoint ({reason})", other)) from error
    if not known:
        raise InputError(Problem(path, "checkpoint of another version of Strata", other))
    was, now = _flat(found), _flat(about)
    changed = [key for key in sorted(was.keys() | now.keys()) if was.get(key) != now.get(key)]
    problems = [
        Problem(path, "checkpoint of a training on other paths, labels or splits", other)
        if key == "data"  # fingerprints, which say nothing
        else Problem(
            path,
            f"checkpoint of another training; it has {was.get(key)!r}, not",
            other,
            column=key,
            value=now.get(key),
        )
        for key in changed
    ]
    if problems:
        raise InputError(problems)
    try:
        trainer.load_state_dict(content["state"])
    except (RuntimeError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())[:150]
        raise InputError(Problem(path, f"checkpoint does not fit ({reason})", other)) from error
    for part in (trainer.model, trainer.loss):
        check_weights(part, path, other)


def _flat(about: dict[str, Any]) -> dict[str, Any]:
    """What training it is, each setting of its recipe by its own key."""
    recipe = about.get("recipe")
    if not isinstance(recipe, dict):
        return about
    settings = {f"recipe.{key}": recipe[key] for key in recipe if key not in _NO_STEP}
    return about | {"recipe": None} | settings
