"""How large a gap can rounding explain? Answered by perturbation, not by a constant.

A backward-stable algorithm returns the exact answer for data whose columns are off by a small multiple of the machine
precision u = 2⁻⁵³ in norm; summing n products in floating point adds an error that grows like √n·u (Higham & Mary 2019,
SIAM J. Sci. Comput. 41(5)). What such an error does to a standard error, a p-value or a Wu–Hausman F depends on the
data: on collinearity, on the strength of the instruments, on cancellation between clusters. So the whole answer is
computed again from data, inner products and normal equations (linearmodels solves those) perturbed at that level (Monte
Carlo arithmetic: Parker 1997; Vignes 1993), and the spread of every number over the repetitions measures how many of
its digits the arithmetic leaves. Two correct programs differ by a modest multiple of that spread.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import stats

from ivbridge.diagnostics import numbers
from ivbridge.gaps import SMALLEST, Key, flatten, scales, spread
from ivbridge.kclass import correction, estimated
from ivbridge.linear import UNIT, Basis, KClass, Linear, noisy_sums, scaled, summed
from ivbridge.method import Method, TwoStage
from ivbridge.records import FloatArray, Numbers, Seen, Test
from ivbridge.sandwich import covariance
from ivbridge.vcov import Classical, Inference, Vcov, Z

__all__ = ["allowed_gaps"]

#: Repetitions, half of each kind: the largest of four normal deviations is below 0.4 standard deviations with
#: probability 0.311⁴ < 10⁻².
REPETITIONS = 8
#: Multiple of the largest deviation: even in that unlucky case it allows 0.4 × 10 = 4 standard deviations.
SAFETY = 10.0
#: A last-bits allowance for every number: the handful of operations after the linear algebra, and library functions.
LAST_BITS = 16 * UNIT


@dataclass(frozen=True, slots=True)
class _Question:
    """How the coefficients are estimated and what is inferred from them."""

    method: Method
    vcov: Vcov
    inference: Inference


def allowed_gaps(
    seen: Seen,
    other: Seen,
    vcov: Vcov,
    inference: Inference,
    method: Method = TwoStage(),  # noqa: B008
) -> dict[Key, float]:
    """The largest absolute gap that rounding explains, for every compared number.

    Parameters
    ----------
    seen, other : Seen
        The matrices that the two engines built; what their last bits do to the answer is part of the bound.
    vcov, inference, method
        The question's.

    Returns
    -------
    dict
        Keys as in :func:`ivbridge.gaps.flatten`.
    """
    random = np.random.default_rng(20261121)  # any fixed seed: the verdict must not change from run to run
    question = _Question(method, vcov, inference)
    answer = _answer(seen, question)
    base = flatten(answer)
    widest = dict.fromkeys(base, 0.0)
    for i in range(REPETITIONS):
        repeated = _perturbed_answer(seen, question, random, i % 2)
        for key, size in spread(base, flatten(repeated)).items():
            widest[key] = max(widest[key], size)
    shared = _pooled(answer, widest, inference) | _cancelled(seen, answer, vcov)
    columns = {} if _same_bits(seen, other) else spread(base, flatten(_answer(other, question)))
    return {
        key: SAFETY * max(widest[key], shared.get(key, 0.0)) + columns.get(key, 0.0) + _floor(key, value)
        for key, value in base.items()
    }


def _same_bits(seen: Seen, other: Seen) -> bool:
    same_order = (seen.x_names, seen.z_names) == (other.x_names, other.z_names)
    return same_order and all(np.array_equal(getattr(seen, m), getattr(other, m)) for m in ("y", "x", "z"))


def _pooled(answer: Numbers, widest: Mapping[Key, float], inference: Inference) -> dict[Key, float]:
    """Spread of the coefficient tables from what their terms share.

    A model has thousands of numbers, and eight repetitions leave some of them nearly unmoved by luck. So each table
    takes its largest relative spread of a covariance and its largest spread of a coefficient in standard errors, and
    propagates these two to first order.
    """
    df = math.inf if isinstance(inference, Z) else inference.df
    tables = [("", "", answer.coefs, answer.df_resid)]
    tables += [("first stage ", f"{s.endog} ~ ", s.coefs, s.df_resid) for s in answer.first_stages]
    found: dict[Key, float] = {}
    sizes = scales(answer)
    for stage, prefix, coefs, df_resid in tables:
        entries = [key for key in sizes if key[0] == stage + "cov" and key[1].startswith(prefix)]
        cov = max((widest[key] / sizes[key] for key in entries if sizes[key] > 0), default=0.0)
        moved = np.array([widest[(f"{stage}estimate", prefix + term)] for term in coefs.terms])
        with np.errstate(divide="ignore", invalid="ignore"):
            eta = float(np.nanmax(np.where(coefs.std_error > 0, moved / coefs.std_error, 0.0), initial=0.0))
        se, t = np.nan_to_num(coefs.std_error), np.nan_to_num(np.abs(coefs.statistic), posinf=0.0)
        half, change = np.nan_to_num((coefs.conf_high - coefs.estimate) * cov / 2), eta + t * cov / 2
        columns = {
            "estimate": eta * se, "std.error": se * cov / 2, "statistic": change,
            "p.value": 2 * stats.t.pdf(t, df or df_resid) * change, "conf.low": eta * se + half,
            "conf.high": eta * se + half,
        }  # fmt: skip
        for quantity, values in columns.items():
            found |= {(stage + quantity, prefix + term): float(v) for term, v in zip(coefs.terms, values, strict=True)}
        found |= {key: cov * sizes[key] for key in entries}
    return found


def _cancelled(seen: Seen, answer: Numbers, vcov: Vcov) -> dict[Key, float]:
    """What AER loses by subtracting residual sums of squares, which our own formulas avoid.

    Residuals of a backward-stable fit are off by u‖y‖ in norm, so RSS by 2u‖y‖‖e‖, and a classical F, which is
    (RSS₀ − RSS₁)/df₁ over s², by 2u·(‖y‖/‖e‖)·df₂/df₁. Sargan is n·(1 − RSS/TSS) of residuals and is off by 2u·n.
    """
    n = len(seen.y)
    off = {"sargan": 2 * UNIT * n}
    if isinstance(vcov, Classical):
        w = np.ones(n) if seen.weights is None else seen.weights
        fits = {"wu_hausman": (seen.y, answer.sigma)}
        for stage in answer.first_stages:
            fits[f"weak_instruments:{stage.endog}"] = (seen.x[:, seen.x_names.index(stage.endog)], stage.sigma)
        for key, (y, sigma) in fits.items():
            test = answer.tests.get(key)
            if isinstance(test, Test) and sigma > 0:
                off[key] = 2 * UNIT * float(np.sqrt(w @ y**2 * test.df2)) / (sigma * test.df1)
    found: dict[Key, float] = {}
    for key, size in off.items():
        test = answer.tests.get(key)
        if isinstance(test, Test):
            law = stats.chi2(test.df1) if test.distribution == "chi2" else stats.f(test.df1, test.df2)
            found |= {("test statistic", key): size, ("test p.value", key): size * float(law.pdf(test.statistic))}
    return found


def _floor(key: Key, value: float | FloatArray) -> float:
    size = float(np.max(np.nan_to_num(np.abs(value)), initial=0.0))
    if key[0] in ("df.residual", "test df1", "test df2", "first stage df.residual"):
        return 0.0
    if key[0].endswith("p.value") and size == 0:
        return SMALLEST
    if key[0].endswith("p.value") and size < 1:
        # p = exp(log p): a last-bit error of log p is a relative error |log p| times as large
        return LAST_BITS * size * (1 - math.log(size)) + SMALLEST
    return LAST_BITS * size


def _noise(shape: tuple[int, ...], random: np.random.Generator, level: float) -> FloatArray:
    return np.asarray(1 + level * random.standard_normal(shape))


def _perturbed(seen: Seen, random: np.random.Generator) -> Seen:
    """Every entry of y, X and Z off by √n·u; a column that stands in X and in Z is changed once."""
    level = math.sqrt(len(seen.y)) * UNIT
    x = seen.x * _noise(seen.x.shape, random, level)
    z = seen.z * _noise(seen.z.shape, random, level)
    for j, name in enumerate(seen.z_names):
        if name in seen.x_names:
            z[:, j] = x[:, seen.x_names.index(name)]
    return dataclasses.replace(seen, y=seen.y * _noise(seen.y.shape, random, level), x=x, z=z)


def _perturbed_answer(seen: Seen, question: _Question, random: np.random.Generator, kind: int) -> Numbers:
    """Like R (kind 0): decompositions with sums in turn. Like linearmodels (kind 1): normal equations, blocked sums."""
    vcov = question.vcov
    with noisy_sums(random, blocked=bool(kind)):
        seen = _perturbed(seen, random)
        if not kind:
            return _answer(seen, question)
        model = _normal_equations(seen, question.method)
        cov = covariance(model, vcov, seen.groups)
        if isinstance(vcov, Classical):  # linearmodels builds this one as a sandwich, too
            meat = model.sigma**2 * summed(model.gram, model.x)
            cov = model.bread @ meat @ model.bread
        return numbers(seen, model, cov, vcov, question.inference)


def _answer(seen: Seen, question: _Question) -> Numbers:
    model = estimated(seen, question.method)
    cov = covariance(model, question.vcov, seen.groups)
    return numbers(seen, model, cov, question.vcov, question.inference)


@dataclass(frozen=True, eq=False)
class _NormalEquations(Linear):
    """The same regression with the bread that linearmodels uses: the inverse of a cross-product matrix."""

    gram: FloatArray = field(default_factory=lambda: np.empty((0, 0)))

    @cached_property
    def bread(self) -> FloatArray:
        """Inverse of the cross-product matrix, (k, k)."""
        return np.asarray(np.linalg.inv(self.gram))


def _normal_equations(seen: Seen, method: Method) -> _NormalEquations:
    """The estimator as linearmodels computes it: a pseudo-inverse of Z, then cross-products with rounding of their own.

    Both depend on how columns are scaled, which a decomposition by QR does not.
    """
    z = Basis.of(seen.z, seen.weights)
    x, y = scaled(seen.x, seen.weights), scaled(seen.y, seen.weights)
    first = np.linalg.pinv(z.r) @ (z.q.T @ x)
    cross = scaled(z.matrix, seen.weights).T
    gram = summed((cross @ x).T @ first, x)
    moments = summed(first.T @ (cross @ y), y)
    basis, k_class = Basis.of(seen.z @ first, seen.weights), None
    if not isinstance(method, TwoStage):
        liml = _kappa_of_products(seen, z, x, y)
        kappa = liml - correction(seen, method)
        gram = (1 - kappa) * summed(x.T @ x, x) + kappa * gram
        moments = (1 - kappa) * summed(x.T @ y, y) + kappa * moments
        k_class = KClass(kappa, liml, basis.r)
    coef = np.asarray(np.linalg.solve(gram, moments))
    return _NormalEquations(seen.x_names, seen.y, seen.x, coef, basis, z, k_class, gram)


def _kappa_of_products(seen: Seen, z: Basis, x: FloatArray, y: FloatArray) -> float:
    """LIML's κ from cross-products of residuals and an inverse square root of one of them."""
    outside = [name not in seen.z_names for name in seen.x_names]
    both = np.column_stack([y, x[:, outside]])
    exogenous = x[:, [not out for out in outside]]
    on_z = both - z.q @ (z.q.T @ both)
    on_x = both - exogenous @ (np.linalg.pinv(exogenous) @ both) if exogenous.shape[1] else both
    values, vectors = np.linalg.eigh(summed(on_z.T @ on_z, on_z))
    root = vectors / np.sqrt(np.maximum(values, np.finfo(float).tiny)) @ vectors.T
    return float(np.linalg.eigvalsh(root @ summed(on_x.T @ on_x, on_x) @ root)[0])
