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
from ivbridge import (
    cli_advise,
    cli_audit,
    cli_causal,
    cli_certify,
    cli_dag,
    cli_drift,
    cli_experiments,
    cli_explain,
    cli_marketing,
    cli_ports,
    cli_record,
    cli_scale,
    cli_study,
    cli_workbook,
)
from ivbridge.cli_options import (
    DATA,
    ENGINES,
    INFERENCE,
    JSON,
    METHOD,
    REPORTS,
    RESUME,
    STRICT,
    TIMEOUT,
    VCOV,
    WEIGHTS,
    WORKERS,
    complete_dataset,
    complete_engine,
)
from ivbridge.errors import IvbridgeError
from ivbridge.visible import visible

__all__ = ["COULD_NOT_RUN", "app", "main"]

AGREE, DISAGREE, COULD_NOT_RUN = 0, 1, 2
INTERRUPTED = 130


class _Group(TyperGroup):
    """Errors that ivbridge raises on purpose become one line on stderr and exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except IvbridgeError as error:
            typer.echo(visible(f"ivbridge {ctx.invoked_subcommand}: {error}"), err=True)
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


@app.command("check")
def _check(
    question: Annotated[str, typer.Argument(metavar="FORMULA|FILE.toml", help="A formula, or a file of questions.")],
    data: Annotated[str | None, DATA] = None,
    vcov: Annotated[list[str] | None, VCOV] = None,
    weights: Annotated[str | None, WEIGHTS] = None,
    engine: Annotated[list[str] | None, ENGINES] = None,
    inference: Annotated[str | None, INFERENCE] = None,
    method: Annotated[str | None, METHOD] = None,
    timeout: Annotated[float | None, TIMEOUT] = None,
    report: Annotated[list[Path] | None, REPORTS] = None,
    json: Annotated[bool, JSON] = False,
    strict: Annotated[bool, STRICT] = False,
    workers: Annotated[int | None, WORKERS] = None,
    resume: Annotated[Path | None, RESUME] = None,
) -> None:  # fmt: skip
    """Ask R and Python the same question and compare everything that they say.

    --vcov may be repeated; without it the vcovs are classical and HC0 to HC4, to HC1 for LIML and Fuller. Exit code: 0
    the engines agree, 1 they disagree (with --strict also: something was not compared), 2 the question could not be
    run. Where R cannot be used, its recorded answers stand in (`ivbridge record`) unless --engine is given.

    \b
    ivbridge check "Q ~ P + D | D + F + A" --data kmenta --vcov classical --vcov HC1
    ivbridge check "lwage ~ [educ ~ nearc4] + exper" --data card --json
    ivbridge check questions.toml --workers 4 --resume answers.jsonl --report report.html
    """
    from ivbridge import cli_check
    from ivbridge.questions import Question, load_questions

    asked = {
        "--data": data, "--vcov": vcov, "--weights": weights, "--engine": engine, "--inference": inference,
        "--method": method,
    }  # fmt: skip
    if question.lower().endswith(".toml"):
        if given := [name for name, value in asked.items() if value]:
            raise typer.BadParameter(f"{', '.join(given)}: a file of questions says this itself, below [defaults].")
        questions = load_questions(Path(question))
        reports = tuple(report or ())
        code = cli_check.check_many(questions, reports, as_json=json, strict=strict, workers=workers, resume=resume)
        raise typer.Exit(code)
    if workers is not None or resume is not None:
        raise typer.BadParameter("--workers and --resume are for a file of questions.")
    if data is None:
        raise typer.BadParameter("a formula needs --data: a file or the name of a bundled dataset.")
    one = Question("", question, data, tuple(vcov or ()), weights, tuple(engine or ("r", "native")), inference, method)
    found = cli_check.check_one(one, tuple(report or ()), as_json=json, strict=strict, instead=not engine)
    raise typer.Exit(found)


@app.command("fit")
def _fit(
    formula: Annotated[str, typer.Argument(metavar="FORMULA", help="R's two- or three-part form, or y ~ w + [x ~ z].")],
    data: Annotated[str, DATA],
    vcov: Annotated[str, VCOV],
    weights: Annotated[str | None, WEIGHTS] = None,
    engine: Annotated[
        str, typer.Option("--engine", metavar="r|native|fast", autocompletion=complete_engine, help="Who answers.")
    ] = "native",
    inference: Annotated[str | None, INFERENCE] = None,
    method: Annotated[str | None, METHOD] = None,
    timeout: Annotated[float | None, TIMEOUT] = None,
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
    estimate = fit(formula, read(data).frame, vcov, engine, weights, inference, method)
    if json:
        typer.echo(estimate.to_json())
    elif tidy or glance:
        typer.echo((estimate.tidy() if tidy else estimate.glance()).to_csv(index=False), nl=False)
    else:
        typer.echo(visible(estimate.summary()))
        for warning in estimate.warnings:
            typer.echo(visible(f"{estimate.engine} warns: {warning}"), err=True)


@app.command("datasets")
def _datasets(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", autocompletion=complete_dataset, help="Show this one in detail.")
    ] = None,
) -> None:
    """List the bundled datasets, or describe one."""
    from ivbridge import cli_text
    from ivbridge.data import datasets, load

    lines = cli_text.dataset_lines(load(name)) if name else cli_text.dataset_table(datasets())
    typer.echo(visible("\n".join(lines)))


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
    """Check two answers through R and Python: the cigarette-demand model of Stock and Watson, and a LASSO.

    The first one goes into a report; with --json it is the only one.
    """
    from ivbridge import cli_check, cli_select

    code = cli_check.check_one(cli_check.DEMO, (report,), as_json=json)
    raise typer.Exit(code if json else max(code, cli_select.demo()))


app.add_typer(cli_experiments.app)
app.add_typer(cli_drift.app)
app.add_typer(cli_certify.app)
app.add_typer(cli_record.app)
app.add_typer(cli_ports.app)
app.add_typer(cli_explain.app)
app.add_typer(cli_scale.app)
app.add_typer(cli_marketing.app)
app.add_typer(cli_workbook.app)
app.add_typer(cli_dag.app)
app.add_typer(cli_advise.app)
app.add_typer(cli_audit.app)
app.add_typer(cli_study.app)
app.add_typer(cli_causal.app)


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
