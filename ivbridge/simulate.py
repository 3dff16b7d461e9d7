"""The two worlds of the post "Machine Learning Meets Instrumental Variables", drawn as its own code draws them.

>>> draw = SCENARIOS["post-b"].draw()
>>> draw.strong, len(draw.valid), len(draw.invalid), draw.truth
(('M.21', 'M.22', 'M.23', 'M.24', 'M.25'), 480, 20, 2.0)

With their default arguments both give the very data behind the post's charts; other seeds give other data from the same
world. The post ran in R 3.4, which is why ``sample_kind`` is "Rounding" here.

Source: "Machine Learning Meets Instrumental Variables", Teconomics, part 3 of "Best
of Both Worlds", with its sample code (TeconomicsBlog/notebooks, PrincipledInstrumentSelection).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np
import pandas as pd

from ivbridge.errors import DataError
from ivbridge.records import FloatArray, IntArray
from ivbridge.rrandom import RRandom, SampleKind

__all__ = ["SCENARIOS", "Draw", "ManyTests", "OneInstrument", "Scenario"]

_FOLDS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """One data set from a known world.

    Attributes
    ----------
    scenario : str
    frame : DataFrame (n, columns)
        The dependent variable ``Y``, the endogenous regressor ``X``, and one column for each instrument.
    truth : float
        The effect of X on Y.
    strong, valid, invalid : tuple of str
        Instruments. Those of ``strong`` are the best of the valid ones, what an oracle would use; invalid ones act on Y
        other than through X, or share a cause with it.
    foldid : (n,) int array
        Fold of each row, 1 … 10: what ``cv.glmnet`` would draw if it came next in the same R session, as it does in the
        post.
    """

    scenario: str
    frame: pd.DataFrame
    truth: float
    strong: tuple[str, ...]
    valid: tuple[str, ...]
    invalid: tuple[str, ...]
    foldid: IntArray
    dependent: str = "Y"
    endog: str = "X"

    @property
    def instruments(self) -> tuple[str, ...]:
        """Every instrument, valid or not, in the order of the frame's columns."""
        return tuple(name for name in map(str, self.frame.columns) if name not in (self.dependent, self.endog))


class Scenario(Protocol):
    """A world with a known effect, from which data sets can be drawn."""

    @property
    def name(self) -> str:
        """Name, as in :data:`SCENARIOS`."""
        ...

    def draw(self, n: int = 1000, seed: int = 1, sample_kind: SampleKind = "Rounding") -> Draw:
        """Draw n rows after ``set.seed(seed)``."""
        ...


@dataclass(frozen=True, slots=True)
class OneInstrument:
    """The post's first world: a good, a weak and an invalid instrument for a confounded X.

    g, w, k ~ N(0, 1) are the good, the weak and the invalid one; C = 3k + e₁ is not observed;
    X = -10⁻⁶·round(w) + 2.5k + 2.5g + 0.5C + e₂; Y = truth·X + 1.1C + e₃.
    """

    name: str = "post-a"
    truth: float = 2.0

    def draw(self, n: int = 1000, seed: int = 1, sample_kind: SampleKind = "Rounding") -> Draw:
        """Draw a data set.

        Parameters
        ----------
        n : int, default 1000
            Rows, 10 or more.
        seed : int, default 1
            As for ``set.seed``; the defaults are those of the post.
        sample_kind : {"Rounding", "Rejection"}, default "Rounding"
            Concerns the folds only.

        Raises
        ------
        DataError
            If n is below 10, or the seed is none.
        """
        _check(n)
        random = RRandom(seed, sample_kind)
        weak, good, invalid = (random.rnorm(n) for _ in range(3))
        unobserved = 3 * invalid + random.rnorm(n)
        x = -0.000001 * np.round(weak) + 2.5 * invalid + 2.5 * good + 0.5 * unobserved + random.rnorm(n)
        y = self.truth * x + 1.1 * unobserved + random.rnorm(n)
        frame = pd.DataFrame({"Y": y, "X": x, "good": good, "weak": weak, "invalid": invalid})
        return Draw(self.name, frame, self.truth, ("good",), ("good", "weak"), ("invalid",), _folds(random, n))


