"""The native engine: linearmodels, refined, and our own bread and meat where linearmodels has no such covariance.

linearmodels' public pieces are called once each: its k-class formula on the columns as they are, which refinement then
brings to the last digit (docs/decisions/0009-digits.md), and its covariance estimators on orthonormal columns.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from linearmodels.iv import IV2SLS
from linearmodels.iv.model import COVARIANCE_ESTIMATORS

from ivbridge import diagnostics, hac, kclass, linear, refine, sandwich
from ivbridge.asked import asked_vcov, options_text, seen_of
from ivbridge.design import Design
from ivbridge.engines import Available, Supported, Unavailable, Unsupported, without_effects
from ivbridge.errors import UnsupportedError
from ivbridge.linear import Linear, refined, scaled
from ivbridge.method import Fuller, Method, TwoStage
from ivbridge.records import FloatArray, Provenance, Seen
from ivbridge.results import Estimate
from ivbridge.spec import IVSpec
from ivbridge.threads import blas_text, one_thread
from ivbridge.vcov import HC0, HC1, Classical, Clustered, NeweyWest, Vcov

#: A note says so where linearmodels alone leaves fewer correct digits than this, half of those of double precision.
FEW_DIGITS = 8

__all__ = ["NativeEngine", "linearmodels_options"]


def linearmodels_options(vcov: Vcov) -> dict[str, Any] | None:
    """The arguments of linearmodels' ``fit`` that give this covariance; None where linearmodels has no equal."""
    if isinstance(vcov, Classical):
        return {"cov_type": "unadjusted", "debiased": True}
    if isinstance(vcov, HC0 | HC1):
        return {"cov_type": "robust", "debiased": isinstance(vcov, HC1)}
    standard = isinstance(vcov, Clustered) and (vcov.type, vcov.cadjust) in (("HC1", True), ("HC0", False))
    if isinstance(vcov, Clustered) and standard and len(vcov.by) <= 2 and not vcov.multi0:
        return {"cov_type": "clustered", "debiased": vcov.type == "HC1"}
    if isinstance(vcov, NeweyWest) and vcov.lag is not None and not vcov.prewhite and vcov.order_by is None:
        return {"cov_type": "kernel", "kernel": "bartlett", "bandwidth": vcov.lag, "debiased": vcov.adjust}
    return None


class NativeEngine:
    """linearmodels' two-stage least squares, LIML and Fuller, with AER's diagnostics rebuilt from matrices."""

    name: ClassVar[str] = "native"

    def available(self) -> Available | Unavailable:
        """Always: linearmodels is a dependency of the package."""
        return Available()

    def supports(self, spec: IVSpec) -> Supported | Unsupported:
        """Every question that an :class:`IVSpec` can ask, but for absorbed fixed effects."""
        return without_effects(spec)

    def versions(self) -> Mapping[str, str]:
        """Python and the packages that the numbers depend on."""
        return dict(_versions())

    @one_thread()
    def fit(self, design: Design) -> Estimate:
        """Answer the question.

        Raises
        ------
        UnsupportedError
            If the question names no vcov, or one that the method cannot have.
        DataError
            If the data cannot carry the vcov.
        DesignError
            If LIML or Fuller is not defined for the data.
        """
        vcov = asked_vcov(design.spec)
        seen = seen_of(design)
        model, cov, mended = _estimated(seen, design.spec.method, vcov)
        found = diagnostics.numbers(seen, model, cov, vcov, design.spec.inference)
        return Estimate(
            spec=design.spec,
            engine=self.name,
            n=model.n,
            seen=seen,
            data_sha256=design.sha256,
            provenance=self._provenance(design, vcov),
            notes=(*design.notes, *mended),
            **{field.name: getattr(found, field.name) for field in dataclasses.fields(found)},
        )

    def _provenance(self, design: Design, vcov: Vcov) -> Provenance:
        return Provenance(
            engine=self.name,
            versions=self.versions(),
            platform=platform.platform(),
            blas=blas_text(),
            threads="1",
            script_sha256=_own_sha256(),
            recorded_on=datetime.now(UTC).isoformat(timespec="seconds"),
            calls=_calls(design, vcov),
        )


