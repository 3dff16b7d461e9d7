"""First stages and the Wu–Hausman regression: least squares on combinations of the columns of W, in one more pass."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from ivbridge.blocks.correct import corrected
from ivbridge.blocks.leverage import discount, lm_leverage
from ivbridge.blocks.meats import covariance, needs_meat
from ivbridge.blocks.regression import Regression, least_squares, units, unshifted
from ivbridge.blocks.rows import Rows
from ivbridge.blocks.scores import Scored, Scores, ScoreSums
from ivbridge.blocks.small import Matrix
from ivbridge.blocks.solve import Solved, check_rows, squares
from ivbridge.rank import TOLERANCE, independent_columns
from ivbridge.records import FloatArray
from ivbridge.vcov import Classical

__all__ = ["Auxiliary", "Fitted", "auxiliary"]

#: Condition number up to which the factor by itself leaves as many digits as a pass over the rows.
WELL_CONDITIONED = 10.0


@dataclass(frozen=True, eq=False)
class Fitted:
    """A least-squares fit of one column of W, or of its last coefficients only, and its sums.

    Attributes
    ----------
    model : Regression
    sums : ScoreSums
    solved : Solved
        The question that it belongs to.
    response : int
        Place of the dependent variable in W.
    turn : (k, k) array
        From the coefficients of shifted columns to those reported.
    others : int, default 0
        Coefficients that come before those of `model`.
    """

    model: Regression
    sums: ScoreSums
    solved: Solved
    response: int
    turn: FloatArray
    others: int = 0

    @property
    def rss(self) -> float:
        """Weighted sum of squared residuals."""
        return self.sums.rss

    @property
    def df_resid(self) -> int:
        """n − k."""
        return self.solved.n - len(self.model.coef) - self.others - self.solved.layout.absorbed

    @property
    def perfect(self) -> bool:
        """Whether the residuals are zero but for rounding."""
        return self.rss < TOLERANCE**2 * squares(self.solved.factor, self.response, centred=False)

    @cached_property
    def cov(self) -> FloatArray:
        """Covariance of the coefficients, turned, (k, k).

        Raises
        ------
        DataError
            If HC2 to HC5 meet a leverage of one.
        """
        solved = self.solved
        layout = replace(solved.layout, absorbed=solved.layout.absorbed + self.others)
        return covariance(self.model, self.sums, solved.vcov, layout, (solved.n, solved.groups), self.turn)


@dataclass(frozen=True, slots=True, eq=False)
class Auxiliary:
    """The regressions that the tests are built from.

    Attributes
    ----------
    stages : tuple of Fitted
        The endogenous regressors on the instruments.
    wu_hausman : Fitted or None
        The dependent variable on the regressors and the first-stage residuals, which give the same F as AER's fitted
        values; None where these depend linearly on the regressors.
    """

    stages: tuple[Fitted, ...]
    wu_hausman: Fitted | None


def auxiliary(rows: Rows, solved: Solved) -> Auxiliary:
    """Make them, for a question with endogenous regressors: one pass, none for the classical vcov of easy columns."""
    layout, factor, k = solved.layout, solved.factor, len(solved.coef)
    whole = _first_stages(solved)
    both = _wu_hausman(solved, np.column_stack([model.left for model in whole]))
    models = list(whole)
    if both is not None:
        whole.append(both)
        models.append(_last(both, k))
    if isinstance(solved.vcov, Classical) and factor.condition <= WELL_CONDITIONED:
        sums = [_without_rows(solved, model) for model in models]
    else:
        sums = _summed(rows, solved, whole, models)
        models = [corrected(layout, one, its, factor) for one, its in zip(models, sums, strict=True)]
    turn, q = unshifted(factor.shift, layout.z), len(layout.endog)
    made = zip(models[:q], sums, layout.endog, strict=False)
    stages = tuple(Fitted(model, its, solved, place, turn) for model, its, place in made)
    if both is None:
        return Auxiliary(stages, None)
    return Auxiliary(stages, Fitted(models[q], sums[q], solved, layout.y, np.eye(len(models[q].coef)), k))


def _summed(rows: Rows, solved: Solved, whole: list[Regression], models: list[Regression]) -> list[ScoreSums]:
    """The sums of models that are parts of whole regressions, which leverages are of."""
    factor, vcov = solved.factor, solved.vcov
    by_basis = {id(one.basis): one for one in whole}
    found = {at: discount(rows, factor, vcov, partial(lm_leverage, one)) for at, one in by_basis.items()}
    pairs = zip(models, whole, strict=True)
    scored = tuple(Scored(one.basis, one.left, found[id(of.basis)]) for one, of in pairs)
    part = Scores(factor.shift, rows.width, scored, solved.groups, None, needs_meat(vcov))
    sums = list(rows.reduce(part).each)
    for one, its in zip(models, sums, strict=True):
        check_rows(factor, one.left, its.rss)
    return sums


def _last(model: Regression, k: int) -> Regression:
    """The coefficients from the k-th on: R⁻¹ is triangular, so that their covariance takes the last of Q alone."""
    inverse = np.ascontiguousarray(model.inverse[k:, k:])
    columns, basis = model.regressors[:, k:], np.ascontiguousarray(model.basis[:, k:])
    return Regression(model.names[k:], columns, model.left, model.coef[k:], basis, inverse, inverse)


def _first_stages(solved: Solved) -> list[Regression]:
    """Least squares of every endogenous regressor on the instruments, with one basis."""
    layout, factor = solved.layout, solved.factor
    m = len(factor.r)
    columns = units(m, layout.z)
    models: list[Regression] = []
    for place in layout.endog:
        one = least_squares(factor, columns, units(m, (place,))[:, 0], layout.z_names)
        first = models[0] if models else one
        models.append(Regression(one.names, columns, one.left, one.coef, first.basis, first.inverse, first.inverse))
    return models


def _wu_hausman(solved: Solved, stages: Matrix) -> Regression | None:
    """The regressors and the first-stage residuals (m, q) that do not depend on them; None without any."""
    layout, factor = solved.layout, solved.factor
    m = len(factor.r)
    x = units(m, layout.x)
    # AER adds fitted values, whose dependence R judges by their own lengths
    fitted = factor.raw[:, layout.endog] - factor.r @ stages
    kept = independent_columns(np.hstack([factor.raw[:, layout.x], fitted]).astype(float))
    added = [j - x.shape[1] for j in kept if j >= x.shape[1]]
    if not added:
        return None
    columns = np.hstack([x, stages[:, added]])
    names = tuple(f"x{j}" for j in range(columns.shape[1]))
    return least_squares(factor, columns, units(m, (layout.y,))[:, 0], names)


def _without_rows(solved: Solved, model: Regression) -> ScoreSums:
    """The sums of a classical covariance, from the factor."""
    k = len(model.coef)
    rest = solved.factor.r @ model.left
    return ScoreSums(np.zeros(k), float(rest @ rest), np.zeros((k, k)))
