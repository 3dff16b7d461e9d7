"""The short text form of covariance estimators and reference distributions: text to records.

``str()`` of a :class:`~ivbridge.vcov.Vcov` writes the same form.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

from ivbridge.errors import UnsupportedError
from ivbridge.vcov import (
    HC0,
    HC1,
    HC2,
    HC3,
    HC4,
    HC5,
    Andrews,
    Bekker,
    Bootstrap,
    Classical,
    Clustered,
    DriscollKraay,
    HC4m,
    Inference,
    NeweyWest,
    PanelCorrected,
    T,
    Vcov,
    Z,
)

__all__ = ["parse_inference", "parse_vcov"]

MAX_CHARACTERS = 5_000

_CLASSES: dict[str, type[Vcov]] = {
    kind.keyword.lower(): kind
    for kind in (
        Classical, HC0, HC1, HC2, HC3, HC4, HC4m, HC5, Clustered, NeweyWest, Andrews, DriscollKraay, PanelCorrected,
        Bootstrap, Bekker,
    )
}  # fmt: skip
_ALIASES = {"iid": "classical", "const": "classical", "newey-west": "nw", "neweywest": "nw", "bs": "bootstrap"}
_AVAILABLE = (
    "classical, HC0 … HC5, HC4m, cluster(g), nw(4), andrews, dk(unit, period), pc(unit, period), bootstrap, bekker"
)


def parse_vcov(text: str | Vcov) -> Vcov:
    """Read the short text form of a covariance estimator.

    Parameters
    ----------
    text : str or Vcov
        For example ``"HC1"``, ``"cluster(state, type=HC1)"`` or ``"nw(4, prewhite=0)"``. Case does not matter in the
        name of the estimator; column names may stand in double quotes. A :class:`Vcov` is returned as it is.

    Raises
    ------
    UnsupportedError
        If the text names no known estimator or argument.
    """
    if isinstance(text, Vcov):
        return text
    _check_text("vcov", text, _AVAILABLE)
    match = re.fullmatch(r"\s*([\w-]+)\s*(?:\((.*)\))?\s*", text, flags=re.DOTALL)
    name = match.group(1).lower() if match else ""
    kind = _CLASSES.get(_ALIASES.get(name, name))
    if match is None or kind is None:
        raise UnsupportedError(f"vcov={text!r} is not a known covariance estimator.", available=_AVAILABLE)
    values: dict[str, Any] = {}
    positions = list(kind.positional)
    for key, value in _arguments(match.group(2) or ""):
        if key is None:
            if not positions:
                raise UnsupportedError(f"vcov={text!r} has an argument too many ({value}).", available=_AVAILABLE)
            key = positions[0] if kind is Clustered else positions.pop(0)
        values[key] = (*values.get(key, ()), value) if key == "by" else value
    names = {field.name for field in dataclasses.fields(kind)}
    if unknown := set(values) - names:
        raise UnsupportedError(
            f"vcov={text!r}: {kind.keyword} has no argument {', '.join(sorted(unknown))}.",
            available=", ".join(sorted(names)) or "no arguments",
        )
    columns = set(kind.column_fields)
    return kind(**{key: value if key in columns else _literal(value) for key, value in values.items()})


def _check_text(asked: str, text: object, available: str) -> None:
    if not isinstance(text, str):
        raise UnsupportedError(f"{asked}={text!r} is a {type(text).__name__}, not a text.", available=available)
    if len(text) > MAX_CHARACTERS:
        raise UnsupportedError(f"{asked} is a text of {len(text)} characters; the limit is {MAX_CHARACTERS}.")


#: One argument. What is matched is never given back (``++``), so that no text takes long to refuse; only a keyword is,
#: since Python before 3.11.5 misreads a group within ``(…)?+``.
_ARGUMENT = re.compile(r'\s*+(?:(\w++)\s*+=\s*+)?(?:"((?:[^"\\]|\\.)*+)"\s*+|([^,"=]++))(?:,|$)', flags=re.DOTALL)


def _arguments(text: str) -> list[tuple[str | None, str]]:
    """Split ``a, "b c", lag=4`` into (keyword or None, value) pairs."""
    pairs: list[tuple[str | None, str]] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _ARGUMENT.match(text, position)
        if match is None or (match[2] is None and not match[3].strip()):
            raise UnsupportedError(f"Cannot read {text!r} as the arguments of a vcov.", available=_AVAILABLE)
        key, quoted, plain = match.groups()
        pairs.append((key, plain.strip() if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)))
        position = match.end()
    return pairs


def _literal(value: str) -> object:
    words: dict[str, object] = {"true": True, "false": False, "none": None, "null": None, "auto": None}
    if value.lower() in words:
        return words[value.lower()]
    for read in (int, float):
        try:
            return read(value)
        except ValueError:
            continue
    return value


def parse_inference(text: str | Inference) -> Inference:
    """Read ``"t"``, ``"t(20)"`` or ``"z"``; a :class:`T` or :class:`Z` is returned as it is.

    Raises
    ------
    UnsupportedError
        If the text is none of these, or the degrees of freedom are not positive.
    """
    if isinstance(text, T | Z):
        return text
    _check_text("inference", text, "t, t(df), z")
    number = r"\d++(?:\.\d*+)?+|\.\d++"
    match = re.fullmatch(rf"\s*+(?:(z)|t(?:\(\s*+((?:{number})(?:e[+-]?\d++)?|inf)\s*+\))?)\s*", text, re.IGNORECASE)
    if match is None:
        raise UnsupportedError(f"inference={text!r} is not known.", available="t, t(df), z")
    if match.group(1) or (match.group(2) or "").lower() == "inf":
        return Z()
    df = None if match.group(2) is None else float(match.group(2))
    if df is not None and not (df > 0 and math.isfinite(df)):
        raise UnsupportedError(f"inference={text!r}: degrees of freedom must be positive.", available="t, t(df), z")
    return T(df)
