"""What every IV regression here is: hyper-parameters that are frozen, and ``fit(data) -> Curve``."""

from __future__ import annotations

import dataclasses
import platform
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ivbridge.errors import DataError, EngineError
from ivbridge.iv_ml.curves import Curve
from ivbridge.iv_ml.data import IVData, check_treatment
from ivbridge.iv_ml.predictors import Predictor
from ivbridge.iv_ml.predictors.scaled import Scaled
from ivbridge.iv_ml.settings import seed_of
from ivbridge.progress import Progress
from ivbridge.records import FloatArray, Provenance
from ivbridge.threads import one_thread

__all__ = ["IVRegression", "Learnt"]

#: What rounding leaves of the spread of a constant column, relative to its largest value.
_CONSTANT = 1e-12
_DO = "look for wild values or collinear columns, lower the rate, or let the method standardise the data."
#: Rows at which a curve is looked at before it is given to anybody.
_LOOKED_AT = 100


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
            If these data cannot be learnt from; a treatment that does not vary is such a case.
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
        for one in data:
            check_treatment(one)
        numbers = [seed_of(seed) for seed in seeds]
        curves: dict[int, Curve] = {}
        for shape in dict.fromkeys(one.shape for one in data):
            which = [i for i, one in enumerate(data) if one.shape == shape]
            scales = [_Scale.of(data[i]) if self.standardize else None for i in which]
            inputs = [
                data[i] if scale is None else scale.apply(data[i]) for i, scale in zip(which, scales, strict=True)
            ]
            with one_thread(), _arithmetic():
                found = self.learn(inputs, [numbers[i] for i in which], progress)
            for i, scale, learnt in zip(which, scales, found, strict=True):
                predictor = learnt.predictor if scale is None else scale.undo(learnt.predictor, shape[1])
                notes = (*learnt.notes, *_warnings(data[i]))
                curves[i] = self._curve(data[i], numbers[i], Learnt(predictor, learnt.history, notes))
        return [curves[i] for i in range(len(data))]

    def _curve(self, data: IVData, seed: int, learnt: Learnt) -> Curve:
        settings: dict[str, Any] = dataclasses.asdict(self)
        versions = {"python": platform.python_version()} | {name: version(name) for name in self.packages}
        provenance = Provenance(
            f"iv_ml {self.name}", versions, platform.platform(), threads="1",
            recorded_on=datetime.now(UTC).isoformat(timespec="seconds"), calls=(f"{self!r}.fit(data, seed={seed})",),
        )  # fmt: skip
        some = slice(_LOOKED_AT)
        if not np.isfinite(learnt.predictor(data.endog[some], data.exog[some])).all():
            raise EngineError(f"{self.name} learnt a curve that is not finite.", do=_DO)
        return Curve(
            self.name, settings, seed, learnt.predictor, data.shape[1], learnt.history, learnt.notes, data.sha256,
            provenance,
        )  # fmt: skip


def _warnings(data: IVData) -> tuple[str, ...]:
    z = data.instruments
    if (np.ptp(z, axis=0) <= _CONSTANT * np.abs(z).max(axis=0)).all():
        return ("No instrument varies: what the curve says of the treatment rests on the shape of its functions.",)
    return ()


@contextmanager
def _arithmetic() -> Iterator[None]:
    """Algebra that fails, of NumPy or torch, becomes an `EngineError`."""
    try:
        yield
    except (np.linalg.LinAlgError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and type(error).__name__ != "_LinAlgError":  # torch's name for it
            raise
        raise EngineError(f"The computation broke down: {error}.", do=_DO) from error


@dataclass(frozen=True, slots=True, eq=False)
class _Scale:
    """Means and spreads of y, t, the columns of x and those of z, in this order."""

    center: FloatArray
    spread: FloatArray

    @classmethod
    def of(cls, data: IVData) -> _Scale:
        columns = np.column_stack(data.arrays)
        center, spread = columns.mean(axis=0), columns.std(axis=0)
        constant = spread <= _CONSTANT * np.abs(columns).max(axis=0, initial=0.0)
        return cls(np.where(constant, 0.0, center), np.where(constant, 1.0, spread))

    def apply(self, data: IVData) -> IVData:
        columns = (np.column_stack(data.arrays) - self.center) / self.spread
        m = data.shape[1]
        return IVData(columns[:, 0], columns[:, 1], columns[:, 2 : 2 + m], columns[:, 2 + m :])

    def undo(self, predictor: Predictor, covariates: int) -> Scaled:
        inputs = slice(1, 2 + covariates)
        return Scaled(predictor, self.center[inputs], self.spread[inputs], float(self.center[0]), float(self.spread[0]))