def _estimated(seen: Seen, method: Method, vcov: Vcov) -> tuple[Linear, FloatArray, tuple[str, ...]]:
    """linearmodels' coefficients, refined; its covariance where it has this one; a note where refinement mattered."""
    model = kclass.decomposed(seen, method)
    start = _coefficients(model)
    model = refined(model, start if np.isfinite(start).all() else None)
    cov = _covariance(model, vcov, seen.groups)
    return model, cov, _mended(model, cov, start)


def _coefficients(model: Linear) -> FloatArray:
    """linearmodels' estimate, (k,), by its k-class formula; NaN where it has none."""
    assert model.instruments is not None
    x, y, z = (scaled(m, model.weights) for m in (model.x, model.y[:, None], model.instruments.matrix))
    try:
        with np.errstate(all="ignore"):
            found = IV2SLS.estimate_parameters(x, y, z, 1.0 if model.k_class is None else model.k_class.kappa)
    except np.linalg.LinAlgError:
        return np.full(model.k, np.nan)
    return np.asarray(found)[:, 0]


def _covariance(model: Linear, vcov: Vcov, groups: sandwich.Groups) -> FloatArray:
    """The covariance matrix, (k, k), from linearmodels' estimator where it has one, else from our own.

    linearmodels inverts a cross-product of the regressors, which costs twice the digits that their condition does. So
    it gets the same model with regressors XT, T the inverse of the triangular factor, and with the residuals as they
    are: its cross-product is then the identity, and T C T' is the covariance asked for.
    """
    options = linearmodels_options(vcov)
    if options is None:
        return sandwich.covariance(model, vcov, groups)
    if isinstance(vcov, Clustered):
        options["clusters"] = np.column_stack([groups[name] for name in vcov.by])
    q, kappa = model.basis.q, 1.0
    x = q
    if model.k_class is not None:
        x, kappa = scaled(model.x, model.weights) @ model.inverse, model.k_class.kappa
    rest = scaled(model.residuals, model.weights)[:, None]
    estimator = COVARIANCE_ESTIMATORS[options.pop("cov_type")]
    turned = estimator(x, rest, q, np.zeros((model.k, 1)), kappa=kappa, **options).cov
    return np.asarray(model.inverse @ turned @ model.inverse.T)


def _mended(model: Linear, cov: FloatArray, start: FloatArray) -> tuple[str, ...]:
    """What a reader who calls linearmodels by hand should know."""
    sizes = np.abs(model.coef) + np.sqrt(np.abs(np.diag(cov)))
    with np.errstate(all="ignore"):
        digits = -np.log10(np.max(np.abs(start - model.coef) / sizes))
    if digits >= FEW_DIGITS:
        return ()
    left = f"only {max(math.floor(digits), 0)} digits" if np.isfinite(digits) else "no digit"
    note = (
        f"linearmodels called by hand leaves {left} of these coefficients, since its normal equations square the "
        "condition number of the columns; they were refined with a QR decomposition"
    )
    return (note,)


def _calls(design: Design, vcov: Vcov) -> tuple[str, ...]:
    """Python that gives the same numbers: linearmodels alone where it can, ivbridge otherwise."""
    spec, options = design.spec, linearmodels_options(vcov)
    try:
        text = spec.to_linearmodels(design.levels)
    except UnsupportedError:
        options, text = None, ""
    if options is None:
        return ("import ivbridge", f"ivbridge.fit({spec.to_r()!r}, data, vcov={str(vcov)!r}{options_text(spec)})")
    weights = f", weights=data[{spec.weights!r}]" if spec.weights else ""
    if isinstance(vcov, Clustered):
        options["clusters"] = f"data[{list(vcov.by)!r}]"
    shown = ", ".join(f"{key}={value if key == 'clusters' else repr(value)}" for key, value in options.items())
    complete = [f"data = data.dropna(subset={list(spec.columns)!r})"] if len(design.rows) < len(design.frame) else []
    kind = "IV2SLS" if isinstance(spec.method, TwoStage) else "IVLIML"
    fuller = f", fuller={spec.method.a!r}" if isinstance(spec.method, Fuller) else ""
    fit = f"{kind}.from_formula({text!r}, data{weights}{fuller}).fit({shown})"
    return (f"from linearmodels.iv import {kind}", *complete, fit)


@cache
def _versions() -> Mapping[str, str]:
    packages = ("linearmodels", "numpy", "scipy", "pandas")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


@cache
def _own_sha256() -> str:
    """Hash of the modules that compute the native numbers."""
    digest = hashlib.sha256()
    for module in (refine, linear, kclass, sandwich, hac, diagnostics):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()
