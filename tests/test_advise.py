"""Advice: the table is whole, every way through the questions ends somewhere sensible, and every command runs."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from ivbridge.advice import Advice, Roles, advise, next_question, questions, table, tools
from ivbridge.causal import METHODS, method_class
from ivbridge.causal.asked import BUILT_IN, method_of
from ivbridge.cli import app
from ivbridge.errors import DataError


def ways(answers: dict[str, str] | None = None) -> Iterator[dict[str, str]]:
    """Every complete way through the questions."""
    answers = answers or {}
    question = next_question(answers)
    if question is None:
        yield answers
        return
    for option in question.options:
        yield from ways({**answers, question.name: option})


EVERY = list(ways())
ADVICE = [advise(answers) for answers in EVERY]


def places(found: Advice) -> dict[str, set[str]]:
    return {
        place: {i.tool.name for i in found.items if i.place == place} for place in ("use", "beside", "check", "not")
    }


def test_every_method_is_in_the_table_with_its_reference() -> None:
    known = tools()
    assert set(METHODS) <= set(known)
    for tool in known.values():
        assert all((tool.title, tool.when, tool.strengths, tool.weaknesses, tool.template)), tool.name
        assert not tool.world or tool.world in BUILT_IN
        # titles and references of methods are their classes' own, never a second copy
        assert (tool.name in METHODS) is not bool(tool.stated_title)
        if tool.name in METHODS:
            assert tool.r == method_class(tool.name).r_call


def test_every_tool_is_advised_somewhere() -> None:
    assert {item.tool.name for found in ADVICE for item in found.items} == set(tools())


def test_rules_and_questions_name_what_exists() -> None:
    options = {question.name: set(question.options) for question in questions()}
    assert len(options) == len(questions())
    for question in questions():
        for name, allowed in question.only.items():
            assert set(allowed) <= options[name]
    for found in ADVICE:
        assert found.items


def test_every_way_ends_with_something_to_use() -> None:
    assert len(EVERY) == len({tuple(way.items()) for way in EVERY}) > 60
    for way, found in zip(EVERY, ADVICE, strict=True):
        assert places(found)["use"], way


INSTRUMENTAL = {"two_stage", "pliv", "iivm", "check"}
ADJUSTING = set(METHODS) - INSTRUMENTAL


@pytest.mark.parametrize("goal", ["effect", "who", "doubt"])
def test_what_was_not_measured_is_never_adjusted_away(goal: str) -> None:
    """Where common causes were not measured, no method that adjusts is the answer to how large the effect is."""
    for way, found in zip(EVERY, ADVICE, strict=True):
        if way["goal"] != goal or way.get("assignment") not in ("hidden", "encouraged", "unsure"):
            continue
        if goal == "effect":
            assert not places(found)["use"] & ADJUSTING, way
        if goal == "who":
            assert "ovb" in places(found)["check"] or way["assignment"] == "unsure", way


def test_instruments_are_for_those_who_have_one() -> None:
    for way, found in zip(EVERY, ADVICE, strict=True):
        used = places(found)["use"] | places(found)["beside"]
        assert bool(used & INSTRUMENTAL) is (way.get("assignment") == "encouraged" and way["goal"] != "who"), way


def test_blocks_are_never_pooled() -> None:
    """Where blocks have treated shares of their own, the difference over all of them is biased."""
    for way, found in zip(EVERY, ADVICE, strict=True):
        if way.get("design") == "blocks":
            assert "difference" not in places(found)["use"] | places(found)["beside"], way


def test_no_ranking_without_the_gate_and_no_observed_effect_without_sensitivity() -> None:
    for way, found in zip(EVERY, ADVICE, strict=True):
        if way["goal"] == "who":
            assert "rank" in places(found)["check"], way
        if way["goal"] == "effect" and way.get("assignment") == "observed" and way["treatment"] == "binary":
            assert "ovb" in places(found)["check"], way


KNOWN = {
    "goal=effect treatment=binary assignment=randomised design=units covariates=no": ("use", {"difference"}),
    "goal=effect treatment=binary assignment=randomised design=units covariates=yes": ("use", {"lin"}),
    "goal=effect treatment=binary assignment=randomised design=clusters covariates=no": ("use", {"clustered"}),
    "goal=effect treatment=binary assignment=randomised design=blocks covariates=no": ("use", {"blocks"}),
    "goal=effect treatment=binary assignment=encouraged instrument=random": (
        "not", {"two_step", "difference", "regression"}),
    "goal=effect treatment=binary assignment=observed estimand=all overlap=good shape=linear": ("use", {"aipw"}),
    "goal=effect treatment=binary assignment=observed estimand=all overlap=good shape=curved": ("use", {"irm"}),
    "goal=effect treatment=binary assignment=observed estimand=treated overlap=poor shape=linear": (
        "use", {"propensity_matching"}),
    "goal=effect treatment=binary assignment=observed estimand=all overlap=poor shape=linear": ("not", {"ipw"}),
    "goal=effect treatment=other assignment=encouraged": ("use", {"check"}),
    "goal=effect treatment=other assignment=observed": ("use", {"fit"}),
    "goal=effect treatment=binary assignment=hidden": ("use", {"dag"}),
    "goal=who assignment=randomised outcome=binary size=large": ("use", {"uplift"}),
    "goal=who assignment=observed outcome=number size=large": ("use", {"causal_forest"}),
    "goal=diagram": ("use", {"dag"}),
    "goal=audit": ("use", {"audit"}),
}  # fmt: skip


@pytest.mark.parametrize("text", KNOWN)
def test_known_cases(text: str) -> None:
    place, names = KNOWN[text]
    assert places(advise(dict(pair.split("=") for pair in text.split())))[place] == names


def test_answers_that_do_not_apply_change_nothing() -> None:
    plain = advise({"goal": "audit"})
    assert advise({"goal": "audit", "overlap": "poor"}) == plain


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ({"gaol": "effect"}, "no question 'gaol'"),
        ({"goal": "all"}, "goal=all is no answer. Available: effect, who"),
        ({"goal": "effect"}, r"What is the treatment\? \(treatment\) is not answered. Available: binary, other"),
    ],
)
def test_answers_that_cannot_be_used_are_refused(answers: dict[str, str], why: str) -> None:
    with pytest.raises(DataError, match=why):
        advise(answers)


# ---------------------------------------------------------------- commands

MINE = Roles("units.csv", "y", "t", ("age", "in come"), ("z",))


def parsed(command: str) -> tuple[str, dict[str, Any]]:
    """The subcommand and its arguments, read as the command line reads them; an error is raised, nothing is run."""
    program, name, *rest = shlex.split(command)
    assert program == "ivbridge"
    group: Any = typer.main.get_command(app)
    return name, group.commands[name].make_context(name, rest).params


def every_command(roles: Roles) -> set[str]:
    return {item.command for answers in EVERY for item in advise(answers, roles).items if item.place != "not"}


@pytest.mark.parametrize("roles", [Roles(), MINE, replace(MINE, covariates=(), instruments=("z", "w"))])
def test_every_advised_command_is_one(roles: Roles) -> None:
    commands = every_command(roles) | {tool.example for tool in tools().values() if tool.example}
    assert len(commands) > 30
    for command in commands:
        name, given = parsed(command)
        assert not re.search(r"[{}]", command) or name == "dag" or "stratification" in command, command
        for text in given.get("method") or ():
            if name == "causal":
                kind = method_of(text)
                asked = given["estimand"] or ("LATE" if given["instruments"] else "ATE")
                known = given["data"] in BUILT_IN
                assert known or asked in kind.estimands, command


def test_a_command_that_is_none_is_noticed() -> None:
    with pytest.raises(Exception, match="No such option: --dependant"):
        parsed("ivbridge causal DATA --dependant Y")
    with pytest.raises(KeyError):
        parsed("ivbridge casual DATA")


def test_an_estimand_is_said_once_and_to_those_who_take_it() -> None:
    treated = Roles(estimand="ATT")
    counts = {
        name: tools()[name].command(treated).count("--estimand ATT") for name in ("rosenbaum", "aipw", "plr", "dag")
    }
    assert counts == {"rosenbaum": 1, "aipw": 1, "plr": 0, "dag": 0}


def test_names_with_spaces_stay_one_argument() -> None:
    _, given = parsed(tools()["aipw"].command(MINE))
    assert given["covariates"] == ["age,in come"]
    assert given["data"] == "units.csv"


def units(n: int = 1500) -> pd.DataFrame:
    """A world with everything that the commands ask for: instrument, blocks, clusters, controls, 0/1 outcome."""
    rng = np.random.default_rng(5)
    age, income = rng.normal(size=n), rng.normal(size=n)
    school, z = rng.integers(0, 5, n), rng.integers(0, 2, n)
    t = (rng.random(n) < 1 / (1 + np.exp(-(0.6 * age + 1.5 * z - 0.75)))).astype(int)
    y = 2 * t + age + 0.5 * income + rng.normal(size=n)
    bought = (rng.random(n) < 1 / (1 + np.exp(-(0.5 * t * (age > 0) + 0.3 * age)))).astype(int)
    return pd.DataFrame(
        {"y": y, "bought": bought, "t": t, "z": z, "age": age, "income": income, "BLOCK": school,
         "CLUSTER": np.arange(n) // 10, "CONTROL": rng.normal(size=n)}
    )  # fmt: skip


def ran(command: str, there: Path) -> Any:
    """Run a command on the units; a control, block or cluster is a covariate only where the method needs it."""
    arguments = shlex.split(command)[1:]
    if "uplift" in command:
        arguments[arguments.index("y")] = "bought"
    if "BLOCK" in command:
        arguments[arguments.index("--covariates") + 1] += ",BLOCK"
    arguments = [str(there / one) if one.endswith((".csv", ".ipynb")) else one for one in arguments]
    return CliRunner().invoke(app, arguments, prog_name="ivbridge", env={"COLUMNS": "80"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Units and a notebook, as the commands name them."""
    there = tmp_path_factory.mktemp("advised")
    units().to_csv(there / "units.csv", index=False)
    cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": ["x = 1\n"]}
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (there / "analysis.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    return there


YOURS = Roles("units.csv", "y", "t", ("age", "income"), ("z",))
QUICK = ("difference", "lin", "aipw", "two_stage", "dag", "audit", "fit", "blocks", "clustered")


@pytest.mark.parametrize("name", QUICK)
def test_a_quick_command_runs_on_your_data(name: str, folder: Path) -> None:
    done = ran(tools()[name].command(YOURS), folder)
    assert done.exit_code in (0, 1), done.output


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted(every_command(YOURS)))
def test_every_command_runs_on_your_data(command: str, folder: Path) -> None:
    done = ran(command, folder)
    assert done.exit_code in (0, 1), done.output


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted({tool.example for tool in tools().values() if tool.example}))
def test_every_example_runs_where_the_answer_is_known(command: str) -> None:
    done = CliRunner().invoke(app, shlex.split(command)[1:], prog_name="ivbridge", env={"COLUMNS": "80"})
    assert done.exit_code in (0, 1), done.output


