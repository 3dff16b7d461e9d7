"""Write a question in the language of R or of linearmodels; :mod:`ivbridge.stata` writes Stata's."""

from __future__ import annotations

import itertools
import keyword
from collections.abc import Mapping, Sequence

from ivbridge.coding import codings
from ivbridge.errors import UnsupportedError
from ivbridge.expr import Arg, Binary, Call, Name, Node, Number, Text, Unary, format_number, parse
from ivbridge.formula import Roles, Term, parse_term

__all__ = ["Levels", "to_linearmodels", "to_r"]

#: levels of every factor, the baseline first, by R's name of the variable (``Design.levels``)
Levels = Mapping[str, Sequence[str]]


def to_r(roles: Roles) -> str:
    """Write R's two-part formula, for ``AER::ivreg`` and ``ivreg::ivreg``.

    Parameters
    ----------
    roles : Roles
        What the formula says.

    Returns
    -------
    str
        For example ``"y ~ w + x | w + z"``; ``"y ~ w | w"`` for least squares; ``- 1`` last in both parts where there
        is no intercept; an offset stands in the first part, and so do absorbed fixed effects, which R's packages cannot
        read there (:func:`ivbridge.absorb.dummies.with_dummies` writes what they read).
    """
    parts = []
    for excluded, offset, absorb in ((roles.endog, roles.offset, roles.absorb), (roles.instruments, None, None)):
        terms = [*roles.exog, *excluded]
        bare = "1" if roles.intercept else "0"
        shown = (terms or [bare]) + ([] if offset is None else [f"offset({offset})"])
        shown += [] if absorb is None else [str(absorb)]
        parts.append(" + ".join(shown) + (" - 1" if terms and not roles.intercept else ""))
    return f"{roles.dependent} ~ {parts[0]} | {parts[1]}"


def to_linearmodels(roles: Roles, levels: Levels | None = None) -> str:
    """Write the formula of ``linearmodels.IV2SLS.from_formula``, in which formulaic needs ``np`` (NumPy).

    The matrices span the same spaces as R's; columns are the same wherever formulaic codes factors as R does. Give it
    the rows that are used: formulaic does not drop rows in which a factor is missing. Ordered categoricals need
    ``C(o, contr.poly)`` there to get R's columns.

    Parameters
    ----------
    roles : Roles
        What the formula says.
    levels : mapping of str to sequence of str, optional
        Levels of the factors (``Design.levels``). Needed for factors among the endogenous regressors and instruments,
        which formulaic would expand to all levels: they are written as indicators.

    Returns
    -------
    str
        For example ``"np.log(packs) ~ 1 + np.log(rincome) + [np.log(rprice) ~ tdiff]"``.

    Raises
    ------
    UnsupportedError
        For ``ns()``, which formulaic does not have, and for what the text form of linearmodels cannot carry.
    """
    if roles.absorb is not None:
        raise UnsupportedError(f"linearmodels' IV2SLS has no {roles.absorb}.", do="write factor(f) terms.")
    dependent = _python(parse(roles.dependent))
    if roles.offset is not None:
        inner = parse(roles.dependent)
        inner = inner.args[0].value if isinstance(inner, Call) and inner.function == "I" else inner
        dependent = f"I({_arithmetic(Binary('-', inner, parse(roles.offset)))})"
    exog = [_term(term) for term in map(parse_term, roles.exog)]
    pieces = ["1" if roles.intercept else "0", *exog]
    if roles.endog or roles.instruments:
        blocks = [_bracket(roles, group, levels) for group in (roles.endog, roles.instruments)]
        pieces.append(f"[{blocks[0]} ~ {blocks[1]}]")
    return f"{dependent} ~ {' + '.join(pieces)}"


def _bracket(roles: Roles, group: tuple[str, ...], levels: Levels | None) -> str:
    """Write the terms of one side of ``[… ~ …]``, in which formulaic never drops a level."""
    if not group:
        raise UnsupportedError(
            "linearmodels cannot write a question with instruments but no endogenous regressor, or the reverse.",
            do="name both, or neither.",
        )
    wanted = {parse_term(text) for text in group}
    terms = sorted(map(parse_term, roles.exog + group), key=len)
    known = {} if levels is None else {name: list(found) for name, found in levels.items()}
    factors = {name for term in terms for name in term if _is_factor(name) or _bare(name) in known}
    written = []
    for term, full in zip(terms, codings(terms, factors, intercept=roles.intercept), strict=True):
        if term in wanted and factors & set(term):
            choices = [
                _indicators(name, known, dummies) if name in factors else [_variable(name)]
                for name, dummies in zip(term, full, strict=True)
            ]
            written += [":".join(reversed(choice)) for choice in itertools.product(*reversed(choices))]
        elif term in wanted:
            written.append(_term(term))
    text = " + ".join(written)
    if any(character in text for character in "[]~"):
        what = "linearmodels cannot read [, ] or ~ inside its brackets."
        raise UnsupportedError(what, do="rename columns or levels.")
    return text


