"""From a design to plainly named columns that any package takes, and from a package's numbers to an Estimate."""

from __future__ import annotations

import keyword
import math
import platform
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from ivbridge import diagnostics
from ivbridge.asked import asked_vcov
from ivbridge.design import Design
from ivbridge.errors import EngineError, IvbridgeError
from ivbridge.method import TwoStage
from ivbridge.records import Coefficients, FirstStage, FloatArray, NotApplicable, Provenance, Seen, Test
from ivbridge.results import Estimate
from ivbridge.vcov import T

__all__ = ["INTERCEPT", "Plain", "Reported", "estimate", "heard", "plain_columns"]

INTERCEPT = "(Intercept)"
COLUMNS = "it was given the columns of the design and built none"
#: Names that R or a formula language keeps for itself.
_RESERVED = frozenset({
    "C", "F", "I", "NA", "NULL", "NaN", "Inf", "Q", "T", "FALSE", "TRUE", "function", "i", "next", "repeat", "sw",
    "csw", "mvsw", "y", "wts",
})  # fmt: skip
_SCALARS = {"sigma": "sigma", "r2": "r.squared", "r2_adj": "adj.r.squared"}
_TABLE = {
    "estimate": "estimate", "std_error": "std.error", "statistic": "statistic", "p_value": "p.value",
    "conf_low": "conf.low", "conf_high": "conf.high",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Plain:
    """The columns of a design under names that need no quotes anywhere.

    Attributes
    ----------
    frame : DataFrame, n rows
        ``y``, every column of X and Z but the intercept, ``wts`` where there are weights, and the vcov's groupings.
    exog, endog, instruments, groups : tuple of str
        Columns of the frame by role.
    intercept : bool
    terms : mapping of str to str
        R's name of every column, the intercept's under each name that packages give it.
    """

    frame: pd.DataFrame
    exog: tuple[str, ...]
    endog: tuple[str, ...]
    instruments: tuple[str, ...]
    groups: tuple[str, ...]
    intercept: bool
    terms: Mapping[str, str]


def plain_columns(design: Design, seen: Seen) -> Plain:
    """The columns of a design under plain names: their own where those are plain, ``v1``, ``v2``, … otherwise."""
    names = [name for name in dict.fromkeys((*seen.x_names, *seen.z_names)) if name != INTERCEPT]
    taken = {name for name in names if _is_plain(name)}
    spare = (f"v{j}" for j in range(1, 2 * len(names) + 2) if f"v{j}" not in taken)
    plain = {name: name if name in taken else next(spare) for name in names}
    matrices = ((seen.z_names, seen.z), (seen.x_names, seen.x))
    found = {name: matrix[:, j] for known, matrix in matrices for j, name in enumerate(known)}
    columns = {"y": seen.y, **{plain[name]: found[name] for name in names}}
    groups = {f"g{j}": codes for j, codes in enumerate(seen.groups.values(), 1)}
    if clash := sorted(set(groups) & set(columns)):
        raise EngineError(f"A column is called {clash[0]!r}, which peers use for a grouping.", do="rename it.")
    weights = {} if seen.weights is None else {"wts": seen.weights}
    return Plain(
        pd.DataFrame({**columns, **weights, **groups}),
        tuple(plain[name] for name in names if name in seen.x_names and name in seen.z_names),
        tuple(plain[name] for name in names if name not in seen.z_names),
        tuple(plain[name] for name in names if name not in seen.x_names),
        tuple(groups),
        INTERCEPT in seen.x_names,
        {**{plain[name]: name for name in names}, **dict.fromkeys((INTERCEPT, "Intercept", "intercept"), INTERCEPT)},
    )


def _is_plain(name: str) -> bool:
    return bool(re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name)) and not keyword.iskeyword(name) and name not in _RESERVED


@dataclass(frozen=True, slots=True, eq=False)
class Reported:
    """What a package reported; what stays None or empty, it did not.

    Attributes
    ----------
    calls : tuple of str
        The calls as they were made.
    terms : tuple of str
        R's name of each row of the table, in the package's order.
    table : mapping of str to (k,) array
        Of ``estimate std_error statistic p_value conf_low conf_high`` those that the package has.
    df : float, optional
        Degrees of freedom of its p-values and limits, infinite for the normal distribution.
    df_resid : int, optional
    cov : (k, k) array, optional
    residuals, fitted : (n,) arrays, optional
    sigma, r2, r2_adj, kappa : float, optional
    tests : mapping of str to Test
    first_stages : tuple of FirstStage
    why : mapping of str to str
        Reasons for what is missing, by its key in :attr:`ivbridge.results.Estimate.lacks`.
    """

    calls: tuple[str, ...]
    terms: Sequence[str]
    table: Mapping[str, Any]
    df: float | None = None
    df_resid: int | None = None
    cov: Any = None
    residuals: Any = None
    fitted: Any = None
    sigma: float | None = None
    r2: float | None = None
    r2_adj: float | None = None
    kappa: float | None = None
    tests: Mapping[str, Test] = field(default_factory=dict)
    first_stages: tuple[FirstStage, ...] = ()
    why: Mapping[str, str] = field(default_factory=dict)


