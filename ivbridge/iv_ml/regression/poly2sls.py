"""Two-stage least squares with polynomials and ridge penalties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np

from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.method import IVRegression, Learnt
from ivbridge.iv_ml.ridge import PolynomialGrid, PolynomialRidge
from ivbridge.progress import Progress

__all__ = ["Poly2SLS"]


@final
@dataclass(frozen=True, kw_only=True)
class Poly2SLS(IVRegression):
    """Ridge regression of T on a polynomial of (Z, X), then of Y on a polynomial of (T̂, X).

    Degree and penalty of each stage have the best mean R² over five folds of neighbouring rows, out of degrees 1 to 3
    and penalties 1e-5 to 1e5: what the program of Wu et al. (2023) does, but for its first stage's columns Z, 1 - Z and
    X; here they are Z and X, which span the same polynomials. The method is a baseline of Bennett, Kallus, Schnabel
    (2019), Deep generalized method of moments for instrumental variable analysis, NeurIPS.

    Parameters
    ----------
    first, second : PolynomialGrid
        What is tried in each stage.

    Notes
    -----
    **Known failure.** T̂ is plugged in where T belongs. For the square of T this leaves out Var(T | Z, X): a constant
    shift of the curve if that variance is constant, a wrong curve if it depends on (Z, X). ``effect`` is free of the
    constant.
    """

    name: ClassVar[str] = "poly2sls"
    packages: ClassVar[tuple[str, ...]] = ("numpy",)
    first: PolynomialGrid = field(default_factory=PolynomialGrid)
    second: PolynomialGrid = field(default_factory=PolynomialGrid)

    def learn(self, data: Sequence[IVData], seeds: Sequence[int], progress: Progress | None) -> list[Learnt]:
        """Learn from each data set; nothing here is random, so the seeds change nothing."""
        found = []
        for done, one in enumerate(data, 1):
            found.append(self._learn(one))
            if progress:
                progress(done, len(data), "polynomials")
        return found

    def _learn(self, data: IVData) -> Learnt:
        y, t, x, z = data.arrays
        both = np.column_stack([z, x])
        first = self.first.fit(both, t)
        fitted = first.polynomial.at(both)
        second = self.second.fit(np.column_stack([fitted, x]), y)
        notes = _note("First", first, self.first, both.shape[1]), _note("Second", second, self.second, 1 + x.shape[1])
        return Learnt(second.polynomial, notes=notes)


def _note(stage: str, found: PolynomialRidge, grid: PolynomialGrid, columns: int) -> str:
    chosen = f"degree {found.polynomial.degree}, penalty {found.penalty:.3g}"
    text = f"{stage} stage: {chosen}, R² {found.score:.3g} on rows held out."
    if len(grid.penalties) > 1 and found.penalty in (min(grid.penalties), max(grid.penalties)):
        text += " The penalty is at the edge of its grid."
    if missing := sorted(set(grid.degrees) - set(grid.possible(columns))):
        text += f" Degree {missing[0]} and higher were left out: too many monomials."
    return text
