"""Near-ties: what a selected set hangs on, and how thin the thread is.

Three things can change a set without anybody having made a mistake: a coefficient that is as small as what coordinate
descent leaves undecided when it stops (or a candidate outside the set as close to entering), a cross-validated loss
that nearly equals the one that decided the index of λ, and a candidate that says the same as a selected one.

How much is undecided is measured on the answer itself. At the optimum the gradient of the loss at every selected
candidate equals its penalty; where it does not, one Newton step on the selected candidates tells how far their
coefficients, and the gradients of all others, still are from where they would come to rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import linalg

from ivbridge.records import FloatArray
from ivbridge.selection.design import LassoDesign
from ivbridge.selection.moments import Moments, moments
from ivbridge.selection.records import LassoFit
from ivbridge.selection.rules import Rule, parse_rule

__all__ = ["NearTie", "fragility"]

#: A tie if what decides is below twice the measured error, which is itself only a first-order estimate …
FACTOR = 2.0
#: … or below this share of the largest coefficient or of the penalty: the error of the inner products themselves.
ROUNDING = 1e-10
#: A λ hangs on a thread if losses differ by less than this share of the standard error of the smallest one: a
#: thousandth of a standard error says nothing about which λ predicts better.
SHARE = 1e-3
#: Correlation above which two candidates say the same.
SAME = 1 - 1e-8


@dataclass(frozen=True, slots=True)
class NearTie:
    """One thing that a selected set hangs on.

    Attributes
    ----------
    kind : {"leaves", "enters", "index", "collinear"}
        A selected coefficient as good as zero, a candidate about to enter, a λ that could be its neighbour, two
        candidates that say the same.
    rule : {"min", "1se"}
    terms : tuple of str
        The candidates that would come or go; for ``collinear`` the selected one, then its twins.
    closeness : float
        For ``leaves`` the coefficient over its error, for ``enters`` the distance to the penalty over its error; for
        ``index`` the difference of losses in standard errors; for ``collinear`` 1 − |correlation|.
    sentence : str
        The same for a reader.
    """

    kind: Literal["leaves", "enters", "index", "collinear"]
    rule: str
    terms: tuple[str, ...]
    closeness: float
    sentence: str


def fragility(
    design: LassoDesign, fit: LassoFit, rule: str | Rule | None = None, found: Moments | None = None
) -> tuple[NearTie, ...]:
    """What the set that a rule selects hangs on.

    Parameters
    ----------
    design : LassoDesign
        The matrices of the fit.
    fit : LassoFit
    rule : str or Rule, optional
        ``min`` or ``1se``; default: the question's.
    found : Moments, optional
        Of the design, if they are at hand.

    Returns
    -------
    tuple of NearTie
        Empty when nothing is close.
    """
    name = str(parse_rule(fit.spec.rule if rule is None else rule))
    found = moments(design) if found is None else found
    at = fit.index(name)
    ties = list(_index_ties(fit, name, at))
    # ridge selects everything; and the first λ is the one at which the first candidate enters, by definition
    if design.spec.alpha == 0 or (at == 0 and design.spec.lambdas is None):
        return tuple(ties)
    active = np.flatnonzero(fit.path.coefs[at])
    twins = list(_collinear(fit, name, active, found))
    known = {term for tie in twins for term in tie.terms}
    entries = [tie for tie in _undecided(fit, name, at, found) if not set(tie.terms) <= known]
    return (*ties, *twins, *entries)


def _index_ties(fit: LassoFit, rule: str, at: int) -> Iterator[NearTie]:
    """Neighbouring penalties with a loss as good as the one that decided."""
    error = fit.cvsd[fit.index_min]
    sign = -1.0 if fit.spec.measure == "auc" else 1.0  # the only measure of which more is better
    loss = sign * fit.cvm
    limit = loss[fit.index_min] + (error if rule == "1se" else 0.0)
    for other in {"min": (at - 1, at + 1), "1se": (at - 1, at)}[rule]:
        if not 0 <= other < len(loss) or not error > 0 or (rule == "1se" and at == fit.index_min):
            continue
        closeness = float(abs(loss[other] - limit) / error)
        moved_to = at + 1 if other == at else other
        changed = _changed(fit, at, moved_to)
        if closeness < SHARE and changed:
            verb = {"min": "is larger than the smallest one by", "1se": "misses or keeps its limit by"}[rule]
            yield NearTie(
                "index",
                rule,
                changed,
                closeness,
                f"lambda.{rule} is number {at + 1} of the path, and the loss at number {other + 1} {verb} only "
                f"{closeness:.1e} standard errors; with number {moved_to + 1} the set would change by {_some(changed)}",
            )


def _changed(fit: LassoFit, one: int, two: int) -> tuple[str, ...]:
    if not 0 <= two < len(fit.path.lambdas):
        return ()
    differs = (fit.path.coefs[one] != 0) != (fit.path.coefs[two] != 0)
    return tuple(name for name, changes in zip(fit.names, differs, strict=True) if changes)


def _some(names: tuple[str, ...], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _collinear(fit: LassoFit, rule: str, active: np.ndarray, found: Moments) -> Iterator[NearTie]:
    spreads = found.spreads
    if not len(active):
        return
    columns = found.gathered(active)
    columns = (columns - found.means[active]) / np.where(spreads[active] > 0, spreads[active], 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = found.products(columns, np.empty(0, dtype=int), found.weights) * (found.scales / spreads)[:, None]
        correlation[spreads == 0] = 0.0
    for k, j in enumerate(active):
        close = np.flatnonzero(np.abs(correlation[:, k]) > SAME)
        twins = [int(i) for i in close if i != j and not (i in active and i < j)]
        if twins:
            names = tuple(fit.names[i] for i in twins)
            apart = float(max(0.0, 1 - np.abs(correlation[twins, k]).min()))
            relation = "equals" if apart < ROUNDING else "is nearly the same as"
            yield NearTie(
                "collinear",
                rule,
                (fit.names[j], *names),
                apart,
                f"lambda.{rule} selects {fit.names[j]}, which {relation} {_some(names)} up to scale (correlation off 1 "
                f"by {apart:.0e}): the data cannot tell which of them matters, the order of the columns decided",
            )


def _undecided(fit: LassoFit, rule: str, at: int, found: Moments) -> Iterator[NearTie]:
    """Candidates whose coefficient, or whose distance to entering, is within what the solver left undecided."""
    coefs = fit.path.coefs[at] * found.scales
    wanted, gradient, residual_weights = _gradients(fit, at, found)
    active = np.flatnonzero(coefs)
    step, moved = np.zeros(0), np.zeros(len(coefs))
    if len(active):
        cross = _curvature(found, active, residual_weights)
        ridge = _ridge(fit, at, found)[active]
        step = linalg.lstsq(cross[active] + np.diag(ridge), (gradient - wanted)[active])[0]
        moved = cross @ step
    largest = float(np.abs(coefs).max(initial=0.0))
    factors = _penalties(fit, at)
    for j, size in zip(active, np.abs(step), strict=True):
        error = max(float(FACTOR * size), ROUNDING * largest)
        if factors[j] > 0 and abs(coefs[j]) < error:
            yield NearTie(
                "leaves",
                rule,
                (fit.names[j],),
                float(abs(coefs[j]) / error),
                f"{fit.names[j]} is selected at lambda.{rule} with a coefficient of {fit.path.coefs[at, j]:.2e}; what "
                f"the stopping rule leaves undecided, {error / found.scales[j]:.1e}, is more: it could as well be zero",
            )
    for j in np.flatnonzero((coefs == 0) & (found.spreads > 0) & (factors > 0)):
        slack, error = factors[j] - abs(gradient[j]), max(float(FACTOR * abs(moved[j])), ROUNDING * factors[j])
        if slack < error:
            yield NearTie(
                "enters",
                rule,
                (fit.names[j],),
                float(max(slack, 0.0) / error),
                f"{fit.names[j]} is not selected at lambda.{rule}, but its pull on the fit is "
                f"{_percent(slack, factors[j])} of the penalty; what the stopping rule leaves undecided is larger: it "
                "could as well be selected",
            )


def _percent(slack: float, penalty: float) -> str:
    return f"{100 * (1 - slack / penalty):.4f} %"


def _penalties(fit: LassoFit, at: int) -> FloatArray:
    """(p,) LASSO penalty of each candidate."""
    asked = np.ones(len(fit.names)) if fit.spec.penalty_factor is None else np.array(fit.spec.penalty_factor)
    factors = asked * len(asked) / asked.sum()
    return np.asarray(factors * fit.path.lambdas[at] * fit.spec.alpha)


def _ridge(fit: LassoFit, at: int, found: Moments) -> FloatArray:
    """(p,) ridge penalty; for gaussian glmnet divides it by the spread of y."""
    if fit.spec.alpha == 1:
        return np.zeros(len(fit.names))
    scale = found.y_spread if fit.spec.family == "gaussian" else 1.0
    return np.asarray(_penalties(fit, at) / fit.spec.alpha * (1 - fit.spec.alpha) / scale)


def _gradients(fit: LassoFit, at: int, found: Moments) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(p,) gradients at an optimum where the coefficient is not zero, (p,) gradients of the fit, (n,) curvatures."""
    coefs, y = fit.path.coefs[at], found.design.y
    predictor = found.predictor(float(fit.path.intercepts[at]), coefs)
    curvature = found.weights
    if fit.spec.family == "binomial":
        predictor = 1 / (1 + np.exp(-predictor))
        curvature = found.weights * predictor * (1 - predictor)
    gradient = found.products((y - predictor)[:, None], np.empty(0, dtype=int), found.weights)[:, 0]
    wanted = _penalties(fit, at) * np.sign(coefs) + _ridge(fit, at, found) * coefs * found.scales
    return wanted, gradient, curvature


def _curvature(found: Moments, active: np.ndarray, curvature: FloatArray) -> FloatArray:
    """(p, k) second derivatives of the loss between all candidates and the active ones."""
    return found.products(found.gathered(active), active, curvature)
