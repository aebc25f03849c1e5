"""Recipes: what is trained, how, as data. `recipes/*.toml` ship with the package."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from strata_labels.errors import InputError, Problem

Mode = Literal["full", "head"]
LossName = Literal[
    "suphap",
    "supap",
    "smoothap",
    "supndcg",
    "suprecall",
    "calibration",
    "cluster",
    "csl",
    "triplet",
]


@dataclass(frozen=True)
class Recipe:
    """Settings of one training. A recipe file holds some of them; these are the others' values.

    Attributes:
        title: what it is, for people.
        losses, weights: terms of the loss and their weights.
        level: column of the labels that one-level losses learn.
        tau, rho, delta, start, offset: of SupRank (`SmoothAP` takes tau alone).
        h_rank: beta, gamma and leak of SupHAP's H-rank; empty: the step function.
        recall_at, recall_temperature: of SupRecall.
        positive_margin, negative_margin: of the calibration loss.
        triplet_margin: of the triplet loss.
        cluster_temperature: of the cluster loss.
        csl_margins, csl_scale: of CSL, a margin per level, the finest first; none: 0.25 to 0.45
            evenly.
        proxies: where proxies start: at random or at the classes' mean vectors.
        sampler: `m-per-class` or `hierarchical`.
        batch_size: images in a batch, over all processes.
        images_per_class: m of both samplers.
        max_per_class: images of a class seen in an epoch, at most; 0: all.
        super_classes: super-classes (of the coarsest level) in a batch of `hierarchical`.
        batches_per_group: batches for each set of super-classes in an epoch of `hierarchical`; 0:
            as many batches as show as many images as there are.
        epochs: number of epochs.
        warmup_epochs: first epochs, in which the backbone is frozen.
        optimizer: `adam` or `sgd`.
        lr, head_lr, proxy_lr: of the backbone, of the layers above it, of proxies.
        proxy_lr_end: where the proxies' rate ends; -1: it falls as the others do.
        weight_decay: of the network, not of proxies.
        schedule: `cosine` (to 0 at the end) or `constant`.
        clip: largest norm of the gradient; 0: not clipped.
        memory: embeddings kept as further references (cross-batch memory); 0: none.
        precision: `auto` (bf16 autocast on a GPU that has it), `bf16` or `float32`.
        backbone: a timm model, `open_clip:MODEL/TAG`, or `registry`.
        pretrained: `yes` for the backbone's published weights, `no`, or a file of weights.
        pooling: `avg`, `max` or `avgmax`.
        layer_norm: whether one stands before the linear layer.
        dim: length of the embeddings; 0: as that of the layer's input.
        identity: the linear layer starts as the identity (as the first principal directions of
            the train vectors, if `dim` is less), on centred vectors. For heads on cached vectors.
        freeze_batch_norm: batch norm keeps its pretrained statistics and weights.
        resize, crop: pixels: test images' shorter side, and the crop's side.
        min_scale, max_scale, min_ratio, max_ratio: of the random resized crop; `max_scale` 0:
            resize and random crop.
        checkpoint_every: steps between checkpoints.
    """

    title: str
    losses: tuple[str, ...]
    weights: tuple[float, ...]
    level: int = 0
    tau: float = 0.01
    rho: float = 100.0
    delta: float = 0.05
    start: float = 0.5
    offset: float = 1.44
    h_rank: tuple[float, ...] = ()
    recall_at: tuple[int, ...] = (1, 2, 4, 8, 16)
    recall_temperature: float = 1.0
    positive_margin: float = 0.9
    negative_margin: float = 0.6
    triplet_margin: float = 0.1
    cluster_temperature: float = 0.05
    csl_margins: tuple[float, ...] = ()
    csl_scale: float = 32.0
    proxies: Literal["random", "means"] = "random"
    sampler: Literal["m-per-class", "hierarchical"] = "m-per-class"
    batch_size: int = 256
    images_per_class: int = 4
    max_per_class: int = 0
    super_classes: int = 2
    batches_per_group: int = 0
    epochs: int = 100
    warmup_epochs: int = 5
    optimizer: Literal["adam", "sgd"] = "adam"
    lr: float = 5e-5
    head_lr: float = 1e-4
    proxy_lr: float = 10.0
    proxy_lr_end: float = -1.0
    weight_decay: float = 1e-4
    schedule: Literal["cosine", "constant"] = "cosine"
    clip: float = 0.0
    memory: int = 0
    precision: Literal["auto", "bf16", "float32"] = "auto"
    backbone: str = "resnet50"
    pretrained: str = "yes"
    pooling: Literal["avg", "max", "avgmax"] = "avg"
    layer_norm: bool = True
    dim: int = 512
    identity: bool = False
    freeze_batch_norm: bool = True
    resize: int = 256
    crop: int = 224
    min_scale: float = 0.16
    max_scale: float = 1.0
    min_ratio: float = 0.75
    max_ratio: float = 1.33
    checkpoint_every: int = 500

    def as_dict(self) -> dict[str, Any]:
        """Plain values: lists for tuples."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


