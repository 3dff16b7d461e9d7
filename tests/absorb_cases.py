"""Graphs and panels for the tests of absorbed fixed effects."""

from __future__ import annotations

import numpy as np
import pandas as pd

Pair = tuple[np.ndarray, np.ndarray]


def rectangles(first: int, second: int, copies: int) -> tuple[Pair, np.ndarray]:
    """A ring of factors and a column that is orthogonal to all their dummies, in whole numbers.

    Levels 2b and 2b + 1 of the first factor meet levels b and b + 1 of the second one, each pair `copies` times; signs
    alternate around every such rectangle, so that they add up to zero in every level.
    """
    base = np.arange(first // 2) % second
    corners = [(0, 0, 1), (0, 1, -1), (1, 0, -1), (1, 1, 1)]
    rows = [(2 * np.arange(first // 2) + i, (base + j) % second, np.full(first // 2, s)) for i, j, s in corners]
    f, g, sign = (np.concatenate([np.tile(row[k], copies) for row in rows]) for k in range(3))
    order = np.argsort(np.random.default_rng(0).random(len(f)))
    return (f[order], g[order]), sign[order].astype(float)


def panel(seed: int = 3, n: int = 600) -> pd.DataFrame:
    """Two factors whose graph has two components, firms within clusters c, one row alone in its firm, missing values.

    Columns: y, x endogenous with instruments z and v, w; firm, year, c, text; weights wt.
    """
    random = np.random.default_rng(seed)
    firm = random.integers(0, 60, n)
    year = random.integers(2001, 2010, n)
    year[firm >= 50] = random.integers(2010, 2013, int((firm >= 50).sum()))
    firm[-1], year[-1] = 99, 2004
    w, z, v, u = random.normal(size=(4, n))
    x = z + 0.5 * v + u + firm * 0.03
    y = 2 * x + w + u + random.normal(size=n) + firm * 0.1 - (year - 2005)
    frame = pd.DataFrame({
        "y": y, "x": x, "w": w, "z": z, "v": v, "firm": firm, "year": year, "c": firm // 5,
        "text": [f"t{number}" for number in random.integers(0, 5, n)], "wt": random.uniform(0.5, 2, n),
    })  # fmt: skip
    frame["of_firm"] = firm * 1.5  # which effects of firms absorb
    frame.loc[5, "y"] = frame.loc[7, "w"] = np.nan
    return frame
