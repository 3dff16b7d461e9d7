"""The cross-check of whole selections, and ``ivbridge select``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ivbridge.cli import app
from ivbridge.records import FloatArray
from ivbridge.selection import checked
from ivbridge.selection.checked import crosscheck_selection
from ivbridge.selection.design import LassoDesign
from ivbridge.selection.engines import LassoEngine, lasso_engine
from ivbridge.selection.native import NativeLasso
from ivbridge.selection.question import SelectOptions
from ivbridge.selection.records import LassoFit, LassoPath
from ivbridge.selection.select import select_instruments
from tests.selection_cases import confounded, many

RULES = ("1se", "min", "plugin", "plugin(loadings=homoskedastic)", "crossfit(splits=2)", "crossfit(rule=plugin)",
         "adaptive", "stability(seeds=2)")  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_r_and_python_agree_on_every_step_of_every_rule(rule: str) -> None:
    found = crosscheck_selection(select_instruments(many(), "y", "x", "z*", rule=rule), ("HC0", "HC1"))
    assert found.verdict in ("identical", "rounding"), found.summary()
    assert found.same_set.ok and found.engines == ("r", "native")
    assert len(found.steps) >= 1 and found.estimate is not None and len(found.estimate.comparisons) == 2
    # the perturbed refits bound the gap; ten digits say that they are no loose bound
    assert min(gap.digits for step in found.steps for gap in step.gaps) > 10


@pytest.mark.parametrize("way", ["forced", "residualised", "outcome", "double", "union"])
def test_r_and_python_agree_on_every_way_with_controls(way: str) -> None:
    options = SelectOptions(controls_by=way)  # type: ignore[arg-type]
    selection = select_instruments(confounded(n=300, p=20, q=4), "y", "x", "m*", "k*", options=options)
    found = crosscheck_selection(selection, method="liml")
    assert found.ok, found.summary()
    assert [choice for choice in selection.steps.choices if choice == "instruments"] == ["instruments"]


class _Wrong:
    """The native engine with a fault."""

    name = "native"

    def __init__(self, fault: str) -> None:
        self.fault, self.real = fault, NativeLasso()

    def versions(self) -> object:
        return self.real.versions()

    def cv(self, design: LassoDesign) -> LassoFit:
        fit = self.real.cv(design)
        if self.fault == "one ppm":
            coefs = fit.path.coefs.copy()
            coefs[fit.index_1se, 0] *= 1 + 1e-6
            return dataclasses.replace(fit, path=dataclasses.replace(fit.path, coefs=coefs))
        if self.fault == "next lambda":
            return dataclasses.replace(fit, index_1se=fit.index_1se + 1)
        return dataclasses.replace(fit, names=(fit.names[1], fit.names[0], *fit.names[2:]))

    def path(self, design: LassoDesign, lambdas: FloatArray | None = None) -> LassoPath:
        path = self.real.path(design, lambdas)
        return dataclasses.replace(path, coefs=path.coefs * (1 + 1e-6))


@pytest.mark.parametrize(
    ("rule", "fault", "verdict"),
    [
        ("1se", "one ppm", "substantive"),
        ("1se", "next lambda", "substantive"),
        ("1se", "swapped names", "not comparable"),
        ("plugin", "one ppm", "substantive"),
    ],
)
def test_a_fault_of_one_engine_is_found(monkeypatch: pytest.MonkeyPatch, rule: str, fault: str, verdict: str) -> None:
    selection = select_instruments(many(), "y", "x", "z*", rule=rule)

    def engine(name: str) -> LassoEngine:
        return _Wrong(fault) if name == "native" else lasso_engine(name)  # type: ignore[return-value]

    monkeypatch.setattr(checked, "lasso_engine", engine)
    found = crosscheck_selection(selection)
    assert (found.verdict, found.ok) == (verdict, False), found.summary()


def test_other_sets_are_substantive_whatever_the_numbers() -> None:
    found = crosscheck_selection(select_instruments(many(), "y", "x", "z*"))
    other = dataclasses.replace(found.same_set, candidate="z9", ok=False)
    apart = dataclasses.replace(found, same_set=other)
    assert (found.ok, apart.verdict, apart.ok) == (True, "substantive", False)
    assert "NOT the same" in apart.summary() and "| z9" in apart.summary()


def test_nothing_selected_is_checked_too() -> None:
    noise = many().assign(x=np.random.default_rng(3).standard_normal(400))
    selection = select_instruments(noise, "y", "x", "z*", rule="plugin")
    assert selection.selected == ()
    found = crosscheck_selection(selection)
    assert found.ok and found.estimate is None and "none" in found.summary()


def test_json_of_a_check() -> None:
    found = crosscheck_selection(select_instruments(many(), "y", "x", "z*"))
    content = json.loads(found.to_json())
    assert (content["verdict"], content["ok"], content["engines"]) == (found.verdict, True, ["r", "native"])
    assert [part["part"] for part in content["parts"]] == ["lasso", "estimate"]
    assert sum(part["compared"] for part in content["parts"]) == len(found.gaps)


# ---- the command ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("select") / "users.csv"
    many().assign(k=np.arange(400) % 7).to_csv(path, index=False)
    return str(path)


def invoke(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["select", *arguments], prog_name="ivbridge", env={"COLUMNS": "80"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(("method", "vcov"), [("liml", "bekker"), ("2sls", "bootstrap"), ("2sls", "andrews")])
def test_a_vcov_that_the_first_stage_cannot_have(file: str, method: str, vcov: str) -> None:
    roles = (file, "-y", "y", "-x", "x", "-z", "z*", "--seeds", "0", "--method", method, "--vcov", vcov)
    code, said, error = invoke(*roles)
    assert code == 0, error
    assert f"{method}, vcov {vcov}" in said and "First stage (HC0)" in said and "95% set (HC0)" in said
    code, said, error = invoke(*roles, "--json")
    assert code == 0, error
    assert json.loads(said)["anderson_rubin"]["vcov"] == "HC0"


def test_nothing_is_printed_before_a_refusal(file: str) -> None:
    roles = (file, "-y", "y", "-x", "x", "-z", "z*")
    code, said, error = invoke(*roles, "--seeds", "0", "--inference", "q")
    assert (code, said) == (2, "") and "inference='q'" in error
    code, said, error = invoke(*roles, "--seeds", "-3")
    assert (code, said) == (2, "") and "--seeds -3" in error


def test_the_command_selects_estimates_and_checks(file: str) -> None:
    roles = (file, "-y", "y", "-x", "x", "-z", "z*")
    code, said, _ = invoke(*roles, "--seeds", "3", "--check", "--method", "liml")
    assert code == 0, said
    selection = select_instruments(pd.read_csv(file), "y", "x", "z*")
    estimate = selection.estimate(method="liml")
    for expected in (
        f"{len(selection.selected)} of 40 candidates, rule 1se",
        "Over 3 fold seeds",
        "effective F",
        f"{estimate.params['x']:.4f}"[:6],
        "Anderson-Rubin",
        "sets       the same",
        "ROUNDING",
    ):
        assert expected in said


def test_seeds_tell_how_far_they_are() -> None:
    heard: list[tuple[int, int, str]] = []
    select_instruments(many(), "y", "x", "z*").seeds(3, progress=lambda *said: heard.append(said))
    assert heard == [(1, 3, "fold seeds"), (2, 3, "fold seeds"), (3, 3, "fold seeds")]


def test_the_command_in_json(file: str) -> None:
    roles = (file, "-y", "y", "-x", "x", "-z", "z*", "--controls", "k", "--rule", "plugin")
    code, said, _ = invoke(*roles, "--check", "--json")
    content = json.loads(said)
    assert code == 0
    chosen = select_instruments(pd.read_csv(file), "y", "x", "z*", "k", "plugin")
    assert content["selection"]["selected"] == list(chosen.selected)
    assert content["estimate"]["coefs"]["estimate"] == chosen.estimate().coefs.estimate.tolist()
    assert content["agreement"]["ok"] is True
    assert content["effective_f"]["statistic"] == chosen.first_stage()[1].statistic


def test_candidates_may_be_a_list(file: str) -> None:
    code, said, _ = invoke(file, "-y", "y", "-x", "x", "-z", "z0,z1", "-z", "z2*", "--rule", "plugin")
    assert code == 0
    assert f"of {2 + sum(name.startswith('z2') for name in many())} candidates" in said


def test_the_command_where_nothing_is_selected(file: str, tmp_path: Path) -> None:
    noise = pd.read_csv(file).assign(x=np.random.default_rng(3).standard_normal(400))
    noise.to_csv(tmp_path / "noise.csv", index=False)
    code, said, _ = invoke(str(tmp_path / "noise.csv"), "-y", "y", "-x", "x", "-z", "z*", "--rule", "plugin")
    assert code == 0
    assert "selected: none" in said and "Effect of" not in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-z", "q*"), "No column matches 'q*'"),
        (("-z", "z*", "--rule", "aic"), "no selection rule 'aic'"),
        (("-z", "z*", "--sample-kind", "Raw"), "Rejection, Rounding"),
        (("-z", "z*", "--controls-by", "magic"), "controls_by='magic'"),
        (("-z", "z*", "--method", "gmm"), "gmm"),
        (("-z", "z*", "--engine", "stata"), "no LASSO engine 'stata'"),
    ],
)
def test_what_the_command_refuses(file: str, arguments: tuple[str, ...], message: str) -> None:
    code, _, said = invoke(file, "-y", "y", "-x", "x", *arguments, "--seeds", "0")
    assert code == 2
    assert message in " ".join(said.split())


def test_the_folder_of_the_post_is_no_file(file: str) -> None:
    result = CliRunner().invoke(app, ["post", "--draws", "0", "--out", file], prog_name="ivbridge")
    assert result.exit_code == 2 and "is a file" in result.stderr
