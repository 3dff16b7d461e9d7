"""The answer to one question from one engine.

An engine may leave residuals, fitted values, tests, first stages, the fingerprint of the data and the provenance to be
computed when they are first looked at (:mod:`ivbridge.later`).
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy import stats

from ivbridge import serial, tables
from ivbridge.errors import DataError
from ivbridge.later import postponable
from ivbridge.records import (
    Coefficients,
    Digits,
    Effects,
    FirstStage,
    FloatArray,
    NotApplicable,
    Provenance,
    Seen,
    Test,
)
from ivbridge.spec import IVSpec
from ivbridge.tabular import as_pandas
from ivbridge.vcov import T

__all__ = ["Estimate"]


@postponable("residuals", "fitted", "tests", "first_stages", "data_sha256", "provenance", "digits")
@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """What one engine says about one question.

    Attributes
    ----------
    spec : IVSpec
        The question, vcov and inference included.
    engine : str
    coefs : Coefficients
        The coefficient table as the engine computed it, k rows.
    cov : (k, k) array
        The covariance matrix that the question asked for.
    residuals, fitted : (n,) arrays
        y − Xβ and Xβ on the kept rows.
    n, df_resid : int
    sigma, r2, r2_adj : float
        As ``summary.ivreg``: √(RSS/(n−k)), R² and adjusted R² (may be negative).
    tests : mapping of str to Test or NotApplicable
        Keys ``weak_instruments:<endog>`` (one each), ``wu_hausman``, ``sargan``, ``wald``; LIML and Fuller also have
        ``anderson_rubin``, the overidentification test n·ln κ.
    first_stages : tuple of FirstStage
    seen : Seen
        Rows and matrices that the engine used.
    data_sha256 : str
    provenance : Provenance
    notes, warnings : tuple of str
        What was left out of the data, and what the engine warned of.
    kappa : float or None
        Of LIML or Fuller.
    lacks : mapping of str to str
        What the engine does not report and is never compared, and why: ``"cov"``, ``"resid"`` or another quantity of
        :mod:`ivbridge.gaps`, ``"first stage"``, ``"test sargan"``, or ``"columns"``, the values of its matrices.
    digits : Digits or None
        For how many digits the answer is good, where the engine says so.
    effects : Effects or None
        Fixed effects that were absorbed.
    """

    json_skip: ClassVar[tuple[str, ...]] = ()
    spec: IVSpec
    engine: str
    coefs: Coefficients
    cov: FloatArray
    residuals: FloatArray
    fitted: FloatArray
    n: int
    df_resid: int
    sigma: float
    r2: float
    r2_adj: float
    tests: Mapping[str, Test | NotApplicable]
    first_stages: tuple[FirstStage, ...]
    seen: Seen
    data_sha256: str
    provenance: Provenance
    notes: tuple[str, ...] = field(default=())
    warnings: tuple[str, ...] = field(default=())
    kappa: float | None = None
    lacks: Mapping[str, str] = field(default_factory=dict)
    digits: Digits | None = None
    effects: Effects | None = None

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the k coefficients."""
        return self.coefs.terms

    @property
    def df(self) -> float:
        """Degrees of freedom of the coefficient tests; infinite for z."""
        if not isinstance(self.spec.inference, T):
            return float("inf")
        return float(self.df_resid if self.spec.inference.df is None else self.spec.inference.df)

    @property
    def params(self) -> pd.Series:
        """Coefficients by term (statsmodels' name)."""
        return self._series(self.coefs.estimate, "params")

    @property
    def bse(self) -> pd.Series:
        """Standard errors by term (statsmodels' name)."""
        return self._series(self.coefs.std_error, "bse")

    @property
    def tvalues(self) -> pd.Series:
        """t or z statistics by term (statsmodels' name)."""
        return self._series(self.coefs.statistic, "tvalues")

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p-values by term (statsmodels' name)."""
        return self._series(self.coefs.p_value, "pvalues")

    @property
    def resid(self) -> pd.Series:
        """Residuals, indexed by the position of the row in the data (statsmodels' name)."""
        return pd.Series(self.residuals, index=self.seen.rows, name="resid")

    @property
    def fittedvalues(self) -> pd.Series:
        """Fitted values, indexed by the position of the row in the data (statsmodels' name)."""
        return pd.Series(self.fitted, index=self.seen.rows, name="fittedvalues")

    def _series(self, values: FloatArray, name: str) -> pd.Series:
        return pd.Series(values, index=_labels(self.terms).view(), name=name)

    def cov_params(self) -> pd.DataFrame:
        """The (k, k) covariance matrix with term names."""
        return pd.DataFrame(self.cov, index=list(self.terms), columns=list(self.terms))

    def conf_int(self, level: float = 0.95) -> pd.DataFrame:
        """Confidence intervals, ``conf.low`` and ``conf.high`` by term.

        Parameters
        ----------
        level : float, default 0.95
            Coverage, as ``confint`` in R. The engine's own limits are returned at 0.95.

        Raises
        ------
        DataError
            If the level does not lie strictly between 0 and 1.
        """
        if not 0 < level < 1:
            raise DataError(f"level={level!r} is not a coverage.", do="give a number between 0 and 1, such as 0.9.")
        low, high = self.coefs.conf_low, self.coefs.conf_high
        if level != 0.95:
            half = stats.t.isf((1 - level) / 2, self.df) * self.coefs.std_error
            low, high = self.coefs.estimate - half, self.coefs.estimate + half
        return pd.DataFrame({"conf.low": low, "conf.high": high}, index=list(self.terms))

    def tidy(self, *, conf_int: bool = True) -> pd.DataFrame:
        """One row a coefficient, with broom's column names."""
        return tables.tidy_frame(self.coefs, conf_int=conf_int)

    def glance(self) -> pd.DataFrame:
        """One row for the model, named as broom's ``glance.ivreg(diagnostics = TRUE)``; for LIML and Fuller also κ."""
        return _glance(self)

    def diagnostics(self) -> pd.DataFrame:
        """One row a test; a test that does not apply keeps its reason in ``note``."""
        return tables.tidy_tests(self.tests)

    def augment(self, data: Any) -> pd.DataFrame:
        """The kept rows of ``data`` with ``.fitted`` and ``.resid`` appended, as broom does; any table that was fitted.

        Raises
        ------
        DataError
            If ``data`` has too few rows to be the data of this fit.
        """
        return _augmented(self, as_pandas(data))

    def summary(self) -> str:
        """Text in the layout of R's ``summary(fit, diagnostics = TRUE)``."""
        diagnostics = {key: test for key, test in self.tests.items() if key != "wald"}
        left_out = [*self.seen.aliased, *self.seen.aliased_instruments]
        lines = [
            f"{self.spec.to_r()}",
            f"engine {self.engine}, vcov {self.spec.vcov}, inference {self.spec.inference}, n = {self.n}",
            *([] if self.kappa is None else [f"{self.spec.method.heading} (kappa = {self.kappa:.10g})"]),
            "",
            "Residuals:",
            *tables.quantiles_line(self.residuals),
            "",
            "Coefficients:",
            *tables.coefficient_lines(self.coefs, "t" if isinstance(self.spec.inference, T) else "z"),
            "---",
            tables.SIGNIF_LEGEND,
            *(f"Left out because of linear dependence: {term}" for term in left_out),
            "",
            "Diagnostic tests:",
            *tables.test_lines(diagnostics),
            "",
            f"Residual standard error: {self.sigma:.4g} on {self.df_resid} degrees of freedom",
            f"Multiple R-Squared: {self.r2:.4g},\tAdjusted R-squared: {self.r2_adj:.4g}",
            _wald_line(self),
        ]
        good = [] if self.digits is None else [f"{self.digits}"]
        return "\n".join([*lines, *good, *self.notes])

    def _repr_html_(self) -> str:
        caption = html.escape(f"{self.spec.title}  ·  {self.engine}, {self.spec.vcov}, n = {self.n}")
        table = self.tidy().to_html(index=False, float_format="{:.6g}".format)
        return f"<p><code>{caption}</code></p>{table}{self.diagnostics().to_html(index=False)}"

    def __repr__(self) -> str:
        return f"<Estimate {self.engine} {self.spec.vcov} n={self.n}: {self.spec.title}>"

    def to_json(self, *, indent: int | None = None) -> str:
        """JSON that reads back to the same bits; the model matrices themselves are left out."""
        return serial.dumps(self, indent=indent)

    @classmethod
    def from_json(cls, text: str) -> Estimate:
        """Read what :meth:`to_json` wrote."""
        estimate: Estimate = serial.loads(cls, text)
        return estimate


@lru_cache(maxsize=64)
def _labels(terms: tuple[str, ...]) -> pd.Index:
    """An index takes longer to make than a series; its labels cannot be changed, but its name can: give views of it."""
    return pd.Index(list(terms))


def _augmented(estimate: Estimate, data: pd.DataFrame) -> pd.DataFrame:
    rows = estimate.seen.rows
    if len(rows) and len(data) <= int(rows[-1]):
        raise DataError(
            f"augment() got {len(data)} rows, but the fit used row {int(rows[-1]) + 1}.",
            do="pass the data frame that was fitted.",
        )
    kept = data.iloc[rows].copy()
    kept[".fitted"], kept[".resid"] = estimate.fitted, estimate.residuals
    return kept


def _glance(estimate: Estimate) -> pd.DataFrame:
    wald = estimate.tests.get("wald")
    weak = [t for key, t in estimate.tests.items() if key.startswith("weak_instruments") and isinstance(t, Test)]
    values: dict[str, object] = {
        "r.squared": estimate.r2,
        "adj.r.squared": estimate.r2_adj,
        "sigma": estimate.sigma,
        "statistic": wald.statistic if isinstance(wald, Test) else np.nan,
        "p.value": wald.p_value if isinstance(wald, Test) else np.nan,
        "df": len(estimate.terms),
        "df.residual": estimate.df_resid,
        "nobs": estimate.n,
    }
    if estimate.kappa is not None:
        values["kappa"] = estimate.kappa
    named: dict[str, Test | NotApplicable | None] = {
        "Sargan": estimate.tests.get("sargan"),
        "Wu.Hausman": estimate.tests.get("wu_hausman"),
        "weakinst": min(weak, key=lambda test: test.statistic, default=None),
    }
    for suffix, test in named.items():
        values[f"statistic.{suffix}"] = test.statistic if isinstance(test, Test) else np.nan
        values[f"p.value.{suffix}"] = test.p_value if isinstance(test, Test) else np.nan
    return pd.DataFrame([values])


def _wald_line(estimate: Estimate) -> str:
    wald = estimate.tests["wald"]
    if isinstance(wald, NotApplicable):
        return f"Wald test: not applicable, {wald.reason}"
    df = f"{wald.df1:g}" if np.isinf(wald.df2) else f"{wald.df1:g} and {wald.df2:g}"
    return f"Wald test: {wald.statistic:.4g} on {df} DF,  p-value: {tables.format_p(wald.p_value, digits=4)}"
