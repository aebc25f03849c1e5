"""Recipes: settings of a training, read from TOML files; `recipes/*.toml` ship with the package."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
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
from strata_labels.training.idle_settings import idle_settings

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
        data_set: the data set whose published settings it has; empty for a plain recipe.
        follows: the repository and file of the published code that it follows.
        otherwise: settings that differ from the published ones on purpose, and why.
        losses, weights: terms of the loss and their weights.
        level: column of the labels that one-level losses learn.
        tau, rho, delta, start, offset: of SupRank (`SmoothAP` takes tau alone).
        h_rank: beta, gamma and leak of SupHAP's H-rank; empty: the step function.
        recall_at, recall_temperature: of SupRecall.
        positive_margin, negative_margin: of the calibration loss.
        triplet_margin, triplet_mining: of the triplet loss.
        cluster_temperature: of the cluster loss.
        csl_margins, csl_scale: of CSL, a margin per level, the finest first; none: 0.25 to 0.45
            evenly.
        proxies: where proxies start: at random or at the classes' mean vectors.
        sampler: `m-per-class` or `hierarchical`.
        batch_size: images in a batch, over all processes.
        order: `every-image`: each image of each class is seen in an epoch of `m-per-class`, and
            classes take turns in `hierarchical`; `published`: as in SupRank, which leaves out
            images and small classes. To compare a run with the papers.
        images_per_class: m of both samplers.
        max_per_class: images of a class seen in an epoch, at most; 0: all.
        super_classes: super-classes (of the coarsest level) in a batch of `hierarchical`.
        batches_per_group: batches for each set of super-classes in an epoch of `hierarchical`; 0:
            as many batches as show as many images as there are.
        epochs: number of epochs.
        warmup_epochs: first epochs, in which the backbone does not learn.
        optimizer: `adam`, `adamw` or `sgd`.
        lr, head_lr, proxy_lr: of the backbone, of the layers above it, of proxies.
        lr_end, proxy_lr_end: where a cosine ends, of the network and of proxies; -1: proxies end
            where the network does.
        weight_decay, proxy_weight_decay: of the network, and of proxies.
        schedule: `cosine`, `steps` or `constant`. It advances once per epoch, and stands still in
            the warm-up.
        milestones, step_factor: of `steps`: the epochs from which rates are multiplied by it.
        clip: largest norm of the gradient; 0: not clipped.
        memory: embeddings kept as further references (cross-batch memory); 0: none.
        precision: `auto` (bf16 autocast on a GPU that has it), `bf16` or `float32`.
        backbone: a timm model, open_clip's `MODEL/TAG`, `local-dir:FOLDER` or `registry`. As of an
            encoder, `timm:NAME` and `timm:NAME@FILE` are the model NAME, with `pretrained` FILE.
        pretrained: `yes` for the backbone's published weights, `no`, or a file of weights.
        pooling: `avg`, `max`, `avgmax` or `gem` (of a timm model; its exponent learns). A
            transformer of timm pools by itself with `avg`, as an encoder does.
        layer_norm: whether a layer norm without scale and shift comes before the linear layer.
        dim: length of the embeddings; 0: as that of the layer's input.
        identity: the linear layer starts as the identity (as the first principal directions of
            the train vectors, if `dim` is less), on centred vectors. For heads on cached vectors.
        whitening: the linear layer starts as the whitening of what varies within the finest
            classes of the train vectors, in place of the identity: above 0 to below 1, the weight
            of the within-class covariance against the identity; 0: as the identity.
        freeze_batch_norm: batch norm keeps its pretrained statistics; its scale and shift learn,
            or, if `all`, keep their values too.
        interpolation: of every resize.
        resize, crop: pixels: test images' shorter side, and the crop's side.
        squash: test images become squares of `resize` pixels, whatever their shape.
        train_resize: shorter side of train images before the random resized crop; 0: as they are.
        min_scale, max_scale, min_ratio, max_ratio: of the random resized crop; `max_scale` 0:
            resize and random crop.
        report_recall_at: k of the hit rates that are reported besides 1, 5 and 10.
        checkpoint_every: steps between checkpoints.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    title: str = ""
    data_set: str = ""
    follows: str = ""
    otherwise: dict[str, str] = {}
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
    triplet_mining: Literal["hard", "semi-hard"] = "hard"
    cluster_temperature: Positive = 0.05
    csl_margins: List[float] = ()
    csl_scale: Positive = 32.0
    proxies: Literal["random", "means"] = "random"
    sampler: Literal["m-per-class", "hierarchical"] = "m-per-class"
    order: Literal["every-image", "published"] = "every-image"
    images_per_class: AtLeast2 = 4
    batch_size: AtLeast2 = Field(default=256, validate_default=True)
    max_per_class: Count = 0
    super_classes: AtLeast1 = 2
    batches_per_group: Count = 0
    epochs: Count = 100
    warmup_epochs: Count = 5
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: NotNegative = 5e-5
    head_lr: NotNegative = 1e-4
    proxy_lr: NotNegative = 10.0
    lr_end: NotNegative = 0.0
    proxy_lr_end: float = -1.0
    weight_decay: NotNegative = 1e-4
    proxy_weight_decay: NotNegative = 0.0
    schedule: Literal["cosine", "steps", "constant"] = "cosine"
    milestones: List[AtLeast1] = (30, 70)
    step_factor: Positive = 0.3
    clip: NotNegative = 0.0
    memory: Count = 0
    precision: Literal["auto", "bf16", "float32"] = "auto"
    backbone: str = "resnet50.tv_in1k"
    pretrained: str = "yes"
    pooling: Literal["avg", "max", "avgmax", "gem"] = "avg"
    layer_norm: bool = True
    dim: Count = 512
    identity: bool = False
    whitening: Annotated[float, Field(ge=0, lt=1)] = 0.0
    freeze_batch_norm: bool | Literal["all"] = True
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    resize: AtLeast1 = 256
    crop: AtLeast1 = 224
    squash: bool = False
    train_resize: Count = 0
    min_scale: NotNegative = 0.16
    max_scale: NotNegative = 1.0
    min_ratio: Positive = 0.75
    max_ratio: float = 1.33
    report_recall_at: List[AtLeast1] = ()
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

    @field_validator("whitening")
    @classmethod
    def _of_a_start(cls, whitening: float, info: ValidationInfo) -> float:
        if whitening and not info.data.get("identity", True):
            raise ValueError("only for heads on cached vectors with identity=true")
        return whitening

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


# Keys of a file that are not settings: the recipe it starts from, and tables.
_EXTENDS, _OTHERWISE = "extends", "otherwise"
_TIMM = "timm:"
_ASKED = "--set"
_MODES: tuple[Mode, ...] = get_args(Mode)


class _Setting(NamedTuple):
    """A value and where it is written: a file or `--set`, with the key's full name."""

    key: str
    value: Any
    where: str
    column: str
    mode: Mode | None  # of a section that counts in this mode alone


