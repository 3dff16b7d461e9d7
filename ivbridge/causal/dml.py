"""Double machine learning: nuisances by cross-fitting, then DoubleML's scores; R gets the same folds.

A nuisance is E[target | x], predicted for every unit by a learner that has not seen it. DoubleML makes the score of the
predictions and solves it. R fits each nuisance anew with its own functions on the same folds and writes the score out.

Source: Chernozhukov, Chetverikov, Demirer, Duflo, Hansen, Newey and Robins (2018), "Double/debiased machine learning
for treatment and structural parameters", The Econometrics Journal 21: definition 3.2 (DML2) and, over repeated splits,
definition 3.3 (medians).
"""

from __future__ import annotations

import importlib.metadata
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ivbridge.causal.crossfit import Learner, draw_folds, out_of_fold
from ivbridge.causal.method import CausalMethod
from ivbridge.causal.question import CausalData
from ivbridge.causal.r_side import ask_r, r_versions
from ivbridge.causal.records import Answer, Overlap
from ivbridge.errors import DataError, UnsupportedError
from ivbridge.progress import Progress
from ivbridge.records import FloatArray, IntArray

__all__ = ["WEAK", "Clipped", "CrossFitted", "Nuisance", "Seen", "over_splits", "weak", "weak_text"]

#: An F below it is called weak.
WEAK = 10.0
#: A learner that only R's seed could make equal.
RANDOM = ("forest", "boosting")


@dataclass(frozen=True, slots=True, eq=False)
class Nuisance:
    """A conditional expectation that a score needs.

    Attributes
    ----------
    name : str
        DoubleML's name of the learner, for example ``"ml_l"``.
    target : (n,) array
    among : (n,) truth values, optional
        Units to learn from; default: all.
    outcome : bool
        Whether the target is the dependent variable, and not the treatment or an instrument.
    """

    name: str
    target: FloatArray
    among: np.ndarray | None = None
    outcome: bool = False

    def seen(self, folds: int) -> int:
        """Units that a learner gets to see, fold sizes being rounded."""
        n = len(self.target) if self.among is None else int(self.among.sum())
        return n - n // folds

    @property
    def binary(self) -> bool:
        """Whether a classifier predicts it."""
        return bool(np.isin(self.target, (0.0, 1.0)).all())

    def loss(self, predicted: FloatArray) -> float:
        """Root mean squared error out of fold, of the units that are learned from."""
        kept = slice(None) if self.among is None else self.among
        return float(np.sqrt(np.mean((self.target - predicted)[kept] ** 2)))


