"""r_scripts/post.R: the post in R alone, against what was published and against the same analysis in Python."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ivbridge
from ivbridge.records import Test
from ivbridge.selection.design import build_lasso
from ivbridge.selection.engines import lasso_engine
from ivbridge.selection.spec import FoldColumn, Folds, LassoSpec
from ivbridge.simulate import SCENARIOS, Draw

SCRIPT = Path(__file__).resolve().parents[1] / "r_scripts" / "post.R"
FOLD_SEEDS = 3

#: Simulation, bar, quantity, figure as printed: by the post, by its sample code's output, or (long ones) by R 4.2.2.
FIGURES = (
    ("a", "OLS", "estimate", "2.590803"),
    ("a", "OLS", "std.error", "0.01440"),
    ("a", "OLS", "conf.low", "2.5626"),
    ("a", "OLS", "conf.high", "2.6191"),
    ("a", "good", "estimate", "2.04399593272244"),
    ("a", "good", "std.error", "0.0407532835030"),
    ("a", "good", "conf.low", "1.96"),
    ("a", "good", "conf.high", "2.12"),
    ("a", "good", "f.hc0", "435.115405643"),
    ("a", "good", "wu.hausman", "1575.07624675"),
    ("a", "weak", "estimate", "2.90670841367774"),
    ("a", "weak", "std.error", "0.472014604653"),
    ("a", "weak", "f.hc0", "1.51973158740"),
    ("a", "weak", "wu.hausman", "0.698157615"),
    ("a", "invalid", "estimate", "2.83671656140666"),
    ("a", "invalid", "std.error", "0.0195392166912"),
    ("a", "invalid", "f.hc0", "2201.06803748"),
    ("a", "invalid", "wu.hausman", "1593.00935935"),
    ("b", "OLS", "estimate", "2.8635"),
    ("b", "LASSO", "selected", "5"),
    ("b", "LASSO", "estimate", "1.98078460333"),
    ("b", "LASSO", "std.error", "0.0573324371"),
    ("b", "LASSO", "f", "156.3768"),
    ("b", "LASSO", "f.hc0", "164.2919"),
    ("b", "LASSO", "sargan", "2.0057"),
    ("b", "LASSO", "sargan.p", "0.735"),
    ("b", "all instruments", "estimate", "2.5826"),
)


def test_it_says_how_to_call_it() -> None:
    run = subprocess.run(["Rscript", "--vanilla", str(SCRIPT), "--help"], check=False, capture_output=True, text=True)
    assert run.returncode != 0
    assert "usage: Rscript post.R" in run.stderr


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    target = tmp_path_factory.mktemp("post") / "out.json"
    command = ["Rscript", "--vanilla", str(SCRIPT), "--json", str(target), "--seeds", str(FOLD_SEEDS)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    found: dict[str, Any] = json.loads(target.read_text())
    found["printed"] = run.stdout
    return found


def row_of(answer: dict[str, Any], simulation: str, label: str) -> dict[str, Any]:
    (row,) = [one for one in answer[simulation] if one["label"] == label]
    return dict(row)


@pytest.mark.slow
@pytest.mark.parametrize(("simulation", "label", "quantity", "text"), FIGURES)
def test_the_published_figures(answer: dict[str, Any], simulation: str, label: str, quantity: str, text: str) -> None:
    value = row_of(answer, simulation, label)[quantity]
    assert f"{value:.{len(text.partition('.')[2])}f}" == text


def python_row(draw: Draw, instruments: tuple[str, ...]) -> dict[str, float | None]:
    """The same quantities from Python, by the names of post.R."""
    formula = f"Y ~ X | {' + '.join(instruments)}"
    robust = ivbridge.fit(formula, draw.frame, "HC0", inference="z")
    at, table = robust.terms.index("X"), robust.coefs
    classical = ivbridge.fit(formula, draw.frame, "classical").tests["weak_instruments:X"]
    sargan = robust.tests["sargan"]
    tests = {"f": classical, "f.hc0": robust.tests["weak_instruments:X"], "wu.hausman": robust.tests["wu_hausman"]}
    return {
        "estimate": table.estimate[at],
        "std.error": table.std_error[at],
        "conf.low": table.conf_low[at],
        "conf.high": table.conf_high[at],
        **{name: test.statistic for name, test in tests.items() if isinstance(test, Test)},
        "sargan": sargan.statistic if isinstance(sargan, Test) else None,
        "sargan.p": sargan.p_value if isinstance(sargan, Test) else None,
        "selected": len(instruments),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("simulation", "label"),
    [("a", "good"), ("a", "weak"), ("a", "invalid"), ("b", "LASSO"), ("b", "all instruments")],
)
def test_python_gives_the_same(answer: dict[str, Any], simulation: str, label: str) -> None:
    draw = SCENARIOS[f"post-{simulation}"].draw()
    instruments = {"LASSO": draw.strong, "all instruments": draw.instruments}.get(label, (label,))
    theirs = row_of(answer, simulation, label)
    for name, value in python_row(draw, instruments).items():
        if value is None:
            assert theirs[name] is None
        else:
            # the 500 tests and the constant have a condition number of 360: 360 · 1000 rows · 2^-52 = 8e-11
            assert theirs[name] == pytest.approx(value, rel=8e-11), name


@pytest.mark.slow
def test_least_squares_is_the_same(answer: dict[str, Any]) -> None:
    for simulation in "ab":
        estimate = ivbridge.fit("Y ~ X | X", SCENARIOS[f"post-{simulation}"].draw().frame, "classical")
        theirs, table = row_of(answer, simulation, "OLS"), estimate.coefs
        at = estimate.terms.index("X")
        mine = [table.estimate[at], table.std_error[at], table.conf_low[at], table.conf_high[at]]
        names = ["estimate", "std.error", "conf.low", "conf.high"]
        np.testing.assert_allclose([theirs[name] for name in names], mine, rtol=1e-12)


def selected(draw: Draw, seed: int | None) -> tuple[str, ...]:
    """What the native LASSO chooses, on the draw's own folds or on those of a seed."""
    folds = FoldColumn("fold") if seed is None else Folds(10, seed)
    spec = LassoSpec("X", draw.valid, folds=folds)
    return lasso_engine("native").cv(build_lasso(spec, draw.frame.assign(fold=draw.foldid))).selected("1se")


@pytest.mark.slow
def test_python_chooses_the_same(answer: dict[str, Any]) -> None:
    draw = SCENARIOS["post-b"].draw()
    assert tuple(answer["chosen"]) == selected(draw, None) == draw.strong
    assert [row["selected"] for row in answer["folds"]] == [
        len(selected(draw, seed)) for seed in range(1, FOLD_SEEDS + 1)
    ]
    today = SCENARIOS["post-b"].draw(sample_kind="Rejection")
    assert answer["today"]["selected"] == len(selected(today, None)) == 20


@pytest.mark.slow
def test_what_it_prints(answer: dict[str, Any]) -> None:
    printed = answer["printed"]
    assert "The LASSO (lambda.1se) chose M.21, M.22, M.23, M.24, M.25." in printed
    assert f"Five instruments, as in the post, with 0 of {FOLD_SEEDS} fold seeds." in printed
    assert "2.043996" in printed
    assert "156.376803" in printed
    assert set(answer["versions"]) == {"R", "AER", "glmnet", "lmtest", "sandwich"}
