"""One rule applied to one LASSO: which of its penalised columns are kept."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ivbridge import serial
from ivbridge.errors import DataError, UnsupportedError
from ivbridge.selection.derive import forced, scales, with_columns, with_seed
from ivbridge.selection.design import LassoDesign
from ivbridge.selection.engines import LassoEngine
from ivbridge.selection.plugin import PlugInFit, plug_in
from ivbridge.selection.records import LassoFit
from ivbridge.selection.rules import Adaptive, Min, OneSE, PlugIn, Rule, Stability, parse_rule

__all__ = ["Choice", "choose"]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What a rule kept of one LASSO.

    Attributes
    ----------
    rule : Rule
    dependent : str
    names : tuple of str
        The penalised columns.
    selected : tuple of str
        In the order of the columns.
    fits : tuple of LassoFit
        Cross-validated fits behind the choice, the deciding one last; empty for the plug-in penalty.
    plugin : PlugInFit or None
    shares : mapping of str to float
        For stability selection: share of the fold draws that select each column.
    notes : tuple of str
    """

    rule: Rule
    dependent: str
    names: tuple[str, ...]
    selected: tuple[str, ...]
    fits: tuple[LassoFit, ...] = ()
    plugin: PlugInFit | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line for the choice, more for what is behind it."""
        detail = [self.plugin.summary()] if self.plugin else [f"λ = {self.penalty:.4g}"] if self.fits else []
        return "\n".join(
            [f"{self.dependent}, rule {self.rule}: {len(self.selected)} of {len(self.names)}", *detail, *self.notes]
        )

    @property
    def penalty(self) -> float:
        """λ of the deciding fit at its rule; NaN without one."""
        return float(self.fits[-1].path.lambdas[self.fits[-1].index()]) if self.fits else float("nan")

    def _repr_html_(self) -> str:
        return "<p>" + html.escape(self.summary()).replace("\n", "<br>") + "</p>"

    def to_json(self, *, indent: int | None = None) -> str:
        """JSON that keeps every bit."""
        return serial.dumps(self, indent=indent)


def choose(rule: Rule, design: LassoDesign, engine: LassoEngine) -> Choice:
    """Apply a rule.

    Parameters
    ----------
    rule : Rule
        Any but cross-fitting, which is no choice of one set.
    design : LassoDesign
        Columns without a penalty stay in every fit and are not counted as selected.
    engine : LassoEngine

    Raises
    ------
    UnsupportedError
        For cross-fitting; where the rule does not go with the design.
    DataError
        If the design cannot be fitted.
    """
    if isinstance(rule, Min | OneSE):
        return _at_lambda(rule, design, engine)
    if isinstance(rule, PlugIn):
        fit = plug_in(design, rule, engine)
        rounds = () if fit.converged else (f"the plug-in loadings had not settled after {fit.rounds} rounds",)
        return Choice(rule, fit.dependent, fit.names, fit.selected, plugin=fit, notes=rounds)
    if isinstance(rule, Adaptive):
        return _adaptive(rule, design, engine)
    if isinstance(rule, Stability):
        return _stability(rule, design, engine)
    raise UnsupportedError(f"The rule {rule} does not choose one set of columns.", available="1se, min, plugin, …")


def _penalised(design: LassoDesign) -> tuple[str, ...]:
    return tuple(name for name, free in zip(design.names, forced(design), strict=True) if not free)


def _at_lambda(rule: Min | OneSE, design: LassoDesign, engine: LassoEngine) -> Choice:
    fit = engine.cv(replace(design, spec=replace(design.spec, rule=rule)))
    names = _penalised(design)
    inside = set(names)
    selected = tuple(name for name in fit.selected(rule) if name in inside)
    return Choice(rule, design.spec.dependent, names, selected, (fit,), notes=fit.warnings)


def _adaptive(rule: Adaptive, design: LassoDesign, engine: LassoEngine) -> Choice:
    """Factors 1/|b s|ᵍ with b the ridge coefficient and s the column's standard deviation if glmnet standardises.

    With s the choice does not depend on the units of the columns. In R:
    ``penalty.factor = 1/abs(coef(ridge, s = "lambda.min")[-1] * apply(M, 2, sd))^g``.
    """
    spec = design.spec
    ridge = engine.cv(replace(design, spec=replace(spec, alpha=0.0, rule=Min(), lambdas=None)))
    size = np.abs(ridge.path.coefs[ridge.index_min]) * (scales(design) if spec.standardize else 1.0)
    kept = forced(design) | (size > 0)
    factors = np.zeros(design.p)
    np.divide(design.penalty, size**rule.power, out=factors, where=size > 0)
    factors[forced(design)] = 0.0
    if not (factors[kept] > 0).any():
        raise DataError(f"The ridge fit of {spec.dependent!r} keeps no candidate: none varies.")
    inner = parse_rule(rule.rule)
    assert isinstance(inner, Min | OneSE)  # Adaptive checks it
    final = _at_lambda(inner, with_columns(design, kept, factors[kept]), engine)
    return replace(final, rule=rule, names=_penalised(design), fits=(ridge, *final.fits))


def _stability(rule: Stability, design: LassoDesign, engine: LassoEngine) -> Choice:
    """As Meinshausen and Bühlmann (2010) repeat over subsamples, but over fold draws, which is what one draw hides."""
    inner = parse_rule(rule.rule)
    names = _penalised(design)
    counts = dict.fromkeys(names, 0)
    sizes = []
    for seed in range(1, rule.seeds + 1):
        last = choose(inner, with_seed(design, seed), engine)
        sizes.append(len(last.selected))
        for name in last.selected:
            counts[name] += 1
    shares = {name: count / rule.seeds for name, count in counts.items()}
    selected = tuple(name for name in names if shares[name] >= rule.threshold)
    note = f"{rule.seeds} fold draws selected {min(sizes)} to {max(sizes)}"
    return Choice(rule, design.spec.dependent, names, selected, last.fits, shares=shares, notes=(note,))