def _is_factor(name: str) -> bool:
    node = parse(name)
    return isinstance(node, Call) and node.function in ("factor", "relevel", "C")


def _bare(name: str) -> str:
    node = parse(name)
    return node.id if isinstance(node, Name) else name


def _indicators(name: str, known: Mapping[str, list[str]], dummies: bool) -> list[str]:
    """Write one indicator a level (without the first for contrasts)."""
    node = parse(name)
    if isinstance(node, Call) and node.function == "C":
        raise UnsupportedError(f"linearmodels has no sum contrasts for {name} inside its brackets.", do="use factor().")
    if _bare(name) not in known:
        raise UnsupportedError(
            f"linearmodels expands {name} inside its brackets to all levels, unlike R.",
            do="pass levels=design.levels, so that indicators can be written.",
        )
    column = node
    while isinstance(column, Call):
        column = column.args[0].value
    shown = known[_bare(name)][0 if dummies else 1 :]
    return [f"I(({_arithmetic(column)} == {_level(level)}) * 1.0)" for level in shown]


def _term(term: Term) -> str:
    return ":".join(map(_variable, term))


def _variable(text: str) -> str:
    return _python(parse(text))


def _python(node: Node) -> str:
    """Write one variable as formulaic reads it."""
    match node:
        case Name(name):
            return name if name.isidentifier() and not keyword.iskeyword(name) else f"`{name}`"
        case Call("factor", (Arg(_, inner),)):
            return f"C({_arithmetic(inner)})"
        case Call("relevel", (Arg(_, Call(_, (Arg(_, inner),))), Arg(_, Text(reference)))):
            return f"C({_arithmetic(inner)}, contr.treatment({_level(reference)}))"
        case Call("C", (Arg(_, Call(_, (Arg(_, inner),))), _)):
            return f"C({_arithmetic(inner)}, contr.sum)"
        case Call("ns"):
            raise UnsupportedError("formulaic has no natural splines ns().", available="bs(), poly()")
        case Call("poly" | "bs" | "scale"):
            return _matrix(node)
        case Call("I", (Arg(_, inner),)):
            return f"I({_arithmetic(inner)})"
    return _arithmetic(node)


def _matrix(node: Call) -> str:
    renamed = {"intercept": "include_intercept"}
    parts = [_arithmetic(node.args[0].value)]
    for arg in node.args[1:]:
        values = [_constant(part.value) for part in arg.value.args] if isinstance(arg.value, Call) else []
        if arg.name == "Boundary.knots":
            low, high = sorted(values, key=float)
            parts.append(f"lower_bound={low}, upper_bound={high}, extrapolation='extend'")
        elif values:
            parts.append(f"{arg.name}=({', '.join(values)},)")
        else:
            value = _constant(arg.value)
            parts.append(value if arg.name is None else f"{renamed.get(arg.name, arg.name)}={value}")
    return f"{node.function}({', '.join(parts)})"


def _constant(node: Node) -> str:
    match node:
        case Number(value):
            return format_number(value)
        case Unary(_, Number(value)):
            return f"-{format_number(value)}"
        case Name() | Text() | Unary() | Binary() | Call():
            raise UnsupportedError(f"{node} is not a constant.")
    return str(node.value)


def _level(text: str) -> str:
    """Write a level as Python's literal: a number where it reads as one, since such columns hold numbers."""
    try:
        value = float(text)
    except ValueError:
        return repr(text)
    return repr(text) if value != value or abs(value) == float("inf") else format_number(value) if value >= 0 else text


_POWER = {"+": 1, "-": 1, "*": 2, "/": 2, "^": 4}


def _arithmetic(node: Node, binding: int = 0) -> str:
    """Write arithmetic in Python, with parentheses around every nested operation of another kind."""
    match node:
        case Name():
            return _python(node)
        case Number(value):
            return format_number(value)
        case Unary(op, operand):
            text, power = f"{op}{_arithmetic(operand, 3)}", 3
        case Binary(op, left, right):
            power = _POWER[op]
            sign = "**" if op == "^" else op
            tight = int(op == "^")
            text = f"{_arithmetic(left, power + tight)} {sign} {_arithmetic(right, power + 1 - tight)}"
        case Call("I", (Arg(_, inner),)):
            return _arithmetic(inner, binding)
        case Call("scale"):
            return _matrix(node)
        case Call(function, (Arg(_, inner),)):
            return f"np.{function}({_arithmetic(inner)})"
        case _:
            raise UnsupportedError(f"{node} is not arithmetic.")
    return f"({text})" if power < binding else text
