"""Two-stage least squares with a network in each stage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, ClassVar, final

from ivbridge.errors import DataError
from ivbridge.iv_ml.computing import Computing, Streams, deterministic, torch_module
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.method import IVRegression, Learnt
from ivbridge.iv_ml.minimising import Minimiser, grouped, learnt, mean_square
from ivbridge.iv_ml.networks import Layout, Networks
from ivbridge.iv_ml.settings import check_range, check_sizes
from ivbridge.iv_ml.sides import sides
from ivbridge.iv_ml.training import Schedule, Stopping
from ivbridge.progress import Progress

if TYPE_CHECKING:
    import torch

__all__ = ["NN2SLS"]


@final
@dataclass(frozen=True, kw_only=True)
class NN2SLS(IVRegression):
    """min E(T - p(Z, X))², then min E(Y - f(T̂, X))² with T̂ = p(Z, X); p and f are networks.

    The second stage puts a fitted value into a nonlinear function, so that it learns E[Y|T̂, X] and not f: with
    f = aT + bT², what the instrument leaves unexplained of T adds b·Var(T|Z, X). That is a constant, which an effect
    does not see, if the variance is one, and a wrong curve if it changes with Z and X. Without an instrument T̂ is a
    function of X, any f with the same f(T̂(X), X) fits equally well, and answers differ from seed to seed.

    Parameters
    ----------
    widths : tuple of int, default (1280, 320, 32)
        Hidden layers of both networks, with ReLU.
    normalised : tuple of int, default (1,)
        Which of them, from 0, have batch normalisation.
    first, schedule : Schedule
        Of the two stages; defaults 20 and 100 epochs, batches of 1000.
    rate : float, default 0.005
        Of Adam in both stages.
    computing : Computing
    stopping : Stopping, optional
        Judges the first stage by the squared error of T, the second by the moment restriction, on rows held out.
        Default: train all epochs.
    standardize : bool, default True

    Raises
    ------
    DataError
        If a layer is to be normalised that is no hidden one, or a width or the rate is not above 0.

    Notes
    -----
    Defaults are those of the program released with Wu et al. (2023), Learning instrumental variable from data fusion
    for treatment effect estimation, AAAI (column NN2SLS of Table 1), which also has ``standardize=False``. As there,
    T̂ is computed with the batch normalisation's moments of all rows.
    """

    widths: tuple[int, ...] = (1280, 320, 32)
    normalised: tuple[int, ...] = (1,)
    first: Schedule = field(default_factory=lambda: Schedule(20, 1000))
    schedule: Schedule = field(default_factory=lambda: Schedule(100, 1000))
    rate: float = 0.005
    computing: Computing = field(default_factory=Computing)
    stopping: Stopping | None = None
    name: ClassVar[str] = "nn2sls"
    packages: ClassVar[tuple[str, ...]] = ("numpy", "scipy", "torch")

    def __post_init__(self) -> None:
        check_sizes(several=True, empty=True, widths=self.widths)
        check_range(0, math.inf, rate=self.rate)
        if not set(self.normalised) <= set(range(len(self.widths))):
            raise DataError(
                f"normalised={self.normalised} was asked of {len(self.widths)} hidden layers.",
                available=f"numbers from 0 and below {len(self.widths)}",
            )

    def learn(self, data: Sequence[IVData], seeds: Sequence[int], progress: Progress | None) -> list[Learnt]:
        """See :meth:`ivbridge.iv_ml.method.IVRegression.learn`; wide networks are trained in small groups."""
        groups = grouped(len(data), min(self.schedule.batch or data[0].n, data[0].n), self.widths)
        return [one for some in groups for one in self._group(data[some], seeds[some], progress)]

    def _group(self, data: Sequence[IVData], seeds: Sequence[int], progress: Progress | None) -> list[Learnt]:
        torch = torch_module()
        with deterministic():
            streams = Streams(seeds, self.computing)
            minimise = Minimiser(self.rate, streams, self.stopping, progress).run
            rows, held = sides(data, seeds, self.stopping, self.computing)
            layout = Layout((*self.widths, 1), normalised=self.normalised)

            treatment = Networks(rows.assigned.shape[-1], layout, streams)
            check = None if held is None else partial(_misfit, treatment, None, held.rows.assigned, held.rows.t)
            misfit = partial(_misfit, treatment, streams)
            before = minimise("first", [treatment], misfit, (rows.assigned, rows.t), self.first, check)
            with torch.no_grad():
                fitted = torch.cat([treatment(rows.assigned, streams), rows.x], -1)

            outcome = Networks(fitted.shape[-1], layout, streams)
            check = None if held is None else partial(held.violation, outcome)
            misfit = partial(_misfit, outcome, streams)
            after = minimise("second", [outcome], misfit, (fitted, rows.y), self.schedule, check)
            return learnt(outcome, before, after)


def _misfit(networks: Networks, streams: Streams | None, inputs: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    return mean_square(wanted - networks(inputs, streams))
