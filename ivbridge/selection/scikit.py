"""The permissive LASSO engine: scikit-learn's coordinate descent under our mirror of ``cv.glmnet``.

For machines without glmstar, or projects that cannot take its licence. scikit-learn solves each problem to a small
duality gap; glmnet stops at its threshold. So the two agree only as far as glmnet itself is exact: with R at
``thresh = 1e-14`` coefficients differ by 2e-9 (500 × 20) to 3e-5 (200 × 500) of the largest one, and at R's default
threshold by as much as R at 1e-7 differs from R at 1e-14. Only gaussian.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import linalg, sparse

from ivbridge.errors import DataError, MissingExtraError, UnsupportedError
from ivbridge.records import FloatArray
from ivbridge.selection import cv
from ivbridge.selection.cv import Problem
from ivbridge.selection.design import LassoDesign
from ivbridge.selection.mirror import MirrorLasso
from ivbridge.selection.records import LassoPath
from ivbridge.selection.spec import LassoSpec

__all__ = ["ScikitLasso"]

#: Duality gap asked for, over glmnet's threshold; both are shares of the variation of y.
GAP = 1e-3
#: Passes over the columns for one λ; at most this times nlambda in a path, as against glmnet's 1e5 for the whole.
PASSES = 20_000
#: λ solved in one call; the path is cut off between calls.
CHUNK = 10
#: glmnet's rules for the end of a path: at least so many λ, then a gain too small or a fit too good.
FEWEST, SMALLEST_GAIN, BEST_FIT = 5, 1e-5, 0.999


class ScikitLasso(MirrorLasso):
    """``sklearn.linear_model.enet_path`` under the mirror of ``cv.glmnet``."""

    name: ClassVar[str] = "sklearn"
    packages: ClassVar[tuple[str, ...]] = ("scikit-learn", "numpy", "scipy")

    def require(self) -> None:
        """Raise MissingExtraError if scikit-learn is not installed."""
        try:
            import sklearn.linear_model  # noqa: F401
        except ImportError as error:
            message = f"The sklearn LASSO engine needs the package scikit-learn: {error}."
            raise MissingExtraError(message, do="pip install 'ivbridge[sklearn]'") from error

    def check(self, design: LassoDesign) -> None:
        """Raise UnsupportedError for what scikit-learn's coordinate descent does not solve."""
        spec = design.spec
        if spec.family != "gaussian":
            message = f"family={spec.family} is not offered by the sklearn LASSO engine."
            raise UnsupportedError(message, available="gaussian; the engines native and r for binomial")
        if spec.alpha == 0:
            message = "Ridge regression (alpha=0) is not offered by the sklearn LASSO engine."
            raise UnsupportedError(message, available="alpha above 0; the engines native and r")
        if spec.alpha < 1 and len(np.unique(design.penalty[design.penalty > 0])) > 1:
            message = "Unequal penalty factors with alpha below 1 are not offered by the sklearn LASSO engine."
            raise UnsupportedError(message, available="the engines native and r")

    def solve(self, problem: Problem) -> tuple[LassoPath, list[str]]:
        """One path, and a warning where the duality gap stayed above what was asked.

        Raises
        ------
        DataError
            If no candidate varies.
        """
        parts, own = _parts(problem), problem.lambdas is None
        if problem.lambdas is None:
            largest = np.abs(parts.x.T @ parts.y).max() / max(problem.spec.alpha, 1e-3) / parts.factor
            smallest = problem.smallest
            lambdas = parts.y_scale * largest * smallest ** (np.arange(cv.NLAMBDA) / (cv.NLAMBDA - 1))
        else:
            lambdas = problem.lambdas
        found, share, warned = _descend(parts, lambdas / parts.y_scale * parts.factor, problem.spec, cut=own)
        coefs, intercepts = parts.restore(found)
        return LassoPath(lambdas[: len(found)], intercepts, coefs, share), warned


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """A problem in glmnet's scale, with the columns that have no penalty taken out by least squares.

    Attributes
    ----------
    x : (m, q) array
        Candidates that vary and have a penalty: centred, times the roots of weights that sum to 1, over ``x_scale``,
        less their projection on the columns without a penalty.
    y : (m,) array
        The same of the dependent variable, over ``y_scale``.
    penalised, free : int arrays
        Positions of the candidates with and without a penalty.
    factor : float
        What λ is multiplied by: the common penalty factor.
    whole, response : arrays
        Centred and weighted, before scaling and projection.
    """

    x: FloatArray
    y: FloatArray
    penalised: np.ndarray
    free: np.ndarray
    x_scale: FloatArray
    y_scale: float
    factor: float
    whole: FloatArray
    response: FloatArray
    means: FloatArray
    y_mean: float

    def restore(self, found: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Coefficients (L, p) and intercepts (L,) on the scale of the data."""
        coefs = np.zeros((len(found), len(self.means)))
        coefs[:, self.penalised] = found / self.x_scale * self.y_scale
        if len(self.free):
            left = self.response[:, None] - self.whole[:, self.penalised] @ coefs[:, self.penalised].T
            coefs[:, self.free] = linalg.lstsq(self.whole[:, self.free], left)[0].T
        return coefs, self.y_mean - coefs @ self.means


def _parts(problem: Problem) -> _Parts:
    spec = problem.spec
    x = problem.x.toarray() if sparse.issparse(problem.x) else problem.x
    weights = np.ones(len(problem.y)) if problem.weights is None else problem.weights
    weights = weights / weights.sum()
    root = np.sqrt(weights)
    means, y_mean = weights @ x, float(weights @ problem.y)
    varies = np.ptp(x, axis=0) > 0
    free, penalised = np.flatnonzero(varies & (problem.penalty == 0)), np.flatnonzero(varies & (problem.penalty > 0))
    if not len(penalised):
        raise DataError("No candidate with a penalty varies over the rows that are fitted.")
    spread = np.sqrt(weights @ (x[:, penalised] - means[penalised]) ** 2) if spec.standardize else 1.0
    if not spec.intercept:
        means, y_mean = np.zeros(x.shape[1]), 0.0
    whole, response = np.asfortranarray((x - means) * root[:, None]), (problem.y - y_mean) * root
    factors = problem.penalty[penalised] * (x.shape[1] / problem.penalty.sum())
    x_scale, y_scale = spread * (factors / factors[0]), float(np.linalg.norm(response))
    scaled, target = whole[:, penalised] / x_scale, response / y_scale
    if len(free):
        basis = linalg.orth(whole[:, free])
        scaled, target = scaled - basis @ (basis.T @ scaled), target - basis @ (basis.T @ target)
    shapes = {"penalised": penalised, "free": free, "x_scale": x_scale, "y_scale": y_scale, "factor": factors[0]}
    return _Parts(x=scaled, y=target, whole=whole, response=response, means=means, y_mean=y_mean, **shapes)


def _descend(
    parts: _Parts, grid: FloatArray, spec: LassoSpec, *, cut: bool
) -> tuple[FloatArray, FloatArray, list[str]]:
    """Coefficients (L, q) and shares of the variation explained (L,); with ``cut``, up to glmnet's end of the path."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import enet_path

    rows, columns = parts.x.shape
    x, y = np.asfortranarray(parts.x * np.sqrt(rows)), parts.y * np.sqrt(rows)  # its loss is divided by the rows
    gram = x.T @ x if columns <= rows else False
    found, failed, coef = [], 0, np.zeros(columns)
    for start in range(0, len(grid), CHUNK):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            _, coefs, _ = enet_path(
                x, y, l1_ratio=spec.alpha, alphas=grid[start : start + CHUNK], precompute=gram, coef_init=coef,
                tol=GAP * min(spec.threshold, 1e-7), max_iter=PASSES, check_input=False,
            )  # fmt: skip
        failed += sum(issubclass(one.category, ConvergenceWarning) for one in caught)
        coef = np.asfortranarray(coefs[:, -1])
        found.append(coefs.T)
        path = np.concatenate(found)
        if cut:
            path[0] = 0.0  # an exact solver may leave a coefficient of the size of rounding at the largest λ
        share = 1.0 - ((parts.y[:, None] - parts.x @ path.T) ** 2).sum(axis=0)
        if cut and (ends := _ends(share)):
            path, share = path[:ends], share[:ends]
            break
    warned = [f"scikit-learn reached {PASSES} passes before its duality gap was small, at {failed} λ"] if failed else []
    return path, share, warned


def _ends(share: FloatArray) -> int:
    """Length of glmnet's path, 0 if it goes on."""
    gain = np.diff(share, prepend=0.0)
    over = (gain < SMALLEST_GAIN * share) | (share > BEST_FIT)
    over[: FEWEST - 1] = False
    return int(np.argmax(over)) + 1 if over.any() else 0
