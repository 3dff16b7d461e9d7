"""R's values of the notebook's numbers, from the same columns, by R's own functions."""

from __future__ import annotations

import numpy as np

from ivbridge.causal.r_side import ask_r
from ivbridge.workbook.printed import Numbers
from ivbridge.workbook.today import Steps

__all__ = ["WITHOUT_R", "values"]

#: Tables that R is not asked for, and why.
WITHOUT_R = {
    "psm": "R has no logit that stops early; with the converged score see the corrected value",
    "forest": "Debian's R has no causal forest",
    "top": "Debian's R has no causal forest",
    "counterfactual": "made of Python's forests",
}


def values(steps: Steps) -> Numbers:
    """Tables by ``lm`` and its methods; the residuals of the forests are handed over.

    Raises
    ------
    RNotAvailableError
        If R cannot be used here.
    """
    columns = [name for name in steps.frame.columns if name not in ("T_hat", "y_hat")]
    data = {name: steps.frame[name].to_numpy(dtype=np.float64) for name in columns}
    found = ask_r("workbook", data=data).value
    return {
        table: {row: {name: float(value[0]) for name, value in cells.items()} for row, cells in rows.items()}
        for table, rows in found.items()
    }
