"""How a selection moves with the seed that draws its folds: one table, one sentence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from ivbridge.compare import Progress
from ivbridge.errors import UnsupportedError
from ivbridge.method import Method
from ivbridge.selection.after import data_of, effect_of, estimate_after, iv_spec
from ivbridge.selection.controls import first_stage_design
from ivbridge.selection.derive import with_seed
from ivbridge.selection.design import LassoDesign
from ivbridge.selection.engines import lasso_engine
from ivbridge.selection.question import SelectionSpec
from ivbridge.selection.spec import Folds
from ivbridge.selection.steps import take_steps
from ivbridge.spec import IVSpec
from ivbridge.vcov import Vcov

__all__ = ["seed_sentence", "seed_table"]


def seed_table(
    question: SelectionSpec, data: pd.DataFrame, n: int, asked: tuple[Vcov, Method], progress: Progress | None = None
) -> pd.DataFrame:
    """One row a fold seed 1 … n: ``seed, number, estimate, std.error, selected``.

    Parameters
    ----------
    question : SelectionSpec
    data : DataFrame
        Complete in the question's columns.
    n : int
    asked : (Vcov, Method)
        Of the estimates.
    progress : callable, optional
        Called with (done, total, what) after each seed.

    Raises
    ------
    UnsupportedError
        If nothing in the question is drawn at random, or n is negative.
    """
    if n < 0:
        raise UnsupportedError(f"{n} fold seeds were asked.", available="0 or more")
    engine = lasso_engine(question.options.engine)
    design = _shared_design(question, data)
    known: dict[IVSpec, tuple[float, float]] = {}
    rows = []
    for seed in range(1, n + 1):
        seeded = question.with_seed(seed)
        steps = take_steps(seeded, data, engine, design and _reseeded(design, seed))
        effect = (float("nan"), float("nan"))
        if steps.selected:
            spec = replace(iv_spec(seeded, steps), vcov=asked[0], method=asked[1])
            if spec not in known or steps.crossfit is not None:  # a cross-fitted prediction is new with each seed
                known[spec] = effect_of(estimate_after(seeded, spec, data_of(seeded, steps, data)))
            effect = known[spec]
        rows.append((seed, len(steps.selected), *effect, steps.selected))
        if progress:
            progress(seed, n, "fold seeds")
    return pd.DataFrame(rows, columns=["seed", "number", "estimate", "std.error", "selected"])


def _shared_design(question: SelectionSpec, data: pd.DataFrame) -> LassoDesign | None:
    """The first stage's matrices where no seed changes the controls; None where each seed may choose others."""
    if question.controls and question.options.controls_by not in ("forced", "residualised"):
        return None
    return first_stage_design(question, question.controls, data)


def _reseeded(design: LassoDesign, seed: int) -> LassoDesign:
    return with_seed(design, seed) if isinstance(design.spec.folds, Folds) else design


def seed_sentence(table: pd.DataFrame, selected: tuple[str, ...]) -> str:
    """How number, estimate and set move over the seeds of a table."""
    number, estimate = table["number"], table["estimate"].dropna()
    same = sum(set(chosen) == set(selected) for chosen in table["selected"])
    low, high = int(number.min()), int(number.max())
    sizes = f"is always {low}" if low == high else f"goes from {low} to {high}"
    effects = "no estimate"
    if len(estimate):
        effects = f"the estimate from {estimate.min():.4g} to {estimate.max():.4g} (median {np.median(estimate):.4g})"
    return (
        f"Over {len(table)} fold seeds the number selected {sizes}, {effects}; exactly this set comes out in {same} of "
        f"{len(table)}."
    )
