"""One-stage instrumental variable regression: the networks of treatment and outcome are learnt together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, ClassVar, final

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

__all__ = ["OneSIV"]


@final
@dataclass(frozen=True, kw_only=True)
class OneSIV(IVRegression):
    """min w_T·E(T - p(Z, X))² + w_Y·E(Y - f(p(Z, X), X))² over both networks p and f at once.

    The outcome's error also moves p. A large w_Y lets p(Z, X) become whatever explains Y best, and f is then no
    function of the treatment; the small one of the defaults leaves p a prediction of T, and f still learns, since Adam
    does not see the size of a loss. Dropout in p blurs T̂ while f is learnt, which flattens f. What is said of fitted
    values in :class:`~ivbridge.iv_ml.regression.nn2sls.NN2SLS` holds here.

    Parameters
    ----------
    widths : tuple of int, default (1280, 320, 32)
        Hidden layers of both networks, with ReLU.
    dropout : float, default 0.5
        Of each hidden layer.
    treatment_weight, outcome_weight : float, defaults 1 and 0.0017
        w_T and w_Y, both above 0.
    schedule : Schedule, default 30 epochs, batches of 1000
    rate : float, default 0.005
        Of Adam.
    computing : Computing
    stopping : Stopping, optional
        Judges f by the moment restriction on rows held out. Default: train all epochs.
    standardize : bool, default True

    Raises
    ------
    DataError
        If a width, the rate or a weight is not above 0, or dropout is no share below 1.

    Notes
    -----
    Source: Lin, Lu, Xuan, Zhu, Zhang (2019), One-stage deep instrumental variable method for causal inference from
    observational data, ICDM. Defaults are those of the program released with Wu et al. (2023), Learning instrumental
    variable from data fusion for treatment effect estimation, AAAI (column OneSIV of Table 1), which also has
    ``standardize=False``; as there, X goes into both networks as it is, without a shared representation.
    """

    widths: tuple[int, ...] = (1280, 320, 32)
    dropout: float = 0.5
    treatment_weight: float = 1.0
    outcome_weight: float = 0.0017
    schedule: Schedule = field(default_factory=lambda: Schedule(30, 1000))
    rate: float = 0.005
    computing: Computing = field(default_factory=Computing)
    stopping: Stopping | None = None
    name: ClassVar[str] = "one_siv"
    packages: ClassVar[tuple[str, ...]] = ("numpy", "scipy", "torch")

    def __post_init__(self) -> None:
        check_sizes(several=True, empty=True, widths=self.widths)
        check_range(
            0, math.inf, rate=self.rate, treatment_weight=self.treatment_weight, outcome_weight=self.outcome_weight
        )
        check_range(0, 1, low_too=True, dropout=self.dropout)

    def learn(self, data: Sequence[IVData], seeds: Sequence[int], progress: Progress | None) -> list[Learnt]:
        """See :meth:`ivbridge.iv_ml.method.IVRegression.learn`; wide networks are trained in small groups."""
        groups = grouped(len(data), min(self.schedule.batch or data[0].n, data[0].n), self.widths)
        return [one for some in groups for one in self._group(data[some], seeds[some], progress)]

    def _group(self, data: Sequence[IVData], seeds: Sequence[int], progress: Progress | None) -> list[Learnt]:
        with deterministic():
            streams = Streams(seeds, self.computing)
            rows, held = sides(data, seeds, self.stopping, self.computing)
            layout = Layout((*self.widths, 1), dropout=self.dropout)
            treatment = Networks(rows.assigned.shape[-1], layout, streams)
            outcome = Networks(rows.treated.shape[-1], layout, streams)
            history = Minimiser(self.rate, streams, self.stopping, progress).run(
                "joint", [treatment, outcome], partial(self._loss, treatment, outcome, streams),
                (rows.assigned, rows.x, rows.t, rows.y), self.schedule,
                None if held is None else partial(held.violation, outcome),
            )  # fmt: skip
            return learnt(outcome, history)

    def _loss(
        self, treatment: Networks, outcome: Networks, streams: Streams, *batch: torch.Tensor
    ) -> torch.Tensor:  # fmt: skip
        assigned, x, t, y = batch
        fitted = treatment(assigned, streams)
        found = outcome(torch_module().cat([fitted, x], -1), streams)
        return self.treatment_weight * mean_square(t - fitted) + self.outcome_weight * mean_square(y - found)
