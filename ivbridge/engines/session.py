"""Answers that somebody's own R session computed and handed over as JSON, as ``r_scripts/report.Rmd`` does."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np

from ivbridge.errors import DataError
from ivbridge.records import Coefficients, FloatArray, NotApplicable, Provenance, Test
from ivbridge.results import Estimate

__all__ = ["from_session"]

FIRST_STAGES = "the R session was not asked for them"
_TABLE = ("estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high")


def from_session(text: str, like: Estimate) -> Estimate:
    """Make an estimate of what an R session says.

    Parameters
    ----------
    text : str
        A JSON object: ``terms``, the columns ``estimate std_error statistic p_value conf_low conf_high``, ``cov``,
        ``residuals fitted y``, ``df_resid sigma r2 r2_adj``, ``diagnostics`` (rows of df1, df2, statistic, p-value),
        ``wald`` (statistic, p-value, df1, df2), ``rows`` from 0, ``x`` and ``z`` (rows) with ``x_names`` and
        ``z_names``, and ``versions``.
    like : Estimate
        Another engine's answer to the same question, vcov included: it says which tests apply.

    Returns
    -------
    Estimate
        With R's own matrices, for the handshake.

    Raises
    ------
    DataError
        If the text is no such object.
    """
    try:
        return _estimate(json.loads(text), like)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise DataError(f"This is no answer of an R session: {type(error).__name__}: {error}.") from error


def _estimate(said: dict[str, Any], like: Estimate) -> Estimate:
    names = {name: tuple(map(str, said[name])) for name in ("terms", "x_names", "z_names")}
    seen = dataclasses.replace(
        like.seen, rows=np.asarray(said["rows"], dtype=np.int64), x_names=names["x_names"],
        z_names=names["z_names"], y=_floats(said["y"]), x=_floats(said["x"]), z=_floats(said["z"]),
    )  # fmt: skip
    versions = {str(name): str(version) for name, version in said["versions"].items()}
    return dataclasses.replace(
        like,
        engine="R session",
        coefs=Coefficients(names["terms"], *(_floats(said[name]) for name in _TABLE)),
        cov=np.atleast_2d(_floats(said["cov"])),
        residuals=_floats(said["residuals"]),
        fitted=_floats(said["fitted"]),
        n=len(seen.rows),
        df_resid=int(said["df_resid"]),
        sigma=float(said["sigma"]),
        r2=float(said["r2"]),
        r2_adj=float(said["r2_adj"]),
        tests=_tests(said, like),
        first_stages=(),
        seen=seen,
        provenance=Provenance("R session", versions),
        notes=(),
        warnings=(),
        lacks={"first stage": FIRST_STAGES},
    )


def _floats(values: Any) -> FloatArray:
    """Numbers of any shape; R's NA, NaN and Inf are texts in JSON."""
    if isinstance(values, list):
        return np.array([_floats(item) for item in values], dtype=float)
    return np.asarray(math.nan if values == "NA" else float(values))


def _tests(said: dict[str, Any], like: Estimate) -> dict[str, Test | NotApplicable]:
    """AER's diagnostics, whose rows have the order of our keys, and the Wald test."""
    found: dict[str, Test | NotApplicable] = {}
    rows = dict(zip((key for key in like.tests if key != "wald"), _floats(said["diagnostics"]), strict=True))
    statistic, p_value, df1, df2 = _floats(said["wald"])
    rows["wald"] = np.array([df1, df2, statistic, p_value])
    for key, test in like.tests.items():
        if isinstance(test, NotApplicable):
            found[key] = test
            continue
        df1, df2, statistic, p_value = rows[key].tolist()
        chi2 = math.isnan(df2)
        found[key] = Test(test.name, statistic, p_value, df1, math.inf if chi2 else df2, "chi2" if chi2 else "F")
    return found