@dataclass(frozen=True, slots=True)
class ManyTests:
    """The post's second world: many A/B tests, of which few move X much and some act on Y directly.

    Each test puts half of the rows (rounded down) into its treatment. Tests 1 … invalid act on Y with effects ±N(5, 3)
    and on X with N(1, 4); the next ``strong`` ones move X by ``strength``; the next ``moderate`` ones by ±N(0, 5); the
    others do nothing. C ~ N(0, 1) is not observed; X = M·b + 120C + e₁; Y = truth·X + 200C + direct effects + e₂.

    Parameters
    ----------
    name : str
    tests : int, default 500
        More than rows are allowed: that is how to get a design with p > n.
    invalid, strong, moderate : int, default 20, 5, 175
    strength : float, default 100
    truth : float, default 2

    Raises
    ------
    DataError
        If there are more invalid, strong and moderate tests than tests.
    """

    name: str = "post-b"
    tests: int = 500
    invalid: int = 20
    strong: int = 5
    moderate: int = 175
    strength: float = 100.0
    truth: float = 2.0

    def __post_init__(self) -> None:
        parts = (self.invalid, self.strong, self.moderate)
        if min(parts) < 0 or sum(parts) > self.tests:
            raise DataError(
                f"{self.tests} tests cannot hold {self.invalid} invalid, {self.strong} strong and "
                f"{self.moderate} moderate ones."
            )

    def draw(self, n: int = 1000, seed: int = 1, sample_kind: SampleKind = "Rounding") -> Draw:
        """Draw a data set.

        Parameters
        ----------
        n : int, default 1000
            Rows, 10 or more.
        seed : int, default 1
            As for ``set.seed``; the defaults are those of the post.
        sample_kind : {"Rounding", "Rejection"}, default "Rounding"
            Of the assignment to tests and of the folds. Use "Rejection" to compare with R 3.6 or later.

        Raises
        ------
        DataError
            If n is below 10, or the seed is none.
        """
        _check(n)
        random = RRandom(seed, sample_kind)
        treated = random.permutations((np.arange(n) < n // 2).astype(np.int8), self.tests)
        y, x = self._outcomes(random, treated.astype(np.float64))
        names = [f"M.{j + 1}" for j in range(self.tests)]
        frame = pd.DataFrame(treated, columns=names)
        frame.insert(0, "Y", y)
        frame.insert(1, "X", x)
        strong = tuple(names[self.invalid : self.invalid + self.strong])
        valid, invalid = tuple(names[self.invalid :]), tuple(names[: self.invalid])
        return Draw(self.name, frame, self.truth, strong, valid, invalid, _folds(random, n))

    def _outcomes(self, random: RRandom, treated: FloatArray) -> tuple[FloatArray, FloatArray]:
        n, p = treated.shape
        first, last = self.invalid, self.invalid + self.strong
        unobserved = random.rnorm(n)
        on_x = random.rnorm(p, 0, 5) * np.sign(random.rnorm(p))
        on_x[:first] = random.rnorm(self.invalid, 1, 4)
        on_x[first:last] = self.strength
        on_x[last + self.moderate :] = 0
        x = treated @ on_x + 120 * unobserved + random.rnorm(n)
        direct = random.rnorm(self.invalid, 5, 3) * np.sign(random.rnorm(self.invalid))
        y = self.truth * x + 200 * unobserved + random.rnorm(n) + treated[:, :first] @ direct
        return y, x


#: The post's two worlds by name.
SCENARIOS: Mapping[str, Scenario] = MappingProxyType({"post-a": OneInstrument(), "post-b": ManyTests()})


def _check(n: int) -> None:
    if n < _FOLDS:
        raise DataError(f"{n} rows were asked.", available=f"{_FOLDS} or more")


def _folds(random: RRandom, n: int) -> IntArray:
    return np.asarray(random.sample(np.resize(np.arange(1, _FOLDS + 1), n)), dtype=np.int64)
