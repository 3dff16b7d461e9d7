"""The planted set: answers with a known difference, drawn deterministically; see test_planted.py for the score.

A case is a question with the answer of the native engine, and a table of numbers that plain numpy computed otherwise:
under one other convention, under two, or with something wrong that is no convention.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, reduce

import numpy as np

import ivbridge
from ivbridge.records import Coefficients, Test
from ivbridge.results import Estimate
from tests import planted_plain as plain
from tests.planted_causes import TESTS, WORLDS, Cov, Entries, Question, aer_tests, covs, inferences, questions
from tests.planted_plain import Plan

#: Two tables are the same below this relative gap, and different above.
SAME = 1e-8
#: Covariance estimators of the references.
ASKED = ("classical", "HC1", "HC0", "HC3")
COLUMNS = ("estimate", "std.error", "statistic", "p.value", "conf.low", "conf.high")


@dataclass(frozen=True, eq=False)
class Case:
    """One planted difference.

    `labels` are the causes, none for a substantive difference; `mentions` are words that the reason must hold.
    """

    name: str
    question: Question
    vcov: str
    labels: tuple[str, ...]
    numbers: Entries
    mentions: tuple[str, ...] = ()

    @property
    def substantive(self) -> bool:
        return not self.labels


@dataclass(frozen=True, eq=False)
class Recipe:
    """A complete way to compute a table: the plan, the covariance matrix, the reference distribution, and a test."""

    plan: Plan
    cov: Cov
    inference: str = "t(n-k)"
    variances: bool = False
    test: str = ""

    def numbers(self, question: Question, *, tests: bool = False) -> Entries | None:
        """The table, and the tests if they are asked for; None where something is not defined."""
        try:
            with np.errstate(all="ignore"):
                found = self._numbers(question, tests=tests)
        except (np.linalg.LinAlgError, ValueError, IndexError, ZeroDivisionError):
            return None
        sound = all(np.isfinite(value) for value in found.values())
        return found if sound and all(v > 0 for (q, _), v in found.items() if q == "std.error") else None

    def _numbers(self, question: Question, *, tests: bool) -> Entries:
        f = plain.fit(self.plan)
        if np.linalg.cond(f.h / np.linalg.norm(f.h, axis=0)) > 1e9:
            raise ValueError("columns depend on each other")
        df, level, sided = inferences(question)[self.inference]
        found = plain.table(f, self.cov.make(f), df(f), level, sided, variances=self.variances)
        if tests:
            kind = "classical"
            other = TESTS[self.test](f) if self.test else {}
            told = {term for _, term in other}
            found |= {key: value for key, value in aer_tests(f, kind).items() if key[1] not in told} | other
        return found


def draw(*words: object) -> np.random.Generator:
    """Random numbers that depend on nothing but the words."""
    return np.random.default_rng(zlib.crc32(" ".join(map(str, words)).encode()))


def plan_of(question: Question) -> Plan:
    """The reference's own plan: R drops the later one of two aliased columns."""
    plan = question.plan
    return plan.but(exog=tuple(t for t in plan.exog if t.name != "twice"))


def same(a: Entries, b: Entries, within: float = SAME) -> bool:
    """Whether two tables hold the same numbers; covariances and p-values follow from the rest of a row."""
    keys = [key for key in a if key[0] != "cov"]
    return set(a) == set(b) and all(abs(a[k] - b[k]) <= within * max(abs(a[k]), 1e-12) for k in keys)


def worlds(plan: Plan, label: str) -> list[tuple[str, Plan]]:
    """All variants of a cause that changes the coefficients."""
    return list(WORLDS[label](plan))


def asked(question: Question) -> list[str]:
    """Labels of the covariances that references have."""
    clustered = [f"cluster({g})" for g in question.groups[:1]]
    return [*ASKED, *clustered, *(["nw(2)"] if question.order else [])]


def other_covs(question: Question) -> dict[str, Cov]:
    """Everything that can be planted in the covariance matrix, also what needs other residuals."""
    by_hand: dict[str, Cov] = {}
    for kind, make in (("classical", plain.classical), ("HC0", lambda f: plain.hc(f, "HC0"))):
        by_hand[f"{kind}, second-stage residuals"] = Cov("", lambda f, make=make: make(replace(f, e=f.y - f.h @ f.b)))
    return covs(question) | by_hand


Change = Callable[[Recipe], Recipe]


