"""What a notebook printed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ivbridge.audit.nodes import Place
from ivbridge.audit.view import Hit, View

__all__ = ["convergence", "perfect_fit", "scale"]

_FAILED = re.compile(
    r"ConvergenceWarning|[Ff]ailed to converge|did not converge|Maximum Likelihood optimization "
    r"failed|Iteration limit reached|TOTAL NO\. of ITERATIONS REACHED LIMIT"
)
_FIT = re.compile(r"^.*?R-squared(?: \(uncentered\))?:\s+(1\.000|0\.999\d?)\s*$", re.MULTILINE)
_CONDITION = re.compile(r"Cond\. No\.\s+([\d.]+(?:e[+-]?\d+)?)")
_ROW = re.compile(r"^(\w[\w.:\[\]]*)\s+-?[\d.]+(?:e[+-]?\d+)?\s+([\d.]+(?:e[+-]?\d+)?)\s+-?[\d.]+", re.MULTILINE)


def convergence(view: View) -> Iterator[Hit]:
    """A warning of a solver among the outputs."""
    for i, cell in enumerate(view.source.cells):
        if found := _FAILED.search(cell.output):
            yield Hit("convergence-warning", Place(i, cell.first + 1), f"The cell printed: {found.group()}.")


def perfect_fit(view: View) -> Iterator[Hit]:
    """R-squared of 1 in a printed table."""
    for i, cell in enumerate(view.source.cells):
        if found := _FIT.search(cell.output):
            yield Hit(
                "r-squared-one",
                Place(i, cell.first + 1),
                f"The cell printed an R-squared of {found.group(1)}.",
                {"R-squared": float(found.group(1))},
            )


def scale(view: View) -> Iterator[Hit]:
    """A large condition number beside standard errors that differ by orders of magnitude."""
    for i, cell in enumerate(view.source.cells):
        found = _CONDITION.search(cell.output)
        errors = [float(error) for _, error in _ROW.findall(cell.output) if float(error) > 0]
        if found and float(found.group(1)) > 1e3 and errors and max(errors) / min(errors) > 1e3:
            yield Hit(
                "columns-of-unequal-scale",
                Place(i, cell.first + 1),
                f"Cond. No. {found.group(1)}; the largest standard "
                f"error is {max(errors) / min(errors):.1g} times the smallest: columns differ in scale.",
                {"condition number": float(found.group(1))},
            )
