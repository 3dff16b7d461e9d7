"""The mode of several curves, at each point on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ivbridge.iv_ml.predictors import Parts, Predictor, restored
from ivbridge.records import FloatArray

__all__ = ["Modal", "venter_mode"]


def venter_mode(points: FloatArray, size: int) -> FloatArray:
    """Mean of the ``size`` values that lie closest together in each row of points (n, p): (n,).

    Source: Venter (1967), On estimation of the mode; Hartford et al. (2021), Valid causal inference with (some)
    invalid instruments.
    """
    ranked = np.sort(points, axis=1)
    widths = ranked[:, size - 1 :] - ranked[:, : ranked.shape[1] - size + 1]
    which = widths.argmin(axis=1)[:, None] + np.arange(size)
    return np.asarray(np.take_along_axis(ranked, which, axis=1).mean(axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class Modal:
    """Venter's mode of the predictions of some curves; ``size`` of them make it up."""

    inner: tuple[Predictor, ...]
    size: int
    kind: ClassVar[str] = "modal"

    def __post_init__(self) -> None:
        if not 1 <= self.size <= len(self.inner):
            raise ValueError(f"the mode of {self.size} of {len(self.inner)} curves")

    def __call__(self, t: FloatArray, x: FloatArray) -> FloatArray:
        """Predict for t (n,) and x (n, m): (n,)."""
        return venter_mode(np.column_stack([one(t, x) for one in self.inner]), self.size)

    def parts(self) -> dict[str, npt.NDArray[Any]]:
        """The size, the kinds of the inner curves, and everything about them."""
        found = {"size": np.array(self.size), "kinds": np.array([one.kind for one in self.inner])}
        for i, one in enumerate(self.inner):
            found |= {f"{i}/{name}": part for name, part in one.parts().items()}
        return found

    @classmethod
    def of(cls, parts: Parts) -> Modal:
        """Make it again; there is no mode inside a mode."""
        kinds = [str(kind) for kind in parts["kinds"]]
        if cls.kind in kinds:
            raise ValueError("a mode inside a mode")
        inner = []
        for i, kind in enumerate(kinds):
            own = {name.removeprefix(f"{i}/"): part for name, part in parts.items() if name.startswith(f"{i}/")}
            inner.append(restored(kind, own))
        return cls(tuple(inner), int(parts["size"]))
