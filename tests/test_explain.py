"""The explainer against answers of R's packages, of linearmodels and of formulas by hand, and against wrong numbers."""

from __future__ import annotations

import dataclasses
import math
import re
import subprocess
import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path

import linearmodels
import numpy as np
import pandas as pd
import pytest

import ivbridge
from ivbridge.explainer import Explanation, Observed, asked_world, explain, explain_observed
from ivbridge.gaps import Key
from ivbridge.results import Estimate
from ivbridge.spec import IVSpec

DATA = ivbridge.load("cigarettes_sw").frame
FORMULA = "log(packs) ~ log(rprice) + log(rincome) | log(rincome) + tdiff + rtax"
SCRIPT = Path(__file__).with_name("explain.R")

#: case of explain.R → vcov and inference of the question, keys that have to be named
CASES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "HC0": ("classical", "t", ("vcov.HC0",)),
    "HC1": ("HC0", "t", ("vcov.HC1",)),
    "HC2": ("classical", "t", ("vcov.HC2",)),
    "HC3": ("HC1", "z", ("vcov.HC3", "inference.df")),
    "HC4": ("classical", "t", ("vcov.HC4",)),
    "HC4m": ("classical", "t", ("vcov.HC4m",)),
    "HC5": ("classical", "t", ("vcov.HC5",)),
    "classical by n": ("classical", "t", ("factor.n_nk",)),
    "z": ("classical", "t", ("inference.z",)),
    "t with n": ("classical", "t", ("inference.df",)),
    "vcovCL": ("classical", "t", ("vcov.cluster",)),
    "vcovCL HC1": ("cluster(state)", "t", ("cluster.type", "inference.groups")),
    "vcovCL plain": ("cluster(state, type=HC1)", "t", ("cluster.type", "cluster.cadjust", "inference.z")),
    "two-way": ("cluster(state, type=HC1)", "t", ("cluster.by",)),
    "two-way multi0": ("cluster(state, year)", "t", ("cluster.multi0",)),
    "NeweyWest": ("classical", "t", ("vcov.nw",)),
    "NeweyWest lag 2": ("nw(4, prewhite=0)", "t", ("nw.lag",)),
    "NeweyWest lag 2 adjusted": ("nw(2)", "t", ("nw.prewhite", "nw.adjust")),
    "kernHAC Parzen": ("andrews(bw=3, prewhite=0)", "t", ("andrews.kernel", "andrews.adjust")),
    "second stage": ("classical", "t", ("residuals.second_stage",)),
    "second stage HC1": ("HC1", "t", ("residuals.second_stage",)),
    "lm": ("classical", "t", ("estimator.ols",)),
    "iv_robust HC2": ("HC2", "t", ("hat.second_stage",)),
    "iv_robust HC3": ("classical", "t", ("vcov.HC3", "hat.second_stage")),
    "iv_robust stata": ("classical", "t", ("vcov.HC1",)),
    "iv_robust classical": ("HC1", "t", ("vcov.classical",)),
    "iv_robust clusters": ("cluster(state, type=HC1)", "t", ("inference.groups",)),
    "systemfit noDfCor": ("classical", "t", ("factor.n_nk",)),
    "summary HC1": ("classical", "t", ("vcov.HC1",)),
    "summary HC1 df Inf": ("HC1", "t", ("inference.z",)),
}  # fmt: skip


@pytest.fixture(scope="module")
def from_r(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[Key, float]]:
    """Every case of explain.R."""
    data = tmp_path_factory.mktemp("explain") / "data.csv"
    DATA.to_csv(data, index=False)
    command = ["Rscript", "--vanilla", str(SCRIPT), str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[Key, float]] = {}
    for line in done.stdout.splitlines():
        case, quantity, term, value = line.split("\t")
        found.setdefault(case, {})[quantity, term] = float(value)
    return found


@cache
def fitted(vcov: str, inference: str = "t") -> Estimate:
    return ivbridge.fit(FORMULA, DATA, vcov, inference=inference)


def named(numbers: dict[Key, float], vcov: str, inference: str = "t", within: float | None = None) -> Explanation:
    """What the explainer says about numbers of R; to rounding, unless they have a printed precision."""
    spec = IVSpec.from_formula(FORMULA, vcov=vcov, inference=inference)
    bounds = {} if within is None else dict.fromkeys(numbers, within)
    return explain_observed(asked_world(spec, DATA), Observed(numbers, bounds, "R"))


