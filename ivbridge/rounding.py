"""How large a gap can rounding explain? Answered by perturbation, not by a constant.

A backward-stable algorithm returns the exact answer for data whose columns are off by a small multiple of the machine
precision u = 2⁻⁵³ in norm; summing n products in floating point adds an error that grows like √n·u (Higham & Mary 2019,
SIAM J. Sci. Comput. 41(5)). What such an error does to a standard error, a p-value or a Wu–Hausman F depends on the
data: on collinearity, on the strength of the instruments, on cancellation between clusters. So the whole answer is
computed again from data, inner products and normal equations (linearmodels called by hand solves those) perturbed at
that level (Monte Carlo arithmetic: Parker 1997; Vignes 1993), and the spread of every number over the repetitions
measures how many of its digits the arithmetic leaves. Two correct programs differ by a modest multiple of that spread.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import stats

from ivbridge.diagnostics import numbers
from ivbridge.errors import DataError, DesignError
from ivbridge.gaps import Key, cov_keys, flatten, scales, spread
from ivbridge.kclass import correction, estimated
from ivbridge.linear import UNIT, Basis, KClass, Linear, noisy_sums, scaled, summed
from ivbridge.method import Method, TwoStage
from ivbridge.records import FloatArray, Numbers, Seen, Test
from ivbridge.sandwich import covariance
from ivbridge.vcov import Classical, Inference, Vcov, Z

__all__ = ["allowed_gaps", "same_bits"]

#: An answer as :func:`ivbridge.gaps.flatten` gives it.
_Flat = Mapping[Key, float | FloatArray]

#: Any fixed number.
SEED = 20261121

#: Repetitions, half of each kind: the largest of four normal deviations is below 0.4 standard deviations with
#: probability 0.311⁴ < 10⁻².
REPETITIONS = 8
#: Multiple of the largest deviation: even in that unlucky case it allows 0.4 × 10 = 4 standard deviations.
SAFETY = 10.0
#: A last-bits allowance for every number: the handful of operations after the linear algebra, and library functions.
LAST_BITS = 16 * UNIT
#: A two-sided p-value below this is zero in R, whose pnorm() has no tail beyond 37.5193 standard deviations.
LOST_TAIL = 4.47e-308
#: What a perturbed question may end in where the question itself does not.
UNDEFINED = (DataError, DesignError, np.linalg.LinAlgError)


@dataclass(frozen=True, slots=True)
class _Question:
    """How the coefficients are estimated and what is inferred from them."""

    method: Method
    vcov: Vcov
    inference: Inference


def allowed_gaps(
    seen: Seen,
    other: Seen,
    vcovs: Sequence[Vcov],
    inference: Inference,
    method: Method = TwoStage(),  # noqa: B008
) -> list[dict[Key, float]]:
    """The largest absolute gap that rounding explains, for every compared number, under each of several vcovs.

    Parameters
    ----------
    seen, other : Seen
        The matrices that the two engines built; what their last bits do to the answer is part of the bound. Their
        groups hold the columns of every vcov.
    vcovs : sequence of Vcov
        The bound of each does not depend on which other ones are asked.
    inference, method
        The question's.

    Returns
    -------
    list of dict
        One for each vcov; keys as in :func:`ivbridge.gaps.flatten`.
    """
    questions = [_Question(method, vcov, inference) for vcov in vcovs]
    model = estimated(seen, method)
    answers = [_answer(seen, model, question) for question in questions]
    del model
    bases = [flatten(answer) for answer in answers]
    widest = [dict.fromkeys(base, 0.0) for base in bases]
    for i in range(REPETITIONS):
        for base, wide, repeated in zip(bases, widest, _perturbed_answers(seen, questions, i), strict=True):
            for key, size in spread(base, repeated).items():
                wide[key] = max(wide[key], size)
    moved = _spread_of_columns(bases, questions, seen, other)
    return [
        _bound(seen, question, answer, base, wide, columns)
        for question, answer, base, wide, columns in zip(questions, answers, bases, widest, moved, strict=True)
    ]


def _bound(
    seen: Seen, question: _Question, answer: Numbers, base: _Flat, widest: dict[Key, float], columns: dict[Key, float]
) -> dict[Key, float]:
    shared = _pooled(answer, widest, question.inference) | _cancelled(seen, answer, question.vcov)
    return {
        key: SAFETY * max(widest[key], shared.get(key, 0.0)) + columns.get(key, 0.0) + _floor(key, value)
        for key, value in base.items()
    }


def _spread_of_columns(
    bases: Sequence[_Flat], questions: Sequence[_Question], seen: Seen, other: Seen
) -> list[dict[Key, float]]:
    """What the last bits of the other engine's columns do to the answers."""
    if same_bits(seen, other):
        return [{} for _ in bases]
    model = estimated(other, questions[0].method)
    answers = [flatten(_answer(other, model, question)) for question in questions]
    return [spread(base, answer) for base, answer in zip(bases, answers, strict=True)]


