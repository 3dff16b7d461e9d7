"""Differences between groups: in means, by strata, by placebo."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ivbridge.audit.nodes import Node, ancestors, constant, last
from ivbridge.audit.tables import column
from ivbridge.audit.view import Hit, View, masked, title
from ivbridge.audit.vocabulary import is_placebo, is_potential

__all__ = ["aggregated", "confounders_left", "means", "placebo_power", "placebos"]

_ERRORS = frozenset(
    ("std", "var", "sem", "ttest_ind", "ttest_rel", "CompareMeans", "ttest", "bootstrap", "count", "agg")
)
_AGGREGATES = frozenset(("mean", "sum", "average", "dot", "mul", "multiply"))


def means(view: View) -> Iterator[Hit]:
    """The mean of the treated less the mean of the others, and nothing about its error."""
    for node in view.program.nodes:
        if node.op != "arith" or node.name != "Sub" or not all(_mean(one) for one in node.args):
            continue
        groups = [_group(one) for one in node.args]
        arms = [masked(view, group.args[1]) for group in groups if group is not None]
        if len(arms) < 2 or not all(view.treated(arm) for arm in arms) or any(is_placebo(arm) for arm in arms if arm):
            continue
        if any(group and is_potential(group) for group in groups) or _has_error(view, groups):
            continue
        yield Hit(
            "difference-without-error",
            node.place,
            f"{title(node)} is a difference of two means; no standard error is computed.",
        )


def _mean(node: Node) -> bool:
    return node.op in ("method", "call") and last(node) in ("mean", "average", "nanmean")


def _group(node: Node) -> Node | None:
    """The rows that a mean is taken of."""
    inner = node.args[0] if node.args else None
    return inner if inner is not None and inner.op in ("take", "subset") else None


def _has_error(view: View, groups: list[Node | None]) -> bool:
    keys = {group.key for group in groups if group is not None}
    same = [one for one in view.program.nodes if one.key in keys]
    return any(last(user) in _ERRORS for one in same for user in view.program.users(one))


def _strata(view: View) -> Iterator[tuple[Node, Node, list[Node]]]:
    """Differences between the columns of a table of means by stratum and treatment: the difference, the call of
    groupby, the strata."""
    for node in view.program.nodes:
        if node.op != "arith" or node.name != "Sub" or len(node.args) != 2:
            continue
        if not all(one.op in ("subset", "column") and one.args[0] is node.args[0].args[0] for one in node.args):
            continue
        for group in (one for one in ancestors(node.args[0].args[0]) if one.op == "method" and one.name == "groupby"):
            names = constant(group.argument(0, "by"))
            if isinstance(names, tuple) and len(names) > 1:
                keys = [column(view.program, group.args[0], str(one), group.place) for one in names]
                if any(view.treated(key) for key in keys):
                    yield node, group, [key for key in keys if not view.treated(key)]


def aggregated(view: View) -> Iterator[Hit]:
    """Differences by stratum that end there."""
    for node, group, strata in _strata(view):
        if any(one.name in _ERRORS for one in view.program.descendants(group)):
            continue
        uses = view.program.users(node)
        if not any(last(one) in _AGGREGATES or one.op == "arith" for one in uses):
            names = ", ".join(title(one) for one in strata)
            yield Hit(
                "strata-not-aggregated", node.place, f"Differences by {names} are shown; no weighted mean, no error."
            )


def confounders_left(view: View) -> Iterator[Hit]:
    """Strata of fewer variables than the analysis adjusts for elsewhere."""
    for _, group, strata in _strata(view):
        inside = {key for one in strata for key in (a.key for a in ancestors(one))}
        wider = [m for m in view.models if any(one.key in inside for one in m.features) and len(m.features) > 1]
        for model in sorted(wider, key=lambda m: -len(m.features))[:1]:
            rest = [
                one for one in model.features if one.key not in inside and not view.treated(one) and one.fitted is None
            ]
            if rest:
                left = ", ".join(dict.fromkeys(title(one) for one in rest))
                yield Hit(
                    "strata-leave-confounders",
                    group.place,
                    f"Strata of {', '.join(title(one) for one in strata)}; open: {left}.",
                )


def _placebos(view: View) -> list[Node]:
    return [
        one
        for one in view.program.nodes
        if one.op == "draw"
        and (
            is_placebo(one) or (one.name in ("permutation", "permuted", "shuffle") and any(map(view.treated, one.args)))
        )
    ]


def placebos(view: View) -> Iterator[Hit]:
    """A placebo that is drawn once."""
    found = _placebos(view)
    if any(one.place.loop or _many(one) for one in found) or view.says(r"permutation_test|randomi[sz]ation_test"):
        return
    for one in found[:1]:
        yield Hit("placebo-once", one.place, f"{title(one)} is drawn once; its estimate is compared with nothing.")


def _many(draw: Node) -> bool:
    size = draw.keywords.get("size")
    return size is not None and size.op == "list" and len(size.args) > 1


def placebo_power(view: View) -> Iterator[Hit]:
    """A placebo that is drawn at random, and no negative control."""
    prose = "\n".join((view.source.prose, *(cell.code for cell in view.source.cells)))
    pattern = re.compile(
        r"negative[ _-]?control|neg_control|(^|\W)nc[eo](\W|$)|no power against confound", re.IGNORECASE
    )
    found = [one for one in _placebos(view) if is_placebo(one)]
    if found and not pattern.search(prose) and not view.says(r"negative_?control|neg_control|^nc[eo](_|$)"):
        yield Hit(
            "placebo-for-confounding",
            found[0].place,
            f"{title(found[0])} is drawn at random; there is no negative control.",
        )
