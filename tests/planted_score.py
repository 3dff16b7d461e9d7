"""Is the named reason the planted one, or exactly equivalent? Equivalence is shown by computing the named one again."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from ivbridge.explainer.records import Explanation, Step
from tests import planted_plain as plain
from tests.planted import Case, Recipe, plan_of, same, worlds
from tests.planted_causes import Cov, Question, covs
from tests.planted_plain import Fit

#: Keys of the catalogue that name a planted change of the coefficients.
WORLD_KEYS: Mapping[str, str] = {
    "first row lost": "rows.first",
    "last row lost": "rows.last",
    "repeated rows removed": "rows.duplicates",
    "rows with any gap dropped": "rows.complete_cases",
    "gap as zero": "rows.missing_as_zero",
    "gap as mean": "rows.missing_as_mean",
    "weights ignored": "weights.ignored",
    "root of the weights": "weights.root",
    "squared weights": "weights.squared",
    "inverse weights": "weights.inverse",
    "frequency weights": "weights.frequency",
    "other baseline": "coding.baseline",
    "sum contrasts": "coding.sum",
    "helmert contrasts": "coding.helmert",
    "polynomial contrasts": "coding.poly",
    "factor as number": "coding.as_number",
    "gap as a level": "coding.missing_level",
    "no intercept": "intercept.missing",
    "other aliased column": "coding.aliased",
    "sign": "unit.sign",
    "per cent": "unit.percent",
    "thousands": "unit.thousands",
    "times thousand": "unit.thousands",
    "log10": "unit.log_base",
    "log2": "unit.log_base",
    "log forgotten": "form.log_forgotten",
    "log forgotten, name kept": "form.log_forgotten",
    "log1p": "form.log1p",
    "log1p, name kept": "form.log1p",
    "squared": "form.square",
    "squared, name kept": "form.square",
    "centred": "form.centred",
    "standardised": "form.standardised",
    "standardised, ddof 0": "form.standardised_n",
    "truncated": "storage.truncated",
    "lag": "form.lag",
    "lead": "form.lead",
    "single precision": "storage.float32",
    "7 digits": "storage.digits",
    "6 digits": "storage.digits",
    "5 digits": "storage.digits",
    "4 digits": "storage.digits",
    "least squares": "estimator.ols",
    "LIML": "estimator.liml",
    "Fuller(1)": "estimator.fuller",
    "Fuller(4)": "estimator.fuller",
    "two-step GMM": "estimator.gmm",
    "instrument left out": "roles.instrument_left_out",
    "regressor left out of the instruments": "roles.exog_not_instrument",
    "no exogenous regressors in the first stage": "estimator.short_first_stage",
    "endogenous taken as exogenous": "roles.endog_as_exog",
    "regressor as instrument only": "roles.exog_as_instrument",
    "reverse regression": "roles.reversed",
}
WORLD_STAGES = (
    "rows.",
    "weights.",
    "coding.",
    "intercept.",
    "columns.",
    "unit.",
    "form.",
    "storage.",
    "estimator.",
    "roles.",
)

#: Labels that a key may stand for when the named combination is computed again.
MEANINGS: Mapping[str, tuple[str, ...]] = {
    **{key: tuple(label for label, k in WORLD_KEYS.items() if k == key) for key in WORLD_KEYS.values()},
    "coding.last_level": ("other baseline",),
    "coding.treatment": ("other baseline",),
    "rows.duplicates_used": ("repeated rows removed",),
}

TEST_KEYS: Mapping[str, tuple[str, ...]] = {
    "Sargan with n-k": ("sargan.divisor",),
    "Basmann": ("sargan.basmann",),
    "Wu-Hausman of linearmodels 7.0": ("wu_hausman.excluded_only",),
    "Durbin": ("wu_hausman.durbin",),
    "robust Wu-Hausman, HC0": ("test.vcov",),
    "robust Wu-Hausman, HC1": ("test.vcov",),
    "robust first stage, HC0": ("test.vcov",),
    "robust first stage, HC1": ("test.vcov",),
    "first stage with n": ("test.divisor_n",),
    "first stage as chi2": ("test.chi2",),
}
TEST_STAGES = ("test.", "sargan.", "wu_hausman.")
#: How far a number computed again may be from the planted one: plain formulas, two of them.
PROVED = 1e-6


def judge(case: Case, found: Explanation) -> str:
    """``"right"``, ``"missed"`` (nothing named), ``"wrong"`` (something else named), or ``"invented"``."""
    if case.substantive:
        return "right" if found.verdict == "none" else "invented"
    if found.verdict == "none":
        return "missed"
    if found.verdict != "convention":
        return "wrong"
    return "right" if any(proved(case, steps) for steps in (found.steps, *found.alternatives)) else "wrong"


def proved(case: Case, steps: Sequence[Step]) -> bool:
    """Whether the named steps, taken in plain numpy, give the planted numbers."""
    return any(_reproduces(case, recipe, steps) for recipe in recipes(case, steps))


def _reproduces(case: Case, recipe: Recipe, steps: Sequence[Step]) -> bool:
    planted = case.numbers
    tests = any(key[0].startswith("test") for key in planted)
    found = recipe.numbers(case.question, tests=tests)
    return found is not None and same({k: found.get(k, math.nan) for k in planted}, planted, PROVED)


def recipes(case: Case, steps: Sequence[Step]) -> Iterator[Recipe]:
    """Every plain computation that the steps can stand for; nothing where a step is not understood."""
    q = case.question
    groups = {stage: [s for s in steps if _stage(s.key) == stage] for stage in ("world", "cov", "inference", "test")}
    if sum(map(len, groups.values())) != len(steps):
        return
    own = Recipe(plan_of(q), covs(q)[case.vcov])
    plans = [own]
    for step in groups["world"]:
        plans = [one for recipe in plans for one in _worlds(q, recipe, step)]
    for recipe, cov, test in product(plans, _covs(q, case.vcov, groups["cov"]), _tests(groups["test"], steps)):
        for inference, variances in _inferences(groups["inference"]):
            yield replace(recipe, cov=cov, inference=inference, test=test, variances=variances)


def _stage(key: str) -> str:
    if key.startswith(WORLD_STAGES):
        return "world"
    if key.startswith(TEST_STAGES):
        return "test"
    if key.startswith(("inference.", "p.", "interval.", "variance")):
        return "inference"
    if key.startswith(("vcov.", "factor.", "cluster.", "nw.", "andrews.", "hat.", "residuals.second_stage")):
        return "cov"
    return "unknown"


def _worlds(q: Question, recipe: Recipe, step: Step) -> Iterator[Recipe]:
    for label in MEANINGS.get(step.key, ()):
        plan = q.plan if label == "other aliased column" else recipe.plan
        try:
            variants = worlds(plan, label)
        except (TypeError, ValueError):
            continue
        for mention, changed in variants:
            if all(word in step.text for word in mention.split(", ")) or not mention:
                yield replace(recipe, plan=changed)


def _covs(q: Question, vcov: str, steps: Sequence[Step]) -> Iterator[Cov]:
    """The covariance matrices that the steps lead to, from the reference's."""
    makers: list[Callable[[Fit], np.ndarray]] = [covs(q)[vcov].make]
    text = " ".join(step.text for step in steps)
    kinds = [step.key for step in steps if not step.key.startswith(("factor.", "hat.", "residuals."))]
    if kinds:
        makers = [c.make for c in _kind(q, kinds, text)]
        if any(word in key for key in kinds for word in ("cluster", "nw", "andrews")):
            makers += list(_changed(q, vcov, steps))
    if any(step.key == "hat.second_stage" for step in steps):
        name = next((k for k in ("HC2", "HC3", "HC4m", "HC4", "HC5") if f"are {k} " in text), vcov)
        makers = [lambda f: plain.hc(f, name, "ivreg")]
    if any(step.key == "residuals.second_stage" for step in steps):
        makers = [lambda f, make=make: make(replace(f, e=f.y - f.h @ f.b)) for make in makers]  # type: ignore[misc]
    factors = [step.text for step in steps if step.key.startswith("factor.")]
    for make in makers:
        yield Cov("", lambda f, make=make: make(f) * math.prod(_factor(f, t) for t in factors))  # type: ignore[misc]


