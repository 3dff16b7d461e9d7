"""No instrument at all: what a method finds when nothing moves the treatment from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.generated import Generated, Generator
from ivbridge.records import FloatArray

__all__ = ["NoneIV"]


@final
@dataclass(frozen=True, kw_only=True)
class NoneIV(Generator):
    """A column of zeros: the baseline "NoneIV" of Wu et al. (2023), section 4.

    A method that needs an instrument is left with X and the shape of its own functions. A good instrument has to beat
    this one.
    """

    name: ClassVar[str] = "none_iv"

    def generate(self, data: IVData, seed: int = 0) -> Generated:
        """Zeros, (n, 1), for these rows and any others."""
        return Generated(self.name, np.zeros((data.n, 1)), _zeros)


def _zeros(t: FloatArray, x: FloatArray) -> FloatArray:
    return np.zeros((len(t), 1))
