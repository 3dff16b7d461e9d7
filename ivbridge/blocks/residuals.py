"""Residuals of all rows: a pass that keeps something of every row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ivbridge.blocks.products import products
from ivbridge.blocks.rows import Block
from ivbridge.blocks.small import Matrix
from ivbridge.records import FloatArray

__all__ = ["Listed", "Residuals"]


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """Rows one after the other, in parts, and the weighted sums of their squares, (q,)."""

    parts: tuple[FloatArray, ...]
    squares: FloatArray

    def __add__(self, other: Listed) -> Listed:
        return Listed(self.parts + other.parts, self.squares + other.squares)

    def joined(self) -> FloatArray:
        """All rows, (q, n)."""
        return self.parts[0] if len(self.parts) == 1 else np.hstack(self.parts)


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """The part function of W·left without the roots of the weights.

    Attributes
    ----------
    shift, width
        As in the first pass.
    left : (m, q) array
    """

    shift: FloatArray | None
    width: int
    left: Matrix

    def __call__(self, blocks: Iterable[Block]) -> Listed:
        parts, squares = [], np.zeros(self.left.shape[1])
        for _, (rest,), block in products(blocks, self.shift, self.width, [np.ascontiguousarray(self.left.T)]):
            squares += np.sum(rest**2, axis=1)
            parts.append(rest.copy() if block.weights is None else rest / np.sqrt(block.weights))
        return Listed((np.hstack(parts),) if parts else (), squares)
