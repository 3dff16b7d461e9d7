"""A world in which controls decide: what docs/make_selection.py lets every way of choosing controls answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ivbridge.selection.question import ControlsBy, SelectOptions
from ivbridge.selection.select import select_instruments
from ivbridge.selection.spec import Folds
from ivbridge.study import Method, Outcome, outcome

TESTS, CONTROLS, TIED = 40, 100, 10


@dataclass(frozen=True, eq=False)
class Drawn:
    frame: pd.DataFrame
    truth: float


@dataclass(frozen=True)
class TiedControls:
    """Forty candidates z, a hundred controls k; the first ten candidates follow the first ten controls.

    z_j = 0.8·k_j + e for j ≤ 10, else e; C ~ N(0, 1) is not observed; x = 0.8·Σ_{j≤10} z_j + 1.5C + e;
    y = 2x + 0.6·Σ_{j≤10} k_j + 2C + e. Without a control k_j its candidate z_j is no instrument.
    """

    name: str = "tied controls"
    truth: float = 2.0

    def draw(self, n: int = 500, seed: int = 1) -> Drawn:
        random = np.random.default_rng(seed)
        k = random.standard_normal((n, CONTROLS))
        z = random.standard_normal((n, TESTS))
        z[:, :TIED] += 0.8 * k[:, :TIED]
        hidden = random.standard_normal(n)
        x = 0.8 * z[:, :TIED].sum(axis=1) + 1.5 * hidden + random.standard_normal(n)
        y = self.truth * x + 0.6 * k[:, :TIED].sum(axis=1) + 2 * hidden + random.standard_normal(n)
        frame = pd.DataFrame({"y": y, "x": x})
        named = [pd.DataFrame(z, columns=[f"z{j}" for j in range(1, TESTS + 1)])]
        named.append(pd.DataFrame(k, columns=[f"k{j}" for j in range(1, CONTROLS + 1)]))
        return Drawn(pd.concat([frame, *named], axis=1), self.truth)


@dataclass(frozen=True)
class By:
    """Instruments and controls by one rule, controls one way; None: no controls at all."""

    way: ControlsBy | None
    rule: str = "1se"

    def __call__(self, draw: Drawn, seed: int) -> list[Outcome]:
        options = SelectOptions(folds=Folds(10, seed=seed), controls_by=self.way or "forced")
        controls = "k*" if self.way else ()
        chosen = select_instruments(draw.frame, "y", "x", "z*", controls, self.rule, options)
        found = chosen.estimate("HC1")
        return [outcome(found.params["x"], found.bse["x"], len(chosen.selected))]


METHODS = (
    Method(("no controls",), By(None)),
    Method(("option 1: all forced",), By("forced")),
    Method(("option 1: residualised",), By("residualised")),
    Method(("option 2: LASSO of Y on X and K",), By("outcome")),
    Method(("double: chosen for Y or X",), By("double")),
    Method(("union: chosen for Y, X or an instrument",), By("union")),
)
