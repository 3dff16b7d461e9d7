"""``ivbridge causal``: exit codes, numbers in every format, and pages that hold whatever columns are called."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ivbridge.causal import analysis as module
from ivbridge.causal import report
from ivbridge.causal.analysis import DEFAULTS, Analysis, Wanted, analyse
from ivbridge.causal.asked import BUILT_IN, method_of, opened
from ivbridge.causal.crossfit import Learner
from ivbridge.causal.methods.lin import Lin
from ivbridge.causal.report.plots import curve_plot, effects_plot, love_plot, omitted_plot, overlap_plot
from ivbridge.causal.scenarios import TWINS
from ivbridge.cli import app
from ivbridge.cli_causal import _data, _methods
from ivbridge.errors import DataError, UnsupportedError
from tests.test_encourage_report import HOSTILE, Page


def invoke(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["causal", *arguments], prog_name="ivbridge", env={"COLUMNS": "80"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def answered(*arguments: str) -> tuple[int, dict[str, Any]]:
    code, out, _ = invoke(*arguments, "--json")
    return code, json.loads(out)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return TWINS["different"].draw(400, 3).frame


@pytest.fixture(scope="module")
def whole() -> Analysis:
    """Everything that can be asked, of a world in which effects differ."""
    wanted = Wanted(
        methods=("regression", "difference", "t_learner"), check=True, balance=True, refute=True, sensitivity=True,
        rank=True, ranker="t_learner", negative_outcome="W", negative_exposure="N",
    )  # fmt: skip
    return analyse(opened("different", {}), wanted)


# the command


def test_the_notebook_s_figures_with_r_beside_them() -> None:
    """To the digits to which base R, lm, estimatr and a stacked estimator by hand gave them."""
    code, found = answered("notebook", "--check")
    assert code == 0
    rows = {row["method"]: row for row in found["methods"]}
    assert tuple(rows) == DEFAULTS["ATE"]
    assert rows["lin"]["estimate"] == pytest.approx(9.92557017, abs=5e-9)
    assert rows["lin"]["std_error"] == pytest.approx(0.2722999, abs=5e-8)
    assert rows["regression"]["estimate"] == pytest.approx(10.0641, abs=5e-5)
    assert (rows["ipw"]["estimate"], rows["ipw"]["std_error"]) == pytest.approx((-68.9, 30.9), abs=0.05)
    assert rows["difference"]["estimate"] == pytest.approx(250.53, abs=0.005)
    assert {row["r"]["verdict"] for row in rows.values()} <= {"identical", "rounding"}
    assert min(row["r"]["digits"] for row in rows.values()) > 10
    assert found["truth"] == 10
    assert (found["balance"], found["ranking"], found["omitted"], found["refutations"]) == (None, None, None, [])


def test_what_weights_do_not_balance_is_an_exit_code() -> None:
    code, out, _ = invoke("notebook", "--method", "ipw", "--balance")
    assert code == 1
    assert "income still differs by -0.27 standard deviations" in " ".join(out.split())
    assert "218 of 646 treated" in " ".join(out.split())
    assert invoke("experiment", "--method", "ipw", "--balance")[0] == 0


def test_noise_is_not_listed() -> None:
    code, out, _ = invoke("confounded", "--method", "difference", "--rank", "--ranker", "t_learner")
    assert code == 1
    assert "ranks noise" in out
    assert "rank  row" not in out
    code, out, _ = invoke("different", "--method", "difference", "--rank", "--ranker", "t_learner")
    assert code == 0
    assert "ranks units by effect" in out
    assert "rank  row" in out


def test_r_saying_something_else_is_an_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Lin.reference

    def off(self: Lin, data: Any, seed: int) -> Any:
        answer = honest(self, data, seed)
        return dataclasses.replace(answer, estimate=answer.estimate * (1 + 1e-6))

    assert invoke("experiment", "--method", "lin", "--check")[0] == 0
    monkeypatch.setattr(Lin, "reference", off)
    code, out, _ = invoke("experiment", "--method", "lin", "--check")
    assert code == 1
    assert "R has another estimate" in out
    assert "substantive" in out


def test_a_failed_refutation_is_an_exit_code() -> None:
    """In a world with a hidden cause the negative controls see it; the placebo does not."""
    code, found = answered("hidden", "--method", "regression", "--negative-outcome", "W", "--negative-exposure", "N")
    assert code == 1
    verdicts = {one["name"]: one["found"]["verdict"] for one in found["refutations"]}
    assert verdicts["negative_outcome"] == "failed"
    assert verdicts["placebo"] == "passed"
    assert any("Negative-control outcome" in one for one in found["objections"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.csv", "-y", "a", "-t", "b"], "no file"),
        (["card", "-y", "lwage"], "without --treatment"),
        (["notebook", "--method", "magic"], "no causal method 'magic'"),
        (["notebook", "--method", "difference", "--method", "two_stage"], "cannot estimate the ATE"),
        (["notebook", "--method", "ipw(cut=1)"], "no setting 'cut'"),
        (["notebook", "--covariates", "height"], "no column 'height'"),
        (["notebook", "--estimand", "MTE"], "MTE"),
        (["notebook", "--covariates", "T"], "two roles"),
        (["notebook", "--method", "magic", "--report", "page.pdf"], "page.pdf"),
        (["encouraged", "--instruments", "Z", "--covariates", "age", "--method", "aipw"], "cannot estimate the LATE"),
        (["notebook", "--method", "difference", "--rank", "--ranker", "magic"], "no causal method"),
    ],
)
def test_what_cannot_be_run_ends_with_2_and_one_line(arguments: list[str], words: str) -> None:
    code, out, err = invoke(*arguments)
    assert code == 2
    assert out == ""
    assert words in err
    assert len(err.splitlines()) == 1


def test_a_file_with_text_and_gaps(tmp_path: Path, frame: pd.DataFrame) -> None:
    table = frame.assign(region=np.where(frame["age"] > 40, "north", "south"))
    table.loc[:4, "income"] = np.nan
    table.to_csv(tmp_path / "users.csv", index=False)
    code, found = answered(str(tmp_path / "users.csv"), "-y", "Y_obs", "-t", "T", "--covariates",
                           "age, income", "--covariates", "region", "--method", "regression")  # fmt: skip
    assert code == 0
    assert found["question"]["covariates"] == ["age", "income", "region"]
    assert (found["n"], found["data"], found["truth"]) == (395, "users", None)
    text = invoke(str(tmp_path / "users.csv"), "-y", "Y_obs", "-t", "T", "--method", "difference")[1]
    assert "if T was drawn at random" in text


def test_instruments_ask_for_compliers() -> None:
    code, found = answered("encouraged", "--method", "all", "--balance", "--sensitivity", "--rank")
    assert code == 0
    assert [row["method"] for row in found["methods"]] == ["two_stage", "iivm", "pliv"]
    assert {"overlap", "balance", "omitted variables", "Rosenbaum bounds", "ranking"} <= set(found["undone"])
    assert found["question"]["estimand"] == "LATE"
    out = invoke("hidden", "--instruments", "Z", "--covariates", "age", "--method", "two_stage")[1]
    assert "as good as random given age, acts on Y_obs through T alone, and moves nobody the other way" in " ".join(
        out.split()
    )
    assert "the truth of this world" not in out


@pytest.mark.slow
def test_all_methods_of_an_estimand_answer_or_say_why() -> None:
    found = analyse(opened("experiment", {"estimand": "ATT"}), Wanted(methods=("all",)))
    lines = {line.method.name: line for line in found.lines}
    assert "regression" not in lines
    assert "plr" not in lines
    assert lines["uplift"].effect is None
    assert "0 and 1" in lines["uplift"].why
    for one in found.effects:
        assert abs(one.estimate - 10) < 4 * one.std_error, one


def test_methods_with_settings() -> None:
    assert method_of(" lin ") == Lin()
    learned = method_of("irm(learner=forest, treatment_learner='lasso', folds=3)")
    assert (learned.learner, learned.treatment_learner) == (Learner("forest"), Learner("lasso"))
    assert dataclasses.asdict(method_of('stratification(by={"income": 5, "age": [30, 40]})'))["by"]["age"] == [30, 40]
    assert method_of("ipw(normalised=false, trim=none)") == method_of("ipw(normalised=False)")
    unreadable = ["ipw(trim=__import__('os'))", "ipw(0.1)", "ipw(**{})", "ipw(trim=0.1", "ipw(trim=0.1); 1", "lin()()"]
    for text in (*unreadable, "ipw(normalised=no)", "ipw(normalised='False')", "plr(folds=many)", "plr(folds=[1])"):
        with pytest.raises(UnsupportedError):
            method_of(text)
    with pytest.raises(DataError):
        method_of("irm(learner=wood)")


def test_names_are_completed() -> None:
    assert _methods("ip") == ["ipw"]
    assert "all" in _methods("")
    assert _data("note") == ["notebook"]
    assert set(BUILT_IN) == {"notebook", *TWINS}


def test_a_known_truth_belongs_to_its_own_question() -> None:
    assert opened("notebook", {}).truth == 10
    assert opened("notebook", {"covariates": ("age",)}).truth == 10
    assert opened("notebook", {"treatment": "T_iv"}).truth is None
    assert opened("notebook", {"estimand": "ATT"}).truth is None


# the analysis


def test_every_part_that_was_asked_is_there(whole: Analysis) -> None:
    assert whole.undone == {}
    assert whole.lead.method == "regression"
    assert whole.lines[0].agreement is not None
    assert whole.balance is not None
    assert whole.balance.ok
    assert len(whole.refutations) == 6
    assert whole.omitted is not None
    assert whole.omitted.estimate == pytest.approx(whole.lead.estimate, rel=1e-10)  # both are least squares
    assert whole.ranking is not None
    assert whole.ranking.judged.passed
    tree = json.loads(whole.to_json())
    assert [row["estimate"] for row in tree["methods"]] == [one.estimate for one in whole.effects]
    assert tree["ranking"]["values"][0]["share"] == 0.1
    assert tree["ok"] == whole.ok


def test_the_method_that_was_named_first_is_refuted(whole: Analysis) -> None:
    assert {one.method for one in whole.refutations} == {whole.lead.title}
    assert {one.estimate for one in whole.refutations} == {whole.lead.estimate}


def test_a_part_that_fails_says_why_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise DataError("No luck.")

    monkeypatch.setattr(module.ovb, "analyse", fails)
    found = analyse(opened("experiment", {}), Wanted(methods=("difference",), sensitivity=True))
    assert found.undone == {"omitted variables": "No luck."}
    assert found.evalue is not None
    assert "omitted variables: No luck." in report.text(found)


# pages


def test_pages_are_well_formed_and_load_nothing(whole: Analysis) -> None:
    page = Page(report.html(whole))
    assert page.loads == []
    assert not page.tags & {"script", "link", "img", "iframe", "object", "form", "base"}
    assert "nan" not in page.text.lower().split()
    for sentence in (*whole.objections, *(one.cannot for one in whole.refutations)):
        assert sentence in page.text
    markdown = report.markdown(whole)
    for head in ("Estimates", "Overlap", "Balance", "Attempts to refute it", "Whom to treat first"):
        assert f"## {head}" in markdown
        assert head in page.text


def test_tables_hold_the_numbers(whole: Analysis) -> None:
    page = Page(report.html(whole))
    estimates = next(table for table in page.tables if table[0][0] == "Method")
    assert [row[0] for row in estimates[1:]] == ["regression", "difference", "t_learner"]
    for row, effect in zip(estimates[1:], whole.effects, strict=True):
        assert float(row[1]) == pytest.approx(effect.estimate, rel=5e-4)  # four digits are printed
        assert float(row[2]) == pytest.approx(effect.std_error, rel=5e-4)
    assert whole.ranking is not None
    groups = next(table for table in page.tables if table[0][0] == "Group")
    assert [float(row[3]) for row in groups[1:]] == pytest.approx(whole.ranking.judged.groups["estimate"], rel=5e-4)
    units = next(table for table in page.tables if table[0][0] == "rank")
    assert [int(row[1]) for row in units[1:]] == whole.ranking.table["row"].head(10).tolist()


def test_the_page_of_noise_lists_nobody() -> None:
    found = analyse(opened("confounded", {}), Wanted(methods=("difference",), rank=True, ranker="t_learner"))
    page = Page(report.html(found))
    assert "Units are not listed" in page.text
    assert not [table for table in page.tables if table[0][0] == "rank"]
    assert "Units are not listed" in report.markdown(found)


def test_whatever_columns_are_called_stays_text(tmp_path: Path, frame: pd.DataFrame) -> None:
    frame.rename(columns={"age": HOSTILE, "Y_obs": "y|<b>"}).to_parquet(tmp_path / "odd.parquet")
    roles = {"dependent": "y|<b>", "treatment": "T", "covariates": (HOSTILE, "income")}
    found = analyse(opened(str(tmp_path / "odd.parquet"), roles), Wanted(methods=("regression",), balance=True))
    page = Page(report.html(found))
    assert HOSTILE in page.text
    assert not page.tags & {"script", "b"}
    rows = [line for line in report.markdown(found).splitlines() if line.startswith("| a")]
    assert rows
    assert all("<script>" not in row for row in rows)


def test_the_code_on_the_page_runs(whole: Analysis) -> None:
    seeded = dataclasses.replace(whole, wanted=dataclasses.replace(whole.wanted, seed=7))
    assert ".fit(question, frame, seed=7)" in report.markdown(seeded)
    code = report.markdown(whole).split("```")[-2].strip()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "page", "exec"), {})
    assert printed.getvalue().strip() == whole.lead.summary()


def test_reports_are_written_by_their_ending(whole: Analysis, tmp_path: Path) -> None:
    for name, text in (("a.html", report.html(whole)), ("a.md", report.markdown(whole)), ("a.json", whole.to_json())):
        report.write(whole, tmp_path / name)
        assert (tmp_path / name).read_text(encoding="utf-8") == text
    with pytest.raises(UnsupportedError, match=r"a\.pdf"):
        report.write(whole, tmp_path / "a.pdf")
    with pytest.raises(DataError):
        report.check_path(tmp_path / "none" / "a.html")


def test_the_command_says_where_the_report_is(tmp_path: Path) -> None:
    path = tmp_path / "effect.md"
    code, out, _ = invoke("experiment", "--method", "difference", "--report", str(path))
    assert code == 0
    assert out.splitlines()[-1] == f"report: {path}"
    assert path.read_text(encoding="utf-8").startswith("# What does T do to Y\\_obs?")


# plots


def test_effects_far_away_are_arrows_on_the_edge() -> None:
    found = analyse(opened("notebook", {}))
    plot = effects_plot(found.effects, 10.0)
    kinds = dict(zip((one.method for one in found.effects), (point.kind for point in plot.points), strict=True))
    assert kinds == {"aipw": "s0", "lin": "s0", "regression": "s0", "ipw": "before", "difference": "off"}
    assert [name for _, name in plot.y_ticks] == [one.method for one in found.effects]
    assert all(plot.left <= point.x <= plot.width for point in plot.points)


def test_the_plot_of_scores_holds_every_unit(whole: Analysis) -> None:
    """Heights of an arm's steps add up to one, and their middle is the arm's mean score."""
    assert whole.score is not None
    plot = overlap_plot(whole.score, whole.data.t)
    place, label = plot.y_ticks[1]
    zero = plot.y_ticks[0][0]
    unit = (zero - place) / float(label)
    (x0, first), (x1, second) = ((at, float(text)) for at, text in plot.x_ticks[:2])
    for kind, arm in (("s0", 1), ("s1", 0)):
        flat = [line.ends for line in plot.lines if line.kind == kind and line.ends[1] == line.ends[3]]
        assert sum((zero - ends[1]) / unit for ends in flat) == pytest.approx(1, abs=0.01)  # places have two decimals
        scores = [first + ((ends[0] + ends[2]) / 2 - x0) / (x1 - x0) * (second - first) for ends in flat]
        middle = sum(score * (zero - ends[1]) / unit for score, ends in zip(scores, flat, strict=True))
        assert middle == pytest.approx(whole.score[whole.data.t == arm].mean(), abs=0.01)  # a bin is 0.05 wide


def test_the_love_plot_has_both_differences(whole: Analysis) -> None:
    assert whole.balance is not None
    plot = love_plot(whole.balance)
    middle = next(place for place, text in plot.x_ticks if text == "0")
    before = [point.x - middle for point in plot.points if point.kind == "s1"]
    after = [point.x - middle for point in plot.points if point.kind == "s0"]
    assert np.sign(before).tolist() == np.sign(whole.balance.table["difference"]).tolist()
    assert np.abs(before).min() > np.abs(after).max()


def test_lines_of_omitted_variables_are_those_of_the_formula(whole: Analysis) -> None:
    """On the thick line the adjusted estimate is 0, on the thin one half of the estimate."""
    assert whole.omitted is not None
    plot = omitted_plot(whole.omitted)
    (x0, first), (x1, second) = ((place, float(text)) for place, text in plot.x_ticks[:2])
    (y0, low), (y1, high) = ((place, float(text)) for place, text in plot.y_ticks[:2])
    for kind, left in (("fit", 0.0), ("theory", 0.5)):
        ends = [line.ends for line in plot.lines if line.kind == kind]
        for x, y, *_ in ends[:: len(ends) // 5]:
            across = first + (x - x0) / (x1 - x0) * (second - first)
            upward = low + (y - y0) / (y1 - y0) * (high - low)
            moved = whole.omitted.adjusted(across, upward).estimate
            assert moved == pytest.approx(left * whole.omitted.estimate, abs=0.1)  # places have two decimals


def test_the_curves_end_where_everyone_is_treated(whole: Analysis) -> None:
    assert whole.ranking is not None
    points = whole.ranking.judged.curve
    toc = curve_plot(points, "toc", "TOC", "above the mean")
    qini = curve_plot(points, "qini", "Qini", "gain")
    for plot in (toc, qini):
        last = [line.ends for line in plot.lines if line.kind == "fit"][-1]
        base = next(line.ends for line in plot.lines if line.kind == "truth")
        assert last[2:] == pytest.approx(base[2:], abs=0.02)
        assert len([line for line in plot.lines if line.kind == "theory"]) == 2 * (len(points) - 1)
    assert not math.isclose(points["qini"].iloc[20], points["random"].iloc[20])
