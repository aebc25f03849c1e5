"""Recipes: settings of a training, read from TOML files; `recipes/*.toml` ship with the package."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from strata_labels.errors import InputError, Problem
from strata_labels.settings import List, problems_of

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
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
AtLeast1 = Annotated[int, Field(ge=1)]
AtLeast2 = Annotated[int, Field(ge=2)]


class Recipe(BaseModel):
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
        backbone: a timm model, open_clip's `MODEL/TAG`, `local-dir:FOLDER` or `registry`.
        pretrained: `yes` for the backbone's published weights, `no`, or a file of weights.
        pooling: `avg`, `max` or `avgmax`.
        layer_norm: whether a layer norm comes before the linear layer.
        dim: length of the embeddings; 0: as that of the layer's input.
        identity: the linear layer starts as the identity (as the first principal directions of
            the train vectors, if `dim` is less), on centred vectors. For heads on cached vectors.
        freeze_batch_norm: batch norm keeps its pretrained statistics; its scale and shift learn.
        resize, crop: pixels: test images' shorter side, and the crop's side.
        min_scale, max_scale, min_ratio, max_ratio: of the random resized crop; `max_scale` 0:
            resize and random crop.
        checkpoint_every: steps between checkpoints.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    title: str = ""
    losses: List[LossName] = Field(default=(), validate_default=True, min_length=1)
    weights: List[float] = Field(default=(), validate_default=True)
    level: Count = 0
    tau: Positive = 0.01
    rho: NotNegative = 100.0
    delta: NotNegative = 0.05
    start: NotNegative = 0.5
    offset: NotNegative = 1.44
    h_rank: List[float] = ()
    recall_at: List[AtLeast1] = Field(default=(1, 2, 4, 8, 16), min_length=1)
    recall_temperature: Positive = 1.0
    positive_margin: float = 0.9
    negative_margin: float = 0.6
    triplet_margin: float = 0.1
    cluster_temperature: Positive = 0.05
    csl_margins: List[float] = ()
    csl_scale: Positive = 32.0
    proxies: Literal["random", "means"] = "random"
    sampler: Literal["m-per-class", "hierarchical"] = "m-per-class"
    images_per_class: AtLeast2 = 4
    batch_size: AtLeast2 = Field(default=256, validate_default=True)
    max_per_class: Count = 0
    super_classes: AtLeast1 = 2
    batches_per_group: Count = 0
    epochs: Count = 100
    warmup_epochs: Count = 5
    optimizer: Literal["adam", "sgd"] = "adam"
    lr: NotNegative = 5e-5
    head_lr: NotNegative = 1e-4
    proxy_lr: NotNegative = 10.0
    proxy_lr_end: float = -1.0
    weight_decay: NotNegative = 1e-4
    schedule: Literal["cosine", "constant"] = "cosine"
    clip: NotNegative = 0.0
    memory: Count = 0
    precision: Literal["auto", "bf16", "float32"] = "auto"
    backbone: str = "resnet50"
    pretrained: str = "yes"
    pooling: Literal["avg", "max", "avgmax"] = "avg"
    layer_norm: bool = True
    dim: Count = 512
    identity: bool = False
    freeze_batch_norm: bool = True
    resize: AtLeast1 = 256
    crop: AtLeast1 = 224
    min_scale: NotNegative = 0.16
    max_scale: NotNegative = 1.0
    min_ratio: Positive = 0.75
    max_ratio: float = 1.33
    checkpoint_every: AtLeast1 = 500

    # A validator sees only the fields before its own that are right.
    @field_validator("weights")
    @classmethod
    def _as_many_as_losses(cls, weights: Any, info: ValidationInfo) -> Any:
        losses = info.data.get("losses")
        if losses is not None and len(losses) != len(weights):
            raise ValueError(f"as many weights as losses are needed ({len(losses)})")
        return weights

    @field_validator("h_rank")
    @classmethod
    def _none_or_three(cls, h_rank: Any) -> Any:
        if len(h_rank) not in (0, 3):
            raise ValueError("give beta, gamma and leak, or nothing")
        return h_rank

    @field_validator("batch_size")
    @classmethod
    def _two_classes(cls, batch_size: int, info: ValidationInfo) -> int:
        least = 2 * info.data.get("images_per_class", 1)
        if batch_size < least:
            raise ValueError(f"two classes at least are needed ({least} images)")
        return batch_size

    def as_dict(self) -> dict[str, Any]:
        """Plain values: lists for tuples."""
        return self.model_dump(mode="json")


# Keys of a file that are not settings: the recipe it starts from, and the settings of one mode.
_EXTENDS = "extends"
# What plain recipes share; not a recipe of its own.
_SHARED = "_plain"
_MODES: tuple[Mode, ...] = get_args(Mode)


class _Setting(NamedTuple):
    """A value and where it is written: a file or `--set`, with the key's full name."""

    key: str
    value: Any
    where: str
    column: str
    mode: Mode | None  # of a section that counts in this mode alone


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
        InputError: no such recipe, unknown keys, wrong types, values out of range or that do not
            go together; all listed.
    """
    problems: list[Problem] = []
    read = [*_read_file(name, problems), *_read_settings(settings, problems)]
    recipe = None
    for each in (mode, *(other for other in _MODES if other != mode)):
        used: dict[str, _Setting] = {}
        for setting in read:
            if setting.mode in (None, each):
                used.pop(setting.key, None)  # the place in the order is that of the last one
                used[setting.key] = setting
        try:
            checked = Recipe.model_validate({key: setting.value for key, setting in used.items()})
            recipe = recipe or checked
        except ValidationError as error:
            # Of the other mode only what is wrong in its own section is new.
            shown = {key for key in used if each == mode or used[key].mode == each}
            problems += _problems(name, error, used, shown)
    if problems or recipe is None:
        raise InputError(problems)
    return recipe


def _problems(
    name: str, error: ValidationError, used: dict[str, _Setting], shown: set[str]
) -> list[Problem]:
    """What is wrong with the settings `shown` or with defaults, in the settings' order."""
    order = {key: at for at, key in enumerate(used)}
    found = []
    for problem in problems_of(error, f"recipe {name}", Recipe):
        key = str(problem.column).partition(".")[0]
        if key not in shown and (key in used or not shown):
            continue
        if written := used.get(key):
            problem = replace(problem, where=written.where, column=written.column)
        found.append((order.get(key, len(order)), problem))
    return [problem for _, problem in sorted(found, key=lambda pair: pair[0])]