@dataclass(frozen=True, eq=False)
class Cause:
    """One cause, ready to be planted."""

    label: str
    change: Change
    mention: str = ""
    is_test: bool = False
    is_cov: bool = False


def _world_causes(q: Question, label: str) -> list[Cause]:
    """Variants of a cause that changes the coefficients; each is found again in a plan that was changed before."""
    start = q.plan if label == "other aliased column" else plan_of(q)

    def change(mention: str) -> Change:
        def changed(recipe: Recipe) -> Recipe:
            plan = start if label == "other aliased column" else recipe.plan
            return replace(recipe, plan=dict(worlds(plan, label))[mention])

        return changed

    return [Cause(label, change(mention), mention) for mention, _ in worlds(start, label)]


def _cov_causes(q: Question) -> list[Cause]:
    return [
        Cause(label, lambda r, cov=cov: replace(r, cov=cov), cov.text, is_cov=True)  # type: ignore[misc]
        for label, cov in other_covs(q).items()
    ]


def _inference_causes(q: Question) -> list[Cause]:
    found = [
        Cause(label, lambda r, label=label: replace(r, inference=label))  # type: ignore[misc]
        for label in inferences(q)
        if label != "t(n-k)"
    ]
    return [*found, Cause("variances", lambda r: replace(r, variances=True))]


def _test_causes(q: Question) -> list[Cause]:
    usable = TESTS if q.plan.weights is None else ()
    return [Cause(label, lambda r, label=label: replace(r, test=label), "", is_test=True) for label in usable]  # type: ignore[misc]


def _singles(q: Question) -> Iterator[Case]:
    """Every single cause; the variant of a world is drawn."""
    worlds_found = [_world_causes(q, label) for label in WORLDS]
    some = [
        variants[int(draw(q.name, variants[0].label).integers(len(variants)))] for variants in worlds_found if variants
    ]
    for i, cause in enumerate([*some, *_cov_causes(q), *_inference_causes(q), *_test_causes(q)]):
        choices = ["classical"] if cause.is_test else [label for label in asked(q) if label != cause.label]
        choices = ["nw(2)"] if cause.label.startswith(KERNELS) else choices
        yield from _case(q, choices[(i + len(q.name)) % len(choices)], (cause,))


#: A kernel is a convention of HAC covariances.
KERNELS = ("parzen(", "truncated(")
KINDS = ("world cov", "cov inference", "world inference", "world world", "world cov", "cov inference", "cov test")


def _pairs(q: Question, count: int) -> Iterator[Case]:
    """Two causes at once: kinds in turn, the rest drawn."""
    random, made, done = draw(q.name, "pairs"), 0, set[tuple[str, ...]]()
    for i in range(20 * count):
        if made == count:
            return
        causes = [_drawn(q, part, random) for part in KINDS[i % len(KINDS)].split()]
        vcov = "classical" if "test" in KINDS[i % len(KINDS)] else _pick(random, asked(q))
        drawn = (vcov, *(c.label for c in causes if c), *(c.mention for c in causes if c))
        if None in causes or drawn in done or len({c.label for c in causes} | {vcov}) < 3:  # type: ignore[union-attr]
            continue
        for case in _case(q, vcov, tuple(c for c in causes if c)):
            made += 1
            done.add(drawn)
            yield case


def _defined(labels: set[str], cov: str) -> bool:
    """Whether a covariance is one of the estimator's: GMM has robust ones, and the k-class has no leverages."""
    if "two-step GMM" in labels:
        return cov in ("HC0", "HC1")
    return not (labels & {"LIML", "Fuller(1)", "Fuller(4)"} and cov.startswith(("HC2", "HC3", "HC4")))


def last_cov(causes: tuple[Cause, ...], vcov: str) -> str:
    """The label of the covariance that the causes end with."""
    return next((cause.label for cause in causes if cause.is_cov), vcov)


def _pick(random: np.random.Generator, choices: list[str]) -> str:
    return choices[int(random.integers(len(choices)))]


def _drawn(q: Question, part: str, random: np.random.Generator) -> Cause | None:
    if part == "world":
        found = _world_causes(q, _pick(random, [name for name in WORLDS if name != "other aliased column"]))
    else:
        found = {"cov": _cov_causes, "inference": _inference_causes, "test": _test_causes}[part](q)
    return found[int(random.integers(len(found)))] if found else None


