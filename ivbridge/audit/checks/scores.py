"""Propensity scores, and what is matched or weighted by them."""

from __future__ import annotations

from collections.abc import Iterator

from ivbridge.audit.models import Model, predictions
from ivbridge.audit.nodes import Node, ancestors, constant, last
from ivbridge.audit.view import Hit, View, masked, title
from ivbridge.audit.vocabulary import is_propensity

__all__ = ["balance", "matching", "overlap", "penalty", "solver", "weights"]

#: Ways to look at a distribution.
LOOKS = frozenset(
    [
        "min",
        "max",
        "describe",
        "hist",
        "histplot",
        "kdeplot",
        "quantile",
        "boxplot",
        "violinplot",
        "percentile",
        "clip",
        "between",
        "value_counts",
        "trim",
        "nlargest",
        "nsmallest",
        "distplot",
        "histogram",
        "boxenplot",
    ]
)
#: Draws whose size is about 1 when they are called without location and scale.
_UNIT = frozenset(["standard_normal", "randn", "rand", "random", "random_sample", "binomial", "beta"])
#: Largest ratio of sizes of columns for which the default solver is not in doubt.
_EVEN = 30.0


def scores(view: View) -> Iterator[tuple[Model, Node]]:
    """Fitted probabilities that are used as propensity scores, with their model."""
    for model in view.models:
        for node in predictions(view.program, model):
            if model.kind.startswith("LogisticRegression") and node.name != "predict_proba":
                continue
            if model.linear or not (node.name == "predict_proba" or model.kind.lower() in ("logit", "probit", "glm")):
                continue
            if is_propensity(node) or view.treated(model.target) or _divides(view, node):
                yield model, node


def _divides(view: View, score: Node) -> bool:
    return any(
        one.op == "arith" and one.name == "Div" and score in ancestors(one.args[1]) for one in view.program.users(score)
    )


def _unique(view: View) -> dict[Model, Node]:
    found: dict[Model, Node] = {}
    for model, node in scores(view):
        found.setdefault(model, node)
    return found


def penalty(view: View) -> Iterator[Hit]:
    """LogisticRegression with its default penalty."""
    for model in _unique(view):
        if not model.kind.startswith("LogisticRegression"):
            continue
        given = model.maker.keywords
        strength = given.get("C")
        amount = constant(strength)
        endless = strength is not None and last(strength) in ("inf", "infty", "float")
        free = "penalty" in given and constant(given["penalty"]) in (None, "none")
        if free or endless or "**" in given or (isinstance(amount, int | float) and amount >= 1e4):
            continue
        shown = f"C={amount:g}" if isinstance(amount, int | float) else "the default C=1"
        yield Hit("propensity-penalised", model.fit.place, f"{model.kind} with {shown} gives the propensity score.")


def solver(view: View) -> Iterator[Hit]:
    """LogisticRegression on columns that were not standardised, and no look at its convergence."""
    for model in _unique(view):
        if not model.kind.startswith("LogisticRegression") or view.says(r"^n_iter_$|converged|ConvergenceWarning"):
            continue
        inside = ancestors(model.fit)
        scaled = any(
            last(one).endswith(("Scaler", "scale", "zscore", "Normalizer", "Transformer"))
            or (one.op == "method" and one.name == "std")
            for one in inside
        )
        if scaled or constant(model.maker.keywords.get("solver")) == "newton-cholesky" or _even(model.features):
            continue
        names = ", ".join(title(one) for one in model.features[:4])
        yield Hit(
            "propensity-solver",
            model.fit.place,
            f"{model.kind} on {names or 'columns'} as they are; nothing standardises them or looks at convergence.",
        )


def _even(features: tuple[Node, ...]) -> bool:
    """Whether the columns are draws of about the same size."""
    sizes = [_size(one) for one in features]
    known = [size for size in sizes if size]
    return bool(sizes) and len(known) == len(sizes) and max(known) / min(known) < _EVEN


def _size(node: Node) -> float:
    """About how large a draw's values are; 0 where that is not known."""
    if node.op != "draw":
        return 0.0
    if node.name in _UNIT:
        return 1.0
    if node.name == "normal":
        loc, scale = constant(node.argument(0, "loc")), constant(node.argument(1, "scale"))
        numbers = [abs(x) for x in (loc, scale) if isinstance(x, int | float) and not isinstance(x, bool)]
        return max(numbers, default=1.0) or 1.0
    return 0.0


