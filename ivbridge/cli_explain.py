"""``ivbridge explain``: why two answers differ, or which convention a paper's numbers follow."""

from __future__ import annotations

import json as json_module
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ivbridge.cli_options import DATA, INFERENCE, JSON, METHOD, TIMEOUT, VCOV, WEIGHTS
from ivbridge.errors import DataError

if TYPE_CHECKING:
    from ivbridge.design import Design
    from ivbridge.explainer.records import Explanation, Step
    from ivbridge.results import Estimate

__all__ = ["app", "explanation_dict", "explanation_lines"]

app = typer.Typer()

Table = list[str] | None


def _text(name: str, metavar: str, what: str) -> typer.models.OptionInfo:
    return typer.Option(name, metavar=metavar, help=what)  # type: ignore[no-any-return]


_QUESTION = typer.Argument(metavar="FORMULA | REFERENCE.json CANDIDATE.json", help="What was asked.")
_SIDE = typer.Option(metavar="NAME", help="An engine, or a program as it answers by default, such as AER.")
_CI = _text("--ci", "TERM=LOW,HIGH", "A confidence interval; repeat for more terms.")
_F = _text("--f", "NUMBER", "The first-stage F, or TERM=NUMBER where there are several.")


@app.command("explain")
def _explain(
    question: Annotated[list[str], _QUESTION],
    data: Annotated[str | None, DATA] = None,
    vcov: Annotated[str | None, VCOV] = None,
    weights: Annotated[str | None, WEIGHTS] = None,
    inference: Annotated[str | None, INFERENCE] = None,
    method: Annotated[str | None, METHOD] = None,
    reference: Annotated[str | None, _SIDE] = None,
    candidate: Annotated[str | None, _SIDE] = None,
    coef: Annotated[Table, _text("--coef", "TERM=NUMBER", "A coefficient; repeat for more terms.")] = None,
    se: Annotated[Table, _text("--se", "TERM=NUMBER", "A standard error; repeat for more terms.")] = None,
    t: Annotated[Table, _text("--t", "TERM=NUMBER", "A t or z statistic; repeat for more terms.")] = None,
    p: Annotated[Table, _text("--p", "TERM=NUMBER", "A p-value; repeat for more terms.")] = None,
    ci: Annotated[Table, _CI] = None,
    f: Annotated[str | None, _F] = None,
    wu_hausman: Annotated[str | None, _text("--wu-hausman", "NUMBER", "The Wu-Hausman statistic.")] = None,
    sargan: Annotated[str | None, _text("--sargan", "NUMBER", "The Sargan statistic.")] = None,
    r2: Annotated[str | None, _text("--r2", "NUMBER", "R squared.")] = None,
    sigma: Annotated[str | None, _text("--sigma", "NUMBER", "The residual standard error.")] = None,
    n: Annotated[str | None, _text("--n", "NUMBER", "Number of observations.")] = None,
    timeout: Annotated[float | None, TIMEOUT] = None,
    json: Annotated[bool, JSON] = False,
) -> None:  # fmt: skip
    """Say why two answers differ, or which convention the numbers of a paper follow.

    Two sides: --reference and --candidate, each an engine (with --vcov) or a program as it answers by default; or two
    files that Estimate.to_json wrote. Or numbers, with the digits that are printed: half a unit of the last one is
    allowed. Exit code: 0 the two agree, or a known convention says why not; 1 none does; 2 the question could not be
    run.

    \b
    ivbridge explain "log(packs) ~ log(rprice) + log(rincome) | log(rincome) + tdiff + rtax" \\
        --data cigarettes_sw --reference AER --candidate linearmodels
    ivbridge explain "lwage ~ educ + exper | nearc4 + exper" --data card --se educ=0.0242
    """
    given = {"coef": coef, "se": se, "t": t, "p": p, "ci": ci}
    single = {"f": f, "wu_hausman": wu_hausman, "sargan": sargan, "r2": r2, "sigma": sigma, "n": n}
    numbers: dict[str, object] = {kind: _pairs(kind, texts) for kind, texts in given.items() if texts}
    numbers |= {kind: _maybe_pair(text) for kind, text in single.items() if text is not None}
    sides = (reference, candidate)
    _check(question, data, numbers, sides)
    if len(question) == 2:
        found = _files(question, data)
    elif numbers:
        found = _numbers(question[0], str(data), numbers, (vcov, weights, inference, method))
    else:
        sides_asked = (reference or "AER", str(candidate))
        found = _sides(question[0], str(data), sides_asked, (vcov, weights, inference, method))
    _say(found, as_json=json)
    raise typer.Exit(0 if found.ok else 1)


