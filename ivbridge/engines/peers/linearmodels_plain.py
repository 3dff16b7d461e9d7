"""linearmodels called by hand: its own fit, its own diagnostics, nothing refined and nothing filled in.

The native engine uses linearmodels' formulas and adds to them; this one shows what a user of linearmodels alone reads,
so that a change from one version to the next is seen. What linearmodels reports in another form than the question asks
is left out and named in :attr:`~ivbridge.results.Estimate.lacks`.
"""

from __future__ import annotations

import math
import platform
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from linearmodels.iv import IV2SLS, IVLIML

from ivbridge import diagnostics
from ivbridge.design import Design
from ivbridge.engines import Available, Supported, Unavailable, Unsupported
from ivbridge.engines.native import asked_vcov, linearmodels_options, seen_of
from ivbridge.errors import EngineError
from ivbridge.method import Fuller, TwoStage
from ivbridge.records import Coefficients, FirstStage, FloatArray, NotApplicable, Provenance, Seen, Test
from ivbridge.results import Estimate
from ivbridge.spec import IVSpec
from ivbridge.threads import one_thread
from ivbridge.vcov import Classical, Clustered, T, Z

__all__ = ["LinearmodelsEngine"]

INFERENCE = "linearmodels has t with n−k degrees of freedom if debiased, else the normal distribution"
SIGMA = "linearmodels scales the weights to mean 1"
CLASSICAL_ONLY = "linearmodels' wu_hausman() is classical, whatever the covariance"
K_CLASS = "linearmodels' wu_hausman() takes the residuals of LIML, where AER's auxiliary regression has none of them"
CHI2 = "linearmodels reports a χ² statistic under this covariance, not an F"
_TABLE = ("p.value", "conf.low", "conf.high")


class LinearmodelsEngine:
    """``linearmodels.iv.IV2SLS`` and ``IVLIML`` with ``first_stage``, ``wu_hausman()`` and ``sargan`` as they are."""

    name: ClassVar[str] = "linearmodels"

    def available(self) -> Available | Unavailable:
        """Always: linearmodels is a dependency of the package."""
        return Available()

    def supports(self, spec: IVSpec) -> Supported | Unsupported:
        """Whether linearmodels has the covariance of the question."""
        if spec.vcov is not None and linearmodels_options(spec.vcov) is None:
            return Unsupported(f"linearmodels has no equal of {spec.vcov}")
        return Supported()

    def versions(self) -> Mapping[str, str]:
        """Python, linearmodels and what it computes with."""
        packages = ("linearmodels", "numpy", "scipy", "pandas")
        return {"python": platform.python_version(), **{name: version(name) for name in packages}}

    @one_thread()
    def fit(self, design: Design) -> Estimate:
        """Answer the question.

        Raises
        ------
        UnsupportedError, DataError, DesignError
            As the native engine's.
        EngineError
            If linearmodels raises; its message is quoted.
        """
        vcov, seen = asked_vcov(design.spec), seen_of(design)
        options = linearmodels_options(vcov)
        if options is None:
            raise EngineError(f"linearmodels has no equal of {vcov}.", do='ask engine="native".')
        inapplicable = diagnostics.inapplicable(seen, design.spec.method, vcov)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                found = _Reading(design, seen, options, inapplicable)
                numbers = found.numbers()
            except Exception as error:  # whatever it raises is what its user would see
                raise EngineError(f"linearmodels raised {type(error).__name__}: {error}") from error
        return Estimate(
            spec=design.spec, engine=self.name, n=len(seen.rows), seen=seen, data_sha256=design.sha256,
            provenance=Provenance(
                self.name, self.versions(), platform.platform(), threads="1",
                recorded_on=datetime.now(UTC).isoformat(timespec="seconds"),
            ),
            notes=design.notes, warnings=tuple(dict.fromkeys(str(one.message) for one in said)), **numbers,
        )  # fmt: skip