def _near(view: View, node: Node) -> set[Node]:
    """A value, some rows of it, and tables that it is a column of."""
    found, left = {node}, [node]
    while left:
        for one in view.program.users(left.pop()):
            if one.op in ("take", "subset", "columns", "split", "list") and one not in found:
                found.add(one)
                left.append(one)
    return found


def looked_at(view: View, node: Node) -> bool:
    """Whether a distribution is looked at, trimmed or compared with a bound."""
    for one in _near(view, node):
        for user in view.program.users(one):
            if user.op == "compare" or (user.op in ("call", "method") and last(user) in LOOKS):
                return True
    return False


def overlap(view: View) -> Iterator[Hit]:
    """Scores that nobody looks at."""
    if view.says(r"overlap|common_support|effective_sample|^ess(_|$)|trim"):
        return
    for score in _unique(view).values():
        if not _seen(view, score):
            yield Hit(
                "overlap-not-looked-at", score.place, f"{title(score)} is used; its range in the arms is not shown."
            )


def weights(view: View) -> Iterator[Hit]:
    """One over a score, as it is."""
    if view.says(r"^ess(_|$)|effective_sample|trim|stabili"):
        return
    for score in _unique(view).values():
        made = _weights(view, score)
        if made and not _seen(view, score):
            yield Hit(
                "weights-not-looked-at", made[0].place, f"Weights are made from {title(score)} and used as they are."
            )


def _weights(view: View, score: Node) -> list[Node]:
    """Quotients with the score below the line."""
    made = [one for one in _arithmetic(view, score) if one.name == "Div"]
    return [one for one in made if score in ancestors(one.args[-1])]


def _seen(view: View, score: Node) -> bool:
    """Whether somebody looks at the score, or at weights that are made from it."""
    return looked_at(view, score) or any(looked_at(view, one) for one in _labelled(view, _weights(view, score)))


def _arithmetic(view: View, node: Node) -> list[Node]:
    found, left = [], [node]
    while left:
        for one in view.program.users(left.pop()):
            if one.op == "arith" and one not in found:
                found.append(one)
                left.append(one)
    return sorted(found, key=lambda one: one.place)


def _labelled(view: View, nodes: list[Node]) -> list[Node]:
    """These values and what is computed from them by arithmetic or np.where."""
    extra = [user for one in nodes for user in view.program.users(one) if last(user) in ("where", "select")]
    return [*nodes, *extra, *(one for node in nodes for one in _arithmetic(view, node))]


def _searches(view: View) -> list[Node]:
    """Searches for nearest neighbours among units of one arm, or by a score."""
    by_score = set(_unique(view).values())
    return [
        one
        for one in view.named(frozenset(("kneighbors", "query_ball_point", "radius_neighbors")))
        if _of_arm(view, one) or ancestors(one) & by_score
    ]


def _of_arm(view: View, node: Node) -> bool:
    rows = [one.args[1] for one in ancestors(node) if one.op in ("take", "subset")]
    return any(view.treated(masked(view, mask)) for mask in rows)


def matching(view: View) -> Iterator[Hit]:
    """A matched difference, and no standard error of it."""
    if view.says(r"abadie|bootstrap|^sem$|std_?err|ttest_rel|wilcoxon|^se(_|$)|_se$"):
        return
    for search in _searches(view)[:1]:
        made = view.program.descendants(search)
        if any(last(one) in ("std", "var", "OLS", "WLS", "ols", "wls") for one in made):
            continue
        means = [one for one in made if one.op in ("method", "call") and last(one) == "mean"]
        place = min((one.place for one in means), default=search.place)
        yield Hit("matching-without-error", place, "Matched outcomes are compared; no standard error is computed.")


def balance(view: View) -> Iterator[Hit]:
    """Matched samples, and no balance table."""
    if view.says(r"smd|balance|standardi[sz]ed_(mean_)?diff|love_?plot|std_diff"):
        return
    for search in _searches(view)[:1]:
        yield Hit(
            "matching-without-balance", search.place, "Units are matched; covariates of the pairs are not compared."
        )
