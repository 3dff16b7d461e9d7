"""First stages by gradient descent: exposure from the email and the covariates, by a linear layer or a small network.

All data sets of a list are learnt together. What comes out is NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ivbridge.iv_ml.computing import Computing, Streams, deterministic, torch_module
from ivbridge.iv_ml.networks import Layout, Networks
from ivbridge.iv_ml.predictors.feedforward import Dense, run_layers
from ivbridge.iv_ml.training import Schedule, Stage, descend, train
from ivbridge.marketing.worlds import CampaignDraw
from ivbridge.records import FloatArray, IntArray

__all__ = ["STAGES", "Exact", "Fitted", "Trained"]


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """E[d | z, x] as it was learnt."""

    layers: tuple[Dense, ...]

    def __call__(self, z: FloatArray, x: FloatArray) -> FloatArray:
        """Expected exposure, (n,), for emails (n,) and covariates (n, m)."""
        return np.asarray(run_layers(self.layers, np.column_stack([z, x]))[:, 0], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Trained:
    """A network d ~ (z, x) with the squared error and Adam.

    Parameters
    ----------
    name : str
    hidden : tuple of int, default (64,)
        Widths of hidden layers with ReLU; none is a linear layer, one the recipe's "two-layer MLP".
    epochs : int, default 200
    batch : int, optional
        Rows in a step; default: all of them, as the recipe has it.
    rate : float, default 0.001
    """

    name: str
    hidden: tuple[int, ...] = (64,)
    epochs: int = 200
    batch: int | None = None
    rate: float = 1e-3

    def fit(self, draws: Sequence[CampaignDraw], rows: Sequence[IntArray] | None = None, seed: int = 0) -> list[Fitted]:
        """Learn from each data set, or from some rows of it, as many in each."""
        torch = torch_module()
        chosen = rows or [np.arange(len(draw.email)) for draw in draws]
        computing = Computing()
        with deterministic():
            streams = Streams([seed * 10_007 + i for i in range(len(draws))], computing)
            inputs = [np.column_stack([draw.email, draw.x])[some] for draw, some in zip(draws, chosen, strict=True)]
            features = computing.tensor(inputs)
            targets = computing.tensor([draw.exposure[some, None] for draw, some in zip(draws, chosen, strict=True)])
            networks = Networks(features.shape[2], Layout((*self.hidden, 1)), streams)
            optimizer = torch.optim.Adam(networks.parameters, lr=self.rate)

            def step(features: Any, targets: Any) -> Any:
                return descend(optimizer, ((networks(features, streams) - targets) ** 2).mean((1, 2)))

            train(step, (features, targets), Schedule(self.epochs, self.batch), Stage("first", ()), streams)
            return [Fitted(networks.layers(member)) for member in range(len(draws))]


@dataclass(frozen=True, slots=True)
class Exact:
    """Least squares of d on a constant, z and x, solved: the linear layer that training only comes near to."""

    name: str

    def fit(self, draws: Sequence[CampaignDraw], rows: Sequence[IntArray] | None = None, seed: int = 0) -> list[Fitted]:
        """As for :class:`Trained`; nothing is random."""
        chosen = rows or [np.arange(len(draw.email)) for draw in draws]
        found = []
        for draw, some in zip(draws, chosen, strict=True):
            columns = np.column_stack([draw.email, draw.x, np.ones(len(draw.email))])[some]
            beta = np.asarray(np.linalg.lstsq(columns, draw.exposure[some], rcond=None)[0], dtype=np.float64)
            found.append(Fitted((Dense(beta[:-1, None], beta[-1:], "linear"),)))
        return found


#: The first stages that are compared; the second and the third one are trained as the recipe says.
STAGES: tuple[Exact | Trained, ...] = (
    Exact("linear, solved"),
    Trained("linear, 200 steps", hidden=()),
    Trained("MLP, 200 steps"),
    Trained("MLP, minibatches", epochs=20, batch=128),
)
