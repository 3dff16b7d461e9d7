"""``ivbridge select``: choose instruments by the LASSO, estimate with them, and on request check both against R."""

from __future__ import annotations

import json as json_module
from dataclasses import dataclass
from typing import Any

import typer

from ivbridge import cli_text, serial
from ivbridge.data import read
from ivbridge.errors import DesignError, MissingExtraError, RNotAvailableError, UnsupportedError
from ivbridge.progress import progress_bar
from ivbridge.records import Test
from ivbridge.results import Estimate
from ivbridge.selection.check import crosscheck_lasso
from ivbridge.selection.checked import SelectionAgreement, crosscheck_selection
from ivbridge.selection.question import SelectOptions
from ivbridge.selection.rules import CrossFitted
from ivbridge.selection.select import select_instruments
from ivbridge.selection.selected import Selection
from ivbridge.selection.spec import FoldColumn, LassoSpec
from ivbridge.simulate import SCENARIOS
from ivbridge.tables import coefficient_lines, format_p
from ivbridge.vcov_text import parse_vcov
from ivbridge.weak_native import check_vcov

__all__ = ["Asked", "demo", "run"]

AGREE, DISAGREE = 0, 1


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says.

    Attributes
    ----------
    data : str
        A file, or the name of a bundled set.
    dependent, endog : str
    candidates, controls : tuple of str
        Names or patterns.
    rule : str
    vcov, method, inference : str
        Of the estimate.
    seeds : int
        Fold seeds over which to show how the answer moves; 0 for none.
    """

    data: str
    dependent: str
    endog: str
    candidates: tuple[str, ...]
    controls: tuple[str, ...] = ()
    rule: str = "1se"
    vcov: str = "HC0"
    method: str = "2sls"
    inference: str = "z"
    seeds: int = 30


def run(asked: Asked, options: SelectOptions, *, check: bool = False, as_json: bool = False) -> int:
    """Select, estimate and print.

    Parameters
    ----------
    asked : Asked
    options : SelectOptions
    check : bool, default False
        Let R and Python take every step, and compare.
    as_json : bool, default False
        Print one JSON object and nothing else.

    Returns
    -------
    int
        0; with ``check`` 1 where R and Python disagree.
    """
    if asked.seeds < 0:
        raise UnsupportedError(f"--seeds {asked.seeds} was asked.", available="0 or more")
    frame = read(asked.data).frame
    roles = (asked.dependent, asked.endog, asked.candidates, asked.controls)
    selection = select_instruments(frame, *roles, asked.rule, options)
    if asked.seeds and _moves(selection):
        with progress_bar() as progress:
            selection.seeds(asked.seeds, asked.vcov, asked.method, progress)
    agreement = None
    if check:
        agreement = crosscheck_selection(selection, (asked.vcov,), asked.method, asked.inference)
    if as_json:
        typer.echo(json_module.dumps(_content(asked, selection, agreement), ensure_ascii=False, allow_nan=False))
    else:
        _print(asked, selection, agreement)
    return AGREE if agreement is None or agreement.ok else DISAGREE


def demo() -> int:
    """The second half of ``ivbridge demo``: one LASSO over 480 A/B tests by glmnet in R and in Python.

    Returns
    -------
    int
        0 they agree, or glmnet is missing on a side (then that is said); 1 they disagree.
    """
    draw = SCENARIOS["post-b"].draw()
    spec = LassoSpec(draw.endog, draw.valid, folds=FoldColumn("fold"))
    cli_text.say()
    cli_text.say(
        f"LASSO: which of {len(draw.valid)} simulated A/B tests move {draw.endog}? cv.glmnet, n = {len(draw.frame)}"
    )
    try:
        found = crosscheck_lasso(spec, draw.frame.assign(fold=draw.foldid))
    except (MissingExtraError, RNotAvailableError) as error:
        cli_text.say(f"  left out: {error}")
        return AGREE
    answer = found.comparisons[0].candidate
    ledger = found.ledger.set_index("quantity")
    for name, quantity in (("path", "lambda"), ("coefficients", "coef"), ("losses", "cvm"), ("their s.e.", "cvsd")):
        cli_text.say(f"  {name:<13}{ledger.digits[quantity]:5.1f} digits, {ledger.compared[quantity]} numbers")
    cli_text.say(f"  selected at lambda.1se, by both: {', '.join(answer.selected())}")
    cli_text.say(f"{found.verdict.upper()}, {found.digits:.1f} agreeing digits", found.verdict)
    for line in cli_text.wrapped(found.reason):
        cli_text.say(line)
    return AGREE if found.ok else DISAGREE


def _moves(selection: Selection) -> bool:
    """Whether a seed changes anything."""
    try:
        selection.question.with_seed(1)
    except UnsupportedError:
        return False
    return True


def _estimated(asked: Asked, selection: Selection) -> Estimate | None:
    try:
        return selection.estimate(asked.vcov, asked.method, inference=asked.inference)
    except DesignError:
        if selection.selected:
            raise
        return None


def _weak_vcov(text: str) -> str:
    """The vcov of the first stage and the Anderson-Rubin set: the one asked for, or HC0 where they cannot have it."""
    try:
        check_vcov(parse_vcov(text), invert=True)
    except UnsupportedError:
        return "HC0"
    return text


def _print(asked: Asked, selection: Selection, agreement: SelectionAgreement | None) -> None:
    estimate = _estimated(asked, selection)
    lines = [] if estimate is None else ["", *_estimate_lines(asked, selection, estimate)]
    for line in selection.summary().split("\n"):
        for part in cli_text.wrapped(line, indent=""):
            cli_text.say(part)
    for line in lines:
        cli_text.say(line)
    if agreement is not None:
        cli_text.say()
        for line in agreement.lines():
            cli_text.say(line)
        cli_text.say(agreement.headline(), agreement.verdict)


def _estimate_lines(asked: Asked, selection: Selection, estimate: Estimate) -> list[str]:
    vcov = _weak_vcov(asked.vcov)
    stage, effective = selection.first_stage(vcov)
    weak = stage.weak
    strength = f"F = {weak.statistic:.4g}, " if isinstance(weak, Test) else ""
    sargan = estimate.tests["sargan"]
    letter = "z" if asked.inference == "z" else "t"
    crossed = isinstance(selection.rule, CrossFitted)
    named = "valid with weak instruments" if crossed else "valid with weak instruments that were named in advance"
    lines = [
        f"First stage ({vcov}): {strength}{effective}",
        "",
        f"Effect of {asked.endog} on {asked.dependent}: {asked.method}, vcov {asked.vcov}",
        *coefficient_lines(estimate.coefs, letter),
        f"Anderson-Rubin 95% set ({vcov}), {named}: {selection.confidence_set(vcov)}",
    ]
    if isinstance(sargan, Test):
        lines.append(
            f"Sargan: {sargan.statistic:.4g} on {sargan.df1:g} DF, p-value {format_p(sargan.p_value, digits=4)} "
            "(not valid as stated after selection on the same rows)"
        )
    return lines


def _content(asked: Asked, selection: Selection, agreement: SelectionAgreement | None) -> dict[str, Any]:
    estimate = _estimated(asked, selection)
    content: dict[str, Any] = {"selection": json_module.loads(selection.to_json()), "estimate": None}
    if estimate is not None:
        vcov = _weak_vcov(asked.vcov)
        _, effective = selection.first_stage(vcov)
        content |= {
            "estimate": json_module.loads(estimate.to_json()),
            "effective_f": serial.encode(effective),
            "anderson_rubin": serial.encode(selection.confidence_set(vcov)),
        }
    if agreement is not None:
        content["agreement"] = json_module.loads(agreement.to_json())
    return content
