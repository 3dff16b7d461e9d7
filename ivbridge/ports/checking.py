"""Compare a Python function with the R function that it claims to be, on inputs that are looked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ivbridge.errors import DataError, UnsupportedError
from ivbridge.ports.calls import Adapter, Port, python_function, python_name
from ivbridge.ports.code import python_code, r_code
from ivbridge.ports.judge import Judged, judge, judge_all, keep
from ivbridge.ports.r_side import RSide
from ivbridge.ports.records import Case, Difference, Finding, Ledger, Output, PortOptions
from ivbridge.ports.relations import relations
from ivbridge.ports.report import PortReport
from ivbridge.ports.rounding import FAR
from ivbridge.ports.search import Source, drawn, shrunk, source_of
from ivbridge.ports.store import answer_from, answer_plain, case_from, read_record

__all__ = ["check", "replay"]


def check(
    py: Callable[..., Any] | str,
    r: str,
    cases: Any,
    *,
    to_py: Adapter | None = None,
    to_r: Adapter | None = None,
    outputs: Sequence[Output] = (),
    options: PortOptions | None = None,
) -> PortReport:
    """Call a Python and an R function with the same inputs, compare everything, and shrink what differs.

    Parameters
    ----------
    py : callable or str
        The port, or "package.module:function".
    r : str
        "package::name" of an exported R function, or "file.R::name" of a script of your own.
    cases : mapping, strategy or sequence of mapping
        A strategy of Hypothesis for each argument (`ivbridge.ports.vectors` and others make them), one strategy of
        dicts, or a list of dicts: each dict is one input.
    to_py, to_r : callable, optional
        From an input to the arguments of either function: a dict, or `ivbridge.ports.arguments`. Default: the input.
    outputs : sequence of Output, optional
        What is compared, with its tolerance. Default: the whole answers, number by number, to 1e-12. A gap beyond it
        is explained if moving every float of the input by 16 units in its last place moves Python's answer as far.
    options : PortOptions, optional
        How many cases, which errors are as they should be, shared random numbers, limits.

    Returns
    -------
    PortReport
        Verdict, findings (each on the smallest input, with R and Python to paste), and the ledger.

    Raises
    ------
    UnsupportedError
        There is no such function, or R's function has no such argument.
    DataError
        The cases are none, or cannot be sent to R.
    RNotAvailableError
        R or the R package is missing.
    MissingExtraError
        Hypothesis is not installed, and cases are to be drawn.
    """
    port = _port(py, r, to_py, to_r, outputs, options)
    return _checked(port, source_of(cases, port.options.draws))


def _port(
    py: Callable[..., Any] | str,
    r: str,
    to_py: Adapter | None,
    to_r: Adapter | None,
    outputs: Sequence[Output],
    options: PortOptions | None,
) -> Port:
    function = python_function(py) if isinstance(py, str) else py
    return Port(function, r, to_py, to_r, tuple(outputs) or (Output(),), options or PortOptions())


def _checked(port: Port, source: Source) -> PortReport:
    started = time.perf_counter()
    side = RSide(port)
    inputs = drawn(source, port.options.examples, port.options.seed)
    side.check_names(inputs[0])
    judged = judge_all(port, inputs, side)
    ledger = Ledger()
    for one in judged:
        keep(ledger, one)
    asked = time.perf_counter() - started
    findings = _findings(port, source, judged, side)
    return PortReport(
        _name(port), port.r, ledger, tuple(findings), tuple(map(str, relations(judged))), side.provenance(),
        asked, time.perf_counter() - started, port.options.seed,
    )  # fmt: skip


def _name(port: Port) -> str:
    module, name = python_name(port.py)
    return f"{module}:{name}" if module else name


def _findings(port: Port, source: Source, judged: list[Judged], side: RSide) -> list[Finding]:
    """The different differences, the most frequent ones first, each on the smallest case."""
    seen: dict[tuple[str, ...], list[Judged]] = {}
    for one in judged:
        for key in {difference.key for difference in one.differences}:
            seen.setdefault(key, []).append(one)
    ordered = sorted(seen, key=lambda key: (-len(seen[key]), key))
    return [_finding(port, source, key, seen[key], side) for key in ordered[: port.options.findings]]


def _finding(port: Port, source: Source, key: tuple[str, ...], judged: list[Judged], side: RSide) -> Finding:
    def differs(case: Case) -> bool:
        (one,) = judge_all(port, [case], side)
        return any(difference.key == key for difference in one.differences)

    case = shrunk(source, judged[0].case, differs, port.options.examples, port.options.seed)
    (smallest,) = judge_all(port, [case], side)
    matching = [difference for difference in smallest.differences if difference.key == key]
    note = ""
    if not matching:  # it is not the same twice
        smallest, note = judged[0], "The two sides do not answer this input the same way twice."
        case = smallest.case
        matching = [difference for difference in smallest.differences if difference.key == key]
    difference = matching[0]
    output = _output_of(port, difference)
    record = {
        "r": port.r,
        "python": _name(port),
        "difference": {
            "what": difference.what,
            "in": difference.output,
            "python": difference.python,
            "r": difference.r,
        },
        "case": case,
        "answer": answer_plain(smallest.r),
        "outputs": [one.name for one in port.outputs],
    }
    note = note or _jumps(smallest, difference)
    return Finding(
        difference, case, python_code(port, case, output), r_code(port, case, output), len(judged), note, record
    )


def _jumps(judged: Judged, difference: Difference) -> str:
    """What rounding has to say about a difference of numbers."""
    if difference.what != "value" or not difference.gap < 1e-6:
        return ""
    return f"Moving the input by {FAR} units in the last place does not explain it."


def _output_of(port: Port, difference: Difference) -> Output | None:
    name = difference.output.partition(".")[0]
    return next((one for one in port.outputs if one.name in (name, difference.output)), None)


def replay(
    path: str | Path,
    py: Callable[..., Any] | str,
    r: str,
    *,
    to_py: Adapter | None = None,
    to_r: Adapter | None = None,
    outputs: Sequence[Output] = (),
    options: PortOptions | None = None,
) -> PortReport:
    """Compare a Python function with recorded answers of R; no R is needed.

    Parameters
    ----------
    path : path
        A recorded case, or a folder of them, as `PortReport.save` writes them.
    py, r, to_py, to_r, outputs, options
        As for `check`; a file that records another R function, or other outputs, is refused.

    Raises
    ------
    DataError
        There is no recorded case, or a file is not one of this function and these outputs.
    """
    port = _port(py, r, to_py, to_r, outputs, options)
    return _replayed(port, _recorded_in(Path(path)))


def _recorded_in(place: Path) -> list[Path]:
    files = sorted(place.glob("*.json")) if place.is_dir() else [place]
    if not files:
        raise DataError(f"There is no recorded case in {place}.", do="ivbridge port … --save FOLDER records them.")
    return files


def _replayed(port: Port, files: Sequence[Path]) -> PortReport:
    ledger, findings, started = Ledger(), [], time.perf_counter()
    provenance: dict[str, Any] = {}
    for file in files:
        plain = read_record(file)
        _refuse_another(port, plain, file)
        case = {str(name): case_from(item) for name, item in plain["case"].items()}
        judged = judge(port, case, answer_from(plain["answer"]))
        provenance = plain.get("provenance", {})
        keep(ledger, judged)
        for one in judged.differences:
            output = _output_of(port, one)
            codes = python_code(port, case, output), r_code(port, case, output)
            findings.append(Finding(one, case, codes[0], codes[1], 1, file.name))
    seconds = time.perf_counter() - started
    return PortReport(
        _name(port), port.r, ledger, tuple(findings), (), provenance, seconds, seconds, port.options.seed, recorded=True
    )


def _refuse_another(port: Port, plain: dict[str, Any], file: Path) -> None:
    """A file that records another R function, or other outputs."""
    names = [one.name for one in port.outputs]
    if plain["r"] != port.r or plain["outputs"] != names:
        raise UnsupportedError(
            f"{file} records {plain['r']} ({', '.join(map(str, plain['outputs']))}); {port.r} was asked "
            f"({', '.join(names)}).",
            do="record it again: ivbridge port … --save FOLDER.",
        )
    answer = plain["answer"]
    if not isinstance(answer, dict) or not (set(answer) == set(names) or set(answer) == {"raises"}):
        raise DataError(f"{file} is no whole recorded case: its answer is not that of its outputs.")
