"""Cross-fitting: folds, learners, and predictions for units that a learner has not seen."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from scipy.special import expit

from ivbridge.causal.propensity import CONVERGED, SUSPECT, separated
from ivbridge.errors import DataError, DesignError, MissingExtraError
from ivbridge.records import FloatArray, IntArray

__all__ = ["Learner", "draw_folds", "fitted", "out_of_fold", "predict"]

#: Newton steps of a logit; ten are many.
NEWTON = 50

Kind = Literal["linear", "lasso", "forest", "boosting"]


@dataclass(frozen=True, slots=True)
class Learner:
    """A regression or a classifier of scikit-learn, as a record.

    Parameters
    ----------
    kind : {"linear", "lasso", "forest", "boosting"}, default "linear"
        Least squares or a logit without penalty; LASSO, cross-validated unless `penalty` is given; random forest;
        gradient boosting. Columns are standardised for the first two.
    trees : int, default 200
        Of a forest or of boosting.
    leaf : int, default 5
        Smallest leaf.
    penalty : float, optional
        Of a LASSO: λ in mean loss + λ·Σ|b|, the loss being half a squared error or minus the log likelihood, and b of
        standardised columns, as in R's ``glmnet``.

    Raises
    ------
    DataError
        If there is no such learner, a number is not positive, or a penalty is given to another kind.
    """

    kind: Kind = "linear"
    trees: int = 200
    leaf: int = 5
    penalty: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise DataError(f"There is no learner {self.kind!r}.", available=", ".join(get_args(Kind)))
        if self.trees < 1 or self.leaf < 1:
            raise DataError(f"{self.trees} trees with leaves of {self.leaf} were asked.", available="1 or more")
        if self.penalty is not None and (self.kind != "lasso" or not 0 < self.penalty < np.inf):
            raise DataError(
                f"A penalty of {self.penalty:g} was given to the learner {self.kind!r}.",
                available='a positive number, with "lasso"',
            )

    def regressor(self, seed: int) -> Any:
        """An unfitted scikit-learn regressor."""
        kind = _sklearn()
        match self.kind:
            case "linear":
                return kind.scaled(kind.linear.LinearRegression())
            case "lasso" if self.penalty is not None:
                return kind.scaled(kind.linear.Lasso(alpha=self.penalty, tol=1e-12, max_iter=100_000))
            case "lasso":
                return kind.scaled(kind.linear.LassoCV(random_state=seed))
            case "forest":
                return kind.ensemble.RandomForestRegressor(**self._trees(seed), n_jobs=1)
            case _:
                return kind.ensemble.GradientBoostingRegressor(**self._trees(seed))

    def classifier(self, seed: int, n: int | None = None) -> Any:
        """An unfitted scikit-learn classifier.

        Parameters
        ----------
        seed : int
        n : int, optional
            Units that it will learn from; needed with `penalty`, because scikit-learn penalises the sum of the losses.
        """
        kind = _sklearn()
        match self.kind:
            case "linear":
                plain = kind.linear.LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10, max_iter=200)
                return kind.scaled(plain)
            case "lasso" if self.penalty is not None:
                if n is None:
                    raise DataError("A classifier with a fixed penalty needs the number of units it learns from.")
                return kind.scaled(kind.l1(1 / (self.penalty * n), seed))
            case "lasso":
                return kind.scaled(kind.l1_chosen(seed))
            case "forest":
                return kind.ensemble.RandomForestClassifier(**self._trees(seed), n_jobs=1)
            case _:
                return kind.ensemble.GradientBoostingClassifier(**self._trees(seed))

    def _trees(self, seed: int) -> dict[str, int]:
        return {"n_estimators": self.trees, "min_samples_leaf": self.leaf, "random_state": seed}

    def __str__(self) -> str:
        return self.kind if self.penalty is None else f"{self.kind}, penalty {self.penalty:g}"


@dataclass(frozen=True, slots=True)
class _Sklearn:
    """The parts of scikit-learn that learners are made of."""

    linear: Any
    ensemble: Any

    def scaled(self, model: Any) -> Any:
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), model)

    def l1(self, c: float, seed: int) -> Any:
        model = self.linear.LogisticRegression
        asked = {"l1_ratio": 1.0} if _since_1_8(model) else {"penalty": "l1"}
        return model(C=c, solver="saga", tol=1e-12, max_iter=100_000, random_state=seed, **asked)

    def l1_chosen(self, seed: int) -> Any:
        model = self.linear.LogisticRegressionCV
        asked = {"l1_ratios": (1.0,), "use_legacy_attributes": False} if _since_1_8(model) else {"penalty": "l1"}
        return model(Cs=20, solver="saga", max_iter=5000, random_state=seed, scoring="neg_log_loss", **asked)


def _since_1_8(model: Any) -> bool:
    """Whether scikit-learn wants the kind of penalty by `l1_ratio`; since 1.8 it warns where it gets `penalty`."""
    return bool(inspect.signature(model).parameters["penalty"].default == "deprecated")


def _sklearn() -> _Sklearn:
    try:
        from sklearn import ensemble, linear_model
    except ImportError as error:
        do = 'pip install "ivbridge[causal]"'
        raise MissingExtraError(f"Learners need scikit-learn: {error}.", do=do) from error
    return _Sklearn(linear_model, ensemble)


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

    Where the units to learn from all have one value, that value is predicted.

    Parameters
    ----------
    model : scikit-learn estimator
        Cloned for each fold; a classifier predicts the probability of 1.
    x, target, folds : (n, p), (n,), (n,) arrays
    among : (n,) truth values, optional
        Learn from these units only, for example from the treated; predictions are for all.

    Raises
    ------
    DesignError
        If a fold leaves nobody to learn from, or as :func:`fitted`.
    """
    from sklearn.base import clone

    found = np.empty(len(target))
    may = np.ones(len(target), dtype=bool) if among is None else np.asarray(among, dtype=bool)
    for fold in np.unique(folds):
        learn, judge = (folds != fold) & may, folds == fold
        if not learn.any():
            raise DesignError(f"Fold {fold} leaves no unit to learn from.", do="ask for fewer folds.")
        if np.ptp(target[learn]) == 0:
            found[judge] = target[learn][0]
            continue
        found[judge] = predict(fitted(clone(model), x[learn], target[learn]), x[judge])
    return found


