"""Matching: whom a unit is compared with, the effect that follows, and its standard error.

A distance is Euclidean in coordinates that :func:`scaled` or :func:`whitened` makes. With replacement each unit gets
its nearest units of the other arm, all of them where several are equally near. Without replacement treated units choose
one after the other, and a control is gone once it is taken.

Standard errors: Abadie and Imbens (2006, Econometrica 74(1), 235-267) with replacement, the variance of pair
differences without. The bias adjustment is that of Abadie and Imbens (2011, JBES 29(1), 1-11).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from ivbridge.errors import DataError, DesignError
from ivbridge.records import FloatArray, IntArray

__all__ = [
    "Effect", "Matches", "greedy", "matched_effect", "nearest", "nearest_spread", "paired_effect", "scaled",
    "unit_weights", "whitened",
]  # fmt: skip

#: Squared distances in standard deviations that differ by less are equal; rounding is a hundredth of it.
TIE = 1e-14
#: Candidates that are looked at at once; more come from covariates with few values in many units.
MOST = 50_000_000
#: A score whose standard deviation is smaller says nothing: what is left of it is rounding.
FLAT = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """Who is compared with whom.

    Attributes
    ----------
    unit, partner : (m,) int arrays
        A unit, and one of its matches from the other arm; a unit with several matches has several rows.
    weight : (m,) array
        Of the match among the matches of its unit; they sum to 1.
    distance : (m,) array
    dropped : (d,) int array
        Units without a match within the caliper.
    """

    unit: IntArray
    partner: IntArray
    weight: FloatArray
    distance: FloatArray
    dropped: IntArray

    def joined(self, other: Matches) -> Matches:
        """These matches and those of other units."""
        return Matches(*(np.concatenate([getattr(self, one.name), getattr(other, one.name)]) for one in fields(self)))

    def used(self, n: int) -> FloatArray:
        """(n,) how often each unit serves as a match, in parts of the units it serves."""
        return _sums(self.partner, self.weight, n)

    def frame(self, differences: FloatArray) -> pd.DataFrame:
        """One row for each match: unit, match, weight, distance, and the difference in the dependent variable."""
        return pd.DataFrame(
            {"unit": self.unit, "match": self.partner, "weight": self.weight, "distance": self.distance,
             "difference": differences}
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Effect:
    """A matching estimate: effect, standard error, and treated minus control for each match, (m,)."""

    estimate: float
    std_error: float
    differences: FloatArray


def unit_weights(table: pd.DataFrame | None, n: int) -> FloatArray:
    """(n,) weights of the units in a matched comparison: 1 for a unit that was matched, plus its use as a match.

    Parameters
    ----------
    table : DataFrame
        The ``table`` of a matching method's answer.
    n : int
        Units in the data.

    Raises
    ------
    DataError
        If it is not the table of a matching method.
    """
    if table is None or not {"unit", "match", "weight"} <= set(table.columns):
        raise DataError("This is not a table of matches.", do="give the answer.table of a matching method.")
    weights = _sums(table["match"].to_numpy(), table["weight"].to_numpy(), n)
    weights[table["unit"].unique()] += 1
    return weights


def scaled(score: FloatArray) -> FloatArray:
    """(n, 1) a score in its standard deviations over all units; zeros, so that all are equally near, if it is flat."""
    spread = score.std(ddof=1)
    apart = score - score.mean()
    return np.asarray(apart / spread if spread > FLAT else np.zeros_like(apart))[:, None]


def whitened(x: FloatArray, t: FloatArray, *, within: bool) -> FloatArray:
    """(n, p) coordinates whose Euclidean distance is Mahalanobis'.

    Parameters
    ----------
    x, t : (n, p), (n,) arrays
        Covariates on like scales, so that dependence can be told from rounding; and the treatment.
    within : bool
        Take the covariance within the arms (MatchIt's), pooled with n - 2; else over all units (Matching's).

    Raises
    ------
    DesignError
        If the covariates are linearly dependent.
    """
    centred = x - x.mean(axis=0)
    apart = centred.copy()
    if within:
        for arm in (0.0, 1.0):
            apart[t == arm] -= apart[t == arm].mean(axis=0)
    _, r = np.linalg.qr(apart)
    if not np.abs(np.diag(r)).min() > 1e-9 * math.sqrt(len(t)):
        raise DesignError("The covariates are linearly dependent.", do="leave one of them out.")
    freedom = len(t) - (2 if within else 1)
    return np.asarray(np.linalg.solve(r.T, centred.T).T * math.sqrt(freedom))


def nearest(
    place: FloatArray, units: IntArray, donors: IntArray, neighbours: int = 1, caliper: float = math.inf
) -> Matches:
    """Match with replacement.

    Parameters
    ----------
    place : (n, k) array
        Coordinates of all units.
    units, donors : int arrays
        Whom to match, and from whom.
    neighbours : int, default 1
        Matches for each unit; more where several are equally near as the last.
    caliper : float, default inf
        Largest distance; a unit that has fewer neighbours within it is dropped.

    Raises
    ------
    DesignError
        If there are fewer donors than neighbours, or no unit has a match within the caliper.
    """
    if len(donors) < neighbours:
        raise DesignError(f"{neighbours} matches were asked of {len(donors)} units.", do="ask for fewer neighbours.")
    found, apart, inside = _candidates(place, units, donors, neighbours)
    inside &= (apart[:, neighbours - 1] <= caliper)[:, None]
    row, column = np.nonzero(inside)
    _some(len(row), caliper)
    each = inside.sum(axis=1)
    return Matches(
        units[row], donors[found[row, column]], 1.0 / each[row], apart[row, column], units[each == 0]
    )  # fmt: skip


def _candidates(
    place: FloatArray, units: IntArray, donors: IntArray, neighbours: int
) -> tuple[IntArray, FloatArray, np.ndarray]:
    """(u, k) donors by distance, their distances, and which of them are matches; k grows until no tie is cut off."""
    tree, asked = cKDTree(place[donors]), min(neighbours + 4, len(donors))
    while True:
        if len(units) * asked > MOST:
            raise DesignError(
                f"{len(units)} units have {asked} and more units that are equally near: the covariates make few cells.",
                do="compare within the cells: stratification.",
            )
        apart, found = tree.query(place[units], k=np.arange(1, asked + 1))
        inside = apart**2 <= apart[:, [neighbours - 1]] ** 2 + TIE
        if asked == len(donors) or not inside[:, -1].any():
            return found, apart, inside
        asked = min(2 * asked, len(donors))


def greedy(place: FloatArray, units: Sequence[int] | IntArray, donors: IntArray, caliper: float = math.inf) -> Matches:
    """Match pairs without replacement; units choose in the order in which they are given.

    Raises
    ------
    DesignError
        If no unit has a match within the caliper.
    """
    others, free = place[donors], np.ones(len(donors), dtype=bool)
    pairs: list[tuple[int, int, float]] = []
    for unit in units:
        apart = np.sqrt(((others - place[unit]) ** 2).sum(axis=1))
        apart[~free] = math.inf
        best = int(apart.argmin())
        if free[best] and apart[best] <= caliper:
            free[best] = False
            pairs.append((int(unit), int(donors[best]), float(apart[best])))
    _some(len(pairs), caliper)
    chosen, partner, distance = (np.array(column) for column in zip(*pairs, strict=True))
    return Matches(chosen, partner, np.ones(len(pairs)), distance, np.setdiff1d(units, chosen))


def _some(matches: int, caliper: float) -> None:
    if not matches:
        raise DesignError(f"No unit has a match within the caliper of {caliper:g}.", do="widen the caliper.")


def matched_effect(
    y: FloatArray, t: FloatArray, matches: Matches, spread: FloatArray, adjust: FloatArray | None = None
) -> Effect:
    """Effect on the matched units, with replacement; the variance is that of sampling from a population.

    With K the use of a unit as a match, k2 the sum of its squared match weights and N matched units, the variance is
    (Σ (τᵢ - τ)² + Σ s² (K² + 2K·[unit is matched itself] - k2)) / N²: Abadie and Imbens (2006), theorems 6 and 7.

    Parameters
    ----------
    y, t : (n,) arrays
    matches : Matches
    spread : (n,) array
        s², the variance of the dependent variable given the coordinates and the arm; see :func:`nearest_spread`.
    adjust : (n, q) array, optional
        Covariates of the bias adjustment: least squares in each arm, on its units in use as matches, weighted by use.
    """
    n, sign = len(y), np.where(t[matches.unit] == 1, 1.0, -1.0)
    use, squared = matches.used(n), _sums(matches.partner, matches.weight**2, n)
    differences = y[matches.unit] - y[matches.partner]
    if adjust is not None:
        for arm in np.unique(t[matches.partner]):
            slope = _slopes(y, adjust, use * (t == arm))
            of_arm = t[matches.partner] == arm
            differences[of_arm] -= (adjust[matches.unit] - adjust[matches.partner])[of_arm] @ slope
    differences = sign * differences
    matched = np.unique(matches.unit)
    of_unit = _sums(matches.unit, matches.weight * differences, n)[matched]
    estimate = float(of_unit.mean())
    itself = np.isin(np.arange(n), matched)
    variance = ((of_unit - estimate) ** 2).sum() + (spread * (use**2 + 2 * use * itself - squared)).sum()
    return Effect(estimate, math.sqrt(variance) / len(matched), differences)


def nearest_spread(y: FloatArray, t: FloatArray, place: FloatArray, neighbours: int = 1) -> FloatArray:
    """(n,) variance of y among each unit and its nearest units of the same arm, as R's Matching has it.

    With one neighbour, half a squared difference, it is the estimator of Abadie and Imbens (2006), who with J of them
    take J/(J + 1) times the squared distance to their mean. Both are unbiased where the mean does not differ.

    Raises
    ------
    DesignError
        If an arm has too few units.
    """
    spread = np.empty(len(y))
    for arm in (0.0, 1.0):
        units = np.flatnonzero(t == arm)
        if len(units) <= neighbours:
            raise DesignError(f"The variance needs {neighbours + 1} units in each arm; one has {len(units)}.")
        found, _, inside = _candidates(place, units, units, neighbours + 1)
        values, count = y[units][found], inside.sum(axis=1)
        mean = (values * inside).sum(axis=1) / count
        spread[units] = ((values - mean[:, None]) ** 2 * inside).sum(axis=1) / (count - 1)
    return spread


def paired_effect(y: FloatArray, t: FloatArray, matches: Matches, adjust: FloatArray | None = None) -> Effect:
    """Effect from G pairs without replacement; the standard error is clustered by pair, times sqrt(G/(G - 1)).

    Without covariates that is the paired t-test's. With them it is least squares in the matched sample, whose errors
    are right given the linear model; Abadie and Spiess (2022, JASA 117(538), 983-995).

    Parameters
    ----------
    y, t : (n,) arrays
    matches : Matches
        Of treated units, each with one partner that no other unit has.
    adjust : (n, q) array, optional
        Covariates of the regression.
    """
    pairs = len(matches.unit)
    if pairs < 2:
        raise DesignError("A standard error needs two pairs.", do="widen the caliper.")
    rows = np.r_[matches.unit, matches.partner]
    x = np.empty((len(y), 0)) if adjust is None else adjust
    held = x[rows] - x[rows].mean(axis=0)
    design = np.column_stack([t[rows], np.ones(len(rows)), held])
    q, r = np.linalg.qr(design)
    if not np.abs(np.diag(r) / np.linalg.norm(design, axis=0)).min() > 1e-9:
        raise DesignError("The covariates are linearly dependent in the matched sample.", do="leave one of them out.")
    coef = np.linalg.solve(r, q.T @ y[rows])
    own = np.linalg.solve(r, q.T)[0] * (y[rows] - design @ coef)
    variance = float(((own[:pairs] + own[pairs:]) ** 2).sum()) * pairs / (pairs - 1)
    left = y[rows] - held @ coef[2:]
    return Effect(float(coef[0]), math.sqrt(variance), left[:pairs] - left[pairs:])


def _sums(place: IntArray, values: FloatArray, n: int) -> FloatArray:
    """(n,) sums of the values at each place."""
    return np.asarray(np.bincount(place, values, n), dtype=np.float64)


def _slopes(y: FloatArray, x: FloatArray, weights: FloatArray) -> FloatArray:
    """(q,) slopes of weighted least squares on a constant and x."""
    rows = weights > 0
    design = np.column_stack([np.ones(int(rows.sum())), (x[rows] - x[rows].mean(axis=0)) / x.std(axis=0)])
    root = np.sqrt(weights[rows])
    coef, _, rank, _ = np.linalg.lstsq(design * root[:, None], y[rows] * root, rcond=1e-12)
    if rank < design.shape[1]:
        raise DesignError("The covariates are linearly dependent among the units in use as matches.",
                          do="leave one of them out, or estimate without the adjustment.")  # fmt: skip
    return np.asarray(coef[1:] / x.std(axis=0))
