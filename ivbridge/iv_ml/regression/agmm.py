"""AGMM: the curve and a critic that looks for moments it violates, two networks that play against each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from ivbridge.iv_ml.computing import Computing, Streams, deterministic
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.method import IVRegression, Learnt
from ivbridge.iv_ml.networks import Layout, Networks
from ivbridge.iv_ml.optimistic import Moments, OptimisticAdam
from ivbridge.iv_ml.predictors.feedforward import Feedforward
from ivbridge.iv_ml.settings import check_range, check_sizes
from ivbridge.iv_ml.sides import sides
from ivbridge.iv_ml.training import Schedule, Stage, Stopping, train
from ivbridge.progress import Progress

if TYPE_CHECKING:
    import torch

__all__ = ["AGMM", "critic_loss"]


@final
@dataclass(frozen=True, kw_only=True)
class AGMM(IVRegression):
    """Adversarial GMM: min over f, max over critics h, of E[(Y - f(T,X))·h(Z,X)] - E[h(Z,X)²].

    The best critic is half of E[Y - f | Z, X], and the value at it is a quarter of that squared: the curve that leaves
    the least of the moment wins. Both players are networks and move in turn, by optimistic Adam, on each batch. The
    last state is the curve; no average over epochs is taken.

    Source: Dikkala, Lewis, Mackey, Syrgkanis (2020), Minimax estimation of conditional moment models, NeurIPS: the
    estimator of section 3 with networks for both classes. Defaults are those of the program behind the tables of Wu et
    al. (2023), AAAI.

    Parameters
    ----------
    hidden : int, default 100
        Width of two hidden layers, leaky ReLU and ReLU, in both networks.
    dropout : float, default 0.1
        On inputs and hidden layers of the network that is being moved.
    rate : float, default 1e-4
        Of both players.
    moments : Moments, default (0, 0.01)
        Of the optimiser: it has hardly a memory, so that each step has about the size ``rate`` in every weight.
    decay, critic_decay : float, default 1e-3, 1e-4
        Squared weights of curve and critic times half of this are added to their losses.
    schedule : Schedule, default 300 epochs, batches of 100
        A step has a fixed size: with few rows there are few steps, and more epochs are needed.
    stopping : Stopping, optional
        Stop by the moment violation on held-out rows. The default is the program's: all epochs, all rows.
    computing : Computing

    Raises
    ------
    DataError
        If a size or a rate is not above 0, or a share not below 1.

    Notes
    -----
    Known failure: too few steps, from few rows or few epochs, leave the curve near its random start.
    """

    name: ClassVar[str] = "agmm"
    packages: ClassVar[tuple[str, ...]] = ("numpy", "torch")
    hidden: int = 100
    dropout: float = 0.1
    rate: float = 1e-4
    moments: Moments = Moments(0.0, 0.01)
    decay: float = 1e-3
    critic_decay: float = 1e-4
    schedule: Schedule = Schedule(300, 100)
    stopping: Stopping | None = None
    computing: Computing = Computing()

    def __post_init__(self) -> None:
        check_sizes(hidden=self.hidden)
        check_range(0, math.inf, rate=self.rate)
        check_range(0, math.inf, low_too=True, decay=self.decay, critic_decay=self.critic_decay)
        check_range(0, 1, low_too=True, dropout=self.dropout, moments=(self.moments.mean, self.moments.square))

    def learn(self, data: Sequence[IVData], seeds: Sequence[int], progress: Progress | None) -> list[Learnt]:
        """Both players of all members move together."""
        with deterministic():
            streams = Streams(seeds, self.computing)
            rows, held = sides(data, seeds, self.stopping, self.computing)
            layout = Layout(
                (self.hidden, self.hidden, 1), ("leaky_relu", "relu"),
                dropout=self.dropout, input_dropout=self.dropout,
            )  # fmt: skip
            curve = Networks(rows.treated.shape[2], layout, streams)
            critic = Networks(rows.assigned.shape[2], layout, streams)
            curve_moves = OptimisticAdam(curve, self.rate, self.moments, self.decay)
            critic_moves = OptimisticAdam(critic, self.rate, self.moments, self.critic_decay)

            def step(y: torch.Tensor, treated: torch.Tensor, assigned: torch.Tensor) -> torch.Tensor:
                moment = (y - curve(treated, streams)) * critic(assigned).detach()
                losses = curve_moves.descend(moment.mean((1, 2)))
                residuals = (y - curve(treated)).detach()
                critic_moves.descend(critic_loss(critic(assigned, streams), residuals))
                return losses

            check = None if held is None else lambda: held.violation(curve)
            stage = Stage("game", (curve,), check, self.stopping)
            told = train(step, (rows.y, rows.treated, rows.assigned), self.schedule, stage, streams, progress)
            return [Learnt(Feedforward(curve.layers(b)), history) for b, history in enumerate(told)]


def critic_loss(critic: torch.Tensor, residuals: torch.Tensor) -> torch.Tensor:
    """-E[residual·h] + E[h²], (B,): what the critic's values (B, n, 1) descend on."""
    return (critic**2 - critic * residuals).mean((1, 2))
