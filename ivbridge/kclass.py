"""The one place where an estimator is chosen, and the k-class: κ, coefficients, Bekker's standard errors.

With P the projection on all instruments and M = I − P, the bread of a k-class estimator is the inverse of
X'(I − κM)X = (PX)'PX − (κ − 1)(MX)'MX, which is positive definite at LIML's κ; the scores are those of two-stage least
squares, eᵢ(PX)ᵢ, as Stata and linearmodels have them (Theil 1958; Anderson & Rubin 1949; Fuller 1977). Everything is
computed from QR decompositions: κ − 1 is the square of a singular value, so that no digit of it cancels.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import linalg

from ivbridge.errors import DesignError
from ivbridge.linear import Basis, KClass, Linear, refined, scaled, summed, two_stage
from ivbridge.method import Fuller, Method, TwoStage
from ivbridge.rank import independent_columns
from ivbridge.records import FloatArray, Seen
from ivbridge.vcov import Bekker

__all__ = [
    "check_defined",
    "check_enough_rows",
    "correction",
    "decomposed",
    "estimated",
    "exogenous_first",
    "many_instruments",
    "undetermined",
]


def estimated(seen: Seen, method: Method) -> Linear:
    """The model that a method fits to the matrices of a question, refined (:mod:`ivbridge.refine`).

    Parameters
    ----------
    seen : Seen
        With its matrices.
    method : Method

    Raises
    ------
    DesignError
        If κ is not defined: too few rows for the instruments, or a variable that they reproduce exactly.
    """
    return refined(decomposed(seen, method))


def decomposed(seen: Seen, method: Method) -> Linear:
    """The same from QR decompositions alone; parameters and errors as for :func:`estimated`."""
    model = two_stage(seen.y, seen.x, Basis.of(seen.z, seen.weights), seen.x_names, seen.z_names)
    return model if isinstance(method, TwoStage) else _k_class(seen, model, method)


def correction(seen: Seen, method: Method) -> float:
    """What a method takes off LIML's κ: a/(n − l) for Fuller, else 0."""
    return method.a / (len(seen.y) - len(seen.z_names)) if isinstance(method, Fuller) else 0.0


def exogenous_first(seen: Seen, instruments: Basis) -> tuple[Basis, int]:
    """The instruments with the exogenous regressors in front, and how many these are."""
    inside = [name in seen.x_names for name in seen.z_names]
    order = sorted(range(len(inside)), key=lambda j: not inside[j])
    in_order = order == list(range(len(order)))
    return instruments if in_order else Basis.of(seen.z[:, order], seen.weights), sum(inside)


def _k_class(seen: Seen, model: Linear, method: Method) -> Linear:
    assert model.instruments is not None
    z, base = exogenous_first(seen, model.instruments)
    endog = [seen.x_names.index(name) for name in seen.endog_names]
    both = np.column_stack([seen.y, seen.x[:, endog]])
    check_enough_rows(len(seen.y), z.matrix.shape[1], len(endog), method)
    left = scaled(z.fit(both)[1], z.weights)
    triangle = summed(np.asarray(np.linalg.qr(left, mode="r")), left)
    lengths = np.linalg.norm(scaled(both, z.weights), axis=0)
    check_defined(triangle, lengths, ("the dependent variable", *seen.endog_names), method)
    excess = 0.0
    if z.matrix.shape[1] - base > len(endog):  # otherwise exactly identified: LIML is two-stage least squares
        explained = summed(z.q[:, base:].T @ scaled(both, z.weights), both)
        excess = float(linalg.svdvals(linalg.solve_triangular(triangle, explained.T, trans="T"))[-1] ** 2)
    kappa = 1 + excess - correction(seen, method)
    unexplained = np.zeros((len(endog) + 1, model.k))
    unexplained[:, endog] = triangle[:, 1:]
    lower = _factor(model.basis.r, unexplained, kappa, method)
    root = np.asarray(lower.T @ model.basis.r)
    cross = linalg.solve_triangular(model.basis.r, unexplained.T @ triangle[:, 0], trans="T")
    inner = summed(model.basis.q.T @ scaled(seen.y, z.weights), seen.y) - (kappa - 1) * cross
    coef = linalg.solve_triangular(root, linalg.solve_triangular(lower, inner, lower=True))
    return dataclasses.replace(model, coef=np.asarray(coef), k_class=KClass(kappa, 1 + excess, root))


