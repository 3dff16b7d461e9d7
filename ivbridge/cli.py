"""The ``ivbridge`` command.

Exit codes of ``check`` and ``demo``: 0 the engines agree, 1 they disagree, 2 the question could not be run. Answers go
to stdout; progress and errors go to stderr. Each command imports what it needs when it runs.
"""

from __future__ import annotations

import os
import sys
import traceback
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import ivbridge
from ivbridge.errors import IvbridgeError

__all__ = ["COULD_NOT_RUN", "app", "main"]

AGREE, DISAGREE, COULD_NOT_RUN = 0, 1, 2
INTERRUPTED = 130
VCOV_NAMES = ("classical", "HC0", "HC1", "HC2", "HC3", "HC4", "HC4m", "HC5", "nw", "andrews", "bootstrap")


class _Group(TyperGroup):
    """Errors that ivbridge raises on purpose become one line on stderr and exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except IvbridgeError as error:
            typer.echo(f"ivbridge {ctx.invoked_subcommand}: {error}", err=True)
            raise typer.Exit(COULD_NOT_RUN) from error
        except KeyboardInterrupt:
            typer.echo("ivbridge: interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:  # the reader, such as `head`, has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(COULD_NOT_RUN) from None


app = typer.Typer(
    name="ivbridge",
    cls=_Group,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""Examples:

\b
ivbridge demo
ivbridge doctor
ivbridge check "log(packs) ~ log(rprice) | tdiff" --data cigarettes_sw \\
    --vcov HC1 --vcov "cluster(state)" --report check.html
ivbridge check questions.toml --json
ivbridge fit "Q ~ P + D | D + F + A" --data kmenta --vcov classical

Shell completion: ivbridge --install-completion
""",
)


