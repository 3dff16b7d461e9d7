"""Everything that is reported of a question beside coefficients and covariance, from one more pass made when needed.

First stages and the Wu–Hausman regression are further regressions on combinations of the same columns; their scores are
summed together. Definitions are those of :mod:`ivbridge.diagnostics`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ivbridge.blocks.auxiliary import Auxiliary, Fitted, auxiliary
from ivbridge.blocks.leverage import discounted
from ivbridge.blocks.meats import joint_rank
from ivbridge.blocks.residuals import Residuals
from ivbridge.blocks.rows import Rows
from ivbridge.blocks.small import qr
from ivbridge.blocks.solve import Solved, check_rows, squares
from ivbridge.diagnostics import (
    EXACT,
    NO_ENDOG,
    NO_SLOPES,
    NOTHING_ADDED,
    OVERID,
    PERFECT_FIT,
    SINGULAR,
    beyond,
    chi2_test,
    coefficient_table,
    f_test,
    quadratic,
    singular,
)
from ivbridge.rank import NO_RESIDUAL, TOLERANCE
from ivbridge.records import Coefficients, FirstStage, FloatArray, NotApplicable, Numbers, Test
from ivbridge.vcov import Inference, T

__all__ = ["Answer", "reproduces"]


@dataclass(frozen=True, eq=False)
class Answer:
    """A solved question, its tests and first stages when they are asked for.

    Attributes
    ----------
    rows : Rows
    solved : Solved
    inference : Inference
    exact : bool or None
        Whether the regressors reproduce the dependent variable; None to find out.
    """

    rows: Rows
    solved: Solved
    inference: Inference
    exact: bool | None = None

    @cached_property
    def coefs(self) -> Coefficients:
        """The coefficient table."""
        solved = self.solved
        return coefficient_table(solved.layout.x_names, solved.coef, solved.cov, solved.df_resid, self.inference)

    @cached_property
    def tests(self) -> dict[str, Test | NotApplicable]:
        """By key, as :func:`ivbridge.diagnostics.tests` and the Wald test.

        Raises
        ------
        DataError
            If HC2 to HC5 meet a leverage of one in an auxiliary regression.
        """
        return {**self._weak, **self._others, "wald": self._wald()}

    @cached_property
    def first_stages(self) -> tuple[FirstStage, ...]:
        """One full least-squares result for each endogenous regressor; errors as for :attr:`tests`."""
        named = zip(self._endog_names, self.solved.layout.endog, strict=True)
        return tuple(self._first_stage(name, place) for name, place in named)

    def check(self) -> None:
        """Raise now what tests and first stages would raise later.

        Raises
        ------
        DataError
            If HC2 to HC5 meet a leverage of one in an auxiliary regression.
        """
        if discounted(self.solved.vcov):
            _ = self.tests, self.first_stages

    @cached_property
    def residuals(self) -> FloatArray:
        """y − Xβ, (n,)."""
        solved = self.solved
        part = Residuals(solved.factor.shift, self.rows.width, solved.model.left[:, None])
        listed = self.rows.reduce(part)
        check_rows(solved.factor, solved.model.left, float(listed.squares[0]))
        return np.asarray(listed.joined()[0])

    def numbers(self, y: FloatArray) -> Numbers:
        """All of it.

        Parameters
        ----------
        y : (n,) array
            The dependent variable, for fitted values.
        """
        solved, coefs, tests = self.solved, self.coefs, self.tests
        return Numbers(
            coefs=coefs, cov=solved.cov, residuals=self.residuals, fitted=y - self.residuals,
            df_resid=solved.df_resid, sigma=solved.sigma, r2=solved.r2, r2_adj=solved.r2_adj, tests=tests,
            first_stages=self.first_stages, kappa=solved.kappa,
        )  # fmt: skip

    @property
    def _endog_names(self) -> tuple[str, ...]:
        return self.solved.layout.endog_names

    @cached_property
    def _auxiliary(self) -> Auxiliary:
        return auxiliary(self.rows, self.solved)

    @cached_property
    def _weak(self) -> dict[str, Test | NotApplicable]:
        """Whether the excluded instruments explain each endogenous regressor."""
        layout = self.solved.layout
        if not layout.endog:
            return {"weak_instruments": NotApplicable("Weak instruments", NO_ENDOG)}
        tested = [layout.z.index(place) for place in layout.excluded]
        found: dict[str, Test | NotApplicable] = {}
        for name, stage in zip(self._endog_names, self._auxiliary.stages, strict=True):
            title = f"Weak instruments ({name})" if len(layout.endog) > 1 else "Weak instruments"
            found[f"weak_instruments:{name}"] = self._added(title, stage, tested)
        return found

    @cached_property
    def _others(self) -> dict[str, Test | NotApplicable]:
        if not self.solved.layout.endog:
            return {"wu_hausman": NotApplicable("Wu-Hausman", NO_ENDOG), "sargan": NotApplicable("Sargan", NO_ENDOG)}
        both = self._auxiliary.wu_hausman
        added: Test | NotApplicable = NotApplicable("Wu-Hausman", NOTHING_ADDED)
        if both is not None:
            added = self._added("Wu-Hausman", both, list(range(len(both.model.coef))))
        found = {"wu_hausman": added, "sargan": self._sargan()}
        return found if self.solved.model.liml is None else {**found, "anderson_rubin": self._likelihood_ratio()}

    def _added(self, name: str, fitted: Fitted, tested: list[int]) -> Test | NotApplicable:
        """F test of some of the regressors of a least-squares fit."""
        df1 = len(tested)
        if df1 < 1:
            return NotApplicable(name, NOTHING_ADDED)
        if fitted.perfect:
            return NotApplicable(name, PERFECT_FIT)
        if reason := beyond(df1, self.solved.vcov, joint_rank(self.solved.vcov, self.solved.groups)):
            return NotApplicable(name, reason)
        cov = fitted.cov[np.ix_(tested, tested)]
        if singular(cov):
            return NotApplicable(name, SINGULAR)
        coef = fitted.model.coef[tested].astype(float)
        return f_test(name, quadratic(coef, cov) / df1, df1, fitted.df_resid)

    def _wald(self) -> Test | NotApplicable:
        """Joint test of all coefficients but the intercept."""
        solved, name = self.solved, "Wald test"
        slopes = [j for j, term in enumerate(solved.layout.x_names) if term != "(Intercept)"]
        if not slopes:
            return NotApplicable(name, NO_SLOPES)
        if reason := beyond(len(slopes), solved.vcov, joint_rank(solved.vcov, solved.groups)):
            return NotApplicable(name, reason)
        if solved.rss < TOLERANCE**2 * squares(solved.factor, solved.layout.y, centred=False):
            return NotApplicable(name, PERFECT_FIT)
        cov = solved.cov[np.ix_(slopes, slopes)]
        if singular(cov):
            return NotApplicable(name, SINGULAR)
        chi2 = quadratic(solved.coef[slopes], cov)
        if isinstance(self.inference, T):
            return f_test(name, chi2 / len(slopes), len(slopes), solved.df_resid)
        return chi2_test(name, chi2, len(slopes))

    def _sargan(self) -> Test | NotApplicable:
        """n·R² of the residuals on all instruments."""
        solved = self.solved
        layout, factor = solved.layout, solved.factor
        df = len(layout.excluded) - len(layout.endog)
        exact = reproduces(solved) if self.exact is None else self.exact
        if df <= 0 or exact:
            return NotApplicable("Sargan", EXACT if df <= 0 else PERFECT_FIT)
        q, _ = qr(factor.r[:, layout.z])
        mean_part = solved.sums.level**2 / solved.weight
        explained = float(np.sum((q.T @ (factor.r @ solved.model.left)) ** 2)) - mean_part
        return chi2_test("Sargan", solved.n * explained / (solved.rss - mean_part), df)

    def _likelihood_ratio(self) -> Test | NotApplicable:
        layout = self.solved.layout
        df = len(layout.excluded) - len(layout.endog)
        if df <= 0:
            return NotApplicable(OVERID, EXACT)
        return chi2_test(OVERID, self.solved.n * float(np.log(self.solved.model.liml or 1.0)), df)

    def _first_stage(self, name: str, place: int) -> FirstStage:
        solved = self.solved
        layout, shift = solved.layout, solved.factor.shift
        fitted = self._auxiliary.stages[layout.endog.index(place)]
        coef = fitted.turn @ fitted.model.coef
        if shift is not None:
            coef[layout.z.index(0)] += shift[place - 1]
        intercept = "(Intercept)" in layout.z_names
        left = fitted.rss / squares(solved.factor, place, centred=intercept)
        table = coefficient_table(layout.z_names, coef.astype(float), fitted.cov, fitted.df_resid, self.inference)
        r2_adj = 1 - left * (solved.n - intercept) / fitted.df_resid
        sigma = float(np.sqrt(fitted.rss / fitted.df_resid))
        weak = self._weak[f"weak_instruments:{name}"]
        return FirstStage(name, table, fitted.cov, solved.n, fitted.df_resid, 1 - left, r2_adj, sigma, weak)


def reproduces(solved: Solved) -> bool:
    """Whether what the regressors leave of the dependent variable is no more than rounding."""
    lengths = np.linalg.norm(solved.factor.raw.astype(float), axis=0)
    terms = lengths[solved.layout.y] + lengths[list(solved.layout.x)] @ np.abs(solved.coef)
    return bool(np.sqrt(solved.rss) <= NO_RESIDUAL * terms)