def _factor(triangle: FloatArray, unexplained: FloatArray, kappa: float, method: object) -> FloatArray:
    """Lower L, (k, k), such that L'·(factor of PX) is a factor of X'(I − κM)X; `unexplained` is one of MX.

    Raises
    ------
    DesignError
        If that matrix is not positive definite.
    """
    relative = linalg.solve_triangular(triangle, unexplained.T, trans="T").T
    try:
        return np.asarray(linalg.cholesky(np.eye(len(triangle)) - (kappa - 1) * relative.T @ relative, lower=True))
    except linalg.LinAlgError as error:
        raise undetermined(kappa, method) from error


def undetermined(kappa: float, method: object) -> DesignError:
    """What to raise where X'(I − κM)X is not positive definite."""
    return DesignError(
        f"{method}: the instruments are so weak that the coefficients are not determined (kappa = {kappa:g}).",
        do="use stronger instruments, or weakiv.confidence_set, which needs none.",
    )


def check_enough_rows(n: int, instruments: int, endog: int, method: Method) -> None:
    """Refuse fewer rows than instruments (all of them), endogenous regressors and the dependent variable together.

    Raises
    ------
    DesignError
    """
    if n < instruments + endog + 1:
        raise DesignError(
            f"{method} needs more rows than instruments and endogenous regressors together: {n} rows, {instruments} "
            f"instruments (the exogenous regressors among them), {endog} endogenous regressors.",
            do="use fewer instruments, for example selected ones.",
        )


def check_defined(triangle: FloatArray, lengths: FloatArray, names: tuple[str, ...], method: Method) -> None:
    """Refuse variables that the instruments reproduce.

    Parameters
    ----------
    triangle : (m + 1, m + 1) array
        Factor of their residuals on the instruments, the dependent variable first.
    lengths : (m + 1,) array
        Of the variables themselves.
    names : tuple of str
    method : Method

    Raises
    ------
    DesignError
    """
    kept = independent_columns(triangle, lengths=lengths)
    if lost := [name for j, name in enumerate(names) if j not in kept]:
        raise DesignError(
            f"{method} is not defined: the instruments, or the instruments and the variables named before, reproduce "
            f"{', '.join(lost)} exactly.",
            do="leave out the instrument or regressor that does this.",
        )


def many_instruments(model: Linear, vcov: Bekker) -> FloatArray:
    """Bekker's covariance of a k-class estimator, (k, k), or with ``cse`` that of Hansen, Hausman & Newey.

    In the notation of the latter (2008, section 2): Ĥ = X'PX − α̃X'X, α̃ = û'Pû/û'û, X̃ = X − û(û'X)/û'û, V̂ = MX̃,
    Σ_B = σ̂²((1 − α̃)²X̃'PX̃ + α̃²V̂'V̂), and with ``cse`` Σ = Σ_B + A + A' + B, where A and B weight third and fourth
    moments by how unequal the leverages pᵢᵢ of the instruments are.

    Parameters
    ----------
    model : Linear
        A LIML or Fuller fit.
    vcov : Bekker
    """
    assert model.instruments is not None
    q = model.instruments.q
    u, x = scaled(model.residuals, model.weights), scaled(model.x, model.weights)
    rss = float(summed(u @ u, u))
    alpha = float(np.sum(summed(q.T @ u, u) ** 2)) / rss
    tilde = x - np.outer(u, u @ x) / rss
    explained = q @ (q.T @ tilde)
    rest = tilde - explained
    s2 = model.rss / model.df_resid
    meat = s2 * ((1 - alpha) ** 2 * (explained.T @ explained) + alpha**2 * (rest.T @ rest))
    if vcov.cse:
        meat = meat + _higher_moments(model, u, rest, s2)
    unexplained = np.asarray(np.linalg.qr(x - scaled(model.projected, model.weights), mode="r"))
    lower = _factor(model.basis.r, unexplained, 1 / (1 - alpha), vcov)
    inverse = linalg.solve_triangular(lower.T @ model.basis.r, np.eye(model.k))
    bread = inverse @ inverse.T / (1 - alpha)
    return np.asarray(bread @ summed(meat, x) @ bread)


def _higher_moments(model: Linear, u: FloatArray, rest: FloatArray, s2: float) -> FloatArray:
    """A + A' + B of Hansen, Hausman & Newey; Σ(pᵢᵢ − τ)² = K(κ − τ) and Σ(1 − pᵢᵢ)² = T(1 − 2τ + κτ) in theirs."""
    assert model.instruments is not None
    leverage = np.sum(model.instruments.q**2, axis=1)
    tau = leverage.mean()
    uneven = leverage - tau
    third = np.outer(uneven @ scaled(model.projected, model.weights), u**2 @ rest / model.n)
    fourth = rest.T @ (rest * (u**2 - s2)[:, None])
    return np.asarray(third + third.T + fourth * float(uneven @ uneven) / float(np.sum((1 - leverage) ** 2)))
