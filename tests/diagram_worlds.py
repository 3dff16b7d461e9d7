"""Every small causal diagram, and linear worlds on it in which each claim of identification is a number.

In a linear world with random arrows the covariances are known exactly. Whether a set of nodes identifies an effect is
then whether a regression coefficient equals the sum over directed paths: no graph theory is needed to see it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations, product

import numpy as np

from ivbridge.diagrams import Diagram

NAMES = "abcdefg"
#: Rounding in 7×7 systems of well-scaled numbers stays near 1e-13; two unrelated random numbers are never this near.
SAME = 1e-8


@dataclass(frozen=True)
class Case:
    """A diagram and an effect in it; the numbers are places of nodes."""

    diagram: Diagram
    x: int
    y: int

    @property
    def names(self) -> tuple[str, str]:
        return self.diagram.nodes[self.x], self.diagram.nodes[self.y]

    @property
    def others(self) -> list[int]:
        """Observed nodes besides treatment and dependent variable."""
        ends, nodes = self.names, self.diagram.nodes
        return [nodes.index(name) for name in self.diagram.observed if name not in ends]

    def subsets(self) -> list[frozenset[int]]:
        return [frozenset(s) for size in range(len(self.others) + 1) for s in combinations(self.others, size)]

    def places(self, names: Sequence[str]) -> frozenset[int]:
        return frozenset(self.diagram.nodes.index(name) for name in names)

    def called(self, places: frozenset[int]) -> set[str]:
        return {self.diagram.nodes[place] for place in places}


def every_case(size: int) -> Iterator[Case]:
    """Every DAG on nodes in causal order, every effect, every set of unobserved nodes."""
    pairs = list(combinations(range(size), 2))
    for kept in product((False, True), repeat=len(pairs)):
        arrows = tuple((NAMES[i], NAMES[j]) for (i, j), there in zip(pairs, kept, strict=True) if there)
        for x, y in permutations(range(size), 2):
            rest = [NAMES[k] for k in range(size) if k not in (x, y)]
            for count in range(len(rest) + 1):
                for latent in combinations(rest, count):
                    yield Case(Diagram(tuple(NAMES[:size]), arrows, (), frozenset(latent)), x, y)


def some_cases(size: int, count: int, seed: int) -> Iterator[Case]:
    """Random DAGs, half of the arrows there and a third of the nodes unobserved; the treatment comes first."""
    draw = random.Random(seed)
    pairs = list(combinations(range(size), 2))
    for _ in range(count):
        arrows = tuple((NAMES[i], NAMES[j]) for i, j in pairs if draw.random() < 0.5)
        x, y = sorted(draw.sample(range(size), 2))
        latent = frozenset(NAMES[k] for k in range(size) if k not in (x, y) and draw.random() < 1 / 3)
        yield Case(Diagram(tuple(NAMES[:size]), arrows, (), latent), x, y)


@dataclass(frozen=True)
class World:
    """A linear world: covariances of all nodes, and the total effect of each node on each other."""

    covariance: np.ndarray
    effects: np.ndarray

    def partial(self, i: int, j: int, given: Sequence[int] | frozenset[int]) -> float:
        """The covariance of two nodes that is left once others are held fixed."""
        c, g = self.covariance, list(given)
        if not g:
            return float(c[i, j])
        return float(c[i, j] - c[i, g] @ np.linalg.solve(c[np.ix_(g, g)], c[g, j]))

    def correlation(self, i: int, j: int, given: Sequence[int] | frozenset[int]) -> float:
        both = self.partial(i, i, given) * self.partial(j, j, given)
        return self.partial(i, j, given) / float(np.sqrt(both))


def worlds(diagram: Diagram, count: int = 2, seed: int = 1) -> list[World]:
    """Worlds with random arrows of size 0.5 to 1.5: what holds in all of them by chance has probability zero."""
    rng, n = np.random.default_rng(seed), len(diagram.nodes)
    found = []
    for _ in range(count):
        arrows = np.zeros((n, n))
        for cause, effect in diagram.arrows:
            place = diagram.nodes.index(effect), diagram.nodes.index(cause)
            arrows[place] = rng.uniform(0.5, 1.5) * rng.choice([-1, 1])
        effects = np.linalg.inv(np.eye(n) - arrows)
        found.append(World(effects @ np.diag(rng.uniform(0.5, 1.5, n)) @ effects.T, effects))
    return found


def same(one: float, other: float) -> bool:
    return abs(one - other) < SAME * (1 + abs(other))


def adjusts(case: Case, given: frozenset[int], there: Sequence[World]) -> bool:
    """Whether the coefficient of the treatment, these nodes in the regression, is the effect in each world."""
    x, y = case.x, case.y
    return all(same(w.partial(x, y, given) / w.partial(x, x, given), w.effects[y, x]) for w in there)


def is_front_door(case: Case, through: frozenset[int], there: Sequence[World]) -> bool:
    """Whether effects on the nodes times effects of the nodes, the treatment held fixed, sum to the effect."""
    x, y, m = case.x, case.y, sorted(through)
    right = []
    for w in there:
        onto = w.covariance[x, m] / w.covariance[x, x]
        system = [x, *m]
        coefficients = np.linalg.solve(w.covariance[np.ix_(system, system)], w.covariance[system, y])[1:]
        right.append(same(float(onto @ coefficients), w.effects[y, x]))
    return all(right)


def is_instrument(case: Case, z: int, given: frozenset[int], there: Sequence[World]) -> bool:
    """Whether the node is related to the treatment and its Wald ratio is the effect in each world."""
    x, y = case.x, case.y
    if any(abs(w.correlation(z, x, given)) < SAME for w in there):
        return False
    return all(same(w.partial(z, y, given) / w.partial(z, x, given), w.effects[y, x]) for w in there)
