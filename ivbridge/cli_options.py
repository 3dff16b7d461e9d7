"""Options that several commands share, and what the shell completes them with."""

from __future__ import annotations

import typer

__all__ = [
    "CONTROLS", "DATA", "ENGINES", "INFERENCE", "JSON", "METHOD", "REPORT", "REPORTS", "RESUME", "RULE", "SOURCE",
    "STRICT", "TIMEOUT", "VCOV", "WEIGHTS", "WORKERS", "complete_dataset", "complete_engine", "complete_rule",
    "complete_vcov", "limit_r",
]  # fmt: skip

VCOV_NAMES = ("classical", "HC0", "HC1", "HC2", "HC3", "HC4", "HC4m", "HC5", "nw", "andrews", "bootstrap", "bekker")


def _starting_with(names: tuple[str, ...], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def complete_vcov(incomplete: str) -> list[str]:
    """Names of covariance estimators."""
    return _starting_with(VCOV_NAMES, incomplete)


def complete_engine(incomplete: str) -> list[str]:
    """Names of engines."""
    from ivbridge.engines import ENGINES, PEERS, REPLAYED

    return _starting_with((*ENGINES, *REPLAYED, *PEERS), incomplete)


def complete_rule(incomplete: str) -> list[str]:
    """Names of selection rules."""
    from ivbridge.selection.rules import RULES

    return _starting_with(tuple(RULES), incomplete)


def complete_dataset(incomplete: str) -> list[str]:
    """Names of bundled datasets."""
    from ivbridge.data import datasets

    return _starting_with(tuple(datasets()["name"]), incomplete)


def limit_r(ctx: typer.Context, seconds: float | None) -> float | None:
    """Give every call of R these seconds until the command ends, and return them.

    Raises
    ------
    UnsupportedError
        If they are not above 0.
    """
    if seconds is not None and not ctx.resilient_parsing:
        from ivbridge.engines.limits import r_limits

        ctx.with_resource(r_limits(timeout=seconds))
    return seconds


DATA = typer.Option(
    "--data", "-d", metavar="FILE|NAME",
    help="A bundled dataset, or a .csv .tsv .parquet .feather .dta .rds .rda file (file.rda::object picks one).",
)  # fmt: skip
WEIGHTS = typer.Option("--weights", metavar="COLUMN", help="Column of weights, as AER's `weights`.")
INFERENCE = typer.Option("--inference", metavar="t|t(DF)|z", help="Reference distribution. [default: t, with n−k df]")
VCOV = typer.Option("--vcov", metavar="VCOV", autocompletion=complete_vcov, help=(
    "classical, HC0 … HC5, HC4m, cluster(g), cluster(g, h, type=HC1), nw(4, prewhite=0), andrews, dk(unit, period), "
    "pc(unit, period), bootstrap(R=250, seed=1), bekker (liml and fuller)."
))  # fmt: skip
METHOD = typer.Option(
    "--method", metavar="2sls|liml|fuller(1)", help="The estimator; two-stage least squares if none is named."
)
RULE = typer.Option("--rule", metavar="RULE", autocompletion=complete_rule,
                    help="1se, min, plugin, crossfit(splits=2), adaptive, stability(seeds=30).")  # fmt: skip
CONTROLS = typer.Option("--controls", metavar="COLUMNS", help="Names or patterns, as in a,b; repeat for more.")
REPORT = typer.Option("--report", metavar="FILE", help="Write a report: .html, .md or .json. Repeat for more.")
REPORTS = typer.Option("--report", metavar="FILE", help="Write a report: .html, .md, .tex or .json. Repeat for more.")
ENGINES = typer.Option(
    "--engine", metavar="r|native|…", autocompletion=complete_engine,
    help="Repeat; the first one is the reference, three or more vote. [default: r, native]",
)  # fmt: skip
STRICT = typer.Option("--strict", help="Fail also if anything that has a value was not compared.")
JSON = typer.Option("--json", help="Print one JSON object and nothing else.")
TIMEOUT = typer.Option("--timeout", metavar="SECONDS", callback=limit_r, show_default=False,
                       help="Time that one call of R may take. [default: 300; 3600 for a LASSO]")  # fmt: skip
SOURCE = typer.Argument(metavar="FILE|NAME", help="One row a user: as --data of `ivbridge check`.")
WORKERS = typer.Option("--workers", metavar="N", help="Ask the questions of a file in N processes at the same time.")
RESUME = typer.Option("--resume", metavar="FILE", help=(
    "Append each answer of a file of questions to FILE (it is made), and do not ask again what it answers already."
))  # fmt: skip
