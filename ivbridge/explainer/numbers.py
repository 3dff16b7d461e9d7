"""Numbers typed from a paper or another program: which convention do they follow?

A typed number keeps its digits: 0.0549 stands for everything between 0.05485 and 0.05495.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation

import pandas as pd

from ivbridge.api import design_for
from ivbridge.data import Dataset
from ivbridge.design import Design
from ivbridge.errors import DataError, FormulaError, IvbridgeError
from ivbridge.explainer.defaults import defaults
from ivbridge.explainer.observed import asked_world
from ivbridge.explainer.records import Explanation, Observed
from ivbridge.explainer.why import explain_observed
from ivbridge.formula import parse_term
from ivbridge.gaps import Key, flatten
from ivbridge.method import Method
from ivbridge.spec import IVSpec
from ivbridge.vcov import Inference, Vcov

__all__ = ["KINDS", "Typed", "explain_numbers", "observed"]

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


def explain_numbers(
    spec_or_formula: IVSpec | str,
    data: pd.DataFrame | Dataset,
    numbers: Mapping[str, Mapping[str, Typed] | Typed],
    vcov: str | Vcov | None = None,
    weights: str | None = None,
    inference: str | Inference | None = None,
    method: str | Method | None = None,
) -> Explanation:
    """Say which convention the numbers of a paper, or of another program, follow.

    Parameters
    ----------
    spec_or_formula : IVSpec or str
        The question that the numbers should answer.
    data : DataFrame or Dataset, n rows
    numbers : mapping
        By kind: ``coef``, ``se``, ``t``, ``p``, ``ci``, ``f`` (first stage), ``wu_hausman``, ``sargan``, ``wald``,
        ``r2``, ``adj_r2``, ``sigma`` or ``n``; a number, or a mapping of term to number. Half a unit of the last digit
        is allowed, so write text where a trailing zero counts: ``{"se": {"educ": "0.0550"}}``.
    vcov : str or Vcov, optional
        What is expected, and conventions are counted from; default: that of the spec, or classical, as R's
        ``summary(fit)``.
    weights, inference, method : optional
        As for :func:`ivbridge.fit`.

    Returns
    -------
    Explanation
        ``rounding``: the numbers are those of the question as asked. Where programs print these numbers by default,
        the reason names them.

    Raises
    ------
    DataError
        If a number or its name cannot be read.
    IvbridgeError
        As :func:`ivbridge.fit`.
    """
    frame = data.frame if isinstance(data, Dataset) else data
    design = design_for(spec_or_formula, frame, (vcov,), weights, inference, method)
    if design.spec.vcov is None:
        design = dataclasses.replace(design, spec=design.spec.with_vcov("classical"))
    typed = observed(numbers, design.x_names, design.endog_names, "the paper")
    found = explain_observed(asked_world(design.spec, frame), typed, f"{design.spec.vcov} standard errors")
    if not found.ok:
        return found
    return dataclasses.replace(found, reason=_reason(found, typed, _programs(design, typed), str(design.spec.vcov)))


def _reason(found: Explanation, typed: Observed, programs: Sequence[str], vcov: str) -> str:
    """What the numbers are, who prints them, and how they differ from what was expected."""
    key, value = next(iter(typed.values.items()))
    one = f"{_WORDS.get(key[0], key[0])}{f' of {key[1]}' if key[1] else ''}, {value:g},"
    what = f"{typed.name}'s {one}" if len(typed.values) == 1 else f"{typed.name}'s {len(typed.values)} numbers"
    verb = "is" if len(typed.values) == 1 else "are"
    who = f" {verb} {_listed(programs)}" if programs else ""
    steps = " and ".join(dict.fromkeys(step.text for step in found.steps))
    if not found.steps:
        return f"{what}{who or f' {verb} what the question gives'} ({vcov} standard errors)"
    return f"{what}{who}: {steps}" if who else f"{what} {verb} explained: {steps}"


_WORDS = {
    "std.error": "standard error", "estimate": "coefficient", "statistic": "t statistic", "p.value": "p-value",
    "conf.low": "lower limit", "conf.high": "upper limit", "test statistic": "test statistic", "r.squared": "R²",
}  # fmt: skip


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _programs(design: Design, typed: Observed) -> list[str]:
    """Programs that print all the typed numbers by default; none where something else than a table was typed."""
    answers: dict[tuple[str, str, str], Mapping[Key, object]] = {}
    found = []
    for entry in defaults().values():
        convention = (entry.vcov, entry.divisor, entry.inference)
        if convention not in answers:
            try:
                answer = dataclasses.replace(entry, engine="native").answer(design)
                answers[convention] = {**flatten(answer), ("n", ""): float(answer.n)}
            except IvbridgeError:
                answers[convention] = {}
        if all(_close(answers[convention].get(key), value, typed.within[key]) for key, value in typed.values.items()):
            found.append(entry.says)
    return found


def _close(number: object, value: float, within: float) -> bool:
    return isinstance(number, float) and abs(number - value) <= within * (1 + 1e-9)


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
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return float(value), 0.0 if key[0] == "n" else float(Decimal(5).scaleb(exponent - 1))
