"""Every convention about the coefficients, against the same convention carried out by hand (worlds_by_hand.py)."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files

import cases
import numpy as np
import pandas as pd
import pytest
import worlds_by_hand
from worlds_by_hand import ONE, PLANTS, Plant, iv, pick, standard

from ivbridge.asked import seen_of
from ivbridge.design import build
from ivbridge.explainer.merge import merged
from ivbridge.explainer.reach import coefficients, reach
from ivbridge.explainer.records import World
from ivbridge.explainer.worlds import FORMS, WORLDS
from ivbridge.explainer.worlds_storage import decimals, significant
from ivbridge.kclass import estimated
from ivbridge.spec import IVSpec

Q, TWO, LOGS = worlds_by_hand.Q, worlds_by_hand.TWO, worlds_by_hand.LOGS
#: Everything at once: a factor, a gap, weights, a logarithm, two endogenous regressors, clusters.
EVERYTHING = "y ~ x1 + x2 + log(q) + hole + gap + scale(w2) | log(q) + hole + gap + scale(w2) + z1 + z2 + z3"


@cache
def question(formula: str, **options: str) -> World:
    """A question as it was asked."""
    data = worlds_by_hand.data()
    spec = IVSpec.from_formula(formula, **{"vcov": "classical", **options})
    return World(seen_of(build(spec, data)), spec, data, spec.method)


@cache
def one_step(formula: str, **options: str) -> tuple[World, ...]:
    """Every world that is one step away."""
    asked = question(formula, **options)
    return tuple(world for convention in WORLDS for world in convention(asked))


def coefs(world: World) -> dict[str, float]:
    found = estimated(world.seen, world.method).coef
    return dict(zip(world.seen.x_names, found.tolist(), strict=True))


def apart(found: dict[str, float], wanted: dict[str, float]) -> float:
    return max(abs(found[name] - value) / (abs(value) + 1e-6) for name, value in wanted.items())


@pytest.mark.parametrize("plant", PLANTS, ids=lambda p: f"{p.key} {p.note}".strip())
def test_a_world_has_the_coefficients_that_its_convention_gives_by_hand(plant: Plant) -> None:
    wanted = plant.coefs(worlds_by_hand.data())
    named = [world for world in one_step(plant.formula, **plant.options) if world.steps[0].key == plant.key]
    near = [apart(coefs(w), wanted) for w in named if set(w.seen.x_names) == set(wanted)]
    assert near, f"no world of {plant.key} has the terms {sorted(wanted)}"
    assert min(near) < 1e-9


@pytest.mark.parametrize("plant", PLANTS, ids=lambda p: f"{p.key} {p.note}".strip())
def test_a_plant_is_not_the_question_itself(plant: Plant) -> None:
    """Else the test before could not fail; these four leave coefficients alone and change what follows from them."""
    wanted, own = plant.coefs(worlds_by_hand.data()), coefs(question(plant.formula, **plant.options))
    same = own.keys() == wanted.keys() and apart(own, wanted) < 1e-10
    assert same == (plant.key in ("weights.normalised", "weights.sum_one", "weights.frequency"))


def catalogue() -> dict[str, dict[str, object]]:
    text = files("ivbridge.explainer").joinpath("catalogue_worlds.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def test_every_convention_of_the_catalogue_is_planted_and_no_other() -> None:
    assert {plant.key for plant in PLANTS} == set(catalogue())


def test_every_step_has_its_entry() -> None:
    keys = {w.steps[0].key for w in one_step(EVERYTHING, weights="times", vcov="cluster(area)")}
    keys |= {w.steps[0].key for plant in PLANTS for w in one_step(plant.formula, **plant.options)}
    assert keys == set(catalogue())


def test_every_entry_says_what_it_is_and_who_says_so() -> None:
    for key, entry in catalogue().items():
        assert entry.keys() - {"mistake"} == {"title", "about", "stage", "source", "packages"}, key
        assert entry["stage"] == "world", key
        assert str(entry["about"]).endswith("."), key
        assert str(entry["source"]).endswith("."), key
        assert not (entry.get("mistake") and entry["packages"]) or key in WITH_CONVERSIONS, key


#: Mistakes that a named function makes easy.
WITH_CONVERSIONS = {
    "coding.as_number", "intercept.doubled", "roles.exog_not_instrument", "storage.overflow", "storage.truncated",
}  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"weights": "times", "vcov": "cluster(area)"}, {"method": "liml"}])
def test_worlds_are_well_formed(options: dict[str, str]) -> None:
    asked = question(EVERYTHING, **options)
    before = [np.array(m) for m in (asked.seen.y, asked.seen.x, asked.seen.z)]
    worlds = one_step(EVERYTHING, **options)
    assert len(worlds) > 400
    for world in worlds:
        seen, n = world.seen, len(world.seen.y)
        assert seen.x.shape == (n, len(seen.x_names)), world.steps
        assert seen.z.shape == (n, len(seen.z_names)), world.steps
        assert len(set(seen.x_names)) == len(seen.x_names), world.steps
        assert len(seen.rows) == n, world.steps
        assert all(len(codes) == n for codes in seen.groups.values()), world.steps
        assert seen.weights is None or (len(seen.weights) == n and seen.weights.min() > 0), world.steps
        assert re.fullmatch(r"\S.*[^.\s]", world.steps[0].text), world.steps
    assert all(np.array_equal(a, b) for a, b in zip(before, (asked.seen.y, asked.seen.x, asked.seen.z), strict=True))


@pytest.mark.parametrize("options", [{}, {"weights": "times"}, {"method": "liml"}, {"method": "fuller(4)"}])
def test_quick_coefficients_are_those_of_a_decomposition(options: dict[str, str]) -> None:
    compared = 0
    for world in one_step(Q, **options):
        try:
            exact = estimated(world.seen, world.method).coef
        except (ArithmeticError, ValueError):
            continue
        size = np.abs(exact) + np.abs(exact).max() * 1e-9
        assert (np.abs(coefficients(world) - exact) / size).max() < 1e-6, world.steps
        compared += 1
    assert compared > 250


HARD = [
    0.5, 1.5, 2.5, 0.285, 1.115, 1.005, 2.675, -2.675, 0.125, 0.375, 12345.5, 12344.5, 99999.5, 9.9999995, 0.0, -0.0,
    1e-12, 3.1e-5, 123456789.5, 1e15 + 0.5, 1e22,
    5e-324, 0.1, 1 / 3, 2 / 3, 1e5 / 3, 8.345, 0.045,
]  # fmt: skip


def test_columns_are_rounded_as_text_is() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([HARD, np.round(rng.normal(size=2000), 3), rng.lognormal(0, 8, 2000)])
    for digits in (15, 10, 7, 5, 3):
        expected = np.array([float(f"{v:.{digits}g}") for v in values.tolist()])
        assert (np.abs(significant(values, digits) - expected) <= np.spacing(np.abs(expected))).all(), digits
    small = values[np.abs(values) < 1e9]
    for places in (6, 4, 2, 0):
        expected = np.array([float(f"{v:.{places}f}") for v in small.tolist()])
        assert (np.abs(decimals(small, places) - expected) <= np.spacing(np.abs(expected))).all(), places


def found(formula: str, wanted: dict[str, float], within: float = 1e-9, **options: str) -> list[tuple[str, ...]]:
    """Keys of the steps to every world with these coefficients."""
    sizes = {term: within * abs(value) for term, value in wanted.items()}
    reached = reach(question(formula, **options), wanted, sizes, complete=True)
    return [tuple(step.key for step in one.world.steps) for one in reached]


def test_the_question_itself_is_found_first() -> None:
    assert found(Q, standard(worlds_by_hand.data()))[0] == ()


@pytest.mark.slow
@pytest.mark.parametrize("plant", PLANTS, ids=lambda p: f"{p.key} {p.note}".strip())
def test_every_plant_is_reached(plant: Plant) -> None:
    wanted = plant.coefs(worlds_by_hand.data())
    reached = []
    sizes = {term: 1e-8 * abs(value) + 1e-14 for term, value in wanted.items()}
    asked = question(plant.formula, **plant.options)
    for one in reach(asked, wanted, sizes, complete=True, steps=lambda: 1):
        reached += [step.key for step in one.world.steps]
    assert plant.key in reached


D = worlds_by_hand.data()


def scale(column: pd.Series) -> pd.Series:
    return (column - column.mean()) / column.std()


def deviations(column: pd.Series) -> dict[str, pd.Series]:
    """Sum contrasts, under R's names."""
    last = (column == "elm").astype(float)
    return {f"g{i}": (column == level).astype(float) - last for i, level in enumerate(("ash", "birch", "cedar"), 1)}


