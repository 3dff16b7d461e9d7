"""Which convention does a test statistic follow? Each test has its own list, AER's definition first.

Sources are in catalogue.toml. A version that a program computes as a difference of sums of squares also says how much
of it cancels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from scipy import special

from ivbridge.errors import IvbridgeError
from ivbridge.explainer.covariances import Option
from ivbridge.explainer.inference import Distribution
from ivbridge.explainer.records import Step, World
from ivbridge.explainer.vcovs import label_of
from ivbridge.gaps import SMALLEST
from ivbridge.linear import UNIT, Basis, Linear, least_squares, scaled
from ivbridge.records import FloatArray, IntArray
from ivbridge.sandwich import covariance
from ivbridge.vcov import HC0, HC1, Bekker, Bootstrap, Classical, Vcov

__all__ = ["Case", "Version", "versions"]


@dataclass(frozen=True, eq=False)
class Case:
    """What the tests of one combination are computed from.

    Attributes
    ----------
    world : World
    model : Linear
    option : Option
        The covariance matrix of the coefficients.
    distribution : Distribution
        That of the coefficients.
    asked : Vcov
        The question's.
    groups : mapping of column name to (n,) codes
    """

    world: World
    model: Linear
    option: Option
    distribution: Distribution
    asked: Vcov
    groups: Mapping[str, IntArray]

    @cached_property
    def instruments(self) -> Basis:
        """All instruments, decomposed."""
        return self.model.instruments or self.model.basis

    @cached_property
    def overidentified(self) -> int:
        """Excluded instruments less endogenous regressors."""
        return len(self.world.seen.instrument_names) - len(self.world.seen.endog_names)

    @cached_property
    def endog(self) -> list[int]:
        """Places of the endogenous regressors in X."""
        return [self.world.seen.x_names.index(name) for name in self.world.seen.endog_names]


@dataclass(frozen=True, slots=True)
class Version:
    """One definition of a test.

    Attributes
    ----------
    steps : tuple of Step
    values : mapping of str to float
        ``statistic``, ``p.value``, ``df1`` and, for an F test, ``df2``.
    lost : float
        Relative error that cancellation leaves where the definition subtracts sums of squares.
    """

    steps: tuple[Step, ...]
    values: Mapping[str, float]
    lost: float = 0.0


def versions(key: str, case: Case) -> Iterator[Version]:
    """Every version of a test, AER's first; none for a test that the world cannot have.

    Parameters
    ----------
    key : str
        As in :attr:`ivbridge.results.Estimate.tests`.
    case : Case
    """
    kind, _, endog = key.partition(":")
    makers: Mapping[str, Callable[[], Iterator[Version]]] = {
        "weak_instruments": lambda: _weak(case, endog),
        "wu_hausman": lambda: _wu_hausman(case),
        "sargan": lambda: _sargan(case),
        "wald": lambda: _wald(case),
        "anderson_rubin": lambda: _anderson_rubin(case),
    }
    if kind in makers and (kind == "wald" or case.endog):
        with suppress(IvbridgeError, np.linalg.LinAlgError, ZeroDivisionError), np.errstate(all="ignore"):
            yield from makers[kind]()


def _f(statistic: float, df1: float, df2: float) -> dict[str, float]:
    p_value = float(special.fdtrc(df1, df2, max(statistic, 0.0)))
    return {"statistic": statistic, "p.value": p_value, "df1": float(df1), "df2": float(df2)}


def _chi2(statistic: float, df: float) -> dict[str, float]:
    return {"statistic": statistic, "p.value": float(special.chdtrc(df, max(statistic, 0.0))), "df1": float(df)}


def _forms(name: str, f: float, df1: int, df2: int, case: Case) -> Iterator[tuple[tuple[Step, ...], dict[str, float]]]:
    """An F statistic as it is, as χ², with divisor n, and with other denominators."""
    n = case.model.n
    yield (), _f(f, df1, df2)
    yield (
        (Step("test.chi2", f"the {name} is given as χ² with {df1} degrees of freedom instead of F"),),
        _chi2(f * df1, df1),
    )
    inflated = Step("test.divisor_n", f"the residual variance in the {name} divides by n instead of n − {n - df2}")
    yield (inflated,), _f(f * n / df2, df1, df2)
    as_chi2 = Step("test.chi2", f"the {name} is given as χ² with {df1} degrees of freedom instead of F")
    yield (inflated, as_chi2), _chi2(f * df1 * n / df2, df1)
    for label, codes in case.groups.items():
        step = Step(
            "test.df_groups", f"the {name} has G − 1 = {codes.max()} denominator degrees of freedom (by {label})"
        )
        yield (step,), _f(f, df1, int(codes.max()))
    own, p_value = _f(f, df1, df2), float(special.chdtrc(df1, max(f * df1, 0.0)))
    text = f"the p-value of the {name} is that of χ²"
    if p_value < SMALLEST and own["p.value"] < UNIT / 2:
        text += ", or 1 less the distribution function of F: here both are 0 to the last bit"
    yield (Step("test.p_chi2", text),), {**own, "p.value": p_value}


def _quadratic(value: FloatArray, cov: FloatArray) -> float:
    return float(value @ np.linalg.solve(cov, value))


def _added(name: str, full: Linear, tested: list[int], case: Case) -> Iterator[Version]:
    """F tests of some of the regressors of a least-squares fit, under every covariance that may have been used."""
    if not tested or full.rss <= 0:
        return
    plain: dict[Vcov, tuple[Step, ...]] = {}
    for vcov in (case.asked, Classical(), HC0(), HC1(), case.option.estimator.like):
        text = f"the {name} uses the {label_of(vcov)} covariance"
        # a test may follow the coefficients, or stay as the question has it
        plain.setdefault(vcov, () if vcov == case.asked else (Step("test.vcov", text),))
    choices: list[tuple[tuple[Step, ...], Callable[[], FloatArray]]] = []
    if not isinstance(case.option.estimator.like, Bekker | Bootstrap):
        choices.append(((), lambda: case.option.applied(full, case.groups)))
        if case.option.factor.names:  # the factor may belong to the standard errors alone
            choices.append(((), lambda: case.option.estimator.covariance(full, case.groups)))
    else:
        choices.append(((), lambda: covariance(full, Classical(), case.groups)))
    for vcov, steps in plain.items():
        if not isinstance(vcov, Bekker | Bootstrap):
            choices.append((steps, lambda vcov=vcov: covariance(full, vcov, case.groups)))  # type: ignore[misc]
    for steps, matrix in choices:
        with suppress(IvbridgeError, np.linalg.LinAlgError):
            cov = matrix()[np.ix_(tested, tested)]
            f = _quadratic(full.coef[tested], cov) / len(tested)
            for form, values in _forms(name, f, len(tested), full.df_resid, case):
                yield Version((*steps, *form), values)


def _weak(case: Case, endog: str) -> Iterator[Version]:
    seen = case.world.seen
    if endog not in seen.endog_names:
        return
    x = seen.x[:, seen.x_names.index(endog)]
    full = least_squares(x, case.instruments, tuple(f"x{j}" for j in range(len(seen.z_names))))
    excluded = [j for j, name in enumerate(seen.z_names) if name not in seen.x_names]
    yield from _added(f"first-stage F of {endog}", full, excluded, case)


def _wu_hausman(case: Case) -> Iterator[Version]:
    seen, model = case.world.seen, case.model
    columns = np.hstack([seen.x, model.projected[:, case.endog]])
    if columns.shape[1] < columns.shape[0]:
        basis = Basis.of(columns, seen.weights).independent()
        full = least_squares(seen.y, basis, tuple(f"x{j}" for j in range(basis.matrix.shape[1])))
        yield from _added("Wu–Hausman test", full, list(range(model.k, full.k)), case)
    yield from _projected_residuals(case)


def _projected_residuals(case: Case) -> Iterator[Version]:
    """The test from projections of residuals (Baum, Schaffer & Stillman 2003), and linearmodels 7.0's version of it."""
    seen, n = case.world.seen, case.model.n
    m = len(case.endog)
    only = [j for j, name in enumerate(seen.z_names) if name not in seen.x_names]
    weighted = seen.weights is not None
    df2 = n - seen.x.shape[1] - m
    for weights, excluded in product((seen.weights, None) if weighted else (None,), (False, True)):
        x, z, y = scaled(seen.x, weights), scaled(seen.z, weights), scaled(seen.y, weights)
        e0 = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
        e2 = scaled(case.model.residuals, weights)
        both = np.linalg.qr(np.column_stack([z, x[:, case.endog]])).Q
        second = np.linalg.qr(z[:, only] if excluded else z).Q
        explained, other, total = float(np.sum((both.T @ e0) ** 2)), float(np.sum((second.T @ e2) ** 2)), float(e0 @ e0)
        delta = explained - other
        lost = 16 * UNIT * math.sqrt(n) * (total + float(e2 @ e2)) / max(abs(delta), np.finfo(float).tiny)
        steps: tuple[Step, ...] = ()
        if excluded:
            steps += (
                Step(
                    "wu_hausman.excluded_only",
                    "the Wu–Hausman test projects the residuals on the excluded instruments only",
                ),
            )
        if weighted and weights is None:
            steps += (Step("test.unweighted", "the Wu–Hausman test ignores the weights"),)
        durbin = Step("wu_hausman.durbin", f"Durbin's χ² with {m} degrees of freedom stands for the Wu–Hausman F")
        yield Version(steps or _CLASSICAL, _f(delta / m / ((total - delta) / df2), m, df2), lost)
        yield Version((*steps, durbin), _chi2(n * delta / total, m), lost)


