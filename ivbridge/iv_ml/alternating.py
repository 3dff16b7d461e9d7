"""Meta-EM with a network for the representation: it and the groups are learnt in turn.

Source: Wu et al. (2023), Learning instrumental variable from data fusion, Eq. 4, Figure 2 and section "Optimization
and MMD".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ivbridge.errors import DataError
from ivbridge.iv_ml.computing import Computing, Streams, deterministic
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.minimising import Minimiser
from ivbridge.iv_ml.mixture_regression import weighted_regression, whitened
from ivbridge.iv_ml.mixtures import Mixture
from ivbridge.iv_ml.networks import Layout, Networks
from ivbridge.iv_ml.predictors.feedforward import Dense, run_layers
from ivbridge.iv_ml.representation import Representation
from ivbridge.iv_ml.training import Schedule
from ivbridge.records import FloatArray

if TYPE_CHECKING:
    import torch

__all__ = ["Alternated", "Alternation", "Regroup"]

#: The distribution step: R and the weights of the groups so far, (n, K), to the mixture that EM finds from there.
Regroup = Callable[[FloatArray, FloatArray], Mixture]


@dataclass(frozen=True, slots=True, eq=False)
class Alternated:
    """The representation and the mixture after the last round; history has a row for each epoch."""

    represent: Representation
    mixture: Mixture
    history: pd.DataFrame


@dataclass(frozen=True, slots=True, eq=False)
class _Network:
    """x -> R by dense layers, with the scales of both."""

    layers: tuple[Dense, ...]
    center: FloatArray
    spread: FloatArray

    def __call__(self, x: FloatArray) -> FloatArray:
        return run_layers(self.layers, (x - self.center) / self.spread)


@dataclass(frozen=True, slots=True)
class Alternation:
    """How the two steps alternate.

    Parameters
    ----------
    rounds : int, default 20
        Of both steps.
    schedule : Schedule, default 25 epochs of batches of 400
        Of one round's representation step: 200 steps for 3000 rows, as in the paper's program.
    hidden : int, default 32
        Width of the hidden layer (tanh) of f_R and of the reconstruction f_X; R has as many columns as X.
    rate : float, default 0.003
        Of Adam.
    reconstruction : float, default 0.1
        λ·m_X of Eq. 4.
    computing : Computing

    Notes
    -----
    :meth:`published` has the paper's 16, 0.001 and 1 (λ = 1/m_X; its program has λ = m_X). With these the network is
    far from trained after 20 rounds where T goes with the square of X, and loses groups that it was given.
    """

    rounds: int = 20
    schedule: Schedule = field(default_factory=lambda: Schedule(25, 400))
    hidden: int = 32
    rate: float = 3e-3
    reconstruction: float = 0.1
    computing: Computing = field(default_factory=Computing)

    @classmethod
    def published(cls) -> Alternation:
        """The paper's values."""
        return cls(hidden=16, rate=1e-3, reconstruction=1.0)

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.hidden < 1 or self.rate <= 0 or self.reconstruction < 0:
            raise DataError(
                f"rounds={self.rounds}, hidden={self.hidden}, rate={self.rate}, reconstruction={self.reconstruction} "
                "was asked.",
                available="rounds and hidden from 1, a positive rate, 0 or more for the reconstruction",
            )

    def run(self, data: IVData, weights: FloatArray, regroup: Regroup, seed: int) -> Alternated:
        """Start from the weights of the groups, (n, K).

        Raises
        ------
        EngineError
            If training diverges.
        MissingExtraError
            If PyTorch is not installed.
        """
        t, x = data.endog, data.exog
        center, spread = x.mean(axis=0), x.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        x, t = (x - center) / spread, (t - t.mean()) / t.std()
        with deterministic():
            parts = _Parts(x.shape[1], weights.shape[1], self, seed)
            rows = [self.computing.tensor([part]) for part in (x, t[:, None])]
            histories = []
            for turn in range(1, self.rounds + 1):
                parts.solve(x, t, weights)
                learnt = parts.descend(rows, self.computing.tensor([weights]), self.schedule)
                represent = _Network(parts.layers, center, spread)
                r = represent(data.exog)
                mixture = regroup(r, weights)
                weights = mixture.probabilities(r, data.endog)
                histories.append(learnt.assign(round=turn, loglik=mixture.loglik))
        return Alternated(represent, mixture, pd.concat(histories, ignore_index=True))


class _Parts:
    """f_R, α and f_X of Eq. 4, one member."""

    def __init__(self, covariates: int, groups: int, how: Alternation, seed: int) -> None:
        streams = Streams([seed], how.computing)
        layout = Layout((how.hidden, covariates), "tanh")
        self._inner = Networks(covariates, layout, streams)
        self._back = Networks(covariates, layout, streams)
        self._heads = Networks(covariates, Layout((groups,)), streams)
        self._how, self._minimiser = how, Minimiser(how.rate, streams, None, None)

    @property
    def layers(self) -> tuple[Dense, ...]:
        """f_R in NumPy."""
        return self._inner.layers(0)

    def solve(self, x: FloatArray, t: FloatArray, weights: FloatArray) -> None:
        """α as the regression of T on (1, R) in each group."""
        design, back = whitened(run_layers(self.layers, x))
        alpha = np.array([weighted_regression(design, t, own) for own in weights.T]) @ back
        tensor = self._how.computing.tensor
        self._heads.restore([tensor([alpha[:, 1:].T]), tensor([alpha[:, :1].T])])

    def descend(self, rows: list[torch.Tensor], weights: torch.Tensor, schedule: Schedule) -> pd.DataFrame:
        """Minimise Eq. 4 for these groups."""

        def loss(x: torch.Tensor, t: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
            r = self._inner(x)
            treatment = (own * (self._heads(r) - t).square()).sum(2).mean(1)
            return treatment + self._how.reconstruction * (self._back(r) - x).square().mean((1, 2))

        networks = (self._inner, self._back, self._heads)
        return self._minimiser.run("representation", networks, loss, [*rows, weights], schedule, None)[0]
