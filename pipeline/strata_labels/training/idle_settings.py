"""Settings of a recipe that change nothing beside its other settings, in one mode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from strata_labels.training.recipe import Mode, Recipe

_RANK = ("suphap", "supap", "supndcg", "suprecall")
_PROXIES = ("cluster", "csl")
# The losses that each setting is of.
_OF_LOSSES = {
    "level": ("supap", "smoothap", "suprecall", "calibration", "triplet"),
    "tau": (*_RANK, "smoothap"),
    **dict.fromkeys(("rho", "delta", "start", "offset"), _RANK),
    "h_rank": ("suphap",),
    **dict.fromkeys(("recall_at", "recall_temperature"), ("suprecall",)),
    **dict.fromkeys(("positive_margin", "negative_margin"), ("calibration",)),
    **dict.fromkeys(("triplet_margin", "triplet_mining"), ("triplet",)),
    "cluster_temperature": ("cluster",),
    **dict.fromkeys(("csl_margins", "csl_scale"), ("csl",)),
    **dict.fromkeys(("proxies", "proxy_lr", "proxy_lr_end", "proxy_weight_decay"), _PROXIES),
}
_OF_NETWORKS = (
    *("backbone", "pretrained", "pooling", "freeze_batch_norm", "interpolation", "resize", "crop"),
    *("squash", "train_resize", "min_scale", "max_scale", "min_ratio", "max_ratio"),
)
_OF_CROPS = ("train_resize", "min_scale", "min_ratio", "max_ratio")


def idle_settings(recipe: Recipe, mode: Mode) -> Iterator[tuple[str, str]]:
    """Settings without effect, each with the reason and what to do; one may occur twice."""
    for key, losses in _OF_LOSSES.items():
        if not set(losses) & set(recipe.losses):
            fix = f"Leave it out, or take one of its losses: {', '.join(losses)}."
            yield key, f"without effect beside losses {', '.join(recipe.losses)}. {fix}"
    if mode == "head":
        yield "lr", "without effect in head mode, which has no backbone. Set head_lr."
        for key in _OF_NETWORKS:
            fix = "Leave it out, or train with --mode full."
            yield key, f"without effect on a head on an encoder's vectors. {fix}"
    else:
        for key in ("identity", "whitening"):
            fix = "Leave it out, or train with --mode head."
            yield key, f"without effect on a whole network. {fix}"
        if not recipe.max_scale:
            for key in _OF_CROPS:
                fix = "Leave it out, or set max_scale above 0."
                yield key, f"without effect beside max_scale=0. {fix}"
    if recipe.sampler != "hierarchical":
        for key in ("super_classes", "batches_per_group"):
            fix = "Leave it out, or set sampler=hierarchical."
            yield key, f"without effect beside sampler={recipe.sampler}. {fix}"
    for schedule, keys in (
        ("steps", ("milestones", "step_factor")),
        ("cosine", ("lr_end", "proxy_lr_end")),
    ):
        if recipe.schedule != schedule:
            for key in keys:
                fix = f"Leave it out, or set schedule={schedule}."
                yield key, f"without effect beside schedule={recipe.schedule}. {fix}"