@dataclass(frozen=True, slots=True)
class Seen:
    """What the predictions of a split show.

    Attributes
    ----------
    overlap : Overlap, optional
    notes, warnings : tuple of str
    """

    overlap: Overlap | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CrossFitted(CausalMethod):
    """What the four models of double machine learning share.

    Parameters
    ----------
    learner : Learner, default Learner("linear")
        Of the dependent variable; a classifier where that is 0/1.
    treatment_learner : Learner, optional
        Of the treatment and the instruments, a classifier where they are 0/1; default: as `learner`.
    folds : int, default 5
        DoubleML's default. Units are spread over the folds within the arms of the treatment and of a 0/1 instrument.
    repeats : int, default 1
        Splits into folds. Estimates are their median; the squared standard error is the median of
        se² + (estimate - median)², definition 3.3 of the paper. (DoubleML 0.11 leaves the second term out.)
    fold_seed : int, optional
        Of the folds; default: the seed of the fit, which also grows the trees.
    """

    learner: Learner = Learner()  # noqa: RUF009
    treatment_learner: Learner | None = None
    folds: int = 5
    repeats: int = 1
    fold_seed: int | None = None

    def __post_init__(self) -> None:
        if self.folds < 2 or self.repeats < 1:
            asked = f"{self.folds} folds and {self.repeats} repeats were asked."
            raise DataError(asked, available="2 folds or more, 1 repeat or more")

    def nuisances(self, data: CausalData) -> tuple[Nuisance, ...]:
        """What has to be predicted."""
        raise NotImplementedError

    def model(self, doubleml: Any, data: Any, estimand: str) -> Any:
        """DoubleML's object, not fitted, without folds of its own."""
        raise NotImplementedError

    def looked_at(self, data: CausalData, predictions: Mapping[str, FloatArray]) -> Seen:
        """Overlap, notes and warnings that follow from the first split's predictions."""
        raise NotImplementedError

    def answer(self, data: CausalData, seed: int, progress: Progress | None) -> Answer:
        """Cross-fit the nuisances and let DoubleML solve the score."""
        wanted, splits = self.nuisances(data), self.splits(data, seed)
        predicted = {one.name: np.empty((data.n, self.repeats)) for one in wanted}
        for r in range(self.repeats):
            if progress:
                progress(r, self.repeats, f"split {r + 1}")
            for one in wanted:
                predicted[one.name][:, r] = self._predicted(one, data, splits[:, r], seed)
        seen = self.looked_at(data, {name: values[:, 0] for name, values in predicted.items()})
        model = self._solved(data, splits, predicted)
        estimates, errors = model.all_coef[0], model.all_se[0]
        estimate, error = over_splits(estimates, errors)
        losses = {one.name: float(np.mean([one.loss(values) for values in predicted[one.name].T])) for one in wanted}
        return Answer(
            estimate, error, f"score, {self.folds} folds" + (f", {self.repeats} splits" if self.repeats > 1 else ""),
            overlap=seen.overlap, parts=_parts(losses, estimates, errors),
            influence=-model.psi[:, 0, 0] / model.psi_deriv[:, 0, 0].mean() if self.repeats == 1 else None,
            versions={name: importlib.metadata.version(name) for name in ("doubleml", "scikit-learn")},
            calls=(f"doubleml.{type(model).__name__}",), notes=(*seen.notes, *data.notes), warnings=seen.warnings,
        )  # fmt: skip

    def _solved(self, data: CausalData, splits: IntArray, predicted: Mapping[str, FloatArray]) -> Any:
        """DoubleML's object, fitted to predictions that were made on these splits."""
        import doubleml

        z = data.z if "instruments" in self.needs else None
        given = doubleml.DoubleMLData.from_arrays(data.x, data.y, data.t, z)
        model = self.model(doubleml, given, data.question.estimand)
        model.set_sample_splitting([_pairs(splits[:, r]) for r in range(self.repeats)])
        with warnings.catch_warnings():
            # of scores that `clipped` counts, and of a sensitivity analysis that nobody asked for
            for text in ("Propensity predictions", "The estimated nu2"):
                warnings.filterwarnings("ignore", text, UserWarning)
            model.fit(external_predictions={given.d_cols[0]: dict(predicted)}, store_predictions=False)
        return model

    def reference(self, data: CausalData, seed: int) -> Answer:
        """R's least squares, logit or LASSO on the same folds, and the score written out."""
        if random := sorted({one.kind for one in self.learners if one.kind in RANDOM}):
            raise UnsupportedError(
                f"Trees are grown with random numbers, so that no {random[0]} of R equals one of scikit-learn.",
                do="compare both within the spread of their seeds: ivbridge.causal.forest_spread.forest_spread.",
            )
        if any(one.kind == "lasso" and one.penalty is None for one in self.learners):
            raise UnsupportedError(
                "A cross-validated LASSO draws folds within folds, which R would draw otherwise.",
                do='fix the penalty: Learner("lasso", penalty=…).',
            )
        return self.asked_of_r(data, seed)

    def asked_of_r(self, data: CausalData, seed: int) -> Answer:
        """What R computes with least squares, logits, a LASSO or forests (``ranger``)."""
        outcome, treatment = self.learners
        reply = ask_r(
            "dml", model=self.name, y=data.y, t=data.t, x=data.x, z=data.z, folds=self.splits(data, seed).astype(float),
            outcome=_for_r(outcome), treatment=_for_r(treatment), settings=self.settings(data), seed=float(seed),
        ).value  # fmt: skip
        estimates, errors = np.atleast_1d(reply["estimates"]), np.atleast_1d(reply["errors"])
        losses = {name: float(value[0]) for name, value in reply["losses"].items()}
        return Answer(
            float(reply["estimate"][0]), float(reply["error"][0]), "score, written out",
            parts=_parts(losses, estimates, errors), versions=r_versions("glmnet", "ranger"),
        )  # fmt: skip

    def settings(self, data: CausalData) -> dict[str, float | str]:
        """What R has to know besides."""
        return {"estimand": data.question.estimand}

    def bound(self) -> float:
        """Rounding for least squares and logits, the solvers' tolerance for a LASSO."""
        return 1e-6 if any(one.kind == "lasso" for one in self.learners) else self.relative

    def splits(self, data: CausalData, seed: int) -> IntArray:
        """(n, repeats) fold numbers."""
        start, strata = seed if self.fold_seed is None else self.fold_seed, self._strata(data)
        return np.column_stack(
            [draw_folds(data.n, self.folds, start + 10_007 * r, strata) for r in range(self.repeats)]
        )

    def _strata(self, data: CausalData) -> FloatArray:
        moved = "instruments" in self.needs and np.isin(data.z[:, 0], (0.0, 1.0)).all()
        return data.t + 2 * data.z[:, 0] if moved else data.t

    @property
    def learners(self) -> tuple[Learner, Learner]:
        """Of the dependent variable, and of the treatment and the instruments."""
        return self.learner, self.treatment_learner or self.learner

    def _predicted(self, one: Nuisance, data: CausalData, folds: IntArray, seed: int) -> FloatArray:
        learner = self.learners[0 if one.outcome else 1]
        made = learner.classifier(seed, one.seen(self.folds)) if one.binary else learner.regressor(seed)
        return out_of_fold(made, data.x, one.target, folds, one.among)


