"""Rectangles and text that people know: broom's tidy, glance and augment, and the layout of ``summary.ivreg``.

Column names are broom's; ``glossary.toml`` says what each one means.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ivbridge.records import Coefficients, FloatArray, NotApplicable, Test

__all__ = ["coefficient_lines", "format_p", "quantiles_line", "stars", "test_lines", "tidy_frame", "tidy_tests"]

SIGNIF_LEGEND = "Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1"


def tidy_frame(coefs: Coefficients, *, conf_int: bool = True) -> pd.DataFrame:
    """One row a term: ``term, estimate, std.error, statistic, p.value[, conf.low, conf.high]``."""
    columns: dict[str, object] = {
        "term": list(coefs.terms),
        "estimate": coefs.estimate,
        "std.error": coefs.std_error,
        "statistic": coefs.statistic,
        "p.value": coefs.p_value,
    }
    if conf_int:
        columns |= {"conf.low": coefs.conf_low, "conf.high": coefs.conf_high}
    return pd.DataFrame(columns)


def tidy_tests(tests: Mapping[str, Test | NotApplicable]) -> pd.DataFrame:
    """One row a test: ``test, df1, df2, statistic, p.value, note``; a test that does not apply keeps its reason."""
    rows = []
    for key, test in tests.items():
        if isinstance(test, Test):
            rows.append((key, test.name, test.df1, test.df2, test.statistic, test.p_value, ""))
        else:
            rows.append((key, test.name, math.nan, math.nan, math.nan, math.nan, test.reason))
    return pd.DataFrame(rows, columns=["test", "name", "df1", "df2", "statistic", "p.value", "note"])


def stars(p: float) -> str:
    """R's significance marks."""
    for limit, mark in ((0.001, "***"), (0.01, "**"), (0.05, "*"), (0.1, ".")):
        if p <= limit:
            return mark
    return ""


def format_p(p: float, *, digits: int = 3) -> str:
    """A p-value as R prints it: ``<2e-16`` below machine precision, ``NA`` where missing."""
    if math.isnan(p):
        return "NA"
    return "<2e-16" if p < 2.2e-16 else f"{p:.{digits}g}"


def _signif(values: FloatArray, digits: int) -> list[str]:
    """Numbers with a common number of decimals, at least ``digits`` significant for the smallest of them."""
    finite = np.abs(values[np.isfinite(values) & (values != 0)])
    if finite.size == 0:
        return [f"{value:g}" for value in values]
    low, high = math.floor(math.log10(finite.min())), math.floor(math.log10(finite.max()))
    if high - low > 7 or high > 9 or high < -5:
        return [f"{value:.{digits - 1}e}" for value in values]
    decimals = max(0, min(digits - 1 - low, digits + 3))
    return [f"{value:.{decimals}f}" for value in values]


def _align(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of equal width: the first and the last one flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = []
    for row in (header, *rows):
        inner = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)][1:-1]
        lines.append(" ".join([row[0].ljust(widths[0]), *inner, row[-1]]).rstrip())
    return lines


def coefficient_lines(coefs: Coefficients, letter: str) -> list[str]:
    """The coefficient block; ``letter`` is ``t`` or ``z``."""
    columns = [_signif(coefs.estimate, 5), _signif(coefs.std_error, 5), [f"{v:.3f}" for v in coefs.statistic]]
    columns += [[format_p(p) for p in coefs.p_value], [stars(p) for p in coefs.p_value]]
    header = ["", "Estimate", "Std. Error", f"{letter} value", f"Pr(>|{letter}|)", ""]
    return _align(header, [[term, *cells] for term, *cells in zip(coefs.terms, *columns, strict=True)])


def test_lines(tests: Mapping[str, Test | NotApplicable]) -> list[str]:
    """The diagnostics block; a test that does not apply shows its reason."""
    rows, reasons = [], []
    for test in tests.values():
        if isinstance(test, Test):
            df2 = "NA" if math.isinf(test.df2) else f"{test.df2:g}"
            p = test.p_value
            rows.append([test.name, f"{test.df1:g}", df2, f"{test.statistic:.3f}", format_p(p), stars(p)])
        else:
            rows.append([test.name, "NA", "NA", "NA", "NA", ""])
            reasons.append(f"{test.name}: not applicable, {test.reason}")
    return [*_align(["", "df1", "df2", "statistic", "p-value", ""], rows), *reasons]


def quantiles_line(residuals: FloatArray) -> list[str]:
    """The five-number line of residuals; says so where none were kept."""
    if not len(residuals):
        return ["not kept"]
    names = ["Min", "1Q", "Median", "3Q", "Max"]
    cells = _signif(np.quantile(residuals, [0, 0.25, 0.5, 0.75, 1]), 5)
    return [" ".join(cell.rjust(max(len(n), len(c)) + 1) for cell, n, c in zip(row, names, cells, strict=True))
            for row in (names, cells)]  # fmt: skip
