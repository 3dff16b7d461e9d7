"""``ivbridge causal``: the effect of a treatment by several methods, and what speaks against the answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ivbridge.cli_options import JSON, REPORT, TIMEOUT

if TYPE_CHECKING:
    from ivbridge.causal.analysis import Wanted

__all__ = ["app"]

app = typer.Typer()


def _starting_with(names: tuple[str, ...], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _methods(incomplete: str) -> list[str]:
    from ivbridge.causal import METHODS

    return _starting_with(("all", *METHODS), incomplete)


def _data(incomplete: str) -> list[str]:
    from ivbridge.causal.asked import BUILT_IN

    return _starting_with(BUILT_IN, incomplete)


def _flag(name: str, what: str) -> Any:
    return typer.Option(name, help=what)


def _column(name: str, what: str, short: str = "") -> Any:
    return typer.Option(name, *([short] if short else []), metavar="COLUMN", help=what)


_DATA = typer.Argument(
    metavar="FILE|NAME", autocompletion=_data,
    help="As --data of `ivbridge check`, or a known world: notebook, confounded, hidden …",
)  # fmt: skip
_COVARIATES = typer.Option("--covariates", metavar="COLUMNS", help="Measured before the treatment, as in a,b; repeat.")
_INSTRUMENTS = typer.Option("--instruments", metavar="COLUMNS", help="They move the treatment and nothing else.")
_ESTIMAND = typer.Option("--estimand", metavar="ATE|ATT|LATE", help="[default: ATE; LATE with instruments]")
_METHOD = typer.Option(
    "--method", metavar="NAME|all", autocompletion=_methods,
    help='Such as aipw, or with settings: "ipw(trim=0.05)"; repeat. The first one leads.',
)  # fmt: skip
_RANKER = typer.Option("--ranker", metavar="NAME", autocompletion=_methods, help="The method that ranks.")


@app.command("causal")
def _causal(
    data: Annotated[str, _DATA],
    dependent: Annotated[str | None, _column("--dependent", "The outcome.", "-y")] = None,
    treatment: Annotated[str | None, _column("--treatment", "0 or 1.", "-t")] = None,
    covariates: Annotated[list[str] | None, _COVARIATES] = None,
    instruments: Annotated[list[str] | None, _INSTRUMENTS] = None,
    estimand: Annotated[str | None, _ESTIMAND] = None,
    clusters: Annotated[str | None, _column("--clusters", "Groups of units that are not independent.")] = None,
    method: Annotated[list[str] | None, _METHOD] = None,
    check: Annotated[bool, _flag("--check", "Let R compute the same, and compare.")] = False,
    balance: Annotated[bool, _flag("--balance", "Compare the arms before and after weighting.")] = False,
    refute: Annotated[bool, _flag("--refute", "Placebo, subsets, bootstrap, a simulated hidden cause.")] = False,
    negative_outcome: Annotated[str | None, _column("--negative-outcome", "The treatment cannot act on it.")] = None,
    negative_exposure: Annotated[str | None, _column("--negative-exposure", "It cannot act on the outcome.")] = None,
    sensitivity: Annotated[bool, _flag("--sensitivity", "Omitted variables, E-value, Rosenbaum bounds.")] = False,
    rank: Annotated[bool, _flag("--rank", "Rank units by effect, if units held out bear that out.")] = False,
    ranker: Annotated[str, _RANKER] = "causal_forest",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of folds, trees, permutations and samples.")] = 0,
    timeout: Annotated[float | None, TIMEOUT] = None,
    report: Annotated[list[Path] | None, REPORT] = None,
    json: Annotated[bool, JSON] = False,
) -> None:  # fmt: skip
    """Estimate the effect of a 0/1 treatment, and say what speaks against the answer.

    Known worlds bring their columns with them: notebook, experiment, confounded, bent, different, poor-overlap,
    hidden, encouraged and others. Exit code: 0 nothing that was asked speaks against the answer; 1 something does: R
    has other numbers, weights do not balance the arms, a refuter fails, a ranking is not borne out; 2 the question
    could not be run.

    \b
    ivbridge causal notebook --method all --check
    ivbridge causal users.csv -y spent -t emailed --covariates age,visits --balance --report effect.html
    ivbridge causal different --rank --ranker t_learner
    """
    from ivbridge.causal.analysis import Wanted

    roles = _roles(dependent, treatment, _names(covariates), _names(instruments), estimand, clusters)
    wanted = Wanted(
        methods=tuple(method or ()), check=check, balance=balance, sensitivity=sensitivity, rank=rank, ranker=ranker,
        refute=refute or bool(negative_outcome or negative_exposure), negative_outcome=negative_outcome,
        negative_exposure=negative_exposure, seed=seed,
    )  # fmt: skip
    raise typer.Exit(_run(data, roles, wanted, tuple(report or ()), json))


def _run(data: str, roles: dict[str, Any], wanted: Wanted, reports: tuple[Path, ...], as_json: bool) -> int:
    from ivbridge.causal import report
    from ivbridge.causal.analysis import analyse
    from ivbridge.causal.asked import opened
    from ivbridge.progress import progress_bar
    from ivbridge.visible import visible

    for path in reports:
        report.check_path(path)
    with progress_bar() as progress:
        found = analyse(opened(data, roles), wanted, progress)
    for path in reports:
        report.write(found, path)
    if as_json:
        typer.echo(found.to_json())
    else:
        typer.echo(visible("\n".join([report.text(found), *(f"report: {path.resolve()}" for path in reports)])))
    return 0 if found.ok else 1


def _names(texts: list[str] | None) -> tuple[str, ...] | None:
    """``["a,b", "c"]`` as three names."""
    return None if texts is None else tuple(name.strip() for text in texts for name in text.split(",") if name.strip())


def _roles(
    dependent: str | None,
    treatment: str | None,
    covariates: tuple[str, ...] | None,
    instruments: tuple[str, ...] | None,
    estimand: str | None,
    clusters: str | None,
) -> dict[str, Any]:
    """The roles that were given."""
    given = {
        "dependent": dependent, "treatment": treatment, "covariates": covariates, "instruments": instruments,
        "estimand": estimand or ("LATE" if instruments else None), "clusters": clusters,
    }  # fmt: skip
    return {name: value for name, value in given.items() if value is not None}
