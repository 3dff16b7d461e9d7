"""R's own design matrices for a list of formulas, from one Rscript; shared by the tests of the design."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

SCRIPT = r"""
suppressPackageStartupMessages({library(Formula); library(splines)})
if (capabilities("ICU")) icuSetCollate(locale = "ASCII")  # sort texts by code point, as LC_ALL=C would
arguments <- commandArgs(TRUE)
folder <- arguments[1]
source(file.path(folder, "data.R"), encoding = "UTF-8")
formulas <- readLines(file.path(folder, "formulas.txt"), encoding = "UTF-8")
for (i in seq_along(formulas)) {
  out <- function(kind) file.path(folder, sprintf("%d.%s", i, kind))
  put <- function(kind, text) writeLines(enc2utf8(text), out(kind), useBytes = TRUE)
  tryCatch({
    # the steps of AER::ivreg up to its matrices
    formula <- as.Formula(as.formula(formulas[i]))
    frame <- model.frame(formula, data = d, drop.unused.levels = TRUE)
    y <- model.response(frame, "numeric")
    offset <- model.offset(frame)
    if (!is.null(offset)) y <- y - offset
    parts <- list(x = model.matrix(terms(formula, data = d, rhs = 1), frame),
                  z = model.matrix(delete.response(terms(formula, data = d, rhs = 2)), frame))
    put("rows", rownames(frame))
    writeBin(as.numeric(y), out("y"))
    for (part in names(parts)) {
      m <- parts[[part]]
      fit <- lm.fit(m, as.numeric(y))
      put(paste0(part, "names"), colnames(m))
      put(paste0(part, "aliased"), colnames(m)[is.na(fit$coefficients)])
      writeBin(as.numeric(m), out(part))
    }
    put("status", "ok")
  }, error = function(e) put("status", paste("error:", conditionMessage(e))))
}
"""


@dataclass(frozen=True)
class Part:
    """One of R's two model matrices."""

    names: list[str]
    values: np.ndarray
    aliased: list[str]


@dataclass(frozen=True)
class Answer:
    """What R made of one formula; `status` is "ok" or R's error message."""

    status: str
    rows: np.ndarray
    y: np.ndarray
    x: Part
    z: Part


def r_text(text: str) -> str:
    """Write a text as an R string literal."""
    return '"' + "".join(c if " " <= c <= "~" and c not in '"\\' else f"\\U{{{ord(c):x}}}" for c in text) + '"'


def r_column(column: pd.Series) -> str:
    """Write a column of a plain test frame as R code, without loss."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        levels = ", ".join(r_text(level) for level in column.cat.categories)
        codes = ", ".join("NA" if code < 0 else f"{code + 1}L" for code in column.cat.codes)
        kind = "ordered" if column.cat.ordered else "factor"
        return f"{kind}(c({levels})[c({codes})], levels = c({levels}))"
    values = []
    for value in column:
        if pd.isna(value):
            values.append("NA")
        elif isinstance(value, str):
            values.append(r_text(value))
        elif isinstance(value, bool | np.bool_):
            values.append("TRUE" if value else "FALSE")
        elif isinstance(value, int | np.integer):
            values.append(f"{int(value)}L")
        else:
            values.append(float(value).hex())
    return f"c({', '.join(values)})"


def ask_r(data: pd.DataFrame, formulas: list[str], folder: Path) -> list[Answer]:
    """Run R once; one answer a formula."""
    lines = [f"d[[{r_text(name)}]] <- {r_column(data[name])}" for name in data.columns]
    head = f"d <- data.frame(row.names = seq_len({len(data)}))\n"
    (folder / "data.R").write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
    (folder / "formulas.txt").write_text("\n".join(formulas) + "\n", encoding="utf-8")
    (folder / "oracle.R").write_text(SCRIPT, encoding="utf-8")
    subprocess.run(
        ["Rscript", "--vanilla", str(folder / "oracle.R"), str(folder)],
        check=True, env={"LC_ALL": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin"}, timeout=300,
    )  # fmt: skip
    return [_read(folder, i + 1) for i in range(len(formulas))]


def _read(folder: Path, number: int) -> Answer:
    def lines(kind: str) -> list[str]:
        text = (folder / f"{number}.{kind}").read_text(encoding="utf-8")
        return text.split("\n")[:-1]

    status = "\n".join(lines("status"))
    empty = Part([], np.zeros((0, 0)), [])
    if status != "ok":
        return Answer(status, np.zeros(0), np.zeros(0), empty, empty)
    y = np.fromfile(folder / f"{number}.y")
    parts = []
    for part in "xz":
        names = lines(part + "names")
        values = np.fromfile(folder / f"{number}.{part}").reshape((len(y), len(names)), order="F")
        parts.append(Part(names, values, lines(part + "aliased")))
    return Answer(status, np.array([int(r) - 1 for r in lines("rows")]), y, *parts)
