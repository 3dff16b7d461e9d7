"""Data with its origin: the bundled sets, and files of any kind that economists keep.

``load("cigarettes_sw")`` and ``read("panel.dta")`` both give a :class:`Dataset`: a plain data frame together with its
name, citation, licence, source and the SHA-256 of the file that it came from. The bundled sets are described in one
file, ``datasets/datasets.toml``.
"""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from ivbridge import readers
from ivbridge.errors import DataError
from ivbridge.rfiles import read_r

__all__ = ["Dataset", "datasets", "load", "read"]


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A data frame and where it comes from.

    Attributes
    ----------
    frame : DataFrame (n, columns)
        The data, rows in the order of the file. Every call of :func:`load` or :func:`read` makes a new one.
    name : str
        Name of the bundled set, or the file's name without its endings.
    citation : str
        Primary source; empty for a file.
    licence : str
        SPDX expression of the package that the data were taken from; empty for a file.
    source : str
        The package and object that carried the data, or the path of the file.
    sha256 : str
        Of the bytes of the file: what ``sha256sum`` prints.
    note : str
        What to know before use; empty for most.
    """

    frame: pd.DataFrame
    name: str
    citation: str
    licence: str
    source: str
    sha256: str
    note: str = ""

    def __repr__(self) -> str:
        rows, columns = self.frame.shape
        return f"<Dataset {self.name}: {rows} rows, {columns} columns, sha256 {self.sha256[:12]}…, from {self.source}>"


_FOLDER = Path(__file__).parent / "datasets"


@cache
def _catalogue() -> Mapping[str, Mapping[str, Any]]:
    entries: dict[str, Any] = tomllib.loads((_FOLDER / "datasets.toml").read_text(encoding="utf-8"))
    return entries


def datasets() -> pd.DataFrame:
    """List the bundled sets.

    Returns
    -------
    DataFrame
        One row a set, sorted by name: ``name, rows, columns, description, licence, citation``. Columns that are
        computed at load time count.
    """
    keys = ["rows", "columns", "description", "licence", "citation"]
    entries = sorted(_catalogue().items())
    return pd.DataFrame([{"name": name, **{key: entry[key] for key in keys}} for name, entry in entries])


def load(name: str) -> Dataset:
    """Load a bundled set.

    R's factors are categories with R's level order, logical columns are bool, everything else is a number or text.
    Columns that the catalogue declares as derived (for example ``rprice = price / cpi`` in ``cigarettes_sw``) are
    computed here.

    Parameters
    ----------
    name : str
        A name that :func:`datasets` lists.

    Raises
    ------
    DataError
        No such set, or the installed file is not the one that the catalogue describes.
    """
    entry = _catalogue().get(str(name))
    if entry is None:
        raise DataError(
            f"There is no bundled dataset {name!r}.{_did_you_mean(str(name), list(_catalogue()))}",
            available=", ".join(sorted(_catalogue())),
        )
    path = _FOLDER / entry["file"]
    digest = _sha256(path)
    if digest != entry["sha256"]:
        raise DataError(
            f"The file of the bundled dataset {name!r} was changed: {path} has SHA-256 {digest}.",
            available=entry["sha256"],
            do="reinstall ivbridge, or read your own copy with ivbridge.data.read().",
        )
    return Dataset(
        frame=_prepare(path, entry),
        name=name,
        citation=entry["citation"],
        licence=entry["licence"],
        source=entry["source"],
        sha256=digest,
        note=entry.get("note", ""),
    )


def _prepare(path: Path, entry: Mapping[str, Any]) -> pd.DataFrame:
    factors: Mapping[str, list[str]] = entry.get("factors", {})
    ordered = set(entry.get("ordered", ()))
    types: dict[str, Any] = {
        column: pd.CategoricalDtype(levels, ordered=column in ordered) for column, levels in factors.items()
    }
    types |= dict.fromkeys(entry.get("logical", ()), "int8") | dict.fromkeys(entry.get("single", ()), "float32")
    frame = readers.plain(readers.read_table(path, ",", types=types), path)
    frame = frame.astype(dict.fromkeys(entry.get("logical", ()), bool))
    for column, expression in entry.get("derived", {}).items():
        frame[column] = frame.eval(expression, engine="python")
    return frame


def read(path_or_name: str | Path) -> Dataset:
    """Read a file, or load a bundled set by its name.

    Parameters
    ----------
    path_or_name : str or Path
        A file ending in ``.csv .tsv .tab`` (also compressed: ``.gz .bz2 .xz``), ``.parquet``, ``.feather``, ``.dta``,
        ``.rds``, ``.rda`` or ``.RData``; ``file.rda::name`` picks one of several data frames. A name without an
        ending that is no file is looked up among the bundled sets.

    Returns
    -------
    Dataset
        Single precision is widened to double. Stata's value labels and R's factors are categories; an ordered factor
        stays ordered. The index counts the rows from 0.

    Raises
    ------
    DataError
        No such file, unknown ending, or a damaged or ambiguous file.
    MissingExtraError
        The format needs a package that is not installed; the message holds the command.
    """
    text = str(path_or_name)
    try:
        if text in _catalogue() and not Path(text).exists():
            return load(text)
        path, wanted = _split(text)
        if not path.is_file():
            raise _no_file(path)
    except (OSError, RuntimeError) as error:  # a name that no file can have, a home that nobody has
        shown = text if len(text) <= 200 else text[:197] + "…"
        raise DataError(f"There is no file {shown!r}: {error}.", do="check the path.") from error
    endings = [ending.lower() for ending in path.suffixes]
    packed = bool(endings) and endings[-1] in {".gz", ".bz2", ".xz"}
    kind = endings[-2] if packed and len(endings) > 1 else endings[-1] if endings else ""
    reader = readers.READERS.get(kind)
    if reader is None or (packed and kind not in {".csv", ".tsv", ".tab"}):
        raise DataError(
            f"{path} ends in {''.join(path.suffixes[-2:]) or 'nothing'}, which is no file format that can be read.",
            available=", ".join(readers.READERS) + "; .csv, .tsv and .tab also with .gz, .bz2 or .xz",
            do="rename the file if only its ending is wrong.",
        )
    try:
        digest = _sha256(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    frame = read_r(path, wanted) if reader is read_r else reader(path)
    name = path.name[: path.name.lower().rindex(kind)]
    return Dataset(readers.plain(frame, path), name, "", "", str(path), digest)


def _split(text: str) -> tuple[Path, str | None]:
    """Split ``file.rda::name``."""
    head, mark, wanted = text.rpartition("::")
    if mark and wanted and head.lower().endswith((".rda", ".rdata")):
        return Path(head).expanduser(), wanted
    return Path(text).expanduser(), None


def _no_file(path: Path) -> DataError:
    if "://" in str(path) or str(path).startswith(("http:/", "https:/")):
        return DataError(f"{path} is an address on the web.", do="download the file and give its path.")
    if path.is_dir():
        return DataError(f"{path} is a folder.", do="give the path of a file in it.")
    near = sorted(p.name for p in path.parent.iterdir() if p.is_file()) if path.parent.is_dir() else []
    hint = _did_you_mean(path.name, [*near, *_catalogue()])
    where = "" if path.parent.is_dir() else f" The folder {path.parent} does not exist."
    return DataError(
        f"There is no file {path}.{where}{hint}",
        available="bundled datasets " + ", ".join(sorted(_catalogue())) if not path.suffix else "",
        do="check the path; relative paths start at the folder where the command runs." if path.suffix else "",
    )


def _did_you_mean(asked: str, known: list[str]) -> str:
    close = difflib.get_close_matches(asked, known, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(close)}?" if close else ""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
