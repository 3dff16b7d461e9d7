"""Audit files: notebooks and scripts by their code, tables by their columns, both together where both are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ivbridge.audit.catalogue import catalogue
from ivbridge.audit.code import code_findings
from ivbridge.audit.columns import data_findings
from ivbridge.audit.duplicates import duplicates
from ivbridge.audit.reading import CODE_ENDINGS, read_source
from ivbridge.audit.records import AuditReport, Check, Finding
from ivbridge.audit.roles import question_of, read_roles
from ivbridge.causal.scenarios import TWINS, notebook
from ivbridge.data import read
from ivbridge.errors import DataError

__all__ = ["audit", "table_of"]

#: What the data say about a mistake of the code.
MEASURES: Mapping[str, str] = {
    "propensity-penalised": "default-scores-differ",
    "propensity-solver": "default-scores-differ",
    "overlap-not-looked-at": "extreme-weights",
    "weights-not-looked-at": "extreme-weights",
    "first-stage-not-looked-at": "weak-instruments",
    "same-seed-twice": "duplicate-columns",
    "outcome-without-treatment": "outcome-without-relation",
    "matching-without-balance": "arms-differ",
}
#: Seed and size with which a twin by its name is drawn.
_SIZE, _SEED = 2000, 1


def audit(paths: str | Path | Iterable[str | Path], roles: str | Mapping[str, Sequence[str]] = "") -> AuditReport:
    """Look for the mistakes of the list in analyses and data; nothing of an analysis is run.

    Parameters
    ----------
    paths : path or iterable of paths
        Notebooks (``.ipynb``), scripts (``.py``), notebooks saved as text (``.txt``), and tables: files that
        :func:`ivbridge.read` reads, names of bundled sets, ``"notebook"`` and the names of the twins in
        :data:`ivbridge.causal.scenarios.TWINS`. Of several, numbers from the tables go to findings in the code.
    roles : str or mapping, optional
        ``"dependent=Y treatment=T covariates=a,b instruments=z"``: needed for tables, but for the search for
        duplicated columns; for code it says which name is the treatment, which is otherwise guessed.

    Raises
    ------
    DataError
        If a file cannot be read, roles are no roles, or they do not fit the columns.
    DesignError
        If the data have not two units in each arm.

    Examples
    --------
    >>> report = audit("notebook", "dependent=Y_obs treatment=T covariates=age,income,prior_engagement")
    >>> [finding.found for finding in report.of("duplicate-columns")]
    ['hidden_confounder = 0.0833333 × age - 3.33333 (correlation 1).']
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    if not given:
        raise DataError("No file was given.", do="ivbridge audit notebook.ipynb")
    asked = read_roles(roles) if isinstance(roles, str) else {name: tuple(names) for name, names in roles.items()}
    treatment = tuple(asked.get("treatment", ()))
    found: list[Finding] = []
    notes: list[str] = []
    kinds: set[str] = set()
    for path in given:
        if Path(path).suffix.lower() in CODE_ENDINGS:
            source = read_source(path)
            found += code_findings(source, treatment)
            notes += source.notes
            kinds |= {"code"} | ({"output"} if any(cell.output for cell in source.cells) else set())
        else:
            found += _table(str(path), asked, notes)
            kinds |= {"data"} if asked else {"columns"}
    return AuditReport(tuple(map(str, given)), tuple(_measured(found)), _looked_for(kinds), tuple(notes))


def table_of(name: str) -> pd.DataFrame:
    """A file, a bundled set, the notebook's data or a twin's, as a table.

    Raises
    ------
    DataError
        If it is none of these.
    """
    if name == "notebook":
        return notebook().frame
    if name in TWINS:
        return TWINS[name].draw(_SIZE, _SEED).frame
    return read(name).frame


def _table(name: str, asked: Mapping[str, tuple[str, ...]], notes: list[str]) -> list[Finding]:
    frame = table_of(name)
    if asked:
        found, more = data_findings(name, frame, question_of(asked))
        notes += more
        return found
    notes.append(f"{name}: only duplicated columns were looked for; --roles says what else the columns are.")
    return [
        Finding(
            catalogue()["duplicate-columns"],
            f"{name}, columns {one.second} and {one.first}",
            one.sentence,
            {"correlation": one.correlation, "shift": float(one.lag)},
        )
        for one in duplicates(frame)
    ]


def _measured(found: list[Finding]) -> list[Finding]:
    """Findings in the code with the numbers that findings in the data have for them."""
    by_check: dict[str, list[Finding]] = {}
    for one in found:
        if not one.line:
            by_check.setdefault(one.check.id, []).append(one)
    result = []
    for one in found:
        data = by_check.get(MEASURES.get(one.check.id, ""), []) if one.line else []
        for other in data:
            one = replace(
                one, found=f"{one.found} In {other.where}: {other.found}", numbers={**one.numbers, **other.numbers}
            )
        result.append(one)
    return result


def _looked_for(kinds: set[str]) -> tuple[Check, ...]:
    """Checks that could be made with what was given."""
    parts = {name: set(check.looks_at.split(" and ")) for name, check in catalogue().items()}
    only = {"duplicate-columns"} if "columns" in kinds else set()
    return tuple(check for name, check in catalogue().items() if parts[name] & kinds or name in only)
