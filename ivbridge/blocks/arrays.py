"""The matrices of a question as rows in memory, and their layout."""

from __future__ import annotations

from ivbridge.blocks.meats import group_codes, summable
from ivbridge.blocks.regression import Layout
from ivbridge.blocks.rows import Columns
from ivbridge.clustering import numbered
from ivbridge.records import Seen
from ivbridge.vcov import Vcov

__all__ = ["in_memory"]

INTERCEPT = "(Intercept)"


def in_memory(seen: Seen, vcov: Vcov) -> tuple[Columns, Layout, tuple[int, ...]]:
    """Rows without copies, which column is which, and the number of clusters of each subset.

    Parameters
    ----------
    seen : Seen
        With its matrices.
    vcov : Vcov
    """
    constant = INTERCEPT in seen.x_names and INTERCEPT in seen.z_names
    shared = [name for name in seen.z_names if name in seen.x_names and not (constant and name == INTERCEPT)]
    names = [*shared, *seen.instrument_names, *seen.endog_names]
    place = {name: j + constant for j, name in enumerate(names)} | ({INTERCEPT: 0} if constant else {})
    columns = {name: seen.z[:, j] for j, name in enumerate(seen.z_names)}
    columns |= {name: seen.x[:, j] for j, name in enumerate(seen.x_names)}
    layout = Layout(
        constant, seen.x_names, seen.z_names, tuple(place[name] for name in seen.x_names),
        tuple(place[name] for name in seen.z_names), len(names) + constant, weighted=seen.weights is not None,
    )  # fmt: skip
    groups = {name: numbered(group) for name, group in seen.groups.items()} if summable(vcov) else {}
    codes, counts = group_codes(vcov, groups) if groups else ((), ())
    return Columns((*(columns[name] for name in names), seen.y), seen.weights, codes), layout, counts
