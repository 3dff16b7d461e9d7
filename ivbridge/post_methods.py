"""What a study lets answer the post's two scenarios: least squares, and selected, many and true instruments.

Everything here is a function of one draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ivbridge import batch, kclass, linear, sandwich
from ivbridge.errors import DesignError
from ivbridge.method import LIML, Method, TwoStage
from ivbridge.records import FloatArray, Seen
from ivbridge.study import Method as Answers
from ivbridge.study import OneByOne, Outcome, outcome
from ivbridge.vcov import HC0, Bekker, Classical, Vcov

if TYPE_CHECKING:
    from ivbridge.selection.design import LassoDesign
    from ivbridge.simulate import Draw

__all__ = ["METHODS_A", "METHODS_B", "SPLIT_SEEDS", "lasso_design"]

#: Added to a draw's seed for sample splits: R's generator with the same seed would repeat the numbers of the data.
SPLIT_SEEDS = 1_000_000


def lasso_design(draw: Draw, fold_seed: int | None = None) -> LassoDesign:
    """The post's LASSO of X on the valid candidates.

    Parameters
    ----------
    draw : Draw
    fold_seed : int, optional
        Default: the folds that R would draw next, as in the post.
    """
    from ivbridge.selection.design import build_lasso
    from ivbridge.selection.spec import FoldColumn, Folds, LassoSpec

    folds = FoldColumn("fold") if fold_seed is None else Folds(10, seed=fold_seed)
    return build_lasso(LassoSpec(draw.endog, draw.valid, folds=folds), draw.frame.assign(fold=draw.foldid))


def _instrumented(frame: pd.DataFrame, z: FloatArray, method: Method, *vcovs: Vcov) -> list[Outcome]:
    """Y on X with an intercept and instruments z (n, l), one outcome for each vcov; normal intervals."""
    count = z.shape[1]
    if count == 0:
        raise DesignError("no instrument was selected")
    ones = np.ones(len(frame))
    seen = Seen(
        rows=np.arange(len(frame)),
        x_names=("(Intercept)", "X"),
        z_names=("(Intercept)", *(f"z{j}" for j in range(count))),
        y=frame["Y"].to_numpy(),
        x=np.column_stack([ones, frame["X"]]),
        z=np.column_stack([ones, z]),
    )
    model = kclass.estimated(seen, method)
    return [outcome(model.coef[1], _standard_error(model, vcov), count) for vcov in vcovs]


def _standard_error(model: linear.Linear, vcov: Vcov) -> float:
    return math.sqrt(sandwich.covariance(model, vcov, {})[1, 1])


def _batched(draws: Sequence[Draw]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Y and X, (B, n) each, and the constant, (n, 1)."""
    y, x = (np.stack([draw.frame[name].to_numpy(dtype=np.float64) for draw in draws]) for name in ("Y", "X"))
    return y, x, np.ones((y.shape[1], 1))


