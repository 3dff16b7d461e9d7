"""Numbers as they stand in print: what was typed, what it belongs to, and half a unit of its last digit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation

from ivbridge.errors import DataError, FormulaError
from ivbridge.explainer.records import Observed
from ivbridge.formula import parse_term
from ivbridge.gaps import Key

__all__ = ["KINDS", "Typed", "observed"]

#: A number as it was typed.
Typed = str | float | int

#: What may be typed, by its short name: the quantity, and what the number belongs to.
KINDS: Mapping[str, tuple[str, str]] = {
    "coef": ("estimate", "term"),
    "se": ("std.error", "term"),
    "t": ("statistic", "term"),
    "p": ("p.value", "term"),
    "ci": ("conf.low", "term"),
    "f": ("test statistic", "endogenous regressor"),
    "wu_hausman": ("test statistic", ""),
    "sargan": ("test statistic", ""),
    "wald": ("test statistic", ""),
    "r2": ("r.squared", ""),
    "adj_r2": ("adj.r.squared", ""),
    "sigma": ("sigma", ""),
    "n": ("n", ""),
}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_INTERVAL = re.compile(r"\s*[\[(]?\s*([^\s,;:\]\[()]+)\s*(?:[,;:]|\s)\s*([^\s,;:\]\[()]+)\s*[\])]?\s*")


def observed(
    numbers: Mapping[str, Mapping[str, Typed] | Typed], terms: Sequence[str], endog: Sequence[str], name: str
) -> Observed:
    """Typed numbers by quantity and term, each with half a unit of its last digit.

    Parameters
    ----------
    numbers : mapping
        By kind (a key of :data:`KINDS`): a number, or a mapping of term to number. Text keeps trailing zeros. An
        interval is text such as ``"0.02, 0.24"``.
    terms, endog : sequence of str
        Columns of the regression, and those of them that are endogenous.
    name : str
        What a sentence calls the source.

    Raises
    ------
    DataError
        If a kind or term is unknown, nothing was typed, or a text is not a number.
    """
    values: dict[Key, float] = {}
    within: dict[Key, float] = {}
    for kind, given in numbers.items():
        if kind not in KINDS:
            raise DataError(f"{kind!r} is no kind of number that can be explained.", available=", ".join(KINDS))
        for key, text in _keyed(kind, given, terms, endog):
            values[key], within[key] = _read(key, text)
    if not values:
        raise DataError("There is no number to explain.", do="give one at least, for example --se educ=0.0549.")
    return Observed(values, within, name)


def _keyed(
    kind: str, given: Mapping[str, Typed] | Typed, terms: Sequence[str], endog: Sequence[str]
) -> list[tuple[Key, Typed]]:
    quantity, belongs = KINDS[kind]
    if not belongs:
        if isinstance(given, Mapping):
            raise DataError(f"{kind} is one number, not one for each term.", do=f"write {kind}=12.3.")
        return [((quantity, kind if quantity == "test statistic" else ""), given)]
    if not isinstance(given, Mapping):
        if belongs == "term" or len(endog) != 1:
            raise DataError(
                f"{kind} {given!r} names no {belongs}.", available=", ".join(terms if belongs == "term" else endog)
            )
        given = {endog[0]: given}
    found: list[tuple[Key, Typed]] = []
    for term, text in given.items():
        known = _term(term, terms if belongs == "term" else endog, belongs)
        if kind == "f":
            found.append(((quantity, f"weak_instruments:{known}"), text))
        elif kind == "ci":
            found += zip((("conf.low", known), ("conf.high", known)), _ends(text), strict=True)
        else:
            found.append(((quantity, known), text))
    return found


def _ends(text: Typed) -> tuple[str, str]:
    match = _INTERVAL.fullmatch(str(text))
    if match is None:
        raise DataError(f"{text!r} is not an interval.", do="write its two ends, for example 0.02,0.24.")
    return match.group(1), match.group(2)


def _term(text: str, known: Sequence[str], what: str) -> str:
    """The column that a name stands for: R's name, another spelling of it, or ``const``."""
    if text in known:
        return text
    if text.strip().lower() in ("const", "_cons", "intercept", "constant") and "(Intercept)" in known:
        return "(Intercept)"
    try:
        spelled = ":".join(parse_term(text))
    except FormulaError:
        spelled = text.strip()
    if spelled in known:
        return spelled
    raise DataError(f"The question has no {what} {text!r}.", available=", ".join(known))


def _read(key: Key, typed: Typed) -> tuple[float, float]:
    """A number and half a unit of its last digit; whole numbers such as n are exact."""
    text = str(typed).strip().replace("−", "-")
    try:
        value = Decimal(text) if _NUMBER.fullmatch(text) else None
    except InvalidOperation:
        value = None
    if value is None or abs(value.adjusted()) > 300:
        raise DataError(
            f"{key[0]}{f' of {key[1]}' if key[1] else ''}: {typed!r} is not a number.",
            do="write it with a decimal point and without signs such as *, < or %.",
        )
    _check_possible(key[0], float(value), typed)
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return float(value), 0.0 if key[0] == "n" else float(Decimal(5).scaleb(exponent - 1))


def _check_possible(quantity: str, value: float, typed: Typed) -> None:
    rules = {
        "std.error": (value >= 0, "is not negative"),
        "sigma": (value >= 0, "is not negative"),
        "p.value": (0 <= value <= 1, "lies between 0 and 1"),
        "n": (value >= 1 and value.is_integer(), "is a whole number"),
    }
    possible, rule = rules.get(quantity, (True, ""))
    if not possible:
        raise DataError(f"{typed!r} cannot be right: {quantity} {rule}.", do="look at the table again.")
