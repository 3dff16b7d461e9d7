"""What may be asked of instrument selection: one frozen record, from which every engine can answer again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from ivbridge.errors import DataError, UnsupportedError
from ivbridge.selection.rules import CrossFitted, OneSE, PlugIn, Rule, Stability, parse_rule
from ivbridge.selection.spec import FoldColumn, Folds, LassoSpec

__all__ = ["ControlsBy", "SelectOptions", "SelectionSpec"]

ControlsBy = Literal["forced", "residualised", "outcome", "double", "union"]


@dataclass(frozen=True, slots=True)
class SelectOptions:
    """How the LASSO steps of a selection are done.

    Parameters
    ----------
    engine : {"native", "r", "sklearn"}, default "native"
    folds : Folds or FoldColumn, default Folds(10, seed=1)
    alpha : float, default 1.0
        1 is the LASSO; smaller values mix in ridge (the elastic net).
    standardize : bool, default True
        As in glmnet. The plug-in penalty never standardises: its loadings do that work.
    weights : str, optional
        Column of observation weights, for every LASSO and for the estimate.
    controls_by : {"forced", "residualised", "outcome", "double", "union"}, default "forced"
        How controls enter, see :mod:`ivbridge.selection.controls`.
    lambdas : sequence of float, optional
        Penalties of the instruments' LASSO; default glmnet's own.
    threshold : float, default 1e-7
        glmnet's ``thresh``.

    Raises
    ------
    UnsupportedError
        If ``controls_by`` is unknown.
    """

    engine: str = "native"
    folds: Folds | FoldColumn = Folds()  # noqa: RUF009
    alpha: float = 1.0
    standardize: bool = True
    weights: str | None = None
    controls_by: ControlsBy = "forced"
    lambdas: tuple[float, ...] | None = None
    threshold: float = 1e-7

    def __post_init__(self) -> None:
        if self.controls_by not in get_args(ControlsBy):
            known = ", ".join(get_args(ControlsBy))
            raise UnsupportedError(f"controls_by={self.controls_by!r} was asked.", available=known)
        if self.lambdas is not None:
            object.__setattr__(self, "lambdas", tuple(map(float, self.lambdas)))

    def lasso(
        self, dependent: str, penalised: Sequence[str], forced: Sequence[str] = (), *, own_lambdas: bool = True
    ) -> LassoSpec:
        """A LASSO question with these settings; forced columns come first and have no penalty."""
        return LassoSpec(
            dependent,
            (*forced, *penalised),
            penalty_factor=(0.0,) * len(forced) + (1.0,) * len(penalised) if forced else None,
            folds=self.folds,
            lambdas=None if own_lambdas else self.lambdas,
            alpha=self.alpha,
            standardize=self.standardize,
            weights=self.weights,
            threshold=self.threshold,
        )


@dataclass(frozen=True, slots=True)
class SelectionSpec:
    """Which candidates are instruments for `endog` in the equation of `dependent`?

    Parameters
    ----------
    dependent, endog : str
        Names of numeric or logical columns.
    candidates : sequence of str
        Names of columns that satisfy the exclusion restriction, which no data can decide.
    controls : sequence of str
        Names of numeric columns that may enter both equations.
    rule : Rule or str, default OneSE()
    options : SelectOptions

    Raises
    ------
    DataError
        If a column has two roles, or there is no candidate.
    UnsupportedError
        If the rule does not go with the options.
    """

    dependent: str
    endog: str
    candidates: tuple[str, ...]
    controls: tuple[str, ...] = ()
    rule: Rule = OneSE()  # noqa: RUF009
    options: SelectOptions = SelectOptions()

    def __post_init__(self) -> None:
        object.__setattr__(self, "candidates", tuple(self.candidates))
        object.__setattr__(self, "controls", tuple(self.controls))
        object.__setattr__(self, "rule", parse_rule(self.rule))
        _check_roles(self)
        _check_rule(self)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of the data that the question needs."""
        folds = self.options.folds
        extra = [folds.column] if isinstance(folds, FoldColumn) else []
        extra += [self.options.weights] if self.options.weights else []
        return tuple(dict.fromkeys((self.dependent, self.endog, *self.controls, *self.candidates, *extra)))

    def with_seed(self, seed: int) -> SelectionSpec:
        """The same question with other random folds, and other random parts for a cross-fitted rule.

        Raises
        ------
        UnsupportedError
            If nothing is drawn: the plug-in penalty, folds given by a column, or stability selection.
        """
        if isinstance(self.rule, PlugIn):
            raise UnsupportedError("The plug-in penalty draws nothing, so that no seed changes it.")
        if isinstance(self.rule, Stability):
            raise UnsupportedError("Stability selection runs over fold seeds itself.", do="look at .shares instead.")
        if isinstance(self.rule, CrossFitted):
            return replace(self, rule=replace(self.rule, seed=seed), options=_with_folds(self.options, seed))
        if isinstance(self.options.folds, FoldColumn):
            raise UnsupportedError(
                f"The folds are given by the column {self.options.folds.column!r}, so that no seed changes them.",
                do="select with folds=Folds(10) to see how the answer moves with the seed.",
            )
        return replace(self, options=_with_folds(self.options, seed))


def _with_folds(options: SelectOptions, seed: int) -> SelectOptions:
    return replace(options, folds=replace(options.folds, seed=seed)) if isinstance(options.folds, Folds) else options


def _check_roles(spec: SelectionSpec) -> None:
    if not spec.candidates:
        raise DataError("There is no candidate instrument.", do="name columns, or a pattern such as 'test_*'.")
    extra = {"weights": spec.options.weights} if spec.options.weights else {}
    if isinstance(spec.options.folds, FoldColumn):
        extra["folds"] = spec.options.folds.column
    roles: dict[str, list[str]] = {}
    for role, names in (
        ("dependent", (spec.dependent,)), ("endog", (spec.endog,)), ("controls", spec.controls),
        ("candidates", spec.candidates), *((role, (name,)) for role, name in extra.items()),
    ):  # fmt: skip
        for name in names:
            roles.setdefault(name, []).append(role)
    double = {name: given for name, given in roles.items() if len(given) > 1}
    if double:
        name, given = next(iter(double.items()))
        more = f" (and {len(double) - 1} more)" if len(double) > 1 else ""
        raise DataError(
            f"Column {name!r}{more} is given twice: {', '.join(given)}.",
            do="give each column one role; a pattern takes every column that it matches.",
        )


def _check_rule(spec: SelectionSpec) -> None:
    rule, options = spec.rule, spec.options
    plugin = isinstance(rule, PlugIn) or (isinstance(rule, CrossFitted) and rule.rule == "plugin")
    if plugin and options.alpha != 1:
        raise UnsupportedError(f"The plug-in penalty with alpha={options.alpha}.", available="alpha=1, the LASSO")
    if plugin and options.weights:
        raise UnsupportedError("The plug-in penalty with weights.", available="rules 1se and min")
    if options.alpha == 0:
        raise UnsupportedError("alpha=0 is ridge regression, which selects every candidate.", available="0 < alpha ≤ 1")
    if isinstance(rule, Stability) and isinstance(options.folds, FoldColumn):
        raise UnsupportedError("Stability selection over seeds with folds given by a column.", available="Folds(k)")
    if isinstance(rule, CrossFitted) and spec.controls and options.controls_by == "residualised":
        raise UnsupportedError(
            "Cross-fitting with controls residualised on all rows would let the parts see each other.",
            available="controls_by='forced', which takes the controls out within each part",
        )
