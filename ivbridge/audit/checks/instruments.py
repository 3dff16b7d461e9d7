"""Instrumental variables: by hand, without a question, without strength."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ivbridge.audit.checks.simulated import is_simulated
from ivbridge.audit.models import Model
from ivbridge.audit.nodes import Node, ancestors
from ivbridge.audit.view import Hit, View, title
from ivbridge.audit.vocabulary import is_placebo, learner, names_of

__all__ = ["by_hand", "exogenous", "no_effect", "strength"]

_LIBRARY = frozenset(["IV2SLS", "IVLIML", "IVGMM", "IVGMMCUE"])
_CONTROL = re.compile(r"negative|placebo|falsif|before|(^|_)(pre|past|lag|nco)(_|\d|$)", re.IGNORECASE)
_PREDICTS = ("predict", "fittedvalues", "fitted_values")


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    """Outcome, treatment and controls of an instrumental-variables regression, and the calls of its stages."""

    outcome: Node
    treatment: Node
    controls: tuple[Node, ...]
    first: Node
    second: Node


def _stages(view: View) -> Iterator[tuple[Model, Model, Node]]:
    """Regressions on the prediction of another regression of another variable."""
    for second in view.models:
        if not second.linear or "sklearn" in second.maker.name or second.target is None:
            continue
        for feature in second.features:
            first = next((m for m in view.models if m.fit is feature.fitted), None)
            if first is None or feature.name not in _PREDICTS or first.target is None:
                continue
            if (first.linear or first.kind in ("Logit", "Probit", "logit")) and first.target.key != second.target.key:
                yield first, second, feature


def by_hand(view: View) -> Iterator[Hit]:
    """A second stage whose errors are those of a plain regression."""
    for first, second, feature in _stages(view):
        yield Hit(
            "manual-two-stage",
            second.fit.place,
            f"{title(second.target or feature)} is regressed on {title(feature)}, the prediction of "
            f"{title(first.target or feature)}.",
        )


def _questions(view: View) -> Iterator[_Question]:
    for first, second, feature in _stages(view):
        rest = tuple(one for one in second.features if one is not feature)
        if first.target is not None and second.target is not None:
            yield _Question(second.target, first.target, rest, first.fit, second.fit)
    for node in view.program.nodes:
        maker = learner(node.args[0], _LIBRARY) if node.op == "method" and node.name == "fit" else None
        if maker is None:
            continue
        outcome, exog, endog = (maker.argument(i, name) for i, name in enumerate(("dependent", "exog", "endog")))
        if outcome is not None and endog is not None:
            controls = tuple(ancestors(exog)) if exog is not None else ()
            yield _Question(outcome, endog, controls, maker, node)


def strength(view: View) -> Iterator[Hit]:
    """A first stage of which nothing is shown."""
    if view.says(r"first_stage|effective_f|anderson_rubin|weak_?iv|f_test|fvalue|f_stat|partial_f|montiel|cragg"):
        return
    shown = frozenset(("summary", "tvalues", "wald_test", "compare_f_test", "pvalues", "rsquared", "summary2"))
    for asked in _questions(view):
        if not any(one.name in shown and one.fitted is asked.first for one in view.program.nodes):
            yield Hit(
                "first-stage-not-looked-at",
                asked.second.place,
                f"{title(asked.treatment)} is instrumented; no first-stage F is shown.",
            )


def _pairs(view: View) -> Iterator[tuple[Node, Node, Node]]:
    """Outcome, treatment and call of every regression that is meant to show an effect."""
    for asked in _questions(view):
        yield asked.outcome, asked.treatment, asked.second
    for model in view.models:
        for feature in model.features:
            if model.linear and model.target is not None and view.treated(feature) and not is_placebo(feature):
                yield model.target, feature, model.fit


def no_effect(view: View) -> Iterator[Hit]:
    """A simulated treatment that the simulated outcome does not depend on."""
    for outcome, treatment, fit in _pairs(view):
        if (
            is_simulated(outcome)
            and is_simulated(treatment)
            and treatment not in ancestors(outcome)
            and not _negative(outcome, fit)
            and outcome not in ancestors(treatment)
        ):
            yield Hit(
                "outcome-without-treatment",
                fit.place,
                f"{title(outcome)} is made without {title(treatment)}: the true effect is 0.",
                {"true effect": 0.0},
            )


def _negative(outcome: Node, fit: Node) -> bool:
    """Whether an outcome is one that the treatment cannot have changed, by what it or its regression is called."""
    return any(_CONTROL.search(name) for name in (*names_of(outcome), *fit.labels))


def exogenous(view: View) -> Iterator[Hit]:
    """An instrument for a simulated treatment that shares no hidden cause with the outcome."""
    for asked in _questions(view):
        if not (is_simulated(asked.outcome) and is_simulated(asked.treatment)):
            continue
        known = {one for control in asked.controls for one in ancestors(control)}
        shared = _draws(asked.treatment, None) & _draws(asked.outcome, asked.treatment) - known
        if not shared:
            yield Hit(
                "iv-without-endogeneity",
                asked.second.place,
                f"{title(asked.treatment)} and {title(asked.outcome)} share no cause besides the controls.",
            )


def _draws(node: Node, without: Node | None) -> set[Node]:
    """Draws that a value is made from, not counting what comes through another value."""
    found: set[Node] = set()
    seen, left = {node}, [node]
    while left:
        one = left.pop()
        if one is without:
            continue
        if one.op == "draw":
            found.add(one)
        new = [part for part in one.inputs if part not in seen]
        seen.update(new)
        left += new
    return found
