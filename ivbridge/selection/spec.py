"""What may be asked of a cross-validated LASSO: one frozen record that every engine understands.

>>> LassoSpec("x", ("z1", "z2", "z3"), folds=Folds(10, seed=1)).measure
'mse'
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

import numpy as np
import pandas as pd

from ivbridge.errors import DataError, UnsupportedError
from ivbridge.records import IntArray
from ivbridge.rrandom import RRandom
from ivbridge.selection.rules import Min, OneSE, parse_rule

__all__ = [
    "MEASURES",
    "Family",
    "FoldColumn",
    "Folds",
    "LassoSpec",
    "Measure",
    "check_columns",
    "matching",
    "text_columns",
]

Family = Literal["gaussian", "binomial"]
Measure = Literal["default", "mse", "mae", "deviance", "class", "auc"]

#: Loss functions of cross-validation by family; the first one is R's default.
MEASURES: dict[str, tuple[str, ...]] = {
    "gaussian": ("mse", "deviance", "mae"),
    "binomial": ("deviance", "mse", "mae", "class", "auc"),
}


@dataclass(frozen=True, slots=True)
class Folds:
    """Random folds, equal to those that ``set.seed(seed); cv.glmnet(…, nfolds = k)`` draws in R.

    Parameters
    ----------
    k : int, default 10
        As ``nfolds``; at least 3.
    seed : int, default 1
        As ``set.seed``.
    sample_kind : {"Rejection", "Rounding"}
        As ``RNGkind(sample.kind = )``; R before 3.6 used "Rounding".
    """

    k: int = 10
    seed: int = 1
    sample_kind: Literal["Rejection", "Rounding"] = "Rejection"

    def __post_init__(self) -> None:
        if self.k < 3:
            raise UnsupportedError(f"{self.k} folds were asked.", available="3 or more, as in cv.glmnet")

    def draw(self, n: int) -> IntArray:
        """Fold of each row, (n,) integers 1 … k: R's ``sample(rep(seq(k), length = n))``.

        Raises
        ------
        DataError
            If there are fewer rows than folds.
        """
        if n < self.k:
            raise DataError(f"{self.k} folds were asked of {n} rows.", do="ask for fewer folds.")
        random = RRandom(self.seed, sample_kind=self.sample_kind)
        return np.asarray(random.sample(np.resize(np.arange(1, self.k + 1), n)), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class FoldColumn:
    """Folds given by a column of whole numbers 1 … k, as ``foldid =`` in R."""

    column: str


@dataclass(frozen=True, slots=True)
class LassoSpec:
    """One cross-validated LASSO (or elastic net), R's ``cv.glmnet(x, y, …)``.

    Parameters
    ----------
    dependent : str
        Name of a numeric column; for ``family="binomial"`` any column with two values, of which the second in sorted
        order counts as the event, as in R.
    candidates : sequence of str
        Names of numeric or logical columns, in the order of R's columns of ``x``; at least two, as in glmnet.
    penalty_factor : sequence of float, optional
        One for each candidate; 0 forces it in. R: ``penalty.factor``, default all 1.
    folds : Folds or FoldColumn, default Folds(10, seed=1)
    lambdas : sequence of float, optional
        Penalties, sorted downwards when stored. R: ``lambda``; default glmnet's own 100.
    rule : Min or OneSE, default OneSE()
        R's default in ``coef`` and ``predict``.
    alpha : float, default 1.0
        1 is the LASSO, 0 ridge regression.
    standardize : bool, default True
    weights : str, optional
        Name of a column of observation weights.
    intercept : bool, default True
    family : {"gaussian", "binomial"}
    type_measure : {"default", "mse", "mae", "deviance", "class", "auc"}
        Default: mse for gaussian, deviance for binomial, as in R.
    threshold : float, default 1e-7
        Convergence threshold, R's ``thresh``: coordinate descent stops when no step changes the fit by more than this
        share of the null deviance. The coefficients themselves are less exact than that.

    Raises
    ------
    UnsupportedError
        If a value is outside what cv.glmnet offers.
    DataError
        If names repeat or lengths differ.
    """

    dependent: str
    candidates: tuple[str, ...]
    penalty_factor: tuple[float, ...] | None = None
    folds: Folds | FoldColumn = Folds()
    lambdas: tuple[float, ...] | None = None
    rule: Min | OneSE = OneSE()  # noqa: RUF009
    alpha: float = 1.0
    standardize: bool = True
    weights: str | None = None
    intercept: bool = True
    family: Family = "gaussian"
    type_measure: Measure = "default"
    threshold: float = 1e-7

    def __post_init__(self) -> None:
        object.__setattr__(self, "candidates", tuple(self.candidates))
        rule = parse_rule(self.rule)
        if not isinstance(rule, Min | OneSE):
            raise UnsupportedError(f"rule={rule} is no point of one cross-validated path.", available="min, 1se")
        object.__setattr__(self, "rule", rule)
        if self.lambdas is not None:
            object.__setattr__(self, "lambdas", tuple(sorted(map(float, self.lambdas), reverse=True)))
        if self.penalty_factor is not None:
            object.__setattr__(self, "penalty_factor", tuple(map(float, self.penalty_factor)))
        _check_names(self)
        _check_numbers(self)
        if self.family not in MEASURES:
            raise UnsupportedError(f"family={self.family!r} was asked.", available=", ".join(MEASURES))
        if self.type_measure not in ("default", *MEASURES[self.family]):
            known = ", ".join(("default", *MEASURES[self.family]))
            raise UnsupportedError(f"type_measure={self.type_measure!r} with {self.family}.", available=known)

    @property
    def measure(self) -> str:
        """The loss that is used: ``type_measure`` with its default filled in."""
        return MEASURES[self.family][0] if self.type_measure == "default" else self.type_measure

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of the data that the question needs."""
        extra = [self.folds.column] if isinstance(self.folds, FoldColumn) else []
        extra += [self.weights] if self.weights else []
        return tuple(dict.fromkeys((self.dependent, *self.candidates, *extra)))


