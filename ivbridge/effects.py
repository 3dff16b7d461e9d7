"""Absorbed fixed effects: what may be asked, and its short text form.

``str()`` of an :class:`Absorb` writes, and :func:`parse_absorb` and every formula read, for example
``absorb(firm, year)``, ``absorb(firm, state^year)`` or ``absorb(firm, year, dof=reghdfe, singletons=drop)``.

>>> parse_absorb("firm, year, singletons=drop").columns
('firm', 'year')
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ivbridge.errors import FormulaError
from ivbridge.expr import Arg, Binary, Call, Name, Node, deparse, parse, quote_name

__all__ = [
    "INSTEAD", "ONLY_FAST", "Absorb", "Counting", "absorb_of", "factor_columns", "factors_of", "parse_absorb",
]  # fmt: skip

#: Why other engines do not answer, and what to do.
ONLY_FAST = "only engine fast absorbs fixed effects."
INSTEAD = (
    'fit it with engine="fast", or write factor(f) terms (ivbridge.absorb.dummies.with_dummies does), which every '
    "engine answers."
)

#: Rules for the number of coefficients that the effects count for (:mod:`ivbridge.absorb.dof`).
Counting = Literal["fixest", "reghdfe", "exact"]

Singletons = Literal["keep", "drop"]

_FORM = "absorb(firm, year), absorb(firm, state^year, dof=reghdfe, singletons=drop)"

#: More factors than anybody absorbs; each pair of them is a block of the normal equations.
MAX_FACTORS = 16


@dataclass(frozen=True, slots=True)
class Absorb:
    """Fixed effects that are absorbed: every level has its own constant, which is not reported.

    Parameters
    ----------
    factors : tuple of str
        Column names, or several joined by ``^``: one effect for each combination, as in fixest.
    dof : {"fixest", "reghdfe", "exact"}, default "fixest"
        How many coefficients they count for: :mod:`ivbridge.absorb.dof`.
    singletons : {"keep", "drop"}, default "keep"
        Whether rows that are alone in a level are left out, again and again until none is alone. Coefficients and
        residuals do not depend on them; n, degrees of freedom and numbers of clusters do. reghdfe, and fixest from
        0.13 on, drop them.

    Raises
    ------
    FormulaError
        If there is no factor, one stands twice, or an option is unknown.
    """

    factors: tuple[str, ...]
    dof: Counting = "fixest"
    singletons: Singletons = "keep"

    def __post_init__(self) -> None:
        given: Any = self.factors
        texts = (given,) if isinstance(given, str) else tuple(given)
        factors = tuple(_canonical(_factor(parse(text))) for text in texts)
        if not factors or len(factors) > MAX_FACTORS:
            what = f"absorb() names {len(factors)} factors."
            raise FormulaError(what, available=f"1 to {MAX_FACTORS}: {_FORM}")
        if twice := [text for text in factors if factors.count(text) > 1]:
            raise FormulaError(f"absorb() names {twice[0]} twice.", do="name it once.")
        object.__setattr__(self, "factors", factors)
        for field, kind in (("dof", Counting), ("singletons", Singletons)):
            if getattr(self, field) not in get_args(kind):
                what = f"absorb: {field}={getattr(self, field)!r} is not offered."
                raise FormulaError(what, available=", ".join(get_args(kind)))

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the data that the factors are made of."""
        return tuple(dict.fromkeys(name for text in self.factors for name in factor_columns(text)))

    def __str__(self) -> str:
        options = [("dof", self.dof, "fixest"), ("singletons", self.singletons, "keep")]
        shown = [f"{name}={value}" for name, value, default in options if value != default]
        return f"absorb({', '.join([*self.factors, *shown])})"


def parse_absorb(text: str | Absorb) -> Absorb:
    """Read ``"absorb(firm, year)"``, or without the word ``"firm, year"``; an :class:`Absorb` is returned as it is.

    Raises
    ------
    FormulaError
        If the text is anything else.
    """
    if isinstance(text, Absorb):
        return text
    if not isinstance(text, str):
        raise FormulaError(f"absorb={text!r} is a {type(text).__name__}, not a text.", available=_FORM)
    plain = text.strip()
    node = parse(plain if plain.startswith("absorb(") else f"absorb({plain})")
    if not (isinstance(node, Call) and node.function == "absorb"):
        raise FormulaError(f"absorb={text[:120]!r} cannot be read.", available=_FORM)
    return absorb_of(node)


def absorb_of(call: Call) -> Absorb:
    """The record of a call ``absorb(…)`` in a formula.

    Raises
    ------
    FormulaError
        If it has an unknown argument, or something that is no factor.
    """
    options: dict[str, Any] = {}
    for arg in call.args:
        if arg.name is None:
            continue
        if arg.name not in ("dof", "singletons") or arg.name in options or not isinstance(arg.value, Name):
            raise FormulaError(f"{deparse(call)}: {arg.name} cannot be read.", available=_FORM)
        options[arg.name] = arg.value.id
    return Absorb(tuple(_canonical(_factor(arg.value)) for arg in call.args if arg.name is None), **options)


def factors_of(node: Node) -> tuple[str, ...]:
    """The factors of fixest's part ``f1 + f2^f3``.

    Raises
    ------
    FormulaError
        If something else than names, ``+`` and ``^`` stands there.
    """
    found: list[Node] = []
    while isinstance(node, Binary) and node.op == "+":
        found.append(node.right)
        node = node.left
    return tuple(_canonical(_factor(part)) for part in [node, *reversed(found)])


def factor_columns(text: str) -> tuple[str, ...]:
    """Columns of one factor of :attr:`Absorb.factors`."""
    return tuple(_factor(parse(text)))


def _canonical(names: Iterator[str]) -> str:
    return "^".join(map(quote_name, dict.fromkeys(names)))


def _factor(node: Node) -> Iterator[str]:
    match node:
        case Name(name):
            yield name
        case Call("factor", (Arg(None, Name(name)),)):
            yield name
        case Binary("^", left, right):
            yield from _factor(left)
            yield from _factor(right)
        case _:
            raise FormulaError(
                f"{deparse(node)} cannot be absorbed: fixed effects are columns, or combinations of columns.",
                available=_FORM,
                do="make it a column of the data; a slope for each level is a term: factor(f):x.",
            )