def _kind(q: Question, keys: Sequence[str], text: str) -> Iterator[Cov]:
    for label, cov in covs(q).items():
        head = label.split("(")[0].split(",")[0]
        named = {"classical": "classical", "cluster": "cluster", "nw": "nw"}.get(head, head)
        columns = re.search(r"^cluster\(([\w, ]+)\)", label)
        if f"vcov.{named}" in keys and all(name in text for name in (columns[1].split(", ") if columns else ())):
            yield cov
    for g in q.groups if "vcov.cluster" in keys else ():
        for hc1, cadjust in product((True, False), repeat=2):
            if f" {g}" in text:
                yield Cov("", lambda f, g=g, a=hc1, b=cadjust: plain.cluster(f, (g,), hc1=a, cadjust=b))  # type: ignore[misc]
    if "vcov.nw" in keys:
        told = re.search(r"lag (?:is )?(\d+)", text)
        for lag, adjust in product([int(told[1])] if told else range(8), (True, False)):
            yield Cov("", lambda f, o=(lag, adjust): plain.hac(f, o[0], adjust=o[1]))  # type: ignore[misc]


def _changed(q: Question, vcov: str, steps: Sequence[Step]) -> Iterator[Callable[[Fit], np.ndarray]]:
    """The reference's clusters or lags with some of the settings changed."""
    text = " ".join(step.text for step in steps)
    for by in [(g,) for g in q.groups] + ([q.groups] if len(q.groups) == 2 else []):
        for hc1, cadjust, multi0, rule in product((True, False), (True, False), (True, False), ("each", "min")):
            if all(g in text or g in vcov for g in by):
                yield lambda f, o=(hc1, cadjust, multi0, rule), by=by: plain.cluster(  # type: ignore[misc]
                    f, by, hc1=o[0], cadjust=o[1], multi0=o[2], g_rule=o[3]
                )
    if vcov.startswith("nw"):
        for lag, kernel, adjust in product(range(6), ("bartlett", "parzen", "truncated"), (True, False)):
            yield lambda f, o=(lag, kernel, adjust): plain.hac(f, o[0], o[1], adjust=o[2])  # type: ignore[misc]


