"""Networks of timm with their weights, for encoders and for backbones to train."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Any, Literal

from strata_labels.embedding.encoder_spec import FORMS, EncoderSpec
from strata_labels.embedding.weights import check_hub, check_weights, unreachable
from strata_labels.errors import InputError, Problem


def timm_network(
    name: str,
    weights: Path | Literal["published", "random"],
    where: str = "--encoder",
    pooling: str | None = None,
) -> Any:
    """A model of timm without its classifier, on the CPU.

    Args:
        name: of the model, with or without a tag of its weights.
        weights: a file, published or saved by timm; or the hub's; or none.
        where: the option or setting that names the model, for messages.
        pooling: timm's `global_pool`, "" for the map of features; None: the model's own.

    Raises:
        InputError: no such model, no published weights, weights that do not fit.
        RetryError: the weights are neither on this machine nor to be had from the hub.
    """
    import timm

    tagged = timm.list_pretrained()
    published = {*tagged, *(each.partition(".")[0] for each in tagged)}
    if not timm.is_model(name) or ("." in name and name not in published):
        of_model = [each for each in tagged if each.partition(".")[0] == name.partition(".")[0]]
        close = of_model or difflib.get_close_matches(name, timm.list_models())
        fix = f"Close names: {', '.join(close)}." if close else FORMS
        raise InputError(Problem(where, "timm has no model", fix, value=name))
    fetched = weights == "published"
    # Older names are not listed: timm knows whose weights they mean.
    if fetched and name not in published and name in timm.list_models():
        fix = f"Give a file with weights: timm:{name}@FILE."
        raise InputError(Problem(where, "timm has no weights of", fix, value=name))
    spec = EncoderSpec(f"timm:{name}", "", False, "timm", name)
    if fetched:
        config = timm.get_pretrained_cfg(name)
        check_hub(spec, str(config.hf_hub_id or "") if config else "", where)
    own: dict[str, Any] = {} if pooling is None else {"global_pool": pooling}
    try:
        network = timm.create_model(name, pretrained=fetched, num_classes=0, **own)
    except Exception as error:  # the hub's client and the models raise many kinds
        if fetched and not isinstance(error, AssertionError | ImportError | TypeError):
            raise unreachable(spec, error, where) from error
        reason = " ".join(str(error).split())[:200]
        fix = "Take another model or pooling."
        raise InputError(Problem(where, f"cannot be built ({reason}):", fix, value=name)) from error
    if isinstance(weights, Path):
        _load_weights(network, weights, whole=pooling is None)
    fix = "The file is damaged: fetch or save it again, or take other weights."
    if isinstance(weights, Path):
        check_weights(network, weights, fix)
    elif fetched:
        check_weights(network, where, fix, name)
    return network


def _load_weights(network: Any, file: Path, whole: bool) -> None:
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