def same_bits(seen: Seen, other: Seen) -> bool:
    """Whether two engines built the same matrices, bit by bit."""
    same_order = (seen.x_names, seen.z_names) == (other.x_names, other.z_names)
    pairs = [(getattr(seen, name), getattr(other, name)) for name in ("y", "x", "z")]
    return same_order and all(a is b or np.array_equal(a, b) for a, b in pairs)


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
        entries = cov_keys(prefix, coefs.terms)
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
            pairs = zip(coefs.terms, values.tolist(), strict=True)
            found |= {(stage + quantity, prefix + term): value for term, value in pairs}
        found |= {key: cov * sizes[key] for key in entries}
    return found


def _cancelled(seen: Seen, answer: Numbers, vcov: Vcov) -> dict[Key, float]:
    """What R loses by subtracting sums of squares and by residuals of unequal weights, which our formulas avoid.

    Residuals of a backward-stable fit are off by u‖y‖ in norm, however their rows are weighted, so RSS by 2u‖y‖‖e‖, and
    a classical F, which is (RSS₀ − RSS₁)/df₁ over s², by 2u·(‖y‖/‖e‖)·df₂/df₁. Sargan is n·(1 − RSS/TSS) of residuals
    and is off by 2u·n.
    """
    n, found = len(seen.y), dict[Key, float]()
    off = {"sargan": 2 * UNIT * n}
    w = np.ones(n) if seen.weights is None else seen.weights
    fits = [("wu_hausman", "", "", seen.y, answer.sigma, answer.df_resid, (answer.r2, answer.r2_adj))]
    for s in answer.first_stages:
        x = seen.x[:, seen.x_names.index(s.endog)]
        fits.append((f"weak_instruments:{s.endog}", "first stage ", s.endog, x, s.sigma, s.df_resid, (s.r2, s.r2_adj)))
    for key, stage, term, y, sigma, df, (r2, r2_adj) in fits:
        if not sigma > 0:
            continue
        lost = UNIT * float(np.sqrt(w @ y**2 / df)) / sigma
        parts = {"sigma": sigma * lost, "r.squared": 2 * lost * (1 - r2), "adj.r.squared": 2 * lost * (1 - r2_adj)}
        found |= {(stage + name, term): size for name, size in parts.items()}
        test = answer.tests.get(key)
        if isinstance(test, Test) and isinstance(vcov, Classical):
            off[key] = 2 * UNIT * float(np.sqrt(w @ y**2 * test.df2)) / (sigma * test.df1)
    for key, size in off.items():
        test = answer.tests.get(key)
        if isinstance(test, Test):
            law = stats.chi2(test.df1) if test.distribution == "chi2" else stats.f(test.df1, test.df2)
            found |= {("test statistic", key): size, ("test p.value", key): size * float(law.pdf(test.statistic))}
    return found


