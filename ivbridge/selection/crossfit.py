"""Cross-fitted first stages: the prediction of each row comes from other rows.

Split-sample instrumental variables: Angrist and Krueger (1995, JBES 13(2)); with the LASSO: Belloni, Chen, Chernozhukov
and Hansen (2012); several parts that take turns: Chernozhukov et al. (2018, Econometrics Journal 21(1)).
The noise that decides which instruments are chosen, and how they are weighted, is then not the noise of the rows that
are estimated on, so that one instrument, the prediction, stands for all.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ivbridge import serial
from ivbridge.errors import DataError
from ivbridge.records import FloatArray, IntArray
from ivbridge.rrandom import RRandom
from ivbridge.selection.choose import Choice, choose
from ivbridge.selection.derive import dense_columns, forced, projector, with_rows
from ivbridge.selection.design import LassoDesign
from ivbridge.selection.engines import LassoEngine
from ivbridge.selection.rules import CrossFitted, parse_rule

__all__ = ["CrossFit", "cross_fit"]


@dataclass(frozen=True, slots=True, eq=False)
class CrossFit:
    """A cross-fitted first stage.

    Attributes
    ----------
    rule : CrossFitted
    parts : (n,) int array
        Part of each row, 1 … splits.
    choices : tuple of Choice
        One a part, made on the other parts.
    coefs : tuple of mapping
        Post-LASSO coefficients of each choice.
    prediction : (n,) array
        Of the endogenous regressor, less its mean and the controls' share within each part.
    """

    rule: CrossFitted
    parts: IntArray
    choices: tuple[Choice, ...]
    coefs: tuple[Mapping[str, float], ...]
    prediction: FloatArray

    @property
    def selected(self) -> tuple[str, ...]:
        """Candidates chosen for any part, in the data's order."""
        chosen = {name for choice in self.choices for name in choice.selected}
        return tuple(name for name in self.choices[0].names if name in chosen)

    def summary(self) -> str:
        """One line a part: its rows, and what the other parts chose."""
        sizes = np.bincount(self.parts)[1:]
        lines = [
            f"part {part}: {size} rows, {len(choice.selected)} candidates chosen on the others"
            for part, (size, choice) in enumerate(zip(sizes, self.choices, strict=True), 1)
        ]
        return "\n".join([f"{self.choices[0].dependent}, rule {self.rule}", *lines])

    def _repr_html_(self) -> str:
        return "<p>" + html.escape(self.summary()).replace("\n", "<br>") + "</p>"

    def to_json(self, *, indent: int | None = None) -> str:
        """JSON that keeps every bit."""
        return serial.dumps(self, indent=indent)


def cross_fit(design: LassoDesign, rule: CrossFitted, engine: LassoEngine) -> CrossFit:
    """Choose and fit on the other parts, predict in each part.

    Within a part, the chosen instruments are freed of an intercept and of the unpenalised columns before they are
    weighted; the mean of the other parts' regressor, which moves against the part's own, so never enters.

    Parameters
    ----------
    design : LassoDesign
    rule : CrossFitted
    engine : LassoEngine

    Raises
    ------
    DataError
        If a part is too small for its folds or does not vary.
    """
    if design.n < 2 * rule.splits:
        raise DataError(f"{rule.splits} parts were asked of {design.n} rows.", do="use fewer splits.")
    random = RRandom(rule.seed)
    parts = np.asarray(random.sample(np.resize(np.arange(1, rule.splits + 1), design.n)), dtype=np.int64)
    controls = dense_columns(design.x, np.flatnonzero(forced(design)))
    where = {name: j for j, name in enumerate(design.names)}
    prediction = np.zeros(design.n)
    choices, tables = [], []
    for part in range(1, rule.splits + 1):
        inside, others = np.flatnonzero(parts == part), np.flatnonzero(parts != part)
        choice = choose(parse_rule(rule.rule), with_rows(design, others), engine)
        x = dense_columns(design.x, [where[name] for name in choice.selected])
        coefs = np.zeros(x.shape[1])
        if len(coefs):
            if len(others) <= x.shape[1] + controls.shape[1] + 1:
                raise DataError(
                    f"{len(others)} rows cannot fit {x.shape[1]} chosen instruments.", do="use fewer splits."
                )
            coefs = _least_squares(design, x, controls, others)
            own = projector(controls[inside], _rows(design.weights, inside))
            prediction[inside] = own.residuals(x[inside] @ coefs)
        choices.append(choice)
        tables.append(dict(zip(choice.selected, map(float, coefs), strict=True)))
    return CrossFit(rule, parts, tuple(choices), tuple(tables), prediction)


def _rows(weights: FloatArray | None, rows: np.ndarray) -> FloatArray | None:
    return None if weights is None else weights[rows]


def _least_squares(design: LassoDesign, x: FloatArray, controls: FloatArray, rows: np.ndarray) -> FloatArray:
    """(m,) coefficients of y on x, controls and an intercept over some rows."""
    weights = _rows(design.weights, rows)
    free = projector(controls[rows], weights)
    left, right = free.residuals(x[rows]), free.residuals(design.y[rows])
    root = np.ones(len(rows)) if weights is None else np.sqrt(weights)
    left = left * root[:, None]
    size = np.linalg.norm(left, axis=0)
    size[size == 0] = 1
    return np.asarray(np.linalg.lstsq(left / size, right * root, rcond=1e-11)[0] / size)
