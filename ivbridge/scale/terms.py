"""What a question needs of each row, and whether rows can be evaluated one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from ivbridge.blocks.meats import check_summable, subsets
from ivbridge.canonical import columns_of
from ivbridge.design import frame_of
from ivbridge.errors import DataError, UnsupportedError
from ivbridge.expr import Arg, Binary, Bool, Call, Name, Node, Unary, deparse, parse, quote_name
from ivbridge.formula import Term, parse_term
from ivbridge.scale.frames import is_number
from ivbridge.spec import IVSpec
from ivbridge.vcov import Vcov

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Question", "asked", "base_of", "is_factor"]


@dataclass(frozen=True, slots=True)
class Question:
    """A question about rows that come in pieces.

    Attributes
    ----------
    spec : IVSpec
    vcov : Vcov
    exog, instruments, endog : tuple of Term
        In the order of R's names.
    factors : tuple of str
        Columns of the data whose levels must be known before a row can be evaluated.
    plain : bool
        Whether every term is a numeric column as it is, so that rows are evaluated without pandas.
    """

    spec: IVSpec
    vcov: Vcov
    exog: tuple[Term, ...]
    instruments: tuple[Term, ...]
    endog: tuple[Term, ...]
    factors: tuple[str, ...]
    plain: bool

    @property
    def variables(self) -> tuple[str, ...]:
        """Texts of all variables of the terms."""
        terms = (*self.exog, *self.endog, *self.instruments)
        return tuple(dict.fromkeys(name for term in terms for name in term))

    @property
    def parts(self) -> tuple[list[Term], list[Term]]:
        """Terms of the regressors and of all instruments; those of one degree keep their order, as in R."""
        both = ((*self.exog, *self.endog), (*self.exog, *self.instruments))
        return sorted(both[0], key=len), sorted(both[1], key=len)

    @property
    def model_columns(self) -> tuple[str, ...]:
        """Columns of the data that the terms, the offset and the weights use."""
        return self.spec.with_vcov(None).columns

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read."""
        return tuple(dict.fromkeys((*self.model_columns, *self.vcov.columns)))

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Cluster columns, and their intersections, that need codes."""
        return tuple(tuple(dict.fromkeys(members)) for members in subsets(self.vcov))


def asked(spec: IVSpec, vcov: Vcov, schema: pa.Schema) -> Question:
    """Read a question with a look at the columns' types.

    Raises
    ------
    DataError
        If a column is missing.
    UnsupportedError
        If the vcov is no sum over rows, or a term needs its whole column at once.
    """
    check_summable(vcov)
    if getattr(spec, "absorb", None):
        raise UnsupportedError(
            "Fixed effects that are absorbed need their rows in memory.",
            do='write factor(g) where there are few levels, or ask ivbridge.fit(…, engine="fast") of data in memory.',
        )
    spec = spec.with_vcov(vcov)
    frame_of(spec, pd.DataFrame({name: [] for name in dict.fromkeys(schema.names)}))
    kinds = {field.name: field.type for field in schema}
    exog, instruments, endog = (
        tuple(map(parse_term, texts)) for texts in (spec.exog, spec.instruments, spec.endog)
    )  # fmt: skip
    names = dict.fromkeys(name for term in (*exog, *endog, *instruments) for name in term)
    texts = [*names, spec.dependent, *([] if spec.offset is None else [spec.offset])]
    for text in texts:
        for call in _calls(parse(text)):
            _check_rowwise(call)
    factors = [name for name in names if is_factor(parse(name), kinds)]
    for name in factors:
        if len(columns_of(name)) != 1:
            raise UnsupportedError(
                f"{name} is a factor made of several columns, whose levels one pass does not find.",
                do="compute the column first.",
            )
    used = [*texts, *([] if spec.weights is None else [quote_name(spec.weights)])]
    _check_numbers([text for text in used if text not in factors], kinds)
    nodes = [parse(text) for text in used]
    plain = spec.offset is None and all(isinstance(n, Name) and is_number(kinds[n.id]) for n in nodes)
    plain = plain and all(len(term) == 1 for term in (*exog, *endog, *instruments))
    columns = tuple(dict.fromkeys(column for name in factors for column in columns_of(name)))
    return Question(spec, vcov, exog, instruments, endog, columns, plain)


def _check_numbers(texts: Sequence[str], kinds: Mapping[str, pa.DataType]) -> None:
    """Refuse categories of numbers, whose values Arrow would take for numbers."""
    import pyarrow as pa

    for name in dict.fromkeys(column for text in texts for column in columns_of(text)):
        if pa.types.is_dictionary(kinds[name]):
            raise DataError(f"Column {name!r} holds texts or categories, but the formula uses it as a number.")


def base_of(node: Node) -> Node:
    """A factor without its contrasts and its baseline."""
    while isinstance(node, Call) and (
        node.function in ("relevel", "C") or (node.function == "I" and isinstance(node.args[0].value, Name | Call))
    ):
        node = node.args[0].value
    return node


def is_factor(node: Node, kinds: dict[str, pa.DataType]) -> bool:
    """Whether a variable is a factor: it says so, or is a column that holds no numbers."""
    base = base_of(node)
    return (isinstance(base, Call) and base.function == "factor") or (
        isinstance(base, Name) and not is_number(kinds[base.id])
    )


def _calls(node: Node) -> Iterator[Call]:
    match node:
        case Unary(_, operand):
            yield from _calls(operand)
        case Binary(_, left, right):
            yield from _calls(left)
            yield from _calls(right)
        case Call(_, args):
            yield node
            for arg in args:
                yield from _calls(arg.value)


def _check_rowwise(call: Call) -> None:
    """Refuse functions whose value in one row depends on other rows."""
    given = {arg.name for arg in call.args}
    rowwise = call.function not in ("scale", "poly", "bs", "ns")
    rowwise |= call.function == "poly" and Arg("raw", Bool(True)) in call.args
    rowwise |= call.function in ("bs", "ns") and {"knots", "Boundary.knots"} <= given
    if not rowwise:
        instead = {"scale": "subtract and divide by numbers: I((x - 3)/2)", "poly": "write poly(x, 2, raw = TRUE)"}
        raise UnsupportedError(
            f"{deparse(call)} depends on all rows at once, and these are read in pieces.",
            do=instead.get(call.function, "give knots and Boundary.knots") + ", or compute the column first.",
        )