_HINTS = get_type_hints(Recipe)
_FIELDS: dict[str, Field[Any]] = {field.name: field for field in fields(Recipe)}
# Keys of a file that are no settings: another recipe it starts from, and settings of one mode.
_EXTENDS = "extends"
# What plain recipes share; no recipe of its own.
_SHARED = "_plain"
_MODES: tuple[str, ...] = get_args(Mode)

# Least value each number may have, and whether that value itself is allowed.
_LEAST: dict[str, tuple[float, bool]] = {
    **dict.fromkeys(
        ("tau", "recall_temperature", "cluster_temperature", "csl_scale", "min_ratio"), (0, False)
    ),
    **dict.fromkeys(
        (
            "level",
            "rho",
            "delta",
            "start",
            "offset",
            "max_per_class",
            "batches_per_group",
            "epochs",
            "warmup_epochs",
            "lr",
            "head_lr",
            "proxy_lr",
            "weight_decay",
            "clip",
            "memory",
            "dim",
            "min_scale",
            "max_scale",
        ),
        (0, True),
    ),
    **dict.fromkeys(("super_classes", "resize", "crop", "checkpoint_every"), (1, True)),
    "batch_size": (2, True),
    "images_per_class": (2, True),
}


def recipe_names() -> list[str]:
    """Names of the recipes that ship with the package."""
    return sorted(path.stem for path in _folder().glob("[!_]*.toml"))


def load_recipe(name: str, mode: Mode, settings: Iterable[str] = ()) -> Recipe:
    """Reads a recipe for one mode.

    Args:
        name: one of `recipe_names()`, or a file `….toml` of the user's own, which may start from a
            shipped recipe with `extends = "happier"`. A table `[head]` or `[full]` holds settings
            of that mode alone.
        mode: `full` or `head`.
        settings: `key=value` texts that win over the file, values as in TOML (bare text too).

    Raises:
        InputError: no such recipe, unknown keys, wrong types, values out of range; all listed.
    """
    problems: list[Problem] = []
    values = _read(name, mode, problems)
    values |= _given(settings, problems)
    if problems:
        raise InputError(problems)
    for key, field in _FIELDS.items():
        if field.default is MISSING and key not in values:
            problems.append(Problem(f"recipe {name}", "key missing:", "Add it.", column=key))
    if not problems:
        recipe = Recipe(**values)
        problems += _contradictions(name, recipe)
    if problems:
        raise InputError(problems)
    return recipe


def _folder() -> Path:
    return Path(str(resources.files("strata_labels.training") / "recipes"))


def _read(name: str, mode: Mode, problems: list[Problem], above: tuple[str, ...] = ()) -> dict:
    """The settings of a recipe file and of those it extends, the nearest winning."""
    own = name.endswith(".toml")
    path = Path(name) if own else _folder() / f"{name}.toml"
    shipped = own or name in {*recipe_names(), _SHARED}
    if not shipped or not path.is_file():
        fix = f"Take one of {', '.join(recipe_names())}, or a file of your own ending in .toml."
        problems.append(Problem("--recipe", "no such recipe:", fix, value=name))
        return {}
    if name in above:
        problems.append(Problem(path, "extends itself", "Let it start from another recipe."))
        return {}
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        problems.append(Problem(path, f"not TOML ({error})", "Mend the line."))
        return {}
    shown = str(path) if own else f"recipe {name}"
    values: dict[str, Any] = {}
    base = data.pop(_EXTENDS, None)
    if isinstance(base, str):
        values = _read(base, mode, problems, (*above, name))
    elif base is not None:
        problems.append(_not_a(shown, _EXTENDS, "text", base))
    sections = {}
    for section in _MODES:
        sections[section] = data.pop(section, {})
        if not isinstance(sections[section], dict):
            problems.append(_not_a(shown, section, "table", sections[section]))
            sections[section] = {}
    values |= _checked(data, shown, "", problems)
    for section, settings in sections.items():
        checked = _checked(settings, shown, f"{section}.", problems)
        if section == mode:
            values |= checked
    return values


