"""``ivreg::ivreg`` with sandwich and lmtest."""

from __future__ import annotations

from typing import ClassVar

from ivbridge.engines.peers.base import RPeer
from ivbridge.method import TwoStage
from ivbridge.spec import IVSpec
from ivbridge.vcov import HC0, HC1, HC2, HC3, HC4, Classical, Clustered

__all__ = ["IvregEngine"]


class IvregEngine(RPeer):
    """AER's successor: leverages of HC2 and HC3 are its own. Written from its manual, see docs/rosetta.md."""

    name: ClassVar[str] = "ivreg"
    install: ClassVar[str] = "Rscript -e 'install.packages(\"ivreg\")'"

    def lacking(self, spec: IVSpec) -> str:
        """LIML, Fuller (it has M and MM estimators instead), and HAC covariances, which are not asked here."""
        if not isinstance(spec.method, TwoStage):
            return f"has no {spec.method}"
        asked = isinstance(spec.vcov, Classical | HC0 | HC1 | HC2 | HC3 | HC4 | Clustered | None)
        return "" if asked else f"is not asked for {spec.vcov}"
