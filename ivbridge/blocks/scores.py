"""The second pass: residuals, sums of products of scores, and what a corrected step needs.

The score of row i is wᵢeᵢPᵢ; in the orthonormal coordinates Q of P it is eᵢQᵢ with both scaled by √w, so that the meat
Q'diag(e²)Q loses no digits to collinear columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from ivbridge.blocks.rows import Block
from ivbridge.blocks.sums import loaded
from ivbridge.records import FloatArray

__all__ = ["ScoreSums", "Scored", "Scores"]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A regression whose scores are wanted: W·basis is Q, (n, k), and W·left its residuals, (n,)."""

    basis: FloatArray
    left: FloatArray


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
        Q'diag(e²)Q.
    clusters : tuple of (k, G) arrays
        Sums of scores by cluster, one array for each array of codes.
    cross : (m, 1+q) array
        W'e, and W' times the first-stage residuals where they were asked for.
    """

    moments: FloatArray
    rss: float
    meat: FloatArray
    clusters: tuple[FloatArray, ...] = ()
    cross: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))

    def __add__(self, other: ScoreSums) -> ScoreSums:
        return ScoreSums(
            self.moments + other.moments, self.rss + other.rss, self.meat + other.meat,
            tuple(a + b for a, b in zip(self.clusters, other.clusters, strict=True)), self.cross + other.cross,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Many:
    """The sums of several regressions."""

    each: tuple[ScoreSums, ...]

    def __add__(self, other: Many) -> Many:
        return Many(tuple(a + b for a, b in zip(self.each, other.each, strict=True)))


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
        W·stages are the first-stage residuals.
    """

    shift: FloatArray | None
    width: int
    regressions: tuple[Scored, ...]
    groups: tuple[int, ...] = ()
    stages: FloatArray | None = None

    def __call__(self, blocks: Iterable[Block]) -> Many:
        m = self.width + (self.shift is not None)
        turns = [np.ascontiguousarray(np.column_stack([one.basis, one.left]).T) for one in self.regressions]
        sums = [self._empty(m, len(turn) - 1) for turn in turns]
        for piece, block in loaded(blocks, self.shift, self.width):
            rest = [] if self.stages is None else [self.stages.T @ piece]
            for turn, total in zip(turns, sums, strict=True):
                turned = turn @ piece
                scores, e = turned[:-1], turned[-1]
                if rest:
                    total.cross[:] += piece @ np.vstack([e, *rest]).T
                scores *= e
                total.moments[:] += scores.sum(axis=1)
                total.squares += float(e @ e)
                if self.groups:
                    for codes, by in zip(block.codes, total.clusters, strict=True):
                        for column, sum_ in zip(scores, by, strict=True):
                            np.add.at(sum_, codes, column)
                else:
                    total.meat[:] += scores @ scores.T
        return Many(tuple(total.frozen() for total in sums))

    def _empty(self, m: int, k: int) -> _Running:
        stages = 0 if self.stages is None else 1 + self.stages.shape[1]
        clusters = tuple(np.zeros((k, count)) for count in self.groups)
        return _Running(np.zeros(k), 0.0, np.zeros((k, k)), clusters, np.zeros((m, stages)))


@dataclass(slots=True, eq=False)
class _Running:
    """Sums that still grow, in place."""

    moments: FloatArray
    squares: float
    meat: FloatArray
    clusters: tuple[FloatArray, ...]
    cross: FloatArray

    def frozen(self) -> ScoreSums:
        return ScoreSums(self.moments, self.squares, self.meat, self.clusters, self.cross)