def _columns(frame: pd.DataFrame, names: Sequence[str]) -> FloatArray:
    return frame[list(names)].to_numpy(dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _LeastSquares:
    """Y on X, classical standard errors: what the post calls "no instrument"."""

    def __call__(self, draw: Draw, _seed: int) -> list[Outcome]:
        frame = draw.frame
        basis = linear.Basis.of(np.column_stack([np.ones(len(frame)), frame["X"]]), None)
        model = linear.least_squares(frame["Y"].to_numpy(), basis, ("(Intercept)", "X"))
        return [outcome(model.coef[1], _standard_error(model, Classical()))]

    def many(self, draws: Sequence[Draw], seeds: Sequence[int]) -> list[Sequence[Outcome]]:
        """The same for many draws."""
        y, x, ones = _batched(draws)
        found = batch.fit(y, ones, x, None, "classical", "ols")
        return [
            self(draw, seed) if b in found.notes else [outcome(found.coef[b, 1], found.std_error[b, 1])]
            for b, (draw, seed) in enumerate(zip(draws, seeds, strict=True))
        ]


@dataclass(frozen=True, slots=True)
class _Given:
    """Instruments that are known."""

    which: Callable[[Draw], Sequence[str]]
    method: Method = TwoStage()  # noqa: RUF009
    vcovs: tuple[Vcov, ...] = (HC0(),)

    def __call__(self, draw: Draw, _seed: int) -> list[Outcome]:
        return _instrumented(draw.frame, _columns(draw.frame, self.which(draw)), self.method, *self.vcovs)

    def many(self, draws: Sequence[Draw], seeds: Sequence[int]) -> list[Sequence[Outcome]]:
        """The same for many draws, which have as many instruments each."""
        y, x, ones = _batched(draws)
        z = np.stack([np.array([draw.frame[name].to_numpy() for name in self.which(draw)]).T for draw in draws])
        found = [batch.fit(y, ones, x, z, vcov, self.method) for vcov in self.vcovs]
        return [
            self(draw, seed)
            if any(b in one.notes for one in found)
            else [outcome(one.coef[b, 1], one.std_error[b, 1], z.shape[2]) for one in found]
            for b, (draw, seed) in enumerate(zip(draws, seeds, strict=True))
        ]


def _weak(_draw: Draw) -> tuple[str]:
    return ("weak",)


@dataclass(frozen=True, slots=True)
class _CrossValidated:
    """λ.min and λ.1se of one cross-validated path, and LIML on the latter's set: three answers from one path."""

    def __call__(self, draw: Draw, _seed: int) -> list[Outcome]:
        from ivbridge.selection.engines import lasso_engine

        fit = lasso_engine("native").cv(lasso_design(draw))
        found = []
        for rule, method in (("min", TwoStage()), ("1se", TwoStage()), ("1se", LIML())):
            try:
                found += _instrumented(draw.frame, _columns(draw.frame, fit.selected(rule)), method, HC0())
            except DesignError as error:
                found.append(Outcome(selected=len(fit.selected(rule)), note=str(error)))
        return found


@dataclass(frozen=True, slots=True)
class _PlugIn:
    """The plug-in penalty with heteroskedastic loadings."""

    def __call__(self, draw: Draw, _seed: int) -> list[Outcome]:
        from ivbridge.selection.engines import lasso_engine
        from ivbridge.selection.plugin import plug_in
        from ivbridge.selection.rules import PlugIn

        found = plug_in(lasso_design(draw), PlugIn(), lasso_engine("native"))
        return _instrumented(draw.frame, _columns(draw.frame, found.selected), TwoStage(), HC0())


@dataclass(frozen=True, slots=True)
class _CrossFitted:
    """λ.1se chosen and fitted on one half of the rows, used as the instrument of the other half."""

    def __call__(self, draw: Draw, seed: int) -> list[Outcome]:
        from ivbridge.selection.crossfit import cross_fit
        from ivbridge.selection.engines import lasso_engine
        from ivbridge.selection.rules import CrossFitted

        rule = CrossFitted(seed=SPLIT_SEEDS + seed)
        found = cross_fit(lasso_design(draw, 2 * SPLIT_SEEDS + seed), rule, lasso_engine("native"))
        if not found.selected:
            raise DesignError("no instrument was selected")
        (said,) = _instrumented(draw.frame, found.prediction[:, None], TwoStage(), HC0())
        return [outcome(said.estimate, said.std_error, len(found.selected))]


@dataclass(frozen=True, slots=True)
class _AndersonRubin:
    """The Anderson–Rubin confidence set of one instrument: it has no point estimate, and may be unbounded."""

    instrument: str

    def __call__(self, draw: Draw, _seed: int) -> list[Outcome]:
        from ivbridge.weakiv import confidence_set

        found = confidence_set(f"Y ~ X | {self.instrument}", draw.frame, "HC0")
        low = min((interval[0] for interval in found.intervals), default=math.nan)
        high = max((interval[1] for interval in found.intervals), default=math.nan)
        covers = any(low <= draw.truth <= high for low, high in found.intervals)
        return [Outcome(conf_low=low, conf_high=high, covers=covers, selected=1, note=str(found.kind))]


def _quick(name: str, asked: _LeastSquares | _Given) -> Answers:
    """A method that answers many draws at once."""
    return Answers((name,), asked, asked.many)


#: Scenario A: each instrument of the post, and what the weak one still allows to be said.
METHODS_A = (
    _quick("OLS", _LeastSquares()),
    _quick("good", _Given(attrgetter("strong"))),
    _quick("weak", _Given(_weak)),
    Answers(
        ("weak, Anderson–Rubin",), _AndersonRubin("weak"), OneByOne(("weak, Anderson–Rubin",), _AndersonRubin("weak"))
    ),
    _quick("invalid", _Given(attrgetter("invalid"))),
)

#: Scenario B; "LASSO 1se" is the post's own choice.
METHODS_B = (
    _quick("OLS", _LeastSquares()),
    _quick("2SLS, all valid", _Given(attrgetter("valid"))),
    Answers(
        ("LIML, all valid, HC0", "LIML, all valid, Bekker"), _Given(attrgetter("valid"), LIML(), (HC0(), Bekker()))
    ),
    Answers(("LASSO min", "LASSO 1se", "LASSO 1se, LIML"), _CrossValidated()),
    Answers(("plug-in",), _PlugIn()),
    Answers(("cross-fitted 1se",), _CrossFitted()),
    _quick("oracle", _Given(attrgetter("strong"))),
)