def predict(model: Any, x: FloatArray) -> FloatArray:
    """(m,) predictions of a fitted model; of a classifier, the probability of 1."""
    from sklearn.base import is_classifier

    found = model.predict_proba(x)[:, 1] if is_classifier(model) else model.predict(x)
    return np.asarray(found, dtype=np.float64)


def fitted(model: Any, x: FloatArray, target: FloatArray, weights: FloatArray | None = None) -> Any:
    """The model, fitted; a logit without penalty is known to have reached its maximum.

    Parameters
    ----------
    model : scikit-learn estimator, or a pipeline that ends with one
    x, target : (n, p), (n,) arrays
    weights : (n,) array, optional
        Of the units.

    Raises
    ------
    DesignError
        If the fit has not converged, or a logit's likelihood has no maximum.
    """
    from scipy.linalg import LinAlgWarning
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline

    steps = model.steps if isinstance(model, Pipeline) else []
    last = steps[-1][1] if steps else model
    plain = type(last) is LogisticRegression and np.isinf(last.C)
    given = {} if weights is None else {f"{steps[-1][0]}__sample_weight" if steps else "sample_weight": weights}
    with warnings.catch_warnings():
        # scikit-learn's line search fails where it starts at the maximum, and its solver where covariates imply each
        # other, which leaves predictions as they are; what matters is looked at below
        warnings.simplefilter("ignore" if plain else "error", ConvergenceWarning)
        if plain:
            warnings.simplefilter("ignore", LinAlgWarning)
        try:
            model.fit(x, target, **given)
        except ConvergenceWarning as warning:
            raise DesignError(f"A learner has not converged: {warning}") from warning
    if plain:
        _maximise(last, model[:-1].transform(x) if steps else x, target, weights)
    elif getattr(last, "solver", "") == "saga" and not last.coef_.any():
        # where every coefficient is 0, "saga" stops after one pass, and the intercept is not yet found
        share = np.average(target, weights=weights)
        last.intercept_[:] = np.log(share / (1 - share))
    return model


def _maximise(model: Any, x: FloatArray, target: FloatArray, weights: FloatArray | None) -> None:
    """Newton steps from scikit-learn's coefficients to the maximum of the likelihood."""
    design = np.column_stack([np.ones(len(x)), x])
    one, weight = (target == model.classes_[1]).astype(np.float64), np.ones(len(x)) if weights is None else weights
    coef = np.r_[model.intercept_, model.coef_[0]]

    def likelihood(of: FloatArray) -> float:
        index = design @ of
        return float(weight @ (one * index - np.logaddexp(0, index)))

    for _ in range(NEWTON):
        chance = expit(design @ coef)
        score = design.T @ (weight * (one - chance))
        step = np.linalg.lstsq((design.T * (weight * chance * (1 - chance))) @ design, score, rcond=None)[0]
        now = likelihood(coef)
        while likelihood(coef + step) < now - 1e-12 * abs(now) and np.abs(step).max() > 1e-14:
            step = step / 2
        coef = coef + step
        if np.abs(step).max() <= 1e-12 * (1 + np.abs(coef).max()):
            break
    chance = expit(design @ coef)
    if min(chance.min(), 1 - chance.max()) < SUSPECT and separated(design, one):
        raise DesignError("The covariates separate 0 from 1 in a fold: a logit without penalty has no maximum.",
                          do="take another learner, fewer folds, or leave out what decides.")  # fmt: skip
    if np.abs(design.T @ (weight * (one - chance))).max() > CONVERGED * weight.sum():
        raise DesignError("A logit has not converged.", do="look for an extreme value among the covariates.")
    model.intercept_[:], model.coef_[0] = coef[0], coef[1:]
