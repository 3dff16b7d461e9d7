"""DeepIV: the distribution of the treatment first, then the curve whose average over it predicts the outcome."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal, final

from ivbridge.errors import DataError
from ivbridge.iv_ml.computing import Computing, Streams, deterministic, torch_module
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.method import IVRegression, Learnt
from ivbridge.iv_ml.minimising import Minimiser, learnt, mean_square
from ivbridge.iv_ml.mixture_density import draws, negative_log_density
from ivbridge.iv_ml.networks import Layout, Networks
from ivbridge.iv_ml.settings import check_range, check_sizes
from ivbridge.iv_ml.sides import sides
from ivbridge.iv_ml.training import Schedule, Stopping
from ivbridge.progress import Progress

if TYPE_CHECKING:
    import torch

__all__ = ["DeepIV", "counterfactual_loss"]

Loss = Literal["unbiased", "bound"]


@final
@dataclass(frozen=True, kw_only=True)
class DeepIV(IVRegression):
    """max E log p(T|Z, X), then min E(Y - ∫f(t, X) p(t|Z, X) dt)²; p is a mixture density network, f a network.

    Needs no linearity and no constant variance. Its weakness is the first stage: f is as wrong as p is.

    Parameters
    ----------
    widths : tuple of int, default (128, 64, 32)
        Hidden layers of both networks, with ReLU.
    components : int, default 3
        Normal distributions in the mixture.
    loss : {"unbiased", "bound"}, default "unbiased"
        What stands for the second stage's loss, see :func:`counterfactual_loss`. The released programs have "bound".
    samples : int, default 2
        Draws from p for each row in each step, 1 or more; even for "unbiased".
    dropout : float, optional
        Of each hidden layer; default min(1000 / (1000 + n), 0.5) for n rows.
    penalties : tuple of 2 float, default (0.0001, 0.001)
        Of the squared weights of the hidden layers in the two stages.
    schedule : Schedule, default 100 epochs, batches of 100
        Of both stages.
    rate : float, default 0.001
        Of Adam.
    computing : Computing
    stopping : Stopping, optional
        Judges p by its density and f by the moment restriction, on rows held out. Default: train all epochs.
    standardize : bool, default True

    Raises
    ------
    DataError
        If a size or the rate is not above 0, a penalty is below 0, dropout is no share below 1, or the number of
        samples does not fit the loss.

    Notes
    -----
    Source: Hartford, Lewis, Leyton-Brown, Taddy (2017), Deep IV: a flexible approach for counterfactual prediction,
    ICML, Section 3. Defaults but for ``loss`` are those of the program released with Wu et al. (2023), Learning
    instrumental variable from data fusion for treatment effect estimation, AAAI (column DeepIV of Table 1), which also
    has ``standardize=False`` and as many components as there are sources; rates and start values are those of Keras.
    """

    widths: tuple[int, ...] = (128, 64, 32)
    components: int = 3
    loss: Loss = "unbiased"
    samples: int = 2
    dropout: float | None = None
    penalties: tuple[float, float] = (0.0001, 0.001)
    schedule: Schedule = field(default_factory=lambda: Schedule(100, 100))
    rate: float = 0.001
    computing: Computing = field(default_factory=Computing)
    stopping: Stopping | None = None
    name: ClassVar[str] = "deep_iv"
    packages: ClassVar[tuple[str, ...]] = ("numpy", "scipy", "torch")

    def __post_init__(self) -> None:
        check_sizes(several=True, empty=True, widths=self.widths)
        check_sizes(components=self.components, samples=self.samples)
        check_range(0, math.inf, rate=self.rate)
        check_range(0, math.inf, low_too=True, penalties=self.penalties)
        check_range(0, 1, low_too=True, dropout=self.dropout or 0)
        odd = self.loss == "unbiased" and self.samples % 2
        if odd or self.loss not in ("unbiased", "bound"):
            raise DataError(
                f"loss={self.loss!r}, samples={self.samples} was asked.",
                available="loss unbiased with 2, 4, … samples, or bound with 1 or more",
            )

    def learn(self, data: Sequence[IVData], seeds: Sequence[int], progress: Progress | None) -> list[Learnt]:
        """See :meth:`ivbridge.iv_ml.method.IVRegression.learn`."""
        with deterministic():
            streams = Streams(seeds, self.computing)
            minimise = Minimiser(self.rate, streams, self.stopping, progress).run
            rows, held = sides(data, seeds, self.stopping, self.computing)
            rule = min(1000 / (1000 + rows.t.shape[1]), 0.5)
            dropout = rule if self.dropout is None else self.dropout

            layout = Layout((*self.widths, 3 * self.components), dropout=dropout, start="glorot")
            treatment = Networks(rows.assigned.shape[-1], layout, streams)
            check = None if held is None else partial(_surprise, treatment, None, held.rows.assigned, held.rows.t)
            first = partial(self._first, treatment, streams)
            before = minimise("first", [treatment], first, (rows.assigned, rows.t), self.schedule, check)
            with torch_module().no_grad():
                mixture = treatment(rows.assigned)

            outcome = Networks(
                rows.treated.shape[-1], Layout((*self.widths, 1), dropout=dropout, start="glorot"), streams
            )
            check = None if held is None else partial(held.violation, outcome)
            second = partial(self._second, outcome, streams)
            after = minimise("second", [outcome], second, (mixture, rows.x, rows.y), self.schedule, check)
            return learnt(outcome, before, after)

    def _first(
        self, treatment: Networks, streams: Streams, assigned: torch.Tensor, t: torch.Tensor
    ) -> torch.Tensor:  # fmt: skip
        return _surprise(treatment, streams, assigned, t) + self.penalties[0] * _size(treatment)

    def _second(
        self, outcome: Networks, streams: Streams, mixture: torch.Tensor, x: torch.Tensor, y: torch.Tensor
    ) -> torch.Tensor:
        torch = torch_module()
        t = draws(mixture, self.samples, streams)
        members, n, samples = t.shape
        beside = x[:, :, None].expand(-1, -1, samples, -1)
        inputs = torch.cat([t[..., None], beside], -1).reshape(members, n * samples, -1)
        predictions = outcome(inputs, streams).reshape(members, n, samples)
        return counterfactual_loss(y, predictions, self.loss) + self.penalties[1] * _size(outcome)


def counterfactual_loss(y: torch.Tensor, predictions: torch.Tensor, loss: Loss) -> torch.Tensor:
    """What stands for E(Y - ∫f(t, X) p(t|Z, X) dt)², (B,).

    Parameters
    ----------
    y : (B, n, 1) tensor
    predictions : (B, n, samples) tensor
        f(t, x) at independent draws t from p.
    loss : {"unbiased", "bound"}
        "unbiased": the product of the residuals from two halves of the draws, whose expectation is that loss; it can
        be negative. "bound": the mean squared residual of single draws, which is larger by the variance of f(t, x)
        under p; it has less noise, and its minimum is too flat a curve wherever T varies much given Z and X: for
        Y = bT the slope is b·Var(E[T|Z]) / Var(T).
    """
    residuals = y - predictions
    if loss == "bound":
        return mean_square(residuals)
    half = residuals.shape[-1] // 2
    return (residuals[..., :half].mean(-1) * residuals[..., half:].mean(-1)).mean(1)


def _surprise(networks: Networks, streams: Streams | None, assigned: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return negative_log_density(networks(assigned, streams), t).mean(1)


def _size(networks: Networks) -> torch.Tensor | float:
    """Sum of the squared weights of the hidden layers, (B,); 0 where there are none."""
    return sum(weight.square().sum((1, 2)) for weight in networks.weights[:-1])
