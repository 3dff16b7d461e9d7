"""Names by which people and libraries call things; the only place where the audit guesses from a name."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ivbridge.audit.nodes import Node, ancestors, last

__all__ = [
    "CATE_LEARNERS", "DISTRIBUTIONS", "FLEXIBLE", "LINEAR", "RANDOMISED", "REGRESSORS",
    "is_hidden", "is_placebo", "is_potential", "is_propensity", "is_treatment", "learner", "matches", "names_of",
]  # fmt: skip

#: Names of functions that draw random numbers, in numpy's generators of both kinds.
DISTRIBUTIONS = frozenset(
    [
        "normal",
        "standard_normal",
        "randn",
        "rand",
        "random",
        "random_sample",
        "uniform",
        "binomial",
        "poisson",
        "beta",
        "gamma",
        "exponential",
        "lognormal",
        "integers",
        "randint",
        "choice",
        "permutation",
        "permuted",
        "shuffle",
        "multivariate_normal",
        "t",
        "standard_t",
        "chisquare",
        "laplace",
        "logistic",
        "geometric",
        "negative_binomial",
        "weibull",
        "dirichlet",
        "multinomial",
    ]
)
#: Classes and functions of linear regression: statsmodels, linearmodels, scikit-learn.
LINEAR = frozenset(["OLS", "WLS", "GLS", "ols", "wls", "gls", "LinearRegression", "PanelOLS", "feols"])
#: Learners that can follow the noise of the rows that they were fitted to.
FLEXIBLE = frozenset(
    [
        "RandomForest",
        "ExtraTrees",
        "GradientBoosting",
        "HistGradientBoosting",
        "DecisionTree",
        "XGB",
        "LGBM",
        "CatBoost",
        "MLP",
        "KNeighbors",
        "AdaBoost",
        "Bagging",
        "Stacking",
        "SV",
        "NuSV",
        "GaussianProcess",
        "XGBRF",
        "ExtraTree",
        "Voting",
    ]
)
#: Their endings where they predict numbers.
REGRESSORS = ("Regressor", "R", "RegressorCV")
#: Learners whose fit draws random numbers unless a seed is given.
RANDOMISED = frozenset(
    ["RandomForest", "ExtraTrees", "GradientBoosting", "MLP", "AdaBoost", "Bagging", "DecisionTree", "ExtraTree"]
)
#: Classes that predict effects of units.
CATE_LEARNERS = frozenset(
    [
        "CausalForest",
        "CausalForestDML",
        "CausalTree",
        "GRFTree",
        "MultiOutputGRF",
        "LinearDML",
        "SparseLinearDML",
        "NonParamDML",
        "KernelDML",
        "DML",
        "DRLearner",
        "LinearDRLearner",
        "SparseLinearDRLearner",
        "ForestDRLearner",
        "SLearner",
        "TLearner",
        "XLearner",
        "RLearner",
        "DomainAdaptationLearner",
        "BaseSLearner",
        "BaseTLearner",
        "BaseXLearner",
        "BaseRLearner",
        "BaseSRegressor",
        "BaseTRegressor",
        "BaseXRegressor",
        "BaseRRegressor",
        "UpliftRandomForestClassifier",
        "UpliftTreeClassifier",
        "CausalTreeRegressor",
        "CausalRandomForestRegressor",
        "ClassTransformation",
        "SoloModel",
        "TwoModels",
    ]
)

#: What holds other models.
_WRAPPERS = frozenset(
    [
        "make_pipeline",
        "Pipeline",
        "GridSearchCV",
        "RandomizedSearchCV",
        "CalibratedClassifierCV",
        "TransformedTargetRegressor",
    ]
)

_TREATMENT = re.compile(
    r"(?i:(^|_)(treat(ed|ment|ments)?|exposed|exposure|intervention|encouraged|program|participat(ed|ion))(_|\d*$))"
    r"|^[TDW](_[a-z]{1,4})?$"
)
_NO_TREATMENT = re.compile(r"hat|prob|pred|propens|placebo|fake|resid|effect|mean|model|score|rate|diff|control|group",
                           re.IGNORECASE)  # fmt: skip
_PROPENSITY = re.compile(r"propens|^p_?s(core)?(_|$)|(^|_)pscore|^e_?(hat|x)$|^(e|pi)_?(hat|x)?$|^p_treat|^ps$",
                         re.IGNORECASE)  # fmt: skip
_PLACEBO = re.compile(r"placebo|fake_|dummy_treat|random_treat", re.IGNORECASE)
_HIDDEN = re.compile(r"hidden|unobserved|unmeasured|latent|omitted|(^|_)confounder$|^U$")
_POTENTIAL = re.compile(r"^(y|outcome|po)_?([01])$|^potential_outcome_?([01])$", re.IGNORECASE)


def names_of(node: Node) -> tuple[str, ...]:
    """What a value is called in the code: its labels, and its column's name."""
    column = node.op in ("column", "take", "input") or (
        node.op == "attribute" and node.name != "T"
    )  # X.T is a transpose
    own = (node.name,) if column else ()
    return tuple(dict.fromkeys((*node.labels, *own)))


def matches(pattern: re.Pattern[str], node: Node) -> bool:
    """Whether one of its names has the pattern."""
    return any(pattern.search(name) for name in names_of(node))


def is_treatment(node: Node | None, given: Iterable[str] = ()) -> bool:
    """Whether a value is a treatment: by the names that were given, otherwise by its own."""
    if node is None or (node.op == "arith" and any(one.fitted for one in node.args)):  # a residual is none
        return False
    chosen = tuple(given)
    if chosen:
        return any(name in chosen for name in names_of(node))
    return any(_TREATMENT.search(name) and not _NO_TREATMENT.search(name) for name in names_of(node))


def is_propensity(node: Node) -> bool:
    """Whether a value is called a propensity score."""
    return matches(_PROPENSITY, node)


def is_placebo(node: Node) -> bool:
    """Whether a value is called a placebo."""
    return matches(_PLACEBO, node)


def is_hidden(node: Node) -> bool:
    """Whether a value is called an unobserved confounder."""
    return matches(_HIDDEN, node)


def is_potential(node: Node) -> str:
    """``"0"`` or ``"1"`` where a value is called a potential outcome, otherwise empty."""
    for name in names_of(node):
        if found := _POTENTIAL.search(name):
            return found.group(2) or found.group(3)
    return ""


def _stem(name: str) -> str:
    for ending in ("RegressorCV", "Regressor", "Classifier", "R", "C"):
        if name.endswith(ending):
            return name.removesuffix(ending)
    return name


def learner(model: Node | None, names: Iterable[str]) -> Node | None:
    """The call of one of these classes in a model, which may wrap it as pipelines and searches do; stems count."""
    if model is None:
        return None
    wanted = set(names)
    if model.op == "call" and (last(model) in wanted or _stem(last(model)) in wanted):
        return model
    if model.op == "call" and last(model) not in _WRAPPERS:
        return None
    inside = [one for one in ancestors(model) if one.op == "call"]
    found = [one for one in inside if last(one) in wanted or _stem(last(one)) in wanted]
    return max(found, key=lambda one: one.place) if found else None