class _Shipped(NamedTuple):
    """Where a shipped recipe is written.

    `happier-inat-full-eccv2022` is `happier.toml`, then `_inat-full.toml`, then of `happier.toml`
    the table `[inat]`, which is for every data set called `inat-...`, and `[inat.eccv2022]`.
    """

    stem: str
    data_set: str = ""
    tables: tuple[str, ...] = ()


class SettingOrigin(NamedTuple):
    """A setting of a recipe, its value, and the file and key that it comes from, or `default`.

    `idle` says why it changes nothing, and what to do; it is empty if it does. `asked`: it was not
    written in a file.
    """

    key: str
    value: Any
    origin: str
    idle: str
    asked: bool


def recipe_names() -> list[str]:
    """Names of the recipes that ship with the package."""
    return sorted(name for name in _shipped() if not name.startswith("_"))


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
    return _load(name, mode, settings)[0]


def explain_recipe(name: str, mode: Mode, settings: Iterable[str] = ()) -> list[SettingOrigin]:
    """Every effective setting of a recipe with its origin; arguments as of `load_recipe`."""
    recipe, used = _load(name, mode, settings)
    idle = dict(idle_settings(recipe, mode))
    found = []
    for key, value in recipe.as_dict().items():
        where, column = (used[key].where, used[key].column) if key in used else ("", "")
        origin = f"{where}: {column}" if where else "default"
        found.append(SettingOrigin(key, value, origin, idle.get(key, ""), where == _ASKED))
    return found


def _load(name: str, mode: Mode, settings: Iterable[str]) -> tuple[Recipe, dict[str, _Setting]]:
    """A recipe for one mode, and where its settings are written; those left out are defaults."""
    problems: list[Problem] = []
    read = [*_read_file(name, problems), *_read_settings(settings, problems)]
    read = [part for setting in read for part in _timm_parts(setting)]
    found = None
    for each in (mode, *(other for other in _MODES if other != mode)):
        used: dict[str, _Setting] = {}
        for setting in read:
            if setting.mode in (None, each):
                before = used.pop(setting.key, None)  # the place in the order is the last one's
                if before and setting.key == _OTHERWISE:
                    setting = setting._replace(value={**before.value, **setting.value})
                used[setting.key] = setting
        try:
            checked = Recipe.model_validate({key: setting.value for key, setting in used.items()})
            found = found or (checked, used)
        except ValidationError as error:
            # Of the other mode only what is wrong in its own section is new.
            shown = {key for key in used if each == mode or used[key].mode == each}
            problems += _problems(name, error, used, shown)
    if problems or found is None:
        raise InputError(problems)
    return found


