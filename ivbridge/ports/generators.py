"""Strategies of Hypothesis for statistical inputs; each shrinks to few rows of small whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ivbridge.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

__all__ = ["frames", "groups", "matrices", "needed", "numbers", "probabilities", "rows", "vectors"]

#: Powers of ten by which a whole column may be scaled.
_SCALES = (0, 0, 0, 3, -3, 8, -8, 150, -150)
#: Numbers of which one drowns the other in a sum.
_MIXED = (0.0, 1.0, -1.0, 1e-8, 1e8, 1e16, -1e16, 3.0)


def needed() -> ModuleType:
    """The module ``hypothesis.strategies``.

    Raises
    ------
    MissingExtraError
        Hypothesis is not installed.
    """
    try:
        from hypothesis import strategies
    except ImportError as error:
        do = "pip install 'ivbridge[ports]'."
        raise MissingExtraError("Cases are drawn with Hypothesis, which is not installed.", do=do) from error
    return strategies


def numbers(*, missing: bool = True, infinite: bool = True, extreme: bool = True) -> SearchStrategy[list[float]]:
    """Columns of numbers as lists; see `vectors`."""
    return _column(0, 12, missing, infinite, extreme)


def vectors(
    min_size: int = 0, max_size: int = 12, *, missing: bool = True, infinite: bool = True, extreme: bool = True
) -> SearchStrategy[np.ndarray]:
    """One row of numbers: with ties, constant, with decimals, of every scale, of any doubles.

    Parameters
    ----------
    min_size, max_size : int, default 0 and 12
        Values.
    missing : bool, default True
        Some may be NaN, which R gets as NaN.
    infinite : bool, default True
        Some may be infinite.
    extreme : bool, default True
        Of any size that a double has; otherwise from -1000 to 1000.

    Returns
    -------
    SearchStrategy
        Of (n,) float64 arrays.
    """
    return _column(min_size, max_size, missing, infinite, extreme).map(lambda values: np.array(values, np.float64))


def _column(low: int, high: int, missing: bool, infinite: bool, extreme: bool) -> SearchStrategy[list[float]]:
    """Lists of floats, one style a list, since a mix of styles hides each of them."""
    st = needed()
    small = st.integers(-3, 3).map(float)
    decimal = st.integers(-100_000, 100_000).map(lambda i: i / 100)
    holes = [*([float("nan")] if missing else []), *([float("inf"), float("-inf")] if infinite else [])]

    def of_size(n: int) -> SearchStrategy[list[float]]:
        def values(elements: SearchStrategy[float]) -> SearchStrategy[list[float]]:
            return st.lists(elements, min_size=n, max_size=n)  # type: ignore[no-any-return]

        styles = [values(small), values(decimal), decimal.map(lambda one: [one] * n)]
        if extreme:
            scaled = st.tuples(values(decimal), st.sampled_from(_SCALES))
            styles.append(scaled.map(lambda one: [value * 10.0 ** one[1] for value in one[0]]))
            styles.append(values(st.sampled_from(_MIXED)))
            styles.append(values(st.floats(allow_nan=False, allow_infinity=False)))
        if holes:
            styles.append(values(st.one_of(small, small, st.sampled_from(holes))))
        return st.one_of(*styles)  # type: ignore[no-any-return]

    return st.integers(low, high).flatmap(of_size)  # type: ignore[no-any-return]


def probabilities(max_size: int = 4) -> SearchStrategy[np.ndarray]:
    """From 1 to `max_size` numbers from 0 to 1: decimals, fractions k/m and their neighbours, and any."""
    st = needed()
    decimal = st.integers(0, 100).map(lambda i: i / 100)
    fraction = st.tuples(st.integers(0, 20), st.integers(1, 20)).map(lambda one: min(one[0] / one[1], 1.0))
    neighbour = st.tuples(fraction, st.sampled_from([0.0, 1.0])).map(lambda one: float(np.nextafter(*one)))
    one = st.one_of(decimal, fraction, neighbour, st.floats(0, 1))
    return st.lists(one, min_size=1, max_size=max_size).map(np.array)  # type: ignore[no-any-return]


def groups(min_size: int = 1, max_size: int = 12, *, levels: int = 4) -> SearchStrategy[pd.Series]:
    """One row of group labels: balanced, one large group, groups of one, only one group; some levels unused."""
    return needed().integers(min_size, max_size).flatmap(lambda n: _codes(n, levels).map(lambda c: _labels(c, levels)))  # type: ignore[no-any-return]


def _codes(n: int, levels: int) -> SearchStrategy[list[int]]:
    st = needed()
    return st.one_of(  # type: ignore[no-any-return]
        st.just([i % min(2, levels) for i in range(n)]),
        st.just([min(i, levels - 1) for i in range(n)]),
        st.just([0] * n),
        st.lists(st.integers(0, levels - 1), min_size=n, max_size=n),
    )


def _labels(codes: list[int], levels: int) -> pd.Series[Any]:
    names = [chr(ord("a") + i) if levels <= 26 else f"g{i}" for i in range(levels)]
    return pd.Series(pd.Categorical([names[code] for code in codes], names))


def frames(
    columns: Mapping[str, str],
    min_rows: int = 1,
    max_rows: int = 20,
    *,
    missing: bool = False,
    collinear: bool = True,
    extreme: bool = True,
) -> SearchStrategy[pd.DataFrame]:
    """Data sets: columns of one length, some of them collinear or constant.

    Parameters
    ----------
    columns : mapping
        Name to "number", "positive", "flag" (0 or 1) or "group".
    min_rows, max_rows : int, default 1 and 20
    missing : bool, default False
        Numbers may be NaN.
    collinear : bool, default True
        A column of numbers may be constant, or a sum of two others.
    extreme : bool, default True
        Columns of numbers may have any scale from 1e-8 to 1e8; otherwise whole numbers from -9 to 9.

    Returns
    -------
    SearchStrategy
        Of DataFrames.

    Raises
    ------
    DataError
        There is no such kind of column.
    """
    kinds = {"number", "positive", "flag", "group"}
    if unknown := sorted(set(columns.values()) - kinds):
        raise DataError(f"There is no kind of column {unknown[0]!r}.", available=", ".join(sorted(kinds)))
    return _frames(dict(columns), (min_rows, max_rows), (missing, collinear, extreme))


def _frames(
    columns: dict[str, str], sizes: tuple[int, int], may: tuple[bool, bool, bool]
) -> SearchStrategy[pd.DataFrame]:
    st = needed()
    missing, collinear, extreme = may

    @st.composite  # type: ignore[untyped-decorator]
    def build(draw: DrawFn) -> pd.DataFrame:
        n = draw(st.integers(*sizes))
        found = {name: _frame_column(draw, st, kind, n, (missing, extreme)) for name, kind in columns.items()}
        numeric = [name for name, kind in columns.items() if kind == "number"]
        if collinear and len(numeric) > 1:
            match draw(st.sampled_from(["no", "no", "no", "constant", "sum"])):
                case "constant":
                    found[numeric[-1]] = np.full(n, float(draw(st.integers(-3, 3))))
                case "sum":
                    found[numeric[-1]] = found[numeric[0]] + found[numeric[-2]]
        return pd.DataFrame(found)

    return build()  # type: ignore[no-any-return]


def _frame_column(draw: Callable[[Any], Any], st: Any, kind: str, n: int, may: tuple[bool, bool]) -> Any:
    if kind == "group":
        return _labels(draw(_codes(n, 4)), 4)
    low, high = {"number": (-9, 9), "positive": (1, 9), "flag": (0, 1)}[kind]
    values = np.array(draw(st.lists(st.integers(low, high), min_size=n, max_size=n)), np.float64)
    missing, extreme = may
    if kind == "flag":
        return values
    if draw(st.booleans()):
        values = values + np.array(draw(st.lists(st.integers(0, 999), min_size=n, max_size=n))) / 1000
    if extreme:
        values = values * 10.0 ** draw(st.sampled_from([0, 0, 0, 4, -4, 8, -8]))
    if missing and draw(st.booleans()):
        holes = draw(st.lists(st.booleans(), min_size=n, max_size=n))
        values = np.where(holes, np.nan, values)
    return values


def matrices(
    min_rows: int = 1, max_rows: int = 12, columns: int = 3, *, missing: bool = False, collinear: bool = True
) -> SearchStrategy[np.ndarray]:
    """Matrices of numbers, (n, columns) float64, with the columns of `frames`."""
    named = {f"x{i}": "number" for i in range(1, columns + 1)}
    drawn = frames(named, min_rows, max_rows, missing=missing, collinear=collinear)
    return drawn.map(lambda frame: frame.to_numpy(dtype=np.float64))


def rows(data: pd.DataFrame, min_rows: int = 1, max_rows: int | None = None) -> SearchStrategy[pd.DataFrame]:
    """Rows of your own data set, each at most once: a failure shrinks to the fewest rows that show it.

    Parameters
    ----------
    data : pandas.DataFrame
    min_rows : int, default 1
    max_rows : int, optional
        Default: all, to 60.
    """
    st = needed()
    most = min(len(data), 60) if max_rows is None else min(max_rows, len(data))
    picked = st.lists(st.integers(0, len(data) - 1), min_size=min_rows, max_size=most, unique=True)
    return picked.map(lambda chosen: data.take(chosen).reset_index(drop=True))  # type: ignore[no-any-return]
