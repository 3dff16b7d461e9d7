"""The data of a reference as a csv that R reads to the same bits (``r_scripts/replay.R``), and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ivbridge.design import Design
from ivbridge.errors import DataError
from ivbridge.place import replace_file
from ivbridge.references_data import ColumnFacts, DataFacts

__all__ = ["beside", "read_exported", "write_exported"]


def beside(path: Path) -> Path:
    """Where the data of a reference file stand: ``demand.csv`` for ``demand.json``."""
    return path.with_suffix(".csv")


def write_exported(path: Path, facts: DataFacts, design: Design) -> Path:
    """Write the columns that a reference is about; its path.

    Numbers have the digits that read back to the same bits; a missing value is an empty cell.

    Parameters
    ----------
    path : Path
    facts : DataFacts
    design : Design
        On all rows, with the columns of every vcov.

    Raises
    ------
    DataError
        If a column cannot be written so, or the file cannot be written.
    """
    columns = {name: _texts(name, design.frame[name]) for name in facts.columns}
    text = pd.DataFrame(columns).to_csv(index=False, lineterminator="\n")
    replace_file(path, text.encode())
    return path


_WORDS = {"TRUE": True, "FALSE": False}
_READERS: dict[str, Callable[[str], Any]] = {"number": float, "integer": int, "boolean": _WORDS.__getitem__}


def _texts(name: str, column: Any) -> list[str]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        if "" in column.cat.categories:
            raise DataError(
                f"Column {name!r} has an empty text as a level, which a csv cannot tell from a missing value."
            )
        return ["" if pd.isna(value) else str(value) for value in column]
    if pd.api.types.is_bool_dtype(column.dtype):
        return ["" if pd.isna(value) else str(bool(value)).upper() for value in column]
    if pd.api.types.is_integer_dtype(column.dtype):
        return ["" if pd.isna(value) else str(int(value)) for value in column]
    return ["" if np.isnan(value) else repr(float(value)) for value in column]


def read_exported(path: Path, facts: DataFacts) -> pd.DataFrame:
    """Read what :func:`write_exported` wrote.

    Raises
    ------
    DataError
        If there is no such file, or it does not hold the columns in the types of the reference.
    """
    if not path.is_file():
        raise DataError(f"There is no file {path}.", do="write it where the data are, or record the question again.")
    try:
        found = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[], encoding="utf-8")
        return pd.DataFrame({name: _values(found[name], about) for name, about in facts.columns.items()})
    except (ValueError, KeyError, OSError) as error:
        raise DataError(f"{path} does not hold the data of the reference: {error}.") from error


def _values(texts: Any, about: ColumnFacts) -> Any:
    if about.kind == "category":
        return pd.Categorical(texts.where(texts != "", None), categories=list(about.levels), ordered=about.ordered)
    values: list[Any] = [None if text == "" else _READERS[about.kind](text) for text in texts]
    whole: Any = {"boolean": "boolean", "integer": "Int64"}.get(about.kind)
    return pd.Series(values, dtype=whole if whole and None in values else None if whole else "float64")