def _check_names(spec: LassoSpec) -> None:
    repeated = sorted(name for name, count in Counter(spec.candidates).items() if count > 1)
    if repeated:
        raise DataError(f"Candidates are named twice: {', '.join(repeated)}.")
    if spec.dependent in spec.candidates:
        raise DataError(f"The dependent variable {spec.dependent!r} is also a candidate.")
    if len(spec.candidates) < 2:
        raise UnsupportedError(f"{len(spec.candidates)} candidate(s) were given.", available="2 or more, as in glmnet")


def _check_numbers(spec: LassoSpec) -> None:
    if not 0 <= spec.alpha <= 1:
        raise UnsupportedError(f"alpha={spec.alpha} was asked.", available="0 (ridge) to 1 (LASSO)")
    if not 0 < spec.threshold < 1:
        raise UnsupportedError(f"threshold={spec.threshold} was asked.", available="a number between 0 and 1")
    if spec.lambdas is not None and (len(spec.lambdas) < 2 or not min(spec.lambdas) >= 0):
        raise UnsupportedError("lambdas must be two or more numbers that are not negative, as in cv.glmnet.")
    factors = spec.penalty_factor
    if factors is None:
        return
    if len(factors) != len(spec.candidates):
        raise DataError(f"penalty_factor has {len(factors)} entries for {len(spec.candidates)} candidates.")
    if not all(0 <= factor < float("inf") for factor in factors) or not any(factors):
        raise UnsupportedError("penalty_factor must be finite, not negative and not all zero.")


def text_columns(data: pd.DataFrame) -> tuple[str, ...]:
    """The columns that have text for a name, each name once.

    Raises
    ------
    DataError
        If there are columns, and none has.
    """
    columns: list[object] = list(data.columns)
    names = tuple(dict.fromkeys(name for name in columns if isinstance(name, str)))
    if columns and not names:
        raise DataError(
            f"The columns of the data are called {columns[0]!r}, …, which is not text.",
            do="give them names of text.",
        )
    return names


def check_columns(names: Iterable[str], data: pd.DataFrame) -> None:
    """Check that each name stands for one column.

    Raises
    ------
    DataError
        If a column is missing from the data or stands twice.
    """
    counts = Counter(data.columns)
    wanted = tuple(names)
    if absent := [name for name in wanted if name not in counts]:
        known = ", ".join(map(str, data.columns[:20])) + (", …" if len(data.columns) > 20 else "")
        raise DataError(f"The data has no column {', '.join(map(repr, absent[:5]))}.", available=known)
    if twice := [name for name in wanted if counts[name] > 1]:
        raise DataError(f"The data has {counts[twice[0]]} columns called {twice[0]!r}.", do="rename them.")


def matching(patterns: str | Sequence[str], columns: Iterable[str]) -> tuple[str, ...]:
    """Columns that match any of the patterns, in the data's order.

    Parameters
    ----------
    patterns : str or sequence of str
        Names, or shell patterns such as ``"test_*"``; case matters.
    columns : iterable of str

    Raises
    ------
    DataError
        If a pattern matches nothing.
    """
    wanted, known = (patterns,) if isinstance(patterns, str) else tuple(patterns), tuple(columns)
    exact = set(known)
    for pattern in wanted:
        if pattern not in exact and not any(fnmatchcase(name, pattern) for name in known):
            shown = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
            raise DataError(f"No column matches {pattern!r}.", available=shown)
    globs = [pattern for pattern in wanted if pattern not in exact]
    return tuple(name for name in known if name in wanted or any(fnmatchcase(name, glob) for glob in globs))
