"""Loads the weights of a timm model from a file, for encoders and for backbones to train."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from strata_labels.errors import InputError, Problem


def load_timm_weights(network: Any, file: Path, whole: bool = True) -> None:
    """Loads a file's weights into a network of timm; those of a classifier are left out.

    Args:
        network: what `timm.create_model` made, without a classifier.
        file: weights, published or saved by timm.
        whole: the network keeps the model's own pooling. Without it, all weights are left out that
            the network has no place for.

    Raises:
        InputError: the file cannot be read, or its weights do not fit; all that is wrong, by name.
    """
    from timm.models import load_state_dict

    name = network.pretrained_cfg["architecture"]
    fix = f"Give weights of {name}."
    try:
        given = load_state_dict(str(file), weights_only=True)
        # Many model families convert the names and shapes of weights that others published.
        convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
        given = dict(convert(given, network) if convert else given)
    except Exception as error:  # torch, safetensors and pickle each raise their own
        reason = " ".join(str(error).split())[:200]
        raise InputError(Problem(file, f"cannot be read as weights ({reason})", fix)) from error
    wanted = network.state_dict()
    heads = network.pretrained_cfg.get("classifier") or ()
    # Beside the classifier, some heads have layers that go with it.
    heads = (heads,) if isinstance(heads, str) else heads
    left_out = tuple(f"{head.split('.')[0]}." for head in heads)
    unknown = (key for key in given if key not in wanted and not key.startswith(left_out))
    problems = {
        "missing": sorted(set(wanted) - set(given)),
        "unknown": sorted(unknown) if whole else [],
        "of another shape": sorted(
            f"{key} {tuple(given[key].shape)} for {tuple(value.shape)}"
            for key, value in wanted.items()
            if key in given and given[key].shape != value.shape
        ),
    }
    if any(problems.values()):
        found = "; ".join(f"{what}: {', '.join(keys)}" for what, keys in problems.items() if keys)
        raise InputError(Problem(file, f"not weights of {name} ({found})", fix))
    network.load_state_dict({key: given[key] for key in wanted})
