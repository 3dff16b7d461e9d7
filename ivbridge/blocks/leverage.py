"""Leverages of rows, and what HC2 to HC5 divide squared residuals by.

AER's leverage of an instrumental-variable fit is xᵢ'(P'P)⁻¹qᵢ, with q the projection of x on the instruments without
weights (P itself has them); that of least squares is R's ``hatvalues.lm``. Both are sums over k of products of two
columns, AᵢⱼBᵢⱼ, and A and B are directions in the columns of W.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ivbridge.blocks.factor import Factor, factored
from ivbridge.blocks.products import products
from ivbridge.blocks.regression import Layout, Regression, units
from ivbridge.blocks.rows import Block, Part, Rows, S
from ivbridge.blocks.small import Matrix, inverted, qr
from ivbridge.records import FloatArray
from ivbridge.vcov import HC2, HC3, HC4, HC5, HC4m, Vcov

__all__ = ["Discount", "Leverage", "aer_leverage", "discount", "discounted", "lm_leverage"]

_DISCOUNTED = (HC2, HC3, HC4, HC4m, HC5)


@dataclass(frozen=True, slots=True, eq=False)
class Leverage:
    """Directions whose products add up to leverages.

    Attributes
    ----------
    first, second : (m, k) arrays
    plain : bool
        Whether rows count without their weights.
    total : float
        Sum over all rows.
    """

    first: Matrix
    second: Matrix
    plain: bool
    total: float

    def of_rows(self, first: FloatArray, second: FloatArray, weights: FloatArray | None) -> FloatArray:
        """Leverages (b,) from the columns of both directions, (k, b) each, of weighted rows."""
        products = np.einsum("ib,ib->b", first, second)
        if self.plain and weights is not None:
            products /= weights
        return np.asarray(products)


@dataclass(frozen=True, slots=True, eq=False)
class Discount:
    """What squared residuals are divided by.

    Attributes
    ----------
    kind : type of Vcov
    leverage : Leverage
    n : int
        All rows.
    top : float
        The largest leverage; only HC5 needs it.
    """

    kind: type[Vcov]
    leverage: Leverage
    n: int
    top: float = 0.0

    def exponent(self, hat: FloatArray) -> FloatArray | float:
        """Of 1 − h, (b,), by sandwich's conventions."""
        if self.kind is HC2:
            return 1.0
        if self.kind is HC3:
            return 2.0
        rounded = np.round(self.leverage.total)
        relative = self.n * hat / rounded
        if self.kind is HC4:
            return np.asarray(np.minimum(4.0, relative))
        if self.kind is HC4m:
            return np.asarray(np.minimum(1.0, relative) + np.minimum(1.5, relative))
        return np.asarray(np.minimum(relative, max(4.0, 0.7 * self.n * self.top / rounded)) / 2)


def discounted(vcov: Vcov) -> bool:
    """Whether a covariance estimator divides by powers of one minus leverages."""
    return isinstance(vcov, _DISCOUNTED)


def discount(rows: Rows, factor: Factor, vcov: Vcov, found: Callable[[], Leverage]) -> Discount | None:
    """The discount of a covariance estimator; None for one that has none. HC5 reads the rows once more."""
    if not discounted(vcov):
        return None
    leverage = found()
    top = rows.reduce(_Highest(factor.shift, rows.width, leverage)).value if isinstance(vcov, HC5) else 0.0
    return Discount(type(vcov), leverage, factor.n, top)


def lm_leverage(model: Regression) -> Leverage:
    """Of weighted least squares."""
    return Leverage(model.basis, model.basis, plain=False, total=float(len(model.coef)))


def aer_leverage(rows: Rows, factor: Factor, layout: Layout, model: Regression) -> Leverage:
    """Of an instrumental-variable fit; with weights the rows are read once more, without them."""
    first = model.regressors @ model.inverse
    if not layout.weighted:
        return Leverage(first, model.basis, plain=False, total=float(len(model.coef)))
    plain = factored(_Unweighted(rows), constant=layout.constant)
    r = plain.r @ _moved(np.eye(len(plain.r)), factor.shift, plain.shift)
    q_z, r_z = qr(r[:, layout.z])
    projected = model.regressors.astype(r.dtype)
    for j, place in enumerate(layout.x):
        if place in layout.endog:
            projected[:, j] = units(len(r), layout.z) @ (inverted(r_z) @ (q_z.T @ r[:, place]))
    # P = W·basis without weights, but for a factor that A and B share
    inverse = inverted(qr(r @ model.basis)[1])
    second = projected @ model.inverse @ inverse
    first = first @ inverse
    return Leverage(first, second, plain=True, total=float(np.sum((r @ first) * (r @ second))))


def _moved(directions: FloatArray, old: FloatArray | None, new: FloatArray | None) -> FloatArray:
    """Directions (m, q) of columns shifted in one way in terms of columns shifted in another one."""
    if old is None or new is None:
        return directions
    out = directions.copy()
    out[0] += (new - old) @ directions[1:]
    return out


@dataclass(frozen=True, slots=True)
class _Unweighted:
    """Rows without their weights."""

    rows: Rows

    @property
    def width(self) -> int:
        return self.rows.width

    def pilot(self) -> FloatArray:
        return self.rows.pilot()

    def reduce(self, part: Part[S]) -> S:
        without: Part[S] = _Without(part)
        return self.rows.reduce(without)


@dataclass(frozen=True, slots=True)
class _Without:
    """A part function of blocks without their weights."""

    part: Part[Any]

    def __call__(self, blocks: Iterable[Block]) -> Any:
        return self.part(Block(block.columns, None, block.codes) for block in blocks)


@dataclass(frozen=True, slots=True)
class _Largest:
    value: float

    def __add__(self, other: _Largest) -> _Largest:
        return _Largest(max(self.value, other.value))


@dataclass(frozen=True, slots=True)
class _Highest:
    """The part function of the largest leverage."""

    shift: FloatArray | None
    width: int
    leverage: Leverage

    def __call__(self, blocks: Iterable[Block]) -> _Largest:
        leverage, top = self.leverage, -np.inf
        turns = [np.ascontiguousarray(each.T) for each in (leverage.first, leverage.second)]
        for _, (first, second), block in products(blocks, self.shift, self.width, turns):
            top = max(top, float(leverage.of_rows(first, second, block.weights).max(initial=top)))
        return _Largest(top)