def _factor(f: Fit, text: str) -> float:
    """The factor of the covariance matrix that a step names."""
    known = {"n/(n−k)": f.n / (f.n - f.k), "(n−1)/(n−k)": (f.n - 1) / (f.n - f.k), "n/(n−1)": f.n / (f.n - 1)}
    inside = re.search(r"√\((.+)\)$", text)
    assert inside is not None, text
    if inside[1].startswith("G/(G−1) of "):
        g = plain.codes(f, (inside[1].removeprefix("G/(G−1) of "),)).max() + 1
        value = g / (g - 1)
    else:
        value = known[inside[1]]
    return 1 / value if "1/√" in text else value


def _inferences(steps: Sequence[Step]) -> Iterator[tuple[str, bool]]:
    names = {"inference.z": ["z"], "inference.groups": ["t(G-1)"], "inference.df": ["t(n)", "t(n-1)"],
             "interval.level": ["90 % interval", "99 % interval"], "p.one_sided": ["one-sided p"]}  # fmt: skip
    variances = any(step.key.startswith("variance") for step in steps)
    others = [step for step in steps if not step.key.startswith("variance")]
    if not others:
        yield "t(n-k)", variances
    for step in others:
        for name in names.get(step.key, []):
            yield name, variances


def _tests(steps: Sequence[Step], every: Sequence[Step]) -> Iterator[str]:
    """Tests that the steps name; a test that none names is classical, as asked, or follows the standard errors."""
    # a planted test stands beside classical ones, whatever the standard errors are
    keys = {step.key for step in steps if not (step.key == "test.vcov" and "the classical covariance" in step.text)}
    if not keys:
        yield ""
        for kind in ("HC0", "HC1"):
            if any(step.key == f"vcov.{kind}" for step in every):
                yield from (f"robust first stage, {kind}", f"robust Wu-Hausman, {kind}")
    if keys == {"test.divisor_n"} and any(step.key == "vcov.HC1" for step in every):
        yield from ("robust first stage, HC0", "robust Wu-Hausman, HC0")  # HC1 with divisor n
    for label, needed in TEST_KEYS.items():
        if keys and keys == set(needed):
            yield label
