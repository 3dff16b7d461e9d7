"""``fixest::feols``."""

from __future__ import annotations

from typing import ClassVar

from ivbridge.engines.peers.base import RPeer
from ivbridge.method import TwoStage
from ivbridge.spec import IVSpec
from ivbridge.vcov import HC1, Classical, Clustered

__all__ = ["FixestEngine"]


class FixestEngine(RPeer):
    """``feols`` with its default small-sample factors. Written from its manual, see docs/rosetta.md."""

    name: ClassVar[str] = "fixest"
    install: ClassVar[str] = "Rscript -e 'install.packages(\"fixest\")'"

    def lacking(self, spec: IVSpec) -> str:
        """Everything but classical, HC1 and one-way clusters with type HC1: names of other factors changed lately."""
        if not isinstance(spec.method, TwoStage):
            return f"has no {spec.method}"
        vcov = spec.vcov
        if isinstance(vcov, Clustered) and (len(vcov.by), vcov.type, vcov.cadjust) == (1, "HC1", True):
            return ""
        return "" if isinstance(vcov, Classical | HC1 | None) else f"is not asked for {vcov}"
