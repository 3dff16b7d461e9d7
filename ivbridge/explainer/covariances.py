"""Which covariance matrix does a program report? The fit it starts from, the estimator, the small-sample factors.

An option is a fit (perhaps with other residuals or leverages than AER's), a covariance estimator applied to it, and a
product of at most two small-sample factors. Options that differ from the question in fewer respects come first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ivbridge.errors import IvbridgeError
from ivbridge.explainer.altered import ALTERED, PLAIN, Altered
from ivbridge.explainer.records import Step
from ivbridge.explainer.vcovs import ASKED, FAR, Estimator, Groups, estimators
from ivbridge.linear import Linear
from ivbridge.records import FloatArray
from ivbridge.vcov import Clustered, DriscollKraay, Vcov

__all__ = ["Factor", "Option", "Wanted", "matching"]


@dataclass(frozen=True, slots=True)
class Factor:
    """A product of small-sample factors of the covariance matrix; a name that begins with ``1/`` is an inverse."""

    value: float
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    """One way to a covariance matrix.

    Attributes
    ----------
    altered : Altered
        What was done to the fit first.
    estimator : Estimator
    factor : Factor
    matrix : (k, k) array
    """

    altered: Altered
    estimator: Estimator
    factor: Factor
    matrix: FloatArray

    @property
    def cost(self) -> int:
        """In how many respects it differs from the question."""
        return bool(self.altered.key) + self.estimator.cost + len(self.factor.names)

    def applied(self, model: Linear, groups: Groups) -> FloatArray:
        """The covariance matrix of another fit, such as an auxiliary regression, under this option."""
        changed = self.altered.change(model) if self.altered.matters(model, self.estimator.like) else model
        value = np.prod([_value(name, model, groups, self.estimator.like) for name in self.factor.names])
        return np.asarray(value * self.estimator.covariance(changed, groups))

    def steps(self) -> tuple[Step, ...]:
        """The respects in which it differs, in words."""
        altered = (Step(self.altered.key, self.altered.text),) if self.altered.key else ()
        return (*self.estimator.steps, *altered, *(Step(_key(name), _text(name)) for name in self.factor.names))


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """What a covariance matrix has to reproduce; arrays of one world's k terms.

    Attributes
    ----------
    error, error_within : (k,) arrays
        Standard errors and how far the true ones may be from them; NaN where none was observed.
    matrix, matrix_within : (k, k) arrays
        The same of covariances.
    """

    error: FloatArray
    error_within: FloatArray
    matrix: FloatArray
    matrix_within: FloatArray

    @property
    def empty(self) -> bool:
        """Whether nothing was observed."""
        return bool(np.isnan(self.error).all() and np.isnan(self.matrix).all())

    def meets(self, cov: FloatArray, factors: FloatArray) -> FloatArray:
        """Which multiples of a covariance matrix reproduce everything, (f,) booleans."""
        with np.errstate(invalid="ignore"):
            errors = np.sqrt(factors[:, None] * np.diag(cov))
            off = ~(np.abs(errors - self.error) <= self.error_within) & ~np.isnan(self.error)
            good = ~off.any(axis=1)
            if good.any() and not np.isnan(self.matrix).all():
                gap = np.abs(factors[:, None, None] * cov - self.matrix)
                wrong = ~(gap <= self.matrix_within) & ~np.isnan(self.matrix)
                good &= ~wrong.any(axis=(1, 2))
        return np.asarray(good)


def matching(model: Linear, asked: Vcov, groups: Groups, wanted: Wanted, most: int, kinds: int) -> Iterator[Option]:
    """Every option that reproduces what is wanted; where nothing is, every option without a factor.

    Parameters
    ----------
    model : Linear
        The fit of one world.
    asked : Vcov
        The question's.
    groups : mapping of column name to (n,) codes
    wanted : Wanted
    most : int
        Options that differ in more respects are left out.
    kinds : {ASKED, NEAR, FAR}
        Of estimators, as for :func:`ivbridge.explainer.vcovs.estimators`.
    """
    changed: dict[str, Linear] = {}
    for estimator in estimators(asked, model.k_class is not None, groups, kinds):
        if estimator.cost > most:
            continue
        bare = wanted.empty or kinds == ASKED
        factors = [Factor(1.0)] if bare else _factors(model, estimator.like, groups)
        for altered in ALTERED:
            if altered is not PLAIN and not _combines(estimator, altered, model, kinds):
                continue
            left = most - estimator.cost - bool(altered.key)
            if left < 0:
                continue
            least = estimator.cost == 0 and kinds != ASKED  # without a factor it has been tried
            usable = [factor for factor in factors if least <= len(factor.names) <= left]
            values = np.array([factor.value for factor in usable])
            with suppress(IvbridgeError, np.linalg.LinAlgError, ZeroDivisionError):
                if altered.key not in changed:
                    changed[altered.key] = altered.change(model)
                cov = estimator.covariance(changed[altered.key], groups)
                for i in np.flatnonzero(wanted.meets(cov, values)):
                    yield Option(altered, estimator, usable[i], values[i] * cov)


def _combines(estimator: Estimator, altered: Altered, model: Linear, kinds: int) -> bool:
    """Whether a changed fit is tried with an estimator; with far ones only where clusters are simple."""
    like = estimator.like
    simple = isinstance(like, Clustered) and len(like.by) == 1
    return estimator.formula is None and (kinds < FAR or simple) and altered.matters(model, like)


_KEYS = {"n/(n−k)": "factor.n_nk", "(n−1)/(n−k)": "factor.n1_nk", "n/(n−1)": "factor.n_n1"}


def _key(name: str) -> str:
    plain = name[3:-1] if name.startswith("1/(") else name
    return _KEYS.get(plain, "factor.groups")


def _text(name: str) -> str:
    if name.startswith("1/"):
        return f"standard errors are multiplied by 1/√{name[2:]}"
    return f"standard errors are multiplied by √({name})"


def _value(name: str, model: Linear, groups: Groups, vcov: Vcov) -> float:
    return next(one.value for one in _singles(model, vcov, groups) if one.names == (name,))


def _singles(model: Linear, vcov: Vcov, groups: Groups) -> list[Factor]:
    n, k = model.n, model.k
    plain = {"n/(n−k)": n / (n - k), "(n−1)/(n−k)": (n - 1) / (n - k), "n/(n−1)": n / (n - 1)}
    by = vcov.by if isinstance(vcov, Clustered) else ()
    if isinstance(vcov, DriscollKraay):
        by = (vcov.cluster, vcov.order_by)
    for name in by:
        count = int(groups[name].max()) + 1
        if count > 1:
            plain[f"G/(G−1) of {name}"] = count / (count - 1)
    both = [*plain.items()] + [(f"1/({name})", 1 / v) for name, v in plain.items()]
    return [Factor(value, (name,)) for name, value in both]


def _factors(model: Linear, vcov: Vcov, groups: Groups) -> list[Factor]:
    """Products of at most two factors; of those with one value only the shortest."""
    singles = _singles(model, vcov, groups)
    pairs = [Factor(a.value * b.value, a.names + b.names) for a, b in combinations(singles, 2)]
    found: dict[float, Factor] = {}
    for factor in (Factor(1.0), *singles, *pairs):
        found.setdefault(round(factor.value, 13), factor)
    return list(found.values())
