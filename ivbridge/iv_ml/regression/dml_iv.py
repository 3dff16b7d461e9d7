"""Double machine learning of a partially linear model with instruments, through DoubleML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, final

import numpy as np

from ivbridge.errors import DataError, DesignError, MissingExtraError
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.method import IVRegression, Learnt
from ivbridge.iv_ml.predictors.linear import PartiallyLinear
from ivbridge.iv_ml.predictors.scaled import Scaled
from ivbridge.iv_ml.ridge import PolynomialGrid
from ivbridge.progress import Progress
from ivbridge.records import FloatArray, IntArray

__all__ = ["DMLIV"]

#: What rounding leaves of a constant column, relative to its size.
_ROUNDING = 1e-12


@final
@dataclass(frozen=True, kw_only=True)
class DMLIV(IVRegression):
    """Y = θ T + g(X) + ε: θ from what X leaves of Y, T and Z, out of fold; then g from Y - θT on X.

    E[Y|X], E[T|X] and E[Z|X] are polynomials of the standardised X with a ridge penalty, degree and penalty chosen anew
    in every fold; θ is DoubleML's ``DoubleMLPLIV`` with the score ``partialling out``. The notes hold θ with its
    standard error.

    Source: Chernozhukov et al. (2018), Double/debiased machine learning for treatment and structural parameters, The
    Econometrics Journal 21, Eq. 4.8.

    Parameters
    ----------
    learner : PolynomialGrid
        For the conditional means and for g.
    folds : int, default 5
        Drawn by the seed.
    repeats : int, default 1
        Draws of folds; θ is the median over them.
    standardize : bool, default False
        The answer does not depend on it; the notes are in its units.

    Notes
    -----
    **Known failure.** As for linear 2SLS: one θ cannot say how a curve bends, or how its slope depends on X.
    """

    name: ClassVar[str] = "dml_iv"
    packages: ClassVar[tuple[str, ...]] = ("numpy", "doubleml")
    standardize: bool = False
    learner: PolynomialGrid = field(default_factory=PolynomialGrid)
    folds: int = 5
    repeats: int = 1

    def __post_init__(self) -> None:
        if self.folds < 2 or self.repeats < 1:
            raise DataError(
                f"folds={self.folds}, repeats={self.repeats} was asked.", available="2 folds or more, 1 repeat or more"
            )

    def learn(self, data: Sequence[IVData], seeds: Sequence[int], progress: Progress | None) -> list[Learnt]:
        """Learn from each data set; its seed draws the folds."""
        found = []
        for done, (one, seed) in enumerate(zip(data, seeds, strict=True), 1):
            found.append(self._learn(one, seed))
            if progress:
                progress(done, len(data), "double machine learning")
        return found

    def _learn(self, data: IVData, seed: int) -> Learnt:
        if not data.shape[1]:
            raise DesignError(
                "DML-IV was asked without covariates: it has nothing to leave out.", do="use linear_2sls."
            )
        center, spread = data.exog.mean(axis=0), data.exog.std(axis=0)
        spread = np.where(np.ptp(data.exog, axis=0) > _ROUNDING * np.abs(data.exog).max(axis=0), spread, 1.0)
        x = (data.exog - center) / spread
        slope, error = self._effect(replace(data, exog=x), seed)
        rest = self.learner.fit(x, data.dependent - slope * data.endog).polynomial
        notes = (f"Effect of T {slope:.6g}, standard error {error:.3g}.",)
        curve = PartiallyLinear(slope, rest)
        if self.standardize:  # x had these units already
            return Learnt(curve, notes=notes)
        return Learnt(Scaled(curve, np.r_[0.0, center], np.r_[1.0, spread], 0.0, 1.0), notes=notes)

    def _effect(self, data: IVData, seed: int) -> tuple[float, float]:
        """θ and its standard error."""
        doubleml = _doubleml()
        y, t, x, _ = data.arrays
        kept = _varying(data.instruments)
        random = np.random.default_rng([seed, 0xD317])
        rows = np.arange(data.n)
        draws = [np.array_split(random.permutation(data.n), self.folds) for _ in range(self.repeats)]
        splits = [[(np.setdiff1d(rows, fold), np.sort(fold)) for fold in draw] for draw in draws]
        columns = doubleml.DoubleMLData.from_arrays(x, y, t, kept)
        names = ["ml_m"] if kept.shape[1] == 1 else [f"ml_m_{name}" for name in columns.z_cols]
        targets = {"ml_l": y, "ml_r": t} | dict(zip(names, kept.T, strict=True))
        means = {
            name: np.column_stack([self._out_of_fold(x, target, split) for split in splits])
            for name, target in targets.items()
        }
        none = doubleml.utils.DMLDummyRegressor()
        model = doubleml.DoubleMLPLIV(
            columns, none, none, none, n_folds=self.folds, n_rep=self.repeats, draw_sample_splitting=False
        )
        model.set_sample_splitting(splits)
        model.fit(external_predictions={"d": means})
        slope, error = float(model.coef[0]), float(model.se[0])
        if not np.isfinite([slope, error]).all():
            raise DesignError("DoubleML found no effect: the instruments say nothing about T.")
        return slope, error

    def _out_of_fold(self, x: FloatArray, target: FloatArray, split: list[tuple[IntArray, IntArray]]) -> FloatArray:
        found = np.empty(len(target))
        for learn, judge in split:
            found[judge] = self.learner.fit(x[learn], target[learn]).polynomial.at(x[judge])
        return found


def _varying(instruments: FloatArray) -> FloatArray:
    """Columns that are not constant. Those that depend on others stay: DoubleML's 2SLS takes the rank as it is."""
    kept = instruments[:, np.ptp(instruments, axis=0) > _ROUNDING * np.abs(instruments).max(axis=0)]
    if not kept.shape[1]:
        raise DesignError("No instrument varies.", do="give one that does.")
    return kept


def _doubleml() -> Any:
    try:
        import doubleml
    except ImportError as error:
        raise MissingExtraError(f"DML-IV needs DoubleML: {error}.", do='pip install "ivbridge[doubleml]"') from error
    return doubleml
