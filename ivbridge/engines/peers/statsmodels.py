"""``statsmodels``' ``IV2SLS``, and ``OLS`` or ``WLS`` where nothing is endogenous."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ivbridge.design import Design
from ivbridge.engines.peers.base import PythonPeer
from ivbridge.engines.peers.reported import INTERCEPT, Plain, Reported
from ivbridge.method import TwoStage
from ivbridge.records import Seen, Test
from ivbridge.spec import IVSpec
from ivbridge.vcov import HC0, HC1, HC2, HC3, Classical, Clustered, NeweyWest, Vcov

__all__ = ["StatsmodelsEngine"]

IMPORTS = ("from statsmodels.api import OLS, WLS", "from statsmodels.sandbox.regression.gmm import IV2SLS")
AROUND_MEAN = "statsmodels takes R² around the mean, since the columns span a constant"


class StatsmodelsEngine(PythonPeer):
    """``statsmodels.sandbox.regression.gmm.IV2SLS``, whose covariance is the classical one."""

    name: ClassVar[str] = "statsmodels"

    def lacking(self, spec: IVSpec) -> str:
        """With endogenous regressors everything but the classical covariance without weights."""
        if not isinstance(spec.method, TwoStage):
            return f"has no {spec.method}"
        if spec.endog and spec.weights:
            return "takes no weights in IV2SLS"
        if spec.endog and not isinstance(spec.vcov, Classical | None):
            return f"has no {spec.vcov} for IV2SLS"
        return "" if _options(spec.vcov) is not None else f"has no {spec.vcov}"

    def report(self, design: Design, seen: Seen, columns: Plain) -> Reported:
        """``IV2SLS(y, X, Z).fit()``, or ``OLS``, ``WLS``."""
        from statsmodels.regression.linear_model import OLS, WLS
        from statsmodels.sandbox.regression.gmm import IV2SLS

        options = _options(design.spec.vcov) or {}
        shown = "".join(f", {name}={value!r}" for name, value in options.items())
        if isinstance(design.spec.vcov, Clustered):
            options["cov_kwds"]["groups"] = columns.frame[columns.groups[0]].to_numpy()
        if seen.endog_names:
            fit, call = IV2SLS(seen.y, seen.x, seen.z).fit(), "IV2SLS(y, X, Z).fit()"
        elif seen.weights is None:
            fit, call = OLS(seen.y, seen.x).fit(**options), f"OLS(y, X).fit({shown[2:]})"
        else:
            fit = WLS(seen.y, seen.x, weights=seen.weights).fit(**options)
            call = f"WLS(y, X, weights=w).fit({shown[2:]})"
        limits, df = np.asarray(fit.conf_int()), float(fit.df_resid)
        names = ("estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high")
        values = (fit.params, fit.bse, fit.tvalues, fit.pvalues, limits[:, 0], limits[:, 1])
        tests = {}
        if INTERCEPT in seen.x_names and len(seen.x_names) > 1:
            joint = fit.f_test(np.delete(np.eye(len(values[0])), seen.x_names.index(INTERCEPT), axis=0))
            numbers = (float(np.squeeze(joint.fvalue)), float(joint.pvalue), float(joint.df_num), float(joint.df_denom))
            tests["wald"] = Test("Wald test", *numbers, "F")
        # statsmodels takes R² around the mean wherever the columns span a constant
        same_r2 = bool(fit.model.k_constant) == (INTERCEPT in seen.x_names)
        return Reported(
            calls=(*IMPORTS, call),
            terms=seen.x_names, table=dict(zip(names, values, strict=True)), df=df, df_resid=int(df),
            cov=fit.cov_params(), residuals=fit.resid, fitted=seen.y - fit.resid, sigma=float(np.sqrt(fit.scale)),
            r2=float(fit.rsquared) if same_r2 else None, r2_adj=float(fit.rsquared_adj) if same_r2 else None,
            tests=tests,
            why=dict.fromkeys(() if same_r2 else ("r.squared", "adj.r.squared"), AROUND_MEAN),
        )  # fmt: skip


def _options(vcov: Vcov | None) -> dict[str, Any] | None:
    """The arguments of ``OLS.fit``; None where statsmodels has no equal. p-values keep n−k degrees of freedom."""
    if isinstance(vcov, Classical | None):
        return {}
    if isinstance(vcov, HC0 | HC1 | HC2 | HC3):
        return {"cov_type": vcov.keyword, "use_t": True}
    if isinstance(vcov, Clustered) and len(vcov.by) == 1 and (vcov.type, vcov.cadjust) in (
        ("HC1", True), ("HC0", False)
    ):  # fmt: skip
        kwds: dict[str, Any] = {"use_correction": vcov.cadjust, "df_correction": False}
        return {"cov_type": "cluster", "cov_kwds": kwds, "use_t": True}
    if isinstance(vcov, NeweyWest) and vcov.lag is not None and not vcov.prewhite and vcov.order_by is None:
        kwds = {"maxlags": vcov.lag, "use_correction": vcov.adjust}
        return {"cov_type": "HAC", "cov_kwds": kwds, "use_t": True}
    return None