def _timm_parts(setting: _Setting) -> list[_Setting]:
    """A backbone that is written as an encoder of timm, `timm:NAME@FILE`, as its two settings."""
    text = setting.value
    if setting.key != "backbone" or not isinstance(text, str) or not text.startswith(_TIMM):
        return [setting]
    name, _, file = text.removeprefix(_TIMM).partition("@")
    weights = [setting._replace(key="pretrained", value=file)] if file else []
    return [setting._replace(value=name), *weights]


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


@cache
def _shipped() -> dict[str, _Shipped]:
    """Every shipped recipe by name; names with `_` in front are what others start from."""
    contents = {path.stem: _parse(path) for path in _folder().glob("*.toml")}
    data_sets = [stem.removeprefix("_") for stem, text in contents.items() if "data_set" in text]
    found = {stem: _Shipped(stem) for stem in contents}
    for stem, content in contents.items():
        for data_set in data_sets:
            table = next((key for key in (data_set, data_set.split("-")[0]) if key in content), "")
            if table:
                name = f"{stem}-{data_set}"
                found[name] = _Shipped(stem, data_set, (table,))
                for key, value in content[table].items():
                    if isinstance(value, dict) and key != _OTHERWISE:
                        found[f"{name}-{key}"] = _Shipped(stem, data_set, (table, key))
    return found


def _parse(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _read_file(name: str, problems: list[Problem], above: tuple[str, ...] = ()) -> list[_Setting]:
    """The settings of a recipe after those of the recipe it extends; later ones win."""
    own = name.endswith(".toml")
    shipped = _Shipped("") if own else _shipped().get(name)
    path = Path(name) if own else _folder() / f"{shipped.stem if shipped else name}.toml"
    if shipped is None or not path.is_file():
        fix = f"Take one of {', '.join(recipe_names())}, or a file of your own ending in .toml."
        problems.append(Problem("--recipe", "no such recipe:", fix, value=name))
        return []
    if name in above:
        problems.append(Problem(path, "extends itself", "Let it start from another recipe."))
        return []
    try:
        content = _parse(path)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        problems.append(Problem(path, f"not TOML ({error})", "Correct the line."))
        return []
    where = str(path) if own else path.name
    settings: list[_Setting] = []
    base = content.pop(_EXTENDS, None)
    if isinstance(base, str):
        settings = _read_file(base, problems, (*above, name))
    elif base is not None:
        problems.append(Problem(where, "not text:", "Name a recipe.", None, _EXTENDS, base))
    if own:
        return settings + _flat(content, where, "", problems)
    tables = {key for key, value in content.items() if isinstance(value, dict)}
    of_data_sets = {key: content.pop(key) for key in tables - {*_MODES, _OTHERWISE}}
    settings += _flat(content, where, "", problems)
    if shipped.data_set:
        settings += _read_file(f"_{shipped.data_set}", problems)
    for depth, key in enumerate(shipped.tables):
        of_data_sets = of_data_sets[key]
        plain = {
            k: v for k, v in of_data_sets.items() if not isinstance(v, dict) or k == _OTHERWISE
        }
        settings += _flat(plain, where, ".".join(shipped.tables[: depth + 1]) + ".", problems)
    return settings


def _flat(
    table: dict[str, Any], where: str, prefix: str, problems: list[Problem]
) -> list[_Setting]:
    """The settings of a table, then those of its tables `[full]` and `[head]`."""
    settings = [
        _Setting(key, value, where, f"{prefix}{key}", None)
        for key, value in table.items()
        if key not in _MODES
    ]
    for mode in _MODES:
        section = table.get(mode, {})
        if not isinstance(section, dict):
            problems.append(Problem(where, "not a table:", f"Write [{mode}].", None, mode, section))
            continue
        settings += [
            _Setting(key, value, where, f"{mode}.{key}", mode) for key, value in section.items()
        ]
    return settings


def _read_settings(texts: Iterable[str], problems: list[Problem]) -> list[_Setting]:
    """Settings of the command line, `key=value`."""
    settings = []
    for text in texts:
        key, equals, written = (part.strip() for part in text.partition("="))
        if not equals:
            problems.append(Problem(_ASKED, "not key=value:", "Write lr=1e-4.", value=text))
            continue
        try:
            value = tomllib.loads(f"value = {written}")["value"]
        except (tomllib.TOMLDecodeError, KeyError):
            value = written
        settings.append(_Setting(key, value, _ASKED, key, None))
    return settings
