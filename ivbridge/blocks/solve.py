"""The two passes of one question."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ivbridge.blocks.correct import corrected, stage_residuals
from ivbridge.blocks.digits import Digits, claimed, refuse
from ivbridge.blocks.factor import Factor, factored
from ivbridge.blocks.kclass import estimated
from ivbridge.blocks.leverage import aer_leverage, discount
from ivbridge.blocks.meats import check_summable, covariance, needs_meat
from ivbridge.blocks.regression import Layout, Regression, unshifted
from ivbridge.blocks.rows import Rows
from ivbridge.blocks.scores import Many, Scored, Scores, ScoreSums
from ivbridge.blocks.small import Matrix
from ivbridge.errors import DataError
from ivbridge.method import Method, TwoStage
from ivbridge.records import FloatArray
from ivbridge.vcov import Vcov

__all__ = ["Solved", "check_rows", "solved", "squares"]

#: What rounding leaves between sums of squared residuals from two passes: relative to them, and to the squares of the
#: terms that cancel in them.
SAME, ROUNDING = 1e-9, 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """Coefficients and covariance of the columns as they are, not shifted.

    Attributes
    ----------
    coef, cov : (k,), (k, k) arrays
    rss, tss : float
        Residual and total sum of squares, weighted; centred with an intercept.
    weight : float
        Sum of the weights; rows without them.
    layout : Layout
    vcov : Vcov
    groups : tuple of int
        Clusters of each of :func:`ivbridge.blocks.meats.subsets`.
    factor : Factor
    model : Regression
    sums : ScoreSums
    """

    coef: FloatArray
    cov: FloatArray
    rss: float
    tss: float
    weight: float
    layout: Layout
    vcov: Vcov
    groups: tuple[int, ...]
    factor: Factor
    model: Regression
    sums: ScoreSums

    @property
    def n(self) -> int:
        """Rows."""
        return self.factor.n

    @property
    def df_resid(self) -> int:
        """n − k, absorbed coefficients among the k."""
        return self.n - len(self.coef) - self.layout.absorbed

    @property
    def sigma(self) -> float:
        """√(RSS/(n−k))."""
        return float(np.sqrt(self.rss / self.df_resid))

    @property
    def intercept(self) -> bool:
        """Whether a regressor has R's name of the constant."""
        return "(Intercept)" in self.layout.x_names

    @property
    def r2(self) -> float:
        """R², centred only with an intercept."""
        return 1 - self.rss / self.tss

    @property
    def r2_adj(self) -> float:
        """Adjusted R²."""
        return 1 - self.rss / self.tss * (self.n - self.intercept) / self.df_resid

    @property
    def kappa(self) -> float | None:
        """Of LIML or Fuller."""
        return self.model.kappa

    @property
    def digits(self) -> Digits:
        """For how many digits it is good."""
        return claimed(self.factor, self.layout, self.model, self.sums, self.vcov, (self.coef, self.cov))


@np.errstate(all="ignore")  # a singular factor has an infinite inverse, and is refused for its digits
def solved(
    rows: Rows,
    layout: Layout,
    vcov: Vcov,
    groups: tuple[int, ...] = (),
    *,
    method: Method | None = None,
    factor: Factor | None = None,
) -> Solved:
    """One question's coefficients and covariance: two passes; with weights HC2 to HC5 need one more, HC5 another one.

    Parameters
    ----------
    rows : Rows
        Their codes are those of :func:`ivbridge.blocks.meats.subsets`.
    layout : Layout
    vcov : Vcov
    groups : tuple of int, optional
        Number of clusters in each array of codes.
    method : Method, optional
        Default: two-stage least squares.
    factor : Factor, optional
        Of these rows, where it is known; saves the first pass.

    Raises
    ------
    UnsupportedError
        If the vcov is no sum over blocks.
    DesignError
        If LIML or Fuller is not defined, or too few digits are left.
    DataError
        If HC2 to HC5 meet a leverage of one.
    """
    check_summable(vcov)
    factor = factor or factored(rows, constant=layout.constant)
    model = estimated(factor, layout, method or TwoStage())
    model, sums = _second_pass(rows, factor, layout, model, (vcov, groups))
    first = sums.each[0]
    side = unshifted(factor.shift, layout.x)
    coef = side @ model.coef
    if factor.shift is not None:
        coef[layout.x.index(0)] += factor.shift[layout.y - 1]
    cov = covariance(model, first, vcov, layout, (factor.n, groups), side)
    tss = squares(factor, layout.y, centred="(Intercept)" in layout.x_names)
    result = Solved(coef.astype(float), cov, first.rss, tss, sums.weight, layout, vcov, groups, factor, model, first)
    if factor.path != "cholesky":
        refuse(result.digits, layout)
    return result


def _second_pass(
    rows: Rows, factor: Factor, layout: Layout, model: Regression, asked: tuple[Vcov, tuple[int, ...]]
) -> tuple[Regression, Many]:
    """The corrected model and its sums."""
    vcov, groups = asked
    taken_off = discount(rows, factor, vcov, lambda: aer_leverage(rows, factor, layout, model))
    one = Scored(model.basis, model.left, taken_off)
    stages = stage_residuals(layout, model, factor)
    sums = rows.reduce(Scores(factor.shift, rows.width, (one,), groups, stages, needs_meat(vcov)))
    assert sums.weighted == layout.weighted, "the layout says otherwise about weights"
    return corrected(layout, model, sums.each[0], factor), sums


def squares(factor: Factor, place: int, *, centred: bool) -> float:
    """Of a column of W as it is, added up and weighted; centred where it is to be, and there is a constant to do so."""
    column = factor.r[1:, place] if centred and factor.shift is not None else factor.raw[:, place]
    return float(column @ column)


def check_rows(factor: Factor, left: Matrix, rss: float, *, same: bool = True) -> None:
    """Refuse a pass that read other rows than the first one: residuals have squares that its sums know, too.

    Parameters
    ----------
    factor : Factor
    left : (m,) array
        W·left are the residuals.
    rss : float
        Their squares as the later pass added them up.
    same : bool, default True
        What else is known about the rows.

    Raises
    ------
    DataError
        If the data changed between the passes.
    """
    r, left = factor.r.astype(float), left.astype(float)
    expected = float(np.sum((r @ left) ** 2))
    scale = float((np.linalg.norm(r, axis=0) @ np.abs(left)) ** 2)
    if not (same and abs(rss - expected) <= SAME * rss + ROUNDING * scale):
        raise DataError(
            "The passes over the data read different rows: the data changed meanwhile, or a query gives others "
            "each time.",
            do="fit again, and look at residuals and tests before the data change; write what a query gives to a file.",
        )
