"""Smooth approximations of the step function that counts which items rank before an item."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from strata_labels.losses.batch import check_number
from strata_labels.losses.interpolated import Parts


@dataclass(frozen=True)
class Sigmoid:
    """sigma(t / tau), of SmoothAP (Brown et al., "Smooth-AP", 2020)."""

    tau: float

    def __post_init__(self) -> None:
        check_number("tau", self.tau)

    def value(self, t: Tensor) -> Tensor:
        return (t * (1 / self.tau)).sigmoid_()

    def slope(self, t: Tensor) -> Tensor:
        sigma = self.value(t)
        return torch.addcmul(sigma, sigma, sigma, value=-1).mul_(1 / self.tau)

    def parts(self) -> tuple[Parts, Parts]:
        return Parts(self.tau, self.value), Parts(self.tau, self.slope)


@dataclass(frozen=True)
class SupRank:
    """Upper bound of the step function (Ramzi et al., ROADMAP 2021; HAPPIER 2022).

    sigma(t / tau) for t <= 0, start + sigma(t / tau) for 0 < t <= delta,
    rho (t - delta) + offset for t > delta.

    Args:
        tau: temperature, > 0.
        rho: slope of the linear branch, >= 0.
        delta: where it begins, >= 0.
        start: jump at 0, >= 0.
        offset: value of the linear branch at delta; sigma(delta / tau) + start if None.
    """

    tau: float = 0.01
    rho: float = 100.0
    delta: float = 0.05
    start: float = 0.5
    offset: float | None = None

    def __post_init__(self) -> None:
        check_number("tau", self.tau)
        for name in ("rho", "delta", "start", "offset"):
            value = getattr(self, name)
            if value is not None:
                check_number(name, value, zero=True)

    def value(self, t: Tensor) -> Tensor:
        # Held at its value at delta, the sigmoid needs no mask beyond it: only jumps are added.
        at_delta = 1 / (1 + math.exp(-self.delta / self.tau))
        jump = 0.0 if self.offset is None else self.offset - self.start - at_delta
        result = self._near(t)
        beyond = (t - self.delta).relu_()
        result.add_(beyond, alpha=self.rho)
        if jump:
            result.add_(beyond.sign_(), alpha=jump)
        if self.start:
            result.add_(_step(t), alpha=self.start)
        return result

    def slope(self, t: Tensor) -> Tensor:
        at_delta = 1 / (1 + math.exp(-self.delta / self.tau))
        sigma = self._near(t)
        result = torch.addcmul(sigma, sigma, sigma, value=-1).mul_(1 / self.tau)
        surplus = self.rho - (at_delta - at_delta**2) / self.tau
        return result.add_(_step(t, self.delta), alpha=surplus)

    def parts(self) -> tuple[Parts, Parts]:
        near, start, rho = Sigmoid(self.tau), self.start, self.rho
        at_delta = 1 / (1 + math.exp(-self.delta / self.tau))
        offset = at_delta if self.offset is None else self.offset - start
        jump = (0.0, lambda t: torch.full_like(t, start))
        linear = (self.delta, lambda t: (t - self.delta) * rho + offset - near.value(t))
        flat = (self.delta, lambda t: rho - near.slope(t))
        changes = (jump, linear) if start else (linear,)
        return Parts(self.tau, near.value, changes), Parts(self.tau, near.slope, (flat,))

    def _near(self, t: Tensor) -> Tensor:
        return t.clamp(max=self.delta).mul_(1 / self.tau).sigmoid_()


@dataclass(frozen=True)
class LeakyStep:
    """Lower bound of the step function for H-rank (HAPPIER): leak t for t <= 0, else
    min(1, beta t + gamma).

    Args:
        beta: slope above 0, >= 0.
        gamma: value just above 0.
        leak: slope below 0, >= 0.
    """

    beta: float
    gamma: float
    leak: float

    def __post_init__(self) -> None:
        for name in ("beta", "gamma", "leak"):
            check_number(name, getattr(self, name), zero=True)

    def value(self, t: Tensor) -> Tensor:
        above = (t * self.beta).add_(self.gamma).clamp_(max=1.0).mul_(_step(t))
        return above.add_(t.clamp(max=0.0), alpha=self.leak)

    def slope(self, t: Tensor) -> Tensor:
        above = _step(t)
        rising = _step((t * -self.beta).add_(1 - self.gamma))
        return rising.mul_(above).mul_(self.beta).add_(above.neg_().add_(1), alpha=self.leak)

    def parts(self) -> None:
        """Its pairs are weighted, so they are counted one by one."""


def _step(t: Tensor, at: float = 0.0) -> Tensor:
    """1 where t > at, else 0, as numbers: on a CPU, masks of booleans take four times as long."""
    return torch.gt(t, at, out=torch.empty_like(t))
