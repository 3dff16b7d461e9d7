"""The scenarios on which R's and the native cross-validated LASSO are compared, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ivbridge.selection.spec import FoldColumn, Folds, LassoSpec

#: The eight of the printed parity table, easy and hard ones.
TABLE = ("a", "b", "c", "d", "e", "g", "h", "q")


@dataclass(frozen=True, eq=False)
class LassoCase:
    """One scenario: what is special about it, the question, and its data."""

    name: str
    title: str
    spec: LassoSpec
    data: pd.DataFrame


def lasso_case(name: str) -> LassoCase:
    """The scenario of that name; the same numbers every time.

    Parameters
    ----------
    name : str
        One of :data:`NAMES`.
    """
    title, draw = _SCENARIOS[name]
    spec, data = draw(np.random.default_rng(_NUMBERS[name]))
    return LassoCase(name, title, spec, data)


def _frame(x: np.ndarray, y: np.ndarray, **columns: np.ndarray) -> pd.DataFrame:
    names = [f"z{j}" for j in range(1, x.shape[1] + 1)]
    return pd.concat([pd.DataFrame({"y": y, **columns}), pd.DataFrame(x, columns=names)], axis=1)


def _asked(p: int, **options: Any) -> LassoSpec:
    return LassoSpec("y", tuple(f"z{j}" for j in range(1, p + 1)), **options)


def _signal(rng: np.random.Generator, x: np.ndarray, active: int = 6, noise: float = 1.0) -> np.ndarray:
    """y with `active` coefficients of falling size and alternating sign."""
    beta = np.zeros(x.shape[1])
    beta[:active] = 2.0 / np.arange(1, active + 1) * np.resize([1, -1], active)
    return x @ beta + noise * rng.normal(size=len(x))


def _equicorrelated(rng: np.random.Generator, n: int, p: int, rho: float) -> np.ndarray:
    return np.asarray(np.sqrt(rho) * rng.normal(size=(n, 1)) + np.sqrt(1 - rho) * rng.normal(size=(n, p)))


def _autoregressive(rng: np.random.Generator, n: int, p: int, rho: float) -> np.ndarray:
    x = rng.normal(size=(n, p))
    for j in range(1, p):
        x[:, j] = rho * x[:, j - 1] + np.sqrt(1 - rho**2) * x[:, j]
    return x


Drawn = tuple[LassoSpec, pd.DataFrame]


def _plain(n: int, p: int, rho: float = 0.0, **options: Any) -> Callable[[np.random.Generator], Drawn]:
    def draw(rng: np.random.Generator) -> Drawn:
        x = _equicorrelated(rng, n, p, rho)
        return _asked(p, **options), _frame(x, 1.5 + _signal(rng, x))

    return draw


def _weights(rng: np.random.Generator) -> Drawn:
    x = rng.normal(size=(300, 30))
    return _asked(30, weights="w"), _frame(x, _signal(rng, x), w=rng.uniform(0.2, 3, size=300))


def _zero_factors(rng: np.random.Generator) -> Drawn:
    x = rng.normal(size=(300, 30))
    return _asked(30, penalty_factor=(0.0,) * 3 + (1.0,) * 27), _frame(x, _signal(rng, x))


def _mixed_factors(rng: np.random.Generator) -> Drawn:
    x = _equicorrelated(rng, 200, 40, 0.6)
    factors = (0.0, 0.0, *np.resize([0.5, 1.0, 2.0], 38).tolist())
    return _asked(40, penalty_factor=factors), _frame(x, _signal(rng, x))


def _raw_scale(rng: np.random.Generator) -> Drawn:
    x = rng.normal(size=(250, 25)) * np.resize([1.0, 10.0, 0.1, 3.0], 25)
    return _asked(25, standardize=False), _frame(x, _signal(rng, x / x.std(axis=0)))


def _binomial(rng: np.random.Generator) -> Drawn:
    x = rng.normal(size=(400, 25))
    event = rng.uniform(size=400) < 1 / (1 + np.exp(-_signal(rng, x, 4, 0.0)))
    return _asked(25, family="binomial"), _frame(x, np.where(event, "yes", "no"))


def _unequal_folds(rng: np.random.Generator) -> Drawn:
    x = _equicorrelated(rng, 150, 60, 0.5)
    folds = rng.permutation(np.repeat(np.arange(1, 6), [60, 40, 25, 15, 10]))
    return _asked(60, folds=FoldColumn("fold")), _frame(x, _signal(rng, x), fold=folds)


def _everything(rng: np.random.Generator) -> Drawn:
    x = _equicorrelated(rng, 220, 60, 0.8) * np.resize([1.0, 0.05, 20.0], 60)
    folds = rng.permutation(np.repeat(np.arange(1, 7), [70, 50, 40, 30, 20, 10]))
    factors = (0.0, 0.0, *np.resize([0.5, 1.0, 3.0], 58).tolist())
    spec = _asked(60, weights="w", penalty_factor=factors, folds=FoldColumn("fold"))
    y = 40 * _signal(rng, x / x.std(axis=0), 8)
    return spec, _frame(x, y, w=rng.uniform(0.1, 4, size=220), fold=folds)


def _duplicates(rng: np.random.Generator) -> Drawn:
    x = rng.normal(size=(200, 20))
    x[:, 7], x[:, 12] = x[:, 1], x[:, 0]
    x[:, 15] = 3.0
    return _asked(20), _frame(x, _signal(rng, x))


def _nearly_exact(rng: np.random.Generator) -> Drawn:
    x = rng.normal(size=(200, 20))
    return _asked(20), _frame(x, _signal(rng, x, 6, 0.02))


def _rare(rng: np.random.Generator) -> Drawn:
    x = (rng.uniform(size=(400, 40)) < 0.02).astype(np.int8)
    return _asked(40), _frame(x, _signal(rng, x, 8, 0.5))


def _noise(rng: np.random.Generator) -> Drawn:
    return _asked(30), _frame(rng.normal(size=(200, 30)), rng.normal(size=200))


def _weighted_binomial(rng: np.random.Generator) -> Drawn:
    _, data = _binomial(rng)
    options: dict[str, Any] = {"weights": "w", "penalty_factor": (0.0, 0.0, *(1.0,) * 23), "family": "binomial"}
    return _asked(25, **options), data.assign(w=rng.uniform(0.2, 3, size=len(data)))


def _series(rng: np.random.Generator) -> Drawn:
    x = _autoregressive(rng, 300, 80, 0.95)
    return _asked(80), _frame(x, _signal(rng, x))


_SCENARIOS: dict[str, tuple[str, Callable[[np.random.Generator], Drawn]]] = {
    "a": ("n = 500, p = 20", _plain(500, 20)),
    "b": ("n = 200, p = 500", _plain(200, 500)),
    "c": ("correlation 0.95, n = 1000, p = 100", _plain(1000, 100, 0.95)),
    "d": ("weights", _weights),
    "e": ("three penalty factors of 0", _zero_factors),
    "e2": ("penalty factors 0, ½, 1 and 2, correlation 0.6", _mixed_factors),
    "f": ("standardize = FALSE", _raw_scale),
    "g": ("elastic net, alpha = 0.5", _plain(300, 40, 0.3, alpha=0.5)),
    "h": ("binomial", _binomial),
    "i": ("correlation 0.9, n = 150, p = 120", _plain(150, 120, 0.9)),
    "j": ("folds of unequal size", _unequal_folds),
    "q": ("weights, factors, correlation 0.8, unequal folds", _everything),
    "duplicates": ("two duplicate columns and a constant one", _duplicates),
    "devmax": ("nearly exact fit: the path stops early", _nearly_exact),
    "no intercept": ("intercept = FALSE", _plain(200, 20, 0.2, intercept=False)),
    "rare": ("dummies with 2 % ones", _rare),
    "noise": ("y unrelated to every candidate", _noise),
    "n ~ p": ("n = 105, p = 100: folds with n < p", _plain(105, 100)),
    "ungrouped": ("fewer than three rows a fold", _plain(60, 20, 0.2, folds=Folds(25, seed=4))),
    "weighted binomial": ("binomial with weights and factors of 0", _weighted_binomial),
    "ridge": ("alpha = 0", _plain(200, 30, 0.3, alpha=0.0)),
    "user lambda": ("penalties of the user's own", _plain(200, 20, 0.2, lambdas=(1.0, 0.5, 0.2, 0.1, 0.05, 0.01))),
    "AR": ("neighbours correlated 0.95", _series),
}

#: Every scenario, in the order of the tables.
NAMES = tuple(_SCENARIOS)
_NUMBERS = {name: 1000 + i for i, name in enumerate(NAMES)}
