"""Turn plain arrays into one frame with distinct, usable column names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ivbridge.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Array", "assemble"]

Array = Any  #: whatever ``numpy.asarray`` accepts, or a pandas Series or DataFrame
_LETTERS = {"dependent": "y", "exog": "w", "endog": "x", "instruments": "z", "weights": "weights"}


def assemble(
    dependent: Array, groups: Sequence[Array | None], weights: Array | None
) -> tuple[pd.DataFrame, dict[str, list[str]], bool]:
    """Put arrays side by side.

    Parameters
    ----------
    dependent : array-like, shape (n,)
    groups : sequence of three array-likes or None
        Exogenous, endogenous, instruments; shape (n,) or (n, k) each.
    weights : array-like, shape (n,), optional

    Returns
    -------
    frame : DataFrame
    names : dict
        Role to column names.
    intercept : bool
        Whether the exogenous columns held a column of ones, which is left out of the frame.

    Raises
    ------
    DataError
        If shapes, indexes or names do not fit together.
    """
    import pandas as pd

    arrays = dict(zip(_LETTERS, (dependent, *groups, weights), strict=True))
    blocks = {role: _block(role, array) for role, array in arrays.items() if array is not None}
    for role in ("dependent", "weights"):
        if role in blocks and blocks[role].shape[1] != 1:
            raise DataError(f"{role} has {blocks[role].shape[1]} columns; it must have one.")
    _check_rows(blocks, arrays)
    intercept = False
    if "exog" in blocks:
        ones = _ones(blocks["exog"])
        intercept = any(ones)
        first = ones.index(True) if intercept else -1
        blocks["exog"] = blocks["exog"].iloc[:, [j for j in range(len(ones)) if j != first]]
    labelled = any(isinstance(array, pd.Series | pd.DataFrame) for array in arrays.values())
    frame = pd.concat([b.reset_index(drop=True) if labelled else b for b in blocks.values()], axis=1)
    if twice := sorted(set(frame.columns[frame.columns.duplicated()])):
        raise DataError(f"Two columns are called {twice[0]!r}.", do="rename one, or pass arrays without names.")
    return frame, {role: list(blocks[role].columns) if role in blocks else [] for role in _LETTERS}, intercept


def _ones(block: pd.DataFrame) -> list[bool]:
    """Which columns are numbers that are all one."""
    import numpy as np

    numbers = (c.to_numpy(float, na_value=np.nan) if c.dtype.kind in "iuf" else None for _, c in block.items())
    return [column is not None and bool((column == 1).all()) for column in numbers]


def _block(role: str, array: Array) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    letter = _LETTERS[role]
    if isinstance(array, pd.Series):
        return array.to_frame(letter if array.name is None else str(array.name))
    if isinstance(array, pd.DataFrame):
        return array.rename(columns=str)
    values = np.asarray(array)
    if values.ndim not in (1, 2):
        raise DataError(f"{role} has {values.ndim} dimensions; arrays of one or two are expected.")
    columns = values.reshape(len(values), -1)
    count = columns.shape[1]
    single = count == 1 and role in ("dependent", "weights")
    return pd.DataFrame(columns, columns=[letter] if single else [f"{letter}{j + 1}" for j in range(count)])


def _check_rows(blocks: dict[str, pd.DataFrame], arrays: dict[str, Array | None]) -> None:
    import pandas as pd

    lengths = {role: len(block) for role, block in blocks.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"The arrays have different lengths: {lengths}.")
    labelled = {role: b.index for role, b in blocks.items() if isinstance(arrays[role], pd.Series | pd.DataFrame)}
    first = next(iter(labelled.values()), None)
    for role, index in labelled.items():
        if first is not None and not index.equals(first):
            raise DataError(f"The index of {role} differs from that of {next(iter(labelled))}.", do="align them first.")
