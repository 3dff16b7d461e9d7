"""Write a question as lines of a Stata do-file."""

from __future__ import annotations

import re

from ivbridge.errors import UnsupportedError
from ivbridge.expr import Arg, Binary, Bool, Call, Name, Node, Number, Text, Unary, deparse, format_number, parse
from ivbridge.formula import Roles, parse_term
from ivbridge.method import Fuller, Method, TwoStage
from ivbridge.vcov import HC0, HC1, Classical, Clustered, Inference, T, Vcov, Z

__all__ = ["to_stata"]

_STATA_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")
_STATA_RESERVED = frozenset(
    ("_all", "_b", "byte", "_coef", "_cons", "double", "float", "if", "in", "int", "long", "_n", "_N", "_pi", "_pred",
     "_rc", "_skip", "str", "strL", "using", "with")
)  # fmt: skip
_LOGARITHMS = {"log": "ln({})", "log2": "ln({})/ln(2)", "log10": "log10({})", "log1p": "ln1p({})"}


class _DoFile:
    """Collects the lines that make variables, and gives each made variable a name of its own."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self.lines: list[str] = []
        self.made: dict[str, str] = {}
        self.taken = {name.lower() for name in columns}

    def variable(self, text: str, line: str, key: str | None = None) -> str:
        """Return the Stata variable for `text`, made by `line` (``{}`` is its name) on first use."""
        key = key or text
        if key not in self.made:
            stem = re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9]", "_", text.replace("^", "_p_"))).strip("_")[:26]
            stem = stem if stem[:1].isalpha() else f"v_{stem}"
            name, number = stem, 1
            while name.lower() in self.taken:
                name, number = f"{stem}_{number}", number + 1
            self.taken.add(name.lower())
            self.made[key] = name
            self.lines.append(line.format(name))
        return self.made[key]


def to_stata(
    roles: Roles, *, columns: tuple[str, ...], weights: str | None = None, vcov: Vcov | None = None,
    inference: Inference = T(),  # noqa: B008
    method: Method = TwoStage(),  # noqa: B008
) -> str:  # fmt: skip
    """Write ``ivregress`` (``regress`` without endogenous regressors) and the lines that make its variables.

    Factor variables (``i.g``) need numeric codes in Stata: ``encode`` texts first. Coefficients of the same columns
    are the same; products of factors span the same space with other columns.

    Parameters
    ----------
    roles : Roles
        What the formula says.
    columns : tuple of str
        All columns of the question, so that no made variable takes one's name.
    weights : str, optional
        Column of weights; AER's are Stata's ``aweight``.
    vcov : Vcov, optional
        Classical, HC0, HC1 and one-way clustered have a Stata option; default: none is written.
    inference : Inference, default T()
        Decides about ``small`` for Classical, HC1 and clustered, which Stata ties to t.
    method : Method, default TwoStage(), or LIML()

    Returns
    -------
    str
        Lines joined by newlines.

    Raises
    ------
    UnsupportedError
        For orthogonal polynomials, splines, sum contrasts, baselines that are not whole numbers, column names that
        Stata does not take, and estimators without an equal in Stata.
    """
    if isinstance(method, Fuller):
        raise UnsupportedError("Stata's ivregress has no Fuller estimator.", available="2sls, liml")
    do = _DoFile(columns)
    response = parse(roles.dependent)
    if roles.offset is not None:
        response = Binary("-", response, parse(roles.offset))
    dependent = _made(do, response)
    exog, endog, instruments = _blocks(do, roles)
    regress = not (roles.endog or roles.instruments)
    words = ["regress" if regress else f"ivregress {method}", dependent, exog]
    words += [] if regress else [f"({endog} = {instruments})"]
    words += [] if weights is None else [f"[aweight={_name(weights)}]"]
    options = ([] if roles.intercept else ["noconstant"]) + _vcov_options(vcov, inference, regress)
    command = " ".join(word for word in words if word) + (f", {' '.join(options)}" if options else "")
    return "\n".join([*do.lines, command])


def _blocks(do: _DoFile, roles: Roles) -> list[str]:
    """Exogenous regressors, endogenous ones and instruments; the first factor takes all levels if nothing else has."""
    if roles.absorb is not None:
        raise UnsupportedError(f"Stata's ivregress has no {roles.absorb}.", do="write factor(f) terms.")
    constant = roles.intercept
    blocks: list[str] = []
    for group in (roles.exog, roles.endog, roles.instruments):
        words = []
        for text in group:
            words.append(_term(do, text, full=not constant))
            constant = constant or words[-1].startswith("ibn.")
        blocks.append(" ".join(words))
    return blocks


def _vcov_options(vcov: Vcov | None, inference: Inference, regress: bool) -> list[str]:
    small = isinstance(inference, T)
    match vcov:
        case None:
            return []
        case Classical() if small:
            return [] if regress else ["small"]
        case HC1() if small:
            return ["vce(robust)"] if regress else ["vce(robust)", "small"]
        case HC0() if isinstance(inference, Z) and not regress:
            return ["vce(robust)"]
        case Clustered(by=(group,), type="HC1", cadjust=True) if small:
            return [f"vce(cluster {_name(group)})"] + ([] if regress else ["small"])
    raise UnsupportedError(
        f"Stata's {'regress' if regress else 'ivregress'} has no option that equals vcov={vcov} with {inference}.",
        available="classical, HC1 and cluster(g, type=HC1) with t; HC0 with z (ivregress)",
    )


def _name(name: str) -> str:
    if not _STATA_NAME.fullmatch(name) or name in _STATA_RESERVED:
        raise UnsupportedError(f"Stata cannot use the column name {name!r}.", do="rename the column.")
    return name


def _made(do: _DoFile, node: Node) -> str:
    """Return a column as it is, and anything else as a generated variable."""
    while isinstance(node, Call) and node.function == "I":
        node = node.args[0].value
    if isinstance(node, Name):
        return _name(node.id)
    if isinstance(node, Call) and node.function == "scale":
        return _scaled(do, node)
    return do.variable(deparse(node), f"generate double {{}} = {_arithmetic(node)}")


def _scaled(do: _DoFile, node: Call) -> str:
    inner, off = node.args[0].value, {arg.name for arg in node.args if arg.value == Bool(False)}
    if off == {"center", "scale"}:
        return _made(do, inner)
    if off:
        raise UnsupportedError(f"{deparse(node)} has no one-line equivalent in Stata.", available="scale(x)")
    return do.variable(deparse(node), f"egen double {{}} = std({_arithmetic(inner)})")


def _term(do: _DoFile, text: str, *, full: bool) -> str:
    term = parse_term(text)
    if len(term) == 1:
        return _variable(do, term[0], full=full)
    parts = [_variable(do, name, full=False) for name in term]
    if any(" " in part for part in parts):
        raise UnsupportedError(f"{text}: Stata cannot cross the columns of a polynomial in one term.")
    return "#".join(part if "." in part else f"c.{part}" for part in parts)


def _variable(do: _DoFile, text: str, *, full: bool) -> str:
    """Write one variable; with `full`, a factor gets all its levels."""
    match parse(text):
        case Call("factor", (Arg(_, inner),)):
            return f"{'ibn' if full else 'i'}.{_made(do, inner)}"
        case Call("relevel", (Arg(_, Call(_, (Arg(_, inner),))), Arg(_, Text(level)))):
            if not re.fullmatch(r"[0-9]{1,9}", level):
                raise UnsupportedError(f"{text}: Stata's baseline must be a whole number; {level!r} is not.")
            return f"{'ibn' if full else f'ib{int(level)}'}.{_made(do, inner)}"
        case Call("C"):
            raise UnsupportedError(f"{text}: Stata's factor variables have no sum contrasts.", available="i.g, ib2.g")
        case Call("poly", (Arg(_, inner), Arg(_, Number(degree)), *options)):
            if not options:
                raise UnsupportedError(f"{text}: Stata has no orthogonal polynomials here.", do="use raw = TRUE.")
            powers = [inner, *(Binary("^", inner, Number(float(power))) for power in range(2, int(degree) + 1))]
            return " ".join(_made(do, power) for power in powers)
        case Call("bs" | "ns" as function):
            raise UnsupportedError(f"{text}: Stata has no basis like R's {function}().", do="use powers of x.")
        case node:
            return _made(do, node)


def _arithmetic(node: Node) -> str:
    match node:
        case Name(name):
            return _name(name)
        case Number(value):
            return format_number(value)
        case Unary(op, operand):
            return f"({op}{_arithmetic(operand)})"
        case Binary(op, left, right):
            return f"({_arithmetic(left)} {op} {_arithmetic(right)})"
        case Call("I", (Arg(_, inner),)):
            return _arithmetic(inner)
        case Call(function, (Arg(_, inner),)) if function != "scale":
            return _LOGARITHMS.get(function, function + "({})").format(_arithmetic(inner))
    raise UnsupportedError(f"{deparse(node)} has no equivalent inside a Stata expression.")
