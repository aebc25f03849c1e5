"""Builds the loss of a recipe."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from strata_labels.errors import InputError, Problem
from strata_labels.losses import (
    CalibrationLoss,
    ClusterLoss,
    CSLLoss,
    SmoothAPLoss,
    Sum,
    SupAPLoss,
    SupHAPLoss,
    SupNDCGLoss,
    SupRecallLoss,
    TripletLoss,
)
from strata_labels.training.idle_settings import idle_settings
from strata_labels.training.recipe import Recipe


def criterion(recipe: Recipe, classes: Tensor, dim: int) -> Sum:
    """The weighted sum of a recipe's losses.

    Args:
        recipe: the recipe.
        classes: `[c, L]` int64, the path of each fine class of the train split; column 0 is
            0 ... c - 1.
        dim: length of the embeddings.

    Raises:
        InputError: see `check_levels`.
    """
    check_levels(recipe, classes.shape[1])
    terms = [_term(name, recipe, classes, dim) for name in recipe.losses]
    return Sum(terms, recipe.weights)


def check_levels(recipe: Recipe, number: int) -> None:
    """Checks that a recipe fits labels of so many levels.

    Raises:
        InputError: it does not; all that is wrong.
    """
    idle = dict(idle_settings(recipe, "full"))
    problems = []
    if recipe.level >= number and "level" not in idle:
        what = f"no such level, of which the labels have {number}:"
        fix = f"Take 0, the finest, to {number - 1}."
        problems.append(Problem("--recipe", what, fix, column="level", value=recipe.level))
    margins = list(recipe.csl_margins)
    if len(margins) not in (0, number) and "csl_margins" not in idle:
        what = f"a margin is needed for each level, of which the labels have {number}:"
        fix = "Give one for each, the finest first, or csl_margins=[]: 0.25 to 0.45 evenly."
        problems.append(Problem("--recipe", what, fix, column="csl_margins", value=margins))
    if problems:
        raise InputError(problems)


def start_proxies(loss: nn.Module, vectors: Tensor, labels: Tensor) -> None:
    """Sets each fine class's proxy to the mean of its vectors.

    Args:
        loss: as `criterion` gives it.
        vectors: `[n, d]`, embeddings before training.
        labels: `[n]` fine classes, 0 ... c - 1.
    """
    for part in loss.modules():
        if isinstance(part, ClusterLoss | CSLLoss):
            with torch.no_grad():
                sums = torch.zeros_like(part.proxies)
                sums.index_add_(0, labels, vectors.to(sums.dtype))
                part.proxies.copy_(nn.functional.normalize(sums, dim=1))


def _term(name: str, recipe: Recipe, classes: Tensor, dim: int) -> nn.Module:
    rank = {
        "tau": recipe.tau,
        "rho": recipe.rho,
        "delta": recipe.delta,
        "start": recipe.start,
        "offset": recipe.offset,
    }
    if name == "suphap":
        steps = dict(zip(("beta", "gamma", "leak"), recipe.h_rank, strict=False))
        return SupHAPLoss(**rank, **steps)
    if name == "supap":
        return SupAPLoss(recipe.level, **rank)
    if name == "smoothap":
        return SmoothAPLoss(recipe.level, recipe.tau)
    if name == "supndcg":
        return SupNDCGLoss(**rank)
    if name == "suprecall":
        return SupRecallLoss(recipe.level, recipe.recall_at, recipe.recall_temperature, **rank)
    if name == "calibration":
        return CalibrationLoss(recipe.level, recipe.positive_margin, recipe.negative_margin)
    if name == "triplet":
        return TripletLoss(recipe.level, recipe.triplet_margin, recipe.triplet_mining)
    if name == "cluster":
        return ClusterLoss(len(classes), dim, temperature=recipe.cluster_temperature)
    number = classes.shape[1]
    evenly = [0.25 + 0.2 * level / max(1, number - 1) for level in range(number)]
    margins = recipe.csl_margins or evenly
    return CSLLoss(classes, dim, margins, recipe.csl_scale)
