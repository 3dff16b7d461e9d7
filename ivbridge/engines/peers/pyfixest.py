"""``pyfixest.feols``."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ivbridge.design import Design
from ivbridge.engines.peers.base import PythonPeer
from ivbridge.engines.peers.reported import Plain, Reported
from ivbridge.errors import UnsupportedError
from ivbridge.method import TwoStage
from ivbridge.records import Seen, Test
from ivbridge.spec import IVSpec
from ivbridge.vcov import HC0, HC1, Classical, Clustered, Vcov

__all__ = ["PyfixestEngine"]

SMALL_P = "pyfixest subtracts from 1, which leaves a small p-value few digits"
CHI2 = "pyfixest takes the p-value of its first-stage F from a χ² distribution"


class PyfixestEngine(PythonPeer):
    """Two-stage least squares with one endogenous regressor; small-sample factors are asked by ``ssc``."""

    name: ClassVar[str] = "pyfixest"

    def lacking(self, spec: IVSpec) -> str:
        """LIML, Fuller, HAC, leverages, and a second endogenous regressor."""
        if not isinstance(spec.method, TwoStage):
            return f"has no {spec.method}"
        if len(spec.endog) > 1:
            return "takes one endogenous regressor"
        return "" if spec.vcov is None or _options(spec.vcov, ()) else f"has no {spec.vcov}"

    def report(self, design: Design, seen: Seen, columns: Plain) -> Reported:
        """``feols("y ~ 1 + exog | endog ~ instruments", …)``."""
        import pyfixest

        if len(columns.endog) > 1:
            raise UnsupportedError(f"pyfixest takes one endogenous column; {design.spec.endog[0]} has more.")
        options = _options(design.spec.vcov, columns.groups) or {}
        formula = f"y ~ {' + '.join(('1' if columns.intercept else '0', *columns.exog))}"
        if columns.endog:
            formula += f" | {' + '.join(columns.endog)} ~ {' + '.join(columns.instruments)}"
        weights = None if seen.weights is None else "wts"
        fit = pyfixest.feols(
            formula, columns.frame, vcov=options["vcov"], ssc=pyfixest.ssc(**options["ssc"]), weights=weights
        )
        shown = ", ".join(f"{name}={value!r}" for name, value in options["ssc"].items())
        weighted = f", weights={weights!r}" if weights else ""
        call = f"feols({formula!r}, data, vcov={options['vcov']!r}, ssc=ssc({shown}){weighted})"
        limits = fit.confint().to_numpy()
        names = ("estimate", "std_error", "statistic", "conf_low", "conf_high")
        values = (fit.coef(), fit.se(), fit.tstat(), limits[:, 0], limits[:, 1])
        residuals = np.asarray(fit.resid()).ravel()
        tests = {}
        if columns.endog and isinstance(design.spec.vcov, Classical | HC1):
            fit.first_stage()
            statistic, p_value = float(fit._f_stat_1st_stage), float(fit._p_value_1st_stage)
            df = float(len(columns.instruments)), float(len(seen.y) - seen.z.shape[1])
            tests[f"weak_instruments:{seen.endog_names[0]}"] = Test("Weak instruments", statistic, p_value, *df, "F")
        return Reported(
            calls=("from pyfixest import feols, ssc", call),
            terms=[columns.terms[name] for name in fit.coef().index],
            table={name: np.asarray(value) for name, value in zip(names, values, strict=True)},
            df=float(np.squeeze(fit._df_t)), cov=fit._vcov, residuals=residuals, fitted=seen.y - residuals, tests=tests,
            why={"p.value": SMALL_P, **({"test p.value": CHI2} if tests else {})},
        )  # fmt: skip


def _options(vcov: Vcov | None, groups: tuple[str, ...]) -> dict[str, Any] | None:
    """``vcov`` and ``ssc`` of ``feols``; None where pyfixest has no equal."""
    if isinstance(vcov, Classical):
        return {"vcov": "iid", "ssc": {"k_adj": True}}
    if isinstance(vcov, HC0 | HC1):
        return {"vcov": "hetero", "ssc": {"k_adj": isinstance(vcov, HC1), "G_adj": isinstance(vcov, HC1)}}
    if isinstance(vcov, Clustered) and len(vcov.by) <= 2 and not vcov.multi0:
        ssc = {"k_adj": vcov.type == "HC1", "G_adj": vcov.cadjust, "G_df": "conventional"}
        return {"vcov": {"CRV1": " + ".join(groups)}, "ssc": ssc}
    return None
