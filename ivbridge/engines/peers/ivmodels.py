"""``ivmodels.KClass``: two-stage least squares, LIML and Fuller with Wald statistics."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pandas as pd

from ivbridge.design import Design
from ivbridge.engines.peers.base import PythonPeer
from ivbridge.engines.peers.reported import Plain, Reported
from ivbridge.method import Fuller, TwoStage
from ivbridge.records import FloatArray, Seen
from ivbridge.spec import IVSpec
from ivbridge.vcov import HC1, Classical

__all__ = ["IvmodelsEngine"]

WALD = "ivmodels reports a Wald statistic for each coefficient, no covariance"


class IvmodelsEngine(PythonPeer):
    """The table is that of ``KClass.summary``: its Wald statistic is the square of estimate over standard error."""

    name: ClassVar[str] = "ivmodels"

    def lacking(self, spec: IVSpec) -> str:
        """Weights, least squares, and covariances other than classical and HC1."""
        if spec.weights:
            return "takes no weights"
        if not spec.endog:
            return "needs an endogenous regressor"
        return "" if isinstance(spec.vcov, Classical | HC1 | None) else f"has no {spec.vcov}"

    def report(self, design: Design, seen: Seen, columns: Plain) -> Reported:
        """``KClass(kappa).fit(X, y, Z, C)`` with ``summary``, or with a robust ``wald_test`` a coefficient."""
        from ivmodels import KClass

        kappa = "tsls" if isinstance(design.spec.method, TwoStage) else str(design.spec.method)
        x, z, c = (columns.frame[list(role)] for role in (columns.endog, columns.instruments, columns.exog))
        model = KClass(kappa=kappa, fit_intercept=columns.intercept).fit(x, seen.y, z, c)
        if isinstance(design.spec.method, Fuller):  # by name, its tests would count other columns in Fuller's n − l
            model = KClass(kappa=(kappa := model.kappa_), fit_intercept=columns.intercept).fit(x, seen.y, z, c)
        names = [*(["intercept"] if columns.intercept else []), *columns.endog, *columns.exog]
        estimates = np.array([*([model.intercept_] if columns.intercept else []), *np.ravel(model.coef_)], float)
        calls = f"fit = KClass(kappa={kappa!r}, fit_intercept={columns.intercept}).fit(X, y, Z, C)"
        if isinstance(design.spec.vcov, HC1):
            statistics = _robust(kappa, columns, seen)
            limits, shown = {}, "wald_test(Z, X[[x]], y, [0.0], W=X[rest], C=C, estimator=kappa, robust=True)"
        else:
            table = model.summary(x, seen.y, z, c).coefficient_table_
            names, shown = list(table.feature_names), "fit.summary(X, y, Z, C)"
            estimates, statistics = np.array(table.estimates, float), np.ravel(np.array(table.statistics, float))
            low, high = np.array([found.boundaries[0] for found in table.confidence_sets], float).T
            limits = {"conf_low": low, "conf_high": high}
        return Reported(
            calls=("from ivmodels import KClass", "from ivmodels.tests import wald_test", calls, shown),
            terms=[columns.terms[name] for name in names],
            table={"estimate": estimates, "statistic": np.sign(estimates) * np.sqrt(statistics), **limits},
            df=math.inf,
            kappa=None if kappa == "tsls" else float(model.kappa_),
            why={
                "cov": WALD,
                "std.error": WALD,
                "p.value": "ivmodels subtracts from 1, which leaves a small p-value few digits",
                "conf.low": "ivmodels inverts only the Wald test that is not robust",
                "conf.high": "ivmodels inverts only the Wald test that is not robust",
            },
        )  # fmt: skip


def _robust(kappa: str | float, columns: Plain, seen: Seen) -> FloatArray:
    """The robust Wald statistic of each coefficient: intercept, endogenous, exogenous."""
    from ivmodels.tests import wald_test

    frame, own = columns.frame, columns.intercept
    x, z, c = (frame[list(role)] for role in (columns.endog, columns.instruments, columns.exog))
    ones = {"X": x[[]], "W": x, "C": c, "D": pd.DataFrame({"one": np.ones(len(frame))}), "fit_intercept": False}
    asked = [ones] if own else []
    asked += [{"X": x[[name]], "W": x.drop(columns=name), "C": c, "fit_intercept": own} for name in x]
    asked += [{"X": x[[]], "W": x, "C": c.drop(columns=name), "D": c[[name]], "fit_intercept": own} for name in c]
    rest = {"Z": z, "y": seen.y, "beta": np.zeros(1), "estimator": kappa, "robust": True}
    found = [wald_test(**{key: np.asarray(v) if key in "ZXWCD" else v for key, v in {**rest, **one}.items()})
             for one in asked]  # fmt: skip
    return np.array([float(np.squeeze(statistic)) for statistic, _ in found])
