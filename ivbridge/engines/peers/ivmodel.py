"""``ivmodel::ivmodel``."""

from __future__ import annotations

from typing import ClassVar

from ivbridge.engines.peers.base import RPeer
from ivbridge.spec import IVSpec
from ivbridge.vcov import HC0, Classical

__all__ = ["IvmodelEngine"]


class IvmodelEngine(RPeer):
    """k-class estimates of one coefficient. Written from its manual, see docs/rosetta.md."""

    name: ClassVar[str] = "ivmodel"
    install: ClassVar[str] = "Rscript -e 'install.packages(\"ivmodel\")'"

    def lacking(self, spec: IVSpec) -> str:
        """More than one regressor, an intercept included: it reports one coefficient only."""
        if len(spec.endog) != 1 or spec.exog or spec.intercept:
            return "reports the coefficient of one endogenous regressor and of nothing else"
        if spec.weights:
            return "takes no weights"
        return "" if isinstance(spec.vcov, Classical | HC0 | None) else f"is not asked for {spec.vcov}"
