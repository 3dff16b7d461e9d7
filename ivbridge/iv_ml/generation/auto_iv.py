"""An instrument that networks take out of the covariates, with bounds on mutual information for aims."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, final

import numpy as np

from ivbridge.errors import DataError
from ivbridge.iv_ml.computing import Computing, Streams, deterministic
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.generated import Generated, Generator
from ivbridge.iv_ml.generation.candidates import usable
from ivbridge.iv_ml.generation.decomposition import Decomposition, Sizes
from ivbridge.iv_ml.predictors.feedforward import Dense, run_layers
from ivbridge.iv_ml.settings import check_range, check_sizes, seed_of
from ivbridge.iv_ml.training import Schedule, Stage, train
from ivbridge.progress import Progress
from ivbridge.records import FloatArray

__all__ = ["AutoIV"]


@final
@dataclass(frozen=True, kw_only=True)
class AutoIV(Generator):
    """A representation of X that goes with T and, given T, not with Y; looks at Y.

    Two networks make representations z and c of the columns of X. In turn, five small networks learn to predict
    (T from z, Y from z, T from c, Y from c, c from z); z and c are moved so that bounds on mutual information that
    rest on those rise for (z, T), (c, T), (c, Y) and fall for (z, Y) given T and (z, c); and z and c are moved so that
    T is predicted by both and Y by c and the predicted T. The instrument is z.

    Parameters
    ----------
    dimension : int, default 4
        Columns of z, and of c. Half of it, rounded down, is the width of the predicting networks' hidden layer.
    embedding : int, default 4
        Columns of the embedding of the predicted treatment.
    bandwidth : float, default 0.1
        σ of the Gaussian weight by which "given T" is meant: pairs of rows with near treatments count.
    penalty : float, default 0.001
        On the squared weights of all networks but the predicting ones.
    schedule : Schedule, default 1000 epochs, all rows at once
        An epoch is one step for each of the three aims.
    rate : float, default 0.001
        Of Adam; times .95 after every 100 epochs.
    standardize : bool, default True
        Learn from columns with mean 0 and standard deviation 1.
    computing : Computing

    Notes
    -----
    Defaults are those of the authors' program, which expects columns of about unit spread and does not standardise.
    The comparison of Wu et al. (2023) has ``AutoIV(dimension=1, embedding=1, standardize=False)``: half of 1 is 0, so
    that the predicting networks there have no hidden unit, know nothing of z and c, and their bounds move nothing. What
    is left is the two-stage regression and the penalty.

    z is a function of X. Where X acts on Y and stays a covariate, it holds nothing that X does not: it can only help
    where a part of X is a valid instrument and is left out of the covariates afterwards.

    Source: Yuan et al. (2022), Auto IV: counterfactual prediction via automatic instrumental variable decomposition,
    ACM TKDD 16(4); the bound is that of Cheng et al. (2020), CLUB: a contrastive log-ratio upper bound of mutual
    information, with one other row for each row.
    """

    name: ClassVar[str] = "auto_iv"
    dimension: int = 4
    embedding: int = 4
    bandwidth: float = 0.1
    penalty: float = 0.001
    schedule: Schedule = field(default_factory=lambda: Schedule(1000))
    rate: float = 1e-3
    standardize: bool = True
    computing: Computing = field(default_factory=Computing)

    def __post_init__(self) -> None:
        check_sizes(dimension=self.dimension, embedding=self.embedding)
        check_range(0, math.inf, bandwidth=self.bandwidth, rate=self.rate)
        check_range(0, math.inf, low_too=True, penalty=self.penalty)

    def generate(self, data: IVData, seed: int = 0) -> Generated:
        """The instrument, (n, dimension).

        Raises
        ------
        DesignError
            If no covariate varies, or the treatment does not.
        EngineError
            If training diverges.
        MissingExtraError
            If PyTorch is not installed.
        """
        return self.generate_many([data], [seed])[0]

    def generate_many(
        self, data: Sequence[IVData], seeds: Sequence[int], progress: Progress | None = None
    ) -> list[Generated]:
        """One instrument for each data set; those of one shape are trained together."""
        if len(data) != len(seeds):
            raise DataError(f"{len(data)} data sets came with {len(seeds)} seeds.", do="give one seed for each.")
        seeds = [seed_of(seed) for seed in seeds]
        found: dict[int, Generated] = {}
        shapes = [one.shape[:2] for one in data]
        with deterministic():
            for shape in dict.fromkeys(shapes):
                which = [i for i, other in enumerate(shapes) if other == shape]
                made = self._together([data[i] for i in which], [seeds[i] for i in which], progress)
                found |= dict(zip(which, made, strict=True))
        return [found[i] for i in range(len(data))]

    def _together(self, data: Sequence[IVData], seeds: Sequence[int], progress: Progress | None) -> list[Generated]:
        scales = [self._scale(one) for one in data]
        rows = [np.column_stack([one.dependent, one.endog, one.exog]) for one in data]
        moved = [(part - center) / spread for part, (center, spread) in zip(rows, scales, strict=True)]
        both = self.computing.tensor(moved)
        y, t, x = both[..., :1], both[..., 1:2], both[..., 2:]
        streams = Streams(seeds, self.computing)
        sizes = Sizes(x.shape[2], self.dimension, self.embedding)
        parts = Decomposition(sizes, streams, self.bandwidth, self.penalty)
        step = parts.steps(self.rate)
        histories = train(step, (y, t, x), self.schedule, Stage("decomposition", ()), streams, progress)
        layers = [parts.instrument.layers(member) for member in range(len(data))]
        made = []
        for one, scale, stack, history in zip(data, scales, layers, histories, strict=True):
            assign = partial(_representation, stack, scale[0][2:], scale[1][2:])
            values = assign(one.endog, one.exog)
            made.append(Generated(self.name, values, assign, history=history))
        return made

    def _scale(self, data: IVData) -> tuple[FloatArray, FloatArray]:
        """Centres and spreads of y, t and the columns of x."""
        which = usable(data)
        width = 2 + data.shape[1]
        center, spread = np.zeros(width), np.ones(width)
        if self.standardize:
            columns = np.column_stack([data.dependent, data.endog, data.exog])
            center = columns.mean(axis=0)
            varying = np.r_[1, 2 + which]
            spread[varying] = columns[:, varying].std(axis=0)
            spread[0] = columns[:, 0].std() or 1.0
        return center, spread


def _representation(
    layers: tuple[Dense, ...], center: FloatArray, spread: FloatArray, t: FloatArray, x: FloatArray
) -> FloatArray:
    return run_layers(layers, (x - center) / spread)
