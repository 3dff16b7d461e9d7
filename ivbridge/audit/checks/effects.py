"""Effects of units: forests, rankings, counterfactuals."""

from __future__ import annotations

from collections.abc import Iterator

from ivbridge.audit.models import PREDICTS, effects_of_units, in_sample, models
from ivbridge.audit.nodes import Node, ancestors, constant, last
from ivbridge.audit.tables import column
from ivbridge.audit.view import Hit, View, masked, title
from ivbridge.audit.vocabulary import CATE_LEARNERS

__all__ = ["centring", "counterfactuals", "ranking", "seen_rows"]

_TESTED = r"qini|autoc|auuc|calibrat|drtester|uplift_(at|by|curve)|policy_value|rank_average|(^|_)rate(_test)?$|gates$"
_SORTS = frozenset(("sort_values", "nlargest", "nsmallest", "argsort", "argpartition", "sorted", "rank", "qcut"))
_PLAIN_FORESTS = frozenset(("CausalForest", "CausalTree", "GRFTree"))


def centring(view: View) -> Iterator[Hit]:
    """econml.grf's forest, which does not centre by itself, on outcome and treatment as they are."""
    for model in view.models:
        if model.kind not in _PLAIN_FORESTS or model.target is None:
            continue
        if model.target.op == "arith" and model.target.name == "Sub":  # a residual, by a function of the program's own
            continue
        if not any(
            one.op == "arith" and one.name == "Sub" and _predicted(one.args[-1]) for one in ancestors(model.target)
        ):
            yield Hit(
                "forest-not-centred",
                model.fit.place,
                f"{model.kind} is fitted to {title(model.target)} itself, not to a residual.",
            )


def _predicted(node: Node) -> bool:
    return any(one.name in PREDICTS or last(one) == "cross_val_predict" for one in ancestors(node))


def seen_rows(view: View) -> Iterator[Hit]:
    """A forest or tree that predicts effects of the rows that it was grown on."""
    for node, model in effects_of_units(view.program):
        if ("Forest" in model.kind or "Tree" in model.kind) and in_sample(node.argument(0, "X"), model.rows):
            yield Hit(
                "effects-in-sample", node.place, f"{title(node)}: {model.kind} predicts the rows that it was fitted to."
            )


def ranking(view: View) -> Iterator[Hit]:
    """Sorting by predicted effects, and no held-out test of them."""
    if view.says(_TESTED):
        return
    effects = {node for node, _ in effects_of_units(view.program)} | _two_models(view)
    for node in view.program.nodes:
        if node.op not in ("method", "call") or last(node) not in _SORTS:
            continue
        for by in _sorted_by(view, node):
            if ancestors(by) & effects:
                yield Hit(
                    "ranking-of-noise", node.place, f"Units are sorted by {title(by)}; no held-out test of it is made."
                )
                break


def _sorted_by(view: View, node: Node) -> list[Node]:
    table = node.args[0] if node.op == "method" else None
    given = [*node.args[1:], *node.keywords.values()] if table is not None else list(node.args)
    names = [name for one in given for name in _names(constant(one))]
    columns = [column(view.program, table, name, node.place) for name in names] if table is not None else []
    return columns or [one for one in (table, *given) if one is not None and one.op not in ("constant", "list")]


def _names(value: object) -> list[str]:
    return [one for one in (value if isinstance(value, tuple) else (value,)) if isinstance(one, str)]


def _two_models(view: View) -> set[Node]:
    """Differences of the predictions of two models for the same rows: effects by two learners."""
    found = set()
    for node in view.program.nodes:
        if node.op == "arith" and node.name == "Sub":
            sides = [one for one in node.args if one.name in PREDICTS and one.fitted is not None]
            if len(sides) == 2 and all(_arm(view, one) for one in sides):
                found.add(node)
    return found


def _arm(view: View, said: Node) -> bool:
    """Whether a prediction is one of a model that was fitted to one arm."""
    rows = [one.args[1] for one in ancestors(said.fitted or said) if one.op in ("take", "subset")]
    return any(view.treated(masked(view, mask)) for mask in rows)


def counterfactuals(view: View) -> Iterator[Hit]:
    """E[Y|X] of all units plus a predicted effect."""
    effects = {node for node, _ in effects_of_units(view.program)}
    by_fit = {model.fit: model for model in models(view.program)}
    for node in view.program.nodes:
        if node.op != "arith" or node.name != "Add" or len(node.args) != 2:
            continue
        for mean, effect in (node.args, node.args[::-1]):
            model = by_fit.get(mean.fitted) if mean.fitted is not None else None
            if model is None or model.kind in CATE_LEARNERS or not ancestors(effect) & effects:
                continue
            if not any(view.treated(one) for one in model.features) and not _arm(view, mean):
                yield Hit(
                    "counterfactual-from-mean",
                    node.place,
                    f"{title(node)} is {title(mean)}, the mean of "
                    f"{title(model.target or mean)} over both arms, plus {title(effect)}.",
                )
