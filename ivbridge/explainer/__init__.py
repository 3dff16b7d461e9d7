"""Why two answers differ: a search over known conventions (docs/explanation/why.md).

:func:`explain` compares two estimates. :func:`explain_observed` takes any numbers, as an
:class:`~ivbridge.explainer.records.Observed`, and the :class:`~ivbridge.explainer.records.World` of a question, which
:func:`asked_world` makes::

    explain(reference: Estimate, candidate: Estimate, data: DataFrame | Dataset | None = None) -> Explanation
    explain_observed(world: World, observed: Observed, reference_name: str = "the question") -> Explanation
    asked_world(spec: IVSpec, data: DataFrame) -> World
"""

from __future__ import annotations

from ivbridge.explainer.observed import asked_world
from ivbridge.explainer.records import Explanation, Observed, Step, World
from ivbridge.explainer.why import explain, explain_observed

__all__ = ["Explanation", "Observed", "Step", "World", "asked_world", "explain", "explain_observed"]
