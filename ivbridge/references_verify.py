"""Does R still give the recorded answers? References run again, one after another."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ivbridge.agreement import Agreement
from ivbridge.api import design_for
from ivbridge.compare import agree, crosscheck
from ivbridge.data import Dataset, read
from ivbridge.design import Design
from ivbridge.engines import engine
from ivbridge.errors import DataError, EditedReferenceError, IvbridgeError, RNotAvailableError, StaleReferenceError
from ivbridge.progress import Progress
from ivbridge.references import (
    Reference,
    changes,
    load_reference,
    reference_files,
    references_from,
    replay,
    script_hashes,
)
from ivbridge.references_export import beside, read_exported, write_exported
from ivbridge.vcov_text import parse_vcov

__all__ = ["Verified", "data_of", "design_of", "export", "verify"]


@dataclass(frozen=True, slots=True, eq=False)
class Verified:
    """What came of running one reference again.

    Attributes
    ----------
    path : Path
    verdict : str
        Of the recorded answers against R's of today; ``edited`` or ``stale`` where the reference is that, ``could not
        run`` where R was not asked for another reason.
    problem : str
        Why it is edited or stale or could not be run.
    reference : Reference or None
        None where the file cannot be used.
    agreement : Agreement or None
        None where R was not asked. A reference that is stale because a script changed has one.
    versions : tuple of str
        What differs between the two, for example ``"R 4.2.2 → 4.5.1"``.
    """

    path: Path
    verdict: str
    problem: str = ""
    reference: Reference | None = None
    agreement: Agreement | None = None
    versions: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether R gives the recorded numbers up to rounding, and the reference is neither edited nor stale."""
        return self.verdict in ("identical", "rounding")

    def lines(self) -> list[str]:
        """For a terminal: the verdict, what moved, what changed."""
        found = self.agreement
        digits = "" if found is None or not found.gaps else f": {len(found.gaps)} numbers, {found.digits:.1f} digits"
        lines = [f"{self.path}: {self.verdict}{digits}"]
        lines += [f"  {self.problem}"] if self.problem else []
        lines += [f"  other versions: {', '.join(self.versions)}"] if self.versions else []
        return lines if found is None or found.ok else [*lines, *found.summary().splitlines()[1:]]


def verify(
    paths: Sequence[str | Path] | None = None,
    data: pd.DataFrame | Dataset | None = None,
    *,
    progress: Progress | None = None,
) -> list[Verified]:
    """Ask R again what references hold, and compare.

    Parameters
    ----------
    paths : sequence of path, optional
        Files, or folders of them. Default: every reference that the engine ``recorded`` finds, those of the package
        included.
    data : DataFrame or Dataset, optional
        What the references are about; default: the file or bundled dataset that each of them names, or the csv beside
        it (:func:`export`).
    progress : callable (done, total, what), optional

    Returns
    -------
    list of Verified
        One for each file, also for one that cannot be used.

    Raises
    ------
    RNotAvailableError
        If R cannot be used here.
    """
    files = list(reference_files(None if paths is None else tuple(map(Path, paths))))
    found = []
    for i, path in enumerate(files):
        if progress:
            progress(i, len(files), path.name)
        found.append(_verified(path, data))
    if progress:
        progress(len(files), len(files), "done")
    return found


def _verified(path: Path, data: pd.DataFrame | Dataset | None) -> Verified:
    reference = None
    try:
        reference = load_reference(path)
        given = data_of(reference) if data is None else data
        questions = list(_questions(reference, design_of(reference, given)))
        stale = list(dict.fromkeys(change for question in questions for change in changes(reference, question)))
        agreement = _against_r(reference, questions) if stale else _crosschecked(reference, given)
    except RNotAvailableError:
        raise
    except IvbridgeError as error:
        verdicts = {EditedReferenceError: "edited", StaleReferenceError: "stale"}
        return Verified(path, verdicts.get(type(error), "could not run"), str(error), reference)
    then, here = reference.provenance.versions, agreement.comparisons[0].candidate.provenance.versions
    moved = tuple(f"{name} {then.get(name, 'none')} → {here.get(name, 'none')}" for name in {**then, **here}
                  if name != "bridge" and then.get(name) != here.get(name))  # fmt: skip
    if not stale:
        return Verified(path, agreement.verdict, "", reference, agreement, moved)
    problem = f"{'; '.join(stale)}. Do this: record it again: {reference.command}"
    return Verified(path, "stale", problem, reference, agreement, moved)


def _crosschecked(reference: Reference, data: pd.DataFrame | Dataset) -> Agreement:
    assert reference.path is not None
    with references_from(reference.path):
        return crosscheck(reference.spec, data, reference.vcovs, ("recorded", "r"))


def _against_r(reference: Reference, questions: Sequence[Design]) -> Agreement:
    """The same for a reference that only its scripts make stale; other data raise StaleReferenceError."""
    now = dataclasses.replace(reference, scripts=script_hashes(reference.spec))
    pairs = ((replay(now, question), engine("r").fit(question)) for question in questions)
    return Agreement(reference.spec, tuple(agree(*pair) for pair in pairs))


def _questions(reference: Reference, design: Design) -> Iterator[Design]:
    for vcov in reference.vcovs:
        yield dataclasses.replace(design, spec=dataclasses.replace(reference.spec, vcov=parse_vcov(vcov)))


def data_of(reference: Reference) -> pd.DataFrame | Dataset:
    """The data that a reference names, or the csv beside it.

    Raises
    ------
    DataError
        If neither can be read.
    """
    if reference.data.source:
        return read(reference.data.source)
    if reference.path is not None and beside(reference.path).is_file():
        return read_exported(beside(reference.path), reference.data)
    raise DataError(
        f"The reference {reference.path} is about a data frame in memory, which it does not hold.",
        do="give the data, or export them where they are: ivbridge.references_verify.export(reference, data)",
    )


def design_of(reference: Reference, data: pd.DataFrame | Dataset | None = None) -> Design:
    """The design of a reference's question, with the columns of all its vcovs; `data` default to those it names."""
    return design_for(reference.spec, data_of(reference) if data is None else data, reference.vcovs)


def export(reference: Reference, data: pd.DataFrame | Dataset | None = None) -> Path:
    """Write the data beside a reference, for ``replay.R``; the path of the csv.

    Parameters
    ----------
    reference : Reference
        Read from or written to a file.
    data : DataFrame or Dataset, optional
        Default: what the reference names.

    Raises
    ------
    DataError
        If the data cannot be read or written.
    StaleReferenceError
        If they are not the recorded ones.
    """
    if reference.path is None:
        raise DataError("The reference is in no file.", do="write it first: reference.write(path)")
    design = design_of(reference, data)
    for question in _questions(reference, design):
        replay(reference, question)
    return write_exported(beside(reference.path), reference.data, design)
