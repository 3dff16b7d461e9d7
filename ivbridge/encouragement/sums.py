"""Two passes of cross-products over users, for any number of experiments: what every pooled estimator is made of.

No matrix of n rows and many columns is ever held in double precision; blocks of 32 MiB are. Columns are centred first
and all algebra happens on what the controls leave of them (Frisch–Waugh), so that the small matrices are as well
conditioned as correlations. Controls enter as exogenous regressors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg, sparse

from ivbridge.encouragement.moments import row_blocks
from ivbridge.encouragement.users import Users
from ivbridge.errors import DesignError
from ivbridge.records import FloatArray

__all__ = ["Cross", "cross_products", "free_of_controls", "independent"]


@dataclass(frozen=True, slots=True, eq=False)
class Cross:
    """Cross-products of the instruments z (l columns), behavior x and outcome y, all free of constant and controls.

    Attributes
    ----------
    users : Users
    instruments, controls : tuple of str
        Columns kept; ``controls`` without the constant.
    dropped : tuple of str
        Columns that depend linearly on others.
    zz, zx, zy : (l, l), (l,), (l,) arrays
    xx, xy, yy : float
    means, on_controls : array
        What turns a block of raw columns into z, x and y: see :meth:`blocks`.
    """

    users: Users
    instruments: tuple[str, ...]
    controls: tuple[str, ...]
    dropped: tuple[str, ...]
    zz: FloatArray
    zx: FloatArray
    zy: FloatArray
    xx: float
    xy: float
    yy: float
    means: FloatArray
    on_controls: FloatArray

    @property
    def n(self) -> int:
        """Users."""
        return self.users.n

    @property
    def width(self) -> int:
        """Instruments, l."""
        return len(self.instruments)

    @property
    def df_second(self) -> int:
        """n minus the regressors: constant, controls, behavior."""
        return self.n - len(self.controls) - 2

    @property
    def df_first(self) -> int:
        """n minus all instruments: constant, controls, z."""
        return self.n - len(self.controls) - 1 - self.width

    def blocks(self) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
        """z (b, l), x (b,) and y (b,) block by block, free of constant and controls."""
        for raw in _raw(self.users, self.controls, self.instruments):
            raw -= self.means
            q = len(self.controls)
            rest = raw[:, q:] - raw[:, :q] @ self.on_controls
            yield rest[:, :-2], rest[:, -2], rest[:, -1]


def cross_products(users: Users, instruments: tuple[str, ...]) -> Cross:
    """Make the sums for the experiments named.

    Experiments that not every user is in bring an indicator of their users among the controls, so that treated users
    are compared with users of the same experiment only.

    Raises
    ------
    DesignError
        If no instrument is left, there are too few users, or the controls reproduce the behavior.
    """
    marks = tuple(mark for mark, members in users.indicators.items() if set(members) & set(instruments))
    controls = users.controls + marks
    means, gram = _gram(users, controls, instruments)
    scale = np.sqrt(np.maximum(np.diag(gram), np.finfo(float).tiny))
    unit = gram / np.outer(scale, scale)
    q = len(controls)
    kept = independent(unit[: q + len(instruments), : q + len(instruments)], means, scale, users.n)
    names = (*controls, *instruments)
    inside = [place for place in kept if place >= q]
    if not inside:
        raise DesignError("No experiment is left: controls, or each other, reproduce all of them.")
    shown = [place for place in kept if place < q]
    places = [*shown, *inside, len(names), len(names) + 1]
    lost = tuple(name for place, name in enumerate(names) if place not in kept)
    if users.n <= len(kept) + 2:
        raise DesignError(f"{users.n} users are too few for {len(kept)} experiments and controls.")
    on, rest = _without(gram[np.ix_(places, places)], len(shown))
    _check_left(users, float(rest[-2, -2]), float(gram[-2, -2]))
    return Cross(
        users, tuple(names[p] for p in inside), tuple(names[p] for p in shown), lost,
        rest[:-2, :-2], rest[:-2, -2], rest[:-2, -1], float(rest[-2, -2]), float(rest[-2, -1]), float(rest[-1, -1]),
        means[places], on,
    )  # fmt: skip


def _raw(users: Users, controls: tuple[str, ...], instruments: tuple[str, ...]) -> Iterator[FloatArray]:
    """Controls, instruments, behavior and outcome as blocks of double precision."""
    places = [users.experiments.index(name) for name in instruments]
    patterns = users.indicators
    marks = [users.enrolled[patterns[name][0]] for name in controls if name not in users.controls]
    plain = [users.controls.index(name) for name in controls if name in users.controls]
    rows: Any = sparse.csr_array(users.assignment[:, places]) if sparse.issparse(users.assignment) else users.assignment
    width = len(controls) + len(instruments) + 2
    for start, stop in row_blocks(users.n, 2 * width):
        block = np.empty((stop - start, width))
        block[:, : len(plain)] = users.k[start:stop, plain]
        for m, mark in enumerate(marks):
            block[:, len(plain) + m] = mark[start:stop]
        tests = rows[start:stop].toarray() if sparse.issparse(rows) else rows[start:stop, places]
        block[:, len(controls) : -2] = tests
        block[:, -2], block[:, -1] = users.x[start:stop], users.y[start:stop]
        yield block


def _gram(users: Users, controls: tuple[str, ...], instruments: tuple[str, ...]) -> tuple[FloatArray, FloatArray]:
    """Means, and centred sums of products."""
    width = len(controls) + len(instruments) + 2
    total = np.zeros(width)
    for block in _raw(users, controls, instruments):
        total += block.sum(axis=0)
    means = total / users.n
    gram = np.zeros((width, width))
    for block in _raw(users, controls, instruments):
        block -= means
        gram += block.T @ block
    return means, gram


def independent(unit: FloatArray, means: FloatArray, scale: FloatArray, n: int) -> list[int]:
    """Places of the columns that the constant and earlier columns do not reproduce, by the spirit of R's rule.

    R's ``lm`` leaves out a column of which less than 1e-7 of its length is its own. Sums of products resolve squared
    lengths to about 1e-13 of the whole, so the limit here is 1e-12 on squares, 1e-6 on lengths.
    """
    kept: list[int] = []
    for a in range(len(unit)):
        if scale[a] <= 1e-7 * np.sqrt(n) * abs(means[a]) or scale[a] <= np.sqrt(np.finfo(float).tiny):
            continue
        left = float(unit[a, a])
        if kept:
            factor = linalg.cholesky(unit[np.ix_(kept, kept)], lower=True)
            left -= float(np.sum(linalg.solve_triangular(factor, unit[kept, a], lower=True) ** 2))
        if left > 1e-12:
            kept.append(a)
    return kept


def _without(gram: FloatArray, q: int) -> tuple[FloatArray, FloatArray]:
    """Coefficients on the first q columns, (q, m), and the sums of products of what they leave."""
    if q == 0:
        return np.empty((0, len(gram))), gram
    on = linalg.solve(gram[:q, :q], gram[:q, q:], assume_a="pos")
    return on, gram[q:, q:] - gram[q:, :q] @ on


def free_of_controls(users: Users) -> FloatArray:
    """What is left of the behavior after least squares on a constant and the controls, (n,).

    Raises
    ------
    DesignError
        If nothing is left.
    """
    means, gram = _gram(users, users.controls, ())
    q = len(users.controls)
    scale = np.sqrt(np.maximum(np.diag(gram), np.finfo(float).tiny))
    kept = independent((gram / np.outer(scale, scale))[:q, :q], means, scale, users.n)
    on = linalg.solve(gram[np.ix_(kept, kept)], gram[kept, q], assume_a="pos") if kept else np.empty(0)
    rest: FloatArray = users.x - means[q]
    for place, slope in zip(kept, on, strict=True):
        rest -= slope * (users.k[:, place] - means[place])
    _check_left(users, float(rest @ rest), float(gram[q, q]))
    return rest


def _check_left(users: Users, left: float, whole: float) -> None:
    """Sums of squares resolve a share of about 1e-13: less than 1e-12 is rounding."""
    if left <= 1e-12 * whole:
        raise DesignError(
            f"The controls reproduce {users.behavior} exactly, so that nothing of it is left to encourage.",
            do="leave out the control that does this.",
        )
