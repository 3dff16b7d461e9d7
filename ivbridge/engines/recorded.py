"""The recorded engine: R's answers from files, for machines without R (:mod:`ivbridge.references`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ivbridge.asked import asked_vcov
from ivbridge.design import Design
from ivbridge.engines import Available, Supported, Unavailable, Unsupported, without_effects
from ivbridge.references import find_reference, replay
from ivbridge.results import Estimate
from ivbridge.spec import IVSpec

__all__ = ["RecordedEngine"]


class RecordedEngine:
    """What R answered when the reference was recorded; stale and edited references are refused."""

    name: ClassVar[str] = "recorded"

    def available(self) -> Available | Unavailable:
        """Always: it needs no R. Whether a question was recorded shows when it is asked."""
        return Available()

    def supports(self, spec: IVSpec) -> Supported | Unsupported:
        """Every question that an :class:`IVSpec` can ask, but for absorbed fixed effects."""
        return without_effects(spec)

    def versions(self) -> Mapping[str, str]:
        """Nothing computes here; every reference has its own versions."""
        return {}

    def fit(self, design: Design) -> Estimate:
        """Look the answer up.

        Raises
        ------
        ReferenceNotFoundError
            If the question was not recorded; the message holds the command that records it.
        StaleReferenceError
            If the data or an R script changed since.
        EditedReferenceError
            If the file was changed by hand.
        """
        asked_vcov(design.spec)
        return replay(find_reference(design), design)
