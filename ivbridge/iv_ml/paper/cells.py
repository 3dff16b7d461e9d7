"""What the paper printed, cell by cell.

Tables 1 to 3 and the accuracies beside Table 3 are in the paper; of Tables 4 and 5, which are in its supplement, the
cells that are known here. Figure 4 has no printed numbers: its values are read off the drawing.

Source: Wu et al. (2023), Learning instrumental variable from data fusion for treatment effect estimation, AAAI, and its
supplement.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

__all__ = ["CELLS", "FIGURE_4", "REPLICATIONS", "Cell", "cells"]

#: Replications behind each printed mean and standard deviation.
REPLICATIONS = 10

#: Read off Figure 4 of the paper (and 7 of the supplement), for Linear-2-5: MMD with 2, 3, 5 and 10 groups.
FIGURE_4 = {"GIV_EM": (0.0, 1.9, 2.7, 3.4), "GIV_KM": (1.8, 2.2, 3.4, 4.7)}

_TABLE_1 = """
NoneIV  0.33(0.04) 1.90(1.25) 0.35(0.07) 1.92(0.48) 0.37(0.01) 0.31(0.03) 1.33(0.14) 0.33(0.07) 0.21(0.05)
UAS     0.33(0.04) 2.30(1.46) 0.35(0.07) 0.98(0.34) 0.37(0.02) 0.31(0.03) 1.30(0.10) 0.32(0.04) 0.21(0.05)
WAS     0.31(0.04) 1.59(0.92) 0.36(0.05) 2.16(0.46) 0.37(0.02) 0.34(0.03) 1.29(0.12) 0.32(0.06) 0.23(0.04)
ModeIV  0.33(0.04) 2.25(1.30) 0.35(0.08) 1.90(0.56) 0.37(0.02) 0.31(0.02) 1.29(0.12) 0.31(0.07) 0.20(0.04)
AutoIV  >100       2.10(1.01) 0.35(0.07) 0.79(0.32) 0.37(0.02) 0.31(0.03) 1.29(0.11) 0.31(0.09) 0.21(0.05)
GIV_KM  0.27(0.13) 0.65(0.36) 0.22(0.04) 1.47(0.26) 0.28(0.01) 0.23(0.02) 1.25(0.11) 0.14(0.01) 0.12(0.02)
GIV_KM* 0.19(0.09) 0.37(0.22) 0.21(0.03) 1.60(0.36) 0.26(0.04) 0.22(0.03) 1.24(0.10) 0.14(0.04) 0.10(0.01)
GIV_EM  0.05(0.00) 0.12(0.01) 0.11(0.02) 1.99(0.41) 0.08(0.00) 0.12(0.01) 0.79(0.08) 0.08(0.01) 0.06(0.00)
TrueIV  0.05(0.00) 0.08(0.01) 0.11(0.02) 1.93(0.39) 0.08(0.00) 0.11(0.01) 0.79(0.06) 0.06(0.01) 0.06(0.01)
"""
_COLUMNS_1 = ("poly2sls", "nn2sls", "kernel_iv", "dual_iv", "deep_iv", "one_siv", "dfiv", "deep_gmm", "agmm")

_TABLE_2 = """
EM      86.1 82.9 87.2 89.4 85.2
Meta-EM 86.1 92.7 90.3 94.7 92.3
Fun-EM  86.1 98.1 96.3 98.4 96.5
"""
_WORLDS_2 = ("Linear-2-5", "Poly-2-5", "Sin-2-5", "Sigmoid-2-5", "Abs-2-5")

_TABLE_3 = """
NoneIV 0.24(0.13)  0.46(0.24) 0.58(0.24) 0.14(0.06) 0.18(0.04) 0.35(0.20) 0.41(0.16) 0.13(0.06)
UAS    0.24(0.133) 0.46(0.24) 0.57(0.24) 0.14(0.06) 0.18(0.04) 0.35(0.20) 0.40(0.16) 0.13(0.06)
WAS    0.24(0.13)  0.45(0.24) 0.57(0.23) 0.14(0.06) 0.18(0.04) 0.37(0.21) 0.42(0.16) 0.16(0.08)
ModeIV 0.24(0.13)  0.46(0.25) 0.57(0.24) 0.15(0.06) 0.18(0.04) 0.36(0.20) 0.41(0.15) 0.13(0.07)
AutoIV >100        0.46(0.24) 0.58(0.25) 0.14(0.07) 0.18(0.04) 0.35(0.20) 0.41(0.18) 0.13(0.06)
GIV_KM 0.05(0.03)  0.35(0.18) 0.50(0.20) 0.11(0.05) 0.09(0.04) 0.33(0.20) 0.38(0.16) 0.12(0.05)
GIV_EM 0.03(0.01)  0.20(0.17) 0.48(0.23) 0.09(0.03) 0.05(0.01) 0.31(0.21) 0.34(0.18) 0.08(0.04)
TrueIV 0.03(0.01)  0.15(0.06) 0.46(0.17) 0.09(0.03) 0.03(0.01) 0.14(0.07) 0.14(0.05) 0.05(0.02)
"""
_COLUMNS_3 = ("poly2sls", "kernel_iv", "deep_iv", "agmm")
#: Accuracies in per cent, in the text beside Table 3.
_TEXT_3 = (("IHDP", "GIV_EM", "93.47"), ("IHDP", "GIV_KM", "64.29"), ("PM-CMR", "GIV_EM", "82.62"),
           ("PM-CMR", "GIV_KM", "46.09"))  # fmt: skip

#: World, instrument, mean (standard deviation) of Poly2SLS.
_TABLE_4 = (
    ("Linear-2-5", "NoneIV", "0.203"), ("Linear-2-5", "TrueIV", "0.044"), ("Linear-3-5", "NoneIV", "0.312"),
    ("Linear-3-5", "GIV_EM", "0.045"), ("Linear-3-5", "TrueIV", "0.044"), ("Linear-5-5", "NoneIV", "0.474"),
    ("Linear-5-5", "TrueIV", "0.130(0.144)"), ("Linear-3-10", "NoneIV", "0.292"), ("Linear-3-10", "GIV_EM", "0.062"),
    ("Linear-3-10", "TrueIV", "0.032"),
)  # fmt: skip

#: Rows for IHDP with Poly2SLS and KernelIV, then PM-CMR with the same.
_TABLE_5 = """
NoneIV 0.238 0.456 0.181 0.352
GIV_KM 0.078 0.354 0.088 0.329
GIV_EM 0.034 0.202 0.048 0.308
TrueIV 0.033 0.151 0.028 0.140
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """One printed number.

    Attributes
    ----------
    table : str
        "1" to "5".
    world, instrument, method : str
        World and instrument as printed; method as in :data:`ivbridge.iv_ml.METHODS`, empty for an accuracy.
    quantity : {"mse", "accuracy"}
        Mean squared error on the test sample; accuracy of the groups in per cent.
    text : str
        As printed.
    """

    table: str
    world: str
    instrument: str
    method: str
    quantity: str
    text: str

    @property
    def mean(self) -> float:
        """The printed mean; infinite where only a bound is printed."""
        return math.inf if self.text.startswith(">") else float(self.text.partition("(")[0])

    @property
    def sd(self) -> float:
        """The printed standard deviation over replications; NaN where there is none."""
        found = re.search(r"\((.*)\)", self.text)
        return float(found.group(1)) if found else math.nan

    @property
    def half_unit(self) -> float:
        """What rounding may have moved the mean by."""
        decimals = len(self.text.partition("(")[0].partition(".")[2])
        return 0.5 * 10.0**-decimals

    @property
    def source(self) -> str:
        """Where it is printed."""
        if self.table in ("4", "5"):
            return f"supplement, Table {self.table}"
        return "paper, text beside Table 3" if self.table == "3" and not self.method else f"paper, Table {self.table}"