_CLASSICAL = (Step("test.vcov", "the Wu–Hausman test uses the classical covariance"),)


def _sargan(case: Case) -> Iterator[Version]:
    df, seen, n = case.overidentified, case.world.seen, case.model.n
    if df <= 0:
        return
    z_count, k, e = len(seen.z_names), case.model.k, case.model.residuals
    for weights in (seen.weights, None) if seen.weights is not None else (None,):
        basis = case.instruments if weights is seen.weights else Basis.of(seen.z, None)
        unweighted: tuple[Step, ...] = ()
        if weights is not seen.weights:
            unweighted = (Step("test.unweighted", "Sargan's test ignores the weights"),)
        w = np.ones(n) if weights is None else weights
        mean = float(w @ e) ** 2 / float(w.sum())
        explained, total = float(np.sum((basis.q.T @ scaled(e, weights)) ** 2)), float(w @ e**2)
        for centre, steps in ((mean, unweighted), (0.0, (*unweighted, _UNCENTRED))):
            s = n * (explained - centre) / (total - centre)
            lost = 16 * UNIT * n / abs(s) if s else 0.0
            yield Version(steps, _chi2(s, df), lost)
            basmann = s * (n - z_count) / (n - s)
            yield Version(
                (*steps, Step("sargan.basmann", "Basmann's statistic stands for Sargan's")), _chi2(basmann, df), lost
            )
            yield Version(
                (*steps, Step("sargan.basmann_f", "Basmann's F stands for Sargan's χ²")),
                _f(basmann / df, df, n - z_count),
                lost,
            )
            for name, size in (("n − k", n - k), ("n − l", n - z_count), ("n − 1", n - 1)):
                yield Version(
                    (*steps, Step("sargan.divisor", f"Sargan's R² is multiplied by {name} instead of n")),
                    _chi2(s * size / n, df),
                    lost,
                )
            yield Version(
                (*steps, Step("sargan.f", "Sargan's pseudo-F, with n − k in place of n, stands for Sargan's χ²")),
                _f(s * (n - k) / n / df, df, n - k),
                lost,
            )
    yield from _robust_j(case, df)


