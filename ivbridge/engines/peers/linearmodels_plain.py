"""linearmodels called by hand: its own fit, its own diagnostics, nothing refined and nothing filled in.

The native engine uses linearmodels' formulas and adds to them; this one shows what a user of linearmodels alone reads,
so that a change from one version to the next is seen. It imports what every version since 7.0 has.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from linearmodels.iv import IV2SLS, IVLIML

from ivbridge.design import Design
from ivbridge.diagnostics import OVERID
from ivbridge.engines.native import linearmodels_options
from ivbridge.engines.peers.base import PythonPeer
from ivbridge.engines.peers.reported import Plain, Reported
from ivbridge.method import Fuller, TwoStage
from ivbridge.records import Coefficients, FirstStage, NotApplicable, Seen, Test
from ivbridge.spec import IVSpec
from ivbridge.vcov import Classical, Clustered, T, Z

__all__ = ["LinearmodelsEngine"]

SIGMA = "linearmodels scales the weights to mean 1"
CLASSICAL_ONLY = "linearmodels' wu_hausman() is classical, whatever the covariance"
K_CLASS = "linearmodels' wu_hausman() takes the residuals of LIML, which AER's auxiliary regression does not"
CHI2 = "linearmodels reports a χ² statistic under this covariance, not an F"
TAILS = "linearmodels has t with n−k degrees of freedom if debiased, else the normal distribution"
_TAILS = ("p_value", "conf_low", "conf_high")


class LinearmodelsEngine(PythonPeer):
    """``linearmodels.iv.IV2SLS`` and ``IVLIML`` with ``first_stage``, ``wu_hausman()`` and ``sargan`` as they are."""

    name: ClassVar[str] = "linearmodels"

    def lacking(self, spec: IVSpec) -> str:
        """Every covariance but classical, HC0, HC1, clustered by one or two columns, and Newey-West of a given lag."""
        known = spec.vcov is None or linearmodels_options(spec.vcov) is not None
        return "" if known else f"has no equal of {spec.vcov}"

    def report(self, design: Design, seen: Seen, columns: Plain) -> Reported:
        """``IV2SLS(…).fit(…)`` or ``IVLIML(…).fit(…)`` and what hangs on it."""
        spec = design.spec
        options: dict[str, Any] = (linearmodels_options(spec.vcov) if spec.vcov else None) or {}
        shown = ", ".join(f"{name}={value!r}" for name, value in options.items())
        fit, kind = _fit(seen, spec, options), "IV2SLS" if isinstance(spec.method, TwoStage) else "IVLIML"
        tails = spec.inference == (T() if options["debiased"] else Z())
        why = {} if spec.weights is None else {"sigma": SIGMA, "first stage sigma": SIGMA}
        if not tails:
            why |= dict.fromkeys(("first stage p.value", "first stage conf.low", "first stage conf.high"), TAILS)
        tests = _tests(fit, seen, spec, why)
        return Reported(
            calls=(f"from linearmodels.iv import {kind}", f"{kind}(y, exog, endog, instruments).fit({shown})"),
            terms=seen.x_names,
            table=_table(fit, seen.x_names),
            df=float(fit.df_resid) if options["debiased"] else math.inf,
            df_resid=int(fit.df_resid),
            cov=_square(fit, seen.x_names),
            residuals=fit.resids,
            fitted=fit.fitted_values,
            sigma=None if spec.weights else _sigma(fit),
            r2=float(fit.rsquared),
            r2_adj=float(fit.rsquared_adj),
            kappa=None if isinstance(spec.method, TwoStage) else float(fit.kappa),
            tests=tests,
            first_stages=_first_stages(fit, seen, tests, tails=tails) if seen.endog_names else (),
            why=why,
        )


def _fit(seen: Seen, spec: IVSpec, options: dict[str, Any]) -> Any:
    """linearmodels' fitted model of the columns that the design has."""
    x, z = pd.DataFrame(seen.x, columns=list(seen.x_names)), pd.DataFrame(seen.z, columns=list(seen.z_names))
    shared = [name for name in seen.x_names if name not in seen.endog_names]
    parts = (x[shared], x[list(seen.endog_names)], z[list(seen.instrument_names)])
    given = [part if part.shape[1] else None for part in parts]
    y = pd.Series(seen.y, name=spec.dependent)
    weights = None if seen.weights is None else pd.Series(seen.weights, name="weights")
    if isinstance(spec.vcov, Clustered):
        options = {**options, "clusters": pd.DataFrame({name: seen.groups[name] for name in spec.vcov.by})}
    if isinstance(spec.method, TwoStage):
        return IV2SLS(y, *given, weights=weights).fit(**options)
    fuller = spec.method.a if isinstance(spec.method, Fuller) else 0
    return IVLIML(y, *given, weights=weights, fuller=fuller).fit(**options)


