"""How treatment and outcome arise in the data-fusion worlds: Eqs. 13 to 16 of the paper, in two readings.

The released program does not do what the paper says. Both are here, named ``"code"`` and ``"paper"``; the published
tables are those of the code.

================== ======================================== ==========================================
..                 ``"code"``                               ``"paper"``
================== ======================================== ==========================================
weights w          one table for all replications, first    U(-1, 1), drawn anew for each replication
                   column .8, .2, -.8, -.2, -1
intercepts         0, 1, 0, -.2, -.8 by source              none
linear             f(x) = x                                 f(x) = 2x
outcome            2·mean(X) - |X₁X₂| - sin(10 + X₃²)       mean(X) + |X₁X₂| - sin(10 + X₂X₃)
================== ======================================== ==========================================

Source: Wu et al. (2023), Learning instrumental variable from data fusion for treatment effect estimation, AAAI, Eqs.
13-16 and the program released with it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import cache
from typing import Literal

import numpy as np

from ivbridge.records import FloatArray, IntArray

__all__ = ["SHAPES", "Reading", "Shape", "moved", "outcome", "treatment", "weights"]

Reading = Literal["code", "paper"]
Shape = Literal["linear", "poly", "sin", "sigmoid", "abs"]

#: f_X of Eq. 14.
SHAPES: Mapping[Shape, Callable[[FloatArray], FloatArray]] = {
    "linear": lambda x: x,
    "poly": lambda x: x**2,
    "sin": lambda x: np.asarray(np.sin(x)),
    "sigmoid": lambda x: np.asarray(1 / (1 + np.exp(-x))),
    "abs": lambda x: np.asarray(np.abs(x)),
}

#: Effect of the unobserved confounder on the treatment (f_z of Eq. 14) and on the outcome (Eq. 16).
CONFOUNDING_T, CONFOUNDING_Y = 0.2, 2.0
_INTERCEPTS = (0.0, 1.0, 0.0, -0.2, -0.8)
_FIRST = (0.8, 0.2, -0.8, -0.2, -1.0)
_SOURCES, _COVARIATES = 5, 10


@cache
def _table() -> FloatArray:
    """The code's weights, (5 sources, 10 covariates): tenths from -1 to .9, drawn once."""
    draw = random.Random(667)
    tenths = [i / 10 for i in range(-10, 10)]
    found = np.array([draw.choices(tenths, k=_COVARIATES) for _ in range(_SOURCES)])
    found[:, 0] = _FIRST
    found.setflags(write=False)
    return found


def weights(groups: int, covariates: int, reading: Reading, random: np.random.Generator) -> FloatArray:
    """w of Eq. 14, (groups, covariates)."""
    if reading == "code":
        return _table()[:groups, :covariates]
    return random.uniform(-1, 1, (groups, covariates))


def moved(x: FloatArray, shape: Shape, reading: Reading) -> FloatArray:
    """X + f(X) of Eq. 14, (n, m): what a source's weights are applied to."""
    return x if shape == "linear" and reading == "code" else x + SHAPES[shape](x)


def treatment(x: FloatArray, labels: IntArray, w: FloatArray, shape: Shape, reading: Reading) -> FloatArray:
    """E[T | X, Z] of Eq. 14, (n,), without the confounder's part."""
    found: FloatArray = np.einsum("ij,ij->i", moved(x, shape, reading), w[labels])
    return found + np.array(_INTERCEPTS)[labels] if reading == "code" else found


def outcome(t: FloatArray, x: FloatArray, reading: Reading) -> FloatArray:
    """g(t, x) of Eq. 16, (n,): the outcome without ε and noise."""
    effect = -1.5 * t + 0.9 * t**2
    if reading == "code":
        return np.asarray(effect + 2 * x.mean(axis=1) - np.abs(x[:, 0] * x[:, 1]) - np.sin(10 + x[:, 2] ** 2))
    return np.asarray(effect + x.mean(axis=1) + np.abs(x[:, 0] * x[:, 1]) - np.sin(10 + x[:, 1] * x[:, 2]))
