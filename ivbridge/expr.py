"""One small expression language for R and Python spellings: text in, tree out, R's own text back.

Nothing here evaluates anything. A text becomes tokens, the tokens become a tree of frozen nodes, and
:func:`deparse` writes the tree exactly as R's ``deparse`` would. Whatever is not in the grammar below is refused by
name, so that hostile text can do no more than raise :class:`~ivbridge.errors.FormulaError`.

Binding, from loose to tight: ``+ -`` · ``* /`` · ``:`` · unary ``- +`` · ``^`` (right to left; ``**`` is the same).
Names follow R (dots allowed, any script); anything else stands in backticks. ``np.log(x)`` is ``log(x)``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn

from ivbridge.errors import FormulaError
from ivbridge.lexer import (
    ARGUMENT_FUNCTIONS,
    FUNCTIONS,
    PYTHON_RESERVED,
    R_RESERVED,
    Token,
    check_name,
    is_syntactic,
    refuse,
    tokenize,
)

__all__ = [
    "Arg",
    "Binary",
    "Bool",
    "Call",
    "Name",
    "Node",
    "Number",
    "Parser",
    "Text",
    "Unary",
    "deparse",
    "format_number",
    "parse",
    "quote_name",
    "r_label",
]

MAX_NODES = 5_000
MAX_CALL_NODES = 500
MAX_DEPTH = 60
_NUMPY = re.compile(r"(?:np|numpy)\.(log|log2|log10|log1p|exp|sqrt|abs)")


@dataclass(frozen=True, slots=True)
class Name:
    """A column of the data."""

    id: str


@dataclass(frozen=True, slots=True)
class Number:
    """A finite, non-negative number; a sign is a :class:`Unary`."""

    value: float


@dataclass(frozen=True, slots=True)
class Text:
    """A string; only an argument may be one."""

    value: str


@dataclass(frozen=True, slots=True)
class Bool:
    """``TRUE``/``True`` or ``FALSE``/``False``."""

    value: bool


@dataclass(frozen=True, slots=True)
class Unary:
    """``-x`` or ``+x``."""

    op: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """``left op right`` with op one of ``+ - * / ^ :``."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Arg:
    """One argument of a call; ``name`` is None when it is given by position."""

    name: str | None
    value: Node


@dataclass(frozen=True, slots=True)
class Call:
    """``function(arguments)``."""

    function: str
    args: tuple[Arg, ...] = ()


Node = Name | Number | Text | Bool | Unary | Binary | Call


_PRECEDENCE = {"+": 10, "-": 10, "*": 20, "/": 20, ":": 30, "^": 50}
_UNARY = 40