def _case(q: Question, vcov: str, causes: tuple[Cause, ...]) -> Iterator[Case]:
    """The case, unless it is undefined, or a cause does nothing here: then fewer causes give the same numbers."""
    tests = any(cause.is_test for cause in causes)
    own = Recipe(plan_of(q), covs(q)[vcov])
    subsets = [(), *((cause,) for cause in causes if len(causes) > 1), causes]
    try:
        *fewer, found = [
            reduce(lambda recipe, cause: cause.change(recipe), subset, own).numbers(q, tests=tests)
            for subset in subsets
        ]
    except KeyError:  # the first cause leaves nothing for the second
        return
    if found is None or any(other is not None and same(other, found, 1e-6) for other in fewer):
        return
    if any(cause.label.startswith(KERNELS) for cause in causes) and not vcov.startswith("nw"):
        return
    if not _defined({cause.label for cause in causes}, last_cov(causes, vcov)):
        return
    mentions = tuple(cause.mention for cause in causes if cause.mention)
    labels = tuple(cause.label for cause in causes)
    name = f"{q.name}, {vcov}: {' + '.join(labels)}" + (f" [{', '.join(mentions)}]" if mentions else "")
    yield Case(name, q, vcov, labels, found, mentions)


#: Pairs, and substantive differences, of each question.
PAIRS, SUBSTANTIVE = 22, 20


@cache
def conventions_of(q: Question) -> tuple[Case, ...]:
    """Planted conventions of one question: every single one that does something there, and pairs."""
    return (*_singles(q), *_pairs(q, PAIRS))


def conventions() -> tuple[Case, ...]:
    """All planted conventions."""
    return tuple(case for q in questions() for case in conventions_of(q))


# --- substantive differences -----------------------------------------------------------------------------------------


def _perturbed(numbers: Entries, random: np.random.Generator) -> tuple[str, Entries]:
    """One number off by 1 ppm to 5 %."""
    keys = [k for k, v in numbers.items() if k[0] in COLUMNS and abs(v) > 1e-30 and not (k[0] == "p.value" and v > 0.9)]
    key = keys[int(random.integers(len(keys)))]
    size = 10 ** random.uniform(-6, np.log10(0.05)) * random.choice([-1, 1])
    return f"{key[0]} of {key[1]} off by {size:.1e}", {**numbers, key: numbers[key] * (1 + size)}


def _swapped(numbers: Entries, random: np.random.Generator) -> tuple[str, Entries]:
    """Two coefficients, or two standard errors, in each other's place."""
    quantity = random.choice(["estimate", "std.error"])
    keys = [k for k in numbers if k[0] == quantity]
    i, j = random.choice(len(keys), 2, replace=False)
    return f"{quantity} of {keys[i][1]} and {keys[j][1]} swapped", {
        **numbers, keys[i]: numbers[keys[j]], keys[j]: numbers[keys[i]],
    }  # fmt: skip


def _noisy(plan: Plan, random: np.random.Generator) -> tuple[str, Plan]:
    """Noise of 1e-4 … 1e-1 standard deviations in one column."""
    terms = [t for t in plan.terms if plan.frame[t.column].dtype != object and not t.how]
    t = terms[int(random.integers(len(terms)))]
    values = plan.frame[t.column].astype(float)
    size = 10 ** random.uniform(-4, -1)
    noise = random.normal(size=len(values)) * size * values.std()
    return f"noise of {size:.1e} sd in {t.column}", plan.but(frame=plan.frame.assign(**{t.column: values + noise}))


def _fewer(plan: Plan, random: np.random.Generator) -> tuple[str, Plan]:
    """Rows lost at random, none of them at an edge of the rows used."""
    kept = plain.arrays(plan).rows
    inner = kept[2:-2]
    count = int(random.integers(1, 4))
    lost = random.choice(inner, count, replace=False)
    places = np.setdiff1d(np.arange(len(plan.frame)), lost)
    return f"rows {sorted(lost.tolist())} lost", plan.but(frame=plan.frame.iloc[places])


def _wrong_value(plan: Plan, random: np.random.Generator) -> tuple[str, Plan]:
    """One value of one column mistyped."""
    terms = [t for t in plan.terms if plan.frame[t.column].dtype != object and not t.how]
    t = terms[int(random.integers(len(terms)))]
    values = plan.frame[t.column].astype(float).to_numpy().copy()
    row = int(random.choice(plain.arrays(plan).rows[2:-2]))
    values[row] = values[row] * 1.37 + 0.61
    return f"{t.column} mistyped in row {row}", plan.but(frame=plan.frame.assign(**{t.column: values}))


