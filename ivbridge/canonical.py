"""One spelling for every variable that a formula may use: R's.

``np.log(x)`` becomes ``log(x)``, ``C(x)`` becomes ``factor(x)``, ``C(x, Treatment("b"))`` becomes
``relevel(factor(x), ref = "b")``, ``poly(x, degree=2, raw=True)`` becomes ``poly(x, 2, raw = TRUE)``, and so on. Two
formulas that mean the same therefore give equal texts, whatever language they were written in. A call that R and
Python would read differently is refused rather than guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate

from ivbridge.errors import FormulaError
from ivbridge.expr import Arg, Binary, Bool, Call, Name, Node, Number, Text, Unary, deparse, parse

__all__ = [
    "ELEMENTWISE",
    "canonical_numeric",
    "canonical_variable",
    "columns_of",
    "offset_text",
    "response_text",
    "variable_text",
]

ELEMENTWISE = ("log", "log2", "log10", "log1p", "exp", "sqrt", "abs")
MAX_VARIABLE_CHARACTERS = 400
#: R reads brackets 49 deep, and the engines put a few around a variable.
MAX_BRACKETS = 40
_QUOTED = re.compile(r'`[^`]*`|"(?:[^"\\]|\\.)*"')
_CONTRASTS = (
    'C(g), C(g, Treatment("level")), C(g, Sum), factor(g), relevel(factor(g), ref = "level"), C(factor(g), contr.sum)'
)
_TREATMENT, _SUM = ("contr.treatment", "Treatment"), ("contr.sum", "Sum")


def canonical_variable(node: Node) -> Node:
    """Rewrite one variable of a term in R's spelling.

    Parameters
    ----------
    node : Node
        A column name or a call, as :func:`ivbridge.expr.parse` gives it.

    Returns
    -------
    Node
        The same variable; applying the function again changes nothing.

    Raises
    ------
    FormulaError
        If the call is not one of those that R and Python both have, or its arguments are not supported.
    """
    if isinstance(node, Call) and node.function in _REWRITE:
        return _REWRITE[node.function](node)
    if isinstance(node, Name) or (isinstance(node, Call) and node.function in (*ELEMENTWISE, "I")):
        return canonical_numeric(node)
    raise FormulaError(f"{deparse(node)!r} cannot be a term of a formula.", do="put arithmetic inside I(…).")


def variable_text(node: Node) -> str:
    """Return the canonical R text of one variable; longer than 400 characters is an error, since R would cut it."""
    return _limited(canonical_variable(node))


def response_text(node: Node) -> str:
    """Return the canonical R text of a dependent variable.

    Bare arithmetic gets ``I()``, since R's Formula would read ``a + b`` as two variables.
    """
    rewritten = canonical_numeric(node)
    return _limited(Call("I", (Arg(None, rewritten),)) if isinstance(rewritten, Binary | Unary) else rewritten)


def offset_text(node: Node) -> str:
    """Return the canonical R text of the inside of ``offset()``."""
    return _limited(canonical_numeric(node))


def _limited(node: Node) -> str:
    text = deparse(node)
    if len(text) > MAX_VARIABLE_CHARACTERS:
        raise FormulaError(f"The variable {text[:60]!r}… is longer than {MAX_VARIABLE_CHARACTERS} characters.")
    plain = _QUOTED.sub("", text)
    if max(accumulate((c == "(") - (c == ")") for c in plain), default=0) > MAX_BRACKETS:
        raise FormulaError(
            f"The variable {text[:60]!r}… has brackets more than {MAX_BRACKETS} deep.", do="simplify it."
        )
    return text


def canonical_numeric(node: Node) -> Node:
    """Rewrite an arithmetic expression (the inside of ``I()``, of ``log()``, a dependent variable, an offset)."""
    match node:
        case Name() | Number():
            return node
        case Unary("+", operand):
            return canonical_numeric(operand)
        case Unary(op, operand):
            return Unary(op, canonical_numeric(operand))
        case Binary(op, left, right) if op != ":":
            return Binary(op, canonical_numeric(left), canonical_numeric(right))
        case Call("scale"):
            return _scale(node)
        case Call(function, (Arg(None, value),)) if function in (*ELEMENTWISE, "I"):
            return Call(function, (Arg(None, canonical_numeric(value)),))
        case Call(function) if function in ELEMENTWISE:
            raise FormulaError(f"{deparse(node)}: {function}() takes one argument.", do=f"write {function}(x).")
    raise FormulaError(f"{deparse(node)!r} is not arithmetic.", available=f"+ - * / ^ {' '.join(ELEMENTWISE)}")


def columns_of(text: str) -> tuple[str, ...]:
    """Return the column names that an expression or term uses, in order of appearance."""
    return tuple(dict.fromkeys(_names(parse(text))))


def _names(node: Node) -> Iterator[str]:
    match node:
        case Name(name):
            yield name
        case Unary(_, operand):
            yield from _names(operand)
        case Binary(_, left, right):
            yield from _names(left)
            yield from _names(right)
        case Call("C", (Arg(_, value), *_)):
            yield from _names(value)
        case Call(_, args):
            for arg in args:
                yield from _names(arg.value)


# ------------------------------------------------------------------------------------------------------- arguments
def _bind(call: Call, *names: str, **aliases: str) -> dict[str, Node]:
    """Match the arguments of a call by position and name; `aliases` maps other spellings to `names`."""
    bound: dict[str, Node] = {}
    free = iter(names)
    for arg in call.args:
        name = next(free, None) if arg.name is None else aliases.get(arg.name, arg.name)
        if name not in names or name in bound:
            raise FormulaError(
                f"{deparse(call)}: {call.function}() cannot take the argument {arg.name or deparse(arg.value)!r}.",
                available=f"{call.function}({', '.join(names)})",
            )
        bound[name] = arg.value
    if names[0] not in bound:
        raise FormulaError(f"{deparse(call)}: {call.function}() needs a column.", available=", ".join(names))
    return bound


def _flag(call: Call, node: Node | None, default: bool) -> bool:
    match node:
        case None:
            return default
        case Bool(value):
            return value
        case Name("T" | "F" as letter):
            return letter == "T"
    raise FormulaError(f"{deparse(call)}: {deparse(node)!r} is not TRUE or FALSE.")


def _integer(call: Call, node: Node, low: int, high: int) -> Number:
    if isinstance(node, Number) and node.value.is_integer() and low <= node.value <= high:
        return node
    raise FormulaError(f"{deparse(call)}: {deparse(node)!r} is not a whole number from {low} to {high}.")


def _vector(call: Call, node: Node) -> Call:
    values = [arg.value for arg in node.args] if isinstance(node, Call) and node.function == "c" else [node]
    if call.function in ("bs", "ns") and not values:
        raise FormulaError(f"{deparse(call)}: c() is empty.", do="leave the argument out.")
    for value in values:
        if not isinstance(value.operand if isinstance(value, Unary) else value, Number):
            raise FormulaError(f"{deparse(call)}: {deparse(value)!r} is not a number.", do="write c(1, 2).")
    return Call("c", tuple(Arg(None, value) for value in values))


def _plain(call: Call, node: Node) -> Node:
    """The variable inside poly(), bs(), ns(): arithmetic, but not itself a matrix."""
    if isinstance(node, Call) and node.function == "scale":
        raise FormulaError(f"{deparse(call)}: scale() cannot stand inside {call.function}().", do="leave scale() out.")
    return canonical_numeric(node)


# -------------------------------------------------------------------------------------------------------- rewriting
def _poly(call: Call) -> Node:
    got = _bind(call, "x", "degree", "raw")
    if len([arg for arg in call.args if arg.name is None]) > 2:
        what = f"{deparse(call)}: R and Python read the third argument differently."
        raise FormulaError(what, do="write raw = TRUE.")
    degree = _integer(call, got.get("degree", Number(1.0)), 1, 20)
    raw = (Arg("raw", Bool(True)),) if _flag(call, got.get("raw"), False) else ()
    return Call("poly", (Arg(None, _plain(call, got["x"])), Arg(None, degree), *raw))


def _scale(call: Call) -> Node:
    got = _bind(call, "x", "center", "scale")
    args = [Arg(None, canonical_numeric(got["x"]))]
    args += [Arg(name, Bool(False)) for name in ("center", "scale") if not _flag(call, got.get(name), True)]
    return Call("scale", tuple(args))


def _spline(call: Call) -> Node:
    names = ("x", "df", "knots", "degree", "intercept", "Boundary.knots")
    got = _bind(call, *(n for n in names if call.function == "bs" or n != "degree"), include_intercept="intercept")
    args = [Arg(None, _plain(call, got["x"]))]
    if "df" in got and "knots" in got:
        raise FormulaError(f"{deparse(call)} gives both df and knots; R would ignore df.", do="give one of them.")
    if "df" in got:
        args.append(Arg("df", _integer(call, got["df"], 1, 100)))
    if "degree" in got and got["degree"] != Number(3.0):
        args.append(Arg("degree", _integer(call, got["degree"], 1, 10)))
    if "knots" in got:
        args.append(Arg("knots", _vector(call, got["knots"])))
    if _flag(call, got.get("intercept"), False):
        args.append(Arg("intercept", Bool(True)))
    if "Boundary.knots" in got:
        ends = _vector(call, got["Boundary.knots"])
        if len(ends.args) != 2:
            raise FormulaError(f"{deparse(call)}: Boundary.knots must be two numbers.", do="write c(low, high).")
        args.append(Arg("Boundary.knots", ends))
    return Call(call.function, tuple(args))


def _factor(call: Call) -> Node:
    inner = _bind(call, "x")["x"]
    if isinstance(inner, Call) and inner.function in ("factor", "C", "relevel"):
        return canonical_variable(inner)
    return Call("factor", (Arg(None, _plain(call, inner)),))


def _c(call: Call) -> Node:
    got = _bind(call, "x", "contr", contrasts="contr")
    base, contrast = _factor(Call("factor", (Arg(None, got["x"]),))), got.get("contr")
    if contrast is None:
        return base
    if isinstance(base, Call) and base.function != "factor":
        raise FormulaError(f"{deparse(call)} asks for two codings of one factor.", available=_CONTRASTS)
    match contrast:
        case Name(name) | Text(name) | Call(name, ()) if name in _TREATMENT:
            return base
        case Name(name) | Text(name) | Call(name, ()) if name in _SUM:
            return Call("C", (Arg(None, base), Arg(None, Name("contr.sum"))))
        case Call(name, (Arg(None | "base" | "reference" | "ref", level),)) if name in _TREATMENT:
            return _relevelled(call, base, level)
    raise FormulaError(f"{deparse(call)}: {deparse(contrast)!r} is not a coding of a factor.", available=_CONTRASTS)


def _relevel(call: Call) -> Node:
    got = _bind(call, "x", "ref")
    if "ref" not in got:
        raise FormulaError(f"{deparse(call)}: relevel() needs the reference level.", available=_CONTRASTS)
    base = _factor(Call("factor", (Arg(None, got["x"]),)))
    if isinstance(base, Call) and base.function == "C":
        raise FormulaError(f"{deparse(call)} asks for two codings of one factor.", available=_CONTRASTS)
    return _relevelled(call, base, got["ref"])


def _relevelled(call: Call, base: Node, level: Node) -> Node:
    if not isinstance(level, Text):
        raise FormulaError(
            f"{deparse(call)}: the reference level must be a text; {deparse(level)} could mean a value or a position.",
            do=f'write the level in quotes, for example "{deparse(level).strip(chr(34))}".',
        )
    if isinstance(base, Call) and base.function == "relevel":
        base = base.args[0].value
    return Call("relevel", (Arg(None, base), Arg("ref", level)))


_REWRITE = {
    "poly": _poly, "scale": _scale, "bs": _spline, "ns": _spline, "factor": _factor, "C": _c, "relevel": _relevel,
}  # fmt: skip