class Parser:
    """Pratt parser over one text; the formula parser drives it part by part.

    Parameters
    ----------
    text : str
        The whole text; error messages show where in it the reading stopped.
    tokens : list of Token, optional
        The tokens to read, without the closing one; default: all of `text`.
    """

    def __init__(self, text: str, tokens: list[Token] | None = None) -> None:
        self.text = text
        self.tokens = tokenize(text) if tokens is None else [*tokens, Token("end", "", len(text))]
        self.position = self.nodes = self.depth = 0

    @property
    def token(self) -> Token:
        """The token that comes next."""
        return self.tokens[self.position]

    def take(self, text: str | None = None) -> Token:
        """Consume the next token, which must be the operator `text` if that is given."""
        token = self.token
        if text is not None and not self.at(text):
            self.fail(f"expected {text!r}, found")
        self.position += 1
        return token

    def at(self, *operators: str) -> bool:
        """Say whether the next token is one of these operators."""
        return self.token.kind == "op" and self.token.text in operators

    def fail(self, what: str) -> NoReturn:
        """Raise a FormulaError that shows where the reading stopped."""
        found = repr(self.token.text) if self.token.text else "the end"
        refuse(f"Cannot read the formula: {what} {found}", self.text, self.token.start)

    def whole(self) -> Node:
        """Read one expression that uses up all tokens."""
        node = self.expression()
        if self.token.kind != "end":
            self.fail("unexpected")
        return node

    def expression(self, binding: int = 0) -> Node:
        """Read one expression whose operators bind more tightly than `binding`."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise FormulaError(f"The formula nests more than {MAX_DEPTH} levels deep.", do="simplify it.")
        left = self._operand()
        while self.token.kind == "op" and (power := _PRECEDENCE.get(self.token.text, -1)) > binding:
            op = self.take().text
            left = self._count(Binary(op, left, self.expression(power - 1 if op == "^" else power)))
        self.depth -= 1
        return left

    def _count(self, node: Node) -> Node:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise FormulaError(f"The formula has more than {MAX_NODES} parts.", do="simplify it.")
        return node

    def _operand(self) -> Node:
        if self.at("-", "+"):
            op = self.take().text
            return self._count(Unary(op, self.expression(_UNARY)))
        if self.at("("):
            self.take()
            inner = self.expression()
            self.take(")")
            return inner
        kind = self.token.kind
        if kind == "number":
            return self._count(_number(self.take().text))
        if kind == "string":
            return self._count(Text(_string(self.take())))
        if kind == "quoted":
            return self._count(Name(check_name(self.take().text[1:-1])))
        if kind != "name":
            self.fail("expected a name, a number or a call, found")
        return self._count(self._name())

    def _name(self) -> Node:
        token = self.take()
        if self.at("("):
            return self._call(token)
        if token.text in ("TRUE", "True", "FALSE", "False"):
            return Bool(token.text.lower() == "true")
        if token.text == ".":
            raise FormulaError("The formula uses '.' for 'all other columns'.", do="name the columns.")
        if token.text in R_RESERVED | PYTHON_RESERVED:
            what = f"{token.text!r} is a reserved word; a column of that name needs `backticks`"
            refuse(what, self.text, token.start)
        return Name(check_name(token.text))

    def _call(self, token: Token) -> Node:
        numpy = _NUMPY.fullmatch(token.text)
        function = numpy.group(1) if numpy else token.text
        if function not in FUNCTIONS + ARGUMENT_FUNCTIONS:
            refuse(f"The function {token.text!r} is not allowed", self.text, token.start)
        before = self.nodes
        self.take("(")
        args = tuple(self._arguments(")"))
        if self.nodes - before > MAX_CALL_NODES:
            raise FormulaError(f"A call of {function} has more than {MAX_CALL_NODES} parts.", do="simplify it.")
        return Call(function, args)

    def _arguments(self, closing: str) -> Iterator[Arg]:
        if self.at(closing):
            self.take()
            return
        while True:
            yield self._argument()
            if self.at(closing):
                self.take()
                return
            self.take(",")

    def _argument(self) -> Arg:
        name = None
        following = self.tokens[min(self.position + 1, len(self.tokens) - 1)]
        if self.token.kind == "name" and following.kind == "op" and following.text == "=":
            name = self.take().text
            self.take("=")
        if self.at("["):
            self.take()
            return Arg(name, self._count(Call("c", tuple(self._arguments("]")))))
        return Arg(name, self.expression())


@lru_cache(maxsize=1024)  # a fit reads the names of its columns dozens of times
def parse(text: str) -> Node:
    """Read one expression, for example ``"log( x )"`` or ``"a:factor(b)"``.

    Parameters
    ----------
    text : str
        R or Python spelling.

    Returns
    -------
    Node
        The tree; ``deparse(parse(text))`` is R's text for it.

    Raises
    ------
    FormulaError
        If the text is not an expression of the grammar; nothing is evaluated.
    """
    return Parser(text).whole()


def _number(text: str) -> Number:
    value = float(text.removesuffix("L"))
    if value == float("inf"):
        raise FormulaError(f"The number {text} is not finite.")
    return Number(float(format_number(value)))


def _string(token: Token) -> str:
    body = re.sub(r"""\\(["'\\])""", "\0\\1", token.text[1:-1])
    if "\\" in re.sub("\0.", "", body) or not body.replace("\0", "").isprintable() or "\0" in token.text:
        raise FormulaError(f"The string {token.text!r} holds an escape or a character that is not allowed.")
    return body.replace("\0", "")


# --------------------------------------------------------------------------------------------------------- deparse


def quote_name(name: str) -> str:
    """Write a column name as R does: in backticks unless it is a syntactic R name.

    Python's reserved words are quoted too, because :func:`parse` would read ``True`` as a logical value.
    """
    return name if is_syntactic(name) and name not in PYTHON_RESERVED else f"`{name}`"


def r_label(text: str) -> str:
    """What R calls the columns of an expression: names that only Python reserves have no backticks there."""
    return re.sub(rf"`({'|'.join(sorted(PYTHON_RESERVED))})`", r"\1", text)


def format_number(value: float) -> str:
    """Write a number as R's ``deparse``: up to 15 significant digits, scientific only where that is shorter."""
    digits = next(d for d in range(1, 16) if d == 15 or float(f"{value:.{d}g}") == float(f"{value:.15g}"))
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    scientific = f"{mantissa}e{int(exponent):+03d}"
    fixed = f"{value:.{max(0, digits - 1 - int(exponent))}f}"
    return fixed if len(fixed) <= len(scientific) else scientific


def _quote_text(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def deparse(node: Node) -> str:
    """Write a tree exactly as R's ``deparse`` writes it.

    Parameters
    ----------
    node : Node
        A tree from :func:`parse`.

    Returns
    -------
    str
        For example ``"log(x + 1)"``, ``"I(x^2)"``, ``"relevel(factor(g), ref = \\"b\\")"``. Parentheses appear only
        where the tree needs them.
    """
    return _deparse(node, 0)


def _deparse(node: Node, binding: int) -> str:
    match node:
        case Name(name):
            return quote_name(name)
        case Number(value):
            return format_number(value)
        case Text(value):
            return _quote_text(value)
        case Bool(value):
            return "TRUE" if value else "FALSE"
        case Call(function, args):
            return f"{function}({', '.join(map(_deparse_argument, args))})"
        case Unary(op, operand):
            text, power = op + _deparse(operand, _UNARY + 1), _UNARY
        case Binary(op, left, right):
            power = _PRECEDENCE[op]
            between = op if op in "/^:" else f" {op} "
            if op == "^":
                signed = isinstance(right, Unary)
                text = _deparse(left, power + 1) + between + _deparse(right, 0 if signed else power)
            else:
                text = _deparse(left, power) + between + _deparse(right, power + 1)
    return f"({text})" if power < binding else text


def _deparse_argument(arg: Arg) -> str:
    value = _deparse(arg.value, 0)
    return value if arg.name is None else f"{quote_name(arg.name)} = {value}"
