"""Invented data for the tests of instrument selection, and R's own answers about them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd

#: Candidates whose coefficient in the first stage is not zero.
STRONG = ("z0", "z1", "z2", "z3", "z4")


def many(n: int = 400, p: int = 40, seed: int = 1, strength: float = 0.5) -> pd.DataFrame:
    """A confounded x, p candidates z0, … of which five matter, and y = 2x + …; folds 1 … 10 in `fold`."""
    random = np.random.default_rng(seed)
    z, unobserved = random.normal(size=(n, p)), random.normal(size=n)
    x = z[:, : len(STRONG)] @ (strength * np.array([1.0, 0.9, 0.8, 0.7, 0.6])) + unobserved + random.normal(size=n)
    y = 2 * x + 2 * unobserved + random.normal(size=n)
    columns = {"y": y, "x": x, **{f"z{j}": z[:, j] for j in range(p)}}
    return pd.DataFrame({**columns, "fold": random.permutation(np.resize(np.arange(1, 11), n))})


def confounded(n: int = 500, p: int = 60, q: int = 8, seed: int = 1) -> pd.DataFrame:
    """As :func:`many`, with controls k0, … that move everything: instruments m0, … depend on them, half of y does."""
    random = np.random.default_rng(seed)
    k = random.normal(size=(n, q))
    m = random.normal(size=(n, p)) + k @ (0.6 * random.normal(size=(q, p)))
    unobserved = random.normal(size=n)
    x = m[:, :6] @ np.array([0.6, 0.5, 0.4, 0.3, 0.2, 0.1]) + k @ random.normal(size=q) + unobserved
    x += random.normal(size=n)
    y = 2 * x + k @ (random.normal(size=q) * (np.arange(q) % 2)) + 2 * unobserved + random.normal(size=n)
    named = {f"k{j}": k[:, j] for j in range(q)} | {f"m{j}": m[:, j] for j in range(p)}
    return pd.DataFrame({"y": y, "x": x, **named, "fold": random.permutation(np.resize(np.arange(1, 11), n))})


SETUP = """
suppressPackageStartupMessages(library(glmnet))
folder <- commandArgs(TRUE)[1]
columns <- readLines(file.path(folder, "columns.txt"))
values <- readBin(file.path(folder, "values"), "double", n = 1e8)
d <- as.data.frame(matrix(values, ncol = length(columns), dimnames = list(NULL, columns)))
chosen <- function(fit, s) names(which(coef(fit, s = s)[-1, 1] != 0))
tell <- function(...) cat(sprintf('"%s": [%s]', c(...)[1], paste0('"', c(...)[-1], '"', collapse = ", ")), "\\n")
"""


def ask_r(data: pd.DataFrame, code: str, folder: Path) -> dict[str, list[str]]:
    """What `tell("name", texts)` says in R code that sees the data as `d`."""
    (folder / "columns.txt").write_text("\n".join(data.columns) + "\n")
    data.to_numpy(dtype=np.float64).T.tofile(folder / "values")
    (folder / "code.R").write_text(SETUP + code)
    done = subprocess.run(
        ["Rscript", "--vanilla", folder / "code.R", folder], capture_output=True, text=True, check=True
    )
    found: dict[str, list[str]] = json.loads("{" + ", ".join(done.stdout.strip().splitlines()) + "}")
    return {name: [text for text in texts if text] for name, texts in found.items()}
