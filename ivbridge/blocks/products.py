"""Products of all columns with small matrices, block by block, to the last digit where that is needed.

A matrix T in double precision is multiplied as it is. One in extended precision has been made for nearly collinear
columns: the terms of WT are then much larger than their sum, by the condition number κ, and a product in double
precision would leave κu. So W and T are split into leading and trailing bits, such that the product of the leading ones
is exact in double precision and fast (Ozaki, Ogita, Oishi & Rump 2012, Numer. Algorithms 59); what is left is 2⁻²¹ of
it. Its rounding errors are about 2⁻⁷⁴ of the terms, fewer than those of products in C's ``long double``, at the price
of four products in double precision.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ivbridge.blocks.rows import Block
from ivbridge.blocks.small import Matrix, is_wide
from ivbridge.blocks.sums import loaded
from ivbridge.records import FloatArray

__all__ = ["products"]

#: Bits of a product of double precision.
BITS = 53


def products(
    blocks: Iterable[Block], shift: FloatArray | None, width: int, turns: Sequence[Matrix]
) -> Iterator[tuple[FloatArray, list[FloatArray], Block]]:
    """Each block as a piece of W, (m, b), its products with the turns, (c, b) each, and the block itself.

    The next block overwrites all of them.

    Parameters
    ----------
    blocks : iterable of Block
    shift : (width,) array or None
        As for :func:`~ivbridge.blocks.sums.loaded`.
    width : int
    turns : sequence of (c, m) arrays
        Transposed coordinates. If one of them is in extended precision, all are treated so.
    """
    ends = np.cumsum([len(turn) for turn in turns])[:-1]
    if not any(is_wide(turn) for turn in turns):
        yield from _rounded(blocks, (shift, width), np.concatenate(turns), ends.tolist())
        return
    stacked = np.vstack([turn.astype(np.longdouble) for turn in turns])
    for block in blocks:
        split = _Split.of(block, shift)
        product, piece = split.times(stacked), split.whole
        if block.weights is not None:
            root = np.sqrt(block.weights)
            product *= root
            piece *= root
        yield piece, np.split(product, ends), block


def _rounded(
    blocks: Iterable[Block], columns: tuple[FloatArray | None, int], turn: FloatArray, ends: list[int]
) -> Iterator[tuple[FloatArray, list[FloatArray], Block]]:
    """The same in double precision: one product a block, in memory that is used again."""
    starts, stops = [0, *ends], [*ends, len(turn)]
    product = np.empty((len(turn), 0))
    for piece, block in loaded(blocks, *columns):
        if product.shape[1] != piece.shape[1]:
            product = np.empty((len(turn), piece.shape[1]))
        np.matmul(turn, piece, out=product)
        yield piece, [product[start:stop] for start, stop in zip(starts, stops, strict=True)], block


@dataclass(frozen=True, slots=True, eq=False)
class _Split:
    """A piece of W without weights, (m, b).

    Attributes
    ----------
    whole : (m, b) array
        In double precision, which rounds what remains after the shift.
    parts : (2m, b) array
        Leading and trailing bits of every column, minus a shift of few bits near the one asked for; their sum is exact.
    units : (m,) array
        Powers of two that are not smaller than any number of `whole`.
    nearer : (m,) array
        By how much less was subtracted in `parts` than in `whole`.
    """

    whole: FloatArray
    parts: FloatArray
    units: FloatArray
    nearer: FloatArray

    @classmethod
    def of(cls, block: Block, shift: FloatArray | None) -> _Split:
        first = int(shift is not None)
        m, size = len(block.columns) + first, len(block.columns[0])
        parts, whole = np.empty((2 * m, size)), np.empty((m, size))
        off = np.zeros((m, 1)) if shift is None else np.concatenate([[0.0], shift])[:, None]
        raw = parts[m:]
        raw[:first] = 1.0
        for j, column in enumerate(block.columns, first):
            raw[j] = column
        np.subtract(raw, off, out=whole)
        units = _power(np.maximum(whole.max(axis=1), -whole.min(axis=1)))
        magic = (1.5 * 2.0 ** (BITS - 1 - _leading_bits(m))) * units[:, None]
        leading = np.add(raw, magic, out=parts[:m])
        leading -= magic
        raw -= leading
        few = (off + magic) - magic  # a multiple of the leading bits' unit: subtracted from them without rounding
        leading -= few
        return cls(whole, parts, units, (off - few)[:, 0])

    def times(self, turn: Matrix) -> FloatArray:
        """The product with an extended matrix (c, m), (c, b)."""
        m = turn.shape[1]
        bits = BITS - _leading_bits(m) - (m - 1).bit_length()
        scaled = turn * self.units
        magic = 1.5 * 2.0 ** (BITS - 1 - bits) * _power(np.abs(scaled).max(axis=1).astype(float))[:, None]
        leading = ((scaled.astype(float) + magic) - magic) / self.units
        product = np.hstack([turn - leading, turn]).astype(float) @ self.parts
        product += leading @ self.parts[:m]
        product -= (turn @ self.nearer).astype(float)[:, None]
        return np.asarray(product)


def _power(sizes: FloatArray) -> FloatArray:
    """The powers of two from each number up; 1 for 0."""
    return np.asarray(np.exp2(np.ceil(np.log2(np.where(sizes > 0, sizes, 1.0)))))


def _leading_bits(m: int) -> int:
    """Bits of the leading part of W, fewer than half of both factors', since W has a part for T's rest alone."""
    return (BITS - (m - 1).bit_length()) * 5 // 11
