"""The methods as a scikit-learn estimator: one table X that holds treatment, instruments and covariates.

>>> import numpy as np
>>> from ivbridge.iv_ml.estimators import IVRegressor
>>> random = np.random.default_rng(0)
>>> z, hidden = random.standard_normal((2, 500))
>>> t = z + hidden
>>> X, y = np.column_stack([t, z]), 2 * t + hidden + random.standard_normal(500)
>>> fitted = IVRegressor("poly2sls", endog=0, instruments=1).fit(X, y)
>>> bool(abs(fitted.effect(X, 1.0, 0.0).mean() - 2) < 0.3)
True

Needs scikit-learn 1.6 or later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ivbridge.errors import DataError, MissingExtraError
from ivbridge.iv_ml import method_class
from ivbridge.iv_ml.criterion import moment_kernel, moment_violation
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.generated import Generator
from ivbridge.iv_ml.method import IVRegression
from ivbridge.records import FloatArray

try:
    from sklearn.base import BaseEstimator, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as _error:
    raise MissingExtraError(
        f"Estimators need scikit-learn 1.6 or later: {_error}.", do='pip install "ivbridge[torch]"'
    ) from _error

__all__ = ["IVRegressor"]

Column = int | str


class IVRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Y = g(T, X) + ε, learnt with instruments.

    Parameters
    ----------
    method : str or IVRegression, default "kernel_iv"
        A name in :data:`ivbridge.iv_ml.METHODS`, with its defaults, or a method with its hyper-parameters. A search
        over hyper-parameters is one over methods: ``GridSearchCV(IVRegressor(), {"method": [KernelIV(...), ...]})``.
    endog : int or str, default 0
        The column of X that holds the treatment: its number, which may be negative, or its name in a data frame.
    instruments : int, str, sequence of them, or Generator, default 1
        The columns that hold the instruments; or a maker, such as ``MetaEM()``, that makes them from the treatment and
        the other columns. What is neither treatment nor instrument is a covariate.
    random_state : int, RandomState or None, default 0
        The seed of the method and of the maker.

    Attributes
    ----------
    curve_ : Curve
        See :class:`~ivbridge.iv_ml.curves.Curve`.
    instrument_ : Generated or None
        What the maker made.
    endog_ : int
    exog_, instruments_ : (columns,) int arrays
    n_features_in_ : int
    feature_names_in_ : array of str
        If X was a data frame.

    Notes
    -----
    ``score`` is not R², which ordinary regression maximises: it is minus the moment violation, so that cross-validation
    and searches choose by what an instrument can tell.

    scikit-learn's ``check_estimator`` passes with every method but ``dml_iv``, which needs a covariate and rows for its
    folds, and with every maker that makes do with the ten rows of some of those checks.
    """

    def __init__(
        self,
        method: str | IVRegression = "kernel_iv",
        endog: Column = 0,
        instruments: Column | Sequence[Column] | Generator = 1,
        random_state: Any = 0,
    ) -> None:
        self.method = method
        self.endog = endog
        self.instruments = instruments
        self.random_state = random_state

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> IVRegressor:
        """Learn from X (n, columns) and y (n,).

        Raises
        ------
        ValueError
            If X or y are no finite numbers of these shapes.
        DataError, DesignError
            If a column is missing or named twice, or as :meth:`ivbridge.iv_ml.method.IVRegression.fit` raises.
        """
        method = method_class(self.method)() if isinstance(self.method, str) else self.method
        if not isinstance(method, IVRegression):
            raise DataError(f"method={method!r} was asked.", available="a name, or a method such as KernelIV()")
        table, outcome = validate_data(
            self, X, y, dtype=np.float64, y_numeric=True, ensure_min_features=2, ensure_min_samples=4
        )
        self._find_columns(table.shape[1])
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(np.iinfo(np.int32).max)
        data = IVData(outcome, table[:, self.endog_], table[:, self.exog_], self._given(table))
        self.instrument_ = None
        if isinstance(self.instruments, Generator):
            self.instrument_ = self.instruments.generate(data, int(seed))
            data = data.with_instruments(self.instrument_.values)
        self.curve_ = method.fit(data, int(seed))
        return self

    def predict(self, X: npt.ArrayLike) -> FloatArray:
        """f(T, X), (n,); the instruments' columns are needed in X and not looked at."""
        table = self._checked(X)
        return np.asarray(self.curve_.predict(table[:, self.endog_], table[:, self.exog_]))

    def effect(self, X: npt.ArrayLike, t1: npt.ArrayLike, t0: npt.ArrayLike) -> FloatArray:
        """f(t1, X) - f(t0, X), (n,): what changing each row's treatment from t0 to t1 does."""
        x = self._checked(X)[:, self.exog_]
        return np.asarray(self.curve_.predict(t1, x) - self.curve_.predict(t0, x))

    def score(self, X: npt.ArrayLike, y: npt.ArrayLike) -> float:
        """Minus the moment violation of the residuals on these rows, at most 0; larger is better.

        See :mod:`ivbridge.iv_ml.criterion`. With a maker, the instrument is the one it assigns to these rows.

        A constant shift of the curve counts, though no effect has it: methods that put fitted values into powers, such
        as Poly2SLS, have one.
        """
        check_is_fitted(self)
        table, outcome = validate_data(self, X, y, dtype=np.float64, y_numeric=True, reset=False)
        t, x = table[:, self.endog_], table[:, self.exog_]
        z = self._given(table) if self.instrument_ is None else self.instrument_.assign(t, x)
        return -moment_violation(outcome - self.curve_.predict(t, x), moment_kernel(z, x))

    def _checked(self, X: npt.ArrayLike) -> FloatArray:
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, dtype=np.float64, reset=False))

    def _given(self, X: FloatArray) -> FloatArray:
        """The instruments' columns; zeros where a maker will make them."""
        return X[:, self.instruments_] if len(self.instruments_) else np.zeros((len(X), 1))

    def _find_columns(self, width: int) -> None:
        given: Any = self.instruments
        asked: list[Any] = []
        if isinstance(given, int | np.integer | str):
            asked = [given]
        elif isinstance(given, Iterable):
            asked = list(given)
        if not asked and not isinstance(given, Generator):
            raise DataError(
                f"instruments={given!r} was asked.", available="one column or more, or a maker such as MetaEM()"
            )
        numbers = [self._number(column, width) for column in (self.endog, *asked)]
        if len(set(numbers)) < len(numbers):
            raise DataError(f"endog={self.endog!r}, instruments={given!r} name a column twice.")
        self.endog_, self.instruments_ = numbers[0], np.array(numbers[1:], dtype=np.int64)
        self.exog_ = np.setdiff1d(np.arange(width), numbers)

    def _number(self, column: Column, width: int) -> int:
        names = list(getattr(self, "feature_names_in_", ()))
        if isinstance(column, str) and column in names:
            return names.index(column)
        if isinstance(column, int | np.integer) and -width <= column < width:
            return int(column) % width
        raise DataError(f"There is no column {column!r} in X.", available=", ".join(names[:20]) or f"0 … {width - 1}")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # score is at most 0
        return tags
