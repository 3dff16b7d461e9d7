"""Cross-fitting: folds, learners, and predictions for units that a learner has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ivbridge.errors import DataError, MissingExtraError
from ivbridge.records import FloatArray, IntArray

__all__ = ["Learner", "draw_folds", "out_of_fold"]

Kind = Literal["linear", "lasso", "forest", "boosting"]


@dataclass(frozen=True, slots=True)
class Learner:
    """A regression or a classifier of scikit-learn, as a record.

    Parameters
    ----------
    kind : {"linear", "lasso", "forest", "boosting"}, default "linear"
        Least squares or a logit without penalty; cross-validated LASSO; random forest; gradient boosting. Columns are
        standardised for the first two.
    trees : int, default 200
        Of a forest or of boosting.
    leaf : int, default 5
        Smallest leaf.
    """

    kind: Kind = "linear"
    trees: int = 200
    leaf: int = 5

    def regressor(self, seed: int) -> Any:
        """An unfitted scikit-learn regressor."""
        return _made(self, seed, classifier=False)

    def classifier(self, seed: int) -> Any:
        """An unfitted scikit-learn classifier."""
        return _made(self, seed, classifier=True)

    def __str__(self) -> str:
        return self.kind


def _made(learner: Learner, seed: int, *, classifier: bool) -> Any:
    try:
        from sklearn.ensemble import (
            GradientBoostingClassifier,
            GradientBoostingRegressor,
            RandomForestClassifier,
            RandomForestRegressor,
        )
        from sklearn.linear_model import LassoCV, LinearRegression, LogisticRegression, LogisticRegressionCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        do = 'pip install "ivbridge[causal]"'
        raise MissingExtraError(f"Learners need scikit-learn: {error}.", do=do) from error
    match learner.kind:
        case "linear":
            plain = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10, max_iter=200)
            return make_pipeline(StandardScaler(), plain if classifier else LinearRegression())
        case "lasso":
            penalised = LogisticRegressionCV(
                Cs=20, penalty="l1", solver="saga", max_iter=5000, random_state=seed, scoring="neg_log_loss"
            )
            return make_pipeline(StandardScaler(), penalised if classifier else LassoCV(random_state=seed))
        case "forest":
            forest = RandomForestClassifier if classifier else RandomForestRegressor
            return forest(learner.trees, min_samples_leaf=learner.leaf, random_state=seed, n_jobs=1)
        case "boosting":
            boosted = GradientBoostingClassifier if classifier else GradientBoostingRegressor
            return boosted(n_estimators=learner.trees, min_samples_leaf=learner.leaf, random_state=seed)
    raise DataError(f"There is no learner {learner.kind!r}.", available="linear, lasso, forest, boosting")


def draw_folds(n: int, k: int, seed: int, strata: FloatArray | None = None) -> IntArray:
    """(n,) fold numbers 0 … k-1 of nearly equal size; with `strata`, within each of its values.

    Raises
    ------
    DataError
        If k is below 2, or a stratum has fewer units than folds.
    """
    if k < 2:
        raise DataError(f"{k} folds were asked.", available="2 or more")
    random = np.random.default_rng([seed, 0xF01D])
    folds = np.empty(n, dtype=np.int64)
    for value in [None] if strata is None else np.unique(strata):
        rows = np.arange(n) if value is None else np.flatnonzero(strata == value)
        if len(rows) < k:
            raise DataError(f"{k} folds of {len(rows)} units were asked.", do="ask for fewer folds.")
        folds[random.permutation(rows)] = np.arange(len(rows)) % k
    return folds


def out_of_fold(
    model: Any, x: FloatArray, target: FloatArray, folds: IntArray, among: Sequence[bool] | np.ndarray | None = None
) -> FloatArray:
    """(n,) predictions, each by a model that has seen no unit of its fold.

    Parameters
    ----------
    model : scikit-learn estimator
        Cloned for each fold; a classifier predicts the probability of 1.
    x, target, folds : (n, p), (n,), (n,) arrays
    among : (n,) truth values, optional
        Learn from these units only, for example from the treated; predictions are for all.
    """
    from sklearn.base import clone

    found = np.empty(len(target))
    may = np.ones(len(target), dtype=bool) if among is None else np.asarray(among, dtype=bool)
    for fold in np.unique(folds):
        learn, judge = (folds != fold) & may, folds == fold
        fitted = clone(model).fit(x[learn], target[learn])
        found[judge] = (
            fitted.predict_proba(x[judge])[:, 1] if hasattr(fitted, "predict_proba") else fitted.predict(x[judge])
        )
    return found