def _check(
    question: list[str], data: str | None, numbers: Mapping[str, object], sides: tuple[str | None, str | None]
) -> None:
    if len(question) > 2 or (len(question) == 2 and not all(name.endswith(".json") for name in question)):
        raise typer.BadParameter("give one formula, or two .json files; a formula with spaces stands in quotes.")
    if len(question) == 2 and (numbers or any(sides)):
        raise typer.BadParameter("two files are the two sides; no --reference, --candidate or numbers besides them.")
    if len(question) == 1 and data is None:
        raise typer.BadParameter("a formula needs --data: a file or the name of a bundled dataset.")
    if len(question) == 1 and bool(numbers) == (sides[1] is not None):
        raise typer.BadParameter("say what is to be explained: --candidate NAME, or numbers such as --se educ=0.0549.")
    if numbers and sides[0] is not None:
        raise typer.BadParameter("--reference goes with --candidate; numbers are explained from --vcov (classical).")


def _pairs(kind: str, texts: list[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        term, equals, number = text.rpartition("=")
        if not (equals and term.strip()):
            raise typer.BadParameter(f"--{kind} {text}: write TERM=NUMBER, for example --{kind} educ=0.132.")
        found[term.strip()] = number
    return found


def _maybe_pair(text: str) -> str | dict[str, str]:
    term, equals, number = text.rpartition("=")
    return {term.strip(): number} if equals else text


def _files(paths: list[str], data: str | None) -> Explanation:
    from ivbridge.data import read
    from ivbridge.explainer import explain
    from ivbridge.results import Estimate

    both: list[Estimate] = []
    for path in paths:
        try:
            both.append(Estimate.from_json(Path(path).read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path} cannot be read: {error}.") from error
    return explain(both[0], both[1], None if data is None else read(data).frame)


Options = tuple[str | None, str | None, str | None, str | None]


def _numbers(formula: str, data: str, numbers: Mapping[str, object], options: Options) -> Explanation:
    from ivbridge.data import read
    from ivbridge.explainer.numbers import explain_numbers

    return explain_numbers(formula, read(data).frame, numbers, *options)  # type: ignore[arg-type]


def _sides(formula: str, data: str, names: tuple[str, str], options: Options) -> Explanation:
    from ivbridge.api import design_for
    from ivbridge.data import read
    from ivbridge.explainer import explain

    frame = read(data).frame
    vcov, *others = options
    design = design_for(formula, frame, (vcov,), *others)
    first, second = (_answer(name, design, vcov) for name in names)
    return explain(first, second, frame)


def _answer(name: str, design: Design, vcov: str | None) -> Estimate:
    """An engine's answer under a vcov, or a program's with its own defaults."""
    from ivbridge.engines import ENGINES, PEERS, REPLAYED, engine
    from ivbridge.explainer.defaults import default_named

    if vcov is None:
        return default_named(name).answer(design)
    known = name if name in {**ENGINES, **PEERS, **REPLAYED} else default_named(name).engine
    return engine(known).fit(design)


def explanation_lines(found: Explanation) -> list[str]:
    """The reason, the steps one by one, and what was looked at, in lines of 80 columns."""
    from ivbridge.cli_text import wrapped

    lines = wrapped(found.reason, "")
    if len(found.steps) > 1:
        lines += ["", *(line for step in found.steps for line in wrapped(f"{step.key}: {step.text}"))]
    for other in found.alternatives:
        lines += wrapped(f"or: {'; '.join(f'{step.key}: {step.text}' for step in other)}")
    worst = sorted(found.unexplained.items(), key=lambda item: -abs(item[1]))[:5]
    for (quantity, term), gap in worst if found.verdict == "none" else ():
        lines += wrapped(f"{quantity}{f' of {term}' if term else ''} stays {gap:.3g} apart")
    numbers = f"{found.compared} number{'s' if found.compared != 1 else ''}"
    combinations = f"{found.tried} combination{'s' if found.tried != 1 else ''} tried"
    return [*lines, "", f"{found.verdict.upper()}: {numbers} compared, {combinations}"]


def explanation_dict(found: Explanation) -> dict[str, object]:
    """The explanation as plain values for JSON."""
    return {
        "verdict": found.verdict,
        "reason": found.reason,
        "steps": _steps(found.steps),
        "alternatives": [_steps(group) for group in found.alternatives],
        "compared": found.compared,
        "tried": found.tried,
        "unexplained": [
            {"quantity": quantity, "term": term, "gap": gap} for (quantity, term), gap in found.unexplained.items()
        ],
    }


def _steps(group: Sequence[Step]) -> list[dict[str, str]]:
    return [{"key": step.key, "text": step.text} for step in group]


def _say(found: Explanation, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json_module.dumps(explanation_dict(found), ensure_ascii=False, allow_nan=False))
        return
    from ivbridge.cli_text import say

    for line in explanation_lines(found):
        say(line)
