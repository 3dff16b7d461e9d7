"""``estimatr::iv_robust`` and ``lm_robust``."""

from __future__ import annotations

from typing import ClassVar

from ivbridge.engines.peers.base import RPeer
from ivbridge.method import TwoStage
from ivbridge.spec import IVSpec
from ivbridge.vcov import HC0, HC1, HC2, HC3, Classical, Clustered

__all__ = ["EstimatrEngine"]


class EstimatrEngine(RPeer):
    """Robust and clustered two-stage least squares; HC2 and HC3 with hat values of the second stage."""

    name: ClassVar[str] = "estimatr"
    install: ClassVar[str] = "Rscript -e 'install.packages(\"estimatr\")' (Debian: apt-get install r-cran-estimatr)"

    def lacking(self, spec: IVSpec) -> str:
        """LIML, Fuller, HAC, several cluster dimensions, and a cluster correction without (n−1)/(n−k)."""
        if not isinstance(spec.method, TwoStage):
            return f"has no {spec.method}"
        vcov = spec.vcov
        if isinstance(vcov, Clustered):
            if len(vcov.by) > 1:
                return "clusters in one dimension only"
            if (vcov.type, vcov.cadjust) not in (("HC1", True), ("HC0", False)):
                return "has the cluster corrections CR0 (type=HC0, cadjust=False) and stata (type=HC1)"
            return ""
        return "" if isinstance(vcov, Classical | HC0 | HC1 | HC2 | HC3 | None) else f"has no {vcov}"