# ---------------------------------------------------------------- the command itself


def run(*arguments: str, typed: str | None = None) -> Any:
    return CliRunner().invoke(app, ["advise", *arguments], prog_name="ivbridge", env={"COLUMNS": "80"}, input=typed)


def test_questions_are_asked_until_all_are_answered() -> None:
    done = run(typed="1\nx\n9\n1\n1\n1\n2\n")
    assert done.exit_code == 0, done.output
    assert "'x' is no number from 1 to 2" in done.output
    assert "Use: Difference in means" in done.output
    assert (
        "ivbridge advise -a goal=effect -a treatment=binary -a assignment=randomised -a design=units -a covariates=no"
        in done.output
    )


def test_the_end_of_the_input_is_no_verdict() -> None:
    done = run(typed="1\n")
    assert (done.exit_code, "--list prints the questions" in done.output) == (2, True)


def test_answers_are_read_from_options_and_files(tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    path.write_text('{"goal": "effect", "treatment": "other"}', encoding="utf-8")
    given = ("-a", "assignment=encouraged", "--data", "d.csv", "-y", "q", "-t", "p", "--instruments", "a,b",
             "--covariates", "m")  # fmt: skip
    done = run("--answers", str(path), *given, "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["answers"] == {"goal": "effect", "treatment": "other", "assignment": "encouraged"}
    (first,) = [item for item in said["advice"] if item["place"] == "use"]
    assert first["command"] == "ivbridge check 'q ~ p + m | a + b + m' --data d.csv --vcov HC1"
    for text, why in (("[1]", "no JSON object"), ('{"goal": 1}', "no JSON object of texts"), ("{", "cannot be read")):
        path.write_text(text, encoding="utf-8")
        done = run("--answers", str(path))
        assert (done.exit_code, why in done.output) == (2, True), done.output
    assert run("-a", "goal").exit_code == 2
    assert run("-a", "goal=effect").exit_code == 2


def test_known_worlds_bring_their_columns() -> None:
    done = run("-a", "goal=who", "-a", "assignment=randomised", "-a", "outcome=number", "-a", "size=small", "--data",
               "different")  # fmt: skip
    assert "$ ivbridge causal different --method t_learner" in done.output
    assert "--dependent" not in done.output


def test_the_table_and_the_list_are_whole() -> None:
    rows = run("--table").stdout.strip().splitlines()
    assert rows == table().splitlines()
    assert len(rows) == len(tools()) + 2
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {7}
    listed = run("--list").stdout
    for question in questions():
        assert all(f"  {question.name}={option}  " in listed for option in question.options)
