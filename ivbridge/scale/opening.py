"""What can be named as data: files, patterns, databases, tables in memory."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ivbridge.errors import DataError
from ivbridge.scale.parquet import ParquetFiles
from ivbridge.scale.sources import Source

__all__ = ["opened"]

_KINDS = (
    "'data/*.parquet', 'file.csv', a list of files, 'duckdb:file.db?table=t', a DuckDB relation, a Polars, pandas or "
    "Arrow table"
)


def opened(source: Any) -> Source:
    """The source that a name, a list of names or a table stands for.

    Parameters
    ----------
    source : str, Path, sequence of them, table, DuckDB relation or Source

    Raises
    ------
    DataError
        If there is no such file, or it is of an unknown kind.
    MissingExtraError
        If the extra `scale` is not installed.
    """
    if isinstance(source, str) and source.startswith("duckdb:"):
        from ivbridge.scale.duck import from_address

        return from_address(source)
    if isinstance(source, str | Path):
        return _files([source])
    if isinstance(source, Sequence) and source and all(isinstance(one, str | Path) for one in source):
        return _files(source)
    if all(hasattr(source, name) for name in ("pieces", "schema", "state")):
        found: Source = source
        return found
    return _table(source)


def _table(source: Any) -> Source:
    home = type(source).__module__.partition(".")[0]
    if home in ("_duckdb", "duckdb"):
        from ivbridge.scale.duck import from_relation

        return from_relation(source)
    if home in ("polars", "pandas", "pyarrow"):
        from ivbridge.scale.tables import from_table

        return from_table(source)
    raise DataError(f"data is a {type(source).__name__}.", available=_KINDS)


def _files(names: Sequence[str | Path]) -> Source:
    paths = [path for name in names for path in _expanded(str(name))]
    known: dict[Path, Path] = {}
    for path in paths:
        if (other := known.setdefault(path.resolve(), path)) is not path:
            raise DataError(f"{other} is named twice, also as {path}.", do="name each file once.")
    kinds = {_kind(path) for path in paths}
    if len(kinds) > 1:
        raise DataError(f"The files are of several kinds: {', '.join(sorted(kinds))}.", do="name files of one kind.")
    if kinds == {"csv"}:
        from ivbridge.scale.csvs import CsvFiles

        return CsvFiles.opened(paths)
    return ParquetFiles.opened(paths)


def _expanded(name: str) -> list[Path]:
    """The files that a name stands for: a folder means the parquet files in it, a pattern is sorted."""
    path = Path(name).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        hidden = (".", "_")  # what other programs leave beside data: checkpoints, copies, unfinished files
        within = ((p, p.relative_to(path).parts) for p in path.rglob("*.parquet") if p.is_file())
        found = sorted(p for p, parts in within if not any(part.startswith(hidden) for part in parts))
        if not found:
            raise DataError(f"The folder {path} holds no parquet file.", do="give a pattern such as 'folder/*.csv'.")
        return found
    found = sorted(Path(p) for p in glob.glob(str(path), recursive=True) if Path(p).is_file())  # noqa: PTH207
    if not found:
        what = "No file fits the pattern" if any(c in name for c in "*?[") else "There is no file"
        raise DataError(f"{what} {name!r}.", available=_KINDS, do="check the path.")
    return found


def _kind(path: Path) -> str:
    ending = path.suffix.lower()
    if ending in (".parquet", ".pq"):
        return "parquet"
    if ending in (".csv", ".tsv", ".tab"):
        return "csv"
    raise DataError(
        f"{path} ends in {ending or 'nothing'}, which is no file format that is read in pieces.",
        available=".parquet .pq .csv .tsv .tab",
        do="convert it to parquet.",
    )
