"""How far two groupings of the same rows agree, whatever the groups are called."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from ivbridge.errors import DataError
from ivbridge.records import IntArray

__all__ = ["agreement"]


def agreement(labels: IntArray, others: IntArray) -> float:
    """The share of rows with the same group, under the renaming that makes it largest (the Hungarian method).

    With the true labels as ``others`` this is the accuracy of the paper's Table 2 and Figure 5. The two may have
    different numbers of groups; groups without a partner count as wrong.

    Raises
    ------
    DataError
        If the lengths differ or there is no row.
    """
    if len(labels) != len(others) or not len(labels):
        raise DataError(f"{len(labels)} labels came with {len(others)}.", available="two labels for each of some rows")
    counts = np.zeros((int(labels.max()) + 1, int(others.max()) + 1))
    np.add.at(counts, (labels, others), 1)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return float(counts[rows, columns].sum() / len(labels))