@pytest.mark.parametrize("case", CASES)
def test_answers_of_r_are_named(case: str, from_r: dict[str, dict[Key, float]]) -> None:
    vcov, inference, keys = CASES[case]
    found = named(from_r[case], vcov, inference)
    assert found.verdict == "convention", found.reason
    assert sorted(step.key for step in found.steps) == sorted(keys), found.reason
    assert found.compared == len(from_r[case])


def test_every_case_of_the_script_is_tested(from_r: dict[str, dict[Key, float]]) -> None:
    assert set(from_r) == {*CASES, "summary classical"}


def test_the_question_as_asked_is_rounding(from_r: dict[str, dict[Key, float]]) -> None:
    found = named(from_r["summary classical"], "classical")
    assert found.verdict == "rounding" and found.steps == ()


FEW = ("HC0", "vcovCL HC1", "second stage", "summary HC1")


@pytest.mark.parametrize(
    "case", [case if case in FEW else pytest.param(case, marks=pytest.mark.slow) for case in CASES]
)
def test_a_part_per_million_is_never_explained(case: str, from_r: dict[str, dict[Key, float]]) -> None:
    vcov, inference, _ = CASES[case]
    numbers = from_r[case]
    keys = [key for key in numbers if key[0] in ("estimate", "std.error", "statistic", "sigma", "test statistic")]
    for key in (keys[0], keys[len(keys) // 2], keys[-1]):
        found = named(numbers | {key: numbers[key] * (1 + 1e-6)}, vcov, inference)
        assert found.verdict == "none", (key, found.reason)
        assert not found.ok and found.steps == ()


def test_defaults_of_aer_and_linearmodels() -> None:
    """The sentence that a referee would write."""
    reference = ivbridge.fit(FORMULA, DATA, "classical", engine="r")
    formula = "np.log(packs) ~ 1 + np.log(rincome) + [np.log(rprice) ~ tdiff + rtax]"
    fit = linearmodels.IV2SLS.from_formula(formula, DATA).fit()
    names = {"Intercept": "(Intercept)", "np.log(rincome)": "log(rincome)", "np.log(rprice)": "log(rprice)"}
    columns = {"estimate": fit.params, "std.error": fit.std_errors, "statistic": fit.tstats, "p.value": fit.pvalues,
               "conf.low": fit.conf_int()["lower"], "conf.high": fit.conf_int()["upper"]}  # fmt: skip
    numbers = {(q, names[term]): float(v) for q, column in columns.items() for term, v in column.items()}
    found = explain_observed(asked_world(reference.spec, DATA), Observed(numbers, {}, "linearmodels"), "AER")
    assert [step.key for step in found.steps] == ["vcov.HC0", "inference.z"]
    assert found.reason == (
        "linearmodels' numbers are AER's if standard errors are HC0 instead of classical and p-values and intervals "
        "come from the normal distribution instead of t with 93 degrees of freedom"
    )


def test_estimates_of_r_and_python_that_differ() -> None:
    reference = ivbridge.fit(FORMULA, DATA, "classical", engine="r")
    found = explain(reference, fitted("HC0", "z"), DATA)
    assert found.verdict == "convention"
    assert [step.key for step in found.steps] == ["vcov.HC0", "inference.z"]
    assert explain(reference, fitted("classical"), DATA).verdict == "rounding"
    assert explain(reference, reference).verdict == "identical"


def test_a_reference_with_a_wrong_number_explains_nothing() -> None:
    right = fitted("classical")
    coefs = dataclasses.replace(right.coefs, std_error=right.coefs.std_error * np.array([1, 1 + 1e-6, 1]))
    wrong = dataclasses.replace(right, coefs=coefs)
    for candidate in (right, fitted("HC0")):
        found = explain(wrong, candidate, DATA)
        assert found.verdict == "none" and "own numbers" in found.reason


def test_a_number_that_only_one_side_has_is_not_explained() -> None:
    candidate = fitted("HC0")
    tests = {key: test for key, test in candidate.tests.items() if key != "sargan"}
    found = explain(fitted("classical"), dataclasses.replace(candidate, tests=tests), DATA)
    assert found.verdict == "none" and ("test statistic", "sargan") in found.unexplained
    declared = dataclasses.replace(candidate, tests=tests, lacks={"test sargan": "it is not printed"})
    assert explain(fitted("classical"), declared, DATA).verdict == "convention"


def test_one_residual_is_not_explained() -> None:
    candidate = fitted("HC0")
    residuals = candidate.residuals.copy()
    residuals[7] *= 1 + 1e-6
    found = explain(fitted("classical"), dataclasses.replace(candidate, residuals=residuals), DATA)
    assert found.verdict == "none" and ("resid", "") in found.unexplained


@pytest.mark.parametrize("triangle", ["upper", "lower"])
def test_one_covariance_is_not_explained(triangle: str) -> None:
    candidate = fitted("HC0")
    cov = candidate.cov.copy()
    cov[(0, 1) if triangle == "upper" else (1, 0)] *= 1 + 1e-6
    assert explain(fitted("classical"), dataclasses.replace(candidate, cov=cov), DATA).verdict == "none"


def test_without_matrices_and_data_nothing_can_be_tried() -> None:
    bare = [Estimate.from_json(fitted(vcov).to_json()) for vcov in ("classical", "HC0")]
    with pytest.raises(ivbridge.DataError, match="data"):
        explain(*bare)
    assert explain(*bare, DATA).verdict == "convention"


def test_a_printed_number_has_the_precision_of_its_digits() -> None:
    key = ("std.error", "log(rprice)")
    assert [s.key for s in named({key: 0.1522}, "classical", within=5e-5).steps] == ["vcov.HC0"]
    assert named({key: 0.1552}, "classical", within=5e-5).verdict == "rounding"
    assert named({key: 0.15200001}, "classical", within=1e-9).verdict == "none"


def lm70_tests() -> dict[str, tuple[float, float]]:
    """Wu–Hausman's F and Durbin's χ² with the IV residuals projected on the excluded instruments only."""
    d = DATA.assign(y=np.log(DATA.packs), x=np.log(DATA.rprice), w=np.log(DATA.rincome), one=1.0)
    y, x, z = (d[names].to_numpy(float) for names in (["y"], ["one", "w", "x"], ["one", "w", "tdiff", "rtax"]))

    def explained(e: np.ndarray, m: np.ndarray) -> float:
        return float(np.sum((m @ np.linalg.lstsq(m, e, rcond=None)[0]) ** 2))

    fitted_x = z @ np.linalg.lstsq(z, x, rcond=None)[0]
    e2 = y - x @ np.linalg.lstsq(fitted_x, y, rcond=None)[0]
    e0 = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    delta = explained(e0, np.hstack([z, x[:, 2:]])) - explained(e2, z[:, 2:])
    total = float((e0**2).sum())
    return {"wu_hausman.excluded_only": (delta / ((total - delta) / (len(y) - 4)), len(y) * delta / total)}


def test_wu_hausman_of_linearmodels_7_0() -> None:
    f, chi2 = lm70_tests()["wu_hausman.excluded_only"]
    keys = [s.key for s in named({("test statistic", "wu_hausman"): f}, "classical").steps]
    assert keys == ["wu_hausman.excluded_only"]
    keys = [s.key for s in named({("test statistic", "wu_hausman"): chi2}, "classical").steps]
    assert sorted(keys) == ["wu_hausman.durbin", "wu_hausman.excluded_only"]


def test_statistics_of_linearmodels_are_named() -> None:
    formula = "np.log(packs) ~ 1 + np.log(rincome) + [np.log(rprice) ~ tdiff + rtax]"
    fit = linearmodels.IV2SLS.from_formula(formula, DATA).fit(cov_type="unadjusted")
    first = fit.first_stage.diagnostics.loc["np.log(rprice)"]
    asked = {
        ("wu_hausman", fit.durbin().stat): ["wu_hausman.durbin"],
        ("sargan", fit.basmann.stat): ["sargan.basmann"],
        ("sargan", fit.wooldridge_overid.stat): ["sargan.wooldridge"],
        ("weak_instruments:log(rprice)", first["f.stat"]): ["test.divisor_n"],
    }
    for (test, value), keys in asked.items():
        found = named({("test statistic", test): float(value)}, "classical")
        assert [step.key for step in found.steps] == keys, (test, found.reason)
    assert named({("test statistic", "sargan"): float(fit.sargan.stat)}, "classical").verdict == "rounding"
    assert named({("test statistic", "wu_hausman"): float(fit.wu_hausman().stat)}, "classical").verdict == "rounding"


def test_a_comparison_names_the_convention() -> None:
    comparison = ivbridge.agree(fitted("classical"), fitted("HC3"), DATA)
    assert comparison.verdict == "convention" and "HC3 instead of classical" in comparison.reason


def test_rows_that_one_side_kept_are_named() -> None:
    holes = DATA.assign(tdiff=DATA.tdiff.where(DATA.index != 5))
    reference = ivbridge.fit(FORMULA, holes, "HC1")
    candidate = ivbridge.fit(FORMULA, holes.fillna({"tdiff": 0.0}), "HC1")
    comparison = ivbridge.agree(reference, candidate, holes)
    assert comparison.verdict == "not comparable"
    assert "rows" in comparison.reason and "0" in comparison.reason and "tdiff" in comparison.reason


def catalogue() -> dict[str, dict[str, object]]:
    return tomllib.loads(files("ivbridge.explainer").joinpath("catalogue.toml").read_text(encoding="utf-8"))


def test_every_step_has_an_entry_in_the_catalogue() -> None:
    folder = Path(str(ivbridge.__file__)).parent / "explainer"
    own = ("altered", "clusters", "vcovs", "covariances", "inference", "tests_", "rest", "search")
    code = "".join(folder.joinpath(f"{name}.py").read_text(encoding="utf-8") for name in own)
    stages = "vcov|cluster|nw|andrews|dk|bekker|hat|residuals|scores|bread|weights|factor|variance|inference|p|interval"
    stages += "|statistic|sigma|r2|df|test|wu_hausman|sargan|wald|anderson_rubin|first_stage"
    written = set(re.findall(rf'"((?:{stages})\.[a-z][a-z0-9_]*)"', code)) - {"p.value", "df.residual"}
    assert written <= set(catalogue()), sorted(written - set(catalogue()))
    made = {"vcov", "cluster", "nw", "andrews", "dk", "bekker"}  # from the keyword of a vcov and the name of a field
    assert {key for key in catalogue() if key.split(".")[0] not in made} <= written
    fields = {
        f"{kind.keyword}.{field.name}" for kind in ivbridge.Vcov.__subclasses__() for field in dataclasses.fields(kind)
    }
    keywords = {f"vcov.{kind.keyword}" for kind in ivbridge.Vcov.__subclasses__()}
    assert {key for key in catalogue() if key.split(".")[0] in made} <= fields | keywords | written


def test_entries_say_what_a_reader_needs() -> None:
    for key, entry in catalogue().items():
        assert {"title", "about", "stage", "source", "packages"} <= set(entry), key
        assert entry["stage"] in ("covariance", "inference", "test"), key


def test_infinite_and_missing_numbers_are_no_match() -> None:
    for value in (math.nan, math.inf):
        assert named({("std.error", "log(rprice)"): value}, "classical").verdict == "none"


def test_weighted_sargan_without_weights() -> None:
    random = np.random.default_rng(5)
    data = pd.DataFrame(random.standard_normal((80, 4)), columns=["z1", "z2", "u", "e"])
    data["x"] = data.z1 + data.z2 + data.u
    data["y"] = data.x + data.u + data.e
    data["w"] = random.uniform(0.5, 2, 80)
    formula = "y ~ x | z1 + z2"
    reference = ivbridge.fit(formula, data, "classical", weights="w")
    z, e = np.column_stack([np.ones(80), data.z1, data.z2]), reference.residuals
    rest = e - z @ np.linalg.lstsq(z, e, rcond=None)[0]
    value = 80 * (1 - (rest @ rest) / (e @ e))  # as linearmodels 7.0 has it
    world = asked_world(reference.spec, data)
    found = explain_observed(world, Observed({("test statistic", "sargan"): float(value)}, {}))
    assert {"test.unweighted", "sargan.uncentred"} == {step.key for step in found.steps}
