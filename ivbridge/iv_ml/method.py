"""What every IV regression here is: hyper-parameters that are frozen, and ``fit(data) -> Curve``."""

from __future__ import annotations

import dataclasses
import platform
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ivbridge.errors import DataError
from ivbridge.iv_ml.curves import Curve
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.predictors import Predictor
from ivbridge.iv_ml.predictors.scaled import Scaled
from ivbridge.progress import Progress
from ivbridge.records import FloatArray, Provenance
from ivbridge.threads import one_thread

__all__ = ["IVRegression", "Learnt"]


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """What one method learnt from one data set: a predictor, its history, and notes for the reader."""

    predictor: Predictor
    history: pd.DataFrame = field(default_factory=pd.DataFrame)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class IVRegression(ABC):
    """A method with its hyper-parameters; each one is a final frozen dataclass in a file of its own.

    Parameters
    ----------
    standardize : bool, default True
        Learn from columns with mean 0 and standard deviation 1, and answer in the units of the data. Constant columns
        stay as they are. The papers' programs do not do it: their data have these units already.
    """

    #: Name in :data:`ivbridge.iv_ml.METHODS`.
    name: ClassVar[str]
    #: Packages whose versions belong into the provenance.
    packages: ClassVar[tuple[str, ...]] = ("numpy", "scipy")
    standardize: bool = True

    @abstractmethod
    def learn(self, data: Sequence[IVData], seeds: Sequence[int], progress: Progress | None) -> list[Learnt]:
        """Learn from data sets of one shape, each with its seed, together; nothing of one reaches another."""

    def fit(self, data: IVData, seed: int = 0, progress: Progress | None = None) -> Curve:
        """Learn the curve.

        Parameters
        ----------
        data : IVData
        seed : int, default 0
            Everything random follows from it: the same seed gives the same numbers on the same machine.
        progress : callable, optional
            Called with (done, total, what); see :func:`ivbridge.progress_bar`.

        Raises
        ------
        DataError, DesignError
            If these data cannot be learnt from.
        EngineError
            If training diverges.
        MissingExtraError
            If the method needs a package that is not installed.
        """
        return self.fit_many([data], [seed], progress)[0]

    def fit_many(self, data: Sequence[IVData], seeds: Sequence[int], progress: Progress | None = None) -> list[Curve]:
        """One curve for each data set, in their order; those of one shape are learnt in one computation.

        The numbers are those of :meth:`fit` for each, but for the rounding of sums that are made in another order.
        """
        if len(data) != len(seeds):
            raise DataError(f"{len(data)} data sets came with {len(seeds)} seeds.", do="give one seed for each.")
        if strange := {type(one).__name__ for one in data} - {"IVData"}:
            raise DataError(f"{', '.join(sorted(strange))} was given.", available="IVData; see IVData.of for frames")
        numbers = [_seed(seed) for seed in seeds]
        curves: dict[int, Curve] = {}
        for shape in dict.fromkeys(one.shape for one in data):
            which = [i for i, one in enumerate(data) if one.shape == shape]
            scales = [_Scale.of(data[i]) if self.standardize else None for i in which]
            inputs = [
                data[i] if scale is None else scale.apply(data[i]) for i, scale in zip(which, scales, strict=True)
            ]
            with one_thread():
                found = self.learn(inputs, [numbers[i] for i in which], progress)
            for i, scale, learnt in zip(which, scales, found, strict=True):
                predictor = learnt.predictor if scale is None else scale.undo(learnt.predictor, shape[1])
                curves[i] = self._curve(data[i], numbers[i], dataclasses.replace(learnt, predictor=predictor))
        return [curves[i] for i in range(len(data))]

    def _curve(self, data: IVData, seed: int, learnt: Learnt) -> Curve:
        settings: dict[str, Any] = dataclasses.asdict(self)
        versions = {"python": platform.python_version()} | {name: version(name) for name in self.packages}
        provenance = Provenance(
            f"iv_ml {self.name}", versions, platform.platform(), threads="1",
            recorded_on=datetime.now(UTC).isoformat(timespec="seconds"), calls=(f"{self!r}.fit(data, seed={seed})",),
        )  # fmt: skip
        return Curve(
            self.name, settings, seed, learnt.predictor, data.shape[1], learnt.history, learnt.notes, data.sha256,
            provenance,
        )  # fmt: skip


def _seed(seed: object) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise DataError(f"The seed {seed!r} was asked.", available="integers from 0")
    return int(seed)


@dataclass(frozen=True, slots=True, eq=False)
class _Scale:
    """Means and spreads of y, t, the columns of x and those of z, in this order."""

    center: FloatArray
    spread: FloatArray

    @classmethod
    def of(cls, data: IVData) -> _Scale:
        columns = np.column_stack(data.arrays)
        with np.errstate(over="ignore", invalid="ignore"):
            center, spread = columns.mean(axis=0), columns.std(axis=0)
        if not np.isfinite(spread).all():
            raise DataError("A column has values whose squares leave the doubles.", do="give it in another unit.")
        constant = spread <= 1e-12 * np.abs(columns).max(axis=0, initial=0.0)  # what rounding leaves of a constant
        return cls(np.where(constant, 0.0, center), np.where(constant, 1.0, spread))

    def apply(self, data: IVData) -> IVData:
        columns = (np.column_stack(data.arrays) - self.center) / self.spread
        m = data.shape[1]
        return IVData(columns[:, 0], columns[:, 1], columns[:, 2 : 2 + m], columns[:, 2 + m :])

    def undo(self, predictor: Predictor, covariates: int) -> Scaled:
        inputs = slice(1, 2 + covariates)
        return Scaled(predictor, self.center[inputs], self.spread[inputs], float(self.center[0]), float(self.spread[0]))
