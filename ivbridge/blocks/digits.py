"""For how many digits an answer is good: bounds made of its condition, the sizes of its terms, n and the roundoff u.

They hold to first order and for sums whose rounding errors do not all have one sign (Higham & Mary 2019, SIAM J. Sci.
Comput. 41), which tests/test_blocks_digits.py compares with exact arithmetic. What they count:

- the factor is off by u times its loss (κ², κ, or 1 and κ·2⁻¹¹: :attr:`ivbridge.blocks.factor.Factor.loss`). Of
  coefficients a corrected step takes that off, of standard errors nothing does; where instruments explain little of
  the endogenous regressors, it counts relative to what they explain;
- residuals are sums of terms that may be much larger, ‖W_j‖|b_j|: an almost perfect fit has few digits of them;
- the sums of the second pass, where scores of a cluster, or of clusters of several dimensions, may cancel;
- one minus a leverage near one, which HC2 to HC5 divide by.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ivbridge.blocks.factor import SMALLEST, Factor
from ivbridge.blocks.regression import Layout, Regression, unshifted
from ivbridge.blocks.scores import ScoreSums
from ivbridge.blocks.small import condition, inverted, is_wide, qr
from ivbridge.errors import DesignError
from ivbridge.rank import NO_RESIDUAL
from ivbridge.records import FloatArray
from ivbridge.vcov import Classical, Clustered, Vcov

__all__ = ["ENOUGH", "Digits", "claimed", "refuse"]

#: Unit roundoff of double precision, and of sums in C's long double.
UNIT, WIDE = 2.0**-53, float(np.finfo(np.longdouble).eps) / 2

#: What error-free products leave of their terms, and some.
EXACT = 2.0**-68

#: Fewer digits than this are no answer.
ENOUGH = 3.0

#: More than this is never claimed: a relative error of ten units roundoff.
MOST = 15.0

#: Rounding errors of a few operations, in units roundoff.
FEW = 8.0

#: Rows of a block, whose sum is one term of the whole.
ROWS = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Digits:
    """Decimal digits that are right, between 0 and 15.

    Attributes
    ----------
    coef, std_error : float
        Of the worst coefficient and of the worst standard error, relative to their own size. In a perfect fit standard
        errors have none: they are rounding.
    share : (k,) array
        Bounds of the coefficients' errors, relative to themselves or to their classical standard errors if larger.
    perfect : bool
        Whether residuals are no more than rounding.
    """

    coef: float
    std_error: float
    share: FloatArray
    perfect: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Sizes:
    """Of one answer: ‖y‖, ‖e‖, the sum of ‖W_j‖|left_j|, the condition, ‖V‖‖(X'PX)^(-1/2)‖, the error of a sum, and
    what :func:`_blurred` gives."""

    response: float
    left: float
    terms: float
    condition: float
    weakness: float
    summing: float
    blurred: tuple[float, float]


def claimed(
    factor: Factor,
    layout: Layout,
    model: Regression,
    sums: ScoreSums,
    vcov: Vcov,
    answer: tuple[FloatArray, FloatArray],
) -> Digits:
    """How many digits of an answer are right.

    Parameters
    ----------
    factor, layout, model, sums, vcov
        What the answer was made of, the model after its corrected step.
    answer : tuple of (k,), (k, k) arrays
        Coefficients and covariance of the columns as they are.
    """
    coef, cov = answer
    sizes = _sizes(factor, layout, model)
    turn = unshifted(factor.shift, layout.x)
    side = (turn @ model.root_inverse).astype(float)
    lengths = np.linalg.norm(side, axis=1)
    if is_wide(model.left):
        unit = sizes.left * (UNIT * (FEW + sizes.summing) + FEW * WIDE * sizes.condition) + EXACT * sizes.terms
        # in a nearly perfect fit the corrected step takes the first of these off (ivbridge.blocks.correct)
        unit += sizes.blurred[0] * min(1.0, sizes.blurred[1] if sizes.left < WIDE / UNIT * sizes.terms else 1.0)
    else:
        over = FEW + sizes.summing + sizes.condition + 16 * (len(layout.z) > len(layout.x) or model.kappa is not None)
        unit = UNIT * (over * sizes.left + 2 * sizes.terms)
    size = np.abs(turn) @ np.abs(model.coef.astype(float))
    if factor.shift is not None:
        size[layout.x.index(0)] += abs(factor.shift[layout.y - 1])
    error = lengths * unit + 2 * (WIDE if is_wide(model.left) else UNIT) * size + UNIT * np.abs(coef)
    scale = np.fmax(np.abs(coef), lengths * max(sizes.left / np.sqrt(factor.n), NO_RESIDUAL * sizes.response))
    with np.errstate(all="ignore"):
        std_error = np.sqrt(np.abs(np.diag(cov)))  # in several dimensions of clusters a variance may be below zero
        perfect = sizes.left <= NO_RESIDUAL * sizes.response
        std_digits = 0.0 if perfect else _digits(_of_errors(factor, model, sums, vcov, (sizes, side, std_error)))
        return Digits(_digits(error / np.abs(coef)), std_digits, error / scale, perfect)


def _sizes(factor: Factor, layout: Layout, model: Regression) -> _Sizes:
    left = model.left.astype(float)
    r = factor.r.astype(float)
    number, weakness = factor.condition, 0.0
    if factor.path != "cholesky":  # of the columns that are used, without those that may depend on them
        number = max(condition(qr(factor.r[:, layout.z])[1]), condition(model.root))
    if layout.endog:
        places = [layout.x.index(place) for place in layout.endog]
        rest = (factor.r @ (model.regressors[:, places] - model.basis @ model.root[:, places])).astype(float)
        weakness = float(np.linalg.norm(rest) * np.linalg.norm(model.root_inverse[places].astype(float)))
    terms = float(np.linalg.norm(r, axis=0) @ np.abs(left))
    response = float(np.linalg.norm(factor.raw[:, layout.y].astype(float)))
    own = float(np.linalg.norm((factor.r @ model.left).astype(float)))
    summing, blurred = float(np.sqrt(factor.n / ROWS)), _blurred(factor, layout, model)
    return _Sizes(response, own, terms, number, weakness, summing, blurred)


def _blurred(factor: Factor, layout: Layout, model: Regression) -> tuple[float, float]:
    """What rounding in extended precision leaves of residuals on the instruments, and relatively of (PX)'PX's root.

    R = L'·T⁻¹ is made with T, the inverse of a first R, whose rounding errors are those of |R||R⁻¹||R|: where one
    column is nearly a combination of others, they are in all later columns, dependent on these or not.
    """
    if not is_wide(factor.r):
        return 0.0, 0.0
    used = [*sorted({*layout.x, *layout.z}), layout.y]
    near = qr(factor.r[:, used])[1].astype(float)
    r, places = np.abs(near), np.diag_indices(len(near))
    near[places] = np.maximum(r[places], SMALLEST * np.sqrt((r * r).sum(axis=0)))
    growth = (np.abs(near) @ (np.abs(inverted(near)) @ r))[: used.index(max(layout.z)) + 1]
    left, root = np.abs(model.left[used].astype(float)), np.abs(model.root_inverse.astype(float))
    both = (growth @ left, growth[:, [used.index(place) for place in layout.x]] @ root)
    return WIDE * float(np.linalg.norm(both[0])), WIDE * float(np.linalg.norm(both[1]))


def _of_errors(
    factor: Factor, model: Regression, sums: ScoreSums, vcov: Vcov, known: tuple[_Sizes, FloatArray, FloatArray]
) -> FloatArray:
    """Relative errors of standard errors, (k,)."""
    sizes, side, std_error = known
    lengths = np.linalg.norm(side, axis=1)
    wide = is_wide(model.left)
    loss = 1 + sizes.condition * WIDE / UNIT if wide else factor.loss
    of_root = FEW * UNIT * loss * (1 + sizes.weakness) + sizes.blurred[1]
    of_rest = 2 * (WIDE if wide else UNIT) * sizes.terms / sizes.left
    of_sums = UNIT * (FEW + sizes.summing)
    if isinstance(vcov, Classical):
        return np.full(len(lengths), of_root + of_rest + of_sums)
    of_rows = of_sums + of_rest + (UNIT if wide else UNIT * sizes.condition)
    if isinstance(vcov, Clustered):
        return _of_clusters(model, sums, (sizes, side, std_error), of_rows, of_root)
    of_rows += sums.steep * (of_root + UNIT * sizes.condition)  # leverages are off like the root
    share = min(1.0, 4 * len(side) / np.sqrt(factor.n))  # of residuals' error, that rows of a large leverage have
    parts = np.sqrt(np.trace(sums.meat)) * (of_rows + of_root) + share * _moved(model, sums, of_root * sizes.left)
    return np.asarray(lengths * parts / std_error)


def _moved(model: Regression, sums: ScoreSums, k_class: float) -> float:
    """By how much the corrected step moves residuals, which the sums have from before: their scores tell, but for the
    k-class, for which it is given."""
    return float(np.linalg.norm(sums.moments)) if model.kappa is None else k_class


def _of_clusters(
    model: Regression, sums: ScoreSums, known: tuple[_Sizes, FloatArray, FloatArray], of_rows: float, of_root: float
) -> FloatArray:
    """Of clustered ones, (k,): scores of a cluster are added up, and may cancel, as those of several dimensions may."""
    sizes, side, std_error = known
    k, count = len(std_error), max(min(by.shape[1] for by in sums.clusters), 1)
    parts = float(np.sqrt(sum(np.sum(by**2) for by in sums.clusters)))
    moved = _moved(model, sums, of_root * sizes.left)
    error = np.linalg.norm(side, axis=1) * (sizes.left * np.sqrt(k / count) * of_rows + parts * of_root + 2 * moved)
    whole = np.sqrt(sum(np.sum((side @ by) ** 2, axis=1) for by in sums.clusters))
    return np.asarray(error / std_error * np.fmax(1.0, whole / std_error))


def _digits(relative: FloatArray) -> float:
    """Of the worst of some relative errors; 0/0 and infinite ones have none."""
    worst = np.max(relative, initial=0.0)
    return float(np.clip(-np.log10(worst), 0.0, MOST)) if np.isfinite(worst) else 0.0


def refuse(found: Digits, layout: Layout) -> None:
    """Refuse coefficients of fewer than three digits; standard errors may be zero by the model, and rounding then.

    Raises
    ------
    DesignError
    """
    bad = [name for name, share in zip(layout.x_names, found.share, strict=True) if not share <= 10**-ENOUGH]
    if bad:
        raise DesignError(
            "The columns are so nearly dependent, or the instruments so weak, that in double precision these rows hold "
            f"fewer than {ENOUGH:g} digits of the coefficient of {', '.join(bad[:5])}{' …' * (len(bad) > 5)}.",
            do="leave out a column that the others nearly reproduce, or replace powers by poly(x, degree).",
        )
