"""``gmm::tsls``."""

from __future__ import annotations

from typing import ClassVar

from ivbridge.engines.peers.base import RPeer
from ivbridge.method import TwoStage
from ivbridge.spec import IVSpec
from ivbridge.vcov import HC0, HC1, Classical

__all__ = ["GmmEngine"]


class GmmEngine(RPeer):
    """Two-stage least squares as the method of moments; its table has the normal distribution."""

    name: ClassVar[str] = "gmm"
    install: ClassVar[str] = "Rscript -e 'install.packages(\"gmm\")' (Debian: apt-get install r-cran-gmm)"

    def lacking(self, spec: IVSpec) -> str:
        """LIML, Fuller, weights, least squares, and covariances other than classical, HC0 and HC1."""
        if not isinstance(spec.method, TwoStage):
            return f"has no {spec.method}"
        if spec.weights:
            return "takes no weights"
        if not spec.endog:
            return "needs an endogenous regressor"
        return "" if isinstance(spec.vcov, Classical | HC0 | HC1 | None) else f"has no {spec.vcov}"
