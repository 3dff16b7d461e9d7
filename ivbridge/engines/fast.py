"""The fast engine: two passes over blocks of rows, and small algebra on their sums (docs/decisions/0013-fast.md).

Covariances that are no sums over rows, because they look at rows in order or draw them, are made of the same fit's
residuals and orthonormal columns by :mod:`ivbridge.sandwich`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

from ivbridge import blocks, diagnostics, sandwich
from ivbridge.asked import asked_vcov, options_text, seen_of
from ivbridge.blocks.answer import Answer
from ivbridge.blocks.arrays import in_memory
from ivbridge.blocks.dependent import materialised
from ivbridge.blocks.meats import summable
from ivbridge.blocks.solve import solved
from ivbridge.design import Design
from ivbridge.engines import Available, Supported, Unavailable, Unsupported
from ivbridge.records import Digits, Numbers, Provenance, Seen
from ivbridge.results import Estimate
from ivbridge.spec import IVSpec
from ivbridge.threads import blas_text, one_thread
from ivbridge.vcov import Classical

__all__ = ["FastEngine"]


class FastEngine:
    """2SLS, least squares, LIML and Fuller from the cross-products of one pass and the scores of a second one."""

    name: ClassVar[str] = "fast"

    def available(self) -> Available | Unavailable:
        """Always: numpy and scipy are dependencies of the package."""
        return Available()

    def supports(self, spec: IVSpec) -> Supported | Unsupported:
        """Every question that an :class:`IVSpec` can ask."""
        return Supported()

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
        asked_vcov(design.spec)
        seen = seen_of(design)
        found, digits = numbers_of(seen, design.spec)
        return Estimate(
            spec=design.spec,
            engine=self.name,
            n=len(seen.y),
            seen=seen,
            data_sha256=design.sha256,
            provenance=self.provenance(design.spec),
            notes=design.notes,
            digits=digits,
            **{field.name: getattr(found, field.name) for field in dataclasses.fields(found)},
        )

    def provenance(self, spec: IVSpec) -> Provenance:
        """Where the numbers come from, and the call that repeats them."""
        return Provenance(
            engine=self.name,
            versions=self.versions(),
            platform=platform.platform(),
            blas=blas_text(),
            threads="1",
            script_sha256=_own_sha256(),
            recorded_on=datetime.now(UTC).isoformat(timespec="seconds"),
            calls=_calls(spec),
        )


def numbers_of(seen: Seen, spec: IVSpec) -> tuple[Numbers, Digits | None]:
    """Everything that is reported of matrices in memory, and its digits where they are known.

    Errors as for :meth:`FastEngine.fit`.
    """
    vcov = asked_vcov(spec)
    rows, layout, groups = in_memory(seen, vcov)
    others = diagnostics.auxiliary(vcov)
    found = solved(rows, layout, others if summable(others) else Classical(), groups, method=spec.method)
    if not summable(vcov):
        model = materialised(rows, found, seen)
        cov = sandwich.covariance(model, vcov, seen.groups)
        if not summable(others):
            return diagnostics.numbers(seen, model, cov, vcov, spec.inference), None
        found = dataclasses.replace(found, cov=cov)
    digits = Digits(found.digits.coef, found.digits.std_error) if summable(vcov) else None
    return Answer(rows, found, spec.inference, seen.exact).numbers(seen.y), digits


def _calls(spec: IVSpec) -> tuple[str, ...]:
    shown = options_text(spec)
    return ("import ivbridge", f"ivbridge.fit({spec.to_r()!r}, data, vcov={str(spec.vcov)!r}{shown}, engine='fast')")


@cache
def _versions() -> Mapping[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in ("numpy", "scipy", "pandas")}}


@cache
def _own_sha256() -> str:
    """Hash of the modules that compute the numbers."""
    digest = hashlib.sha256()
    for path in sorted(Path(str(blocks.__file__)).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
