"""Which experiments the pooled estimate uses: the LASSO of the behavior on all of them, and what luck of folds does."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ivbridge.encouragement.options import EncourageOptions
from ivbridge.encouragement.records import Selected
from ivbridge.encouragement.sums import Cross, cross_products, free_of_controls
from ivbridge.encouragement.users import Users
from ivbridge.errors import DesignError, UnsupportedError
from ivbridge.records import FloatArray, NotApplicable
from ivbridge.selection.choose import choose
from ivbridge.selection.derive import with_seed
from ivbridge.selection.design import LassoDesign, build_lasso
from ivbridge.selection.engines import lasso_engine
from ivbridge.selection.fragility import fragility
from ivbridge.selection.question import SelectOptions
from ivbridge.selection.rules import CrossFitted, Min, OneSE, PlugIn, Rule, Stability, parse_rule
from ivbridge.selection.spec import LassoSpec

__all__ = ["Seed", "Seeds", "lasso_question", "select", "try_seeds"]

#: Cells (users × experiments) up to which fold seeds are tried without being asked.
MOST_CELLS = 20_000_000
SEEDS = 30


@dataclass(frozen=True, slots=True)
class Seed:
    """The pooled two-stage least squares estimate under one seed of the folds; NaN where nothing was selected."""

    seed: int
    selected: int
    estimate: float


@dataclass(frozen=True, slots=True)
class Seeds:
    """The pooled answer over seeds of the folds.

    Attributes
    ----------
    draws : tuple of Seed
    same : int
        How many of them select the reported set.
    """

    draws: tuple[Seed, ...]
    same: int

    @property
    def sizes(self) -> tuple[int, int]:
        """Fewest and most experiments selected."""
        counts = [draw.selected for draw in self.draws]
        return min(counts), max(counts)

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest estimate."""
        values: FloatArray = np.array([draw.estimate for draw in self.draws if not np.isnan(draw.estimate)])
        return (float(values.min()), float(values.max())) if len(values) else (float("nan"), float("nan"))


def lasso_question(users: Users, options: EncourageOptions) -> tuple[LassoSpec, pd.DataFrame]:
    """The LASSO question, the behavior on all experiments, and the data that it is about.

    The behavior is freed of the controls first. The experiments need not be: randomisation makes them independent of
    the controls, and as columns of 0/1 they take one byte a cell. Indicators of enrolment enter without a penalty.
    """
    forced = tuple(users.indicators)
    frame = users.experiments_frame()
    dependent = f"{users.behavior}_residual" if users.controls else users.behavior
    while dependent in frame.columns:
        dependent += "_"
    values = free_of_controls(users) if users.controls else users.x
    settings = SelectOptions(engine=options.engine, folds=options.folds)
    spec = settings.lasso(dependent, users.experiments, forced)
    rule = parse_rule(options.rule)
    spec = replace(spec, rule=rule) if isinstance(rule, Min | OneSE) else spec
    return spec, pd.concat([pd.DataFrame({dependent: values}), frame], axis=1)


def select(users: Users, options: EncourageOptions) -> tuple[Selected, LassoDesign | None]:
    """Apply the rule; with one experiment there is nothing to select.

    Raises
    ------
    UnsupportedError
        If the rule chooses no single set.
    """
    rule = parse_rule(options.rule)
    if isinstance(rule, CrossFitted):
        raise UnsupportedError(
            f"The rule {rule} chooses another set in each part of the data, so a report has no set to show.",
            available="1se, min, plugin, adaptive, stability",
            do="use ivbridge.select_instruments() for a cross-fitted estimate.",
        )
    if len(users.experiments) == 1:
        return Selected("", 1, users.experiments), None
    design = build_lasso(*lasso_question(users, options))
    choice = choose(rule, design, lasso_engine(options.engine))
    # what a set hangs on is found from the selected columns in double precision
    small = users.n * len(choice.selected) <= MOST_CELLS
    ties = fragility(design, choice.fits[-1]) if small and isinstance(rule, Min | OneSE) else ()
    sentences = tuple(tie.sentence for tie in ties)
    return Selected(str(rule), len(users.experiments), choice.selected, choice.penalty, sentences), design


def try_seeds(
    users: Users, chosen: Selected, design: LassoDesign | None, options: EncourageOptions
) -> Seeds | NotApplicable:
    """Select with other folds and estimate again."""
    rule, name = parse_rule(options.rule), "Fold seeds"
    if design is None:
        return NotApplicable(name, "nothing was selected: there is one experiment")
    if isinstance(rule, PlugIn | Stability):
        return NotApplicable(name, f"the rule {rule} does not depend on one draw of folds")
    cells = users.n * len(users.experiments)
    count = options.seeds if options.seeds is not None else SEEDS if cells <= MOST_CELLS else 0
    if count == 0:
        if options.seeds == 0:
            return NotApplicable(name, "not asked for")
        size = f"{users.n} users × {len(users.experiments)} experiments"
        return NotApplicable(name, f"{size} were not selected again without being asked: pass seeds=10, for example")
    sets = [_selected(rule, design, options, seed) for seed in range(1, count + 1)]
    crosses: dict[tuple[str, ...], float] = {}
    for one in sets:
        if one not in crosses:
            crosses[one] = _estimate(users, one)
    draws = tuple(Seed(seed + 1, len(one), crosses[one]) for seed, one in enumerate(sets))
    return Seeds(draws, sum(one == chosen.experiments for one in sets))


def _selected(rule: Rule, design: LassoDesign, options: EncourageOptions, seed: int) -> tuple[str, ...]:
    return choose(rule, with_seed(design, seed), lasso_engine(options.engine)).selected


def _estimate(users: Users, instruments: tuple[str, ...]) -> float:
    if not instruments:
        return float("nan")
    try:
        cross: Cross = cross_products(users, instruments)
    except DesignError:
        return float("nan")
    first = np.linalg.solve(cross.zz, cross.zx)
    return float(cross.zy @ first) / float(cross.zx @ first)