def _floor(key: Key, value: float | FloatArray) -> float:
    size = _size(value)
    if key[0] in ("df.residual", "test df1", "test df2", "first stage df.residual"):
        return 0.0
    if key[0].endswith("p.value") and size == 0:
        return LOST_TAIL
    if key[0].endswith("p.value") and size < 1:
        # p = exp(log p): a last-bit error of log p is a relative error |log p| times as large
        return LAST_BITS * size * (1 - math.log(size)) + LOST_TAIL
    return LAST_BITS * size


def _size(value: float | FloatArray) -> float:
    if isinstance(value, np.ndarray):
        return float(np.max(np.nan_to_num(np.abs(value)), initial=0.0))
    return 0.0 if math.isnan(value) else min(abs(value), np.finfo(float).max)


def _perturbed_column(column: FloatArray, random: np.random.Generator) -> FloatArray:
    noise = random.standard_normal(len(column))
    noise *= math.sqrt(len(column)) * UNIT
    noise += 1
    noise *= column
    return noise


def _perturbed(seen: Seen, random: np.random.Generator) -> Seen:
    """Every entry of y, X and Z off by √n·u; a column that stands in X and in Z is changed once."""
    x, z = np.empty_like(seen.x, order="F"), np.empty_like(seen.z, order="F")
    for j in range(x.shape[1]):
        x[:, j] = _perturbed_column(seen.x[:, j], random)
    for j, name in enumerate(seen.z_names):
        in_x = name in seen.x_names
        z[:, j] = x[:, seen.x_names.index(name)] if in_x else _perturbed_column(seen.z[:, j], random)
    return dataclasses.replace(seen, y=_perturbed_column(seen.y, random), x=x, z=z)


def _perturbed_answers(seen: Seen, questions: Sequence[_Question], repetition: int) -> Iterator[_Flat]:
    """Like R (even repetitions): decompositions with sums in turn. Like linearmodels (odd ones): normal equations,
    blocked sums. The seeds are fixed, so that the verdict is the same in every run. At the edge of what an estimator is
    defined for, a repetition may fall beyond it; it then says nothing and its answer is empty.
    """
    blocked = bool(repetition % 2)
    random = np.random.default_rng([SEED, repetition])
    method, model = questions[0].method, None
    with noisy_sums(random, blocked=blocked), np.errstate(all="ignore"), suppress(*UNDEFINED):
        seen = _perturbed(seen, random)
        model = _normal_equations(seen, method) if blocked else estimated(seen, method)
    for question in questions:
        answer: _Flat = {}
        if model is not None:
            random = np.random.default_rng([SEED, repetition, 1])
            with noisy_sums(random, blocked=blocked), np.errstate(all="ignore"), suppress(*UNDEFINED):
                answer = flatten(_answer(seen, model, question))
        yield answer


def _answer(seen: Seen, model: Linear, question: _Question) -> Numbers:
    vcov = question.vcov
    if isinstance(model, _NormalEquations) and isinstance(vcov, Classical):
        # linearmodels builds this one as a sandwich, too
        cov = model.bread @ (model.sigma**2 * summed(model.gram, model.x)) @ model.bread
    else:
        cov = covariance(model, vcov, seen.groups)
    return numbers(seen, model, cov, vcov, question.inference)


@dataclass(frozen=True, eq=False)
class _NormalEquations(Linear):
    """The same regression with the bread that linearmodels uses: the inverse of a cross-product matrix."""

    gram: FloatArray = field(default_factory=lambda: np.empty((0, 0)))

    @cached_property
    def bread(self) -> FloatArray:
        """Inverse of the cross-product matrix, (k, k)."""
        return np.asarray(np.linalg.inv(self.gram))

    def on_instruments(self, y: FloatArray, names: tuple[str, ...]) -> Linear:
        """A first stage by normal equations, too."""
        assert self.instruments is not None
        z, weights = self.instruments.matrix, self.weights
        cross = scaled(z, weights).T
        gram = summed(cross @ scaled(z, weights), z)
        coef = np.linalg.solve(gram, summed(cross @ scaled(y, weights), y))
        return _NormalEquations(names, y, z, np.asarray(coef), self.instruments, gram=gram)


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