def _starting_with(names: tuple[str, ...], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _complete_vcov(incomplete: str) -> list[str]:
    return _starting_with(VCOV_NAMES, incomplete)


def _complete_engine(incomplete: str) -> list[str]:
    from ivbridge.engines import ENGINES

    return _starting_with(tuple(ENGINES), incomplete)


def _complete_rule(incomplete: str) -> list[str]:
    from ivbridge.selection.rules import RULES

    return _starting_with(tuple(RULES), incomplete)


def _complete_dataset(incomplete: str) -> list[str]:
    from ivbridge.data import datasets

    return _starting_with(tuple(datasets()["name"]), incomplete)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ivbridge {ivbridge.__version__}")
        raise typer.Exit


@app.callback()
def _ivbridge(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """One instrumental-variables question, answered by R (AER) and by Python (linearmodels), with a verdict."""


_Data = typer.Option(
    "--data", "-d", metavar="FILE|NAME",
    help="A bundled dataset, or a .csv .tsv .parquet .feather .dta .rds .rda file (file.rda::object picks one).",
)  # fmt: skip
_Weights = typer.Option("--weights", metavar="COLUMN", help="Column of weights, as AER's `weights`.")
_Inference = typer.Option("--inference", metavar="t|t(DF)|z", help="Reference distribution. [default: t, with n−k df]")
_Vcov = typer.Option("--vcov", metavar="VCOV", autocompletion=_complete_vcov, help=(
    "classical, HC0 … HC5, HC4m, cluster(g), cluster(g, h, type=HC1), nw(4, prewhite=0), andrews, dk(unit, period), "
    "pc(unit, period), bootstrap(R=250, seed=1)."
))  # fmt: skip


@app.command("check")
def _check(
    question: Annotated[str, typer.Argument(metavar="FORMULA|FILE.toml", help="A formula, or a file of questions.")],
    data: Annotated[str | None, _Data] = None,
    vcov: Annotated[list[str] | None, _Vcov] = None,
    weights: Annotated[str | None, _Weights] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option("--engine", metavar="r|native", autocompletion=_complete_engine,
                     help="Repeat; the first one is the reference. [default: r, native]"),
    ] = None,
    inference: Annotated[str | None, _Inference] = None,
    report: Annotated[
        list[Path] | None,
        typer.Option("--report", metavar="FILE", help="Write a report: .html, .md, .tex or .json. Repeat for more."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:  # fmt: skip
    """Ask R and Python the same question and compare everything that they say.

    --vcov may be repeated; without it the vcovs are classical and HC0 to HC4. Exit code: 0 the engines agree, 1 they
    disagree, 2 the question could not be run.

    \b
    ivbridge check "Q ~ P + D | D + F + A" --data kmenta --vcov classical --vcov HC1
    ivbridge check "lwage ~ [educ ~ nearc4] + exper" --data card --json
    ivbridge check questions.toml --report report.html
    """
    from ivbridge import cli_check
    from ivbridge.questions import Question, load_questions

    asked = {"--data": data, "--vcov": vcov, "--weights": weights, "--engine": engine, "--inference": inference}
    if question.lower().endswith(".toml"):
        if given := [name for name, value in asked.items() if value]:
            raise typer.BadParameter(f"{', '.join(given)}: a file of questions says this itself, below [defaults].")
        questions = load_questions(Path(question))
        raise typer.Exit(cli_check.check_many(questions, tuple(report or ()), as_json=json))
    if data is None:
        raise typer.BadParameter("a formula needs --data: a file or the name of a bundled dataset.")
    one = Question("", question, data, tuple(vcov or ()), weights, tuple(engine or ("r", "native")), inference)
    raise typer.Exit(cli_check.check_one(one, tuple(report or ()), as_json=json))


@app.command("fit")
def _fit(
    formula: Annotated[str, typer.Argument(metavar="FORMULA", help="R's two- or three-part form, or y ~ w + [x ~ z].")],
    data: Annotated[str, _Data],
    vcov: Annotated[str, _Vcov],
    weights: Annotated[str | None, _Weights] = None,
    engine: Annotated[
        str, typer.Option("--engine", metavar="r|native", autocompletion=_complete_engine, help="Who answers.")
    ] = "native",
    inference: Annotated[str | None, _Inference] = None,
    tidy: Annotated[bool, typer.Option("--tidy", help="Print the coefficients as csv.")] = False,
    glance: Annotated[bool, typer.Option("--glance", help="Print the one-row summary of the model as csv.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the whole estimate as one JSON object.")] = False,
) -> None:
    """Answer a question with one engine and print it as R's summary does.

    \b
    ivbridge fit "Q ~ P + D | D + F + A" --data kmenta --vcov classical
    ivbridge fit "Q ~ P + D | D + F + A" --data kmenta --vcov HC1 --engine r --tidy
    """
    from ivbridge.api import fit
    from ivbridge.data import read

    if tidy + glance + json > 1:
        raise typer.BadParameter("take one of --tidy, --glance and --json.")
    estimate = fit(formula, read(data).frame, vcov, engine, weights, inference)
    if json:
        typer.echo(estimate.to_json())
    elif tidy or glance:
        typer.echo((estimate.tidy() if tidy else estimate.glance()).to_csv(index=False), nl=False)
    else:
        typer.echo(estimate.summary())
        for warning in estimate.warnings:
            typer.echo(f"{estimate.engine} warns: {warning}", err=True)


@app.command("select")
def _select(
    data: Annotated[str, typer.Argument(metavar="FILE|NAME", help="As --data of `ivbridge check`.")],
    dependent: Annotated[str, typer.Option("--dependent", "-y", metavar="COLUMN", help="The outcome.")],
    endog: Annotated[str, typer.Option("--endog", "-x", metavar="COLUMN", help="The endogenous regressor.")],
    candidates: Annotated[
        list[str], typer.Option("--candidates", "-z", metavar="PATTERN", help='Names or patterns: "test_*". Repeat.')
    ],
    controls: Annotated[
        list[str] | None, typer.Option("--controls", metavar="PATTERN", help="Names or patterns. Repeat.")
    ] = None,
    controls_by: Annotated[
        str, typer.Option("--controls-by", metavar="WAY", help="forced, residualised, outcome, double or union.")
    ] = "forced",
    rule: Annotated[
        str, typer.Option("--rule", metavar="RULE", autocompletion=_complete_rule,
                          help="1se, min, plugin, crossfit(splits=2), adaptive, stability(seeds=30).")
    ] = "1se",
    folds: Annotated[int, typer.Option("--folds", metavar="K", help="Folds of the cross-validation.")] = 10,
    seed: Annotated[int, typer.Option("--seed", help="Draws the folds, as set.seed in R.")] = 1,
    sample_kind: Annotated[
        str, typer.Option("--sample-kind", metavar="Rejection|Rounding", help="R before 3.6 used Rounding.")
    ] = "Rejection",
    fold_column: Annotated[
        str | None, typer.Option("--fold-column", metavar="COLUMN", help="Folds 1 … k, given instead of drawn.")
    ] = None,
    alpha: Annotated[float, typer.Option("--alpha", help="1 LASSO, between 0 and 1 elastic net.")] = 1.0,
    weights: Annotated[str | None, _Weights] = None,
    engine: Annotated[
        str, typer.Option("--engine", metavar="native|r|sklearn", help="Who solves the LASSO.")
    ] = "native",
    vcov: Annotated[str, _Vcov] = "HC0",
    method: Annotated[str, typer.Option("--method", metavar="2sls|liml|fuller(1)", help="The estimator.")] = "2sls",
    inference: Annotated[str, _Inference] = "z",
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", help="Show how the answer moves over N fold seeds; 0: do not.")
    ] = 30,
    check: Annotated[bool, typer.Option("--check", help="Let R and Python take every step, and compare.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:  # fmt: skip
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
        data, dependent, endog, tuple(candidates), tuple(controls or ()), rule, vcov, method, inference, seeds
    )
    raise typer.Exit(cli_select.run(asked, options, check=check, as_json=json))


@app.command("encourage")
def _encourage(
    data: Annotated[str, typer.Argument(metavar="FILE|NAME", help="One row a user: as --data of `ivbridge check`.")],
    outcome: Annotated[str, typer.Option("--outcome", "-y", metavar="COLUMN", help="For example: retained, 0 or 1.")],
    behavior: Annotated[str, typer.Option("--behavior", "-x", metavar="COLUMN", help="What the tests encourage.")],
    tests: Annotated[
        list[str] | None,
        typer.Option("--tests", "-z", metavar="PATTERN", help="Names or patterns; repeat. [default: test_*]"),
    ] = None,
    controls: Annotated[
        list[str] | None, typer.Option("--controls", metavar="COLUMNS", help="Known before the tests: a,b; repeat.")
    ] = None,
    rule: Annotated[
        str, typer.Option("--rule", metavar="RULE", help="1se, min, plugin, adaptive, stability(seeds=30).")
    ] = "1se",
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
    report: Annotated[
        list[Path] | None,
        typer.Option("--report", metavar="FILE", help="Write a report: .html, .md or .json. Repeat for more."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
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

    names = tuple(name.strip() for text in controls or () for name in text.split(","))
    asked = cli_encourage.Asked(data, outcome, behavior, tuple(tests or ("test_*",)), names)
    options = EncourageOptions(
        rule, vcov, cli_encourage.share_of(share or ()), engine, Folds(seed=seed), seeds, check
    )
    raise typer.Exit(cli_encourage.run(asked, options, tuple(report or ()), as_json=json))


@app.command("datasets")
def _datasets(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", autocompletion=_complete_dataset, help="Show this one in detail.")
    ] = None,
) -> None:
    """List the bundled datasets, or describe one."""
    from ivbridge import cli_text
    from ivbridge.data import datasets, load

    lines = cli_text.dataset_lines(load(name)) if name else cli_text.dataset_table(datasets())
    typer.echo("\n".join(lines))


@app.command("doctor")
def _doctor(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    brief: Annotated[bool, typer.Option("--brief", help="Leave out what is in order.")] = False,
) -> None:
    """Look at everything that the R engine needs; each missing piece comes with the command that mends it.

    Exit code: 0 R and Python are ready, 1 they are not.
    """
    from ivbridge import doctor

    raise typer.Exit(doctor.run(json=json, brief=brief))


@app.command("setup-r")
def _setup_r(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only explain.")] = False,
) -> None:
    """Explain and, if you agree, install R, its packages and the rpy2 that fits.

    Exit code: 0 nothing is left to do, 1 a step failed, 2 the steps were only explained.
    """
    from ivbridge import setup_r

    raise typer.Exit(setup_r.run(yes=yes, dry_run=dry_run))


@app.command("demo")
def _demo(
    report: Annotated[Path, typer.Option("--report", help="Where the report goes.")] = Path("ivbridge-demo.html"),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Check the cigarette-demand model of Stock and Watson through R and Python, and write a report."""
    from ivbridge import cli_check

    raise typer.Exit(cli_check.check_one(cli_check.DEMO, (report,), as_json=json))


@app.command("post")
def _post(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for charts and draws; made if it is missing.")
    ] = Path("ivbridge-post"),
    engine: Annotated[
        list[str] | None,
        typer.Option("--engine", metavar="r|native", autocompletion=_complete_engine, help="Repeat. [default: both]"),
    ] = None,
    draws: Annotated[int, typer.Option("--draws", min=0, help="Draws of the Monte Carlo table; 0: no table.")] = 500,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
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


def main() -> None:
    """Entry point; a fault of ivbridge itself shows its traceback and ends with 2, never with 1, which is a verdict."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Unicode shows ? and goes on
    try:
        app()
    except Exception as error:
        traceback.print_exc()
        raise SystemExit(COULD_NOT_RUN) from error


if __name__ == "__main__":
    main()