def _table(fit: Any, names: tuple[str, ...]) -> dict[str, Any]:
    interval = fit.conf_int()
    found = (fit.params, fit.std_errors, fit.tstats, fit.pvalues, interval["lower"], interval["upper"])
    keys = ("estimate", "std_error", "statistic", *_TAILS)
    return {key: column.loc[list(names)].to_numpy(float) for key, column in zip(keys, found, strict=True)}


def _square(fit: Any, names: tuple[str, ...]) -> Any:
    return fit.cov.loc[list(names), list(names)].to_numpy(float)


def _sigma(fit: Any) -> float:
    return math.sqrt(float(fit.resid_ss) / int(fit.df_resid))


def _test(name: str, found: Any) -> Test:
    df2 = math.inf if found.df_denom is None else float(found.df_denom)
    return Test(name, float(found.stat), float(found.pval), float(found.df), df2, "chi2" if math.isinf(df2) else "F")


def _tests(fit: Any, seen: Seen, spec: IVSpec, why: dict[str, str]) -> dict[str, Test]:
    """The tests by key; `why` gets the reasons of those that linearmodels has in another form."""
    classical, two_stage = isinstance(spec.vcov, Classical), isinstance(spec.method, TwoStage)
    found = {"wald": _test("Wald test", fit.f_statistic)} if seen.x_names != ("(Intercept)",) else {}
    if not seen.endog_names:
        return found
    over = len(seen.instrument_names) > len(seen.endog_names)
    if classical and two_stage:
        found["wu_hausman"] = _test("Wu-Hausman", fit.wu_hausman())
    else:
        why["test wu_hausman"] = K_CLASS if classical else CLASSICAL_ONLY
    if over:
        found["sargan"] = _test("Sargan", fit.sargan)
    if over and not two_stage:
        found["anderson_rubin"] = _test(OVERID, fit.anderson_rubin)
    rows, count = fit.first_stage.diagnostics, float(len(seen.instrument_names))
    for name in seen.endog_names:
        title = f"Weak instruments ({name})" if len(seen.endog_names) > 1 else "Weak instruments"
        if classical:
            numbers = (float(rows.loc[name, "f.stat"]), float(rows.loc[name, "f.pval"]))
            found[f"weak_instruments:{name}"] = Test(title, *numbers, count, float(len(seen.y) - seen.z.shape[1]), "F")
        else:
            why[f"test weak_instruments:{name}"] = CHI2
    return found


def _first_stages(fit: Any, seen: Seen, tests: dict[str, Test], *, tails: bool) -> tuple[FirstStage, ...]:
    """``first_stage.individual``, one a regressor; without p-values of another distribution than asked."""
    stages = []
    for name, stage in fit.first_stage.individual.items():
        table = _table(stage, seen.z_names)
        if not tails:
            table |= {key: np.full(len(seen.z_names), math.nan) for key in _TAILS}
        numbers = (float(stage.rsquared), float(stage.rsquared_adj), _sigma(stage))
        weak = tests.get(f"weak_instruments:{name}") or NotApplicable("Weak instruments", CHI2)
        coefs, cov = Coefficients(seen.z_names, **table), _square(stage, seen.z_names)
        stages.append(FirstStage(name, coefs, cov, int(stage.nobs), int(stage.df_resid), *numbers, weak))
    return tuple(stages)
