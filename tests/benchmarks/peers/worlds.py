"""The data that every package gets, and the sizes at which they are compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

#: What is asked: coefficients with HC1 or clustered standard errors, or these and the tests of the model.
HC1, CLUSTERED, DIAGNOSTICS = "HC1", "clustered", "diagnostics"


@dataclass(frozen=True, slots=True)
class Size:
    """n rows; k regressors and `instruments`, the constant counted in both; one regressor is endogenous.

    `calls` are made one after the other where it is more than one, and their median counts; `peers` are all if empty.
    """

    name: str
    n: int
    k: int
    instruments: int
    tasks: tuple[str, ...] = (HC1, CLUSTERED, DIAGNOSTICS)
    calls: int = 1
    peers: tuple[str, ...] = ()

    @property
    def exog(self) -> list[str]:
        """Names of the exogenous regressors but the constant."""
        return [f"w{j}" for j in range(self.k - 2)]

    @property
    def excluded(self) -> list[str]:
        """Names of the instruments that are no regressors."""
        return [f"z{j}" for j in range(self.instruments - self.k + 1)]

    @property
    def columns(self) -> list[str]:
        """Names of the float columns, in their order in the data."""
        return [*self.exog, *self.excluded, "x", "y"]

    @property
    def groups(self) -> int:
        """Clusters, in no order."""
        return max(2, min(1000, self.n // 20))

    @property
    def formula(self) -> str:
        """As R's ivreg() takes it."""
        shared = "".join(f"{name} + " for name in self.exog)
        return f"y ~ {shared}x | {shared}{' + '.join(self.excluded)}"

    @property
    def megabytes(self) -> float:
        """Of the float columns."""
        return 8 * self.n * len(self.columns) / 1e6


LOOP = Size("1e3 loop", 1_000, 3, 4, (HC1,), 30, ("ivbridge fast", "limit", "linearmodels"))
#: The comparison; `growth` has one shape at all numbers of rows.
SIZES = (
    Size("1e3", 1_000, 3, 4),
    LOOP,
    Size("1e5", 100_000, 10, 15),
    Size("1e6", 1_000_000, 10, 15),
    Size("many", 100_000, 5, 200),
    Size("growth 1e3", 1_000, 5, 6, (HC1,)),
    Size("growth 1e4", 10_000, 5, 6, (HC1,)),
    Size("growth 1e5", 100_000, 5, 6, (HC1,)),
    Size("growth 1e6", 1_000_000, 5, 6, (HC1,)),
    Size("1e7", 10_000_000, 5, 6, (HC1,)),
    Size("1e7", 10_000_000, 5, 6, (CLUSTERED, DIAGNOSTICS)),  # in processes of its own, so that memory is known of both
)
#: The same, small: for tests of the harness.
TINY = (
    Size("1e3", 1_000, 3, 4),
    LOOP,
    Size("1e5", 4_000, 10, 15),
    Size("1e6", 6_000, 10, 15),
    Size("many", 4_000, 5, 40),
    Size("growth 1e3", 1_000, 5, 6, (HC1,)),
    Size("growth 1e4", 2_000, 5, 6, (HC1,)),
    Size("growth 1e5", 4_000, 5, 6, (HC1,)),
    Size("growth 1e6", 6_000, 5, 6, (HC1,)),
    Size("1e7", 10_000, 5, 6, (HC1,)),
    Size("1e7", 10_000, 5, 6, (CLUSTERED, DIAGNOSTICS)),
)


def write(size: Size, folder: Path, seed: int = 1) -> None:
    """Draw the columns and write them one after the other as doubles to `columns`, clusters as int32 to `g`."""
    random = np.random.default_rng(seed)
    u = random.standard_normal(size.n)
    x, y = u + random.standard_normal(size.n), 1 + u
    with (folder / "columns").open("wb") as file:
        for _ in size.exog:
            column = random.standard_normal(size.n)
            x += 0.1 * column
            y += column
            file.write(column.tobytes())
        for _ in size.excluded:
            column = random.standard_normal(size.n)
            x += 0.3 * column
            file.write(column.tobytes())
        y += 0.5 * x
        file.write(x.tobytes())
        file.write(y.tobytes())
    random.integers(0, size.groups, size.n, dtype=np.int32).tofile(folder / "g")


def read(size: Size, folder: Path) -> pd.DataFrame:
    """The columns as one data frame in this process's memory, clusters in `g`."""
    values = np.fromfile(folder / "columns").reshape(len(size.columns), size.n)
    frame = pd.DataFrame(values.T, columns=size.columns, copy=False)
    frame["g"] = np.fromfile(folder / "g", dtype=np.int32).astype(np.int64)
    return frame
