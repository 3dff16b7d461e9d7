"""The columns that remain after dependent ones were left out, and what a reader is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ivbridge.errors import DesignError
from ivbridge.method import Method, TwoStage
from ivbridge.rank import Rank

__all__ = ["Kept", "kept_of"]


@dataclass(frozen=True, slots=True)
class Kept:
    """Names of the columns that are used and of those that are not.

    Attributes
    ----------
    x, z : tuple of str, lengths k and l
    aliased, aliased_instruments : tuple of str
    notes : tuple of str
        What was left out, and whether the regressors reproduce the dependent variable.
    """

    x: tuple[str, ...]
    z: tuple[str, ...]
    aliased: tuple[str, ...]
    aliased_instruments: tuple[str, ...]
    notes: tuple[str, ...]


def kept_of(method: Method, label: str, names: tuple[Sequence[str], Sequence[str]], rank: Rank) -> Kept:
    """What a decision about rank means.

    Parameters
    ----------
    method : Method
    label : str
        What messages call the dependent variable.
    names : tuple of two sequences of str
        All regressors and all instruments.
    rank : Rank

    Raises
    ------
    DesignError
        If no regressor is left, or the method needs an endogenous one, and none of these is.
    """
    x_names, z_names = names
    x, aliased = _split(x_names, rank.x)
    z, aliased_instruments = _split(z_names, rank.z)
    if not x:
        raise DesignError(
            f"No regressor is left: zero in every row are {', '.join(aliased)}.", do="name one that varies."
        )
    if not isinstance(method, TwoStage) and set(x) <= set(z_names):
        raise DesignError(
            f"{method} needs an endogenous regressor, and each depends linearly on earlier columns: "
            f"{', '.join(name for name in aliased if name not in z_names)}.",
            do="ask for 2sls, which is least squares here.",
        )
    notes = []
    if aliased:
        notes.append(f"regressors left out, since they depend linearly on earlier ones: {', '.join(aliased)}")
    if only := [name for name in aliased_instruments if name not in aliased]:
        notes.append(f"instruments left out, since they depend linearly on earlier ones: {', '.join(only)}")
    if rank.exact:
        rounding = "residuals, standard errors and tests have few digits or none"
        notes.append(f"the regressors reproduce {label} to rounding: {rounding}")
    return Kept(x, z, aliased, aliased_instruments, tuple(notes))


def _split(names: Sequence[str], kept: Sequence[int]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names at the places kept, and the others."""
    there = set(kept)
    return tuple(names[j] for j in kept), tuple(name for j, name in enumerate(names) if j not in there)
