"""What the explainer looks at, the steps that it may take, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import pandas as pd

from ivbridge.gaps import Key
from ivbridge.method import Method, TwoStage
from ivbridge.records import Seen
from ivbridge.spec import IVSpec

__all__ = ["Explanation", "Observed", "Step", "World"]


@dataclass(frozen=True, slots=True)
class Step:
    """One known convention, applied.

    Attributes
    ----------
    key : str
        Of the catalogue, for example ``"vcov.HC1"`` or ``"rows.missing_as_zero"``.
    text : str
        What it does in this case, as a clause that completes "the candidate's numbers are the reference's if …", for
        example ``"rows 3 and 9 are kept, with 0 for the missing x"``.
    """

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Observed:
    """Numbers to be explained: an engine's, or a few typed from a paper.

    Attributes
    ----------
    values : mapping of Key to float
        Scalars only, keyed as :func:`ivbridge.gaps.flatten` keys them.
    within : mapping of Key to float
        How far the true value may be from each of them: half a unit of the last printed digit for a number typed from
        a paper, what rounding explains for an engine's.
    name : str, default "candidate"
        What a sentence calls their source: ``"the paper"``, ``"linearmodels"``.
    """

    values: Mapping[Key, float]
    within: Mapping[Key, float]
    name: str = "candidate"


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """One way to estimate the coefficients: matrices, estimator, and the conventions that led here.

    Attributes
    ----------
    seen : Seen
        y, X, Z, weights and groups; X need not hold the endogenous regressors of the question any more.
    spec : IVSpec or None
        The question, where there is one.
    frame : DataFrame or None
        The data as given, for conventions about rows, levels and storage; None where only matrices are known.
    method : Method
    steps : tuple of Step
        Empty for the question as it was asked.
    """

    seen: Seen
    spec: IVSpec | None = None
    frame: pd.DataFrame | None = None
    method: Method = TwoStage()  # noqa: RUF009
    steps: tuple[Step, ...] = ()

    def after(self, step: Step, seen: Seen, **changes: object) -> World:
        """The world that one more step leads to."""
        return replace(self, seen=seen, steps=(*self.steps, step), **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why two answers differ.

    Attributes
    ----------
    verdict : {"identical", "rounding", "convention", "none", "not comparable"}
        ``none``: no known convention, and no combination that was tried, closes the gap to rounding.
    steps : tuple of Step
        The shortest combination that closes it; empty unless the verdict is "convention".
    reason : str
        One sentence, as a referee would write it.
    alternatives : tuple of tuple of Step
        Other combinations, equally short, that close it as well.
    compared : int
        Numbers that the combination had to reproduce.
    tried : int
        Combinations that were looked at.
    unexplained : mapping of Key to float
        Of a verdict "none" the numbers that the closest combination leaves apart, and by how much.
    """

    verdict: Literal["identical", "rounding", "convention", "none", "not comparable"]
    steps: tuple[Step, ...]
    reason: str
    alternatives: tuple[tuple[Step, ...], ...] = ()
    compared: int = 0
    tried: int = 0
    unexplained: Mapping[Key, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the two agree, or a known convention says why not."""
        return self.verdict in ("identical", "rounding", "convention")
