"""First stages and the Wu–Hausman regression: least squares on combinations of the columns of W, in one more pass."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ivbridge.blocks.correct import corrected
from ivbridge.blocks.leverage import discount, lm_leverage
from ivbridge.blocks.meats import covariance, needs_meat
from ivbridge.blocks.regression import Regression, least_squares, units, unshifted
from ivbridge.blocks.rows import Rows
from ivbridge.blocks.scores import Scored, Scores, ScoreSums
from ivbridge.blocks.small import Matrix
from ivbridge.blocks.solve import Solved, squares
from ivbridge.rank import TOLERANCE, independent_columns
from ivbridge.records import FloatArray
from ivbridge.vcov import Classical

__all__ = ["Auxiliary", "Fitted", "auxiliary"]

#: Condition number up to which the factor by itself leaves as many digits as a pass over the rows.
WELL_CONDITIONED = 10.0


@dataclass(frozen=True, eq=False)
class Fitted:
    """A least-squares fit of one column of W and its sums.

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
    """

    model: Regression
    sums: ScoreSums
    solved: Solved
    response: int
    turn: FloatArray

    @property
    def rss(self) -> float:
        """Weighted sum of squared residuals."""
        return self.sums.rss

    @property
    def df_resid(self) -> int:
        """n − k."""
        return self.solved.n - len(self.model.coef) - self.solved.layout.absorbed

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
        return covariance(self.model, self.sums, solved.vcov, solved.layout, (solved.n, solved.groups), self.turn)


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
    layout, factor, vcov = solved.layout, solved.factor, solved.vcov
    models = _first_stages(solved)
    both = _wu_hausman(solved, np.column_stack([model.left for model in models]))
    responses = [*layout.endog, layout.y]
    if both is not None:
        models.append(both)
    if isinstance(vcov, Classical) and factor.condition <= WELL_CONDITIONED:
        sums = [_without_rows(solved, model) for model in models]
    else:
        discounts = {id(one.basis): one for one in models}
        found = {at: discount(rows, factor, vcov, lambda one=one: lm_leverage(one)) for at, one in discounts.items()}  # type: ignore[misc]
        scored = tuple(Scored(one.basis, one.left, found[id(one.basis)]) for one in models)
        part = Scores(factor.shift, rows.width, scored, solved.groups, None, needs_meat(vcov))
        sums = list(rows.reduce(part).each)
        models = [corrected(layout, one, its, factor) for one, its in zip(models, sums, strict=True)]
    q = len(layout.endog)
    turns = [unshifted(factor.shift, layout.z)] * q + [np.eye(len(one.coef)) for one in models[q:]]
    made = zip(models, sums, responses, turns, strict=False)
    fits = [Fitted(model, its, solved, place, turn) for model, its, place, turn in made]
    return Auxiliary(tuple(fits[:q]), fits[q] if len(fits) > q else None)


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