@dataclass(frozen=True, kw_only=True)
class Clipped(CrossFitted):
    """A model that divides by a probability.

    Parameters
    ----------
    clip : float, default 0.01
        Probabilities below it, or above one minus it, are set to that; DoubleML's default. How many were is a warning.
    learner, treatment_learner, folds, repeats, fold_seed
        As :class:`CrossFitted`.
    """

    clip: float = 0.01

    def __post_init__(self) -> None:
        CrossFitted.__post_init__(self)
        if not 0 < self.clip < 0.5:
            raise DataError(f"clip={self.clip!r} was asked.", available="a number between 0 and 0.5")

    def clipped(self, score: FloatArray, what: str) -> tuple[str, ...]:
        """A warning if a probability is clipped."""
        count = int(((score < self.clip) | (score > 1 - self.clip)).sum())
        limits = f"{self.clip:g} to {1 - self.clip:g}"
        text = f"{count} of {len(score)} probabilities of the {what} lay outside {limits} and were clipped."
        return (text,) if count else ()

    def settings(self, data: CausalData) -> dict[str, float | str]:
        """Estimand and clipping."""
        return {"estimand": data.question.estimand, "clip": self.clip}


def over_splits(estimates: FloatArray, errors: FloatArray) -> tuple[float, float]:
    """Medians over splits of one sample: definition 3.3 of the paper."""
    estimate = float(np.median(estimates))
    return estimate, math.sqrt(float(np.median(errors**2 + (estimates - estimate) ** 2)))


def weak(t: FloatArray, z: FloatArray) -> tuple[str, ...]:
    """A warning if instruments hardly move the treatment.

    Parameters
    ----------
    t : (n,) array
        The treatment without its part that covariates predict.
    z : (n, l) array
        The instruments without theirs. F is that of R's ``anova`` of ``lm(t ~ z)``; the limit of 10 is Staiger and
        Stock's (1997, Econometrica 65).
    """
    n, count = z.shape
    v, w = z - z.mean(axis=0), t - t.mean()
    left = w - v @ np.linalg.lstsq(v, w, rcond=None)[0]
    f = ((w @ w - left @ left) / count) / (left @ left / (n - count - 1))
    return () if f >= WEAK else (weak_text(f),)


def weak_text(f: float) -> str:
    """What is said of weak instruments.

    Parameters
    ----------
    f : float
        Statistic of the first stage.
    """
    return f"The instruments hardly move the treatment (F = {f:.2g}): the interval cannot be trusted."


def _parts(losses: Mapping[str, float], estimates: FloatArray, errors: FloatArray) -> dict[str, float]:
    parts = {f"rmse {name}": value for name, value in losses.items()}
    for r in range(len(estimates) if len(estimates) > 1 else 0):
        parts[f"estimate of split {r + 1}"] = float(estimates[r])
        parts[f"std.error of split {r + 1}"] = float(errors[r])
    return parts


def _pairs(folds: IntArray) -> Sequence[tuple[IntArray, IntArray]]:
    return [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in np.unique(folds)]


def _for_r(learner: Learner) -> dict[str, float | str]:
    return {"kind": learner.kind, "trees": learner.trees, "leaf": learner.leaf, "penalty": learner.penalty or 0.0}
