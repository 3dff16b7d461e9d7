"""``systemfit::systemfit`` with one equation."""

from __future__ import annotations

from typing import ClassVar

from ivbridge.engines.peers.base import RPeer
from ivbridge.method import TwoStage
from ivbridge.spec import IVSpec
from ivbridge.vcov import Classical

__all__ = ["SystemfitEngine"]


class SystemfitEngine(RPeer):
    """Classical two-stage least squares, ``method = "2SLS"``."""

    name: ClassVar[str] = "systemfit"
    install: ClassVar[str] = "Rscript -e 'install.packages(\"systemfit\")' (Debian: apt-get install r-cran-systemfit)"

    def lacking(self, spec: IVSpec) -> str:
        """Everything but the classical covariance without weights."""
        if not isinstance(spec.method, TwoStage):
            return f"has no {spec.method}"
        if spec.weights:
            return "takes no weights"
        return "" if isinstance(spec.vcov, Classical | None) else f"has no {spec.vcov}"
