"""The synthetic family *Data-K-m*: K sources, m covariates, five shapes of the treatment rule.

>>> draw = Fusion("linear", groups=3, covariates=3).draw(n=500, seed=1)
>>> draw.train.data.shape, sorted(set(draw.train.labels.tolist()))
((500, 3, 1), [0, 1, 2])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ivbridge.errors import DataError
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.scenarios import rules
from ivbridge.iv_ml.scenarios.rules import Reading, Shape
from ivbridge.records import FloatArray, IntArray

__all__ = ["SIGMA", "Fusion", "FusionDraw", "Sample", "drawn"]

#: Covariance of each covariate with the unobserved confounder, and standard deviation of both noises.
SIGMA, _NOISE = 0.1, 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Rows with what nobody observes.

    Attributes
    ----------
    data : IVData
        Its instrument is the true label, 0 … K-1, as one column.
    labels : (n,) int array
        The source of each row.
    confounder : (n,) array
        ε.
    truth : (n,) array
        g(T, X) at the observed treatments, in the units of ``data.dependent``.
    """

    data: IVData
    labels: IntArray
    confounder: FloatArray
    truth: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class FusionDraw:
    """Rows to learn from, to tune with and to judge by, from one world.

    Attributes
    ----------
    train, valid, test : Sample
    weights : (K, m) array
        w of Eq. 14.
    center, spread : float
        Dependent and truth are (value - center) / spread.
    """

    train: Sample
    valid: Sample
    test: Sample
    weights: FloatArray
    reading: Reading
    center: float
    spread: float

    def structural(self, t: FloatArray, x: FloatArray) -> FloatArray:
        """g(t, x), (n,), in the units of the dependent variable."""
        return (rules.outcome(t, x, self.reading) - self.center) / self.spread


@dataclass(frozen=True, slots=True)
class Fusion:
    """One synthetic world.

    Parameters
    ----------
    shape : {"linear", "poly", "sin", "sigmoid", "abs"}, default "linear"
    groups : int, default 3
        K; 1 to 5 in the code's reading, which has five sources.
    covariates : int, default 3
        m; 3 or more, at most 10 in the code's reading.
    reading : {"code", "paper"}, default "code"
        See :mod:`ivbridge.iv_ml.scenarios.rules`.

    Raises
    ------
    DataError
        If there is no such world.
    """

    shape: Shape = "linear"
    groups: int = 3
    covariates: int = 3
    reading: Reading = "code"

    def __post_init__(self) -> None:
        if self.shape not in rules.SHAPES or self.reading not in ("code", "paper"):
            available = f"shapes {', '.join(rules.SHAPES)}; readings code, paper"
            raise DataError(f"A world {self.shape!r}, reading {self.reading!r}, was asked.", available=available)
        most = (5, 10) if self.reading == "code" else (100, 90)
        if not (1 <= self.groups <= most[0] and 3 <= self.covariates <= most[1]):
            raise DataError(
                f"{self.groups} sources and {self.covariates} covariates were asked.",
                available=f"1 to {most[0]} sources, 3 to {most[1]} covariates in this reading",
            )

    @property
    def name(self) -> str:
        """As the paper writes it, for example ``Linear-3-3``."""
        return f"{self.shape.capitalize()}-{self.groups}-{self.covariates}"

    def draw(self, n: int = 3000, seed: int = 1) -> FusionDraw:
        """Draw three samples of n rows each; the same seed gives the same numbers."""
        if n < 10:
            raise DataError(f"{n} rows were asked.", available="10 or more")
        random = np.random.default_rng([seed, self.groups, self.covariates])
        w = rules.weights(self.groups, self.covariates, self.reading, random)
        m = self.covariates
        covariance = np.eye(m + 1)
        covariance[:m, m] = covariance[m, :m] = SIGMA
        root = np.linalg.cholesky(covariance)
        parts = []
        for _ in range(3):
            both = random.standard_normal((n, m + 1)) @ root.T
            parts.append((both[:, :m], both[:, m]))
        return drawn(parts, w, self.shape, self.reading, random)


def drawn(
    parts: Sequence[tuple[FloatArray, FloatArray]],
    w: FloatArray,
    shape: Shape,
    reading: Reading,
    random: np.random.Generator,
) -> FusionDraw:
    """Sources, treatments and outcomes for three samples of (covariates, confounder); both are kept as they are.

    Dependent and truth are standardised by mean and standard deviation of the first sample's outcome.
    """  # fmt: skip
    found = []
    for x, confounder in parts:
        labels = random.integers(0, len(w), len(x))
        t = rules.treatment(x, labels, w, shape, reading) + rules.CONFOUNDING_T * confounder
        t = t + _NOISE * random.standard_normal(len(x))
        truth = rules.outcome(t, x, reading)
        y = truth + rules.CONFOUNDING_Y * confounder + _NOISE * random.standard_normal(len(x))
        found.append((x, confounder, labels, t, truth, y))
    center, spread = float(found[0][5].mean()), float(found[0][5].std())
    samples = [
        Sample(IVData((y - center) / spread, t, x, labels.astype(float)), labels, confounder, (truth - center) / spread)
        for x, confounder, labels, t, truth, y in found
    ]
    return FusionDraw(samples[0], samples[1], samples[2], w, reading, center, spread)
