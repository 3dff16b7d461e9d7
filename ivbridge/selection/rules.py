"""Selection rules: how a LASSO path becomes a set of columns.

The short text form, used by the command line and by ``rule="…"``, is what ``str()`` prints and :func:`parse_rule`
reads: ``min``, ``1se``, ``plugin``, ``plugin(loadings=homoskedastic)``, ``crossfit(rule=1se, splits=2)``,
``adaptive(rule=min)``, ``stability(seeds=30, threshold=0.5)``.
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ivbridge.errors import UnsupportedError

__all__ = ["RULES", "Adaptive", "CrossFitted", "Min", "OneSE", "PlugIn", "Rule", "Stability", "parse_rule"]

#: Seeds and splits: each is a whole cross-validation.
MOST = 10_000


@dataclass(frozen=True, slots=True)
class Rule:
    """A selection rule. Subclasses are plain frozen records; ``str()`` gives the short text form."""

    keyword: ClassVar[str] = ""

    def __str__(self) -> str:
        changed = [field.name for field in dataclasses.fields(self) if getattr(self, field.name) != field.default]
        shown = ", ".join(f"{name}={getattr(self, name)}" for name in changed)
        return f"{self.keyword}({shown})" if shown else self.keyword


@dataclass(frozen=True, slots=True)
class Min(Rule):
    """The λ with the smallest cross-validated loss. R: ``s = "lambda.min"``."""

    keyword: ClassVar[str] = "min"


@dataclass(frozen=True, slots=True)
class OneSE(Rule):
    """The largest λ whose cross-validated loss is within one standard error of the smallest.

    R: ``s = "lambda.1se"``, the default of ``coef`` and ``predict`` for a ``cv.glmnet``.
    """

    keyword: ClassVar[str] = "1se"


@dataclass(frozen=True, slots=True)
class PlugIn(Rule):
    """The plug-in penalty of Belloni, Chen, Chernozhukov and Hansen (2012, Econometrica 80(6), Appendix A).

    λ = 2c√n Φ⁻¹(1 − γ/(2p)) with one loading for each column, found by iteration. R: ``hdm::rlasso`` with its
    defaults (post-LASSO residuals in the loadings).

    Parameters
    ----------
    loadings : {"heteroskedastic", "homoskedastic"}
    c : float, default 1.1
    gamma : float, optional
        Default: 0.1/log(n), as in hdm.
    """

    keyword: ClassVar[str] = "plugin"
    loadings: Literal["heteroskedastic", "homoskedastic"] = "heteroskedastic"
    c: float = 1.1
    gamma: float | None = None

    def __post_init__(self) -> None:
        if self.loadings not in ("heteroskedastic", "homoskedastic"):
            raise UnsupportedError(f"plugin: loadings={self.loadings!r}.", available="heteroskedastic, homoskedastic")
        _positive(self, "c")
        if self.gamma is not None and not 0 < self.gamma < 1:
            raise UnsupportedError(f"plugin: gamma={self.gamma!r}.", available="a number between 0 and 1")


@dataclass(frozen=True, slots=True)
class CrossFitted(Rule):
    """Select and fit the first stage on other rows than those whose regressor it predicts (sample splitting).

    Parameters
    ----------
    rule : {"1se", "min", "plugin"}
        How the set is chosen within each training part.
    splits : int, default 2
    seed : int, default 1
        Seed of R's generator that draws the parts, as :class:`~ivbridge.selection.spec.Folds` does.
    """

    keyword: ClassVar[str] = "crossfit"
    rule: str = "1se"
    splits: int = 2
    seed: int = 1

    def __post_init__(self) -> None:
        _inner(self, ("1se", "min", "plugin"))
        if not 2 <= self.splits <= MOST:
            raise UnsupportedError(f"crossfit: splits={self.splits}.", available=f"2 to {MOST}")


@dataclass(frozen=True, slots=True)
class Adaptive(Rule):
    """The adaptive LASSO of Zou (2006, JASA 101(476)): penalty factors 1/|b|ᵍ from a ridge fit at its CV minimum.

    Parameters
    ----------
    rule : {"1se", "min"}
    power : float, default 1.0
    """

    keyword: ClassVar[str] = "adaptive"
    rule: str = "1se"
    power: float = 1.0

    def __post_init__(self) -> None:
        _inner(self, ("1se", "min"))
        _positive(self, "power")


@dataclass(frozen=True, slots=True)
class Stability(Rule):
    """Columns selected in at least a share ``threshold`` of the fold draws.

    Parameters
    ----------
    rule : {"1se", "min"}
    seeds : int, default 30
        Fold seeds 1 … seeds.
    threshold : float, default 0.5
    """

    keyword: ClassVar[str] = "stability"
    rule: str = "1se"
    seeds: int = 30
    threshold: float = 0.5

    def __post_init__(self) -> None:
        _inner(self, ("1se", "min"))
        if not 1 <= self.seeds <= MOST or not 0 < self.threshold <= 1:
            raise UnsupportedError(f"{self} was asked.", available=f"seeds of 1 to {MOST}, a threshold in (0, 1]")


#: Every rule by its keyword.
RULES: dict[str, type[Rule]] = {
    rule.keyword: rule for rule in (Min, OneSE, PlugIn, CrossFitted, Adaptive, Stability)
}  # fmt: skip


def parse_rule(text: str | Rule) -> Rule:
    """Read the short text form of a rule.

    Raises
    ------
    UnsupportedError
        If there is no such rule, or it does not take an argument of that name or value.
    """
    if isinstance(text, Rule):
        return text
    match = re.fullmatch(r"\s*([\w.]+)\s*(?:\((.*)\))?\s*", str(text))
    name = match[1].removeprefix("lambda.").lower() if match else ""
    if match is None or name not in RULES:
        raise UnsupportedError(f"There is no selection rule {text!r}.", available=", ".join(RULES))
    kind = RULES[name]
    fields = {field.name: field for field in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    for part in filter(None, (match[2] or "").split(",")):
        key, found, value = (piece.strip() for piece in part.partition("="))
        if not found or key not in fields:
            offered = ", ".join(f"{field}=…" for field in fields) or "no argument"
            raise UnsupportedError(f"The rule {name} does not take {part.strip()!r}.", available=offered)
        values[key] = _value(kind, key, value)
    return kind(**values)


def _value(kind: type[Rule], name: str, text: str) -> object:
    default = {field.name: field.default for field in dataclasses.fields(kind)}[name]
    if isinstance(default, str):
        return text.strip("\"'")
    try:
        return int(text) if isinstance(default, int) else float(text)
    except ValueError:
        raise UnsupportedError(f"{kind.keyword}: {name}={text!r} is not a number.") from None


def _inner(rule: Adaptive | CrossFitted | Stability, allowed: tuple[str, ...]) -> None:
    if rule.rule not in allowed:
        raise UnsupportedError(f"{rule.keyword}: rule={rule.rule!r} is not offered.", available=", ".join(allowed))


def _positive(rule: Rule, name: str) -> None:
    if not 0 < getattr(rule, name) < math.inf:
        raise UnsupportedError(f"{rule.keyword}: {name}={getattr(rule, name)!r}.", available="a number above 0")
