"""The regressions and learners of a program: target, regressors, rows, and what was predicted from them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ivbridge.audit.nodes import Node, Program, ancestors, constant, last
from ivbridge.audit.tables import column, columns_of
from ivbridge.audit.vocabulary import CATE_LEARNERS, LINEAR, learner

__all__ = ["PREDICTS", "Model", "base_rows", "effects_of_units", "in_sample", "models", "predictions"]

#: Methods that say something about rows.
PREDICTS = frozenset(
    ["predict", "predict_proba", "effect", "const_marginal_effect", "marginal_effect", "predict_uplift"]
)
_FORMULAS = frozenset(["ols", "wls", "gls", "glm", "logit", "probit", "feols", "from_formula"])
_OTHER = frozenset(["Logit", "GLM", "Probit", "logit", "probit", "glm", "IV2SLS", "IVLIML", "IVGMM", "IV2SLSResults"])


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A fitted model.

    Attributes
    ----------
    kind : str
        Last part of the class's or function's name.
    fit : Node
        The call that fitted it.
    maker : Node
        The call that made it.
    target : Node, optional
    features : tuple of Node
        Regressors, columns where they are known.
    rows : Node, optional
        The matrix of regressors.
    """

    kind: str
    fit: Node
    maker: Node
    target: Node | None
    features: tuple[Node, ...]
    rows: Node | None

    @property
    def linear(self) -> bool:
        """Whether it is a linear regression."""
        return self.kind in LINEAR


def models(program: Program) -> list[Model]:
    """Every call of ``fit``, in order."""
    return [
        made
        for node in list(program.nodes)
        if node.op == "method" and node.name.startswith("fit")
        if (made := _model(program, node)) is not None
    ]


def _model(program: Program, fit: Node) -> Model | None:
    receiver = fit.args[0]
    inner = learner(receiver, LINEAR | _OTHER)
    if inner is not None and (inner.args or inner.keywords) and _own_data(inner):
        return _from_constructor(program, fit, inner)
    maker = _maker(receiver)
    if maker is None:
        return None
    kind = last(maker)
    first, second = fit.argument(0, "X"), fit.argument(1, "y", "Y")
    if kind in CATE_LEARNERS and (kind.endswith("DML") or "Learner" in kind) and not kind.startswith("Base"):
        first, second = fit.argument(99, "X"), fit.argument(0, "Y", "y")
    elif kind in CATE_LEARNERS:  # econml.grf: X, T, y
        second = fit.argument(2, "y", "Y")
    return Model(kind, fit, maker, second, columns_of(program, first), first)


def _maker(receiver: Node) -> Node | None:
    """The call of a class that made the model; through pipelines and searches it is the last step that names one."""
    calls = [one for one in ancestors(receiver) if one.op == "call" and last(one)[:1].isupper()]
    steps = [one for one in calls if not last(one).endswith(("Scaler", "Encoder", "Imputer", "Features", "PCA"))]
    wrappers = ("Pipeline", "GridSearchCV", "RandomizedSearchCV", "CalibratedClassifierCV", "DataFrame")
    inner = [one for one in steps if last(one) not in wrappers]
    if receiver in inner:
        return receiver
    return max(inner, key=lambda one: one.place) if inner and receiver.op in ("call", "method") else None


def _own_data(maker: Node) -> bool:
    """Whether the class takes the data itself, as statsmodels' do, and scikit-learn's do not."""
    return "sklearn" not in maker.name and last(maker) != "LinearRegression"


def _from_constructor(program: Program, fit: Node, maker: Node) -> Model:
    formula = constant(maker.argument(0, "formula"))
    table = maker.argument(1, "data")
    if last(maker) in _FORMULAS and isinstance(formula, str) and table is not None:
        left, _, right = formula.partition("~")
        names = re.findall(r"(?<![\w.(])[A-Za-z_]\w*(?!\s*\()|(?<=\()[A-Za-z_]\w*(?!\s*\()", right)
        parts = tuple(column(program, table, name, maker.place) for name in dict.fromkeys(names))
        target = column(program, table, left.strip(), maker.place)
        return Model(last(maker), fit, maker, target, parts, table)
    second = maker.argument(1, "exog")
    return Model(last(maker), fit, maker, maker.argument(0, "endog", "dependent"), columns_of(program, second), second)


def predictions(program: Program, model: Model) -> list[Node]:
    """What the model was asked to predict, fitted values among it."""
    said = [node for node in program.nodes if node.fitted is model.fit]
    return [node for node in said if node.name in PREDICTS or node.name.startswith("fitted")]


def effects_of_units(program: Program) -> Iterator[tuple[Node, Model]]:
    """Predicted effects of units with the model that predicts them."""
    for model in models(program):
        if model.kind in CATE_LEARNERS:
            for node in predictions(program, model):
                yield node, model


def base_rows(node: Node) -> tuple[Node, str]:
    """The table or matrix that some rows were taken of, and which part: train, test, subset or all."""
    if node.op == "split":
        return node.args[0], node.name
    if node.op in ("subset", "take"):
        return node.args[0], "subset"
    return node, "all"


def in_sample(asked: Node | None, fitted: Node | None) -> bool:
    """Whether rows that a model was fitted to are among those that it predicts."""
    if asked is None or fitted is None:
        return False
    if asked.key == fitted.key:
        return True
    base, part = base_rows(fitted)
    return part != "all" and base.key == asked.key