_UNCENTRED = Step("sargan.uncentred", "R² in Sargan's test is not centred")


def _robust_j(case: Case, df: int) -> Iterator[Version]:
    """Wooldridge's score test, which is Hansen's J of two-step GMM, and J with centred moments."""
    seen, model = case.world.seen, case.model
    z, u = scaled(seen.z, seen.weights), scaled(model.residuals, seen.weights)
    x, y = scaled(seen.x, seen.weights), scaled(seen.y, seen.weights)
    projected = scaled(model.projected, seen.weights)
    only = [j for j, name in enumerate(seen.z_names) if name not in seen.x_names][:df]
    q = z[:, only] - projected @ np.linalg.lstsq(projected, z[:, only], rcond=None)[0]
    explained = np.linalg.qr(q * u[:, None]).Q.sum(axis=0)
    text = "Wooldridge's robust score test, which is Hansen's J of two-step GMM, stands for Sargan's"
    yield Version((Step("sargan.wooldridge", text),), _chi2(float(explained @ explained), df))
    moments = z * u[:, None]
    moments -= moments.mean(axis=0)
    weight, cross = np.linalg.inv(moments.T @ moments), z.T @ x
    g = z.T @ (y - x @ np.linalg.solve(cross.T @ weight @ cross, cross.T @ weight @ (z.T @ y)))
    step = Step("sargan.j", "Hansen's J of two-step GMM with centred moments stands for Sargan's statistic")
    yield Version((step,), _chi2(float(g @ weight @ g), df))


def _wald(case: Case) -> Iterator[Version]:
    names, model = case.model.names, case.model
    slopes = [j for j, name in enumerate(names) if name != "(Intercept)"]
    every = list(range(model.k))
    with_intercept = (Step("wald.intercept", "the Wald test includes the intercept"),)
    for places, steps in ((slopes, ()), (every, with_intercept)) if slopes != every else ((slopes, ()),):
        if not places:
            continue
        chi2 = _quadratic(model.coef[places], case.option.matrix[np.ix_(places, places)])
        q = len(places)
        as_f, as_chi2 = _f(chi2 / q, q, model.df_resid), _chi2(chi2, q)
        normal = math.isinf(case.distribution.df)
        yield Version(steps, as_chi2 if normal else as_f)
        if normal:
            yield Version((*steps, Step("wald.f", "the Wald test is an F test")), as_f)
        else:
            yield Version(
                (*steps, Step("wald.chi2", f"the Wald test is χ² with {q} degrees of freedom instead of F")), as_chi2
            )
        yield Version(
            (*steps, Step("wald.df", "the Wald test has the degrees of freedom of the coefficients' t")),
            _f(chi2 / q, q, case.distribution.df) if not normal else as_chi2,
        )


def _anderson_rubin(case: Case) -> Iterator[Version]:
    df, n, model = case.overidentified, case.model.n, case.model
    if df <= 0 or model.k_class is None:
        return
    z_count, liml = len(case.world.seen.z_names), model.k_class.liml
    yield Version((), _chi2(n * math.log(liml), df))
    yield Version(
        (Step("anderson_rubin.basmann", "Basmann's F of LIML stands for n·ln κ"),),
        _f((liml - 1) * (n - z_count) / df, df, n - z_count),
    )
    yield Version((Step("anderson_rubin.linear", "n·(κ − 1) stands for n·ln κ"),), _chi2(n * (liml - 1), df))
