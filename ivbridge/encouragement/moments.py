"""Sums over the arms of every experiment at once: all that differences in means, Wald ratios and profiles need.

One pass over blocks of users; outcome, behavior and controls are centred by their means first, so that sums of squares
keep their digits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ivbridge.encouragement.users import Users
from ivbridge.records import FloatArray

__all__ = ["ArmMoments", "arm_moments", "row_blocks"]

#: Cells of one block of float64 work space: 32 MiB.
_CELLS = 1 << 22


@dataclass(frozen=True, slots=True, eq=False)
class ArmMoments:
    """Sums by arm.

    Attributes
    ----------
    columns : dict of tuple of str to int
        Place of a product: ``("y",)``, ``("x", "y")``, ``("d", "k0")``, …, factors in sorted order; ``()`` counts.
        Factors y, x and k0, k1, … are centred; d is the raw behavior.
    sums : (2, J, m) array
        Control arm first.
    means : dict of str to float
        What was subtracted from y, x and each control.
    """

    columns: dict[tuple[str, ...], int]
    sums: FloatArray
    means: dict[str, float]

    def total(self, arm: int, *factors: str) -> FloatArray:
        """Σ of a product over an arm, (J,)."""
        return np.asarray(self.sums[arm, :, self.columns[tuple(sorted(factors))]])

    def size(self, arm: int) -> FloatArray:
        """Users in an arm, (J,)."""
        return self.total(arm)

    def mean(self, arm: int, *factors: str) -> FloatArray:
        """Mean of a product over an arm, (J,)."""
        return np.asarray(self.total(arm, *factors) / self.size(arm))

    def scatter(self, arm: int, first: str, second: str) -> FloatArray:
        """Σ(a − ā)(b − b̄) over an arm, (J,); of a column with itself never below zero, where rounding may put it."""
        product = self.total(arm, first) * self.total(arm, second) / self.size(arm)
        scatter = np.asarray(self.total(arm, first, second) - product)
        return np.maximum(scatter, 0.0) if first == second else scatter


def arm_moments(users: Users, *, profile: bool) -> ArmMoments:
    """Make the sums.

    Parameters
    ----------
    users : Users
    profile : bool
        Also those with the behavior times controls, which the profile of compliers needs.
    """
    products = _products(len(users.controls), profile=profile)
    means = {"y": float(users.y.mean()), "x": float(users.x.mean())}
    means |= {f"k{a}": float(users.k[:, a].mean()) for a in range(len(users.controls))}
    patterns = users.indicators
    treated = np.zeros((len(users.experiments), len(products)))
    inside = np.zeros((len(patterns), len(products)))
    everyone = np.zeros(len(products))
    marks = [users.enrolled[members[0]] for members in patterns.values()]
    rows = sparse.csr_array(users.assignment) if sparse.issparse(users.assignment) else users.assignment
    for start, stop in row_blocks(users.n, len(users.experiments) + len(products)):
        values = _block(users, means, products, start, stop)
        block = rows[start:stop]
        treated += (block if sparse.issparse(block) else block.astype(np.float64)).T @ values
        everyone += values.sum(axis=0)
        for p, mark in enumerate(marks):
            inside[p] += mark[start:stop].astype(np.float64) @ values
    all_arms = np.tile(everyone, (len(users.experiments), 1))
    place = {name: j for j, name in enumerate(users.experiments)}
    for p, members in enumerate(patterns.values()):
        all_arms[[place[name] for name in members]] = inside[p]
    return ArmMoments(
        {product: m for m, product in enumerate(products)}, np.stack([all_arms - treated, treated]), means
    )


def row_blocks(n: int, width: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows whose block of ``width`` columns of float64 stays within 32 MiB."""
    size = max(_CELLS // max(width, 1), 256)
    for start in range(0, n, size):
        yield start, min(start + size, n)


def _products(controls: int, *, profile: bool) -> list[tuple[str, ...]]:
    names = [f"k{a}" for a in range(controls)]
    found: list[tuple[str, ...]] = [(), ("x",), ("y",), ("x", "x"), ("x", "y"), ("y", "y")]
    found += [(name,) for name in names]
    found += [(names[a], names[b]) for a in range(controls) for b in range(a, controls)]
    if profile:
        found += [("d",)] + [("d", name) for name in names] + [("d", name, name) for name in names]
    return [tuple(sorted(product)) for product in found]


def _block(users: Users, means: dict[str, float], products: list[tuple[str, ...]], start: int, stop: int) -> FloatArray:
    factors = {"y": users.y[start:stop] - means["y"], "x": users.x[start:stop] - means["x"], "d": users.x[start:stop]}
    factors |= {f"k{a}": users.k[start:stop, a] - means[f"k{a}"] for a in range(users.k.shape[1])}
    values = np.ones((stop - start, len(products)))
    for m, product in enumerate(products):
        for factor in product:
            values[:, m] *= factors[factor]
    return values
