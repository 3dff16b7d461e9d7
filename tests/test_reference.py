"""The R engine against R itself: the same question asked by hand, without a line of ours in between."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ivbridge
from ivbridge.engines.r_calls import r_call
from ivbridge.resources import scripts_dir
from ivbridge.rrandom import RRandom
from ivbridge.vcov_text import parse_vcov
from tests.cases import VCOVS, frame

FORMULA = "y ~ x1 + x2 + w1 | w1 + z1 + z2 + z3"
#: A vcov that R can be asked for in one line on the complete data of `frame()`.
BY_HAND = [text for text in VCOVS if not text.startswith("pc")]
ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8"}
RSCRIPT = shutil.which("Rscript") or "/usr/bin/Rscript"


def _rscript(code: str, folder: Path) -> str:
    path = folder / "script.R"
    path.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [RSCRIPT, "--vanilla", str(path)], capture_output=True, text=True, env=ENVIRONMENT, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Standard errors of every vcov and the diagnostics of some, by plain AER, sandwich and lmtest calls."""
    folder = tmp_path_factory.mktemp("by_hand")
    data = frame()
    data.drop(columns=["day"]).to_csv(folder / "data.csv", index=False)
    lines = ["suppressPackageStartupMessages(library(AER))", f"data <- read.csv('{folder}/data.csv')", "used <- data",
             f"fit <- ivreg({FORMULA}, data = data)"]  # fmt: skip
    for i, text in enumerate(BY_HAND):
        call, vcov = r_call(parse_vcov(text)), parse_vcov(text)
        seed = f"set.seed({vcov.seed}); " if isinstance(vcov, ivbridge.Bootstrap) else ""
        lines.append(f"{seed}cat('se{i}', sprintf('%.17g', sqrt(diag({call}))), '\\n')")
        if not seed:
            on_x = call.replace("fit", "x", 1)
            lines.append(f"d <- summary(fit, vcov. = function(x) {on_x}, diagnostics = TRUE)$diagnostics")
            lines.append(f"cat('test{i}', sprintf('%.17g', d[, 'statistic']), '\\n')")
    found = {}
    for line in _rscript("\n".join(lines), folder).splitlines():
        name, *values = line.split()
        found[name] = np.array([float(value) for value in values])
    return found


@pytest.mark.parametrize("text", BY_HAND)
def test_standard_errors_and_tests(text: str, by_hand: dict[str, np.ndarray]) -> None:
    estimate = ivbridge.fit(FORMULA, frame(), text, "r")
    i = BY_HAND.index(text)
    order = ["(Intercept)", "x1", "x2", "w1"]  # by hand the columns stand in the order of the formula
    # another column order and a csv round trip at 17 digits: a few roundings times a condition number of about 10
    np.testing.assert_allclose(np.sort(estimate.bse[order]), np.sort(by_hand[f"se{i}"]), rtol=1e-11)
    if f"test{i}" in by_hand:
        keys = ("weak_instruments:x1", "weak_instruments:x2", "wu_hausman", "sargan")
        tests = {key: test for key, test in estimate.tests.items() if isinstance(test, ivbridge.Test)}
        kept = [j for j, key in enumerate(keys) if key in tests]
        assert "sargan" in tests
        mine = [tests[keys[j]].statistic for j in kept]
        np.testing.assert_allclose(mine, by_hand[f"test{i}"][kept], rtol=1e-9)  # Sargan subtracts: n·u over 0.01


def test_ivreg_script_runs_alone(tmp_path: Path) -> None:
    frame().drop(columns=["day"]).to_csv(tmp_path / "data.csv", index=False)
    arguments = [
        "--data",
        str(tmp_path / "data.csv"),
        "--formula",
        FORMULA,
        "--vcov",
        "cluster",
        "--by",
        "g,h",
        "--type",
        "HC1",
    ]
    done = subprocess.run(
        [RSCRIPT, str(scripts_dir() / "ivreg.R"), *arguments],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=True,
    )
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line and not line.startswith(" ")}
    estimate = ivbridge.fit(FORMULA, frame(), "cluster(g, h, type=HC1)", "r")
    # fifteen printed digits
    assert float(rows["x1"][1]) == pytest.approx(estimate.bse["x1"], rel=1e-12)


@pytest.mark.parametrize("text", ["classical", "HC0", "HC1", "cluster(g, type=HC1)", "nw(2, prewhite=0)"])
@pytest.mark.parametrize("formula", [FORMULA, "y ~ x1 + C(g, Treatment('c')) | C(g, Treatment('c')) + log(p) + z1"])
def test_pasted_python_gives_the_same_numbers(formula: str, text: str) -> None:
    estimate = ivbridge.fit(formula, frame(), text)
    scope: dict[str, object] = {"data": frame()}
    *setup, last = estimate.provenance.calls
    with contextlib.redirect_stdout(io.StringIO()):
        exec("\n".join([*setup, f"result = {last}"]), scope)
    # linearmodels names and orders terms its own way
    errors = np.sort(np.asarray(scope["result"].std_errors, dtype=float))  # type: ignore[attr-defined]
    np.testing.assert_allclose(errors, np.sort(estimate.coefs.std_error), rtol=1e-10)


@pytest.mark.parametrize("weights", [None, "wt"])
def test_lean_hat_values_equal_aers(tmp_path: Path, weights: str | None) -> None:
    frame().drop(columns=["day"]).to_csv(tmp_path / "data.csv", index=False)
    argument = f", weights = {weights}" if weights else ""
    code = f"""
        source("{scripts_dir() / "ivreg.R"}")
        data <- read.csv("{tmp_path / "data.csv"}")
        fit <- ivreg({FORMULA}, data = data{argument})
        cat(max(abs(hatvalues(fit) - ivb_hat_by_row(fit))), max(hatvalues(fit)))
    """
    gap, largest = map(float, _rscript(code, tmp_path).split())
    assert 0.05 < largest < 1
    assert gap < 1e-13  # sums of 60 products of numbers below one