class _Reading:
    """One fit, read out in the shapes of an estimate."""

    def __init__(
        self, design: Design, seen: Seen, options: dict[str, Any], inapplicable: Mapping[str, NotApplicable]
    ) -> None:
        self.spec, self.seen, self.inapplicable = design.spec, seen, inapplicable
        self.debiased = bool(options["debiased"])
        self.fit = _fit(seen, self.spec, options)

    @property
    def inferred(self) -> bool:
        """Whether linearmodels' reference distribution is the question's."""
        return self.spec.inference == (T() if self.debiased else Z())

    def numbers(self) -> dict[str, Any]:
        """The fields of an estimate."""
        fit, spec = self.fit, self.spec
        names = ("", "first stage ")
        lacks = {} if self.inferred else {stage + name: INFERENCE for stage in names for name in _TABLE}
        if spec.weights is not None:
            lacks |= {"sigma": SIGMA, "first stage sigma": SIGMA}
        tests, left_out = self.tests()
        coefs, cov = self.table(fit, self.seen.x_names)
        return {
            "coefs": coefs, "cov": cov, "residuals": _vector(fit.resids), "fitted": _vector(fit.fitted_values),
            "df_resid": int(fit.df_resid), "sigma": _sigma(fit), "r2": float(fit.rsquared),
            "r2_adj": float(fit.rsquared_adj), "tests": tests, "first_stages": self.first_stages(tests),
            "kappa": None if isinstance(spec.method, TwoStage) else float(fit.kappa), "lacks": {**lacks, **left_out},
        }  # fmt: skip

    def table(self, fit: Any, names: tuple[str, ...]) -> tuple[Coefficients, FloatArray]:
        """Coefficients and their covariance in the order of our columns."""
        order = list(names)
        interval = fit.conf_int().loc[order]
        columns = [fit.params, fit.std_errors, fit.tstats, fit.pvalues, interval["lower"], interval["upper"]]
        values = [np.asarray(column.loc[order], dtype=float) for column in columns]
        if not self.inferred:
            values[3:] = [np.full(len(order), math.nan)] * 3
        return Coefficients(names, *values), np.asarray(fit.cov.loc[order, order], dtype=float)

    def tests(self) -> tuple[dict[str, Test | NotApplicable], dict[str, str]]:
        """The tests by key, and those that linearmodels has in another form, with the reason."""
        found: dict[str, Test | NotApplicable] = {}
        classical, two_stage = isinstance(self.spec.vcov, Classical), isinstance(self.spec.method, TwoStage)
        reasons: dict[str, str] = {}
        if self.seen.endog_names:
            rows = self.fit.first_stage.diagnostics
            df2 = len(self.seen.rows) - len(self.seen.z_names)
            for name in self.seen.endog_names:
                key, df1 = f"weak_instruments:{name}", float(len(self.seen.instrument_names))
                title = f"Weak instruments ({name})" if len(self.seen.endog_names) > 1 else "Weak instruments"
                row = rows.loc[name]
                law: Any = ("F", float(df2)) if classical else ("chi2", math.inf)
                found[key] = Test(title, float(row["f.stat"]), float(row["f.pval"]), df1, law[1], law[0])
                reasons |= {} if classical else {key: CHI2}
            found["wu_hausman"] = _test("Wu-Hausman", self.fit.wu_hausman())
            if not (classical and two_stage):
                reasons["wu_hausman"] = K_CLASS if classical else CLASSICAL_ONLY
            if "sargan" not in self.inapplicable:
                found["sargan"] = _test("Sargan", self.fit.sargan)
            if not two_stage and "anderson_rubin" not in self.inapplicable:
                found["anderson_rubin"] = _test(diagnostics.OVERID, self.fit.anderson_rubin)
        if "wald" not in self.inapplicable:
            found["wald"] = _test("Wald test", self.fit.f_statistic)
            reasons |= {} if self.inferred else {"wald": INFERENCE}
        lacks = {f"test {key}": why for key, why in reasons.items() if key not in self.inapplicable}
        return {**found, **self.inapplicable}, lacks

    def first_stages(self, tests: Mapping[str, Test | NotApplicable]) -> tuple[FirstStage, ...]:
        """``first_stage.individual``, one a regressor."""
        if not self.seen.endog_names:
            return ()
        stages = []
        for name, fit in self.fit.first_stage.individual.items():
            coefs, cov = self.table(fit, self.seen.z_names)
            numbers = (float(fit.rsquared), float(fit.rsquared_adj), _sigma(fit))
            weak = tests[f"weak_instruments:{name}"]
            stages.append(FirstStage(name, coefs, cov, int(fit.nobs), int(fit.df_resid), *numbers, weak))
        return tuple(stages)


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


def _test(name: str, found: Any) -> Test:
    df2 = math.inf if found.df_denom is None else float(found.df_denom)
    law: Any = "chi2" if math.isinf(df2) else "F"
    return Test(name, float(found.stat), float(found.pval), float(found.df), df2, law)


def _sigma(fit: Any) -> float:
    return math.sqrt(float(fit.resid_ss) / int(fit.df_resid))


def _vector(values: Any) -> FloatArray:
    return np.asarray(values, dtype=float).ravel()