def _given(settings: Iterable[str], problems: list[Problem]) -> dict[str, Any]:
    """Settings of the command line, `key=value`."""
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        key, text = key.strip(), text.strip()
        if not equals:
            problems.append(Problem("--set", "not key=value:", "Write lr=1e-4.", value=setting))
            continue
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except (tomllib.TOMLDecodeError, KeyError):
            value = text
        values |= _checked({key: value}, "--set", "", problems)
    return values


def _checked(
    data: Mapping[str, Any], where: str, prefix: str, problems: list[Problem]
) -> dict[str, Any]:
    """The settings that have a known key, the right type and a value in range."""
    values = {}
    for key, value in data.items():
        if key not in _FIELDS:
            fix = f"Known: {', '.join(sorted(_FIELDS))}."
            problems.append(Problem(where, "unknown key", fix, column=prefix + key))
            continue
        try:
            values[key] = _converted(value, _HINTS[key])
        except TypeError as error:
            problems.append(_not_a(where, prefix + key, str(error), value))
            continue
        least, included = _LEAST.get(key, (float("-inf"), True))
        if isinstance(values[key], int | float) and not (
            values[key] < float("inf")
            and (values[key] > least or (included and values[key] == least))
        ):
            fix = f"Give a number {'>=' if included else '>'} {least:g}."
            problems.append(Problem(where, "out of range:", fix, column=prefix + key, value=value))
    return values


def _converted(value: Any, hint: Any) -> Any:
    """The value as the hint has it.

    Raises:
        TypeError: it is something else; the message says what is wanted.
    """
    if hint is bool:
        if isinstance(value, bool):
            return value
        raise TypeError("true or false")
    if hint is str:
        if isinstance(value, str):
            return value
        raise TypeError("text")
    if hint is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise TypeError("whole number")
    if hint is float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        raise TypeError("number")
    choices = get_args(hint)
    if choices and choices[-1] is Ellipsis:
        if not isinstance(value, list):
            raise TypeError("list")
        return tuple(_converted(entry, choices[0]) for entry in value)
    if value in choices:
        return value
    raise TypeError(f"one of {', '.join(map(str, choices))}")


def _not_a(where: str, key: str, wanted: str, value: Any) -> Problem:
    return Problem(where, f"wrong type or value, {wanted} is wanted:", "Mend it.", None, key, value)


def _contradictions(name: str, recipe: Recipe) -> list[Problem]:
    """Settings that are right each, but not together."""
    where = f"recipe {name}"
    problems = []
    known = get_args(LossName)
    for loss in recipe.losses:
        if loss not in known:
            fix = f"Known: {', '.join(known)}."
            problems.append(Problem(where, "no such loss:", fix, column="losses", value=loss))
    if not recipe.losses or len(recipe.losses) != len(recipe.weights):
        fix = "Give as many weights as losses, at least one."
        what = f"{len(recipe.losses)} losses and {len(recipe.weights)} weights"
        problems.append(Problem(where, what, fix, column="weights"))
    if len(recipe.h_rank) not in (0, 3):
        fix = "Give beta, gamma and leak, or nothing."
        value = list(recipe.h_rank)
        problems.append(Problem(where, "not three numbers:", fix, None, "h_rank", value))
    if recipe.batch_size < recipe.images_per_class * 2:
        fix = "Make it twice images_per_class at least."
        what = "too small for two classes:"
        problems.append(Problem(where, what, fix, None, "batch_size", recipe.batch_size))
    if not recipe.recall_at or min(recipe.recall_at) < 1:
        fix = "Give list lengths >= 1."
        value = list(recipe.recall_at)
        problems.append(Problem(where, "out of range:", fix, None, "recall_at", value))
    return problems
