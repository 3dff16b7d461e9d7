"""Cut the text of a formula into tokens, and refuse every character that the grammar does not know."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple, NoReturn

from ivbridge.errors import FormulaError

__all__ = [
    "ARGUMENT_FUNCTIONS",
    "FUNCTIONS",
    "PYTHON_RESERVED",
    "R_RESERVED",
    "Token",
    "check_name",
    "is_syntactic",
    "refuse",
    "tokenize",
]

MAX_CHARACTERS = 50_000
MAX_NAME = 250
#: every function that an expression may call
FUNCTIONS = (
    "log", "log2", "log10", "log1p", "exp", "sqrt", "abs", "I", "poly", "factor", "C", "relevel", "scale", "bs", "ns",
    "offset", "absorb",
)  # fmt: skip
#: calls that make sense only as an argument of one of the functions above
ARGUMENT_FUNCTIONS = ("c", "contr.treatment", "contr.sum", "Treatment", "Sum")
#: words that R does not take as a name
R_RESERVED = frozenset((
    "if", "else", "repeat", "while", "function", "for", "next", "break", "in", "TRUE", "FALSE", "NULL", "Inf", "NaN",
    "NA", "NA_integer_", "NA_real_", "NA_character_", "NA_complex_",
))  # fmt: skip
PYTHON_RESERVED = frozenset(("True", "False", "None", "lambda"))


class Token(NamedTuple):
    """A piece of the text: its kind, what it says and where it starts."""

    kind: str
    text: str
    start: int


_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?L?)
      | (?P<name>(?:[^\W\d]|\.(?![0-9]))[\w.]*)
      | (?P<quoted>`[^`]*`)
      | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<op>\*\*|[-+*/^:(),=~|\[\]](?!(?<=:):|(?<==)=|(?<=\|)\|))""",
    re.VERBOSE | re.DOTALL,
)
_FORBIDDEN = {
    "{": "braces (arithmetic goes inside I(…))", "}": "braces",
    "$": "the operator $", "@": "the operator @", "%": "an operator %…%",
    "<": "a comparison or assignment", ">": "a comparison", "=": "a comparison", "!": "the operator !",
    "&": "the operator &", "|": "the operator ||", "?": "the operator ?", ";": "a second statement (;)",
    "\\": "a backslash", "#": "a comment (#)", "`": "an unclosed backtick", '"': "an unclosed string",
    "'": "an unclosed string", ":": "the operator ::",
}  # fmt: skip
_ALLOWED = "column names (others than R's in `backticks`), numbers, + - * / ^ : ( ), and the functions " + ", ".join(
    FUNCTIONS
)


def refuse(what: str, text: str, start: int) -> NoReturn:
    """Raise a FormulaError that shows where in the text the trouble is."""
    near = text[max(0, start - 20) : start + 25]
    raise FormulaError(f"{what} (character {start + 1}, near {near!r}).", available=_ALLOWED)


def tokenize(text: str) -> list[Token]:
    """Cut a text into tokens.

    Raises
    ------
    FormulaError
        If the text is too long or holds a character that the grammar does not know.
    """
    if not isinstance(text, str):
        raise FormulaError(f"A formula is a text; found {type(text).__name__}.", do='write "y ~ x + w | w + z".')
    if len(text) > MAX_CHARACTERS:
        raise FormulaError(f"The formula has {len(text)} characters; the limit is {MAX_CHARACTERS}.")
    tokens, position = [], 0
    while position < len(text):
        kind, end = _next(text, position)
        while kind == "name" and (_continues(text[end : end + 1])):
            end += 1
        found = text[position:end]
        if kind == "number" and _continues(text[end : end + 1]):
            refuse(f"{found + text[end]!r} is neither a number nor a name", text, position)
        if kind != "space":
            tokens.append(Token(kind, "^" if found == "**" else found, position))
        position = end
    tokens.append(Token("end", "", len(text)))
    return tokens


def _next(text: str, position: int) -> tuple[str, int]:
    """Kind and end of the token that starts here."""
    match = _TOKEN.match(text, position)
    if match is not None and match.lastgroup is not None:
        return match.lastgroup, match.end()
    character = text[position]
    if not _is_letter(character):
        refuse(f"A formula may not use {_FORBIDDEN.get(character, repr(character))}", text, position)
    return "name", position + 1  # R begins names with some marks and digits, too


def _continues(character: str) -> bool:
    """Letters, digits, dots, underscores and the marks that many scripts write vowels with (empty text: no)."""
    return bool(character) and (
        character.isalnum() or character in "._" or unicodedata.category(character).startswith("M")
    )


def is_syntactic(name: str) -> bool:
    """Say whether R takes a name without backticks (in a UTF-8 locale)."""
    first, second = name[:1], name[1:2]
    starts = _is_letter(first) and not (first.isascii() and first.isdigit())
    if not (starts or (first == "." and not (second.isascii() and second.isdigit()))):
        return False
    return name not in R_RESERVED and all(_is_letter(c) or c in "._" for c in name)


def _is_letter(character: str) -> bool:
    """R's idea of a letter or digit, which the C library takes from Unicode's derived property Alphabetic."""
    category = unicodedata.category(character) if character else "--"
    if category == "Mn":
        return unicodedata.combining(character) in (0, *range(10, 37))
    return category.startswith("L") or category in ("Nd", "Nl", "Mc")


def check_name(name: object) -> str:
    """Return a column name that a formula can carry safely.

    Raises
    ------
    FormulaError
        If the name is not a text, is empty or one of R's placeholders (``.``, ``...``, ``..1``), or holds a backtick, a
        backslash or a character that cannot be printed (control characters, NUL, lone surrogates, odd spaces).
    """
    if not isinstance(name, str):
        raise FormulaError(f"Column names in a formula are texts; found {name!r}.", do="rename the column.")
    bad = [c for c in name if c in "`\\" or not c.isprintable()]
    placeholder = re.fullmatch(r"\.|\.\.(\.|[0-9]+)", name)
    if bad or placeholder or not name.strip():
        why = f"holds {bad[0]!r}" if bad else "has no meaning as a name in a formula"
        raise FormulaError(f"The column name {name!r} cannot be used in a formula: it {why}.", do="rename the column.")
    if len(name) > MAX_NAME:
        what = f"A column name has {len(name)} characters; the limit is {MAX_NAME}."
        raise FormulaError(what, do="rename the column.")
    return name
