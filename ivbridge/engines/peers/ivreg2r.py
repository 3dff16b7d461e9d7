"""``ivreg2r::ivreg2``, Stata's ivreg2 in R."""

from __future__ import annotations

from typing import ClassVar

from ivbridge.engines.peers.base import RPeer
from ivbridge.spec import IVSpec
from ivbridge.vcov import HC0, HC1, Classical, Clustered

__all__ = ["Ivreg2rEngine"]


class Ivreg2rEngine(RPeer):
    """Two-stage least squares, LIML and Fuller with Stata's options. Written from its manual, see docs/rosetta.md."""

    name: ClassVar[str] = "ivreg2r"
    install: ClassVar[str] = "Rscript -e 'install.packages(\"ivreg2r\")' (R 4.4 or newer)"

    def lacking(self, spec: IVSpec) -> str:
        """Leverages, HAC (it needs a time column), and cluster corrections that Stata does not have."""
        vcov = spec.vcov
        if isinstance(vcov, Clustered):
            known = len(vcov.by) == 1 and (vcov.type, vcov.cadjust) in (("HC1", True), ("HC0", False))
            return "" if known else f"is not asked for {vcov}"
        return "" if isinstance(vcov, Classical | HC0 | HC1 | None) else f"is not asked for {vcov}"