def _folder() -> Path:
    return Path(str(resources.files("strata_labels.training") / "recipes"))


def _read_file(name: str, problems: list[Problem], above: tuple[str, ...] = ()) -> list[_Setting]:
    """The settings of a recipe file after those of the recipe it extends; later ones win."""
    own = name.endswith(".toml")
    path = Path(name) if own else _folder() / f"{name}.toml"
    shipped = own or name in {*recipe_names(), _SHARED}
    if not shipped or not path.is_file():
        fix = f"Take one of {', '.join(recipe_names())}, or a file of your own ending in .toml."
        problems.append(Problem("--recipe", "no such recipe:", fix, value=name))
        return []
    if name in above:
        problems.append(Problem(path, "extends itself", "Let it start from another recipe."))
        return []
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        problems.append(Problem(path, f"not TOML ({error})", "Correct the line."))
        return []
    where = str(path) if own else f"recipe {name}"
    settings: list[_Setting] = []
    base = data.pop(_EXTENDS, None)
    if isinstance(base, str):
        settings = _read_file(base, problems, (*above, name))
    elif base is not None:
        problems.append(Problem(where, "not text:", "Name a recipe.", None, _EXTENDS, base))
    for mode in _MODES:
        section = data.pop(mode, {})
        if not isinstance(section, dict):
            problems.append(Problem(where, "not a table:", f"Write [{mode}].", None, mode, section))
            continue
        data |= {(mode, key): value for key, value in section.items()}
    for key, value in data.items():
        of, bare = key if isinstance(key, tuple) else (None, key)
        column = f"{of}.{bare}" if of else bare
        settings.append(_Setting(bare, value, where, column, of))
    return settings


def _read_settings(texts: Iterable[str], problems: list[Problem]) -> list[_Setting]:
    """Settings of the command line, `key=value`."""
    settings = []
    for text in texts:
        key, equals, written = (part.strip() for part in text.partition("="))
        if not equals:
            problems.append(Problem("--set", "not key=value:", "Write lr=1e-4.", value=text))
            continue
        try:
            value = tomllib.loads(f"value = {written}")["value"]
        except (tomllib.TOMLDecodeError, KeyError):
            value = written
        settings.append(_Setting(key, value, "--set", key, None))
    return settings