@pytest.mark.parametrize("seed", [0, 1, 42, -5, 2**31 - 1])
def test_random_draws_equal_rs(seed: int, tmp_path: Path) -> None:
    bounds = (1, 3, 48, 1000, 65536, 65537, 100000)
    calls = "; ".join(f"cat(sample.int({bound}, 40, TRUE), '')" for bound in bounds)
    theirs = list(
        map(int, _rscript(f"set.seed({seed}); {calls}; cat(sprintf('%.17g', runif(3)))", tmp_path).split()[:-3])
    )
    random = RRandom(seed)
    mine = np.concatenate([random.sample(bound, 40, replace=True) for bound in bounds])
    assert mine.tolist() == theirs


def test_uniform_draws_equal_rs(tmp_path: Path) -> None:
    theirs = list(map(float, _rscript("set.seed(3); cat(sprintf('%.17g', runif(5)))", tmp_path).split()))
    assert RRandom(3).runif(5).tolist() == theirs


@pytest.mark.parametrize("text", ["HC0", "HC3", "cluster(g)"])
def test_many_rows_take_the_lean_path(text: str) -> None:
    data = pd.concat([frame(60, seed) for seed in range(60)], ignore_index=True)
    agreement = ivbridge.crosscheck(FORMULA, data, [text], weights="wt")
    agreement.assert_ok()
    assert agreement.n == 3600


#: Questions that AER and sandwich, asked in the plainest way, answer otherwise: the calls shown say what was asked.
DEPARTURES = [
    ("y ~ x1 + w1 + offset(o) | w1 + z1 + z2", None, "AER leaves the offset out"),
    ("log(p) ~ x1 + offset(o) + offset(2 * w1) | z1 + z2", "wt", "AER leaves the offset out"),
    ("y ~ x1 + w1 | w1 + z1 + z2", "some_zero", "weight zero"),
]


@pytest.mark.parametrize("text", ["classical", "HC1", "HC3", "cluster(g)", "nw(2)"])
@pytest.mark.parametrize(("formula", "weights", "note"), DEPARTURES)
def test_pasted_r_gives_the_same_numbers(
    tmp_path: Path, formula: str, weights: str | None, note: str, text: str
) -> None:
    data = frame().drop(columns=["day"])
    data["some_zero"] = np.where(np.arange(len(data)) % 4 == 0, 0.0, data["wt"])
    data.to_csv(tmp_path / "data.csv", index=False)
    estimate = ivbridge.fit(formula, data, text, "r", weights=weights)
    assert any(note in one for one in estimate.notes)
    *setup, test, summary = estimate.provenance.calls
    code = [f"data <- read.csv('{tmp_path}/data.csv')", *setup, f"t <- {test}", f"d <- {summary}$diagnostics",
            "cat('\\nOURS', sprintf('%.17g', c(t[, 2], d[, 'statistic'])))"]  # fmt: skip
    theirs = [float(value) for value in _rscript("\n".join(code), tmp_path).split("OURS")[1].split()]
    tests = [estimate.tests[key] for key in ("weak_instruments:x1", "wu_hausman", "sargan") if key in estimate.tests]
    mine = [*estimate.coefs.std_error, *(getattr(one, "statistic", np.nan) for one in tests)]
    # another order of the same operations; Sargan subtracts: n·u over 0.01
    np.testing.assert_allclose(mine, theirs[: len(mine)], rtol=1e-9)


def test_pasted_r_numbers_the_units_of_a_panel(tmp_path: Path) -> None:
    data = frame().drop(columns=["day"]).sample(frac=1, random_state=2)
    data["unit"] = "u" + (9 - data["unit"] % 10).astype(str) + data["unit"].astype(str)
    data.to_csv(tmp_path / "data.csv", index=False)
    estimate = ivbridge.fit("y ~ x1 + w1 | w1 + z1 + z2", data, "dk(unit, t, aggregate=False)", "r")
    assert any("the number of units" in note for note in estimate.notes)
    *setup, test, _ = estimate.provenance.calls
    code = [f"data <- read.csv('{tmp_path}/data.csv')", *setup, f"cat('\\nOURS', sprintf('%.17g', {test}[, 2]))"]
    theirs = [float(value) for value in _rscript("\n".join(code), tmp_path).split("OURS")[1].split()]
    np.testing.assert_allclose(estimate.coefs.std_error, theirs, rtol=1e-10)  # sums in another order


def test_scores_that_sandwich_takes_for_zeros_are_said() -> None:
    data = frame()
    data["tiny"] = data["y"] * 1e-20
    estimate = ivbridge.fit("tiny ~ x1 + w1 | w1 + z1 + z2", data, "HC1", "r")
    assert any("takes scores below 2.2e-16 for zeros" in one for one in estimate.warnings)
    plain = ivbridge.fit("y ~ x1 + w1 | w1 + z1 + z2", data, "HC1", "r")
    assert plain.warnings == ()
    np.testing.assert_allclose(estimate.coefs.std_error * 1e20, plain.coefs.std_error, rtol=1e-12)


def test_hat_values_of_columns_left_out_are_said() -> None:
    data = frame()
    data["twice"] = 2 * data["w1"]
    formula = "y ~ x1 + w1 + twice | w1 + twice + z1 + z2"
    assert any("AER's hat values, and HC3, are wrong" in n for n in ivbridge.fit(formula, data, "HC3", "r").notes)
    assert not any("hat values" in note for note in ivbridge.fit(formula, data, "HC1", "r").notes)
