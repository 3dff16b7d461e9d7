"""Habits that are no causal question by themselves: names, default errors, selection, methods that are only named."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ivbridge.audit.models import Model
from ivbridge.audit.nodes import Node, ancestors, last
from ivbridge.audit.view import Hit, View, title

__all__ = ["default_errors", "named_only", "overwritten", "selected"]

_DATA_NAMES = frozenset(
    ["X", "Y", "y", "T", "t", "D", "d", "W", "w", "Z", "z", "x", "df", "data", "treated", "control", "features"]
)
_SHOWN = frozenset(["summary", "summary2", "bse", "pvalues", "conf_int", "tvalues"])
_SUPPORT = frozenset(["coef_", "get_support", "support_", "pvalues", "feature_importances_", "ranking_"])
_SELECTORS = re.compile(r"Lasso|ElasticNet|LassoLars|SelectKBest|SelectFromModel|RFE|OLS|ols|SequentialFeatureSelector")
#: Methods by the words of prose, and by the names that code would have.
_METHODS = {
    "Rosenbaum bounds": (r"rosenbaum\W{1,3}bound", r"rosenbaum|rbounds|gamma_bound|senspm"),
    "uplift models": (r"uplift\W{1,3}(model|tree|decision)", r"uplift|qini|TLearner|two_model|ClassTransformation"),
    "E-values": (r"\be-value", r"e_?value"),
    "negative controls": (r"negative control", r"negative|neg_control|^nc[eo](_|$)"),
    "doubly robust estimation": (r"doubly[ -]robust", r"aipw|doubly|DRLearner|IRM|tmle"),
    "meta-learners": (r"meta-?learner", r"[STXR]Learner|[stxr]_learner|metalearn"),
    "causal trees": (r"causal trees?\b", r"CausalTree|causal_tree|GRFTree|CausalForest"),
}


def default_errors(view: View) -> Iterator[Hit]:
    """Least squares with classical errors, where its coefficient is read as an effect."""
    if view.says(r"get_robustcov_results|cov_cluster|cov_hac"):
        return
    for model in view.models:
        if not model.linear or "sklearn" in model.maker.name or model.kind in ("feols", "PanelOLS"):
            continue
        if "cov_type" in model.fit.keywords or not any(
            n.name in _SHOWN and n.fitted is model.fit for n in view.program.nodes
        ):
            continue
        effect = [
            one for one in model.features if view.treated(one) or _first_stage(view, one, model) or _residual(one)
        ]
        if effect:
            yield Hit(
                "classical-errors",
                model.fit.place,
                f"{model.kind}(…).fit() without cov_type; its errors of {title(effect[0])} are shown.",
            )


def _first_stage(view: View, feature: Node, second: Model) -> bool:
    """Whether a regressor is the prediction of another variable than the regression's own target."""
    first = next((m for m in view.models if feature.fitted is not None and m.fit is feature.fitted), None)
    if first is None or first.target is None or second.target is None:
        return False
    return first.target.key != second.target.key


def _residual(node: Node) -> bool:
    return node.op == "arith" and node.name == "Sub" and len(node.args) == 2 and node.args[1].fitted is not None


def overwritten(view: View) -> Iterator[Hit]:
    """The name of a matrix or variable that gets other content in a later cell."""
    first: dict[str, tuple[Node, int]] = {}
    reported: set[str] = set()
    for name, node, place in view.program.bindings:
        if name not in _DATA_NAMES or node.op in ("part", "each", "filled", "split"):
            continue
        old = first.get(name)
        if old is None or place.cell == old[1]:
            first[name] = (node, place.cell)
            continue
        if node.key != old[0].key and old[0] not in ancestors(node) and name not in reported:
            reported.add(name)
            label = view.source.cells[old[1]].label
            yield Hit("names-overwritten", place, f"{name} was something else in {label}.")
        first[name] = (node, place.cell)


def selected(view: View) -> Iterator[Hit]:
    """Regressors chosen by a model of the same outcome in the same rows, then tested as if they had been given."""
    for model in view.models:
        if not model.linear or "sklearn" in model.maker.name or model.target is None:
            continue
        if not any(one.name in _SHOWN and one.fitted is model.fit for one in view.program.nodes):
            continue
        inside = ancestors(model.rows) if model.rows is not None else set()
        for choice in (one for one in inside if one.name in _SUPPORT and one.fitted is not None):
            other = next((m for m in view.models if m.fit is choice.fitted), None)
            if (
                other is not None
                and other.target is not None
                and other.target.key == model.target.key
                and _SELECTORS.search(last(other.maker))
            ):
                yield Hit(
                    "selection-then-inference",
                    model.fit.place,
                    f"{last(other.maker)} chose the regressors of {model.kind} on the same rows.",
                )
                break


def named_only(view: View) -> Iterator[Hit]:
    """Methods of the prose that the code does not have."""
    for method, (words, names) in _METHODS.items():
        if re.search(words, view.source.prose, re.IGNORECASE) and not view.says(names):
            yield Hit(
                "named-not-computed",
                view.program.nodes[0].place,
                f"The text speaks of {method}; no cell computes them.",
            )
