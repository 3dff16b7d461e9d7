"""The command ``ivbridge port``."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ivbridge.ports import PortReport

__all__ = ["app", "ask", "one_vector", "read_cases"]

app = typer.Typer()

#: What a file of cases may define; each is an argument of `ivbridge.ports.check`.
NAMES = ("cases", "to_py", "to_r", "outputs", "options")


@app.command("port")
def _port(
    function: Annotated[str, typer.Argument(metavar="MODULE:FUNCTION", help="The port, for example my_pkg.stats:mad.")],
    r: Annotated[str, typer.Option("--r", metavar="PACKAGE::NAME", help="The R function; FILE.R::NAME: of a script.")],
    cases: Annotated[
        Path | None,
        typer.Option("--cases", metavar="FILE.py", help=(
            "Python that defines `cases`, and if needed to_py, to_r, outputs, options. [default: one row of numbers]"
        )),
    ] = None,
    examples: Annotated[
        int | None, typer.Option("--examples", metavar="N", help="Cases to draw. [default: 300]")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="Draws the cases. [default: 0]")] = None,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FOLDER", help="Record each finding with R's answer, as JSON.")
    ] = None,
    replay: Annotated[
        Path | None, typer.Option("--replay", metavar="PATH", help="Only the recorded cases there; R is not needed.")
    ] = None,
    report: Annotated[Path | None, typer.Option("--report", metavar="FILE", help="Write .md or .json.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:  # fmt: skip
    """Look for an input on which a Python function and the R function that it ports differ, and shrink it.

    The module and the file of cases are Python that is run, as a test suite is. Exit code: 0 every case agrees, 1 some
    differ, or not one could be compared, 2 the question could not be run.

    \b
    ivbridge port scipy.stats:median_abs_deviation --r stats::mad
    ivbridge port my_pkg.robust:newey_west --r sandwich::NeweyWest --cases cases.py --save tests/port_cases
    ivbridge port my_pkg.robust:newey_west --r sandwich::NeweyWest --cases cases.py --replay tests/port_cases
    """
    from ivbridge.place import check_folder

    if report is not None:
        if report.suffix.lower() not in (".md", ".json"):
            raise typer.BadParameter(f"--report {report}: .md and .json can be written.")
        check_folder(report)
    sys.path.insert(0, str(Path.cwd()))
    given = one_vector() if cases is None else read_cases(cases)
    asked = {name: value for name, value in (("examples", examples), ("seed", seed)) if value is not None}
    found = ask(function, r, given, asked, replay)
    _write(found, report, as_json=json)
    if save is not None and replay is None:
        file = "" if cases is None else f" --cases {cases.name}"
        _save(found, save, f"ivbridge port {function} --r {r}{file} --seed {found.seed}")
    raise typer.Exit(0 if found.ok else 1)


def ask(function: str, r: str, given: dict[str, Any], asked: dict[str, int], replay: Path | None = None) -> PortReport:
    """Check, or replay, what a file of cases says.

    Parameters
    ----------
    function, r : str
        The two functions.
    given : dict
        As `read_cases` returns it.
    asked : dict
        ``examples`` and ``seed``, where they are not those of the file.
    replay : pathlib.Path, optional
        Only the recorded cases there.
    """
    import dataclasses

    from ivbridge import ports

    options = given.pop("options", None) or ports.PortOptions()
    if isinstance(options, ports.PortOptions):  # what else it is, the port refuses
        changes: Any = asked
        options = dataclasses.replace(options, **changes)
    if replay is None:
        return ports.check(function, r, given.pop("cases"), options=options, **given)
    kept = {name: given[name] for name in ("to_py", "to_r", "outputs") if name in given}
    return ports.replay(replay, function, r, options=options, **kept)


def _save(found: PortReport, folder: Path, command: str) -> None:
    from ivbridge.visible import visible

    for path in found.save(folder, command):
        typer.echo(visible(f"recorded: {path}"), err=True)


def _write(found: PortReport, report: Path | None, *, as_json: bool) -> None:
    from ivbridge.place import write_text
    from ivbridge.visible import visible

    if report is not None:
        text = found.to_json() if report.suffix.lower() == ".json" else found.to_markdown()
        write_text(report, text + "\n")
    typer.echo(found.to_json() if as_json else visible(found.summary()))


def one_vector() -> dict[str, Any]:
    """Without a file: one row of numbers, as the first argument of both functions."""
    from ivbridge.ports import arguments, vectors

    def first(case: Any) -> Any:
        return arguments(case["x"])

    return {"cases": {"x": vectors()}, "to_py": first, "to_r": first}


def read_cases(path: Path) -> dict[str, Any]:
    """Run a file of cases and return what it defines of `NAMES`.

    Parameters
    ----------
    path : pathlib.Path
        Python; its folder is searched for modules that it imports, and for the port.

    Raises
    ------
    DataError
        There is no such file, it defines no ``cases``, or running it fails.
    """
    from ivbridge.errors import DataError

    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise DataError(f"There is no file of cases {path}.", available="a file FILE.py that defines `cases`")
    sys.path.insert(0, str(path.resolve().parent))
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a file of cases is a program
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == spec.origin]
        line = f", line {lines[-1]}" if lines else ""
        raise DataError(f"{path}{line} raised {type(error).__name__}: {error}.") from error
    found = {name: getattr(module, name) for name in NAMES if hasattr(module, name)}
    if "cases" not in found:
        raise DataError(
            f"{path} defines no `cases`.", do="for example: cases = {'x': ports.vectors()}", available=", ".join(NAMES)
        )
    return found
