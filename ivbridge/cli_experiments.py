"""The commands about many experiments: ``ivbridge select``, ``encourage`` and ``post``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ivbridge.cli_options import (
    CONTROLS,
    JSON,
    METHOD,
    REPORT,
    RULE,
    SOURCE,
    TIMEOUT,
    VCOV,
    WEIGHTS,
    complete_engine,
    complete_rule,
)  # fmt: skip

__all__ = ["app"]

app = typer.Typer()

_Candidates = typer.Option("--candidates", "-z", metavar="PATTERN", help='Names or patterns, as in "a,test_*"; repeat.')
_ControlsBy = typer.Option("--controls-by", metavar="WAY", help="forced, residualised, outcome, double or union.")
_Seed = typer.Option("--seed", help="Draws the folds, as set.seed in R.")
_SampleKind = typer.Option("--sample-kind", metavar="Rejection|Rounding", help="R before 3.6 used Rounding.")
_FoldColumn = typer.Option("--fold-column", metavar="COLUMN", help="Folds 1 … k, given instead of drawn.")
_Inference = typer.Option("--inference", metavar="t|t(DF)|z", help="Reference distribution; t alone has n−k df.")
_OneSetRule = typer.Option(
    "--rule", metavar="RULE", autocompletion=complete_rule, help="1se, min, plugin, adaptive, stability(seeds=30)."
)
_LassoEngine = typer.Option("--engine", metavar="native|r|sklearn", help="Who solves the LASSO.")


def _names(texts: list[str] | None) -> tuple[str, ...]:
    """``["a,b", "c"]`` as three names."""
    return tuple(name.strip() for text in texts or () for name in text.split(","))


@app.command("select")
def _select(
    data: Annotated[str, SOURCE],
    dependent: Annotated[str, typer.Option("--dependent", "-y", metavar="COLUMN", help="The outcome.")],
    endog: Annotated[str, typer.Option("--endog", "-x", metavar="COLUMN", help="The endogenous regressor.")],
    candidates: Annotated[list[str], _Candidates],
    controls: Annotated[list[str] | None, CONTROLS] = None,
    controls_by: Annotated[str, _ControlsBy] = "forced",
    rule: Annotated[str, RULE] = "1se",
    folds: Annotated[int, typer.Option("--folds", metavar="K", help="Folds of the cross-validation.")] = 10,
    seed: Annotated[int, _Seed] = 1,
    sample_kind: Annotated[str, _SampleKind] = "Rejection",
    fold_column: Annotated[str | None, _FoldColumn] = None,
    alpha: Annotated[float, typer.Option("--alpha", help="1: LASSO; between 0 and 1: elastic net.")] = 1.0,
    weights: Annotated[str | None, WEIGHTS] = None,
    engine: Annotated[str, _LassoEngine] = "native",
    vcov: Annotated[str, VCOV] = "HC0",
    method: Annotated[str, METHOD] = "2sls",
    inference: Annotated[str, _Inference] = "z",
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", help="Select again over N fold seeds; 0: no.")] = 30,
    check: Annotated[bool, typer.Option("--check", help="Let R and Python take every step, and compare.")] = False,
    timeout: Annotated[float | None, TIMEOUT] = None,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Choose instruments among many by the LASSO, as cv.glmnet does in R, and estimate with them.

    Exit code: 0; with --check 1 where R and Python disagree; 2 the question could not be run.

    \b
    ivbridge select users.parquet -y retained -x reviewed -z "test_*" --rule plugin
    ivbridge select users.csv -y retained -x reviewed -z "test_*" --controls age --check
    """
    from ivbridge import cli_select
    from ivbridge.selection.question import SelectOptions
    from ivbridge.selection.spec import FoldColumn, Folds

    drawn = FoldColumn(fold_column) if fold_column else Folds(folds, seed, sample_kind)  # type: ignore[arg-type]
    options = SelectOptions(engine, drawn, alpha, weights=weights, controls_by=controls_by)  # type: ignore[arg-type]
    asked = cli_select.Asked(
        data, dependent, endog, _names(candidates), _names(controls), rule, vcov, method, inference, seeds
    )
    raise typer.Exit(cli_select.run(asked, options, check=check, as_json=json))


@app.command("encourage")
def _encourage(
    data: Annotated[str, SOURCE],
    outcome: Annotated[str, typer.Option("--outcome", "-y", metavar="COLUMN", help="For example: retained, 0 or 1.")],
    behavior: Annotated[str, typer.Option("--behavior", "-x", metavar="COLUMN", help="What the tests encourage.")],
    tests: Annotated[
        list[str] | None,
        typer.Option("--tests", "-z", metavar="PATTERN", help="Names or patterns; repeat. [default: test_*]"),
    ] = None,
    controls: Annotated[list[str] | None, CONTROLS] = None,
    rule: Annotated[str, _OneSetRule] = "1se",
    vcov: Annotated[str, typer.Option("--vcov", metavar="VCOV", help="classical, HC0 or HC1.")] = "HC1",
    share: Annotated[
        list[str] | None,
        typer.Option("--share", metavar="SHARE", help="Designed treated share: 0.5, or test_1=0.9; repeat."),
    ] = None,
    engine: Annotated[str, typer.Option("--engine", metavar="native|r", help="Who solves the LASSO.")] = "native",
    seed: Annotated[int, typer.Option("--seed", help="Draws the folds, as set.seed in R.")] = 1,
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", metavar="N", help="Select again over N fold seeds. [default: 30 if that is quick]"),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Ask R and Python, and compare.")] = False,
    timeout: Annotated[float | None, TIMEOUT] = None,
    report: Annotated[list[Path] | None, REPORT] = None,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Use A/B tests to learn what a behavior that they encourage does to an outcome.

    Each test by itself (balance, intention to treat, compliance, Wald ratio, compliers), then all that the LASSO
    chooses together (two-stage least squares, LIML, Anderson-Rubin set, overidentification). Exit code: 0; with --check
    1 where R and Python disagree; 2 the analysis could not be run.

    \b
    ivbridge encourage users.csv --outcome retained --behavior reviewed --tests "test_*" \\
        --controls mobile,tenure --report encourage.html
    """
    from ivbridge import cli_encourage
    from ivbridge.encouragement.options import EncourageOptions
    from ivbridge.selection.spec import Folds

    asked = cli_encourage.Asked(data, outcome, behavior, tuple(tests or ("test_*",)), _names(controls))
    options = EncourageOptions(rule, vcov, cli_encourage.share_of(share or ()), engine, Folds(seed=seed), seeds, check)
    raise typer.Exit(cli_encourage.run(asked, options, tuple(report or ()), as_json=json))


@app.command("post")
def _post(
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="DIR", file_okay=False, help="Folder for charts and draws; made if it is missing."
        ),
    ] = Path("ivbridge-post"),
    engine: Annotated[
        list[str] | None,
        typer.Option("--engine", metavar="r|native", autocompletion=complete_engine, help="Repeat. [default: both]"),
    ] = None,
    draws: Annotated[int, typer.Option("--draws", min=0, help="Draws of the Monte Carlo table; 0: no table.")] = 500,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Reproduce "Machine Learning Meets Instrumental Variables": figures, both bar charts, fold seeds, Monte Carlo.

    The draws take minutes; stopped and run again with the same --out, they go on from where they were. Exit code: 0
    every printed figure is reproduced, 1 one is not, 2 it could not be run.

    \b
    ivbridge post --draws 0
    ivbridge post --out charts --engine native --draws 100
    """
    from ivbridge import cli_post

    raise typer.Exit(cli_post.run_post(out, tuple(engine or ("r", "native")), draws, as_json=json))