def _wrong_covariance(numbers: Entries, random: np.random.Generator) -> tuple[str, Entries]:
    """Standard errors, and what follows from them, times a number that is no known factor."""
    factor = 1 + 10 ** random.uniform(-5, -1)
    names = [term for q, term in numbers if q == "std.error"]
    out = dict(numbers)
    for name in names:
        out["std.error", name] *= factor
        out["statistic", name] /= factor
        centre = numbers["estimate", name]
        for end in ("conf.low", "conf.high"):
            out[end, name] = centre + (numbers[end, name] - centre) * factor
    kept = {k: v for k, v in out.items() if k[0] not in ("cov", "p.value")}
    return f"standard errors times {factor:.7f}", kept


@cache
def substantive_of(q: Question) -> tuple[Case, ...]:
    """Differences of one question that no convention explains, alone or beside another covariance."""
    found = []
    random, plan = draw(q.name, "substantive"), plan_of(q)
    for i in range(SUBSTANTIVE):
        vcov = asked(q)[i % len(asked(q))]
        other = _pick(random, list(covs(q))) if i % 3 == 2 else vcov
        if i % 6 < 3:
            numbers = Recipe(plan, covs(q)[other]).numbers(q)
            assert numbers is not None
            change = (_perturbed, _swapped, _wrong_covariance)[i % 3] if i % 12 < 6 else _perturbed
            what, numbers = change(numbers, random)
        else:
            what, wrong = (_noisy, _fewer, _wrong_value)[i % 3](plan, random)
            numbers = Recipe(wrong, covs(q)[other]).numbers(q)
        if numbers is not None:
            name = f"{q.name}, {vcov}: {what}" + (f", {other}" if other != vcov else "")
            found.append(Case(name, q, vcov, (), numbers))
    return tuple(found)


def substantive() -> tuple[Case, ...]:
    """All differences that no convention explains."""
    return tuple(case for q in questions() for case in substantive_of(q))


# --- as estimates ----------------------------------------------------------------------------------------------------


@cache
def reference(question: Question, vcov: str) -> Estimate:
    """The native engine's answer to the question."""
    text = covs(question)[vcov].vcov
    return ivbridge.fit(question.formula, question.plan.frame, text, weights=question.plan.weights)


def candidate(case: Case) -> Estimate:
    """The planted numbers as the answer of another program, which reports nothing else."""
    ours = reference(case.question, case.vcov)
    names = tuple(dict.fromkeys(term for quantity, term in case.numbers if quantity == "estimate"))
    columns = [np.array([case.numbers[q, name] for name in names]) for q in COLUMNS[:3]]
    columns += [np.array([case.numbers.get((q, name), np.nan) for name in names]) for q in COLUMNS[3:]]
    lacks = dict.fromkeys(
        ("resid", "fitted", "sigma", "r.squared", "adj.r.squared", "df.residual", "first stage", "columns", "kappa"),
        "another program's table",
    )
    absent = [q for q in ("cov", "p.value") if all(key[0] != q for key in case.numbers)]
    cov = np.full((len(names), len(names)), np.nan)
    for i, first in enumerate(names):
        for j, second in enumerate(names[: i + 1]):
            cov[i, j] = cov[j, i] = case.numbers.get(("cov", f"{second}, {first}"), np.nan)
    tests: dict[str, Test] = {}
    for name in dict.fromkeys(term for quantity, term in case.numbers if quantity == "test statistic"):
        entry = {q: case.numbers.get((f"test {q}", name), np.inf) for q in ("statistic", "p.value", "df1", "df2")}
        law = "chi2" if np.isinf(entry["df2"]) else "F"
        tests[name] = Test(name, entry["statistic"], entry["p.value"], entry["df1"], entry["df2"], law)  # type: ignore[arg-type]
    absent += [] if tests else ["test statistic", "test p.value", "test df1", "test df2"]
    lacks |= {f"test {name}": "no" for name in ours.tests if name not in tests} | dict.fromkeys(absent, "no")
    empty = {"y": np.empty(0), "x": np.empty((0, 0)), "z": np.empty((0, 0)), "weights": None, "groups": {}}
    return replace(
        ours, engine="other", coefs=Coefficients(names, *columns), cov=cov, tests=tests, first_stages=(),
        residuals=np.empty(0), fitted=np.empty(0), kappa=None, lacks=lacks,
        seen=replace(ours.seen, x_names=names, **empty),
    )  # fmt: skip
