"""DeepGMM: GMM with moments chosen by a network, weighted by how precisely each one is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from ivbridge.iv_ml.computing import Computing, Streams, deterministic, torch_module
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.method import IVRegression, Learnt
from ivbridge.iv_ml.networks import Layout, Networks
from ivbridge.iv_ml.predictors.feedforward import Feedforward
from ivbridge.iv_ml.settings import check_range, check_sizes
from ivbridge.iv_ml.sides import sides
from ivbridge.iv_ml.training import Schedule, Stage, Stopping, descend, train
from ivbridge.progress import Progress

if TYPE_CHECKING:
    import torch

__all__ = ["DeepGMM", "critic_loss"]


@final
@dataclass(frozen=True, kw_only=True)
class DeepGMM(IVRegression):
    """Deep GMM: min over f, max over critics h, of E[h(Z,X)·(Y - f(T,X))] - ¼·E[h(Z,X)²·(Y - f(T,X))²].

    The second term makes it optimally weighted GMM: a moment counts less where residuals vary more. In it, f is held
    at its present state. In each epoch the critic makes several steps, then the curve makes one.

    Source: Bennett, Kallus, Schnabel (2019), Deep generalized method of moments for instrumental variable analysis,
    NeurIPS, section 3. Defaults are those of the program behind the tables of Wu et al. (2023), AAAI.

    Parameters
    ----------
    hidden, critic_hidden : tuple of int, default (128, 64, 32), (128, 64)
        Widths; ReLU, but tanh in the curve's last hidden layer.
    rate, critic_rate : float, default 5e-4, 2.5e-3
        Of Adam with β = (0.5, 0.9).
    critic_steps : int, default 5
        Steps of the critic before each one of the curve.
    schedule : Schedule, default 300 epochs, all rows in a batch
    stopping : Stopping, optional
        Stop by the moment violation on held-out rows. The default is the program's: all epochs, all rows.
    computing : Computing

    Raises
    ------
    DataError
        If a size, a number of steps or a rate is not above 0.

    Notes
    -----
    Known failures: nothing keeps the critic from fitting single residuals, so that some hundred noisy rows are too few
    (slopes of 0.3 where 2SLS says 0.9). And 300 steps of the curve are an early stop in themselves: in the world
    Linear-3-3 more of them make the answer worse, and without an instrument it is what these steps make it.
    """

    name: ClassVar[str] = "deep_gmm"
    packages: ClassVar[tuple[str, ...]] = ("numpy", "torch")
    hidden: tuple[int, ...] = (128, 64, 32)
    critic_hidden: tuple[int, ...] = (128, 64)
    rate: float = 5e-4
    critic_rate: float = 2.5e-3
    critic_steps: int = 5
    schedule: Schedule = Schedule(300)
    stopping: Stopping | None = None
    computing: Computing = Computing()

    def __post_init__(self) -> None:
        check_sizes(several=True, hidden=self.hidden, critic_hidden=self.critic_hidden)
        check_sizes(critic_steps=self.critic_steps)
        check_range(0, math.inf, rate=self.rate, critic_rate=self.critic_rate)

    def learn(self, data: Sequence[IVData], seeds: Sequence[int], progress: Progress | None) -> list[Learnt]:
        """Both players of all members move together."""
        adam = torch_module().optim.Adam
        with deterministic():
            streams = Streams(seeds, self.computing)
            rows, held = sides(data, seeds, self.stopping, self.computing)
            bent = (*("relu",) * (len(self.hidden) - 1), "tanh")
            curve = Networks(rows.treated.shape[2], Layout((*self.hidden, 1), bent), streams)
            critic = Networks(rows.assigned.shape[2], Layout((*self.critic_hidden, 1)), streams)
            curve_moves = adam(curve.parameters, lr=self.rate, betas=(0.5, 0.9))
            critic_moves = adam(critic.parameters, lr=self.critic_rate, betas=(0.5, 0.9))

            def step(y: torch.Tensor, treated: torch.Tensor, assigned: torch.Tensor) -> torch.Tensor:
                residuals = y - curve(treated)
                known = residuals.detach()
                for _ in range(self.critic_steps):
                    descend(critic_moves, critic_loss(critic(assigned), known))
                return descend(curve_moves, (residuals * critic(assigned).detach()).mean((1, 2)))

            check = None if held is None else lambda: held.violation(curve)
            stage = Stage("game", (curve,), check, self.stopping)
            told = train(step, (rows.y, rows.treated, rows.assigned), self.schedule, stage, streams, progress)
            return [Learnt(Feedforward(curve.layers(b)), history) for b, history in enumerate(told)]


def critic_loss(critic: torch.Tensor, residuals: torch.Tensor) -> torch.Tensor:
    """-E[h·residual] + ¼·E[h²·residual²], (B,): what the critic's values (B, n, 1) descend on."""
    moment = critic * residuals
    return (0.25 * moment**2 - moment).mean((1, 2))
