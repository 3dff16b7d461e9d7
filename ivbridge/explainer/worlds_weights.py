"""What a column of weights means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ivbridge.explainer.matrices import kept
from ivbridge.explainer.records import Step, World

__all__ = ["weights"]

#: Repeating rows by their weights stops here.
MOST_ROWS = 50_000


def weights(world: World) -> Iterator[World]:
    """Weights ignored, squared, rooted, inverted, scaled, or read as numbers of observations."""
    w = world.seen.weights
    if w is None:
        return
    name = (world.spec.weights if world.spec else None) or "weights"
    n = len(w)
    for key, text, values in (
        ("weights.ignored", f"the weights {name} are ignored", None),
        ("weights.squared", f"each row is multiplied by {name} instead of its square root", w**2),
        ("weights.root", f"the square roots of {name} are the weights", np.sqrt(w)),
        ("weights.inverse", f"{name} holds variances: its inverse is the weight", 1 / w),
        ("weights.inverse_square", f"{name} holds standard deviations: its inverse square is the weight", 1 / w**2),
        ("weights.normalised", f"{name} is scaled to the sum n", w * (n / w.sum())),
        ("weights.sum_one", f"{name} is scaled to the sum 1", w / w.sum()),
        ("weights.mean_inverse", f"the inverse of {name} is the weight, scaled to the sum n", n / w / np.sum(1 / w)),
    ):
        yield world.after(Step(key, text), replace(world.seen, weights=values))
    whole = np.rint(w)
    if np.array_equal(whole, w) and n < whole.sum() <= MOST_ROWS:
        repeated = kept(world.seen, np.repeat(np.arange(n), whole.astype(np.int64)))
        text = f"{name} counts observations: {int(whole.sum())} instead of {n}"
        yield world.after(Step("weights.frequency", text), replace(repeated, weights=None))
