"""Bootstrap bands for a curve over a grid of treatments.

Rows are drawn with replacement, and everything is done again with them: the instrument, if it was made, and the fit
with a seed of its own. So a band holds what comes from the sample, from made instruments and from training. It is a
band for what the method estimates on average: a penalty, or a stop before the end, moves that away from the truth, and
no bootstrap shows it.

>>> from ivbridge import iv_ml
>>> from ivbridge.iv_ml.scenarios.fusion import Fusion
>>> data = Fusion().draw(n=300, seed=1).train.data
>>> band = Bootstrap(replications=20).band(iv_ml.Poly2SLS(), data, grid=[-1.0, 0.0, 1.0], reference=0.0)
>>> list(band.frame().columns)
['t', 'estimate', 'std_error', 'conf_low', 'conf_high', 'uniform_low', 'uniform_high']
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm

from ivbridge.errors import DataError
from ivbridge.iv_ml.curves import Curve
from ivbridge.iv_ml.data import IVData, matrix, vector
from ivbridge.iv_ml.generated import Generator
from ivbridge.iv_ml.method import IVRegression
from ivbridge.iv_ml.settings import check_range, check_sizes, seed_of
from ivbridge.progress import Progress
from ivbridge.records import FloatArray

__all__ = ["Band", "Bootstrap"]


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """A curve with what the bootstrap found around it.

    Attributes
    ----------
    grid : (g,) array
        Treatments.
    estimate : (g,) array
        From the data themselves.
    draws : (replications, g) array
        From each resample.
    level : float
    reference : float, optional
        Estimate and draws are differences to the curve at this treatment; None: they are the curve.
    """

    grid: FloatArray
    estimate: FloatArray
    draws: FloatArray
    level: float
    reference: float | None = None

    @property
    def std_error(self) -> FloatArray:
        """(g,) from the quartiles of the draws, which a few wild ones do not move: distance / 1.349."""
        low, high = np.quantile(self.draws, [0.25, 0.75], axis=0)
        return np.asarray((high - low) / (2 * norm.ppf(0.75)))

    @property
    def pointwise(self) -> tuple[FloatArray, FloatArray]:
        """Ends (g,), (g,) that hold each single point of the curve with the level's probability: percentiles."""
        low, high = np.quantile(self.draws, [(1 - self.level) / 2, (1 + self.level) / 2], axis=0)
        return low, high

    @property
    def uniform(self) -> tuple[FloatArray, FloatArray]:
        """Ends (g,), (g,) that hold the whole curve over the grid with the level's probability.

        estimate ± c · std_error, where c is the level's quantile over the draws of the largest |draw - estimate| /
        std_error on the grid. Where the standard error is 0, as at the reference, the band has no width.
        """
        error = self.std_error
        some = error > 0
        if not some.any():
            return self.estimate.copy(), self.estimate.copy()
        largest = (np.abs(self.draws - self.estimate)[:, some] / error[some]).max(axis=1)
        width = np.quantile(largest, self.level) * error
        return self.estimate - width, self.estimate + width

    def frame(self) -> pd.DataFrame:
        """One row for each treatment: t, estimate, std_error, conf_low, conf_high, uniform_low, uniform_high."""
        low, high = self.pointwise
        lowest, highest = self.uniform
        return pd.DataFrame({
            "t": self.grid, "estimate": self.estimate, "std_error": self.std_error,
            "conf_low": low, "conf_high": high, "uniform_low": lowest, "uniform_high": highest,
        })  # fmt: skip


@final
@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """Pairs bootstrap.

    Parameters
    ----------
    replications : int, default 200
    level : float, default 0.95
    together : int, default 20
        Resamples that are learnt in one computation; more need more memory.
    maker : Generator, optional
        Makes the instrument anew from each resample. Without it the data's instruments are taken as they are, which
        leaves out what an estimated group adds.

    Notes
    -----
    Rows of a resample keep the order of the data, so that the copies of a row are neighbours and most often share a
    fold of contiguous cross-validation. A random validation split (``stopping``) does not keep them on one side.

    Source: Freedman (1984), On bootstrapping two-stage least-squares estimates in stationary linear models, for pairs;
    Chernozhukov, Fernández-Val, Melly (2013), Inference on counterfactual distributions, for the band.
    """

    replications: int = 200
    level: float = 0.95
    together: int = 20
    maker: Generator | None = None

    def __post_init__(self) -> None:
        check_sizes(replications=self.replications, together=self.together)
        check_range(0, 1, level=self.level)
        if self.replications == 1:
            raise DataError("replications=1 was asked.", available="2 or more")

    def band(
        self,
        method: IVRegression,
        data: IVData,
        grid: npt.ArrayLike,
        x: npt.ArrayLike | None = None,
        reference: float | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Band:
        """The curve over a grid of treatments, averaged over units, with its draws.

        Parameters
        ----------
        method : IVRegression
        data : IVData
        grid : (g,) array
            Treatments.
        x : (r, m) array, optional
            The units that are averaged over, the same ones in each draw. None: those of the data, and in each draw
            those of the resample, so that the band is one for all units, not for these. The work is
            replications · g · r predictions.
        reference : float, optional
            Give differences to the curve at this treatment: the effect of moving all units from there.
        seed : int, default 0
        progress : callable, optional
            Called with (done, total, "resamples").

        Raises
        ------
        DataError, DesignError, EngineError
            If there is no unit in x; or as :meth:`ivbridge.iv_ml.method.IVRegression.fit` raises, for the data or a
            resample.
        """
        _check_kinds(method, data)
        points = vector(np.atleast_1d(np.asarray(grid)), "grid")
        fixed = None if x is None else matrix(x, "x")
        if fixed is not None and not len(fixed):
            raise DataError("x has no rows to average over.", do="leave it out to take those of the data.")
        seed = seed_of(seed)
        draws = []
        for first in range(0, self.replications + 1, self.together):
            last = min(first + self.together - 1, self.replications)
            for curve, sample in self._learnt(method, [_resample(data, seed, i) for i in range(first, last + 1)]):
                draws.append(_means(curve, points, sample.exog if fixed is None else fixed, reference))
            if progress:
                progress(last, self.replications, "resamples")
        return Band(points, draws[0], np.array(draws[1:]), self.level, reference)

    def _learnt(self, method: IVRegression, drawn: list[tuple[IVData, int]]) -> list[tuple[Curve, IVData]]:
        samples, seeds = [sample for sample, _ in drawn], [own for _, own in drawn]
        if self.maker is not None:
            made = self.maker.generate_many(samples, seeds)
            samples = [sample.with_instruments(one.values) for sample, one in zip(samples, made, strict=True)]
        return list(zip(method.fit_many(samples, seeds), samples, strict=True))


def _check_kinds(method: object, data: object) -> None:
    if not isinstance(method, IVRegression) or not isinstance(data, IVData):
        raise DataError(
            f"A band for {type(method).__name__} and {type(data).__name__} was asked.",
            available="a method such as KernelIV(), and IVData",
        )


def _resample(data: IVData, seed: int, number: int) -> tuple[IVData, int]:
    """The data themselves for 0, a resample for any other number; and a seed for what is learnt from it."""
    random = np.random.default_rng([seed, number, 0xB007])
    own = int(random.integers(2**31))
    return (data.rows(np.sort(random.integers(data.n, size=data.n))), own) if number else (data, seed)


def _means(curve: Curve, grid: FloatArray, x: FloatArray, reference: float | None) -> FloatArray:
    found = np.array([curve.predict(float(t), x).mean() for t in grid])
    return found if reference is None else found - curve.predict(reference, x).mean()
