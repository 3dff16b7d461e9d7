"""Evaluate one variable of a formula on all rows of a normalised frame: numbers, or a factor with its coding.

The tree is interpreted by this module; no text ever reaches ``eval``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ivbridge import transforms
from ivbridge.canonical import columns_of
from ivbridge.errors import DataError
from ivbridge.expr import Arg, Binary, Bool, Call, Name, Node, Number, Text, Unary, deparse, parse
from ivbridge.frame import level_text
from ivbridge.magnitude import check_magnitude

__all__ = ["Factor", "Numeric", "Variable", "evaluate", "evaluate_numeric"]


@dataclass(frozen=True, slots=True, eq=False)
class Numeric:
    """Numbers, shape (n,) or (n, m); `suffixes` are what R appends to the name of each column."""

    values: NDArray[np.float64]
    suffixes: tuple[str, ...] = ("",)

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Rows in which a value is missing or undefined, shape (n,)."""
        undefined = np.isnan(self.values)
        return np.asarray(undefined if undefined.ndim == 1 else undefined.any(axis=1))

    def take(self, rows: NDArray[np.int64] | slice) -> Numeric:
        """Keep some rows."""
        return replace(self, values=self.values[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """A factor: codes (−1 = missing), level labels and the coding of its contrasts.

    `coding` is ``"treatment"``, ``"sum"`` or ``"poly"``; `reference` is the level that ``relevel`` put first;
    `logical` marks a boolean column, whose two levels are never dropped.
    """

    codes: NDArray[np.int64]
    levels: tuple[str, ...]
    coding: str = "treatment"
    reference: str | None = None
    logical: bool = False

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Rows in which the level is missing, shape (n,)."""
        return np.asarray(self.codes < 0)

    def take(self, rows: NDArray[np.int64] | slice) -> Factor:
        """Keep some rows; the levels stay."""
        return replace(self, codes=self.codes[rows])


Variable = Numeric | Factor


def evaluate(text: str, frame: pd.DataFrame) -> Variable:
    """Evaluate the canonical text of one variable on all rows.

    Parameters
    ----------
    text : str
        For example ``"log(x)"`` or ``"relevel(factor(g), ref = \\"b\\")"``.
    frame : DataFrame
        From :func:`ivbridge.frame.normalise`.

    Raises
    ------
    DataError
        If the data do not fit the variable: text where numbers are needed, an unknown reference level, …
    """
    node = parse(text)
    while isinstance(node, Call) and node.function == "I" and isinstance(node.args[0].value, Name | Call):
        node = node.args[0].value
    match node:
        case Name(name):
            column = frame[name]
            if column.dtype.kind in "iuf":
                return Numeric(column.to_numpy(dtype=np.float64, na_value=np.nan))
            return _column_factor(column)
        case Call("factor", (Arg(_, inner),)):
            return _factor(inner, frame)
        case Call("relevel", (Arg(_, base), Arg(_, Text(reference)))):
            return _relevel(text, evaluate(deparse(base), frame), reference)
        case Call("C", (Arg(_, base), _)):
            variable = evaluate(deparse(base), frame)
            return replace(variable, coding="sum") if isinstance(variable, Factor) else variable
        case Call("poly" | "bs" | "ns"):
            return _basis(node, frame)
    return Numeric(evaluate_numeric(node, frame))


def evaluate_numeric(node: Node, frame: pd.DataFrame) -> NDArray[np.float64]:
    """Evaluate arithmetic, shape (n,); infinite and undefined results are left in place.

    Raises
    ------
    DataError
        If a column that is not numeric is used as a number.
    """
    with np.errstate(all="ignore"):
        return np.broadcast_to(_arithmetic(node, frame), (len(frame),))


def _arithmetic(node: Node, frame: pd.DataFrame) -> NDArray[np.float64]:
    match node:
        case Number(value):
            return np.float64(value)  # type: ignore[return-value]
        case Name(name):
            column = frame[name]
            if isinstance(column.dtype, pd.CategoricalDtype):
                raise DataError(f"Column {name!r} holds texts or categories, but the formula uses it as a number.")
            return column.to_numpy(dtype=np.float64, na_value=np.nan)
        case Unary(_, operand):
            return -_arithmetic(operand, frame)
        case Binary(op, left, right):
            return _operate(op, _arithmetic(left, frame), _arithmetic(right, frame))
        case Call("I", (Arg(_, inner),)):
            return _arithmetic(inner, frame)
        case Call("scale", (Arg(_, inner), *options)):
            off = {arg.name for arg in options if arg.value == Bool(False)}
            values = evaluate_numeric(inner, frame)
            return transforms.scale(values, center="center" not in off, spread="scale" not in off)
        case Call(function, (Arg(_, inner),)):
            return np.asarray(transforms.ELEMENTWISE[function](_arithmetic(inner, frame)))
    raise DataError(f"{deparse(node)} is not a number.")


def _operate(op: str, left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    if op == "+":
        return left + right
    if op == "-":
        return left - right
    if op == "*":
        return left * right
    if op == "/":
        return left / right
    return np.power(left, right)


def _basis(node: Call, frame: pd.DataFrame) -> Numeric:
    options = {arg.name: arg.value for arg in node.args if arg.name is not None}
    values = evaluate_numeric(node.args[0].value, frame)
    if count := int(np.isinf(values).sum()):
        raise DataError(f"{deparse(node)}: the values are infinite in {count} rows.", do="check them for zeros.")
    check_magnitude(deparse(node.args[0].value), values)
    intercept = "intercept" in options
    df, degree = (_whole(options.get(name)) for name in ("df", "degree"))
    knots, boundary = (_vector(options.get(name)) for name in ("knots", "Boundary.knots"))
    if node.function == "poly":
        matrix = transforms.poly(values, _whole(node.args[1].value) or 1, raw="raw" in options)
    elif node.function == "bs":
        matrix = transforms.bs(
            values, df=df, knots=knots, degree=degree or 3, intercept=intercept, boundary=boundary
        )  # fmt: skip
    else:
        matrix = transforms.ns(values, df=df, knots=knots, intercept=intercept, boundary=boundary)
    width = matrix.shape[1]
    return Numeric(matrix, tuple(str(j + 1) for j in range(width)) if width > 1 else ("",))


def _whole(node: Node | None) -> int | None:
    return int(node.value) if isinstance(node, Number) else None


def _vector(node: Node | None) -> NDArray[np.float64] | None:
    if not isinstance(node, Call):
        return None
    return np.array([_signed(arg.value) for arg in node.args])


def _signed(node: Node) -> float:
    if isinstance(node, Unary):
        return -_signed(node.operand) if node.op == "-" else _signed(node.operand)
    assert isinstance(node, Number)
    return node.value


# ------------------------------------------------------------------------------------------------------------ factors
def _column_factor(column: pd.Series) -> Factor:
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes = np.asarray(column.cat.codes, dtype=np.int64)
        return Factor(codes, tuple(column.cat.categories), "poly" if column.cat.ordered else "treatment")
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return Factor(np.where(np.isnan(values), -1, values).astype(np.int64), ("FALSE", "TRUE"), logical=True)


def _factor(inner: Node, frame: pd.DataFrame) -> Factor:
    if isinstance(inner, Name) and frame[inner.id].dtype.kind not in "iuf":
        return _present_levels(replace(_column_factor(frame[inner.id]), logical=False))
    integers = isinstance(inner, Name) and frame[inner.id].dtype.kind in "iu"
    values = evaluate_numeric(inner, frame)
    present = ~np.isnan(values)
    given = ~frame[list(columns_of(deparse(inner)))].isna().to_numpy().any(axis=1)
    if count := int((given & ~present).sum()):
        raise DataError(
            f"factor({deparse(inner)}) is undefined in {count} rows, and R would make that a level of its own.",
            do="compute the column first.",
        )
    distinct, positions = np.unique(values[present], return_inverse=True)
    labels = [level_text("", int(v) if integers else v) for v in distinct]
    levels = tuple(dict.fromkeys(labels))
    place = {level: j for j, level in enumerate(levels)}
    codes = np.full(len(values), -1, dtype=np.int64)
    codes[present] = np.array([place[label] for label in labels], dtype=np.int64)[positions]
    return Factor(codes, levels)


def _present_levels(factor: Factor) -> Factor:
    used = np.isin(np.arange(len(factor.levels)), factor.codes)
    place = np.append(np.cumsum(used) - 1, -1)
    levels = tuple(level for level, there in zip(factor.levels, used, strict=True) if there)
    return replace(factor, codes=place[factor.codes].astype(np.int64), levels=levels)


def _relevel(text: str, factor: Variable, reference: str) -> Factor:
    assert isinstance(factor, Factor)
    if factor.coding == "poly":
        raise DataError(f"{text}: the factor is ordered, and relevel() takes unordered ones.", do="use factor() alone.")
    if reference not in factor.levels:
        raise DataError(f"{text}: there is no level {reference!r}.", available=", ".join(factor.levels[:30]))
    first = factor.levels.index(reference)
    order = [first, *(j for j in range(len(factor.levels)) if j != first)]
    codes = np.append(np.argsort(order), -1)[factor.codes].astype(np.int64)
    return replace(factor, codes=codes, levels=tuple(factor.levels[j] for j in order), reference=reference)