def estimate(
    engine: str,
    design: Design,
    seen: Seen,
    reported: Reported,
    versions: Mapping[str, str],
    warned: Sequence[str] = (),
) -> Estimate:
    """What a package reported as an Estimate: rows in the design's order, everything missing declared; EngineError if
    the package's terms are not those of the design.
    """
    order = _order(engine, seen.x_names, reported.terms)
    n, k = len(seen.y), len(order)
    lacks = {"columns": COLUMNS, **reported.why}

    def filled(key: str, value: Any, *shape: int) -> FloatArray:
        if value is None:
            lacks.setdefault(key, f"{engine} does not report it")
            return np.full(shape, np.nan)
        return np.asarray(value, dtype=float).reshape(shape)

    table = _of_asked_df(engine, design, reported, n - k, lacks)
    found = {name: filled(key, table.get(name), k)[order] for name, key in _TABLE.items()}
    tests = _tests(engine, design, seen, reported, lacks)
    filled("df.residual", reported.df_resid)
    if seen.endog_names and not reported.first_stages:
        filled("first stage", None)
    if not isinstance(design.spec.method, TwoStage):
        filled("kappa", reported.kappa)
    scalars: Any = {field: float(filled(key, getattr(reported, field))) for field, key in _SCALARS.items()}
    return Estimate(
        spec=design.spec,
        engine=engine,
        coefs=Coefficients(seen.x_names, **found),
        cov=filled("cov", reported.cov, k, k)[np.ix_(order, order)],
        residuals=filled("resid", reported.residuals, n),
        fitted=filled("fitted", reported.fitted, n),
        n=n,
        df_resid=n - k if reported.df_resid is None else int(reported.df_resid),
        **scalars,
        tests=tests,
        first_stages=reported.first_stages,
        seen=seen,
        data_sha256=design.sha256,
        provenance=_provenance(engine, versions, reported.calls),
        notes=design.notes,
        warnings=tuple(warned),
        kappa=reported.kappa,
        lacks=lacks,
    )


def _provenance(engine: str, versions: Mapping[str, str], calls: tuple[str, ...]) -> Provenance:
    recorded_on = datetime.now(UTC).isoformat(timespec="seconds")
    return Provenance(engine, versions, platform.platform(), threads="1", recorded_on=recorded_on, calls=calls)


def _order(engine: str, names: Sequence[str], terms: Sequence[str]) -> list[int]:
    """Where each term of the design stands in the package's table."""
    if sorted(names) != sorted(terms):
        only = sorted(set(names) ^ set(terms))
        raise EngineError(f"{engine} answered for {len(terms)} of the {len(names)} terms; not on both sides: {only}.")
    return [list(terms).index(name) for name in names]


def _of_asked_df(
    engine: str, design: Design, reported: Reported, df_resid: int, lacks: dict[str, str]
) -> dict[str, Any]:
    """The table, without p-values and limits of another reference distribution than the one that was asked for."""
    inference = design.spec.inference
    asked = (inference.df or df_resid) if isinstance(inference, T) else math.inf
    table = dict(reported.table)
    if reported.df != asked:
        had = "the normal distribution" if reported.df == math.inf else f"{reported.df:g} degrees of freedom"
        for name in ("p_value", "conf_low", "conf_high"):
            if table.pop(name, None) is not None:
                lacks.setdefault(_TABLE[name], f"{engine} takes {had} here")
    return table


def _tests(
    engine: str, design: Design, seen: Seen, reported: Reported, lacks: dict[str, str]
) -> dict[str, Test | NotApplicable]:
    """The package's tests; those that it does not report are declared, and those that do not apply say why."""
    method, n_k = design.spec.method, len(seen.y) - len(seen.x_names)
    joint_df = n_k if isinstance(design.spec.inference, T) else math.inf
    inapplicable = diagnostics.inapplicable(seen, method, asked_vcov(design.spec))
    titles = {f"weak_instruments:{name}": "Weak instruments" for name in seen.endog_names}
    titles |= {"wu_hausman": "Wu-Hausman", "sargan": "Sargan"} if seen.endog_names else {}
    titles |= {} if isinstance(method, TwoStage) else {"anderson_rubin": diagnostics.OVERID}
    found: dict[str, Test | NotApplicable] = {}
    for key, title in {**titles, "wald": "Wald test"}.items():
        test = inapplicable.get(key) or reported.tests.get(key)
        if key == "wald" and isinstance(test, Test) and test.df2 != joint_df:
            lacks.setdefault("test wald", f"{engine} takes {test.df2:g} denominator degrees of freedom here")
            test = None
        if test is None:
            lacks.setdefault(f"test {key}", f"{engine} does not report it")
            test = NotApplicable(title, lacks[f"test {key}"])
        found[key] = test
    return {**found, **inapplicable}


@contextmanager
def heard(package: str) -> Iterator[list[str]]:
    """What a Python package warns of while it works, as texts; its own errors become an EngineError.

    Raises
    ------
    EngineError
        If the package raises; its message is quoted.
    """
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as said, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        try:
            yield texts
        except IvbridgeError:
            raise
        except Exception as error:
            raise EngineError(f"{package} raised {type(error).__name__}: {str(error)[:300]}") from error
        finally:
            texts += dict.fromkeys(str(warning.message) for warning in said)
