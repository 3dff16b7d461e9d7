"""Optimistic Adam: each step takes back half of the one before, so that two players do not circle round each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ivbridge.iv_ml.computing import torch_module
from ivbridge.iv_ml.networks import Networks

if TYPE_CHECKING:
    import torch

__all__ = ["Moments", "OptimisticAdam"]

#: What keeps a divisor from 0: Adam's own default.
_TINY = 1e-8


@dataclass(frozen=True, slots=True)
class Moments:
    """How slowly Adam forgets: weights β of the past in the running mean and the running square of gradients."""

    mean: float
    square: float


class OptimisticAdam:
    """Adam that steps by -2η·d(s) + η·d(s-1), where d(s) = m̂/(√v̂ + 1e-8) is Adam's direction in step s.

    Source: Daskalakis, Ilyas, Syrgkanis, Zeng (2018), Training GANs with optimism, ICLR, Algorithm 1.

    Parameters
    ----------
    networks : Networks
        Whose parameters are changed.
    rate : float
        η.
    moments : Moments
    decay : float, default 0
        Squared weights times decay/2 are added to every loss; biases are not.
    """

    def __init__(self, networks: Networks, rate: float, moments: Moments, decay: float = 0.0) -> None:
        torch = torch_module()
        self._parameters, self._weights = networks.parameters, networks.weights
        self._rate, self._moments, self._decay = rate, moments, decay
        self._mean = [torch.zeros_like(part) for part in self._parameters]
        self._square = [torch.zeros_like(part) for part in self._parameters]
        self._before = [torch.zeros_like(part) for part in self._parameters]
        self._steps = 0

    def descend(self, losses: torch.Tensor) -> torch.Tensor:
        """One step on the sum of the members' losses (B,); the losses before it, without gradient."""
        torch = torch_module()
        gradients = list(torch.autograd.grad(losses.sum(), self._parameters))
        with torch.no_grad():
            torch._foreach_add_(gradients[: len(self._weights)], self._weights, alpha=self._decay)
            torch._foreach_add_(self._parameters, self._steps_of(gradients))
        return losses.detach()

    def _steps_of(self, gradients: list[torch.Tensor]) -> list[torch.Tensor]:
        torch = torch_module()
        self._steps += 1
        beta, gamma = self._moments.mean, self._moments.square
        torch._foreach_lerp_(self._mean, gradients, 1 - beta)
        torch._foreach_mul_(self._square, gamma)
        torch._foreach_addcmul_(self._square, gradients, gradients, 1 - gamma)
        size = torch._foreach_div(self._square, 1 - gamma**self._steps)
        torch._foreach_sqrt_(size)
        torch._foreach_add_(size, _TINY)
        now = torch._foreach_div(self._mean, size)
        torch._foreach_mul_(now, self._rate / (1 - beta**self._steps))
        steps = torch._foreach_sub(self._before, now, alpha=2)
        self._before = now
        return list(steps)
