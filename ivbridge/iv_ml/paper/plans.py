"""What each table and figure of the paper asks of the study."""

from __future__ import annotations

from collections.abc import Iterator

from ivbridge.errors import UnsupportedError
from ivbridge.iv_ml.paper.cells import cells
from ivbridge.iv_ml.paper.parts import METHODS, world
from ivbridge.iv_ml.paper.running import Part

__all__ = ["FIGURES", "TABLES", "figure_parts", "quick_parts", "table_parts"]

TABLES = ("1", "2", "3", "4", "5")
FIGURES = ("3", "4", "5")

#: Rows that the paper does not have, where they cost little.
_CHEAP = ("GIV_EM*", "GIV_EM (default, one-hot)", "TrueIV (one-hot)")
_DEFAULT = "GIV_EM (default)"
#: Columns that it does not have.
_OWN = tuple(key for key, method in METHODS.items() if method.kind)
_FIGURE_3 = ("Poly-3-3", "Sin-3-3", "Sigmoid-3-3", "Abs-3-3")
_FIGURE_4 = ("Linear-2-5", "Linear-3-3", "Linear-3-5", "Linear-5-5")
_FIGURE_5 = ("Linear-2-5", "Linear-3-5", "Linear-5-5")


def table_parts(table: str, folder: str | None = None) -> list[Part]:
    """The parts of one table.

    Parameters
    ----------
    table : {"1", "2", "3", "4", "5"}
    folder : str, optional
        Where the covariates of Tables 3 and 5 are; see :mod:`ivbridge.iv_ml.scenarios.semisynthetic`.

    Raises
    ------
    UnsupportedError
        If there is no such table.
    """
    if table not in TABLES:
        raise UnsupportedError(f"Table {table!r} was asked.", available=", ".join(TABLES))
    return list(_table_parts(table, folder))


def _table_parts(table: str, folder: str | None) -> Iterator[Part]:
    printed = cells(table)
    for name in dict.fromkeys(cell.world for cell in printed):
        place = world(name, folder=folder)
        here = [cell for cell in printed if cell.world == name]
        rows = tuple(dict.fromkeys(cell.instrument for cell in here))
        columns = tuple(key for key in METHODS if key in {cell.method for cell in here})
        if table == "2":
            yield Part(place, (*rows, "Meta-EM (default)", "Oracle"))
            continue
        yield Part(place, (*rows, _DEFAULT), columns)
        yield Part(place, _CHEAP, tuple(key for key in columns if key in ("poly2sls", "kernel_iv")))
    if table == "1":
        yield Part(world("Linear-3-3"), ("NoneIV", "GIV_EM", _DEFAULT, "TrueIV"), _OWN)
        yield Part(world("Linear-3-3", "paper"), ("NoneIV", "GIV_EM", "TrueIV"), ("poly2sls",))


def figure_parts(figure: str) -> list[Part]:
    """The parts of one figure.

    Raises
    ------
    UnsupportedError
        If there is no such figure.
    """
    if figure not in FIGURES:
        raise UnsupportedError(f"Figure {figure!r} was asked.", available=", ".join(FIGURES))
    if figure == "3":
        return [Part(world(name), ("NoneIV", "GIV_KM", "GIV_EM", _DEFAULT, "TrueIV"), ("agmm",)) for name in _FIGURE_3]
    if figure == "4":
        return [Part(world(name), ("GIV_KM", "GIV_EM")) for name in _FIGURE_4]
    return [Part(world(name), ("GIV_KM*", "Meta-EM", "Meta-EM (default)", "Oracle")) for name in _FIGURE_5]


def quick_parts(parts: list[Part]) -> list[Part]:
    """The same without what takes long: closed forms everywhere, networks with the true label only, no AutoIV."""
    found = []
    for part in parts:
        rows = tuple(name for name in part.instruments if name != "AutoIV")
        fast = tuple(key for key in part.methods if METHODS[key].seconds < 1)
        found.append(Part(part.world, rows, fast))
        if "TrueIV" in rows and len(fast) < len(part.methods):
            found.append(Part(part.world, ("TrueIV",), tuple(key for key in part.methods if key not in fast)))
    return found
