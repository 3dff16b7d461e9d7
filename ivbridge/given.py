"""Bare numbers as an estimate: what another program printed or another package returns, to be compared with R."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from ivbridge.errors import DataError
from ivbridge.records import FloatArray, Test
from ivbridge.results import Estimate

__all__ = ["Numbers", "given"]

#: By quantity: a value by term (or by test), a matrix with names, n values, or one value.
Numbers: TypeAlias = Mapping[str, Any]

WHY = "it is not among the numbers given"
_COLUMNS = {
    "estimate": "estimate", "std.error": "std_error", "statistic": "statistic", "p.value": "p_value",
    "conf.low": "conf_low", "conf.high": "conf_high",
}  # fmt: skip
_SCALARS = {"sigma": "sigma", "r.squared": "r2", "adj.r.squared": "r2_adj", "df.residual": "df_resid", "kappa": "kappa"}
_ROWS = {"resid": "residuals", "fitted": "fitted"}
_TESTS = {"test statistic": "statistic", "test p.value": "p_value", "test df1": "df1", "test df2": "df2"}
QUANTITIES = (*_COLUMNS, "cov", *_SCALARS, *_ROWS, *_TESTS)


def given(base: Estimate, numbers: Numbers, name: str = "candidate") -> Estimate:
    """Numbers from elsewhere as an answer to the question of an estimate.

    Parameters
    ----------
    base : Estimate
        An answer to the same question with its matrices; none of its numbers is compared.
    numbers : mapping
        ``estimate std.error statistic p.value conf.low conf.high``: a value for every term, by R's names (a mapping or
        a Series). ``cov``: a data frame with terms as rows and columns. ``sigma r.squared adj.r.squared df.residual
        kappa``: a value. ``resid fitted``: n values. ``test statistic``, ``test p.value``, ``test df1``, ``test df2``:
        a value by key of :attr:`Estimate.tests`.
    name : str, default "candidate"
        What messages call their source.

    Returns
    -------
    Estimate
        Everything else is declared in :attr:`Estimate.lacks`, so it counts as skipped.

    Raises
    ------
    DataError
        If no number is given, a quantity, term or test is not known, or a term or row is missing.
    """
    if not numbers or (unknown := [quantity for quantity in numbers if quantity not in QUANTITIES]):
        found = f"There is no quantity {unknown[0]!r}." if numbers else "No numbers are given."
        raise DataError(found, available=", ".join(QUANTITIES))
    columns: dict[str, Any] = {
        _COLUMNS[what]: _by_term(base, what, numbers[what]) for what in _COLUMNS if what in numbers
    }
    changes: dict[str, Any] = {_SCALARS[what]: _scalar(what, numbers[what]) for what in _SCALARS if what in numbers}
    changes |= {_ROWS[what]: _rows(base, what, numbers[what]) for what in _ROWS if what in numbers}
    if "cov" in numbers:
        changes["cov"] = _matrix(base, numbers["cov"])
    tests = {what: numbers[what] for what in _TESTS if what in numbers}
    lacks = dict.fromkeys(("first stage", "columns", *(what for what in QUANTITIES if what not in numbers)), WHY)
    named = {key for values in tests.values() for key in values}
    lacks |= {f"test {key}": WHY for key in base.tests if key not in named}
    return dataclasses.replace(
        base,
        engine=name,
        coefs=dataclasses.replace(base.coefs, **columns),
        tests=_tests(base, tests),
        lacks=lacks,
        provenance=dataclasses.replace(base.provenance, engine=name, versions={}, calls=()),
        notes=(),
        warnings=(),
        **changes,
    )


def _by_term(base: Estimate, what: str, values: Any) -> FloatArray:
    found = values.to_dict() if isinstance(values, pd.Series) else values
    if not isinstance(found, Mapping) or set(found) != set(base.terms):
        names = ", ".join(map(str, found)) if isinstance(found, Mapping) else type(values).__name__
        raise DataError(f"{what} is given for {names}, not for every term.", available=", ".join(base.terms))
    return np.array([_scalar(what, found[term]) for term in base.terms])


def _matrix(base: Estimate, values: Any) -> FloatArray:
    terms = set(base.terms)
    if not isinstance(values, pd.DataFrame) or set(values.index) != terms or set(values.columns) != terms:
        raise DataError("cov is no data frame with every term as row and column.", available=", ".join(base.terms))
    return values.loc[list(base.terms), list(base.terms)].to_numpy(dtype=float)


def _rows(base: Estimate, what: str, values: Any) -> FloatArray:
    found = np.asarray(values, dtype=float)
    if found.shape != (base.n,):
        raise DataError(f"{what} has the shape {found.shape}; {base.n} rows were used.")
    return found


def _scalar(what: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} is {value!r}, not a number.") from error


def _tests(base: Estimate, numbers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    found = dict(base.tests)
    for what, values in numbers.items():
        for key, value in values.items():
            test = found.get(key)
            if not isinstance(test, Test):
                known = ", ".join(name for name, one in base.tests.items() if isinstance(one, Test))
                raise DataError(f"{what} is given for {key!r}, which this question does not have.", available=known)
            changed: dict[str, Any] = {_TESTS[what]: _scalar(what, value)}
            found[key] = dataclasses.replace(test, **changed)
    return found
