"""The native engine: linearmodels, and our own bread and meat where linearmodels has no such covariance."""

from __future__ import annotations

import dataclasses
import hashlib
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from linearmodels.iv import IV2SLS, IVLIML

from ivbridge import diagnostics, hac, kclass, sandwich
from ivbridge.design import Design
from ivbridge.engines import Available, Supported, Unavailable, Unsupported
from ivbridge.errors import UnsupportedError
from ivbridge.linear import Linear
from ivbridge.method import Fuller, TwoStage, check_vcov
from ivbridge.records import FloatArray, Provenance, Seen
from ivbridge.results import Estimate
from ivbridge.spec import IVSpec
from ivbridge.vcov import HC0, HC1, Classical, Clustered, NeweyWest, T, Vcov

__all__ = ["NativeEngine", "asked_vcov", "linearmodels_options", "seen_of"]


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
    """linearmodels' ``IV2SLS`` and ``IVLIML``, with AER's diagnostics rebuilt from matrices."""

    name: ClassVar[str] = "native"

    def available(self) -> Available | Unavailable:
        """Always: linearmodels is a dependency of the package."""
        return Available()

    def supports(self, spec: IVSpec) -> Supported | Unsupported:
        """Every question that an :class:`IVSpec` can ask."""
        return Supported()

    def versions(self) -> Mapping[str, str]:
        """Python and the packages that the numbers depend on."""
        packages = ("linearmodels", "numpy", "scipy", "pandas")
        return {"python": platform.python_version(), **{name: version(name) for name in packages}}

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
        model, cov = _estimated(design, seen, vcov)
        found = diagnostics.numbers(seen, model, cov, vcov, design.spec.inference)
        return Estimate(
            spec=design.spec,
            engine=self.name,
            n=model.n,
            seen=seen,
            data_sha256=design.sha256,
            provenance=self._provenance(design, vcov),
            notes=design.notes,
            **{field.name: getattr(found, field.name) for field in dataclasses.fields(found)},
        )

    def _provenance(self, design: Design, vcov: Vcov) -> Provenance:
        return Provenance(
            engine=self.name,
            versions=self.versions(),
            platform=platform.platform(),
            blas=_blas(),
            script_sha256=_own_sha256(),
            recorded_on=datetime.now(UTC).isoformat(timespec="seconds"),
            calls=_calls(design, vcov),
        )


def asked_vcov(spec: IVSpec) -> Vcov:
    """The question's vcov, which has no silent default.

    Raises
    ------
    UnsupportedError
        If the question names none, or one that has no definition for its method.
    """
    if spec.vcov is None:
        raise UnsupportedError(
            "The question names no vcov, and engines' defaults differ (linearmodels HC0, summary.ivreg classical, "
            "vcovHC HC3).",
            available='"classical", "HC1", "cluster(state)", …',
            do='pass vcov="HC1", for example.',
        )
    check_vcov(spec.method, spec.vcov)
    return spec.vcov


def seen_of(design: Design) -> Seen:
    """The native side of the handshake; checks that the groupings can carry the vcov.

    Raises
    ------
    DataError
        If they cannot.
    """
    vcov = asked_vcov(design.spec)
    groups = {name: design.groups(name) for name in vcov.columns}
    sandwich.check_groups(vcov, groups)
    shared = ("rows", "x_names", "z_names", "aliased", "aliased_instruments", "levels", "y", "x", "z", "weights")
    return Seen(groups=groups, **{name: getattr(design, name) for name in shared})


def _estimated(design: Design, seen: Seen, vcov: Vcov) -> tuple[Linear, FloatArray]:
    """Coefficients and κ from linearmodels; covariance from linearmodels where it has it."""
    own = kclass.estimated(seen, design.spec.method)
    options = linearmodels_options(vcov)
    extra: dict[str, Any] = {}
    if isinstance(vcov, Clustered) and options is not None:
        extra["clusters"] = np.column_stack([seen.groups[name] for name in vcov.by])
    arguments: dict[str, Any] = {**(options or {"cov_type": "unadjusted", "debiased": True}), **extra}
    result = _linearmodels(design).fit(**arguments)
    names = list(seen.x_names)
    model = dataclasses.replace(own, coef=result.params[names].to_numpy(dtype=float))
    if own.k_class is not None:
        kappa = float(result.kappa or np.nan)
        liml = kappa + kclass.correction(seen, design.spec.method)
        model = dataclasses.replace(model, k_class=dataclasses.replace(own.k_class, kappa=kappa, liml=liml))
    if options is None:
        return model, sandwich.covariance(model, vcov, seen.groups)
    return model, result.cov.loc[names, names].to_numpy(dtype=float)


def _linearmodels(design: Design) -> IV2SLS | IVLIML:
    x = pd.DataFrame(design.x, columns=list(design.x_names))
    z = pd.DataFrame(design.z, columns=list(design.z_names))
    exog = [name for name in design.x_names if name not in design.endog_names]
    endog = x[list(design.endog_names)] if design.endog_names else None
    instruments = z[list(design.instrument_names)] if design.endog_names else None
    parts = (pd.Series(design.y, name="y"), x[exog] if exog else None, endog, instruments)
    method = design.spec.method
    if isinstance(method, TwoStage):
        return IV2SLS(*parts, weights=design.weights)
    return IVLIML(*parts, weights=design.weights, fuller=method.a if isinstance(method, Fuller) else 0)


def _calls(design: Design, vcov: Vcov) -> tuple[str, ...]:
    """Python that gives the same numbers: linearmodels alone where it can, ivbridge otherwise."""
    spec, options = design.spec, linearmodels_options(vcov)
    try:
        text = spec.to_linearmodels(design.levels)
    except UnsupportedError:
        options, text = None, ""
    if options is None:
        extras = {
            "weights": spec.weights,
            "inference": None if spec.inference == T() else str(spec.inference),
            "method": None if isinstance(spec.method, TwoStage) else str(spec.method),
        }
        shown = "".join(f", {name}={value!r}" for name, value in extras.items() if value)
        return ("import ivbridge", f"ivbridge.fit({spec.to_r()!r}, data, vcov={str(vcov)!r}{shown})")
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
def _blas() -> str:
    config: Any = np.show_config(mode="dicts")
    blas = config.get("Build Dependencies", {}).get("blas", {})
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()


@cache
def _own_sha256() -> str:
    """Hash of the modules that compute the native numbers."""
    digest = hashlib.sha256()
    for module in (kclass, sandwich, hac, diagnostics):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()
