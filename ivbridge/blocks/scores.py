"""The second pass: residuals, sums of products of scores, and what a corrected step needs.

The score of row i is wᵢeᵢPᵢ; in the orthonormal coordinates Q of P it is eᵢQᵢ with both scaled by √w, so that the meat
Q'diag(e²)Q loses no digits to collinear columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from ivbridge.blocks.leverage import Discount
from ivbridge.blocks.products import products
from ivbridge.blocks.rows import Block
from ivbridge.blocks.small import Matrix
from ivbridge.degenerate import hopeless_rows
from ivbridge.records import FloatArray

__all__ = ["Many", "ScoreSums", "Scored", "Scores"]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A regression whose scores are wanted.

    Attributes
    ----------
    basis, left : (m, k), (m,) arrays
        W·basis is Q and W·left the residuals. Regressions on the same columns should share one array.
    discount : Discount or None
        Of HC2 to HC5.
    """

    basis: Matrix
    left: Matrix
    discount: Discount | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ScoreSums:
    """What the second pass adds up for one regression.

    Attributes
    ----------
    moments : (k,) array
        Q'e, zero but for rounding where Q spans the regressors.
    rss : float
        e'e.
    meat : (k, k) array
        Q'diag(e²)Q, discounted.
    clusters : tuple of (k, G) arrays
        Sums of scores by cluster, one array for each array of codes.
    cross : (m, 1+q) array
        W'e, and W' times the first-stage residuals where they were asked for.
    level : float
        Σwe without weights in e or w; only without a constant, which makes it zero.
    hopeless : int
        Rows that a discount has no value for.
    steep : float
        By how much a discount magnifies a relative error of leverages in the worst row.
    """

    moments: FloatArray
    rss: float
    meat: FloatArray
    clusters: tuple[FloatArray, ...] = ()
    cross: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))
    level: float = 0.0
    hopeless: int = 0
    steep: float = 0.0

    def __add__(self, other: ScoreSums) -> ScoreSums:
        return ScoreSums(
            self.moments + other.moments, self.rss + other.rss, self.meat + other.meat,
            tuple(a + b for a, b in zip(self.clusters, other.clusters, strict=True)), self.cross + other.cross,
            self.level + other.level, self.hopeless + other.hopeless, max(self.steep, other.steep),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Many:
    """The sums of several regressions.

    Attributes
    ----------
    each : tuple of ScoreSums
    weight : float
        Sum of the weights; rows where there are none.
    weighted : bool
        Whether there are weights.
    """

    each: tuple[ScoreSums, ...]
    weight: float
    weighted: bool

    def __add__(self, other: Many) -> Many:
        each = tuple(a + b for a, b in zip(self.each, other.each, strict=True))
        return Many(each, self.weight + other.weight, self.weighted or other.weighted)


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """The second pass.

    Attributes
    ----------
    shift, width
        As in the first pass.
    regressions : tuple of Scored
    groups : tuple of int
        Number of clusters in each array of codes; empty where rows are their own clusters.
    stages : (m, q) array or None
        W·stages are the first-stage residuals that the first regression needs for its corrected step.
    meat : bool, default True
        Whether products of the scores of single rows are wanted.
    """

    shift: FloatArray | None
    width: int
    regressions: tuple[Scored, ...]
    groups: tuple[int, ...] = ()
    stages: FloatArray | None = None
    meat: bool = True

    def __call__(self, blocks: Iterable[Block]) -> Many:
        m = self.width + (self.shift is not None)
        stages = 0 if self.stages is None else self.stages.shape[1]
        lefts: Matrix = np.array([one.left for one in self.regressions])
        if self.stages is not None:
            lefts = np.concatenate([lefts, self.stages.T])
        turns = self._bases()
        order = {id(basis): i for i, basis in enumerate(turns, 1)}
        q = len(self.regressions)
        sums = [_Running.of(one.basis.shape[1], self.groups, m, stages * (i == 0))
                for i, one in enumerate(self.regressions)]  # fmt: skip
        weight, weighted = 0.0, False
        transposed = [lefts, *(turn.T for turn in turns)]
        for piece, turned, block in products(blocks, self.shift, self.width, transposed):
            weight += piece.shape[1] if block.weights is None else float(block.weights.sum())
            weighted |= block.weights is not None
            if stages:
                sums[0].cross += piece @ np.vstack([turned[0][:1], turned[0][q:]]).T
            for one, e, total in zip(self.regressions, turned[0], sums, strict=False):
                hat = None
                if one.discount is not None:
                    found = one.discount.leverage
                    first, second = turned[order[id(found.first)]], turned[order[id(found.second)]]
                    hat = found.of_rows(first, second, block.weights)
                self._add(total, one.discount, hat, (turned[order[id(one.basis)]], e, block))
        return Many(tuple(total.frozen() for total in sums), weight, weighted)

    def _bases(self) -> list[Matrix]:
        """Everything (m, k) that rows are multiplied with, once."""
        found: list[Matrix] = []
        for one in self.regressions:
            found.append(one.basis)
            if one.discount is not None:
                found += [one.discount.leverage.first, one.discount.leverage.second]
        return list({id(basis): basis for basis in found}.values())

    def _add(
        self, total: _Running, discount: Discount | None, hat: FloatArray | None,
        rows: tuple[FloatArray, FloatArray, Block],
    ) -> None:  # fmt: skip
        """One block of one regression."""
        basis, e, block = rows
        total.moments += basis @ e
        total.squares += float(e @ e)
        if self.shift is None:
            total.level += float(e.sum() if block.weights is None else e @ np.sqrt(block.weights))
        if discount is not None and hat is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                exponent = discount.exponent(hat)
                omega = e**2 / (1 - hat) ** exponent
                total.steep = max(total.steep, float(np.max(np.abs(exponent * hat / (1 - hat)), initial=0.0)))
                total.hopeless += hopeless_rows(hat, omega)
                e = np.sqrt(omega)
        if not (self.meat or self.groups):
            return
        if total.scores.shape != basis.shape:
            total.scores = np.empty(basis.shape)
        scores = np.multiply(basis, e, out=total.scores)
        if self.meat:
            total.meat += scores @ scores.T
        for codes, by in zip(block.codes, total.clusters, strict=True) if self.groups else ():
            for column, sum_ in zip(scores, by, strict=True):
                np.add.at(sum_, codes, column)


@dataclass(slots=True, eq=False)
class _Running:
    """Sums that still grow, in place."""

    moments: FloatArray
    squares: float
    meat: FloatArray
    clusters: tuple[FloatArray, ...]
    cross: FloatArray
    level: float = 0.0
    hopeless: int = 0
    steep: float = 0.0
    scores: FloatArray = field(default_factory=lambda: np.empty((0, 0)))

    @classmethod
    def of(cls, k: int, groups: tuple[int, ...], m: int, stages: int) -> _Running:
        clusters = tuple(np.zeros((k, count)) for count in groups)
        cross = np.zeros((m, 1 + stages) if stages and m else (0, 0))
        return cls(np.zeros(k), 0.0, np.zeros((k, k)), clusters, cross)

    def frozen(self) -> ScoreSums:
        return ScoreSums(
            self.moments, self.squares, self.meat, self.clusters, self.cross, self.level, self.hopeless, self.steep
        )
