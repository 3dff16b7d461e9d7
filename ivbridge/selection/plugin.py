"""The plug-in penalty: λ from theory, loadings from residuals, no folds.

Belloni, Chen, Chernozhukov and Hansen (2012, Econometrica 80(6), 2369–2429, Algorithm A.1). The steps are those of R's
``hdm::rlasso`` with its defaults: residuals of the five candidates that correlate most with the dependent variable give
the first loadings; the first LASSO has half the penalty; least squares on the selected columns gives the next
residuals; at most 15 rounds. The end is reached when a set repeats, which is when hdm's residual variance repeats.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from ivbridge import serial
from ivbridge.errors import DataError, UnsupportedError
from ivbridge.records import FloatArray
from ivbridge.selection.derive import blocks, dense_columns, forced, residualised, with_columns
from ivbridge.selection.design import LassoDesign
from ivbridge.selection.engines import LassoEngine
from ivbridge.selection.rules import PlugIn

__all__ = ["PlugInFit", "plug_in"]

ROUNDS = 15
START = 5

#: glmnet's threshold for each solve: sets must not depend on where coordinate descent stops.
THRESHOLD = 1e-14


@dataclass(frozen=True, slots=True, eq=False)
class PlugInFit:
    """A LASSO with the plug-in penalty; R's ``rlasso`` object.

    Attributes
    ----------
    dependent : str
    rule : PlugIn
    engine : str
        Who solved the LASSO of each round.
    names : tuple of str, length p
        Candidates, without the controls that were taken out.
    selected : tuple of str
    coefs : (p,) array
        Least squares on the selected columns (post-LASSO), zero elsewhere; hdm's ``beta``.
    intercept : float
    lambda0 : float
        2c√n Φ⁻¹(1 − γ/(2p)).
    loadings : (p,) array
        Those of the last solve.
    rounds : int
    converged : bool
        Whether a set repeated within 15 rounds.
    n : int
    """

    dependent: str
    rule: PlugIn
    engine: str
    names: tuple[str, ...]
    selected: tuple[str, ...]
    coefs: FloatArray
    intercept: float
    lambda0: float
    loadings: FloatArray
    rounds: int
    converged: bool
    n: int

    def summary(self) -> str:
        """Two lines: what was penalised how, and what is left."""
        end = f"{self.rounds} rounds" + ("" if self.converged else ", no set repeated")
        return (
            f"{self.dependent} on {len(self.names)} candidates, n = {self.n}, engine {self.engine}\n"
            f"{self.rule}: λ₀ = {self.lambda0:.5g}, loadings {self.loadings.min():.4g} to {self.loadings.max():.4g}, "
            f"{end}; {len(self.selected)} selected"
        )

    def _repr_html_(self) -> str:
        return "<p>" + html.escape(self.summary()).replace("\n", "<br>") + "</p>"

    def to_json(self, *, indent: int | None = None) -> str:
        """JSON that keeps every bit."""
        return serial.dumps(self, indent=indent)


def plug_in(design: LassoDesign, rule: PlugIn, engine: LassoEngine) -> PlugInFit:
    """Select with the plug-in penalty.

    Columns without a penalty are taken out of the dependent variable and of the other columns first, so that forced
    and residualised controls are the same thing here.

    Parameters
    ----------
    design : LassoDesign
        ``standardize`` and folds play no part.
    rule : PlugIn
    engine : LassoEngine
        Solves the LASSO of each round.

    Raises
    ------
    UnsupportedError
        With weights, without an intercept, or for alpha other than 1 or family other than gaussian.
    DataError
        If no candidate varies, or the columns without a penalty reproduce the dependent variable.
    """
    spec = design.spec
    if design.weights is not None or spec.alpha != 1 or not spec.intercept or spec.family != "gaussian":
        raise UnsupportedError(
            "The plug-in penalty with weights, no intercept, an elastic net or a binomial family.",
            available="the unweighted gaussian LASSO with an intercept",
        )
    bare = residualised(design) if forced(design).any() else design
    solver = _Solver(bare, rule, engine)
    return solver.run()


class _Solver:
    """The rounds of one plug-in LASSO."""

    def __init__(self, design: LassoDesign, rule: PlugIn, engine: LassoEngine) -> None:
        n, p = design.n, design.p
        gamma = 0.1 / np.log(n) if rule.gamma is None else rule.gamma
        self.design, self.rule, self.engine = design, rule, engine
        self.lambda0 = float(2 * rule.c * np.sqrt(n) * stats.norm.isf(gamma / (2 * p)))
        self.y = design.y - design.y.mean()
        self.means, self.squares, self.moments = np.empty(p), np.empty(p), np.empty(p)
        for at, block in blocks(design.x):
            self.means[at] = block.mean(axis=0)
            centred = block - self.means[at]
            self.squares[at] = np.mean(centred**2, axis=0)
            self.moments[at] = np.abs(self.y @ centred)
        # a column that does not vary has nothing but rounding left after centring
        self.varies = self.squares > 1e-24 * self.means**2
        if not self.varies.any():
            raise DataError("No candidate with a penalty varies over the rows that are fitted.")
        self.exact = float(np.mean(self.y**2)) * 1e-20

    def run(self) -> PlugInFit:
        """Alternate between loadings and LASSO until a set repeats."""
        strength = np.zeros(self.design.p)
        np.divide(self.moments, np.sqrt(self.squares), out=strength, where=self.varies)
        start = np.sort(np.argsort(-strength, kind="stable")[:START])
        residuals = self.refit(start[self.varies[start]])[1]
        if float(np.mean(residuals**2)) <= self.exact:
            residuals = self.y
        loadings, chosen, converged = self.loadings(residuals), np.array([-1]), False
        share, rounds = 0.5, 0
        while rounds < ROUNDS and not converged:
            rounds += 1
            used, previous = loadings, chosen
            chosen = self.solve(used, share)
            coefs, residuals = self.refit(chosen)
            converged = np.array_equal(chosen, previous) or len(chosen) == 0
            if float(np.mean(residuals**2)) <= self.exact:
                converged = True  # a perfect fit leaves no residual to make loadings of
                break
            loadings, share = self.loadings(residuals), 1.0
        names = self.design.names
        return PlugInFit(
            dependent=self.design.spec.dependent, rule=self.rule, engine=self.engine.name, names=names,
            selected=tuple(names[j] for j in chosen), coefs=coefs,
            intercept=float(self.design.y.mean() - self.means @ coefs), lambda0=self.lambda0, loadings=used,
            rounds=rounds, converged=converged, n=self.design.n,
        )  # fmt: skip

    def refit(self, chosen: np.ndarray) -> tuple[FloatArray, FloatArray]:
        """Least squares on the chosen columns: (p,) coefficients and (n,) residuals."""
        coefs = np.zeros(self.design.p)
        if len(chosen) == 0:
            return coefs, self.y
        x = dense_columns(self.design.x, chosen) - self.means[chosen]
        scale = np.sqrt(self.squares[chosen])
        coefs[chosen] = np.linalg.lstsq(x / scale, self.y, rcond=None)[0] / scale
        return coefs, np.asarray(self.y - x @ coefs[chosen])

    def loadings(self, residuals: FloatArray) -> FloatArray:
        """(p,) √mean(e²x²), or √(mean e² · mean x²) for homoskedastic errors; x centred."""
        e2 = residuals**2
        if self.rule.loadings == "homoskedastic":
            return np.asarray(np.sqrt(e2.sum() / (len(e2) - 1) * self.squares))
        found = np.empty(self.design.p)
        for at, block in blocks(self.design.x):
            found[at] = np.sqrt(e2 @ (block - self.means[at]) ** 2 / len(e2))
        return found

    def solve(self, loadings: FloatArray, share: float) -> np.ndarray:
        """Positions of the columns that the LASSO with penalty share·λ₀·loadings keeps.

        hdm minimises RSS + Σ λ₀ℓⱼ|bⱼ|, glmnet RSS/(2n) + λ Σ fⱼ|bⱼ| with factors f that sum to p.
        """
        kept = np.flatnonzero(self.varies)
        design = with_columns(self.design, kept, loadings[kept])
        spec = replace(design.spec, standardize=False, threshold=THRESHOLD, lambdas=None)
        penalty = share * self.lambda0 * loadings[kept].mean() / (2 * self.design.n)
        path = self.engine.path(replace(design, spec=spec), np.array([penalty]))
        return np.asarray(kept[path.coefs[-1] != 0])
