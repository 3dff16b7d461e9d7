"""Two-stage least squares through ivbridge's own engines: one question, answered natively and by R's ``AER::ivreg``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ivbridge.api import fit
from ivbridge.causal.dml import WEAK, weak_text
from ivbridge.causal.iv_question import numeric_frame, spec_of
from ivbridge.causal.method import CausalMethod
from ivbridge.causal.question import CausalData
from ivbridge.causal.records import Answer
from ivbridge.expr import r_label
from ivbridge.progress import Progress
from ivbridge.records import Test
from ivbridge.weakiv import confidence_set

__all__ = ["TwoStageLeastSquares"]

_TESTS = {"wu_hausman": "Wu-Hausman", "sargan": "Sargan"}


@dataclass(frozen=True, kw_only=True)
class TwoStageLeastSquares(CausalMethod):
    """Two-stage least squares of Y on T and the covariates, T instrumented: :func:`ivbridge.fit`.

    With one instrument that is independent of the covariates it estimates the LATE of Imbens and Angrist (1994,
    Econometrica 62); otherwise a weighted mean of LATEs. Reference: ``AER::ivreg`` with ``sandwich``. Both build their
    own matrices from the columns; ``ivbridge.crosscheck(spec_of(question), data)`` compares all of their numbers
    (:func:`ivbridge.causal.iv_question.spec_of`).

    Parameters
    ----------
    vcov : str, default "HC1"
        Any vcov of ivbridge; ``"HC1"`` is Stata's ``vce(robust)``. Intervals take t with n - k degrees of freedom, as
        R's ``confint``. A question with clusters gets CR1: Stata's ``vce(cluster …) small``, R's
        ``vcovCL(type = "HC1")``.
    """

    name: ClassVar[str] = "two_stage"
    title: ClassVar[str] = "Two-stage least squares"
    estimands: ClassVar[tuple[str, ...]] = ("LATE",)
    needs: ClassVar[tuple[str, ...]] = ("instruments",)
    packages: ClassVar[tuple[str, ...]] = ("linearmodels",)
    r_call: ClassVar[str] = "AER::ivreg"
    takes_clusters: ClassVar[bool] = True
    relative: ClassVar[float] = 1e-9
    why_relative: ClassVar[str] = "QR against normal equations on unscaled columns, condition number up to 1e6"

    vcov: str = "HC1"

    def answer(self, data: CausalData, seed: int, progress: Progress | None) -> Answer:
        """Estimate with linearmodels."""
        return self._by("native", data)

    def reference(self, data: CausalData, seed: int) -> Answer:
        """Estimate with R."""
        return self._by("r", data)

    def _by(self, engine: str, data: CausalData) -> Answer:
        spec = spec_of(data.question, self.vcov)
        frame = numeric_frame(data)
        found = fit(spec, frame, engine=engine)
        term, tests = r_label(spec.endog[0]), found.tests
        place = found.terms.index(term)
        parts = {name: test.statistic for key, name in _TESTS.items() if isinstance(test := tests[key], Test)}
        first = tests[f"weak_instruments:{term}"]
        warnings = found.warnings
        if isinstance(first, Test):
            parts["first-stage F"] = first.statistic
            if first.statistic < WEAK:
                believed = f"Anderson and Rubin's 95 % set can: {confidence_set(spec, frame)}."
                warnings += (f"{weak_text(first.statistic)} {believed}",)
        return Answer(
            float(found.coefs.estimate[place]), float(found.coefs.std_error[place]), str(spec.vcov), found.df,
            parts=parts, versions=dict(found.provenance.versions), calls=(f"ivbridge.fit({spec.to_r()!r}, …)",),
            notes=data.notes, warnings=warnings,
        )  # fmt: skip
