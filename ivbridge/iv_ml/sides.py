"""Data sets as tensors, and the side of each that is held out to judge a curve by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ivbridge.iv_ml.computing import Computing, torch_module
from ivbridge.iv_ml.criterion import moment_kernel
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.training import Stopping

if TYPE_CHECKING:
    import torch

__all__ = ["HeldOut", "Tensors", "sides"]


@dataclass(frozen=True, slots=True, eq=False)
class Tensors:
    """B data sets of one shape.

    Attributes
    ----------
    y, t : (B, n, 1) tensors
    x : (B, n, m) tensor
    z : (B, n, q) tensor
    """

    y: torch.Tensor
    t: torch.Tensor
    x: torch.Tensor
    z: torch.Tensor

    @classmethod
    def of(cls, data: Sequence[IVData], computing: Computing) -> Tensors:
        """From data sets of one shape."""
        y, t, x, z = (computing.tensor([one.arrays[i] for one in data]) for i in range(4))
        return cls(y[..., None], t[..., None], x, z)

    @property
    def treated(self) -> torch.Tensor:
        """(T, X), (B, n, 1 + m): what a curve takes."""
        return self._beside_x(self.t)

    @property
    def assigned(self) -> torch.Tensor:
        """(Z, X), (B, n, q + m): what explains the treatment."""
        return self._beside_x(self.z)

    def _beside_x(self, first: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch_module().cat([first, self.x], dim=-1)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Rows that nothing is learnt from.

    Attributes
    ----------
    rows : Tensors
    kernel : (B, r, r) tensor
        Of :func:`~ivbridge.iv_ml.criterion.moment_kernel`, for the first r rows.
    """

    rows: Tensors
    kernel: torch.Tensor

    def violation(self, curve: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """:func:`~ivbridge.iv_ml.criterion.moment_violation` of each member's curve, (B,).

        Parameters
        ----------
        curve : callable (B, n, 1 + m) -> (B, n, 1)
            Takes (T, X).
        """
        r = self.kernel.shape[1]
        residuals = (self.rows.y - curve(self.rows.treated))[:, :r]
        return (residuals * (self.kernel @ residuals)).sum((1, 2)) / r**2


def sides(
    data: Sequence[IVData], seeds: Sequence[int], stopping: Stopping | None, computing: Computing
) -> tuple[Tensors, HeldOut | None]:
    """What to learn from and, with ``stopping``, what to judge by: a random share of each data set's rows."""
    if stopping is None:
        return Tensors.of(data, computing), None
    pairs = [one.split(stopping.share, seed) for one, seed in zip(data, seeds, strict=True)]
    held = [pair[1] for pair in pairs]
    kernel = computing.tensor([moment_kernel(one.instruments, one.exog) for one in held])
    return Tensors.of([pair[0] for pair in pairs], computing), HeldOut(Tensors.of(held, computing), kernel)
