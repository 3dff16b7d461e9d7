"""The sums of one block, and how two of them are joined.

In these modules W is the (n, m) matrix of all columns: the constant first where the model has one, then the columns of
the blocks minus a shift. With weights every row, that of the constant too, is multiplied by the square root of its
weight. Buffers hold W transposed, (m, b), so that each column is one run of memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ivbridge.blocks.rows import Block
from ivbridge.records import FloatArray

__all__ = ["Cross", "CrossProducts", "Triangle", "TriangleOf", "loaded"]


def loaded(blocks: Iterable[Block], shift: FloatArray | None, width: int) -> Iterator[tuple[FloatArray, Block]]:
    """Each block as a piece of W, (m, b), and the block itself; the piece is overwritten by the next one.

    Parameters
    ----------
    blocks : iterable of Block
    shift : (width,) array or None
        What is subtracted from each column; None for a model without a constant, whose W has none.
    width : int
    """
    constant = shift is not None
    buffer = np.empty((width + constant, 0))
    for block in blocks:
        size = len(block.columns[0])
        if buffer.shape[1] < size:
            buffer = np.empty((width + constant, size))
            if constant:
                buffer[0] = 1.0
        piece = buffer[:, :size] if size < buffer.shape[1] else buffer
        rest = piece[1:] if constant else piece
        for j, column in enumerate(block.columns):
            if shift is not None:
                np.subtract(column, shift[j], out=rest[j], casting="unsafe")
            else:
                rest[j] = column
        if block.weights is not None:
            root = np.sqrt(block.weights)
            rest *= root
            if constant:
                piece[0] = root
        yield piece, block


@dataclass(frozen=True, slots=True)
class CrossProducts:
    """n rows and W'W, (m, m), or (WR⁻¹)'WR⁻¹."""

    n: int
    gram: FloatArray

    def __add__(self, other: CrossProducts) -> CrossProducts:
        return CrossProducts(self.n + other.n, self.gram + other.gram)


@dataclass(frozen=True, slots=True)
class Cross:
    """The first pass: cross-products of W."""

    shift: FloatArray | None
    width: int

    def __call__(self, blocks: Iterable[Block]) -> CrossProducts:
        m = self.width + (self.shift is not None)
        n, gram = 0, np.zeros((m, m))
        for piece, _ in loaded(blocks, self.shift, self.width):
            n += piece.shape[1]
            gram += piece @ piece.T
        return CrossProducts(n, gram)


@dataclass(frozen=True, slots=True)
class Triangle:
    """n rows and the triangular factor of their W, (m, m) or, of fewer rows than columns, (n, m)."""

    n: int
    r: FloatArray

    def __add__(self, other: Triangle) -> Triangle:
        return Triangle(self.n + other.n, np.asarray(np.linalg.qr(np.vstack([self.r, other.r]), mode="r")))


@dataclass(frozen=True, slots=True)
class TriangleOf:
    """The first pass where cross-products would lose too many digits: QR decompositions of blocks, joined."""

    shift: FloatArray | None
    width: int

    def __call__(self, blocks: Iterable[Block]) -> Triangle:
        total = Triangle(0, np.zeros((0, self.width + (self.shift is not None))))
        for piece, _ in loaded(blocks, self.shift, self.width):
            total = total + Triangle(piece.shape[1], piece.T)
        return total
