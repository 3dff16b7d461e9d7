"""The post's figures: what was printed comes out, natively and in R; and what its methods do on other draws."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from ivbridge import post_methods, study
from ivbridge.cli import app
from ivbridge.errors import UnsupportedError
from ivbridge.journal import described
from ivbridge.post import PostResult, Printed, post_figures
from ivbridge.simulate import SCENARIOS

FIVE = ("M.21", "M.22", "M.23", "M.24", "M.25")


@cache
def native() -> PostResult:
    return post_figures(["native"], seeds=2)


def test_every_printed_figure_comes_out_natively() -> None:
    found = native()
    assert [figure for figure in found.printed if not figure.ok] == []
    assert len(found.printed) == 26
    assert found.ok
    assert found.selected == {"native": FIVE}
    assert found.ar_sets == {"native": "[1.96, 2.12]"}


def test_a_figure_that_rounds_to_something_else_is_found() -> None:
    assert Printed("A", "good", "estimate", "2.04", "post", {"r": 2.0449, "native": 2.0351}).ok
    assert not Printed("A", "good", "estimate", "2.04", "post", {"r": 2.0449, "native": 2.0451}).ok
    assert not Printed("A", "good", "estimate", "2.04", "post", {}).ok
    wrong = dataclasses.replace(native(), printed=(Printed("A", "good", "estimate", "2.04", "post", {"r": 2.1}),))
    assert not wrong.ok


def test_the_same_code_under_todays_sampler_gives_something_else() -> None:
    """Figures of R 4.2.2 with glmnet 4.1-6."""
    today = native().today
    assert today["selected"] == 20
    assert today["estimate"] == pytest.approx(2.2063, abs=5e-5)  # printed with four decimals
    assert today["Sargan p"] == pytest.approx(2e-12, rel=0.25)  # printed with one digit


def test_the_result_reads_as_text_as_tables_and_as_json() -> None:
    found = native()
    text = found.summary()
    assert "26 of 26 printed figures reproduced by native" in text
    assert "lucky draw of the folds" in " ".join(text.split())
    frame = found.to_frame()
    assert frame.groupby("simulation")["label"].agg(list).to_dict() == {
        "A": ["OLS", "good", "weak", "invalid"], "B": ["OLS", "all instruments", "LASSO"],
    }  # fmt: skip
    assert set(found.published()["source"]) == {"post", "notebook"}
    assert PostResult.from_json(found.to_json()).to_json() == found.to_json()


def test_every_column_is_in_the_glossary() -> None:
    known = tomllib.loads((files("ivbridge") / "glossary.toml").read_text(encoding="utf-8"))["columns"]
    found = native()
    table = study.run(SCENARIOS["post-a"], post_methods.METHODS_A[:1], 2, workers=1)
    tables = (found.to_frame(), found.published(), found.fold_seeds(), table, study.summary(table))
    assert {column for one in tables for column in one.columns} - set(known) == set()


def test_an_empty_question_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="0 engines and 30 fold seeds"):
        post_figures([])
    with pytest.raises(UnsupportedError, match="1 engines and 0 fold seeds"):
        post_figures(["native"], seeds=0)


@pytest.mark.slow
def test_r_gives_every_printed_figure_and_the_folds_decide() -> None:
    """Thirty fold seeds: 5 to 23 instruments, 1.981 to 2.159, five in 2 of 30 (glmnet 4.1-6 in R gave the same)."""
    found = post_figures(("r", "native"), seeds=30)
    assert found.ok
    assert found.selected == {"r": FIVE, "native": FIVE}
    assert found.ar_sets["r"] == found.ar_sets["native"]
    seeds = found.fold_seeds()
    assert (seeds["selected"].min(), seeds["selected"].max()) == (5, 23)
    assert (f"{seeds['estimate'].min():.3f}", f"{seeds['estimate'].max():.3f}") == ("1.981", "2.159")
    assert found.lucky == 2
    two = (
        found.to_frame()
        .drop(columns="engine")
        .groupby(["simulation", "label"])
        .agg(lambda side: side.max() - side.min())
    )
    assert two["estimate"].abs().max() < 1e-10  # far below any printed digit; rounding leaves 1e-13


def test_methods_on_the_posts_own_draw() -> None:
    """R 4.2.2: all valid instruments 2.5543, LIML on them 1.955, LASSO 1se and the plug-in choose the strong five."""
    draw = SCENARIOS["post-b"].draw()
    found = {
        name: said
        for method in post_methods.METHODS_B
        for name, said in zip(method.names, method.run(draw, 1), strict=True)
    }
    assert found["2SLS, all valid"].estimate == pytest.approx(2.5543, abs=5e-5)  # printed with four decimals
    assert found["LIML, all valid, Bekker"].estimate == pytest.approx(1.955, abs=5e-4)  # with three
    assert found["LIML, all valid, HC0"].std_error > found["LIML, all valid, Bekker"].std_error
    assert found["LASSO 1se"] == found["oracle"] == found["plug-in"]
    assert found["LASSO 1se"].estimate == pytest.approx(1.98078460333, abs=5e-12)  # with eleven
    assert found["LASSO min"].selected == 72
    assert abs(found["cross-fitted 1se"].estimate - 2) < 3 * found["cross-fitted 1se"].std_error


def test_good_weak_and_invalid_instruments_over_many_draws() -> None:
    """4000 draws of a program of its own: good .950, weak 2.600, .873, its AR set .952, unbounded in 94.5 %."""
    table = study.run(SCENARIOS["post-a"], post_methods.METHODS_A, 400, workers=1)
    found = study.summary(table).set_index("method")
    # each within three Monte Carlo standard errors of 400 draws
    assert found.loc["good", "coverage"] == pytest.approx(0.950, abs=0.033)
    assert found.loc["weak", "coverage"] == pytest.approx(0.873, abs=0.050)
    assert found.loc["weak, Anderson–Rubin", "coverage"] == pytest.approx(0.952, abs=0.033)
    assert found.loc["invalid", "coverage"] == 0
    assert found.loc["weak, Anderson–Rubin", "missing"] == 1  # a set, no point
    sets = table.query("method == 'weak, Anderson–Rubin'")
    assert (sets["conf.low"] == -float("inf")).mean() == pytest.approx(0.945, abs=0.035)


def test_methods_are_described_alike_in_every_process() -> None:
    for methods in (post_methods.METHODS_A, post_methods.METHODS_B):
        said = [described(method.run) for method in methods]
        assert len(set(said)) == len(methods)
        assert not any(" at 0x" in text for text in said)


@pytest.mark.slow
def test_the_command_writes_charts_and_goes_on_with_its_draws(tmp_path: Path) -> None:
    out = tmp_path / "made"
    again = ["post", "--engine", "native", "--out", str(out), "--draws", "2"]
    first = CliRunner().invoke(app, again)
    assert first.exit_code == 0, first.output
    assert "post-b, 2 draws" in first.stdout
    names = {path.name for path in out.iterdir()}
    assert {
        "post.json",
        "post-a.svg",
        "post-b.png",
        "post-seeds.svg",
        "post-b-draws.svg",
        "post-b-draws.jsonl",
    } <= names
    lines = (out / "post-b-draws.jsonl").read_text()
    second = CliRunner().invoke(app, [*again, "--json"])
    assert (out / "post-b-draws.jsonl").read_text() == lines
    found = json.loads(second.stdout)
    assert found["post"]["engines"] == ["native"]
    assert pd.DataFrame(found["study"])["draws"].unique().tolist() == [2]
