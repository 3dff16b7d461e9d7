"""Learners behind an effect: their rows, their kind, their seed, and data that are split for nothing."""

from __future__ import annotations

from collections.abc import Iterator

from ivbridge.audit.models import PREDICTS, Model, in_sample, predictions
from ivbridge.audit.nodes import Node, constant, last
from ivbridge.audit.view import Hit, View, title
from ivbridge.audit.vocabulary import CATE_LEARNERS, FLEXIBLE, RANDOMISED, REGRESSORS, learner

__all__ = ["nuisances", "regressors", "splits", "unseeded"]


def residuals(view: View) -> Iterator[tuple[Node, Model, Node]]:
    """Differences between a variable and its prediction by a flexible learner, with the learner and the prediction."""
    for node in view.program.nodes:
        if node.op == "arith" and node.name == "Sub" and len(node.args) == 2:
            said = node.args[1]
            model = next((m for m in view.models if said.fitted is not None and m.fit is said.fitted), None)
            if model is not None and said.name in PREDICTS and learner(model.maker, FLEXIBLE) is not None:
                yield node, model, said


def nuisances(view: View) -> Iterator[Hit]:
    """Two residuals, of outcome and treatment, of which one is in-sample at least."""
    found = list(residuals(view))
    if len({model.fit for _, model, _ in found}) < 2:
        return
    seen: set[Node] = set()
    inside = [(r, m, s) for r, m, s in found if in_sample(s.argument(0, "X"), m.rows)]
    for residual, model, said in inside:
        if model.fit in seen or not view.program.users(residual):
            continue
        seen.add(model.fit)
        share = _share(view, model, said)
        text = "all" if share == 1 else f"{share:.0%}" if share else "part"
        yield Hit(
            "nuisance-in-sample",
            said.place,
            f"{last(model.maker)} for {title(model.target or residual)} predicts "
            f"rows that it was fitted to: {text} of them.",
            {"share in-sample": share} if share else {},
        )


def _share(view: View, model: Model, said: Node) -> float:
    """Share of the predicted rows that the model has seen; 0 where that is not known."""
    rows, asked = model.rows, said.argument(0, "X")
    if rows is None or asked is None:
        return 0.0
    if rows.key == asked.key:
        return 1.0
    if rows.op != "split":
        return 0.0
    size = constant(rows.args[1].keywords.get("test_size"))
    kept = constant(rows.args[1].keywords.get("train_size"))
    if isinstance(kept, float):
        return kept
    return 1 - size if isinstance(size, float) else 0.75 if size is None else 0.0


def _binary(view: View, target: Node) -> bool:
    """Whether a variable is 0 or 1 as far as the code says: by its making, or by a comparison with 0 or 1."""
    while target.op in ("take", "subset", "split"):
        target = target.args[0]
    if target.op == "compare" or (target.op == "draw" and target.name == "binomial" and constant(target.args[0]) == 1):
        return True
    compared = [
        one for one in view.program.nodes if one.op == "compare" and one.name == "Eq" and one.args[0].key == target.key
    ]
    return any(constant(one.args[1]) in (0, 1) for one in compared)


def regressors(view: View) -> Iterator[Hit]:
    """A flexible regressor fitted to a treatment of 0 and 1."""
    for model in view.models:
        maker = learner(model.maker, FLEXIBLE)
        if maker is None or model.target is None or not last(maker).endswith(REGRESSORS):
            continue
        if view.treated(model.target) and _binary(view, model.target):
            yield Hit("regressor-for-treatment", model.fit.place, f"{last(maker)} is fitted to {title(model.target)}.")


def unseeded(view: View) -> Iterator[Hit]:
    """A randomised learner without random_state, where an effect is computed from its predictions."""
    for model in view.models:
        effect = model.kind in CATE_LEARNERS and "Forest" in model.kind
        maker = model.maker if effect else learner(model.maker, RANDOMISED)
        if maker is None or {"random_state", "seed", "random_seed", "**"} & set(maker.keywords):
            continue
        used = effect or any(
            user.op == "arith" and user.name in ("Sub", "Add")
            for said in predictions(view.program, model)
            for user in view.program.users(said)
        )
        if used:
            yield Hit("learner-without-seed", maker.place, f"{last(maker)} has no random_state.")


def splits(view: View) -> Iterator[Hit]:
    """train_test_split whose test parts nobody uses."""
    for call in view.named(frozenset(("train_test_split",))):
        parts = [one for one in view.program.users(call) if one.op == "split" and one.name == "test"]
        if parts and not any(view.program.users(one) or _loaded(view, one) for one in parts):
            names = ", ".join(title(one) for one in parts)
            yield Hit("split-unused", call.place, f"{names}: made and never used.")


def _loaded(view: View, node: Node) -> bool:
    """Whether a name that the value was given is used further down, where it may stand for something else, too."""
    return any(place > node.place for name in node.labels for place in view.program.loads.get(name, ()))
