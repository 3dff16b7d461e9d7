"""What a Monte Carlo study is made of: worlds to draw from, methods that answer, and what they say."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ivbridge.errors import DataError, DesignError

__all__ = ["Method", "OneByOne", "Outcome", "World", "outcome"]

#: Errors that mean "no estimate".
_NO_ESTIMATE = (DataError, DesignError, np.linalg.LinAlgError)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one method says about one draw.

    Attributes
    ----------
    estimate, std_error, conf_low, conf_high : float
        NaN where there is none.
    covers : bool, optional
        Whether the confidence set holds the truth; None lets the limits decide. A set that is no interval says it.
    selected : int, optional
        Number of instruments used.
    note : str
        Why there is no estimate.
    """

    estimate: float = math.nan
    std_error: float = math.nan
    conf_low: float = math.nan
    conf_high: float = math.nan
    covers: bool | None = None
    selected: int | None = None
    note: str = ""


def outcome(estimate: float, std_error: float, selected: int | None = None, level: float = 0.95) -> Outcome:
    """An estimate with its normal confidence interval, R's ``confint`` with ``df = Inf``."""
    from scipy import stats

    half = float(stats.norm.isf((1 - level) / 2)) * std_error
    return Outcome(float(estimate), float(std_error), float(estimate - half), float(estimate + half), selected=selected)


class World(Protocol):
    """What a scenario has to offer: a name, and draws that depend on the seed alone."""

    @property
    def name(self) -> str:
        """Name in the table."""
        ...

    def draw(self, n: int, seed: int) -> Any:
        """Data with ``truth``, the effect that is to be estimated."""
        ...


@dataclass(frozen=True, slots=True)
class Method:
    """Estimators that share their work on a draw, such as two rules on one cross-validated path.

    Parameters
    ----------
    names : tuple of str
    run : callable (draw, seed) -> sequence of Outcome
        One outcome for each name. It must be a function of a module or a record (it is sent to other processes), and
        depend on nothing but its arguments. A :class:`~ivbridge.errors.DataError`,
        :class:`~ivbridge.errors.DesignError` or singular matrix counts as "no estimate" for all names, and so does an
        :class:`~ivbridge.errors.EngineError`, for this run; any other exception stops the study.
    many : callable (draws, seeds) -> sequence of such sequences, optional
        The same for many draws at once. What it says of a draw must equal what `run` says, but for rounding, and must
        not depend on the other draws. Draws are answered together where all methods of a study have it.
    """

    names: tuple[str, ...]
    run: Callable[[Any, int], Sequence[Outcome]]
    many: Callable[[Sequence[Any], Sequence[int]], Sequence[Sequence[Outcome]]] | None = None

    def answers(self, draws: Sequence[Any], seeds: Sequence[int]) -> list[tuple[Outcome, ...]]:
        """What the method says of each draw."""
        if self.many is None:
            return [self.attempt(draw, seed) for draw, seed in zip(draws, seeds, strict=True)]
        try:
            return [tuple(said) for said in self.many(draws, seeds)]
        except _NO_ESTIMATE as error:
            if len(draws) == 1:
                return [self._nothing(error)]
            return [self.answers([draw], [seed])[0] for draw, seed in zip(draws, seeds, strict=True)]

    def attempt(self, draw: Any, seed: int) -> tuple[Outcome, ...]:
        """What `run` says of a draw."""
        try:
            return tuple(self.run(draw, seed))
        except _NO_ESTIMATE as error:
            return self._nothing(error)

    def _nothing(self, error: Exception) -> tuple[Outcome, ...]:
        return tuple(Outcome(note=f"{type(error).__name__}: {error}") for _ in self.names)


@dataclass(frozen=True, slots=True)
class OneByOne:
    """`Method.many` of a method that gains nothing from many draws, so that others beside it may."""

    names: tuple[str, ...]
    run: Callable[[Any, int], Sequence[Outcome]]

    def __call__(self, draws: Sequence[Any], seeds: Sequence[int]) -> list[tuple[Outcome, ...]]:
        """Every draw's outcomes."""
        method = Method(self.names, self.run)
        return [method.attempt(draw, seed) for draw, seed in zip(draws, seeds, strict=True)]
