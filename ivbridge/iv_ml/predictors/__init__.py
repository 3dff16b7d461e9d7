"""What a fitted curve is made of: arrays and a rule, in NumPy alone, so that no saved curve needs what learnt it.

Each kind is one file. A kind is read from a file by its name in :data:`KINDS`; nothing in a file is ever executed.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy.typing as npt

from ivbridge.errors import DataError
from ivbridge.records import FloatArray

__all__ = ["KINDS", "Parts", "Predictor", "restored"]

#: Named arrays: numbers, or text as NumPy's unicode; a name may have the form ``outer/inner``.
Parts = Mapping[str, npt.NDArray[Any]]

#: Where each kind of predictor is.
KINDS: Mapping[str, str] = {
    "features": "features.FeatureProduct",
    "feedforward": "feedforward.Feedforward",
    "kernel": "kernel.KernelExpansion",
    "modal": "modal.Modal",
    "partially_linear": "linear.PartiallyLinear",
    "polynomial": "polynomial.Polynomial",
    "scaled": "scaled.Scaled",
}


class Predictor(Protocol):
    """f(t, x), frozen."""

    kind: ClassVar[str]

    def __call__(self, t: FloatArray, x: FloatArray) -> FloatArray:
        """Predict for t (n,) and x (n, m): (n,)."""
        ...

    def parts(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays that say everything about it."""
        ...

    @classmethod
    def of(cls, parts: Parts) -> Predictor:
        """Make it again from its arrays."""
        ...


def restored(kind: str, parts: Parts) -> Predictor:
    """Make a predictor from its name and arrays.

    Raises
    ------
    DataError
        If no kind has this name, or the arrays are not those of this kind.
    """
    if kind not in KINDS:
        raise DataError(f"There is no curve of the kind {kind[:40]!r}.", available=", ".join(KINDS))
    module, _, name = KINDS[kind].partition(".")
    made = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    try:
        found: Predictor = made.of(parts)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise DataError(f"The file's arrays do not make a curve of the kind {kind!r}: {error}.") from None
    return found