SOME = {f"g{level}": (D["g"] == level).astype(float) for level in ("ash", "birch", "cedar")}
PAIRS = {
    ("unit.thousands", "unit.sign"): (Q, standard(D, y=D["y"] * -1, x1=D["x1"] / 1000), {}),
    ("unit.percent", "unit.tens"): (Q, standard(D, x1=D["x1"] * 100, w1=D["w1"] / 10), {}),
    ("weights.ignored", "unit.thousands"): (Q, standard(D, w1=D["w1"] * 1000), {"weights": "wt"}),
    ("rows.complete_cases", "unit.percent"): (Q, standard(D.dropna().assign(y=lambda e: e["y"] * 100)), {}),
    ("rows.first", "weights.ignored"): (Q, standard(D.iloc[1:]), {"weights": "wt"}),
    ("storage.float32", "rows.last"): (
        Q, standard(D[worlds_by_hand.USED].astype("float32").astype(float).iloc[:-1]), {},
    ),
    ("intercept.missing", "estimator.ols"): (Q, iv(D["y"], pick(D, "w1 x1", constant=False)), {}),
    ("weights.ignored", "estimator.ols"): (Q, iv(D["y"], pick(D, "w1 x1")), {"weights": "wt"}),
    ("rows.complete_cases", "roles.instrument_left_out"): (
        Q, iv((e := D.dropna())["y"], pick(e, "w1 x1"), pick(e, "w1 z1 z2")), {},
    ),
    ("form.log_forgotten", "intercept.missing"): (
        LOGS,
        iv(
            D["y"], {"log(q)": D["q"], "log(p)": np.log(D["p"])}, {"log(q)": D["q"], "z1": D["z1"], "z2": D["z2"]},
        ), {},
    ),
    ("coding.last_level", "weights.ignored"): (
        worlds_by_hand.FACTOR,
        iv(
            D["y"],
            pick(D, "") | SOME | {"x1": D["x1"]},
            pick(D, "") | SOME | {"z1": D["z1"], "z2": D["z2"]},
        ),
        {"weights": "wt"},
    ),
    ("storage.digits", "form.standardised"): (
        Q, standard((e := worlds_by_hand.through_text(D, worlds_by_hand.USED, "%.5g")), x1=scale(e["x1"])), {},
    ),
    ("form.square", "form.centred"): (
        Q, standard(D, D["wt"], w1=D["w1"] ** 2, x1=D["x1"] - D["x1"].mean()), {"weights": "wt"},
    ),
    ("form.lag", "form.standardised"): (
        Q, standard((e := D.assign(z1=D["z1"].shift(1)).iloc[1:]), w1=scale(e["w1"])), {},
    ),
    ("form.lead", "form.log_forgotten"): (
        LOGS,
        iv(
            (e := D.assign(y=D["y"].shift(-1)).iloc[:-1])["y"],
            {ONE: np.ones(len(e)), "log(q)": np.log(e["q"]), "log(p)": e["p"]},
            {ONE: np.ones(len(e)), "log(q)": np.log(e["q"]), "z1": e["z1"], "z2": e["z2"]},
        ),
        {},
    ),
    ("coding.sum", "form.centred"): (
        worlds_by_hand.FACTOR,
        iv(
            D["y"],
            pick(D, "") | (DEVIATIONS := deviations(D["g"])) | {"x1": D["x1"] - D["x1"].mean()},
            pick(D, "") | DEVIATIONS | {"z1": D["z1"], "z2": D["z2"]},
        ),
        {},
    ),
    ("storage.truncated", "form.centred"): (
        Q, standard(D, w1=D["w1"].astype(int).astype(float), x1=D["x1"] - D["x1"].mean()), {},
    ),
    ("rows.missing_as_zero", "estimator.ols"): (
        worlds_by_hand.GAP, iv(D["y"], pick(D.fillna({"gap": 0.0}), "gap x1")), {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("keys", PAIRS, ids=" and ".join)
def test_pairs_are_reached(keys: tuple[str, str]) -> None:
    formula, wanted, options = PAIRS[keys]
    assert sorted(keys) in [sorted(steps) for steps in found(formula, wanted, **options)]


@pytest.mark.parametrize(
    ("formula", "options", "size"),
    [
        (Q, {}, 1e-6),
        (Q, {"weights": "wt"}, 0.02),
        (TWO, {"method": "liml"}, 1e-4),
        (worlds_by_hand.FACTOR, {}, 1e-5),
        (worlds_by_hand.GAP, {}, 1e-3),
    ],
)
def test_a_wrong_number_is_reached_by_nothing(formula: str, options: dict[str, str], size: float) -> None:
    own = coefs(question(formula, **options))
    term = list(own)[1]
    assert found(formula, own | {term: own[term] * (1 + size)}, 1e-10, **options) == []


def test_what_is_left_out_takes_its_gaps_along() -> None:
    formula = "y ~ x1 + w1 | w1 + z1 + gap"
    exactly = iv(D["y"], pick(D, "w1 x1"), pick(D, "w1 z1"))  # on all rows, those with a gap in the instrument too
    assert ("roles.instrument_left_out",) in found(formula, exactly)
    assert ("estimator.ols",) in found(formula, iv(D["y"], pick(D, "w1 x1")))
    fewer = iv(D["y"], pick(D, "x1"), pick(D, "z1 z2"))
    assert ("roles.regressor_left_out",) in found(worlds_by_hand.GAP, fewer)


@pytest.mark.parametrize("options", [{}, {"weights": "wt"}])
def test_merged_pairs_are_those_that_are_built(options: dict[str, str]) -> None:
    """Every pair that a target matches has its coefficients, and none that has them is missing."""
    asked = question(LOGS, **options)
    forms = [world for convention in FORMS for world in convention(asked)]
    pairs = list(merged(asked, forms, forms, dict.fromkeys(asked.seen.x_names, (0.0, np.inf))))
    assert len(pairs) > 2000
    rng = np.random.default_rng(1)
    for pair in rng.choice(np.array(pairs, dtype=object), 40, replace=False):
        wanted = {name: (value, 1e-6 * abs(value) + 1e-9) for name, value in coefs(pair).items()}
        again = [w.steps for w in merged(asked, forms, forms, wanted)]
        assert pair.steps in again, pair.steps


def test_terms_that_another_program_calls_otherwise_are_matched() -> None:
    own = standard(worlds_by_hand.data())
    reached = next(
        iter(reach(question(Q), {"w1": own["w1"], "_cons": own[ONE], "educ": own["x1"]}, {}, complete=True)), None
    )
    assert reached is None  # nothing is within zero of a rounded number, unless the names are not matched either
    wide = {"w1": 1e-9, "_cons": 1e-9, "educ": 1e-9}
    first = next(reach(question(Q), {"w1": own["w1"], "_cons": own[ONE], "educ": own["x1"]}, wide, complete=True))
    assert first.names == {"w1": "w1", "_cons": ONE, "educ": "x1"}
    assert first.world.steps == ()


def test_a_few_numbers_are_enough() -> None:
    own = standard(worlds_by_hand.data().iloc[1:])
    reached = reach(question(Q), {"x1": own["x1"]}, {"x1": 1e-9}, complete=False, steps=lambda: 1)
    assert [one.world.steps[0].key for one in reached][:1] == ["rows.first"]


def test_without_coefficients_every_world_is_reached() -> None:
    reached = list(reach(question(Q), {}, {}, complete=False))
    assert len(reached) == 1 + len(one_step(Q))


def test_worlds_need_no_data_frame() -> None:
    """Two estimates from JSON and matrices: what needs the data is not tried, everything else is."""
    asked = question(Q)
    bare = World(asked.seen, None, None, asked.method)
    keys = {world.steps[0].key for convention in WORLDS for world in convention(bare)}
    assert {"estimator.ols", "unit.sign", "rows.first", "intercept.missing", "form.lag"} <= keys
    assert not any(key.startswith(("storage.", "coding.", "rows.missing", "rows.complete")) for key in keys)


def test_other_data_than_those_of_the_question_are_not_looked_at() -> None:
    asked = question(Q)
    wrong = World(asked.seen, asked.spec, worlds_by_hand.data().head(9), asked.method)
    wanted = standard(worlds_by_hand.data().iloc[1:])
    reached = reach(wrong, wanted, dict.fromkeys(wanted, 1e-09), complete=True)
    assert [one.world.steps[0].key for one in reached] == ["rows.first"]


@pytest.mark.slow
@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)
def test_no_question_makes_the_search_stumble(case: cases.Case) -> None:
    data = cases.frame()
    spec = IVSpec.from_formula(case.formula, **{"vcov": "cluster(g)", **case.options})
    asked = World(seen_of(build(spec, data)), spec, data, spec.method)
    own = coefs(asked)
    wrong = {term: value * (1 + 1e-3 * np.cos(i)) for i, (term, value) in enumerate(own.items())}
    sizes = {term: 1e-9 * abs(value) for term, value in wrong.items()}
    assert list(reach(asked, wrong, sizes, complete=True)) == []
    again = reach(asked, own, {term: 1e-6 * abs(value) for term, value in own.items()}, complete=True)
    assert next(again).world.steps == ()


def test_the_text_of_a_step_names_what_is_concerned() -> None:
    texts = {w.steps[0].text for w in (*one_step(worlds_by_hand.GAP), *one_step(LOGS))}
    lost = pd.isna(worlds_by_hand.data()["gap"]).sum()
    assert any(re.fullmatch(rf"{lost} rows \(\d+, .*…\) are kept, with 0 for a missing gap", text) for text in texts)
    assert "the logarithm in log(p) is that to base 10" in texts
    assert "q enters without its logarithm" in texts