def _block(table: str, text: str, columns: tuple[tuple[str, str], ...], quantity: str = "mse") -> list[Cell]:
    """Rows of instruments below columns of (world, method)."""
    rows = [line.split() for line in text.strip().splitlines()]
    return [
        Cell(table, world, instrument, method, quantity, value)
        for instrument, *values in rows
        for (world, method), value in zip(columns, values, strict=True)
    ]


def _semisynthetic(methods: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((world, method) for world in ("IHDP", "PM-CMR") for method in methods)


CELLS: tuple[Cell, ...] = (
    *_block("1", _TABLE_1, tuple(("Linear-3-3", method) for method in _COLUMNS_1)),
    *_block("2", _TABLE_2, tuple((world, "") for world in _WORLDS_2), "accuracy"),
    *_block("3", _TABLE_3, _semisynthetic(_COLUMNS_3)),
    *(Cell("3", world, instrument, "", "accuracy", text) for world, instrument, text in _TEXT_3),
    *(Cell("4", world, instrument, "poly2sls", "mse", text) for world, instrument, text in _TABLE_4),
    *_block("5", _TABLE_5, _semisynthetic(("poly2sls", "kernel_iv"))),
)


def cells(table: str) -> tuple[Cell, ...]:
    """The printed numbers of one table, "1" to "5"."""
    return tuple(cell for cell in CELLS if cell.table == table)
